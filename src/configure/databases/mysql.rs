//! MariaDB and MySQL.

use super::{Server, by_unit};
use crate::configure::{Plan, Program, System};
use crate::model::spec::{Base, Database, Family};

const SCRIPT: &str = "/usr/lib/bootwright/mysql";

/// Whether a database is one of the two.
pub(super) fn is_mysql(database: Database) -> bool {
    matches!(database, Database::Mysql | Database::Mariadb)
}

pub(super) fn plan(server: &Server<'_>, system: &System<'_>, plan: &mut Plan) {
    plan.file(&SCRIPT[1..], 0o755, include_str!("../scripts/mysql.sh"));
    let data = server.data("/var/lib/mysql");
    let address = if server.local() { "127.0.0.1" } else { "*" };
    if !by_unit(system) {
        let run = format!("{SCRIPT} run {data} --port={} --bind-address={address}", server.port());
        return server.own(run, None, system, plan);
    }
    let Some(unit) = system.service(server.service.name.as_str()) else { return };
    if server.asked {
        let settings =
            format!("[mysqld]\nport = {}\nbind-address = {address}\ndatadir = {data}\n", server.port());
        plan.file(settings_path(system.base, server.service.name), 0o644, settings);
    }
    let mut text = format!("ExecStartPre=+{SCRIPT} init {data}\n");
    if server.service.data.is_some() {
        text.push_str(&format!("ReadWritePaths=-{data}\n"));
    }
    server.drop_in(&unit, &text, plan);
    if system.has("mariadb-server") && server.asked {
        plan.test(
            Program::new(
                "checking the database server's settings",
                "/usr/sbin/mariadbd",
                &["--help", "--verbose"],
            )
            .folder("/run/mysqld"),
        );
    }
    server.switch(&unit, &unit, plan);
}

/// A file that the distribution's own settings include after theirs.
fn settings_path(base: Base, database: Database) -> &'static str {
    match (base.family(), database) {
        (Family::Debian, Database::Mysql) => "etc/mysql/mysql.conf.d/zz-bootwright.cnf",
        (Family::Debian, _) => "etc/mysql/mariadb.conf.d/90-bootwright.cnf",
        (Family::Gentoo, Database::Mysql) => "etc/mysql/mysql.d/90-bootwright.cnf",
        (Family::Gentoo, _) => "etc/mysql/mariadb.d/90-bootwright.cnf",
        _ => "etc/my.cnf.d/90-bootwright.cnf",
    }
}

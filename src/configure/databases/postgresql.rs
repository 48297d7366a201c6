//! PostgreSQL.

use super::{Server, by_unit};
use crate::configure::{Plan, Program, System};
use crate::model::spec::Family;

const SCRIPT: &str = "/usr/lib/bootwright/postgresql";

pub(super) fn plan(server: &Server<'_>, system: &System<'_>, plan: &mut Plan) {
    plan.file(&SCRIPT[1..], 0o755, include_str!("../scripts/postgresql.sh"));
    let version = version(system);
    let usual = usual_data(system, &version);
    let data = server.data(&usual);
    if by_unit(system) && system.is_debian() {
        return debian(server, &version, data, plan);
    }
    plan.file("etc/bootwright/pg_hba.conf", 0o644, hba(server.local()));
    let run = format!(
        "{SCRIPT} run {data} -c hba_file=/etc/bootwright/pg_hba.conf -c port={} -c listen_addresses={} \
         -c unix_socket_directories=/run/postgresql",
        server.port(),
        addresses(server),
    );
    if !by_unit(system) {
        return server.own(run, None, system, plan);
    }
    let Some(unit) = system.service("postgresql") else { return };
    let text = format!(
        "ExecStartPre=\nExecStartPre=+{SCRIPT} init {data}\nExecStart=\nExecStart={run}\n\
         RuntimeDirectory=postgresql\nRuntimeDirectoryMode=2775\n"
    );
    server.drop_in(&unit, &text, plan);
    server.switch(&unit, &unit, plan);
}

/// Debian's clusters have their settings below `/etc/postgresql/VERSION/NAME` (man pg_ctlcluster).
fn debian(server: &Server<'_>, version: &str, data: &str, plan: &mut Plan) {
    let folder = format!("etc/postgresql/{version}/main");
    let settings = format!(
        "# Made by bootwright; add yours as files of conf.d.\n\
         data_directory = '{data}'\nhba_file = '/{folder}/pg_hba.conf'\nident_file = '/{folder}/pg_ident.conf'\n\
         external_pid_file = '/run/postgresql/{version}-main.pid'\ncluster_name = '{version}/main'\n\
         listen_addresses = '{}'\nport = {}\nunix_socket_directories = '/run/postgresql'\n\
         include_dir = 'conf.d'\n",
        addresses(server),
        server.port(),
    );
    plan.file(&format!("{folder}/postgresql.conf"), 0o644, settings);
    plan.file(&format!("{folder}/pg_hba.conf"), 0o644, hba(server.local()));
    plan.file(&format!("{folder}/pg_ident.conf"), 0o644, "# Nobody is anybody else.\n");
    plan.file(&format!("{folder}/start.conf"), 0o644, "auto\n");
    plan.file(&format!("{folder}/environment"), 0o644, "# No variables.\n");
    plan.file(&format!("{folder}/pg_ctl.conf"), 0o644, "pg_ctl_options = ''\n");
    plan.file(&format!("{folder}/conf.d/README"), 0o644, "Files *.conf of this folder are read last.\n");
    let unit = format!("postgresql@{version}-main.service");
    server.drop_in(&unit, &format!("ExecStartPre={SCRIPT} init {data}\n"), plan);
    if server.asked {
        let program = format!("/usr/lib/postgresql/{version}/bin/postgres");
        plan.test(Program::new("looking for the database server", &program, &["--version"]));
    }
    server.switch("postgresql.service", &unit, plan);
}

fn addresses(server: &Server<'_>) -> &'static str {
    if server.local() { "localhost" } else { "*" }
}

/// Who may connect (PostgreSQL, "The pg_hba.conf File"): accounts of the machine as themselves,
/// others with a password, and nobody has one until it is set.
fn hba(local: bool) -> String {
    let mut text = "local all all peer\nhost all all 127.0.0.1/32 scram-sha-256\n\
                    host all all ::1/128 scram-sha-256\n"
        .to_owned();
    if !local {
        text.push_str("host all all all scram-sha-256\n");
    }
    text
}

/// The major version: of the package that is installed, else of the suite.
fn version(system: &System<'_>) -> String {
    let installed = system.packages.keys().filter_map(|p| {
        p.strip_prefix("postgresql-").filter(|v| !v.is_empty() && v.bytes().all(|b| b.is_ascii_digit()))
    });
    let of_suite = match system.suite {
        "jammy" => "14",
        "bookworm" => "15",
        "noble" => "16",
        _ => "17",
    };
    installed.max_by_key(|v| v.parse::<u32>().unwrap_or_default()).unwrap_or(of_suite).to_owned()
}

fn usual_data(system: &System<'_>, version: &str) -> String {
    match system.base.family() {
        Family::Debian => format!("/var/lib/postgresql/{version}/main"),
        Family::Arch => "/var/lib/postgres/data".to_owned(),
        Family::Fedora | Family::Opensuse => "/var/lib/pgsql/data".to_owned(),
        Family::Alpine | Family::Void | Family::Gentoo => format!("/var/lib/postgresql/{version}/data"),
    }
}

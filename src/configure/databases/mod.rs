//! Database servers: port, who may reach them, where their data lies.
//!
//! Data that a package's script makes at installation is the same on all machines of an image,
//! with its identity and its passwords: the build drops it, and each machine makes its own at
//! its first start. systemd starts the distribution's unit, with a drop-in; elsewhere a service
//! of our own runs the server, so that no knob of five distributions' scripts has to be guessed.

mod mysql;
mod postgresql;
mod stores;

use super::own::{OwnService, Run};
use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Base, Database, DatabaseService, Family, Init, Listen, OsSpec, Protocol};

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    for (index, database) in spec.services.databases.iter().enumerate() {
        needs.package(&format!("spec.services.databases[{index}]"), "databases", database.name.as_str());
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let asked = &system.configuration.databases;
    for (index, service) in asked.iter().enumerate() {
        let server = Server { field: format!("spec.services.databases[{index}]"), service, asked: true };
        server.plan(system, plan);
    }
    // Installed by name only: as the package has it, but with data of its own.
    for (name, package) in
        [(Database::Postgresql, "postgresql-common"), (Database::Mariadb, "mariadb-server")]
    {
        let described =
            |d: &DatabaseService| d.name == name || mysql::is_mysql(d.name) && mysql::is_mysql(name);
        if system.is_debian() && system.has(package) && !asked.iter().any(described) {
            let service =
                DatabaseService { name, enabled: true, port: None, listen: Listen::Local, data: None };
            let field = "spec.packages.databases".to_owned();
            Server { field, service: &service, asked: false }.plan(system, plan);
        }
    }
}

/// One database server.
struct Server<'a> {
    field: String,
    service: &'a DatabaseService,
    /// Whether it is described, not only installed.
    asked: bool,
}

impl Server<'_> {
    fn plan(&self, system: &System<'_>, plan: &mut Plan) {
        match self.service.name {
            Database::Postgresql => postgresql::plan(self, system, plan),
            Database::Mysql | Database::Mariadb => mysql::plan(self, system, plan),
            Database::Redis => stores::redis(self, system, plan),
            Database::Memcached => stores::memcached(self, system, plan),
            Database::Mongodb => stores::mongodb(self, system, plan),
            Database::Influxdb => stores::influxdb(self, system, plan),
        }
    }

    fn port(&self) -> u16 {
        self.service.port.map_or(self.service.name.port(), std::num::NonZeroU16::get)
    }

    fn local(&self) -> bool {
        self.service.listen == Listen::Local
    }

    /// The address that it listens on: one address, for servers that take one.
    fn address(&self) -> &'static str {
        if self.local() { "127.0.0.1" } else { "0.0.0.0" }
    }

    /// Where its data lies.
    fn data<'b>(&'b self, usual: &'b str) -> &'b str {
        self.service.data.as_ref().map_or(usual, |path| path.as_str())
    }

    /// Makes a data folder of the spec's at build, for servers that make none themselves.
    fn data_folder(&self, owner: &str, plan: &mut Plan) {
        if let Some(data) = &self.service.data {
            plan.run(Program::new(
                &format!("making {data}"),
                "/usr/bin/install",
                &["-d", "-o", owner, "-g", owner, "-m", "0750", data.as_str()],
            ));
        }
    }

    /// A drop-in for the unit of the distribution's package.
    fn drop_in(&self, unit: &str, text: &str, plan: &mut Plan) {
        plan.file(
            &format!("etc/systemd/system/{unit}.d/10-bootwright.conf"),
            0o644,
            format!("[Service]\n{text}"),
        );
    }

    /// Has the unit of the distribution's package started, or not.
    fn switch(&self, unit: &str, shown: &str, plan: &mut Plan) {
        if !self.asked {
            return;
        }
        if self.service.enabled {
            plan.start(unit);
            self.shown(shown, plan);
        } else {
            plan.off.insert(unit.to_owned());
            let expect = Expect::Service { name: shown.to_owned(), running: false };
            plan.check(&format!("{}.enabled", self.field), expect);
        }
    }

    /// Runs the server as a service of our own, where systemd does not.
    fn own(&self, command: String, user: Option<&str>, system: &System<'_>, plan: &mut Plan) {
        self.without_package_script(system, plan);
        if !self.service.enabled || !self.asked {
            return;
        }
        let name = format!("bootwright-{}", self.service.name.as_str());
        let what = format!("Database server {}", self.service.name.as_str());
        let service = OwnService {
            name: &name,
            what: &what,
            command,
            user,
            environment: Vec::new(),
            only_if: None,
            run: Run::Always,
        };
        service.add(&self.field, system, plan);
        self.listens(plan);
    }

    /// Debian's packages have their scripts started by themselves.
    fn without_package_script(&self, system: &System<'_>, plan: &mut Plan) {
        if !(system.is_debian() && self.asked) {
            return;
        }
        if let Some(script) = system.service(self.service.name.as_str()) {
            plan.run(Program::new(
                &format!("leaving {script} to a service of our own"),
                "/usr/sbin/update-rc.d",
                &[&script, "disable"],
            ));
        }
    }

    fn shown(&self, unit: &str, plan: &mut Plan) {
        plan.check(&self.field, Expect::Service { name: unit.to_owned(), running: true });
        self.listens(plan);
    }

    fn listens(&self, plan: &mut Plan) {
        let (protocol, port) = (Protocol::Tcp, self.port());
        let outside = Some(!self.local());
        plan.check(&format!("{}.port", self.field), Expect::Listen { protocol, port, outside });
    }
}

/// Whether systemd starts the distribution's own unit.
fn by_unit(system: &System<'_>) -> bool {
    system.init() == Init::Systemd
}

/// The account of a server whose distributions disagree on its name.
fn account(base: Base, debian: &'static str, others: &'static str) -> &'static str {
    if base.family() == Family::Debian { debian } else { others }
}

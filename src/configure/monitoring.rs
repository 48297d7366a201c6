//! What watches the system: ports, who may reach them, and who asks whom.
//!
//! systemd starts the distribution's units, with a drop-in that says the whole command line;
//! elsewhere a service of our own runs the same command.

use super::own::{OwnService, Run};
use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::{Base, Family, Init, Listen, Monitoring, MonitoringService, OsSpec, Protocol};

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    for (index, service) in spec.services.monitoring.iter().enumerate() {
        needs.package(&format!("spec.services.monitoring[{index}]"), "servers", service.name.as_str());
    }
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let all = &system.configuration.monitoring;
    for (index, service) in all.iter().enumerate() {
        let field = format!("spec.services.monitoring[{index}]");
        let watcher = Watcher { field, service };
        match service.name {
            Monitoring::Prometheus => watcher.prometheus(all, system, plan),
            Monitoring::NodeExporter => {
                watcher.runs(node_exporter(system.base, watcher.address()), system, plan);
            }
            Monitoring::Alertmanager => watcher.alertmanager(system, plan),
            Monitoring::Grafana => watcher.grafana(system, plan),
            Monitoring::Netdata => watcher.netdata(system, plan),
            Monitoring::ZabbixAgent => watcher.zabbix_agent(system, plan),
            Monitoring::Telegraf => watcher.telegraf(system, plan),
        }
    }
}

/// One program that watches.
struct Watcher<'a> {
    field: String,
    service: &'a MonitoringService,
}

fn port_of(service: &MonitoringService) -> u16 {
    service.port.map_or(service.name.port(), std::num::NonZeroU16::get)
}

fn node_exporter(base: Base, address: String) -> Command {
    let program = match base.family() {
        Family::Debian | Family::Arch => "/usr/bin/prometheus-node-exporter",
        _ => "/usr/bin/node_exporter",
    };
    let user = if base.family() == Family::Debian { "prometheus" } else { "nobody" };
    Command { line: format!("{program} --web.listen-address={address}"), user: Some(user) }
}

/// A command line and the account that it runs as.
struct Command {
    line: String,
    user: Option<&'static str>,
}

impl Watcher<'_> {
    fn port(&self) -> u16 {
        port_of(self.service)
    }

    fn local(&self) -> bool {
        self.service.listen == Listen::Local
    }

    fn host(&self) -> &'static str {
        if self.local() { "127.0.0.1" } else { "0.0.0.0" }
    }

    fn address(&self) -> String {
        format!("{}:{}", self.host(), self.port())
    }

    /// Runs a command line of ours, by the distribution's unit where there is systemd.
    fn runs(&self, command: Command, system: &System<'_>, plan: &mut Plan) {
        if system.init() == Init::Systemd
            && let Some(unit) = system.service(self.service.name.as_str())
        {
            self.drop_in(&unit, &format!("ExecStart=\nExecStart={}\n", command.line), plan);
        }
        self.starts(command, system, plan);
    }

    fn drop_in(&self, unit: &str, text: &str, plan: &mut Plan) {
        plan.file(
            &format!("etc/systemd/system/{unit}.d/10-bootwright.conf"),
            0o644,
            format!("[Service]\n{text}"),
        );
    }

    /// Has it started, or not.
    fn starts(&self, command: Command, system: &System<'_>, plan: &mut Plan) {
        let name = self.service.name.as_str();
        let Some(unit) = system.service(name) else { return };
        if system.init() != Init::Systemd {
            if system.is_debian() {
                let what = format!("leaving {unit} to a service of our own");
                plan.run(Program::new(&what, "/usr/sbin/update-rc.d", &[&unit, "disable"]));
            }
            if !self.service.enabled {
                return;
            }
            let own = OwnService {
                name: &format!("bootwright-{name}"),
                what: &format!("Monitoring by {name}"),
                command: command.line,
                user: command.user,
                environment: Vec::new(),
                only_if: None,
                run: Run::Always,
            };
            own.add(&self.field, system, plan);
        } else if self.service.enabled {
            plan.start(&unit);
            plan.check(&self.field, Expect::Service { name: unit, running: true });
        } else {
            plan.off.insert(unit.clone());
            let expect = Expect::Service { name: unit, running: false };
            return plan.check(&format!("{}.enabled", self.field), expect);
        }
        // Telegraf's port is the one of a statsd server, which listens to datagrams.
        let protocol = if self.service.name == Monitoring::Telegraf { Protocol::Udp } else { Protocol::Tcp };
        let expect = Expect::Listen { protocol, port: self.port(), outside: Some(!self.local()) };
        plan.check(&format!("{}.port", self.field), expect);
    }

    fn prometheus(&self, all: &[MonitoringService], system: &System<'_>, plan: &mut Plan) {
        plan.file("etc/bootwright/prometheus.yml", 0o644, self.scrapes(all));
        let data = if system.is_debian() { "/var/lib/prometheus/metrics2" } else { "/var/lib/prometheus" };
        let line = format!(
            "/usr/bin/prometheus --config.file=/etc/bootwright/prometheus.yml \
             --storage.tsdb.path={data} --web.listen-address={}",
            self.address()
        );
        if system.has("prometheus") && system.is_debian() {
            plan.test(Program::new(
                "checking what Prometheus is to ask",
                "/usr/bin/promtool",
                &["check", "config", "/etc/bootwright/prometheus.yml"],
            ));
        }
        self.runs(Command { line, user: Some("prometheus") }, system, plan);
    }

    /// Prometheus asks itself and what else of this machine speaks its language.
    fn scrapes(&self, all: &[MonitoringService]) -> String {
        let mut text =
            "# Made by bootwright from services.monitoring.\nglobal:\n  scrape_interval: 15s\nscrape_configs:\n"
                .to_owned();
        for service in all.iter().filter(|s| s.enabled) {
            let job = match service.name {
                Monitoring::Prometheus => "prometheus",
                Monitoring::NodeExporter => "node",
                Monitoring::Alertmanager => "alertmanager",
                Monitoring::Grafana => "grafana",
                Monitoring::Netdata | Monitoring::ZabbixAgent | Monitoring::Telegraf => continue,
            };
            let port = port_of(service);
            text.push_str(&format!(
                "  - job_name: {job}\n    static_configs:\n      - targets: [\"127.0.0.1:{port}\"]\n"
            ));
        }
        let alerts = all.iter().find(|s| s.enabled && s.name == Monitoring::Alertmanager);
        if let Some(service) = alerts {
            let port = port_of(service);
            text.push_str(&format!(
                "alerting:\n  alertmanagers:\n    - static_configs:\n        - targets: [\"127.0.0.1:{port}\"]\n"
            ));
        }
        text
    }

    fn alertmanager(&self, system: &System<'_>, plan: &mut Plan) {
        plan.file(
            "etc/bootwright/alertmanager.yml",
            0o644,
            "# Made by bootwright: nobody is told until receivers are named here.\n\
             route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n",
        );
        let debian = system.is_debian();
        let program = if debian { "/usr/bin/prometheus-alertmanager" } else { "/usr/bin/alertmanager" };
        let (data, user) = if debian {
            ("/var/lib/prometheus/alertmanager", "prometheus")
        } else {
            ("/var/lib/alertmanager", "alertmanager")
        };
        // No peers: else it would listen on another port, for everybody.
        let line = format!(
            "{program} --config.file=/etc/bootwright/alertmanager.yml --storage.path={data} \
             --cluster.listen-address= --web.listen-address={}",
            self.address()
        );
        if system.has("prometheus-alertmanager") {
            plan.test(Program::new(
                "checking the alert manager's settings",
                "/usr/bin/amtool",
                &["check-config", "/etc/bootwright/alertmanager.yml"],
            ));
        }
        self.runs(Command { line, user: Some(user) }, system, plan);
    }

    fn grafana(&self, system: &System<'_>, plan: &mut Plan) {
        const SECRET: &str = "/etc/grafana/admin-password";
        let Some(unit) = system.service("grafana") else { return };
        let variables = [
            format!("GF_SERVER_HTTP_ADDR={}", self.host()),
            format!("GF_SERVER_HTTP_PORT={}", self.port()),
            format!("GF_SECURITY_ADMIN_PASSWORD__FILE={SECRET}"),
        ];
        plan.file("usr/lib/bootwright/password", 0o755, include_str!("scripts/password.sh"));
        let make_password = format!("/usr/lib/bootwright/password {SECRET} grafana");
        if system.init() == Init::Systemd {
            let mut text = format!("ExecStartPre=+{make_password}\n");
            variables.iter().for_each(|v| text.push_str(&format!("Environment={v}\n")));
            self.drop_in(&unit, &text, plan);
        } else {
            let before = OwnService {
                name: "bootwright-grafana-password",
                what: "Password of this machine's Grafana",
                command: make_password,
                user: None,
                environment: Vec::new(),
                only_if: None,
                run: Run::Boot,
            };
            before.add(&self.field, system, plan);
        }
        let line = format!(
            "/usr/bin/env {} /usr/sbin/grafana-server --homepath=/usr/share/grafana --config=/etc/grafana.ini",
            variables.join(" ")
        );
        self.starts(Command { line, user: Some("grafana") }, system, plan);
    }

    fn netdata(&self, system: &System<'_>, plan: &mut Plan) {
        let text = format!(
            "# Made by bootwright.\n[global]\n\trun as user = netdata\n\n[web]\n\tdefault port = {}\n\tbind to = {}\n",
            self.port(),
            self.address()
        );
        plan.file("etc/netdata/netdata.conf", 0o644, text);
        self.starts(Command { line: "/usr/sbin/netdata -D".to_owned(), user: None }, system, plan);
    }

    fn zabbix_agent(&self, system: &System<'_>, plan: &mut Plan) {
        // Only this machine's own server is answered, until the owner names others.
        let text = format!(
            "# Made by bootwright; name your server in `Server`.\nListenPort={}\nListenIP={}\n\
             Server=127.0.0.1\nHostnameItem=system.hostname\n\
             LogType=console\nInclude=/etc/zabbix/zabbix_agentd.d/*.conf\n",
            self.port(),
            self.host()
        );
        plan.file("etc/bootwright/zabbix_agentd.conf", 0o644, text);
        plan.file("etc/zabbix/zabbix_agentd.d/README", 0o644, "Files *.conf of this folder are read.\n");
        let line = "/usr/sbin/zabbix_agentd --foreground --config /etc/bootwright/zabbix_agentd.conf";
        self.runs(Command { line: line.to_owned(), user: Some("zabbix") }, system, plan);
    }

    fn telegraf(&self, system: &System<'_>, plan: &mut Plan) {
        let text = format!(
            "# Made by bootwright: programs of this machine send their figures here.\n\
             [[inputs.statsd]]\n  protocol = \"udp\"\n  service_address = \"{}\"\n",
            self.address()
        );
        plan.file("etc/telegraf/telegraf.d/bootwright.conf", 0o644, text);
        let line = "/usr/bin/telegraf --config /etc/telegraf/telegraf.conf \
                    --config-directory /etc/telegraf/telegraf.d";
        self.starts(Command { line: line.to_owned(), user: Some("telegraf") }, system, plan);
    }
}

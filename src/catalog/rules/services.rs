//! Units, services and their ports, backups.

use super::rows::{Hits, has, here, packages, rules};
use super::{Hit, Rule};
use crate::model::spec::text::DestinationKind;
use crate::model::spec::{Ai, Backup, BackupTool, Database, Listen, Monitoring, OsImage, Retention};
use std::num::NonZeroU16;

rules! {
    "unit-both" Error Compat ["spec.services.enable", "spec.services.disable"]
    says "{unit} is both enabled and disabled"
    does "Keep one of the two."
    why "A unit has one link among those that are started, or none."
    => |i| off(i).filter(|(_, full)| i.spec.services.enable.iter().any(|u| u.full() == *full))
        .map(|(field, full)| Hit::at(field).with("unit", full)).collect(),

    "unit-off-but-needed" Error Compat
    ["spec.services.disable", "spec.securityFeatures.ssh", "spec.securityFeatures.firewall"]
    says "{unit} is disabled, but `securityFeatures.{feature}` starts it"
    does "Take `securityFeatures.{feature}` or this line away."
    why "A feature that is described and switched off protects nobody."
    => |i| off(i).filter_map(|(field, full)| {
        let features = &i.spec.security_features;
        let feature = match full.as_str() {
            "ssh.service" | "sshd.service" if features.ssh.is_some() => "ssh",
            "nftables.service" if features.firewall.is_some() => "firewall",
            _ => return None,
        };
        Some(Hit::at(field).with("unit", full).with("feature", feature))
    }).collect(),

    "unit-off-but-verified" Error Compat ["spec.services.disable", "spec.verify.units"]
    says "{unit} is disabled, but `verify.units` wants it to be active"
    does "Take one of the two away."
    why "The image would be built, booted and refused."
    => |i| off(i).filter(|(_, full)| i.spec.verify.units.iter().any(|u| u.full() == *full))
        .map(|(field, full)| Hit::at(field).with("unit", full)).collect(),

    "unit-without-package" Warning Validation ["spec.services.enable", "spec.packages"]
    says "no package of this spec brings {unit}"
    does "Add {package} to `packages`, unless an overlay or a script brings the unit."
    why "A link to a unit that does not exist is skipped at start without an error."
    => |i| i.spec.services.enable.iter().enumerate().filter_map(|(at, unit)| {
        let full = unit.full();
        let (_, brings) = UNITS.iter().find(|(name, _)| *name == full)?;
        let anyhow = has(i, brings) || !i.spec.post_install.scripts.is_empty();
        (!anyhow).then(|| Hit::at(format!("spec.services.enable[{at}]")).with("unit", full).with("package", brings[0]))
    }).collect(),

    "port-clash" Error Validation ["spec.services", "spec.securityFeatures.ssh.port"]
    says "{name} and {other} both want port {port}"
    does "Give one of them another `port`."
    why "Only one program can listen on a port; the one that starts later fails."
    => |i| {
        let mut all = listening(i);
        if let Some(ssh) = &i.spec.security_features.ssh {
            let field = "spec.securityFeatures.ssh.port".to_owned();
            all.insert(0, Listening { field, name: "ssh", port: ssh.port, listen: Listen::All });
        }
        all.iter().enumerate().filter_map(|(at, one)| {
            let other = all[..at].iter().find(|other| other.port == one.port)?;
            Some(Hit::at(&one.field).with("name", one.name).with("other", other.name).with("port", one.port))
        }).collect()
    },

    "service-twice" Error Validation ["spec.services"]
    says "{name} is there twice"
    does "Keep one of the two."
    why "A service is set up once on a machine."
    => |i| {
        let all: Vec<(String, &str)> = names(i);
        all.iter().enumerate().filter(|(at, (_, name))| all[..*at].iter().any(|(_, other)| other == name))
            .map(|(_, (field, name))| Hit::at(field).with("name", name)).collect()
    },

    "mysql-and-mariadb" Error Compat ["spec.services.databases"]
    says "MySQL and MariaDB cannot be on one machine"
    does "Keep one of the two."
    why "Their packages hold the same files and take the same folder."
    => |i| {
        let there = |name| i.spec.services.databases.iter().any(|d| d.name == name);
        here(there(Database::Mysql) && there(Database::Mariadb), "spec.services.databases")
    },

    "database-for-everyone" Warning Validation ["spec.services.databases", "spec.securityFeatures.firewall"]
    says "{name} answers everyone, and no firewall stands before it"
    does "Write `listen: local`, or add a `firewall` with rules for the networks that may."
    why "Redis, Memcached and MongoDB ask for no password as they come from the package."
    => |i| i.spec.services.databases.iter().enumerate()
        .filter(|(_, d)| d.enabled && d.listen == Listen::All && i.spec.security_features.firewall.is_none())
        .map(|(at, d)| Hit::at(format!("spec.services.databases[{at}].listen")).with("name", d.name.as_str())).collect(),

    "model-of-ollama" Error Validation ["spec.services.ai[].model", "spec.services.ai[].name"]
    says "{name} runs no models by itself"
    does "Move `model` to the service `ollama`."
    why "Only Ollama keeps models; the others ask it, or know none."
    => |i| i.spec.services.ai.iter().enumerate().filter(|(_, s)| s.model.is_some() && s.name != Ai::Ollama)
        .map(|(at, s)| Hit::at(format!("spec.services.ai[{at}].model")).with("name", s.name.as_str())).collect(),

    "ollama-without-model" Warning Validation ["spec.services.ai[].model"]
    says "Ollama has no model: without a network it answers nothing"
    does "Name one, such as `model: phi3:instruct`."
    why "A model is fetched when it is first asked for, if there is a network then."
    => |i| i.spec.services.ai.iter().enumerate().filter(|(_, s)| s.enabled && s.name == Ai::Ollama && s.model.is_none())
        .map(|(at, _)| Hit::at(format!("spec.services.ai[{at}]"))).collect(),

    "webui-without-ollama" Warning Compat ["spec.services.ai[].name"]
    says "Open WebUI has no models to talk to"
    does "Add {name: ollama, model: phi3:instruct}."
    why "It is a page; the models run in Ollama."
    => |i| i.spec.services.ai.iter().enumerate().filter(|(_, s)| s.name == Ai::OpenWebui
        && !i.spec.services.ai.iter().any(|other| other.name == Ai::Ollama))
        .map(|(at, _)| Hit::at(format!("spec.services.ai[{at}].name"))).collect(),

    "model-memory" Warning Validation ["spec.services.ai", "spec.verify.memoryMib"]
    says "{memory} MiB are too little to see {model} answer"
    does "Write `memoryMib: 8192` in `verify`."
    why "A model of seven billion parameters takes more than 4 GiB of memory."
    => |i| i.spec.services.ai.iter().filter(|s| s.enabled && i.spec.verify.memory_mib < 4096).filter_map(|s| s.model.as_ref())
        .map(|model| Hit::at("spec.verify.memoryMib").with("memory", i.spec.verify.memory_mib).with("model", model)).collect(),

    "alertmanager-alone" Warning Compat ["spec.services.monitoring"]
    says "nothing sends the alert manager any alerts"
    does "Add {name: prometheus}, unless one on another machine does."
    why "Prometheus finds out that something is wrong; the alert manager only tells people."
    => |i| i.spec.services.monitoring.iter().enumerate().filter(|(_, m)| m.name == Monitoring::Alertmanager
        && !i.spec.services.monitoring.iter().any(|other| other.name == Monitoring::Prometheus))
        .map(|(at, _)| Hit::at(format!("spec.services.monitoring[{at}].name"))).collect(),

    "same-work-twice" Warning Compat ["spec.packages"]
    says "{name} does the same as {first}, on the same port or clock"
    does "Keep one of the two."
    why "Both are started by their packages, and the later one fails or works against the other."
    => |i| ALIKE.iter().flat_map(|names| {
        let found: Vec<_> = packages(i).filter(|(_, name)| names.contains(&name.as_str())).collect();
        found.iter().skip(1).map(|(field, name)| Hit::at(field).with("name", name).with("first", found[0].1))
            .collect::<Vec<_>>()
    }).collect(),

    "backup-nowhere" Error Validation ["spec.backup.destinations"]
    says "backups have no destination"
    does "Add `destinations`, such as [sftp://backup@nas.example.org/srv/backup]."
    why "The program has to be told where its repository is."
    => |i| backup(i, |b| here(b.destinations.is_empty(), "spec.backup")),

    "backup-key" Error Validation ["spec.backup.keyFile"]
    says "nobody knows the passphrase of the backups"
    does "Write `keyFile: /etc/backup.key`, and put the file there once the system is installed."
    why "borg and restic encrypt, and a program that runs at night can ask nobody."
    => |i| backup(i, |b| here(b.key_file.is_none(), "spec.backup")),

    "backup-borg-where" Error Compat ["spec.backup.tool", "spec.backup.destinations[]"]
    says "borg cannot write to {destination}"
    does "Write `tool: restic`, or take a folder or sftp://."
    why "borg needs a file system, or itself at the other end of an SSH connection."
    => |i| backup(i, |b| b.destinations.iter().enumerate().filter(|(_, d)| b.tool == BackupTool::Borg
        && matches!(d.kind(), DestinationKind::S3 { .. } | DestinationKind::Rest(_)))
        .map(|(at, d)| Hit::at(format!("spec.backup.destinations[{at}]")).with("destination", d)).collect()),

    "backup-of-itself" Error Validation ["spec.backup.destinations[]", "spec.backup.paths[]", "spec.backup.exclude[]"]
    says "backups in {destination} would be saved into themselves"
    does "Add {destination} to `exclude`, or take another disk."
    why "Every backup would hold all earlier ones, until the disk is full."
    => |i| backup(i, |b| b.destinations.iter().enumerate().filter_map(|(at, d)| {
        let DestinationKind::Folder(folder) = d.kind() else { return None };
        let saved = saved(b).any(|path| inside(folder, path));
        let left_out = b.exclude.iter().any(|path| inside(folder, path.as_str()));
        (saved && !left_out).then(|| Hit::at(format!("spec.backup.destinations[{at}]")).with("destination", folder))
    }).collect()),

    "backup-same-machine" Warning Validation ["spec.backup.destinations[]"]
    says "all backups lie on the machine itself"
    does "Add a destination on another machine."
    why "What destroys the disk, or locks its files for ransom, takes them along."
    => |i| backup(i, |b| here(!b.destinations.is_empty()
        && b.destinations.iter().all(|d| matches!(d.kind(), DestinationKind::Folder(_))), "spec.backup.destinations")),

    "backup-for-ever" Warning Validation ["spec.backup.retention"]
    says "backups are kept for ever"
    does "Write `retention: {keepDaily: 7, keepWeekly: 4, keepMonthly: 6}`."
    why "Without a rule nothing is ever removed, and the destination fills up."
    => |i| backup(i, |b| here(b.retention.as_ref().is_none_or(|r| *r == Retention::default()), "spec.backup")),

    "backup-exclude-unsaved" Warning Validation ["spec.backup.exclude[]", "spec.backup.paths[]"]
    says "{path} is not saved anyway"
    does "Take it away from `exclude`, or add what holds it to `paths`."
    why "Only what lies in `paths` can be left out."
    => |i| backup(i, |b| b.exclude.iter().enumerate().filter(|(_, path)| !saved(b).any(|outer| inside(path.as_str(), outer)))
        .map(|(at, path)| Hit::at(format!("spec.backup.exclude[{at}]")).with("path", path)).collect()),

    "backup-of-databases" Warning Compat ["spec.backup.paths", "spec.services.databases"]
    says "files of {name}, saved while it runs, may not be whole"
    does "Have a script write a dump into /srv, and add the data folder to `exclude`."
    why "A database changes many files at once; a copy of them is from many moments."
    => |i| backup(i, |b| i.spec.services.databases.iter().filter(|d| d.enabled && d.name != Database::Memcached
        && saved(b).any(|path| inside(d.data.as_ref().map_or("/var/lib/x", |data| data.as_str()), path))
        && !b.exclude.iter().any(|path| inside(d.data.as_ref().map_or("/var/lib/x", |data| data.as_str()), path.as_str())
            || path.as_str().starts_with("/var/lib")))
        .map(|d| Hit::at("spec.backup").with("name", d.name.as_str())).collect()),
}

/// A service that listens on a port.
pub(super) struct Listening {
    /// Its field.
    pub field: String,
    /// Its name.
    pub name: &'static str,
    /// The TCP port.
    pub port: NonZeroU16,
    /// Who may reach it.
    pub listen: Listen,
}

/// All services that are started and listen on a port.
pub(super) fn listening(image: &OsImage) -> Vec<Listening> {
    let services = &image.spec.services;
    let databases =
        services.databases.iter().map(|s| (s.enabled, s.name.as_str(), s.port, s.name.port(), s.listen));
    let monitoring =
        services.monitoring.iter().map(|s| (s.enabled, s.name.as_str(), s.port, s.name.port(), s.listen));
    let ai = services.ai.iter().map(|s| (s.enabled, s.name.as_str(), s.port, s.name.port(), s.listen));
    let lists = [
        ("databases", databases.collect::<Vec<_>>()),
        ("monitoring", monitoring.collect()),
        ("ai", ai.collect()),
    ];
    let mut found = Vec::new();
    for (list, services) in lists {
        for (at, (enabled, name, port, own, listen)) in services.into_iter().enumerate() {
            let port = port.or(NonZeroU16::new(own)).filter(|_| enabled);
            let field = format!("spec.services.{list}[{at}]");
            found.extend(port.map(|port| Listening { field, name, port, listen }));
        }
    }
    found
}

/// The names of all services that are set up, with their fields.
fn names(image: &OsImage) -> Vec<(String, &'static str)> {
    let services = &image.spec.services;
    let named = |list: &str, names: Vec<&'static str>| -> Vec<(String, &'static str)> {
        let names = names.into_iter().enumerate();
        names.map(|(at, name)| (format!("spec.services.{list}[{at}].name"), name)).collect()
    };
    let mut all = named("databases", services.databases.iter().map(|s| s.name.as_str()).collect());
    all.extend(named("monitoring", services.monitoring.iter().map(|s| s.name.as_str()).collect()));
    all.extend(named("ai", services.ai.iter().map(|s| s.name.as_str()).collect()));
    all
}

/// Units that people enable by name, and the packages that bring them.
const UNITS: &[(&str, &[&str])] = &[
    ("nginx.service", &["nginx", "nginx-light", "nginx-full", "nginx-extras", "nginx-core"]),
    ("apache2.service", &["apache", "apache2"]),
    ("httpd.service", &["apache", "httpd"]),
    ("caddy.service", &["caddy"]),
    ("docker.service", &["docker", "docker.io", "docker-ce", "moby-engine"]),
    ("postgresql.service", &["postgresql", "postgresql-server", "postgresql-15", "postgresql-17"]),
    ("mariadb.service", &["mariadb", "mariadb-server", "mysql"]),
    ("mysql.service", &["mysql", "mysql-server", "mariadb", "mariadb-server"]),
    ("redis-server.service", &["redis", "redis-server"]),
    ("redis.service", &["redis", "redis-server"]),
    ("fail2ban.service", &["fail2ban"]),
    ("haproxy.service", &["haproxy"]),
    ("chrony.service", &["chrony"]),
    ("bluetooth.service", &["bluez", "bluetooth"]),
    ("cups.service", &["cups"]),
    ("libvirtd.service", &["libvirt", "libvirt-daemon-system", "libvirt-daemon"]),
];

/// Packages that do the same work, on the same port or clock.
const ALIKE: &[&[&str]] = &[
    &["nginx", "apache", "apache2", "httpd", "caddy", "lighttpd"],
    &["chrony", "ntp", "ntpsec", "openntpd", "systemd-timesyncd"],
    &["postfix", "exim4", "exim", "opensmtpd", "sendmail"],
    &["pulseaudio", "pipewire-pulse"],
    &["tlp", "power-profiles-daemon", "tuned"],
    &["dnsmasq", "bind9", "unbound"],
];

fn off(image: &OsImage) -> impl Iterator<Item = (String, String)> {
    let units = image.spec.services.disable.iter().enumerate();
    units.map(|(at, unit)| (format!("spec.services.disable[{at}]"), unit.full()))
}

fn backup(image: &OsImage, of: impl FnOnce(&Backup) -> Hits) -> Hits {
    image.spec.backup.as_ref().map(of).unwrap_or_default()
}

/// What is saved if the spec does not say.
const SAVED: [&str; 5] = ["/etc", "/home", "/root", "/srv", "/var/lib"];

fn saved(backup: &Backup) -> impl Iterator<Item = &str> {
    let own = if backup.paths.is_empty() { SAVED.as_slice() } else { &[] };
    own.iter().copied().chain(backup.paths.iter().map(|path| path.as_str()))
}

/// Whether a path lies in a folder, or is it.
fn inside(path: &str, folder: &str) -> bool {
    folder == "/" || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

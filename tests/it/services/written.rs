//! Files as they are written, read by the tools that judge such files.

use super::{image, lay, plan, plan_with, tell, text};
use bootwright::configure::{self, FileContent, Plan};
use bootwright::model::check::Expect;
use bootwright::model::spec::Base;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Everything at once.
fn everything() -> serde_json::Value {
    json!({
        "services": {
            "databases": [
                {"name": "postgresql", "listen": "all", "port": 5433}, {"name": "mariadb", "data": "/srv/mysql"},
                {"name": "redis", "listen": "all"}, {"name": "memcached"}, {"name": "mongodb"}, {"name": "influxdb"}
            ],
            "monitoring": [
                {"name": "prometheus"}, {"name": "node-exporter", "port": 9200}, {"name": "alertmanager"},
                {"name": "grafana"}, {"name": "netdata"}, {"name": "zabbix-agent"}, {"name": "telegraf"}
            ],
            "ai": [{"name": "ollama", "model": "phi3:instruct"}, {"name": "jupyter"}]
        },
        "filesystem": {"root": "btrfs", "snapshots": {"enabled": true, "interval": "hourly", "retention": 24}},
        "backup": {
            "tool": "restic", "schedule": "30 2 * * mon-fri", "keyFile": "/etc/backup.key",
            "retention": {"keepDaily": 7}, "destinations": ["sftp://me@nas.example.org:2222/srv/b"]
        }
    })
}

/// A root in which every program that a unit starts is there.
fn root_with(plan: &Plan, root: &Path) {
    lay(plan, root);
    for unit in
        ["sysinit", "basic", "multi-user", "timers", "network-online", "shutdown", "network", "time-set"]
    {
        let target = root.join(format!("lib/systemd/system/{unit}.target"));
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        std::fs::copy(format!("/lib/systemd/system/{unit}.target"), target).unwrap();
    }
    for file in &plan.files {
        let Some(text) = plan.text(&file.path).filter(|_| file.path.contains("systemd/system")) else {
            continue;
        };
        for line in text.lines().filter(|l| l.starts_with("Exec") && !l.ends_with('=')) {
            let command = line.split_once('=').unwrap().1.trim_start_matches(['+', '-', '!']);
            let program = root.join(&command.split(' ').next().unwrap()[1..]);
            std::fs::create_dir_all(program.parent().unwrap()).unwrap();
            if !program.exists() {
                std::fs::write(&program, "").unwrap();
                std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            }
        }
    }
}

/// A drop-in is judged with the unit of the package, or with the least one that there can be.
fn units(plan: &Plan, root: &Path) -> Vec<String> {
    let mut units = Vec::new();
    for file in &plan.files {
        let Some(name) = file.path.strip_prefix("etc/systemd/system/") else { continue };
        let Some(name) = name.strip_suffix("/10-bootwright.conf") else {
            units.push(name.to_owned());
            continue;
        };
        let name = name.strip_suffix(".d").unwrap();
        let at = root.join("lib/systemd/system").join(name);
        std::fs::write(at, "[Unit]\nDescription=x\n[Service]\nExecStart=/usr/lib/bootwright/mysql\n")
            .unwrap();
        units.push(name.to_owned());
    }
    units
}

#[test]
fn systemd_finds_nothing_wrong_with_any_unit() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(everything());
    root_with(&plan, folder.path());
    let root = format!("--root={}", folder.path().display());
    let units = units(&plan, folder.path());
    assert!(units.len() >= 18, "{units:?}");
    for unit in &units {
        // Without manual pages and targets of packages there is nothing else to say.
        let (fine, words) =
            tell("systemd-analyze", &["verify", "--man=no", "--recursive-errors=no", &root, unit]);
        assert!(fine && words.trim().is_empty(), "{unit}: {words}");
    }
    // The judge sees what is wrong.
    let broken = folder.path().join("etc/systemd/system/bootwright-backup.service");
    let text = std::fs::read_to_string(&broken).unwrap();
    std::fs::write(&broken, text.replace("Nice=10", "Nice=often")).unwrap();
    let said = tell("systemd-analyze", &["verify", "--man=no", &root, "bootwright-backup.service"]).1;
    assert!(said.contains("often"), "{said}");
}

#[test]
fn every_script_is_one() {
    for (base, suite, init) in [
        ("debian", "bookworm", "openrc"),
        ("debian", "bookworm", "runit"),
        ("debian", "bookworm", "s6"),
        ("debian", "bookworm", "systemd"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut spec = everything();
        spec["init"] = json!(init);
        let plan = plan_with(base, suite, spec, &["postgresql-15"]);
        lay(&plan, folder.path());
        let mut seen = 0;
        for file in &plan.files {
            let FileContent::Bytes { mode: 0o755, bytes } = &file.content else { continue };
            if !bytes.starts_with(b"#!/bin/sh") && !bytes.starts_with(b"#!/sbin/openrc-run") {
                continue;
            }
            let path = folder.path().join(&file.path);
            let path = path.to_str().unwrap();
            for shell in [&["dash", "-n"][..], &["busybox", "sh", "-n"]] {
                let (fine, words) = tell(shell[0], &[&shell[1..], &[path]].concat());
                assert!(fine && words.trim().is_empty(), "{path}: {words}");
            }
            seen += 1;
        }
        assert!(seen >= 6, "{init}: {seen}");
    }
}

#[test]
fn cron_keeps_the_time_where_systemd_does_not() {
    for (init, list) in [("openrc", "cron"), ("runit", "cron")] {
        let mut spec = everything();
        spec["init"] = json!(init);
        let plan = plan_with("debian", "bookworm", spec.clone(), &[]);
        assert!(plan.on.contains(list), "{:?}", plan.on);
        assert!(!plan.files.iter().any(|f| f.path.ends_with(".timer")));
        for name in ["bootwright-backup", "bootwright-snapshot"] {
            let text = text(&plan, &format!("etc/cron.d/{name}"));
            // A user's crontab has no field for the account.
            let table = text.replace(" root /", " /");
            let file = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(file.path(), &table).unwrap();
            let (fine, words) = tell("crontab", &["-n", file.path().to_str().unwrap()]);
            assert!(fine, "{table}: {words}");
            std::fs::write(file.path(), table.replace("* *", "* 99")).unwrap();
            assert!(!tell("crontab", &["-n", file.path().to_str().unwrap()]).0);
        }
        assert!(
            text(&plan, "etc/cron.d/bootwright-backup")
                .contains("\n30 2 * * mon-fri root /usr/lib/bootwright/backup\n")
        );
        let needs = configure::needs(&image("debian", "bookworm", spec).spec);
        assert!(
            needs.packages.iter().any(|n| n.name.as_str() == "cron" && n.field == "spec.backup.schedule")
        );
    }
    let timer = plan(everything());
    let timer = text(&timer, "etc/systemd/system/bootwright-backup.timer");
    assert!(timer.contains("OnCalendar=Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00\n"), "{timer}");
    for line in timer.lines().filter_map(|l| l.strip_prefix("OnCalendar=")) {
        assert!(tell("systemd-analyze", &["calendar", line]).0);
    }
}

#[test]
fn a_service_of_our_own_has_the_files_of_its_init_system() {
    for (base, suite, init, file, begins) in [
        ("debian", "bookworm", "openrc", "etc/init.d/bootwright-redis", "#!/sbin/openrc-run"),
        ("void", "rolling", "runit", "etc/sv/bootwright-redis/run", "#!/bin/sh"),
        ("alpine", "3.22", "openrc", "etc/init.d/bootwright-redis", "#!/sbin/openrc-run"),
        ("debian", "bookworm", "s6", "etc/s6/sv/bootwright-redis/run", "#!/bin/sh"),
    ] {
        let spec = json!({"init": init, "services": {"databases": [{"name": "redis", "port": 7000}]}});
        let plan = plan_with(base, suite, spec, &[]);
        let script = text(&plan, file);
        assert!(script.starts_with(begins), "{script}");
        assert!(script.contains("redis-server") && script.contains("/etc/bootwright/redis.conf"), "{script}");
        assert!(plan.on.contains("bootwright-redis"), "{base}: {:?}", plan.on);
        assert!(text(&plan, "etc/bootwright/redis.conf").contains("\nport 7000\n"));
    }
}

#[test]
fn prometheus_reads_its_settings() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(everything());
    lay(&plan, folder.path());
    let prometheus = folder.path().join("etc/bootwright/prometheus.yml");
    let (fine, words) = tell("promtool", &["check", "config", prometheus.to_str().unwrap()]);
    assert!(fine, "{words}");
    let written = text(&plan, "etc/bootwright/prometheus.yml");
    assert!(written.contains("127.0.0.1:9200") && written.contains("127.0.0.1:9093"), "{written}");
    let alertmanager = folder.path().join("etc/bootwright/alertmanager.yml");
    let (fine, words) = tell("amtool", &["check-config", alertmanager.to_str().unwrap()]);
    assert!(fine, "{words}");
    std::fs::write(&prometheus, written.replace("scrape_interval", "scrape_often")).unwrap();
    assert!(!tell("promtool", &["check", "config", prometheus.to_str().unwrap()]).0);
}

#[test]
fn fields_have_their_checks_and_packages() {
    let spec = everything();
    let plan = plan(spec.clone());
    let fields: Vec<&str> = plan.checks.iter().map(|c| c.field.as_str()).collect();
    for field in [
        "spec.services.databases[0]",
        "spec.services.databases[0].port",
        "spec.services.monitoring[1].port",
        "spec.services.ai[1].port",
        "spec.backup.schedule",
        "spec.filesystem.snapshots.interval",
    ] {
        assert!(fields.contains(&field), "{field} is not in {fields:?}");
    }
    let open = |field: &str| {
        let found = plan.checks.iter().find(|c| c.field == field);
        let Some(Expect::Listen { outside, .. }) = found.map(|c| &c.expect) else { panic!("{found:?}") };
        *outside
    };
    assert_eq!(open("spec.services.databases[0].port"), Some(true));
    assert_eq!(open("spec.services.databases[1].port"), Some(false));
    let needs = configure::needs(&image("debian", "bookworm", spec).spec);
    let names: Vec<&str> = needs.packages.iter().map(|n| n.name.as_str()).collect();
    for name in [
        "postgresql",
        "mariadb",
        "memcached",
        "alertmanager",
        "ollama",
        "jupyter",
        "restic",
        "openssh-client",
        "btrfs-progs",
    ] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
}

#[test]
fn no_secret_and_no_model_is_in_an_image() {
    let plan = plan(everything());
    for file in &plan.files {
        assert!(
            !file.path.ends_with("password.conf") && !file.path.ends_with("admin-password"),
            "{}",
            file.path
        );
        assert_ne!(file.path, "etc/backup.key");
    }
    assert!(text(&plan, "etc/bootwright/ollama.conf").contains("MODEL=phi3:instruct\n"));
    assert!(plan.programs.iter().all(|p| !p.path.contains("ollama")));
}

/// A database that is installed by name alone has its own data all the same.
#[test]
fn a_database_without_settings_still_makes_its_own_data() {
    let plan =
        plan_with("debian", "bookworm", json!({}), &["postgresql-15", "postgresql-common", "mariadb-server"]);
    assert!(
        text(&plan, "etc/systemd/system/postgresql@15-main.service.d/10-bootwright.conf").contains(" init ")
    );
    assert!(text(&plan, "etc/systemd/system/mariadb.service.d/10-bootwright.conf").contains(" init "));
    assert!(plan.checks.iter().all(|c| !c.field.contains("databases")));
    assert!(plan.text("etc/mysql/mariadb.conf.d/90-bootwright.cnf").is_none());
}

#[test]
fn what_a_distribution_lacks_is_an_error_with_its_reason() {
    let spec = json!({"services": {"ai": [{"name": "ollama"}, {"name": "n8n"}, {"name": "chromadb"}]}});
    let settings = bootwright::model::packaging::PackageSettings::default();
    let problems = bootwright::resolve::request(&image("debian", "bookworm", spec), &settings).unwrap_err();
    let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
    assert_eq!(fields, ["spec.services.ai[0]", "spec.services.ai[1]", "spec.services.ai[2]"]);
    assert!(problems[0].message.contains("published by its project only"), "{}", problems[0].message);
    // Named for the owner to bring: no package is asked for, the model is known.
    let later = json!({"services": {"ai": [{"name": "ollama", "enabled": false, "model": "phi3:instruct"}]}});
    assert!(bootwright::resolve::request(&image("debian", "bookworm", later.clone()), &settings).is_ok());
    let plan = plan(later);
    assert!(plan.on.contains("bootwright-ollama-model.service") && !plan.on.contains("ollama.service"));
    assert_eq!(Base::all().count(), 8);
}

/// What the overlay or a script brings is not there yet when the settings are written.
#[test]
fn units_that_come_later_are_switched_on_later() {
    let spec =
        json!({"services": {"enable": ["nginx"]}, "postInstall": {"services": ["shop", "shop.timer"]}});
    let with_systemd = plan(spec);
    let later: Vec<&str> = with_systemd.later.iter().map(String::as_str).collect();
    assert_eq!(later, ["shop.service", "shop.timer"]);
    assert!(with_systemd.on.contains("nginx.service") && !with_systemd.on.contains("shop.service"));
    let expect = Expect::Service { name: "shop.service".to_owned(), running: true };
    assert!(
        with_systemd.checks.iter().any(|c| c.field == "spec.postInstall.services[0]" && c.expect == expect)
    );
    let spec = json!({"postInstall": {"services": ["shop"]}});
    let plan = plan_with("alpine", "3.22", spec, &[]);
    assert!(plan.later.contains("shop"));
}

//! The servers and backup programs themselves, with what is written for them.

use super::{PATH, lay, plan, tell, text};
use bootwright::effects::process::Running;
use bootwright::effects::{Cancel, Process};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// A port that nobody uses now.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until somebody answers on a port.
fn answered(port: u16) -> TcpStream {
    let begin = Instant::now();
    loop {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            return stream;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "nobody listens on {port}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn ask(port: u16, words: &str) -> String {
    let mut stream = answered(port);
    stream.write_all(words.as_bytes()).unwrap();
    let mut answer = [0; 512];
    let n = stream.read(&mut answer).unwrap();
    String::from_utf8_lossy(&answer[..n]).into_owned()
}

fn start(program: &str, args: &[&str]) -> Running {
    Process::new(program).args(args).env("PATH", PATH).env("LC_ALL", "C").spawn().unwrap()
}

/// A folder that other accounts can look into.
fn folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn script(plan: &bootwright::configure::Plan, name: &str, folder: &Path) -> String {
    lay(plan, folder);
    folder.join("usr/lib/bootwright").join(name).display().to_string()
}

#[test]
fn redis_answers_on_its_port_and_asks_strangers_for_the_machines_password() {
    let folder = folder();
    let port = free_port();
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let data = data.to_str().unwrap();
    let plan = plan(json!({"services": {"databases": [
        {"name": "redis", "port": port, "listen": "all", "data": data}
    ]}}));
    let password = script(&plan, "password", folder.path());
    let secret = format!("{data}/password.conf");
    assert!(tell(&password, &[&secret, "root", "requirepass"]).0);
    let before = std::fs::read_to_string(&secret).unwrap();
    assert!(tell(&password, &[&secret, "root", "requirepass"]).0);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), before, "it is made once");
    let settings = folder.path().join("etc/bootwright/redis.conf");
    let _server = start("redis-server", &[settings.to_str().unwrap(), "--daemonize", "no", "--logfile", ""]);
    assert!(ask(port, "PING\r\n").contains("NOAUTH"));
    let word = before.trim().strip_prefix("requirepass ").unwrap();
    assert!(word.len() == 32, "{before}");
    assert!(ask(port, &format!("AUTH {word}\r\nCONFIG GET dir\r\n")).contains("+OK"));
}

#[test]
fn memcached_answers_on_its_port() {
    let port = free_port();
    let plan = plan(json!({"services": {"databases": [{"name": "memcached", "port": port}]}}));
    let drop_in = text(&plan, "etc/systemd/system/memcached.service.d/10-bootwright.conf");
    let command = drop_in.lines().last().unwrap().strip_prefix("ExecStart=").unwrap();
    let mut words = command.split(' ');
    let program = words.next().unwrap();
    let _server = start(program, &words.collect::<Vec<_>>());
    assert!(ask(port, "version\r\n").starts_with("VERSION "));
}

#[test]
fn mariadb_makes_its_own_data_once_and_answers_on_its_port() {
    let folder = folder();
    let port = free_port();
    let data = folder.path().join("data").display().to_string();
    let plan = plan(json!({"services": {"databases": [{"name": "mariadb", "port": port, "data": data}]}}));
    let mysql = script(&plan, "mysql", folder.path());
    let settings = folder.path().join("etc/mysql/mariadb.conf.d/90-bootwright.cnf");
    let settings = format!("--defaults-file={}", settings.display());
    let (fine, words) = tell("mariadbd", &[&settings, "--help", "--verbose"]);
    assert!(fine && words.contains("bind-address"), "{words}");
    let (fine, words) = tell(&mysql, &["init", &data]);
    assert!(fine, "{words}");
    let marker = format!("{data}/made-before");
    std::fs::write(&marker, "").unwrap();
    assert!(tell(&mysql, &["init", &data]).0);
    assert!(Path::new(&marker).exists(), "data that is there is left alone");
    let socket = format!("--socket={}/s", folder.path().display());
    let pid = format!("--pid-file={}/pid", folder.path().display());
    let port_option = format!("--port={port}");
    let args = ["run", &data, &socket, &pid, &port_option, "--bind-address=127.0.0.1"];
    let _server = start(&mysql, &args);
    let mut greeting = [0; 64];
    let n = answered(port).read(&mut greeting).unwrap();
    assert!(String::from_utf8_lossy(&greeting[..n]).contains("MariaDB"));
}

#[test]
fn postgresql_makes_a_cluster_of_its_own_and_answers_on_its_port() {
    let (one, two) = (folder(), folder());
    let port = free_port();
    let mut identities = Vec::new();
    for folder in [&one, &two] {
        let data = folder.path().join("db/data").display().to_string();
        let plan =
            plan(json!({"services": {"databases": [{"name": "postgresql", "port": port, "data": data}]}}));
        let postgresql = script(&plan, "postgresql", folder.path());
        let (fine, words) = tell(&postgresql, &["init", &data]);
        assert!(fine, "{words}");
        assert!(tell(&postgresql, &["init", &data]).0);
        let (_, control) = tell("/usr/lib/postgresql/15/bin/pg_controldata", &[&data]);
        let identity = control.lines().find(|l| l.starts_with("Database system identifier"));
        identities.push(identity.unwrap().to_owned());
    }
    assert_ne!(identities[0], identities[1]);
    let data = one.path().join("db/data").display().to_string();
    // Debian's own settings file, as pg_ctlcluster would give it.
    let settings = one.path().join("etc/postgresql/15/main");
    let file = settings.join("postgresql.conf");
    let text = std::fs::read_to_string(&file).unwrap();
    let here = one.path().display().to_string();
    let text =
        text.replace("/etc/postgresql", &format!("{here}/etc/postgresql")).replace("/run/postgresql", &here);
    std::fs::write(&file, text).unwrap();
    assert!(tell("chown", &["-R", "postgres", &here]).0);
    let postgresql = format!("{here}/usr/lib/bootwright/postgresql");
    let config = format!("config_file={}", file.display());
    let _server = start(&postgresql, &["run", &data, "-c", &config]);
    answered(port);
    // It listens a while before it takes anybody in.
    let at = port.to_string();
    let ready = || tell("/usr/lib/postgresql/15/bin/pg_isready", &["-q", "-h", &here, "-p", &at]).0;
    assert!((0..600).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        ready()
    }));
    let query = format!("psql -h {here} -p {port} -Atc 'show data_checksums; show hba_file' postgres");
    let (fine, words) = tell("su", &["-s", "/bin/sh", "postgres", "-c", &query]);
    assert!(fine && words.starts_with("on\n") && words.contains("pg_hba.conf"), "{words}");
    // Over the network the system's accounts count for nothing.
    let query = format!("psql -w -h 127.0.0.1 -p {port} -Atc 'select 1' postgres");
    assert!(!tell("su", &["-s", "/bin/sh", "postgres", "-c", &query]).0);
}

#[test]
fn prometheus_answers_on_its_port() {
    let folder = folder();
    let port = free_port();
    let plan = plan(json!({"services": {"monitoring": [{"name": "prometheus", "port": port}]}}));
    lay(&plan, folder.path());
    let drop_in = text(&plan, "etc/systemd/system/prometheus.service.d/10-bootwright.conf");
    let command = drop_in.lines().last().unwrap().strip_prefix("ExecStart=").unwrap();
    let here = folder.path().display().to_string();
    let command = command
        .replace("/etc/bootwright", &format!("{here}/etc/bootwright"))
        .replace("/var/lib/prometheus", &here);
    let mut words = command.split(' ');
    let program = words.next().unwrap();
    let _server = start(program, &words.collect::<Vec<_>>());
    assert!(ask(port, "GET /-/healthy HTTP/1.0\r\n\r\n").contains("200 OK"));
}

/// Backups are made, pruned, and come back; without a passphrase, or with one that others can
/// read, nothing is made.
#[test]
fn backups_are_made_pruned_and_restored() {
    for tool in ["borg", "restic"] {
        let folder = folder();
        let here = folder.path();
        let at = |name: &str| here.join(name).display().to_string();
        std::fs::create_dir_all(here.join("data/cache")).unwrap();
        std::fs::write(here.join("data/letter"), "dear reader").unwrap();
        std::fs::write(here.join("data/cache/big"), "not worth it").unwrap();
        let plan = plan(json!({"backup": {
            "tool": tool, "keyFile": at("key"), "destinations": [at("one"), at("two")],
            "paths": [at("data"), at("absent")], "exclude": [at("data/cache")], "retention": {"keepDaily": 1}
        }}));
        let backup = script(&plan, "backup", here);
        let text = std::fs::read_to_string(&backup).unwrap();
        let text =
            text.replace("here=/etc/bootwright/backup", &format!("here={}", at("etc/bootwright/backup")));
        std::fs::write(&backup, text.replace("HOME=/root", &format!("HOME={}", at("home")))).unwrap();

        let (fine, words) = tell(&backup, &[]);
        assert!(!fine && words.contains("missing or empty"), "{words}");
        std::fs::write(at("key"), "secret words\n").unwrap();
        tell("chmod", &["0644", &at("key")]);
        let (fine, words) = tell(&backup, &[]);
        assert!(!fine && words.contains("others can read"), "{words}");
        assert!(!here.join("one").exists());
        tell("chmod", &["0600", &at("key")]);
        for _ in 0..2 {
            let (fine, words) = tell(&backup, &[]);
            assert!(fine, "{tool}: {words}");
        }
        for repository in ["one", "two"] {
            let listed = listed(tool, &at(repository), &at("key"), here);
            // Of one day one is kept.
            assert_eq!(listed.lines().filter(|l| !l.trim().is_empty()).count(), 1, "{tool}: {listed}");
            let restored = here.join(format!("restored-{repository}"));
            std::fs::create_dir(&restored).unwrap();
            restore(tool, &at(repository), &at("key"), &listed, &restored);
            let found = restored.join(&at("data/letter")[1..]);
            assert_eq!(std::fs::read_to_string(found).unwrap(), "dear reader");
            assert!(!restored.join(&at("data/cache/big")[1..]).exists());
        }
        // One destination that fails is told, and the others are served.
        std::fs::remove_dir_all(here.join("one")).unwrap();
        std::fs::write(here.join("one"), "no folder").unwrap();
        let (fine, words) = tell(&backup, &[]);
        assert!(!fine && words.contains("one failed"), "{words}");
    }
}

fn with_key(tool: &str, args: &[&str], key: &str, dir: &Path) -> String {
    let process = Process::new(tool)
        .args(args)
        .env("PATH", PATH)
        .env("HOME", dir.join("home"))
        .env("BORG_PASSCOMMAND", format!("cat {key}"))
        .env("RESTIC_PASSWORD_FILE", key)
        .dir(dir);
    process.check(&Cancel::default()).unwrap_or_else(|f| panic!("{tool} {args:?}: {f:?}")).text()
}

fn listed(tool: &str, repository: &str, key: &str, dir: &Path) -> String {
    match tool {
        "borg" => with_key(tool, &["list", "--short", repository], key, dir),
        _ => {
            let text = with_key(tool, &["--repo", repository, "snapshots", "--compact", "--json"], key, dir);
            let all: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
            all.iter().map(|one| format!("{}\n", one["short_id"].as_str().unwrap())).collect()
        }
    }
}

fn restore(tool: &str, repository: &str, key: &str, archive: &str, into: &Path) {
    let archive = archive.trim();
    match tool {
        "borg" => {
            let one = format!("{repository}::{archive}");
            let process = Process::new("borg")
                .args(["extract", &one])
                .env("PATH", PATH)
                .env("HOME", into.parent().unwrap().join("home"))
                .env("BORG_PASSCOMMAND", format!("cat {key}"))
                .dir(into);
            process.check(&Cancel::default()).unwrap();
        }
        _ => {
            let target = into.to_str().unwrap();
            with_key(
                tool,
                &["--repo", repository, "restore", archive, "--target", target],
                key,
                into.parent().unwrap(),
            );
        }
    }
}

/// A real btrfs on a loop device; elsewhere nothing is done, with a word.
#[test]
fn snapshots_of_btrfs_are_made_and_the_oldest_go() {
    let folder = folder();
    let plan = plan(json!({"filesystem": {
        "root": "btrfs", "snapshots": {"enabled": true, "interval": "boot", "retention": 2}
    }}));
    let snapshot = script(&plan, "snapshot", folder.path());
    let text = std::fs::read_to_string(&snapshot).unwrap();
    let settings = folder.path().join("etc/bootwright/snapshots.conf");
    std::fs::write(&snapshot, text.replace("/etc/bootwright/snapshots.conf", settings.to_str().unwrap()))
        .unwrap();
    let (disk, mount) = (folder.path().join("disk"), folder.path().join("mount"));
    std::fs::create_dir(&mount).unwrap();
    std::fs::File::create(&disk).unwrap().set_len(256 << 20).unwrap();
    let (disk, mount) = (disk.to_str().unwrap(), mount.to_str().unwrap());
    assert!(tell("mkfs.btrfs", &["-q", disk]).0);
    // In a mount namespace of its own: a test that dies leaves no mount behind.
    let steps = format!(
        "set -e; mount -o loop {disk} {mount}; for n in 1 2 3; do echo $n >{mount}/n; {snapshot} {mount}; sleep 1.1; done; \
         ls {mount}/.snapshots; cat {mount}/.snapshots/*/n; umount {mount}"
    );
    let (fine, words) = tell("unshare", &["--mount", "sh", "-c", &steps]);
    assert!(fine, "{words}");
    let kept: Vec<&str> = words.lines().filter(|l| l.starts_with("bootwright-")).collect();
    assert_eq!(kept.len(), 2, "{words}");
    assert!(words.contains("\n2\n3\n"), "{words}");
    let (fine, words) = tell(&snapshot, &["/proc"]);
    assert!(fine && words.contains("keeps none"), "{words}");
}

/// The file server of `specs/borgos.yaml` shows its own folders and nothing else.
#[test]
fn borgos_shows_its_files_and_no_others() {
    let folder = folder();
    let here = folder.path().display().to_string();
    let port = free_port();
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = source.join("specs/overlays/borgos/opt/borgos/mcp_servers/fs_server.py");
    let text = std::fs::read_to_string(source).unwrap();
    let text = text.replace("/usr/share/borgos/files", &format!("{here}/files"));
    let program = folder.path().join("fs_server.py");
    std::fs::write(&program, text.replace("7300), Handler", &format!("{port}), Handler"))).unwrap();
    std::fs::create_dir(folder.path().join("files")).unwrap();
    std::fs::write(folder.path().join("files/letter"), "dear model").unwrap();
    std::fs::write(folder.path().join("secret"), "not for you").unwrap();
    std::os::unix::fs::symlink("../secret", folder.path().join("files/way-out")).unwrap();
    let _server = start("/usr/bin/python3", &[program.to_str().unwrap()]);
    answered(port);
    let call = |body: &str| -> serde_json::Value {
        let mut stream = answered(port);
        let request = format!("POST /mcp HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1)
            .unwrap_or_else(|e| panic!("{e}: {answer}"))
    };
    let tool = |name: &str, path: &str| {
        let params = json!({"name": name, "arguments": {"path": path}});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params});
        let result = call(&body.to_string())["result"].clone();
        (result["isError"] == false, result["content"][0]["text"].as_str().unwrap_or_default().to_owned())
    };
    let tools = call(r#"{"jsonrpc": "2.0", "id": 7, "method": "tools/list"}"#);
    assert_eq!((&tools["id"], tools["result"]["tools"].as_array().unwrap().len()), (&json!(7), 2));
    assert_eq!(tool("list_directory", &format!("{here}/files")), (true, "letter\nway-out".to_owned()));
    assert_eq!(tool("read_file", &format!("{here}/files/letter")), (true, "dear model".to_owned()));
    for path in ["/etc/passwd", "files/../secret", "../secret", "", "files/way-out", "files"] {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("{here}/{path}") };
        let (fine, words) = tool("read_file", &path);
        assert!(!fine && !words.contains("not for you"), "{path}: {words}");
    }
    assert!(!tool("write_file", &format!("{here}/files/letter")).0);
    for (body, code) in [("no json", -32700), ("[1]", -32700), (r#"{"id": 1, "method": "shutdown"}"#, -32601)]
    {
        assert_eq!(call(body)["error"]["code"], code, "{body}");
    }
}

//! Debian with other init systems than systemd: built from real packages, then started in
//! namespaces of its own by the very programs that start a machine, and looked at by the checker
//! that every image carries. A whole machine starts in `images::inits`.
//!
//! Needs root, network and `unshare`.

use crate::crash::command;
use crate::crash::world::World;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// A server whose settings must be kept by what starts it.
fn server(init: &str, backend: &str) -> String {
    format!(
        "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: {init}}}\nspec:\n  base: debian\n  \
         suite: bookworm\n  init: {init}\n  channel: edge\n  outputs: [rootfs]\n  \
         kernel: {{modules: {{disable: [dccp]}}}}\n  \
         filesystem: {{swap: {{kind: zram, size: 64MiB}}}}\n  \
         packages: {{servers: [nginx], utils: [sudo, rsync]}}\n  \
         services: {{enable: [nginx], disable: [rsync], monitoring: [{{name: node-exporter}}]}}\n  \
         defaults: {{users: [{{name: admin, sudo: true}}]}}\n  \
         securityFeatures:\n    \
         firewall: {{backend: {backend}, policy: deny, rules: [{{action: allow, port: 22}}]}}\n    \
         ssh: {{fail2ban: true}}\n  \
         backup: {{tool: restic, destinations: [/var/backups/restic], paths: [/etc], schedule: daily, \
         keyFile: /etc/backup.key, retention: {{keepDaily: 7}}}}\n"
    )
}

/// A root that was built.
struct Root(PathBuf);

impl Root {
    fn unpacked(world: &World, name: &str) -> Self {
        let artifacts = fs::read_dir(world.cache().join("artifacts")).unwrap().flatten();
        let mut files = artifacts.filter_map(|recipe| fs::read_dir(recipe.path()).ok()).flatten().flatten();
        let archive = files.find(|f| {
            let file = f.file_name().to_string_lossy().into_owned();
            file.starts_with(name) && file.ends_with(".tar.zst")
        });
        let root = world.dir.with_extension(name);
        fs::create_dir(&root).unwrap();
        let unpacked = command("tar")
            .args(["--zstd", "-xpf"])
            .arg(archive.unwrap().path())
            .arg("-C")
            .arg(&root)
            .output();
        assert!(unpacked.unwrap().status.success());
        Self(root)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.0.join(folder)).unwrap_or_else(|e| panic!("{folder}: {e}"));
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn link(&self, path: &str) -> PathBuf {
        fs::read_link(self.0.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.0.join(path)).unwrap().permissions().mode() & 0o7777
    }

    /// What a script says in a system that starts from this root. With its end everything ends.
    fn inside(&self, script: &str) -> String {
        let (status, words) = self.started(script);
        assert!(status.success(), "{script}: {status}\n{words}");
        words
    }

    /// The same, and how process 1, which runs the script, ended.
    fn started(&self, script: &str) -> (ExitStatus, String) {
        const MOUNTS: &str = "set -e; cd \"$1\"; mount --bind . .; cd .; mount -t proc proc proc\n\
             mount -t tmpfs -o mode=755 run run; mount -t tmpfs -o mode=755 dev dev\n\
             for d in null zero random urandom; do touch dev/$d; mount --bind /dev/$d dev/$d; done\n\
             ip link set lo up\nexec chroot . /bin/sh -c \"$2\"";
        let output = command("unshare")
            .args(["--pid", "--fork", "--kill-child", "--mount", "--net", "--uts", "sh", "-c", MOUNTS, "sh"])
            .arg(&self.0)
            .arg(script)
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .output()
            .unwrap();
        let [out, words] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
        (output.status, format!("{out}{words}"))
    }
}

/// What the checker found, by its question.
struct Found(BTreeMap<String, String>, String);

impl Found {
    fn of(root: &Root, words: &str) -> Self {
        let questions = fs::read_to_string(root.0.join("usr/lib/bootwright/checks")).unwrap();
        let answers: BTreeMap<&str, &str> = words.lines().filter_map(|line| line.split_once(' ')).collect();
        let found = questions.lines().filter_map(|line| {
            let (number, question) = line.split_once(' ')?;
            Some((question.to_owned(), (*answers.get(number)?).to_owned()))
        });
        Self(found.collect(), words.to_owned())
    }

    fn says(&self, question: &str, answer: &str) {
        let found = self.0.iter().find(|(asked, _)| asked.contains(question));
        let (_, found) = found.unwrap_or_else(|| panic!("{question}: {:#?}\n{}", self.0, self.1));
        assert!(found.starts_with(answer), "{question}: {found}, not {answer}\n{}", self.1);
    }

    fn shows_the_server(&self) {
        for up in ["nginx", "cron", "fail2ban", "bootwright-node-exporter"] {
            self.says(&format!("service {up}"), "loaded active running success");
        }
        self.says("service rsync", "loaded inactive dead success");
        self.says("user admin", "/bin/bash admin sudo");
        self.says("module dccp", "blocked");
        self.says("line /etc/cron.d/bootwright-backup", "present");
        self.says("fail2ban-client get sshd maxretry", "0 yes 5");
        for rule in RULES {
            self.says(rule, "0 yes");
        }
    }
}

/// Policy and rule, as the checker is asked for them.
const RULES: [&str; 2] = [
    "-P\\0040INPUT\\0040DROP /usr/sbin/iptables ",
    "--dport\\004022\\0040-j\\0040ACCEPT /usr/sbin/iptables ",
];

const LOOK: &str = "cd /; . /usr/lib/bootwright/init\nlook() { sh /usr/lib/bootwright/checker </usr/lib/bootwright/checks; }\n\
    settled() { while [ \"$(system_state)\" = starting ]; do sleep 2; done; system_state; }\n";

#[test]
fn privileged_debian_is_started_by_openrc_by_runit_and_by_s6() {
    let world = World::new("[rootfs]");
    fs::remove_file(world.dir.join("specs/tiny.yaml")).unwrap();
    let settings = fs::read_to_string(world.dir.join("bootwright.yaml")).unwrap();
    let mirrors = world.hosts_mirrors();
    world.write("bootwright.yaml", &format!("{}{mirrors}", settings.split("mirrors:").next().unwrap()));
    for (init, backend, starts) in
        [("openrc", "iptables", openrc as fn(&Root)), ("runit", "ufw", runit), ("s6", "iptables", s6)]
    {
        world.write("specs/server.yaml", &server(init, backend));
        world.commit(init);
        let said = world.stopped("run.verifying", "kill", &["reconcile"]);
        assert!(said.tasks().contains_key("layer identity"), "{}", said.words());
        starts(&Root::unpacked(&world, init));
    }
}

fn openrc(root: &Root) {
    let default = root.names("etc/runlevels/default");
    for on in ["bootwright-node-exporter", "bootwright-probe", "bootwright-zram", "cron", "nginx", "ssh"] {
        assert!(default.iter().any(|name| name == on), "{on}: {default:?}");
        assert_eq!(
            root.link(&format!("etc/runlevels/default/{on}")),
            Path::new(&format!("/etc/init.d/{on}"))
        );
        assert_eq!(root.mode(&format!("etc/init.d/{on}")), 0o755, "{on}");
    }
    let all = ["sysinit", "boot", "default"].map(|runlevel| root.names(&format!("etc/runlevels/{runlevel}")));
    assert!(all[0].iter().any(|name| name == "networking") && all[0].iter().any(|name| name == "procps"));
    assert!(!all.concat().iter().any(|name| name == "rsync"), "{all:?}");
    let shown = root.inside("rc-update show default; /etc/init.d/bootwright-zram describe");
    assert!(shown.contains("nginx | default") && shown.contains("Swap in compressed memory"), "{shown}");

    // Swap would be this host's: it is seen in a machine. So is what comes before: mounts, udev.
    let started = "rm -f /etc/runlevels/default/bootwright-zram; mkdir -p /run/openrc/started\n\
         for s in /etc/runlevels/sysinit/*; do ln -s \"/etc/init.d/${s##*/}\" /run/openrc/started; done\n\
         /etc/init.d/netfilter-persistent start >/dev/null 2>&1; openrc default >/dev/null 2>&1\n";
    let words = root.inside(&format!("{started}{LOOK}system_state; look"));
    assert!(words.starts_with("running\n"), "{words}");
    Found::of(root, &words).shows_the_server();
    // What dies is started again where OpenRC watches over it, and is seen where it does not.
    let broken = "printf '#!/sbin/openrc-run\\nstart() { return 1; }\\n' >/etc/init.d/broken\n\
         chmod +x /etc/init.d/broken; rc-update --quiet add broken default\n";
    let words = root.inside(&format!(
        "{broken}{started}{LOOK}old=$(pidof prometheus-node-exporter); kill $old; kill $(pidof nginx); sleep 8\n\
         iptables --policy INPUT ACCEPT; iptables --flush INPUT\n\
         test \"$(pidof prometheus-node-exporter)\" != \"$old\" && echo again; system_state; failed_units; look"
    ));
    let found = Found::of(root, &words);
    assert!(words.starts_with("again\ndegraded\nbroken\n"), "{words}");
    found.says("service nginx", "loaded failed failed died");
    found.says("service bootwright-node-exporter", "loaded active running");
    for rule in RULES {
        found.says(rule, "0 no -P INPUT ACCEPT");
    }
}

fn runit(root: &Root) {
    assert_eq!(root.link("sbin/init"), Path::new("/lib/runit/runit-init"));
    let services = root.names("etc/runit/runsvdir/default");
    for on in ["bootwright-node-exporter", "bootwright-probe", "bootwright-zram", "cron", "ssh"] {
        assert!(services.iter().any(|name| name == on), "{on}: {services:?}");
        assert_eq!(
            root.link(&format!("etc/runit/runsvdir/default/{on}")),
            Path::new(&format!("/etc/sv/{on}"))
        );
        assert_eq!(root.mode(&format!("etc/sv/{on}/run")), 0o755, "{on}");
    }
    // What has no folder for runit is a script that it starts once, or not at all.
    let scripts = root.names("etc/rc2.d");
    let at = |end: &str| scripts.iter().find(|name| name.ends_with(end)).map(|name| &name[..1]);
    assert_eq!((at("nginx"), at("rsync")), (Some("S"), Some("K")), "{scripts:?}");

    let started = "rm -f /etc/service/bootwright-zram; install -d /run/runit/supervise; : >/run/runit.stopit\n\
         /etc/init.d/ufw start >/dev/null 2>&1\n\
         /lib/runit/run_sysv_scripts /etc/rc2.d >/dev/null 2>&1\n\
         runsvdir -P /etc/service >/dev/null 2>&1 &\nsleep 5\n";
    let words = root.inside(&format!("{started}{LOOK}settled; look"));
    assert!(words.starts_with("running\n"), "{words}");
    Found::of(root, &words).shows_the_server();
    let words = root.inside(&format!(
        "{started}{LOOK}old=$(pidof prometheus-node-exporter); kill $old; kill $(pidof nginx)\n\
         iptables --policy INPUT ACCEPT; iptables --flush ufw-user-input\n\
         mkdir /etc/sv/broken; printf '#!/bin/sh\\nexit 1\\n' >/etc/sv/broken/run; chmod +x /etc/sv/broken/run\n\
         ln -s /etc/sv/broken /etc/service/broken; sleep 8; settled\n\
         test \"$(pidof prometheus-node-exporter)\" != \"$old\" && echo again; failed_units; look"
    ));
    let found = Found::of(root, &words);
    // Until everything has had its time, what does not stay up may still be starting.
    assert!(words.starts_with("degraded\nagain\nbroken\n"), "{words}");
    found.says("service nginx", "loaded inactive dead");
    found.says("service bootwright-node-exporter", "loaded active running");
    for rule in RULES {
        found.says(rule, "0 no");
    }
}

fn s6(root: &Root) {
    // dpkg leaves the place of sysvinit's to us, whatever it unpacks.
    assert_eq!(root.link("sbin/init"), Path::new("/usr/lib/bootwright/s6/init"));
    let diversions = fs::read_to_string(root.0.join("var/lib/dpkg/diversions")).unwrap();
    assert!(diversions.contains("/sbin/init\n/sbin/init.sysvinit\n:\n"), "{diversions}");
    let services = root.names("etc/s6/default");
    for on in ["bootwright-node-exporter", "bootwright-probe", "bootwright-zram", "getty-tty1"] {
        assert!(services.iter().any(|name| name == on), "{on}: {services:?}");
        assert_eq!(root.link(&format!("etc/s6/default/{on}")), Path::new(&format!("../sv/{on}")));
        assert_eq!(root.mode(&format!("etc/s6/sv/{on}/run")), 0o755, "{on}");
    }
    let scripts = root.names("etc/rc2.d");
    let at = |end: &str| scripts.iter().find(|name| name.ends_with(end)).map(|name| &name[..1]);
    assert_eq!((at("nginx"), at("rsync")), (Some("S"), Some("K")), "{scripts:?}");

    // Mounts, udev, the clock and swap would be this host's: they are seen in a machine. All else is
    // as it is there, the namespace's process 1 and its end too.
    let here = "rm -f /etc/s6/default/bootwright-zram\nfor s in /etc/rcS.d/S* /etc/rc[06].d/K*; do\n\
         case $s in *netfilter-persistent | *nginx | *sendsigs | *halt | *reboot) ;; *) rm \"$s\" ;; esac\ndone\n";
    let beside = |script: &str| {
        let words = format!("{here}{{ {LOOK}{script}\nsleep 99; }} & exec /sbin/init >/dev/null 2>&1");
        let (status, words) = root.started(&words);
        (status.signal(), words)
    };
    let (ended, words) = beside("settled; look; poweroff");
    // What a machine would do ends a namespace by a signal (man 2 reboot).
    assert_eq!(ended, Some(2), "{words}");
    assert!(words.starts_with("running\n"), "{words}");
    let found = Found::of(root, &words);
    found.shows_the_server();
    found.says("s6-svscan /bin/cat /proc/1/comm", "0 yes");
    let (ended, words) = beside(
        "while [ ! -e /run/s6/started ]; do sleep 1; done\n\
         old=$(pidof prometheus-node-exporter); kill $old; kill $(pidof nginx)\n\
         iptables --policy INPUT ACCEPT; iptables --flush INPUT\n\
         mkdir /run/s6/service/broken /run/s6/service/silent\n\
         printf '#!/bin/sh\\nexit 1\\n' >/run/s6/service/broken/run\n\
         printf '#!/bin/sh\\nexec sleep 99\\n' >/run/s6/service/silent/run; echo 3 >/run/s6/service/silent/notification-fd\n\
         chmod +x /run/s6/service/*/run; s6-svscanctl -a /run/s6/service; settled\n\
         test \"$(pidof prometheus-node-exporter)\" != \"$old\" && echo again; failed_units; look; kill -INT 1",
    );
    let found = Found::of(root, &words);
    assert_eq!(ended, Some(1), "{words}");
    // One does not stay up, the other never says that it is ready.
    assert!(words.starts_with("degraded\nagain\nbroken\nsilent\n"), "{words}");
    found.says("service nginx", "loaded inactive dead");
    found.says("service bootwright-node-exporter", "loaded active running");
    for rule in RULES {
        found.says(rule, "0 no");
    }
}

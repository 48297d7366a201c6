//! A Debian that s6 starts. Debian has s6's supervisor and nobody who starts a system by it: process
//! 1 is s6-svscan here, its stages are ours, the distribution's scripts of System V run once beside
//! it, and the services of our own are supervised ("How to run s6-svscan as process 1", s6-doc).
//!
//! `/sbin/init` belongs to sysvinit-core, whose shutdown, reboot and poweroff go on to work: they
//! call it with the runlevel that is wanted. It is put aside by a diversion, which dpkg keeps to at
//! every upgrade.

use super::{Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::Init;

/// Where the stages lie.
const FOLDER: &str = "usr/lib/bootwright/s6";

/// Puts what the system is started by into the place of sysvinit's. Where that lies is asked:
/// not every suite has it below `/usr`.
const TAKE_PLACE: &str = "init=$(dpkg-query --listfiles sysvinit-core | grep -x '\\(/usr\\)\\?/sbin/init') && \
    dpkg-divert --local --quiet --rename --divert \"$init.sysvinit\" --add \"$init\" && \
    ln -sfn /usr/lib/bootwright/s6/init \"$init\"";

/// What a terminal is opened on: as in sysvinit's own table (`/usr/share/sysvinit/inittab`).
const TERMINALS: [&str; 6] = ["tty1", "tty2", "tty3", "tty4", "tty5", "tty6"];

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    if system.init() != Init::S6 {
        return;
    }
    let mut script = |path: &str, text: &str| plan.file(&format!("{FOLDER}/{path}"), 0o755, text);
    script("init", include_str!("s6/init.sh"));
    script("boot", include_str!("s6/boot.sh"));
    script("svscan/finish", include_str!("s6/finish.sh"));
    // What s6-svscan does with signals: Ctrl-Alt-Del, a failing power supply, a container's end.
    for (signal, runlevel) in [("SIGINT", 6), ("SIGPWR", 0), ("SIGTERM", 0)] {
        script(&format!("svscan/{signal}"), &format!("#!/bin/sh\nexec /sbin/init {runlevel}\n"));
    }
    plan.link(&format!("{FOLDER}/svscan/crash"), "finish");
    for terminal in TERMINALS {
        let name = format!("getty-{terminal}");
        plan.file(&format!("{SERVICES}/{name}/run"), 0o755, getty(terminal));
        plan.start(&name);
    }
    plan.run(Program::new("putting s6 into the place of sysvinit", "/bin/sh", &["-c", TAKE_PLACE]));
    let argv = ["/bin/cat", "/proc/1/comm"].map(str::to_owned).to_vec();
    plan.check("spec.init", Expect::Output { argv, contains: "s6-svscan".to_owned() });
}

fn getty(terminal: &str) -> String {
    format!(
        "#!/bin/sh\n# A login on {terminal}, if there is one.\n[ -c /dev/{terminal} ] || exec tail -f /dev/null\n\
         exec /sbin/agetty --noclear {terminal} linux\n"
    )
}

/// Where service directories lie; those that are started have a link beside it.
pub(super) const SERVICES: &str = "etc/s6/sv";

/// Switches a service on: one with a folder for s6 by a link, another is a script of System V.
pub(super) const ON: &str = "if [ -d \"/etc/s6/sv/$1\" ]; then mkdir -p /etc/s6/default && \
    ln -sfn \"../sv/$1\" \"/etc/s6/default/$1\"; \
    else update-rc.d \"$1\" defaults && update-rc.d \"$1\" enable; fi";

/// Switches a service off.
pub(super) const OFF: &str = "if [ -d \"/etc/s6/sv/$1\" ]; then rm -f \"/etc/s6/default/$1\"; \
    elif [ -x \"/etc/init.d/$1\" ]; then update-rc.d \"$1\" disable; fi";

/// Puts a service directory (s6-supervise's documentation, "servicedir"): `run`, when it counts as
/// ready if it says so itself, how long its end is waited for, and a logger of its own.
pub(super) fn service(name: &str, run: String, says_ready: bool, plan: &mut Plan) {
    let folder = format!("{SERVICES}/{name}");
    plan.file(&format!("{folder}/run"), 0o755, run);
    if says_ready {
        plan.file(&format!("{folder}/notification-fd"), 0o644, "3\n");
    }
    // Else one that does not end by itself would keep a machine from being switched off.
    plan.file(&format!("{folder}/timeout-kill"), 0o644, "10000\n");
    let log = format!(
        "#!/bin/sh\n# What the service says, into the system's log.\nuntil [ -S /dev/log ]; do\n    sleep 1\ndone\n\
         exec logger --tag {name}\n"
    );
    plan.file(&format!("{folder}/log/run"), 0o755, log);
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use crate::model::spec::{Base, Init};
    use serde_json::json;

    #[test]
    fn a_service_is_supervised_says_when_it_is_ready_and_has_a_log() {
        let fields = json!({"filesystem": {"swap": {"kind": "zram", "size": "64MiB"}},
            "services": {"monitoring": [{"name": "node-exporter"}]}});
        let plan = planned(Base::DEBIAN, Some(Init::S6), &fields, &["prometheus-node-exporter"]);
        let text = |path: &str| plan.text(path).unwrap_or_else(|| panic!("{path}: {:?}", plan.files));
        let once = text("etc/s6/sv/bootwright-zram/run");
        assert!(
            once.ends_with("zram-swap 67108864 || exit\necho >&3\nexec 3>&-\nexec tail -f /dev/null\n"),
            "{once}"
        );
        assert_eq!(text("etc/s6/sv/bootwright-zram/notification-fd"), "3\n");
        assert!(text("etc/s6/sv/bootwright-zram/log/run").ends_with("logger --tag bootwright-zram\n"));
        let always = text("etc/s6/sv/bootwright-node-exporter/run");
        assert!(always.contains("\nexec s6-setuidgid "), "{always}");
        assert!(plan.text("etc/s6/sv/bootwright-node-exporter/notification-fd").is_none());
        assert_eq!(text("usr/lib/bootwright/s6/svscan/SIGTERM"), "#!/bin/sh\nexec /sbin/init 0\n");
        assert!(plan.on.contains("getty-tty1") && plan.on.contains("bootwright-zram"), "{:?}", plan.on);
        assert!(plan.checks.iter().any(|check| check.field == "spec.init"));
        let other = planned(Base::DEBIAN, Some(Init::Runit), &fields, &["prometheus-node-exporter"]);
        assert!(other.files.iter().all(|file| !file.path.contains("s6")), "{:?}", other.files);
    }
}

//! Services of our own: one description, and the files that each init system has for it.
//!
//! What an image does by itself (backups, snapshots, a model that is fetched) must not hang on
//! what one init system can: systemd has timers, for the others cron keeps the time.

use super::{Needs, Plan, System, s6, timing};
use crate::model::check::Expect;
use crate::model::spec::text::Timing;
use crate::model::spec::{Init, OsSpec};

/// Runs a command again and again until it succeeds.
const UNTIL_DONE: &str = "/usr/lib/bootwright/until-done";

/// How a script tells s6 that it is ready (`notification-fd` of its folder).
const READY: &str = "echo >&3\nexec 3>&-\n";

/// A service that this room brings itself.
///
/// Names, commands and paths are ours, or were read as names of that kind: words without
/// blanks, quotes, `$`, `%` and backslashes. Values of the environment may be any text of one line.
pub(super) struct OwnService<'a> {
    /// Its name: `bootwright-backup`.
    pub name: &'a str,
    /// What it does, for people.
    pub what: &'a str,
    /// A program by its absolute path, and its arguments.
    pub command: String,
    /// The account that it runs as; root if `None`.
    pub user: Option<&'a str>,
    /// Variables of its environment.
    pub environment: Vec<(&'a str, String)>,
    /// Nothing is started where this file is missing.
    pub only_if: Option<&'a str>,
    /// When it runs.
    pub run: Run<'a>,
}

/// When a service of our own runs.
#[derive(Clone, Copy)]
pub(super) enum Run<'a> {
    /// From boot to shutdown; again if it ends.
    Always,
    /// Once at each boot.
    Boot,
    /// From boot on, every few minutes until it succeeds.
    UntilDone,
    /// At certain times.
    At(&'a Timing),
}

/// What keeps the time on a system without systemd.
pub(super) fn schedule_needs(spec: &OsSpec, field: &str, needs: &mut Needs) {
    if spec.init_system() != Init::Systemd {
        needs.package(field, "utils", "cron");
    }
}

/// Quotes a word for a shell.
pub(super) fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Quotes a word for a unit of systemd (man systemd.syntax, systemd.unit).
fn unit_word(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\"").replace('%', "%%"))
}

impl OwnService<'_> {
    /// Puts its files into a plan, has it started, and has a booted system show it.
    pub(super) fn add(&self, field: &str, system: &System<'_>, plan: &mut Plan) {
        match (system.init(), self.run) {
            (Init::Systemd, _) => self.systemd(field, plan),
            (_, Run::At(when)) => self.cron(field, when, system, plan),
            (init, run) => {
                if matches!(run, Run::UntilDone) {
                    plan.file(&UNTIL_DONE[1..], 0o755, include_str!("scripts/until-done.sh"));
                }
                match init {
                    Init::Openrc => plan.file(&format!("etc/init.d/{}", self.name), 0o755, self.openrc()),
                    Init::S6 => {
                        s6::service(self.name, self.run_script("s6-setuidgid", READY), self.ends(), plan)
                    }
                    _ => plan.file(&format!("etc/sv/{}/run", self.name), 0o755, self.runit()),
                }
                plan.start(self.name);
                self.running(field, self.name, plan);
            }
        }
    }

    fn running(&self, field: &str, name: &str, plan: &mut Plan) {
        // Where the file is missing nothing runs, and that is right.
        if matches!(self.run, Run::Always) && self.only_if.is_none() {
            plan.check(field, Expect::Service { name: name.to_owned(), running: true });
        }
    }

    fn systemd(&self, field: &str, plan: &mut Plan) {
        let unit = format!("{}.service", self.name);
        plan.file(&format!("etc/systemd/system/{unit}"), 0o644, self.unit());
        if let Run::At(when) = self.run {
            let timer = format!("{}.timer", self.name);
            plan.file(&format!("etc/systemd/system/{timer}"), 0o644, self.timer(when));
            plan.check(field, Expect::Timer { unit: timer.clone() });
            plan.start(&timer);
        } else {
            plan.start(&unit);
            self.running(field, &unit, plan);
        }
    }

    fn unit(&self) -> String {
        let mut text = format!("[Unit]\nDescription={}\n", self.what.replace('%', "%%"));
        if matches!(self.run, Run::UntilDone | Run::At(_)) {
            text.push_str("Wants=network-online.target\nAfter=network-online.target\n");
        }
        if matches!(self.run, Run::UntilDone) {
            text.push_str("StartLimitIntervalSec=0\n");
        }
        if let Some(path) = self.only_if {
            text.push_str(&format!("ConditionPathExists={path}\n"));
        }
        text.push_str("\n[Service]\n");
        text.push_str(match self.run {
            Run::Always => "Type=exec\nRestart=on-failure\nRestartSec=5\n",
            // Not oneshot: the system counts as started before this is done.
            Run::UntilDone => "Type=exec\nRestart=on-failure\nRestartSec=5min\n",
            Run::Boot => "Type=oneshot\nRemainAfterExit=yes\n",
            Run::At(_) => "Type=oneshot\nNice=10\nIOSchedulingClass=idle\n",
        });
        if let Some(user) = self.user {
            text.push_str(&format!("User={user}\n"));
        }
        for (name, value) in &self.environment {
            text.push_str(&format!("Environment={}\n", unit_word(&format!("{name}={value}"))));
        }
        text.push_str(&format!("ExecStart={}\n", self.command));
        if !matches!(self.run, Run::At(_)) {
            text.push_str("\n[Install]\nWantedBy=multi-user.target\n");
        }
        text
    }

    fn timer(&self, when: &Timing) -> String {
        let mut text = format!("[Unit]\nDescription=When: {}\n\n[Timer]\n", self.what.replace('%', "%%"));
        for calendar in timing::on_calendar(when) {
            text.push_str(&format!("OnCalendar={calendar}\n"));
        }
        if timing::is_word(when) {
            // A fleet of machines does not start all its backups in the same second.
            text.push_str("RandomizedDelaySec=15min\n");
        }
        text.push_str("Persistent=true\n\n[Install]\nWantedBy=timers.target\n");
        text
    }

    /// A file of `/etc/cron.d`: Debian's cron and cronie read it alike (man 5 crontab).
    fn cron(&self, field: &str, when: &Timing, system: &System<'_>, plan: &mut Plan) {
        let user = self.user.unwrap_or("root");
        let line = format!("{} {user} {}", timing::cron(when), self.command);
        let mut text = format!("# {}\nSHELL=/bin/sh\n", self.what);
        text.push_str("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
        for (name, value) in &self.environment {
            text.push_str(&format!("{name}=\"{value}\"\n"));
        }
        text.push_str(&format!("{line}\n"));
        let path = format!("etc/cron.d/{}", self.name);
        plan.file(&path, 0o644, text);
        plan.check(field, Expect::Line { path: format!("/{path}"), line });
        if let Some(cron) = system.service("cron") {
            plan.check(field, Expect::Service { name: cron.clone(), running: true });
            plan.start(&cron);
        }
    }

    /// A script for openrc-run (man openrc-run). It cannot *need* `localmount`: Debian's scripts
    /// that mount are called otherwise, and have run by then.
    fn openrc(&self) -> String {
        let (program, args) = self.command.split_once(' ').unwrap_or((&self.command, ""));
        let mut text = format!("#!/sbin/openrc-run\n\ndescription={}\n", shell_word(self.what));
        let (program, args) = match self.run {
            Run::UntilDone => (UNTIL_DONE, self.command.as_str()),
            _ => (program, args),
        };
        for (name, value) in &self.environment {
            text.push_str(&format!("export {name}={}\n", shell_word(value)));
        }
        let mut start_pre = String::new();
        if let Some(path) = self.only_if {
            start_pre = format!(
                "\nstart_pre() {{\n\t[ -e {path} ] || {{ ewarn \"{path} is missing\"; return 1; }}\n}}\n"
            );
        }
        if matches!(self.run, Run::Boot) {
            text.push_str("\ndepend() {\n\tuse localmount\n\tafter bootmisc\n}\n");
            text.push_str(&start_pre);
            text.push_str(&format!("\nstart() {{\n\tebegin {}\n\t", shell_word(self.what)));
            text.push_str(&format!("{}\n\teend $?\n}}\n", self.command));
            return text;
        }
        text.push_str(&format!("command={program}\ncommand_args={}\n", shell_word(args)));
        if let Some(user) = self.user {
            text.push_str(&format!("command_user={user}\n"));
        }
        text.push_str(match self.run {
            Run::Always => "supervisor=supervise-daemon\nrespawn_delay=5\nrespawn_max=0\n",
            _ => "command_background=true\npidfile=\"/run/${RC_SVCNAME}.pid\"\n",
        });
        text.push_str("\ndepend() {\n\tuse localmount net\n\tafter bootmisc\n}\n");
        text + &start_pre
    }

    /// Whether it does something that has an end.
    fn ends(&self) -> bool {
        !matches!(self.run, Run::Always)
    }

    /// What a supervisor of runit or s6 starts again when it ends; `ready` tells it that what has
    /// an end is done.
    fn run_script(&self, as_user: &str, ready: &str) -> String {
        let ready = if self.ends() { ready } else { "" };
        let mut text = format!("#!/bin/sh\n# {}\nexec 2>&1\n", self.what);
        for (name, value) in &self.environment {
            text.push_str(&format!("export {name}={}\n", shell_word(value)));
        }
        if let Some(path) = self.only_if {
            text.push_str(&format!("if [ ! -e {path} ]; then\n{ready}exec tail -f /dev/null\nfi\n"));
        }
        let user = self.user.map(|user| format!("{as_user} {user} ")).unwrap_or_default();
        match self.run {
            Run::Always => text.push_str(&format!("exec {user}{}\n", self.command)),
            // Done is done: what ends would be started again.
            Run::UntilDone => {
                text.push_str(&format!(
                    "{user}{UNTIL_DONE} {}\n{ready}exec tail -f /dev/null\n",
                    self.command
                ));
            }
            // What fails is tried again, and is seen not to stay up.
            Run::Boot | Run::At(_) => {
                text.push_str(&format!("{user}{} || exit\n{ready}exec tail -f /dev/null\n", self.command));
            }
        }
        text
    }

    fn runit(&self) -> String {
        self.run_script("chpst -u", "")
    }
}

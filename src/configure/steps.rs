//! What carries a plan out, step by step: one order, for a root and for a Containerfile.

use super::plan::{Account, File, Plan, Program};
use super::s6;
use crate::model::name::UserName;
use crate::model::spec::Init;

/// Steps that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase<'a> {
    /// What they do, for people.
    pub title: &'static str,
    /// In this order.
    pub steps: Vec<Step<'a>>,
}

/// One step in the root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// Files and links are written; they are root's.
    Write(Vec<&'a File>),
    /// A program of the root is run.
    Run(Program),
    /// An account gets the hash of its password, which no command line may hold.
    Password {
        /// Whose.
        of: &'a UserName,
        /// The hash.
        hash: &'a str,
    },
}

impl Plan {
    /// All of it but [`Plan::later_steps`]; phases without steps are left out.
    pub fn phases(&self, init: Init) -> Vec<Phase<'_>> {
        let (of_root, of_users): (Vec<&File>, Vec<&File>) =
            self.files.iter().partition(|file| file.owner.is_none());
        let on = self.on.iter().map(|service| Step::Run(enable(init, service)));
        // After those that are switched on: some bring others along (`Also=`).
        let off = self.off.iter().map(|service| Step::Run(disable(init, service)));
        let run = |programs: &[Program]| programs.iter().cloned().map(Step::Run).collect();
        let phases = [
            ("files", written(of_root)),
            ("accounts", self.accounts.iter().flat_map(account).collect()),
            ("files of users", files_of_users(of_users)),
            ("programs", run(&self.programs)),
            ("services", on.chain(off).collect()),
            ("tests of what was written", run(&self.tests)),
        ];
        let phases = phases.into_iter().map(|(title, steps)| Phase { title, steps });
        phases.filter(|phase| !phase.steps.is_empty()).collect()
    }

    /// What comes last of all, when overlay and scripts have brought what it needs: each
    /// service, and what switches it on.
    pub fn later_steps(&self, init: Init) -> Vec<(&str, Program)> {
        self.later.iter().map(|service| (service.as_str(), enable(init, service))).collect()
    }
}

fn written(files: Vec<&File>) -> Vec<Step<'_>> {
    if files.is_empty() { Vec::new() } else { vec![Step::Write(files)] }
}

fn account(account: &Account) -> Vec<Step<'_>> {
    let name = account.name.as_str();
    let groups = account.groups.join(",");
    let mut args = vec!["--create-home", "--user-group", "--shell", &account.shell];
    if !groups.is_empty() {
        args.extend(["--groups", &groups]);
    }
    args.push(name);
    let made = Program::new(&format!("making the account {name}"), "/usr/sbin/useradd", &args);
    let password = account.password_hash.as_deref();
    let password = password.map(|hash| Step::Password { of: &account.name, hash });
    std::iter::once(Step::Run(made)).chain(password).collect()
}

/// Files in users' homes, with the folders on the way, given to their owners.
fn files_of_users(files: Vec<&File>) -> Vec<Step<'_>> {
    let given = files.iter().flat_map(|file| given(file)).collect::<Vec<_>>();
    written(files).into_iter().chain(given).collect()
}

fn given(file: &File) -> Vec<Step<'static>> {
    let Some(owner) = &file.owner else { return Vec::new() };
    let owned = format!("{owner}:{owner}");
    let mut steps = Vec::new();
    let mut paths = folders_in_home(&file.path);
    // Keys are nobody else's business (man sshd, "~/.ssh/").
    if let Some(folder) = paths.iter().find(|p| p.ends_with("/.ssh")) {
        steps.push(Step::Run(Program::new("closing a key folder", "/bin/chmod", &["0700", folder])));
    }
    paths.push(format!("/{}", file.path));
    let mut args = vec!["-h", owned.as_str()];
    args.extend(paths.iter().map(String::as_str));
    steps.push(Step::Run(Program::new("giving files to their owner", "/bin/chown", &args)));
    steps
}

/// The folders between a home (`home/NAME`, which is its owner's already) and a file.
fn folders_in_home(path: &str) -> Vec<String> {
    let parts: Vec<&str> = path.split('/').collect();
    (3..parts.len()).map(|n| format!("/{}", parts[..n].join("/"))).collect()
}

/// Switches a service on, by the init system's own means.
fn enable(init: Init, service: &str) -> Program {
    let what = format!("switching {service} on");
    match init {
        Init::Systemd => Program::new(&what, "/bin/systemctl", &["enable", "--", service]),
        Init::Openrc => Program::new(&what, "/sbin/rc-update", &["add", service, "default"]),
        Init::Runit => Program::new(&what, "/bin/sh", &["-c", RUNIT_ON, "sh", service]),
        Init::S6 => Program::new(&what, "/bin/sh", &["-c", s6::ON, "sh", service]),
    }
}

fn disable(init: Init, service: &str) -> Program {
    let what = format!("switching {service} off");
    match init {
        Init::Systemd => Program::new(&what, "/bin/systemctl", &["disable", "--", service]),
        // Not `rc-update --all del`: it fails unless the service is in every runlevel.
        Init::Openrc => {
            let links = ["sysinit", "boot", "default", "nonetwork"]
                .map(|runlevel| format!("/etc/runlevels/{runlevel}/{service}"));
            let args: Vec<&str> = std::iter::once("-f").chain(links.iter().map(String::as_str)).collect();
            Program::new(&what, "/bin/rm", &args)
        }
        Init::Runit => Program::new(&what, "/bin/sh", &["-c", RUNIT_OFF, "sh", service]),
        Init::S6 => Program::new(&what, "/bin/sh", &["-c", s6::OFF, "sh", service]),
    }
}

/// Void supervises every service. Debian's packages bring a folder for runit or a script of
/// System V, which runit starts once; a link with a dot keeps its triggers from switching a
/// service on again (`/lib/runit/trigger_sv`).
const RUNIT_ON: &str = "cd /etc/runit/runsvdir/default && rm -f \".$1\" && \
    if [ -d \"/etc/sv/$1\" ]; then ln -sfn \"/etc/sv/$1\" \"$1\"; \
    else update-rc.d \"$1\" defaults && update-rc.d \"$1\" enable; fi";
const RUNIT_OFF: &str = "cd /etc/runit/runsvdir/default && rm -f \"$1\" && \
    if [ -d \"/etc/sv/$1\" ]; then [ ! -e /lib/runit/trigger_sv ] || ln -sfn \"/etc/sv/$1\" \".$1\"; \
    elif [ -x \"/etc/init.d/$1\" ]; then update-rc.d \"$1\" disable; fi";

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use super::*;
    use crate::model::spec::Base;
    use serde_json::json;

    #[test]
    fn only_folders_below_a_home_change_hands() {
        assert_eq!(folders_in_home("home/a/.ssh/authorized_keys"), ["/home/a/.ssh"]);
        assert_eq!(
            folders_in_home("home/a/.config/sway/config"),
            ["/home/a/.config", "/home/a/.config/sway"]
        );
        assert!(folders_in_home("home/a/.zshrc").is_empty());
    }

    #[test]
    fn accounts_come_before_their_files_and_services_before_tests() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlGqbKEIiDnWlCcaYJcRYjDrCHYIVI6cU8kPr2sFfVc a@b";
        let fields = json!({
            "defaults": {"users": [{"name": "ada", "sshKeys": [key], "passwordHash": "$6$salt$hash"}]},
            "securityFeatures": {"ssh": {}}, "services": {"disable": ["cron"]},
            "postInstall": {"services": ["mine"]}
        });
        let plan = planned(Base::DEBIAN, None, &fields, &["openssh-server"]);
        let phases = plan.phases(Init::Systemd);
        let titles: Vec<&str> = phases.iter().map(|phase| phase.title).collect();
        assert_eq!(
            titles,
            ["files", "accounts", "files of users", "programs", "services", "tests of what was written"]
        );
        let all: Vec<&Step<'_>> = phases.iter().flat_map(|phase| &phase.steps).collect();
        let arguments = |step: &&Step<'_>| match step {
            Step::Run(program) => program.args.join(" "),
            _ => String::new(),
        };
        let place = |words: &str| all.iter().position(|step| arguments(step).contains(words)).unwrap();
        assert!(place("/bin/bash ada") < place("0700 /home/ada/.ssh"));
        assert!(
            place("0700 /home/ada/.ssh") < place("ada:ada /home/ada/.ssh /home/ada/.ssh/authorized_keys")
        );
        assert!(place("enable -- ssh.service") < place("disable -- cron.service"));
        let said: Vec<String> = all.iter().map(arguments).collect();
        assert!(!said.concat().contains("$6$"), "a password on a command line: {said:?}");
        assert_eq!(plan.later_steps(Init::Systemd)[0].0, "mine.service");
        assert_eq!(plan.later_steps(Init::Runit)[0].1.args[2..], ["sh", "mine.service"]);
        assert_eq!(disable(Init::Openrc, "cron").args[3], "/etc/runlevels/default/cron");
    }
}

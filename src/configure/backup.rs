//! Backups that the running system makes, with borg or restic.
//!
//! The passphrase is never in an image: the machine's owner brings the file that holds it.

use super::own::{OwnService, Run, schedule_needs, shell_word};
use super::{Needs, Plan, Program, System};
use crate::model::check::Expect;
use crate::model::spec::text::{Destination, DestinationKind, SystemPath, Timing};
use crate::model::spec::{Backup, BackupTool, OsSpec, Retention};

/// The settings of the program that makes backups.
const FOLDER: &str = "etc/bootwright/backup";

/// What is saved if the spec does not say.
const SAVED: [&str; 5] = ["/etc", "/home", "/root", "/srv", "/var/lib"];

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let Some(backup) = &spec.backup else { return };
    needs.package("spec.backup.tool", "utils", backup.tool.as_str());
    let kinds: Vec<_> = backup.destinations.iter().map(Destination::kind).collect();
    if kinds.iter().any(|kind| matches!(kind, DestinationKind::Sftp { .. })) {
        needs.package("spec.backup.destinations", "networking", "openssh-client");
    }
    if kinds.iter().any(|kind| matches!(kind, DestinationKind::S3 { .. } | DestinationKind::Rest(_))) {
        needs.package("spec.backup.destinations", "base", "ca-certificates");
    }
    schedule_needs(spec, "spec.backup.schedule", needs);
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some(backup) = &system.configuration.backup else { return };
    let lines = |lines: Vec<String>| -> String { lines.iter().map(|line| format!("{line}\n")).collect() };
    let mut settings = format!("TOOL={}\n", backup.tool.as_str());
    let key = backup.key_file.as_ref().map(SystemPath::as_str).unwrap_or_default();
    settings.push_str(&format!("KEY_FILE={}\n", shell_word(key)));
    settings.push_str(&format!("KEEP={}\n", shell_word(&keep(backup.retention.as_ref()))));
    plan.file("usr/lib/bootwright/backup", 0o755, include_str!("scripts/backup.sh"));
    plan.file(&format!("{FOLDER}/backup.conf"), 0o644, settings);
    let destinations: Vec<String> = backup.destinations.iter().map(|d| repository(backup.tool, d)).collect();
    plan.file(&format!("{FOLDER}/destinations"), 0o644, lines(destinations.clone()));
    plan.file(&format!("{FOLDER}/paths"), 0o644, lines(paths(backup)));
    plan.file(&format!("{FOLDER}/exclude"), 0o644, lines(excluded(backup)));
    for (index, line) in destinations.into_iter().enumerate() {
        let path = format!("/{FOLDER}/destinations");
        plan.check(&format!("spec.backup.destinations[{index}]"), Expect::Line { path, line });
    }
    let (program, args) = version_of(backup.tool);
    plan.test(Program::new("asking for the backup program", program, args));
    plan.check(
        "spec.backup.tool",
        Expect::Output {
            argv: std::iter::once(program).chain(args.iter().copied()).map(str::to_owned).collect(),
            contains: backup.tool.as_str().to_owned(),
        },
    );
    let daily = Timing::try_from("daily".to_owned()).ok();
    let Some(when) = backup.schedule.as_ref().or(daily.as_ref()) else { return };
    let service = OwnService {
        name: "bootwright-backup",
        what: "Backup of this machine",
        command: "/usr/lib/bootwright/backup".to_owned(),
        user: None,
        environment: Vec::new(),
        only_if: None,
        run: Run::At(when),
    };
    service.add("spec.backup.schedule", system, plan);
}

fn version_of(tool: BackupTool) -> (&'static str, &'static [&'static str]) {
    match tool {
        BackupTool::Borg => ("/usr/bin/borg", &["--version"]),
        BackupTool::Restic => ("/usr/bin/restic", &["version"]),
    }
}

/// Options that both programs call alike (man borg-prune, man restic-forget).
fn keep(retention: Option<&Retention>) -> String {
    let Some(retention) = retention else { return String::new() };
    let options = [
        ("hourly", retention.keep_hourly),
        ("daily", retention.keep_daily),
        ("weekly", retention.keep_weekly),
        ("monthly", retention.keep_monthly),
        ("yearly", retention.keep_yearly),
    ];
    let set = options.iter().filter_map(|(name, count)| Some(format!("--keep-{name} {}", (*count)?)));
    set.collect::<Vec<_>>().join(" ")
}

fn paths(backup: &Backup) -> Vec<String> {
    if backup.paths.is_empty() {
        return SAVED.map(str::to_owned).to_vec();
    }
    backup.paths.iter().map(ToString::to_string).collect()
}

/// What is left out; borg is told that these are the beginnings of paths (`borg help patterns`).
fn excluded(backup: &Backup) -> Vec<String> {
    let prefix = if backup.tool == BackupTool::Borg { "pp:" } else { "" };
    backup.exclude.iter().map(|path| format!("{prefix}{path}")).collect()
}

/// A destination as the program writes it.
fn repository(tool: BackupTool, destination: &Destination) -> String {
    match (destination.kind(), tool) {
        (DestinationKind::Folder(path), _) => path.to_owned(),
        (DestinationKind::Sftp { user, host, port, path }, BackupTool::Borg) => {
            format!("ssh://{user}@{host}:{port}{path}")
        }
        // The second slash is the root of the other host's file system.
        (DestinationKind::Sftp { user, host, port, path }, BackupTool::Restic) => {
            format!("sftp://{user}@{host}:{port}/{path}")
        }
        (DestinationKind::S3 { bucket, path }, _) => {
            format!("s3:s3.amazonaws.com/{bucket}/{path}").trim_end_matches('/').to_owned()
        }
        (DestinationKind::Rest(url), _) => format!("rest:{url}"),
    }
}

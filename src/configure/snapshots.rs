//! Earlier states of the root filesystem, kept to go back to.

use super::own::{OwnService, Run, schedule_needs};
use super::{Needs, Plan, System};
use crate::model::check::Expect;
use crate::model::spec::text::Timing;
use crate::model::spec::{Filesystem, OsSpec, RootFilesystem, SnapshotInterval, Snapshots};

/// So many are kept if the spec does not say.
const KEPT: u32 = 7;

fn asked(filesystem: Option<&Filesystem>) -> Option<(&Filesystem, &Snapshots)> {
    let filesystem = filesystem?;
    Some((filesystem, filesystem.snapshots.as_ref().filter(|snapshots| snapshots.enabled)?))
}

pub(super) fn needs(spec: &OsSpec, needs: &mut Needs) {
    let Some((filesystem, snapshots)) = asked(spec.filesystem.as_ref()) else { return };
    let tools = match filesystem.root {
        RootFilesystem::Btrfs => "btrfs-progs",
        RootFilesystem::Zfs => "zfs",
        RootFilesystem::Ext4 | RootFilesystem::Xfs => "lvm",
    };
    needs.package("spec.filesystem.snapshots", "utils", tools);
    if timing(snapshots).is_some() {
        schedule_needs(spec, "spec.filesystem.snapshots.interval", needs);
    }
}

/// When snapshots are made; `None` if that is at every start.
fn timing(snapshots: &Snapshots) -> Option<Timing> {
    let word = match snapshots.interval.unwrap_or(SnapshotInterval::Daily) {
        SnapshotInterval::Hourly => "hourly",
        SnapshotInterval::Daily => "daily",
        SnapshotInterval::Weekly => "weekly",
        SnapshotInterval::Monthly => "monthly",
        SnapshotInterval::Boot => return None,
    };
    Timing::try_from(word.to_owned()).ok()
}

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let Some((_, snapshots)) = asked(system.configuration.filesystem.as_ref()) else { return };
    let keep = format!("KEEP={}", snapshots.retention.unwrap_or(KEPT));
    plan.file("usr/lib/bootwright/snapshot", 0o755, include_str!("scripts/snapshot.sh"));
    plan.file("etc/bootwright/snapshots.conf", 0o644, format!("{keep}\n"));
    plan.check(
        "spec.filesystem.snapshots.retention",
        Expect::Line { path: "/etc/bootwright/snapshots.conf".to_owned(), line: keep },
    );
    let when = timing(snapshots);
    let service = OwnService {
        name: "bootwright-snapshot",
        what: "Snapshot of the root filesystem",
        command: "/usr/lib/bootwright/snapshot".to_owned(),
        user: None,
        environment: Vec::new(),
        only_if: None,
        run: when.as_ref().map_or(Run::Boot, Run::At),
    };
    service.add("spec.filesystem.snapshots.interval", system, plan);
}

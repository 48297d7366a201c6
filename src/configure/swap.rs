//! Swap in compressed memory: what needs no disk, so that every kind of image can have it.

use super::own::{OwnService, Run};
use super::{Plan, System};
use crate::model::check::Expect;
use crate::model::spec::SwapKind;

const FIELD: &str = "spec.filesystem.swap";
const PROGRAM: &str = "/usr/lib/bootwright/zram-swap";

pub(super) fn plan(system: &System<'_>, plan: &mut Plan) {
    let swap = system.configuration.filesystem.as_ref().and_then(|filesystem| filesystem.swap.as_ref());
    let Some(swap) = swap.filter(|swap| swap.kind == SwapKind::Zram) else { return };
    // The kernel takes whole pages.
    let bytes = swap.size.bytes().next_multiple_of(4096);
    plan.file(&PROGRAM[1..], 0o755, include_str!("scripts/zram-swap.sh"));
    let service = OwnService {
        name: "bootwright-zram",
        what: "Swap in compressed memory",
        command: format!("{PROGRAM} {bytes}"),
        user: None,
        environment: Vec::new(),
        only_if: None,
        run: Run::Boot,
    };
    service.add(FIELD, system, plan);
    let line = |path: &str, line: String| Expect::Line { path: path.to_owned(), line };
    plan.check(&format!("{FIELD}.size"), line("/sys/block/zram0/disksize", bytes.to_string()));
    let argv = vec!["/bin/cat".to_owned(), "/proc/swaps".to_owned()];
    plan.check(&format!("{FIELD}.kind"), Expect::Output { argv, contains: "/dev/zram0".to_owned() });
}

#[cfg(test)]
mod tests {
    use super::super::testing::planned;
    use crate::model::spec::{Base, Init};
    use serde_json::json;

    #[test]
    fn compressed_memory_is_set_up_at_every_start_whatever_starts_the_system() {
        let zram = json!({"filesystem": {"swap": {"kind": "zram", "size": "512MiB"}}});
        for (base, init, path) in [
            (Base::DEBIAN, Init::Systemd, "etc/systemd/system/bootwright-zram.service"),
            (Base::DEBIAN, Init::Openrc, "etc/init.d/bootwright-zram"),
            (Base::DEBIAN, Init::Runit, "etc/sv/bootwright-zram/run"),
            (Base::GENTOO, Init::Openrc, "etc/init.d/bootwright-zram"),
        ] {
            let plan = planned(base, Some(init), &zram, &[]);
            let text = plan.text(path).unwrap_or_else(|| panic!("{path}: {:?}", plan.files));
            assert!(text.contains("/usr/lib/bootwright/zram-swap 536870912"), "{text}");
            assert!(plan.on.iter().any(|service| service.starts_with("bootwright-zram")), "{:?}", plan.on);
            assert_eq!(plan.checks.iter().filter(|c| c.field.starts_with(super::FIELD)).count(), 2);
        }
        let partition = json!({"filesystem": {"swap": {"kind": "partition", "size": "512MiB"}}});
        let plan = planned(Base::DEBIAN, None, &partition, &[]);
        assert!(!plan.files.iter().any(|file| file.path.contains("zram")), "{:?}", plan.files);
    }
}

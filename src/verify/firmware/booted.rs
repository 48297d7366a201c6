//! Starts an image of a firmware in a virtual machine and asks it for its release, its board, its packages
//! and its first boot.

use super::console::Console;
use super::{APK, OPKG, Promised, diff, off, shorten, stanzas};
use crate::effects::Cancel;
use crate::effects::files::WorkFolder;
use crate::model::event::Emitter;
use crate::model::evidence::Check;
use crate::model::firmware::ImageFile;
use crate::model::spec::BootMode;
use crate::model::{Failure, Result};
use crate::verify::machine::{Config, Medium};
use crate::verify::{Judgement, Options, Tools, boot, disk, host, nonce};
use serde::Deserialize;
use std::path::Path;

/// Memory of a machine in MiB: more than most devices have, and enough for x86.
const MEMORY_MIB: u32 = 256;

/// What is asked, in the order of the answers.
const QUESTIONS: [&str; 6] = [
    "cat /etc/openwrt_release",
    "ubus call system board",
    // What the package manager knows: `stanzas` reads it without the other lines too.
    "if [ -e /lib/apk/db/installed ]; then grep -E '^(P:|V:|$)' /lib/apk/db/installed; \
     else grep -E '^(Package: |Version: |$)' /usr/lib/opkg/status; fi",
    "ls -A /etc/uci-defaults",
    "ls /etc/rc.d",
    "logread 2>/dev/null | grep -o 'Instance .* in a crash loop' | sort -u; mount | grep ' on / '",
];

/// Starts an image from a copy.
///
/// # Errors
/// Class *host* if this host cannot start anything; *cancelled* on request. What the image did is in the
/// check.
pub(super) fn started(
    (image, path): (&ImageFile, &Path),
    mode: BootMode,
    promised: &Promised<'_>,
    options: &Options,
    (events, cancel): (&Emitter, &Cancel),
) -> Result<(Check, Vec<String>)> {
    let architecture = promised.facts.platform.machine();
    let architecture =
        architecture.ok_or_else(|| Failure::bug("a firmware is booted that no machine has"))?;
    let tools = Tools::of(architecture);
    let host = host::look(&tools, cancel)?;
    host::machines(1, MEMORY_MIB)?;
    let accelerator = options.acceleration.without_kernel();
    let processors = accelerator.processors(host::cores(), 1);
    let mut environment = host.words();
    environment.push(format!("accelerator: {}", accelerator.as_str()));
    environment.extend(host::firmware_words(&tools, &[mode]));
    let folder = WorkFolder::new(&options.scratch, "firmware")?;
    let copy = folder.path().join("disk.img");
    disk::unpack(path, &copy, cancel)?;
    let filesystem = image.filesystem.as_deref().unwrap_or("disk");
    let console = Console::new(&QUESTIONS, nonce()?, |answers| judge(answers, image, promised));
    let boot = boot::Boot {
        config: Config {
            tools: &tools,
            medium: Medium::Virtio(&copy),
            mode,
            memory_mib: MEMORY_MIB,
            accelerator,
            processors,
            sandbox: host.sandbox,
        },
        name: &format!("{filesystem}-{}", image.kind),
        shows_start: false,
        scratch: &options.scratch,
        evidence: &options.evidence,
    };
    Ok((boot.run(Box::new(console), events, cancel)?, environment))
}

/// `ubus call system board`, as far as it is looked at.
#[derive(Deserialize)]
struct Board {
    #[serde(default)]
    kernel: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    board_name: String,
    #[serde(default)]
    rootfs_type: String,
}

/// Holds the answers against what was promised.
fn judge(answers: &[String], image: &ImageFile, promised: &Promised<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    let [release, board, packages, defaults, services, health] = answers else {
        judgement.reasons.push("it did not answer all questions".to_owned());
        return judgement;
    };
    judge_release(release, promised, &mut judgement);
    judge_board(board, image, promised, &mut judgement);
    judge_packages(packages, promised, &mut judgement);
    for script in defaults.split_whitespace() {
        // Those that end well are removed by the system.
        judgement.reasons.push(format!("the first-boot script {script} ended with an error, or did not run"));
    }
    judgement.findings.push("first boot: done".to_owned());
    let disabled = promised.order.recipe.disabled_services.iter().map(|service| service.as_str());
    let started: Vec<String> = services.split_whitespace().map(str::to_owned).collect();
    let services = off(&started, disabled);
    judgement.findings.extend(services.findings);
    judgement.reasons.extend(services.reasons);
    judgement.findings.extend(health.lines().map(|line| line.trim().to_owned()).filter(|l| !l.is_empty()));
    shorten(&mut judgement.reasons);
    judgement
}

/// `KEY='value'` lines of `/etc/openwrt_release`.
fn judge_release(text: &str, promised: &Promised<'_>, judgement: &mut Judgement) {
    let said = |key: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        value.map_or("", |value| value.trim().trim_matches(['\'', '"']))
    };
    let facts = promised.facts;
    let wanted = [
        ("DISTRIB_RELEASE", facts.said_release()),
        ("DISTRIB_TARGET", facts.platform.to_string()),
        ("DISTRIB_REVISION", facts.revision.clone()),
    ];
    for (key, wanted) in wanted {
        let found = said(key);
        judgement.findings.push(format!("{key}: {found}"));
        if found != wanted {
            judgement.reasons.push(format!("it says that its {key} is {found:?}, {wanted:?} was built"));
        }
    }
}

fn judge_board(text: &str, image: &ImageFile, promised: &Promised<'_>, judgement: &mut Judgement) {
    let Ok(board) = serde_json::from_str::<Board>(text) else {
        let words: String = text.chars().take(200).collect();
        judgement.reasons.push(format!("it does not say what board it is (ubus call system board): {words}"));
        return;
    };
    // A virtual machine is no router: its name says nothing about the image.
    judgement.findings.push(format!("board: {} ({})", board.board_name, board.model));
    judgement.findings.push(format!("kernel: {}", board.kernel));
    if let Some(kernel) = promised.facts.kernel.as_ref().filter(|kernel| **kernel != board.kernel) {
        judgement.reasons.push(format!("its kernel is {}, {kernel} was built", board.kernel));
    }
    if let Some(wanted) = image.filesystem.as_ref().filter(|wanted| **wanted != board.rootfs_type) {
        judgement.reasons.push(format!("its root is {}, {wanted} was built", board.rootfs_type));
    }
}

fn judge_packages(text: &str, promised: &Promised<'_>, judgement: &mut Judgement) {
    let (name, version) = match text.lines().any(|line| line.starts_with("P:")) {
        true => ("P:", "V:"),
        false => ("Package: ", "Version: "),
    };
    let packages = stanzas(text, name, version);
    judgement.findings.push(format!("packages: {}", packages.len()));
    if packages.is_empty() {
        judgement.reasons.push(format!("there is neither /{APK} nor /{OPKG}"));
        return;
    }
    let changes = diff(&promised.lock.packages, &packages);
    judgement.reasons.extend(changes.iter().map(|change| format!("not as locked: {change}")));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::firmware::FirmwareOrder;
    use serde_json::json;

    const RELEASE: &str = "DISTRIB_ID='OpenWrt'\nDISTRIB_RELEASE='24.10.5'\nDISTRIB_REVISION='r28739-d9340319c6'\n\
        DISTRIB_TARGET='x86/64'\n";
    const BOARD: &str =
        r#"{"kernel": "6.6.93", "model": "QEMU", "board_name": "qemu", "rootfs_type": "squashfs"}"#;
    const PACKAGES: &str = "P:busybox\nV:1.36-r1\n\nP:luci\nV:25.1\n";
    const SERVICES: &str = "S19dropbear\nS50cron\n";

    /// What comes of answers of which some are other ones.
    fn judged(change: impl Fn(&mut [String; 6])) -> Vec<String> {
        let digest = crate::model::Digest::of("x");
        let image =
            json!({"name": "a.img.gz", "kind": "combined", "filesystem": "squashfs", "sha256": digest});
        let platform = "x86/64";
        let packages =
            json!([{"name": "busybox", "version": "1.36-r1"}, {"name": "luci", "version": "25.1"}]);
        let recipe = json!({"format": 2, "release": "24.10.5", "platform": platform, "builder": digest,
            "profile": "generic", "packages": [], "files": [], "disabledServices": ["odhcpd"], "feeds": [], "lock": digest});
        let lock = json!({"lockVersion": 1, "device": "ap", "release": "24.10.5", "builder": digest,
            "request": {"release": "24.10.5", "platform": platform, "profile": "generic", "packages": []},
            "date": "2026-01-01T00:00:00Z", "installedSize": 1, "packages": packages});
        let facts = json!({"release": "24.10.5", "platform": platform, "profile": "generic", "architecture": "x86_64",
            "revision": "r28739-d9340319c6", "kernel": "6.6.93", "boards": [], "builder": digest, "network": "none",
            "images": [image]});
        let facts: crate::model::release::FirmwareFacts = serde_json::from_value(facts).unwrap();
        let order = FirmwareOrder {
            recipe: serde_json::from_value(recipe).unwrap(),
            files: Vec::new(),
            keys: Vec::new(),
        };
        let lock = serde_json::from_value(lock).unwrap();
        let mut answers = [RELEASE, BOARD, PACKAGES, "", SERVICES, ""].map(str::to_owned);
        change(&mut answers);
        let image = &facts.images[0];
        judge(&answers, image, &Promised { order: &order, lock: &lock, facts: &facts }).reasons
    }

    #[test]
    fn what_is_not_as_it_was_built_is_named() {
        assert_eq!(judged(|_| ()), Vec::<String>::new());
        // Both package managers' databases.
        assert!(judged(|a| a[2] = PACKAGES.replace("P:", "Package: ").replace("V:", "Version: ")).is_empty());
        let cases: [(usize, String, &str); 10] = [
            (0, RELEASE.replace("24.10.5", "24.10.4"), "its DISTRIB_RELEASE is \"24.10.4\""),
            (0, RELEASE.replace("x86/64", "ath79/generic"), "its DISTRIB_TARGET is \"ath79/generic\""),
            (0, String::new(), "its DISTRIB_REVISION is \"\""),
            (
                1,
                "ubus: not found".to_owned(),
                "does not say what board it is (ubus call system board): ubus: not found",
            ),
            (1, BOARD.replace("6.6.93", "6.6.1"), "its kernel is 6.6.1, 6.6.93 was built"),
            (1, BOARD.replace("squashfs", "tmpfs"), "its root is tmpfs, squashfs was built"),
            (2, PACKAGES.replace("25.1", "25.2"), "not as locked: luci 25.1 -> 25.2"),
            (2, "cat: no such file".to_owned(), "there is neither /lib/apk/db/installed"),
            (3, "99-bootwright\n".to_owned(), "the first-boot script 99-bootwright ended with an error"),
            (4, format!("{SERVICES}S35odhcpd\n"), "the service odhcpd is started"),
        ];
        for (at, answer, words) in cases {
            let reasons = judged(|answers| answers[at].clone_from(&answer));
            assert!(reasons.iter().any(|reason| reason.contains(words)), "{words}: {reasons:?}");
        }
    }
}

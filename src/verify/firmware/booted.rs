//! Starts an image of a firmware in a virtual machine and asks it for its release, its board, its packages
//! and its first boot.

use super::console::Console;
use super::{APK, OPKG, Promised, diff, off, shorten, stanzas};
use crate::effects::Cancel;
use crate::effects::files::WorkFolder;
use crate::model::event::Emitter;
use crate::model::evidence::Check;
use crate::model::firmware::ImageFile;
use crate::model::openwrt::Release;
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
    let release = match &facts.release {
        Release::Exact(version) | Release::Branch(version) => version.clone(),
        Release::Snapshot => "SNAPSHOT".to_owned(),
        Release::BranchSnapshot(branch) => format!("{branch}-SNAPSHOT"),
    };
    let wanted = [
        ("DISTRIB_RELEASE", release),
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

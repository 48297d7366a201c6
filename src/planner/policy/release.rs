//! Rules on releases: those about to be published, and those that channels point to.

use super::{Report, list};
use crate::model::policy::{ArtifactFacts, ReleaseFacts, Requirement, Rule, Stage, Verification};
use crate::model::spec::Size;

pub(super) fn judge(rule: &Rule, facts: &ReleaseFacts, stage: Stage, report: &mut Report<'_>) {
    sizes(rule, &facts.what, &facts.artifacts, stage, report);
    match &rule.requirement {
        Requirement::Verification(wanted) => shown(wanted, facts, stage, report),
        Requirement::Signers(allowed) => signers(allowed, facts, stage, report),
        Requirement::MaxAgeDays(most) => {
            if let Some(age) = facts.age_days.filter(|age| age > most) {
                report.add(
                    stage,
                    "spec.schedule",
                    format!("{} is {age} days old, at most {most} are allowed", facts.what),
                    "Look for newer packages: run `bootwright lock --update`, or set `schedule`.",
                );
            }
        }
        // Every whole disk is started where that can be done; the others are parts of those.
        Requirement::BootedFirmware if facts.firmware.iter().any(|image| image.booted) => {}
        Requirement::BootedFirmware => {
            for image in &facts.firmware {
                report.add(
                    stage,
                    "spec.target",
                    format!("{}: nothing here has booted {}", facts.what, image.name),
                    "Publish it where its target can be booted, or take this device out of the rule.",
                );
            }
        }
        Requirement::Reproducible => {
            for (file, why) in &facts.not_reproducible {
                report.add(
                    stage,
                    "spec.outputs",
                    format!("{}: {file} is not reproducible: {why}", facts.what),
                    "Take the output away, or what makes it differ from build to build.",
                );
            }
        }
        _ => {}
    }
}

/// The rule on sizes alone: it can be kept before anything is verified.
pub(super) fn sizes(
    rule: &Rule,
    what: &str,
    artifacts: &[ArtifactFacts],
    stage: Stage,
    report: &mut Report<'_>,
) {
    let Requirement::MaxSizes(sizes) = &rule.requirement else { return };
    for artifact in artifacts {
        let most = sizes.iter().find(|(output, _)| *output == artifact.output).map(|(_, size)| *size);
        if let Some(most) = most.filter(|most| artifact.size > most.bytes()) {
            report.add(
                stage,
                "spec.packages",
                format!(
                    "{what}: {} has {} ({} bytes), at most {most} ({} bytes) are allowed",
                    artifact.output.as_str(),
                    Size::from_bytes(artifact.size),
                    artifact.size,
                    most.bytes()
                ),
                "Take out packages, or set `build.compression: small` in bootwright.yaml.",
            );
        }
    }
}

fn shown(wanted: &Verification, facts: &ReleaseFacts, stage: Stage, report: &mut Report<'_>) {
    for artifact in &facts.artifacts {
        let output = artifact.output.as_str();
        if wanted.outputs.contains(&artifact.output) && !artifact.verified {
            report
                .add(
                    stage,
                    "spec.outputs",
                    format!("{}: nothing shows that {output} works", facts.what),
                    "Build it where it can be verified, or take the output away.",
                )
                .curable = true;
        }
        if artifact.output.starts() {
            for mode in wanted.boot.iter().filter(|mode| !artifact.boots.contains(mode)) {
                report
                    .add(
                        stage,
                        "spec.verify.boot",
                        format!("{}: {output} was not booted by {}", facts.what, mode.as_str()),
                        format!("Add {} to `verify.boot`.", mode.as_str()),
                    )
                    .curable = true;
            }
        }
    }
}

fn signers(allowed: &[String], facts: &ReleaseFacts, stage: Stage, report: &mut Report<'_>) {
    let Some(signers) = &facts.signers else { return };
    for signer in signers.iter().filter(|signer| !allowed.contains(signer)) {
        report
            .add(
                stage,
                "metadata.name",
                format!("{}: key {signer} may not sign it", facts.what),
                format!("Set `signing` in bootwright.yaml to one of: {}.", list(allowed, Clone::clone)),
            )
            .curable = true;
    }
}

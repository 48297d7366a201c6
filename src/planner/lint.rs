//! What holds for every plan, checked without using anything of how plans are made.

use super::inputs::{Desired, Inputs, Wanted};
use crate::model::observed::{Defect, ObservedImage, ObservedRelease};
use crate::model::plan::{Action, Planned, Reason, Status, Step};
use crate::model::policy::Finding;
use crate::model::product::Resolved;
use crate::model::{Digest, ImageName, Version};
use std::collections::BTreeMap;

/// What is wrong with a plan, one sentence each; empty when it is sound.
pub fn lint(planned: &Planned, inputs: &Inputs) -> Vec<String> {
    let mut wrong = Vec::new();
    reports(planned, inputs, &mut wrong);
    order(planned, &mut wrong);
    for step in &planned.plan.steps {
        one_step(step, planned, inputs, &mut wrong);
    }
    if planned.plan.made != inputs.now {
        wrong.push("the plan was not made now".to_owned());
    }
    wrong
}

/// Each image of the catalog has one report, and a step exactly if the report says so.
fn reports(planned: &Planned, inputs: &Inputs, wrong: &mut Vec<String>) {
    let mut counts: BTreeMap<&ImageName, usize> =
        inputs.images.iter().map(|desired| (&desired.image, 0)).collect();
    if counts.len() != inputs.images.len() {
        wrong.push("an image is asked for twice".to_owned());
    }
    for report in &planned.report {
        match counts.get_mut(&report.image) {
            Some(count) => *count += 1,
            None => wrong.push(format!("{} is reported and not in the catalog", report.image)),
        }
        let steps = planned.plan.steps.iter().filter(|s| s.image == report.image).count();
        if (report.status == Status::Planned) != (steps > 0) {
            wrong.push(format!("{} has {steps} steps and stands as {:?}", report.image, report.status));
        }
        let is_repair = |s: &&Step| s.image == report.image && matches!(s.action, Action::Repair { .. });
        let repairs = planned.plan.steps.iter().filter(is_repair).count();
        if repairs > 1 || steps - repairs > 1 {
            wrong.push(format!("{} has {steps} steps", report.image));
        }
        let first = planned.plan.steps.iter().find(|s| s.image == report.image);
        if repairs > 0 && !first.is_some_and(|s| matches!(s.action, Action::Repair { .. })) {
            wrong.push(format!("{} is repaired after something else is done", report.image));
        }
    }
    for (image, count) in counts {
        if count != 1 {
            wrong.push(format!("{image} has {count} reports"));
        }
    }
}

fn order(planned: &Planned, wrong: &mut Vec<String>) {
    if !planned.plan.steps.is_sorted_by(|a, b| a.image <= b.image) {
        wrong.push("the steps are not in the order of their images".to_owned());
    }
    if !planned.report.is_sorted_by(|a, b| a.image <= b.image) {
        wrong.push("the report is not in the order of its images".to_owned());
    }
}

fn one_step(step: &Step, planned: &Planned, inputs: &Inputs, wrong: &mut Vec<String>) {
    let image = &step.image;
    let mut say = |what: &str| wrong.push(format!("{image}: {what}"));
    let Some(desired) = inputs.images.iter().find(|d| d.image == *image) else {
        return say("has a step and is not in the catalog");
    };
    let observed = inputs.observed.images.get(image);
    let current = observed.and_then(|o| o.channels.get(&desired.channel));
    // Bytes that were published once are mended, whatever is thought of the image since.
    let mends = matches!(step.action, Action::Repair { .. });
    if desired.paused && !mends {
        say("is paused and has a step");
    }
    let refused = inputs.ruling.findings.get(image).is_some_and(|found| found.iter().any(Finding::refuses));
    if refused && !mends {
        say("is refused by a policy and has a step");
    }
    if inputs.history.get(image).is_some_and(|h| h.leased_by.is_some()) {
        say("is leased and has a step");
    }
    if planned.report.iter().any(|r| r.image == *image && r.current.as_ref() != current.map(|c| &c.version)) {
        say("the report names another current release than the store");
    }
    reasons(step, &mut say);
    match (&step.action, &desired.wanted) {
        (Action::Lock, _) if desired.lock_pinned => say("its lock is pinned and would be made again"),
        (Action::Lock, _) => {}
        (Action::Resign { versions }, _) => resign(versions, observed, &mut say),
        (Action::Repair { releases }, _) => {
            for release in releases {
                let mends = observed.and_then(|o| o.mends.get(&release.version));
                if release.mends.is_empty() || mends != Some(&release.mends) {
                    say("a release is repaired in another way than what was found to cure it");
                }
            }
        }
        (_, Wanted::NeedsLock { .. }) => say("is built or promoted without a lock"),
        (Action::Build { .. }, Wanted::Recipe(resolved)) => {
            let is_cured = |c: &ObservedRelease| {
                c.defects.is_empty() || observed.is_some_and(|o| o.mends.contains_key(&c.version))
            };
            let up_to_date = current.is_some_and(|c| c.recipe_digest == resolved.digest() && is_cured(c));
            let by_policy = inputs.ruling.findings.get(image).into_iter().flatten();
            let to_cure = by_policy.filter(|f| f.would_be_cured()).count() > 0;
            if up_to_date && !to_cure && !inputs.forced.contains(image) {
                say("is up to date and would be built");
            }
            build(&step.action, desired, resolved, &mut say);
            layers(&step.action, resolved, inputs, &mut say);
        }
        (Action::Promote { version, channel }, Wanted::Recipe(resolved)) => {
            if *channel != desired.channel || current.is_some_and(|c| c.version == *version) {
                say("would be promoted to where it is or does not belong");
            }
            if !observed.is_some_and(|o| is_published(o, version, &resolved.digest())) {
                say("a release would be promoted that is not published or not of the desired recipe");
            }
        }
    }
}

fn reasons(step: &Step, say: &mut impl FnMut(&str)) {
    if step.reasons.is_empty() {
        say("a step has no reason");
    }
    let twice = |(i, reason): (usize, &Reason)| {
        // The same package may change alike for two architectures.
        !matches!(reason, Reason::ChangedPackage { .. }) && step.reasons[..i].contains(reason)
    };
    if step.reasons.iter().enumerate().any(twice) {
        say("a reason is given twice");
    }
    for reason in &step.reasons {
        if let Reason::ChangedField { field, from, to, .. } = reason
            && (from == to || field.is_empty())
        {
            say(&format!("field {field:?} is said to change from {from:?} to {to:?}"));
        }
    }
}

fn build(action: &Action, desired: &Desired, resolved: &Resolved, say: &mut impl FnMut(&str)) {
    let Action::Build { recipe, version, channel, .. } = action else { return };
    if *recipe != resolved.digest() {
        say("another recipe is built than the desired one");
    }
    let carries = version.as_str().ends_with(&format!("-{}", recipe.short()));
    if !carries || version.as_str().parse::<Version>().is_err() {
        say("its version does not carry its recipe");
    }
    if *channel != desired.channel {
        say("another channel is set than the desired one");
    }
}

fn layers(action: &Action, resolved: &Resolved, inputs: &Inputs, say: &mut impl FnMut(&str)) {
    let Action::Build { layers, .. } = action else { return };
    if layers.iter().map(|layer| layer.id).ne(resolved.layers().into_iter().map(|(_, id)| id)) {
        say("its layers are not the recipe's");
    }
    if layers.iter().any(|layer| layer.cached != inputs.cached_layers.contains(&layer.id)) {
        say("a layer's cache state is wrong");
    }
}

/// Only what is published and sound but for its keys is signed again.
fn resign(versions: &[Version], observed: Option<&ObservedImage>, say: &mut impl FnMut(&str)) {
    if versions.is_empty() {
        say("nothing would be signed again");
    }
    for version in versions {
        let head = observed.and_then(|o| o.channels.values().find(|r| r.version == *version));
        let defects = match head {
            Some(release) => Some(&release.defects),
            None => observed.and_then(|o| o.outlived.get(version)),
        };
        if !defects.is_some_and(|d| !d.is_empty() && d.iter().all(Defect::is_outlived)) {
            say("a release would be signed again that is not published, in order, or not sound");
        }
    }
}

fn is_published(observed: &ObservedImage, version: &Version, recipe: &Digest) -> bool {
    observed.by_recipe.get(recipe) == Some(version)
        || observed.channels.values().any(|r| r.version == *version && r.recipe_digest == *recipe)
}

//! What holds for every plan, checked without using anything of how plans are made.

use super::inputs::{Inputs, Wanted};
use crate::model::plan::{Action, LayerPlan, Planned, Reason, Status, Step};
use crate::model::{ImageName, Version};
use std::collections::{BTreeMap, BTreeSet};

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
        if steps > 1 {
            wrong.push(format!("{} has {steps} steps", report.image));
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
        if let Reason::ChangedField { field, from, to } = reason
            && (from == to || field.is_empty())
        {
            say(&format!("field {field:?} is said to change from {from:?} to {to:?}"));
        }
    }
    if desired.paused {
        say("is paused and has a step");
    }
    if inputs.history.get(image).is_some_and(|h| h.leased_by.is_some()) {
        say("is leased and has a step");
    }
    let observed = inputs.observed.images.get(image);
    let current = observed.and_then(|o| o.channels.get(&desired.channel));
    if planned.report.iter().any(|r| r.image == *image && r.current != current.map(|c| c.version.clone())) {
        say("the report names another current release than the store");
    }
    match (&step.action, &desired.wanted) {
        (Action::Lock, _) => {
            if desired.lock_pinned {
                say("its lock is pinned and would be made again");
            }
        }
        (_, Wanted::NeedsLock { .. }) => say("is built or promoted without a lock"),
        (Action::Build { recipe, version, channel, layers }, Wanted::Recipe(resolved)) => {
            let wanted = resolved.recipe.digest();
            if *recipe != wanted {
                say("another recipe is built than the desired one");
            }
            if !version.as_str().ends_with(&format!("-{}", recipe.short())) || !well_formed(version) {
                say("its version does not carry its recipe");
            }
            if *channel != desired.channel {
                say("another channel is set than the desired one");
            }
            let published = current.is_some_and(|c| c.recipe_digest == wanted && c.defects.is_empty());
            if published && !inputs.forced.contains(image) {
                say("is up to date and would be built");
            }
            let ids: Vec<_> = layers.iter().map(|l: &LayerPlan| l.id).collect();
            if ids != resolved.recipe.layer_ids() || ids.iter().collect::<BTreeSet<_>>().len() != ids.len() {
                say("its layers are not the recipe's");
            }
            if layers.iter().any(|l| l.cached != inputs.cached_layers.contains(&l.id)) {
                say("a layer's cache state is wrong");
            }
        }
        (Action::Promote { version, channel }, Wanted::Recipe(resolved)) => {
            if current.is_some_and(|c| c.version == *version) {
                say("would be promoted to where it is");
            }
            if *channel != desired.channel {
                say("another channel is set than the desired one");
            }
            let digest = resolved.recipe.digest();
            let known = observed.is_some_and(|o| {
                o.by_recipe.get(&digest) == Some(version)
                    || o.channels.values().any(|r| r.version == *version && r.recipe_digest == digest)
            });
            if !known {
                say("a release would be promoted that is not published or not of the desired recipe");
            }
        }
    }
}

fn well_formed(version: &Version) -> bool {
    version.as_str().parse::<Version>().is_ok()
}

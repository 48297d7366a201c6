//! `plan`, `reconcile`, `watch`.

use super::workspace::{Workspace, locate_commit, runtime};
use super::writers::{Bench, Ordered, issue, plan_cards};
use super::{
    Context, FailedImage, Identity, PlanReport, PlanRequest, PublishedImage, ReconcileReport,
    ReconcileRequest, RepairedRelease, WatchRequest,
};
use crate::effects::{Task, fetch};
use crate::model::card_plan::CardPlan;
use crate::model::plan::{Action, Step};
use crate::model::settings::Keyless;
use crate::model::{ErrorCode, Failure, FailureClass, Result};
use crate::planner::{self, Schedule};
use crate::reconcile::{Decided, Outcome, Publishing, World};
use std::time::{Duration, Instant};

/// The audience that Sigstore's services ask identity tokens for.
const AUDIENCE: &str = "sigstore";
/// A watch never sleeps longer than this after failures.
const LONGEST_PAUSE: Duration = Duration::from_mins(30);
/// How often a sleeping watch looks whether it shall stop.
const TICK: Duration = Duration::from_millis(200);

/// Compares what is asked for with what is published. Changes nothing.
///
/// # Errors
/// Class *spec* for an invalid catalog.
pub fn plan(context: &Context, request: PlanRequest) -> Result<PlanReport> {
    let workspace = Workspace::open_to_plan(context, &request.catalog, false, request.deep)?;
    let runtime = runtime()?;
    let world = workspace.world(context, &runtime, &request.only, &request.force, false, request.deep)?;
    let mut decided = world.plan()?;
    decided.planned.cards = cards(&workspace, &world)?.plan;
    // What a policy refuses is part of the plan; what cannot be resolved has none.
    if let Some((_, failure)) = decided.failed.iter().find(|(_, f)| f.code != ErrorCode::Policy) {
        return Err(failure.clone());
    }
    Ok(PlanReport { markdown: planner::markdown(&decided.planned), planned: decided.planned })
}

/// Plans once and carries the plan out.
///
/// A failed image is in the report and does not keep the others from being built. When
/// asked to stop, it returns the report with `interrupted` set and what remains.
///
/// # Errors
/// Only for what keeps every image from being planned.
pub fn reconcile(context: &Context, request: ReconcileRequest) -> Result<ReconcileReport> {
    let started = Instant::now();
    let workspace = Workspace::open_to_plan(context, &request.catalog, true, request.deep)?;
    let runtime = runtime()?;
    let writes = !request.dry_run;
    let world = workspace.world(context, &runtime, &request.only, &request.force, writes, request.deep)?;
    if request.dry_run {
        let mut decided = world.plan()?;
        decided.planned.cards = cards(&workspace, &world)?.plan;
        return Ok(report(&world, decided, Outcome::default(), started));
    }
    let mut first = world.plan()?;
    world.settle(&first.planned)?;
    if world.store.needs_mending() {
        mend(context, &workspace, &world, &runtime);
    }
    if first.planned.plan.is_empty() {
        world.announce(&first.planned, false)?;
        first.planned.cards = issue_cards(&workspace, &world)?;
        let outcome = Outcome { failed: first.failed.clone(), ..Outcome::default() };
        return Ok(report(&world, first, outcome, started));
    }
    // Before hours of building: can it be signed at all?
    let publishing = publishing(context, &workspace, &runtime)?;
    world.store.check_writable()?;
    let mut decided = match world.lock_and_plan() {
        Ok(decided) => decided,
        Err(f) if f.class == FailureClass::Cancelled => {
            let outcome = Outcome { remaining: first.planned.plan.steps.clone(), ..Outcome::default() };
            return Ok(report(&world, first, outcome, started));
        }
        Err(failure) => return Err(failure),
    };
    let jobs = request.jobs.map_or(1, std::num::NonZeroUsize::get);
    let outcome = world.carry_out(&decided, &publishing, jobs)?;
    tidy(&world, &decided);
    if !world.cancel.is_requested() {
        // What is still stale or damaged after all this stands on the pages.
        world.announce(&world.plan()?.planned, false)?;
        decided.planned.cards = issue_cards(&workspace, &world)?;
    }
    Ok(report(&world, decided, outcome, started))
}

/// What is to be done for the cards that are ordered.
fn cards(workspace: &Workspace, world: &World<'_>) -> Result<Ordered> {
    let bench = Bench {
        catalog: &workspace.catalog,
        base: workspace.base(),
        store: &world.store,
        keys: &world.keys,
        state: world.state.as_ref(),
    };
    world.runtime.block_on(plan_cards(&bench))
}

/// Issues the jobs for the cards that are ordered; gives what was done.
fn issue_cards(workspace: &Workspace, world: &World<'_>) -> Result<CardPlan> {
    let ordered = cards(workspace, world)?;
    if let Some(state) = &world.state {
        world.runtime.block_on(issue(state, &ordered, world.clock.now()))?;
    }
    Ok(ordered.plan)
}

/// Ends what a killed writer of the store began. That it cannot be done keeps nothing else
/// from being done.
fn mend(context: &Context, workspace: &Workspace, world: &World<'_>, runtime: &tokio::runtime::Runtime) {
    let mended =
        publishing(context, workspace, runtime).and_then(|publishing| world.store.mend(&publishing.signers));
    if let Err(failure) = mended {
        context.events.warn(format!("the release store cannot be tidied up: {failure}"));
    }
}

/// After a round that built something: the cache is brought below its limits, and old runs
/// are forgotten. What was built stays built when this fails.
fn tidy(world: &World<'_>, decided: &Decided) {
    let built = decided.planned.plan.steps.iter().any(|step| matches!(step.action, Action::Build { .. }));
    if !built || world.cancel.is_requested() {
        return;
    }
    let task = Task::start(&world.events, "tidy up");
    let pruned = world.keep_cache_small();
    let forgotten = match &world.state {
        Some(state) => world.runtime.block_on(state.prune(world.clock.now())),
        None => Ok(0),
    };
    match (pruned, forgotten) {
        (Ok(pruned), Ok(_)) => {
            task.finish(pruned.map_or_else(|| "nothing to remove".to_owned(), |pruned| pruned.words()));
        }
        (Err(failure), _) | (_, Err(failure)) => {
            world.events.warn(format!("tidying up failed: {failure}"));
        }
    }
}

fn report(world: &World<'_>, decided: Decided, outcome: Outcome, started: Instant) -> ReconcileReport {
    let mut failed = outcome.failed;
    for (image, failure) in decided.failed {
        if !failed.iter().any(|(name, _)| name == &image) {
            failed.push((image, failure));
        }
    }
    ReconcileReport {
        planned: decided.planned,
        published: outcome
            .published
            .into_iter()
            .map(|(image, version, channel)| PublishedImage {
                location: world.store.folder(&image, &version).to_string(),
                image,
                version,
                channel,
            })
            .collect(),
        repaired: outcome
            .repaired
            .into_iter()
            .map(|(image, version)| RepairedRelease { image, version })
            .collect(),
        failed: failed.into_iter().map(|(image, failure)| FailedImage { image, failure }).collect(),
        interrupted: world.cancel.is_requested(),
        remaining: outcome.remaining.iter().map(words).collect(),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn words(step: &Step) -> String {
    match &step.action {
        Action::Lock => format!("resolve the packages of {}", step.image),
        Action::Build { version, .. } => format!("build and publish {} {version}", step.image),
        Action::Repair { releases } => {
            let versions: Vec<&str> = releases.iter().map(|r| r.version.as_str()).collect();
            format!("repair {} {}", step.image, versions.join(", "))
        }
        Action::Promote { version, channel } => {
            format!("point {channel} of {} to {version}", step.image)
        }
        Action::Resign { versions } => {
            let names: Vec<&str> = versions.iter().map(|v| v.as_str()).collect();
            format!("sign {} {} again", step.image, names.join(", "))
        }
    }
}

/// Everything that publishing needs, from settings and context.
pub(super) fn publishing(
    context: &Context,
    workspace: &Workspace,
    runtime: &tokio::runtime::Runtime,
) -> Result<Publishing> {
    let signers = workspace.signers(context)?;
    let keyless = match (&workspace.settings().signing.keyless, &context.identity) {
        (Some(_), Some(_)) if context.offline => {
            return Err(Failure::offline("keyless signing needs its services")
                .hint("Sign with network, or without an identity token: the key alone signs then."));
        }
        (Some(services), Some(identity)) => {
            Some((keyless_services(workspace, services), runtime.block_on(token(identity))?))
        }
        _ => None,
    };
    let builder = workspace.settings().build.builder_id.clone();
    Ok(Publishing { signers, keyless, builder })
}

fn keyless_services(workspace: &Workspace, services: &Keyless) -> Keyless {
    let trusted_root =
        services.trusted_root.as_ref().map(|p| workspace.path(p).to_string_lossy().into_owned());
    Keyless { trusted_root, ..services.clone() }
}

async fn token(identity: &Identity) -> Result<String> {
    match identity {
        Identity::Token(token) => Ok(token.reveal().to_owned()),
        Identity::GitHubActions { url, bearer } => {
            fetch::identity_token(&fetch::client()?, url, bearer.reveal(), AUDIENCE).await
        }
    }
}

/// Reconciles again and again: when git moves and when a schedule is due. `round` gets
/// what came of each round. Returns when asked to stop.
///
/// # Errors
/// Only for what no later round can cure; a round's own failure goes to `round`.
pub fn watch(
    context: &Context,
    request: WatchRequest,
    round: &mut dyn FnMut(Result<ReconcileReport>),
) -> Result<()> {
    // A location that cannot be one will not become one.
    locate_commit(context, &request.reconcile.catalog)?;
    let mut failures = 0;
    while !context.cancel.is_requested() {
        // A round that finds nothing to do takes milliseconds: looking is reconciling.
        let report = reconcile(context, request.reconcile.clone());
        // A failed image waits by itself, in the plan; the others shall not wait with it.
        failures = if report.is_err() { failures + 1 } else { 0 };
        round(report);
        let until = Instant::now() + pause(request.interval, failures);
        let due = next_due(context, &request)?;
        sleep(context, until, due);
    }
    Ok(())
}

/// How long to wait: the interval, doubled with each failure in a row, and up to a tenth
/// more, so that many watchers of one server spread.
fn pause(interval: Duration, failures: u32) -> Duration {
    let base = interval.saturating_mul(1 << failures.min(6)).min(LONGEST_PAUSE.max(interval));
    base + base.mul_f64(f64::from(std::process::id() % 100) / 1000.0)
}

/// The next time that a schedule of the catalog is due.
fn next_due(context: &Context, request: &WatchRequest) -> Result<Option<chrono::DateTime<chrono::Utc>>> {
    let Ok(workspace) = Workspace::open_to_plan(context, &request.reconcile.catalog, true, false) else {
        return Ok(None);
    };
    let now = context.clock.now();
    let mut next = workspace.deep_check()?.and_then(|schedule| schedule.next_after(now));
    let images = workspace.catalog.images.values().map(|document| {
        let spec = &document.spec.spec;
        (&document.place, spec.schedule.as_ref(), spec.schedule_time_zone.as_deref())
    });
    let devices = workspace.catalog.devices.values().map(|document| {
        let spec = &document.profile.spec;
        (&document.place, spec.schedule.as_ref(), spec.schedule_time_zone.as_deref())
    });
    for (place, schedule, zone) in images.chain(devices) {
        let Some(text) = schedule else { continue };
        let schedule = Schedule::parse(text, zone).map_err(|e| Failure::spec(format!("{place}: {e}")))?;
        next = next.into_iter().chain(schedule.next_after(now)).min();
    }
    for (_, image) in workspace.remembered.iter().flat_map(|r| r.known.images.values()) {
        next = next.into_iter().chain(image.schedule().and_then(|s| s.next_after(now))).min();
    }
    Ok(next)
}

fn sleep(context: &Context, until: Instant, due: Option<chrono::DateTime<chrono::Utc>>) {
    while Instant::now() < until && !context.cancel.is_requested() {
        if due.is_some_and(|due| context.clock.now() >= due) {
            return;
        }
        std::thread::sleep(TICK);
    }
}

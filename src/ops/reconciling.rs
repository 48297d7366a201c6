//! `plan`, `reconcile`, `watch`.

use super::workspace::{Workspace, locate_commit, runtime};
use super::{
    Context, FailedImage, Identity, PlanReport, PlanRequest, PublishedImage, ReconcileReport,
    ReconcileRequest, WatchRequest,
};
use crate::build::registry::Credentials;
use crate::effects::fetch;
use crate::model::plan::{Action, Step};
use crate::model::settings::Keyless;
use crate::model::{Failure, FailureClass, Result};
use crate::planner::{self, Schedule};
use crate::reconcile::{Decided, Outcome, Publishing, World};
use crate::release::{Signer, Signers, openpgp};
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
    let workspace = Workspace::open_to_plan(context, &request.catalog, false)?;
    let runtime = runtime()?;
    let world = workspace.world(context, &runtime, &request.only, &request.force, false)?;
    let decided = world.plan()?;
    if let Some((_, failure)) = decided.failed.first() {
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
    let workspace = Workspace::open_to_plan(context, &request.catalog, true)?;
    let runtime = runtime()?;
    let world = workspace.world(context, &runtime, &request.only, &request.force, !request.dry_run)?;
    if request.dry_run {
        let decided = world.plan()?;
        return Ok(report(&world, decided, Outcome::default(), started));
    }
    let first = world.plan()?;
    if first.planned.plan.steps.is_empty() {
        let outcome = Outcome { failed: first.failed.clone(), ..Outcome::default() };
        return Ok(report(&world, first, outcome, started));
    }
    // Before hours of building: can it be signed at all?
    let publishing = publishing(context, &workspace, &runtime)?;
    let decided = match world.lock_and_plan() {
        Ok(decided) => decided,
        Err(f) if f.class == FailureClass::Cancelled => {
            let outcome = Outcome { remaining: first.planned.plan.steps.clone(), ..Outcome::default() };
            return Ok(report(&world, first, outcome, started));
        }
        Err(failure) => return Err(failure),
    };
    let jobs = request.jobs.map_or(1, std::num::NonZeroUsize::get);
    let outcome = world.carry_out(&decided, &publishing, jobs)?;
    Ok(report(&world, decided, outcome, started))
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
                location: world.store.folder(&image, &version).display().to_string(),
                image,
                version,
                channel,
            })
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
        Action::Promote { version, channel } => {
            format!("point {channel} of {} to {version}", step.image)
        }
    }
}

/// Everything that publishing needs, from settings and context.
pub(super) fn publishing(
    context: &Context,
    workspace: &Workspace,
    runtime: &tokio::runtime::Runtime,
) -> Result<Publishing> {
    let signing = &workspace.settings().signing;
    let passphrase = context.passphrase.as_ref().map(|p| p.reveal().as_bytes());
    let key = signing.key.as_ref().ok_or_else(|| {
        Failure::spec("no signing key is set, and nothing is published unsigned")
            .hint("Set `signing: {key: …}` in bootwright.yaml; `bootwright init` makes one.")
    })?;
    let openpgp = match &signing.openpgp_key {
        Some(path) => Some(openpgp::SecretKey::load(&workspace.path(path), passphrase)?),
        None => None,
    };
    let signers =
        Signers { key: Signer::load(&workspace.path(key), passphrase)?, openpgp, trusted: workspace.keys()? };
    let keyless = match (&signing.keyless, &context.identity) {
        (Some(services), Some(identity)) => {
            Some((keyless_services(workspace, services), runtime.block_on(token(identity))?))
        }
        _ => None,
    };
    let credentials = match &context.registry {
        Some((user, password)) => {
            Credentials::Basic { user: user.clone(), password: password.reveal().to_owned() }
        }
        None => Credentials::Anonymous,
    };
    let registry = workspace.settings().store.registry.clone().map(|prefix| (prefix, credentials));
    Ok(Publishing {
        signers,
        keyless,
        registry,
        builder: "https://bootwright.invalid/builder/local".to_owned(),
    })
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
        let failed = report.as_ref().map_or(true, |r| !r.failed.is_empty());
        failures = if failed { failures + 1 } else { 0 };
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
    let Ok(workspace) = Workspace::open_to_plan(context, &request.reconcile.catalog, true) else {
        return Ok(None);
    };
    let now = context.clock.now();
    let mut next = None;
    for document in workspace.catalog.images.values() {
        let spec = &document.spec.spec;
        if let Some(text) = &spec.schedule {
            let schedule = Schedule::parse(text, spec.schedule_time_zone.as_deref())
                .map_err(|e| Failure::spec(format!("{}: {e}", document.place)))?;
            next = next.into_iter().chain(schedule.next_after(now)).min();
        }
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

//! Arguments → request → operation → answer. One function for each command.

use super::args::{
    BootArgs, CacheCommand, Cli, Command, ContainerfileArgs, DoctorArgs, EngineArg, ExplainArgs, GlobalArgs,
    InitArgs, KeyCommand, LockArgs, NewArgs, OutputFormat, PackagesArgs, PlanArgs, PromptArgs, ReaderChoice,
    RebuildArgs, ReconcileArgs,
};
use super::completions;
use super::error::{BuildError, Exit};
use super::flashing;
use super::openwrt;
use super::progress::Progress;
use super::release_args::ReleaseCommand;
use super::render;
use super::terminal::Palette;
use super::writers;
use crate::catalog::scaffold::Parts;
use crate::model::plan::Status;
use crate::model::{Failure, Result};
use crate::ops::caches::{CacheListRequest, CachePruneRequest, CacheVerifyRequest};
use crate::ops::doctor::DoctorRequest;
use crate::ops::{
    self, BootRequest, CatalogRef, CheckRequest, ContainerfileRequest, Context, Engine, ExplainRequest,
    FetchRequest, InitRequest, KeyListRequest, KeyNewRequest, KeyRetireRequest, KeyRotateRequest,
    LockRequest, NewRequest, PackagesRequest, PlanRequest, PromoteRequest, PromptReader, PromptRequest,
    PruneRequest, RebuildRequest, ReconcileReport, ReconcileRequest, ReleaseListRequest, ReleaseShowRequest,
    VerifyRequest, WatchRequest,
};
use crate::planner;
use serde::Serialize;
use std::io::{Read, Write};
use std::time::Duration;

/// Where answers go: stdout, as text or JSON.
pub struct Answers<'a> {
    /// The colours of stdout.
    pub palette: Palette,
    /// Text or JSON.
    pub format: OutputFormat,
    /// The variables that lead to the desktop's display.
    pub display: &'a [(String, String)],
    /// What must be out of the way first.
    pub progress: &'a Progress,
}

impl Answers<'_> {
    /// Writes a report: its JSON, or the text that `text` makes of it.
    pub fn give<R: Serialize>(&self, report: &R, text: impl FnOnce(&R, Palette) -> String) -> Result<()> {
        self.progress.clear();
        match self.format {
            OutputFormat::Text => write(text(report, self.palette).as_bytes()),
            OutputFormat::Json => {
                let mut line = serde_json::to_vec(report)
                    .map_err(|e| Failure::bug(format!("writing a report as JSON: {e}")))?;
                line.push(b'\n');
                write(&line)
            }
        }
    }
}

/// Writes to stdout. Whoever reads may have had enough (`| head`): that is no failure.
fn write(bytes: &[u8]) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::io("writing to stdout", &e)),
        _ => Ok(()),
    }
}

/// Carries out one command line.
///
/// # Errors
/// What the operation says.
pub fn run(cli: Cli, context: &Context, answers: &Answers) -> Result<Exit> {
    let global = cli.global;
    match cli.command {
        Command::Init(args) => init(args, context, answers),
        Command::New(args) => new(args, &global, context, answers),
        Command::Prompt(args) => prompt(args, &global, context, answers),
        Command::Check => check(&global, context, answers),
        Command::Explain(args) => explain(args, &global, context, answers),
        Command::Lock(args) => lock(args, &global, context, answers),
        Command::Plan(args) => plan(args, &global, context, answers),
        Command::Reconcile(args) => reconcile(args, &global, context, answers),
        Command::Boot(args) => boot(args, &global, context, answers),
        Command::Rebuild(args) => rebuild(args, &global, context, answers),
        Command::Release(command) => release(command, &global, context, answers),
        Command::Flash(args) => flashing::flash(args, &global, context, answers),
        Command::Writer(command) => writers::run(command, &global, context, answers),
        Command::Serve(args) => writers::serve(args, &global, context, answers),
        Command::Cache(command) => cache(command, &global, context, answers),
        Command::Key(command) => key(command, &global, context, answers),
        Command::Openwrt(command) => openwrt::run(command, &global, context, answers),
        Command::Packages(args) => packages(args, answers),
        Command::Containerfile(args) => containerfile(args, &global, context, answers),
        Command::Doctor(args) => doctor(args, context, answers),
        Command::Completions(args) => write(&completions::completions(args.shell)).map(|()| Exit::Ok),
        Command::Man(args) => write(&completions::man_page(&args.command)?).map(|()| Exit::Ok),
    }
}

/// The catalog that a command line names.
pub fn catalog(global: &GlobalArgs) -> CatalogRef {
    CatalogRef { location: global.catalog.clone(), rev: global.rev.clone() }
}

fn init(args: InitArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let request = InitRequest { dir: args.dir, from: args.from, key: !args.no_key };
    let report = ops::init(context, request)?;
    answers.give(&report, render::catalog::init)?;
    Ok(Exit::Ok)
}

fn new(args: NewArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let parts = Parts { profiles: args.profiles, security: args.security };
    let request =
        NewRequest { catalog: catalog(global), name: args.name, base: args.base, suite: args.suite, parts };
    let report = ops::new(context, request)?;
    answers.give(&report, render::catalog::new)?;
    Ok(Exit::Ok)
}

fn prompt(args: PromptArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let prompt = match args.words.as_slice() {
        [dash] if dash == "-" => from_stdin()?,
        words => words.join(" "),
    };
    let request = PromptRequest {
        catalog: catalog(global),
        prompt,
        write: args.write.is_some(),
        name: args.write.or(args.name),
        force: args.force,
        reader: match args.reader {
            ReaderChoice::Any => PromptReader::Any,
            ReaderChoice::Words => PromptReader::Words,
            ReaderChoice::Model => PromptReader::Model,
        },
    };
    let report = ops::prompt(context, request)?;
    answers.give(&report, render::prompt::prompt)?;
    Ok(if args.strict && !report.is_clean() { Exit::Spec } else { Exit::Ok })
}

/// One byte more than a prompt may have is enough to refuse it.
fn from_stdin() -> Result<String> {
    let mut text = Vec::new();
    let most = crate::intake::LONGEST_PROMPT as u64 + 1;
    let read = std::io::stdin().lock().take(most).read_to_end(&mut text);
    read.map_err(|e| Failure::io("reading the prompt from stdin", &e))?;
    String::from_utf8(text).map_err(|_| {
        Failure::spec("the prompt is not in UTF-8")
            .code(crate::model::ErrorCode::Parse)
            .hint("Send it as UTF-8.")
    })
}

fn check(global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let report = ops::check(context, CheckRequest { catalog: catalog(global) })?;
    answers.give(&report, render::catalog::check)?;
    Ok(if report.problems.is_empty() { Exit::Ok } else { Exit::Spec })
}

fn explain(args: ExplainArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    if let Some(topic) = &args.topic {
        answers.give(&ops::topic(context, topic)?, render::topic::topic)?;
    }
    let Some(image) = args.resolved else { return Ok(Exit::Ok) };
    let part = args.origin.is_some();
    let request = ExplainRequest { catalog: catalog(global), image, field: args.origin };
    let report = ops::explain(context, request)?;
    answers.give(&report, |report, palette| match part {
        true => render::explain::origins(report, palette),
        false => render::explain::document(report),
    })?;
    Ok(Exit::Ok)
}

fn lock(args: LockArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let request = LockRequest {
        catalog: catalog(global),
        only: args.names,
        // A difference to what upstream has now is what `--diff` is asked for.
        update: args.update || args.diff,
        dry_run: args.diff,
    };
    let report = ops::lock(context, request)?;
    answers.give(&report, render::catalog::lock)?;
    Ok(Exit::Ok)
}

fn plan(args: PlanArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let request =
        PlanRequest { catalog: catalog(global), only: args.only, force: args.force, deep: args.deep };
    let report = ops::plan(context, request)?;
    let markdown = args.markdown;
    answers.give(
        &report,
        |report, _| {
            if markdown { report.markdown.clone() } else { planner::text(&report.planned) }
        },
    )?;
    let refused = report.planned.report.iter().any(|r| matches!(r.status, Status::Refused { .. }));
    let nothing = report.planned.plan.is_empty() && report.planned.cards.steps.is_empty();
    let pending = args.exit_code && !nothing;
    Ok(match (refused, pending) {
        (true, _) => Exit::Spec,
        (false, true) => Exit::Pending,
        (false, false) => Exit::Ok,
    })
}

fn reconcile(args: ReconcileArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let request = ReconcileRequest {
        catalog: catalog(global),
        only: args.only,
        force: args.force,
        jobs: args.jobs,
        dry_run: args.dry_run,
        deep: args.deep,
    };
    if args.watch {
        let interval = Duration::from_secs(args.interval);
        return watch(WatchRequest { reconcile: request, interval }, context, answers);
    }
    let report = ops::reconcile(context, request)?;
    let dry_run = args.dry_run;
    answers.give(&report, |report, palette| {
        if dry_run { planner::text(&report.planned) } else { render::plan::reconcile(report, palette) }
    })?;
    Ok(exit_of(&report))
}

fn exit_of(report: &ReconcileReport) -> Exit {
    match report.failed.first() {
        _ if report.interrupted => Exit::Interrupted,
        Some(failed) => Exit::of(&failed.failure),
        None => Exit::Ok,
    }
}

fn watch(request: WatchRequest, context: &Context, answers: &Answers) -> Result<Exit> {
    #[derive(Serialize)]
    struct Failed<'a> {
        error: BuildError<'a>,
    }
    let mut written = Ok(());
    ops::watch(context, request, &mut |round| {
        let this = match &round {
            Ok(report) => answers.give(report, render::plan::reconcile),
            Err(failure) => answers
                .give(&Failed { error: failure.into() }, |_, palette| super::error::text(failure, palette)),
        };
        if this.is_err() {
            // Nobody can read what the rounds say any more.
            context.cancel.request();
            written = this;
        }
    })?;
    written.map(|()| Exit::Ok)
}

fn boot(args: BootArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let request = BootRequest {
        catalog: catalog(global),
        target: args.target,
        mode: args.mode,
        graphical: args.graphical,
        display: answers.display.to_vec(),
        memory_mib: args.memory,
    };
    let report = ops::boot(context, request)?;
    answers.give(&report, render::release::boot)?;
    Ok(Exit::Ok)
}

fn rebuild(args: RebuildArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let request = RebuildRequest {
        catalog: catalog(global),
        store: args.store.store,
        target: args.target,
        keys: args.keys.keys,
        threshold: args.keys.threshold,
        keep: args.keep,
        unsigned: args.unsigned,
    };
    let report = ops::rebuild(context, request)?;
    answers.give(&report, render::release::rebuild)?;
    Ok(if report.reproduced { Exit::Ok } else { Exit::Verify })
}

fn release(
    command: ReleaseCommand,
    global: &GlobalArgs,
    context: &Context,
    answers: &Answers,
) -> Result<Exit> {
    let catalog = catalog(global);
    match command {
        ReleaseCommand::List(args) => {
            let request = ReleaseListRequest { catalog, store: args.store.store, image: args.image };
            answers.give(&ops::release_list(context, request)?, render::release::list)?;
        }
        ReleaseCommand::Show(args) => {
            let request = ReleaseShowRequest { catalog, store: args.store.store, release: args.release };
            answers.give(&ops::release_show(context, request)?, render::release::show)?;
        }
        ReleaseCommand::Verify(args) => {
            let request = VerifyRequest {
                catalog,
                store: args.store.store,
                target: args.target,
                keys: args.keys.keys,
                threshold: args.keys.threshold,
            };
            let report = ops::release_verify(context, request)?;
            answers.give(&report, render::release::verify)?;
            return Ok(if report.passed() { Exit::Ok } else { Exit::Verify });
        }
        ReleaseCommand::Fetch(args) => {
            let request = FetchRequest {
                catalog,
                store: args.store.store,
                release: args.release,
                to: args.to,
                outputs: args.outputs,
                keys: args.keys.keys,
                threshold: args.keys.threshold,
            };
            answers.give(&ops::release_fetch(context, request)?, render::release::fetch)?;
        }
        ReleaseCommand::Promote(args) => {
            let request = PromoteRequest { catalog, release: args.release, channel: args.channel };
            answers.give(&ops::release_promote(context, request)?, render::release::promote)?;
        }
        ReleaseCommand::Prune(args) => {
            let request =
                PruneRequest { catalog, keep: args.keep, older_than_days: args.older_than, remove: args.yes };
            answers.give(&ops::release_prune(context, request)?, render::release::prune)?;
        }
    }
    Ok(Exit::Ok)
}

fn cache(command: CacheCommand, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let catalog = catalog(global);
    match command {
        CacheCommand::List(args) => {
            let request = CacheListRequest { catalog, kinds: args.kinds };
            answers.give(&ops::cache_list(context, request)?, render::cache::list)?;
        }
        CacheCommand::Prune(args) => {
            let request = CachePruneRequest {
                catalog,
                kinds: args.kinds,
                max_size: args.max_size,
                older_than: args.older_than,
                dry_run: args.dry_run,
            };
            answers.give(&ops::cache_prune(context, request)?, render::cache::prune)?;
        }
        CacheCommand::Verify(args) => {
            let request = CacheVerifyRequest { catalog, kinds: args.kinds };
            let report = ops::cache_verify(context, request)?;
            answers.give(&report, render::cache::verify)?;
            return Ok(if report.verified.damaged.is_empty() { Exit::Ok } else { Exit::Verify });
        }
    }
    Ok(Exit::Ok)
}

fn key(command: KeyCommand, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let catalog = catalog(global);
    let change = match command {
        KeyCommand::List => {
            let report = ops::key_list(context, KeyListRequest { catalog })?;
            answers.give(&report, render::keys::list)?;
            return Ok(Exit::Ok);
        }
        KeyCommand::New(args) => {
            let (from, until) = (args.from, args.until);
            ops::key_new(context, KeyNewRequest { catalog, name: args.name, from, until })?
        }
        KeyCommand::Rotate(args) => {
            let overlap = chrono::TimeDelta::days(i64::from(args.overlap));
            let request = KeyRotateRequest { catalog, name: args.name, old: args.old, overlap };
            ops::key_rotate(context, request)?
        }
        KeyCommand::Retire(args) => {
            ops::key_retire(context, KeyRetireRequest { catalog, name: args.name, at: args.at })?
        }
    };
    answers.give(&change, render::keys::change)?;
    Ok(Exit::Ok)
}

fn packages(args: PackagesArgs, answers: &Answers) -> Result<Exit> {
    let request = PackagesRequest { names: args.names, base: args.base, category: args.category };
    let report = ops::packages(request);
    answers.give(&report, render::packages::packages)?;
    Ok(if report.unknown.is_empty() { Exit::Ok } else { Exit::Spec })
}

fn containerfile(
    args: ContainerfileArgs,
    global: &GlobalArgs,
    context: &Context,
    answers: &Answers,
) -> Result<Exit> {
    let engine = args.engine.map(|engine| match engine {
        EngineArg::Buildah => Engine::Buildah,
        EngineArg::Podman => Engine::Podman,
        EngineArg::Docker => Engine::Docker,
    });
    let (name, from, output_dir, build) = (args.name, args.from, args.output_dir, args.build);
    let catalog = catalog(global);
    let request = ContainerfileRequest { catalog, name, from, output_dir, build, engine };
    let report = ops::containerfile(context, request)?;
    answers.give(&report, render::packages::containerfile)?;
    Ok(Exit::Ok)
}

fn doctor(args: DoctorArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let report = ops::doctor(context, DoctorRequest { folder: args.folder, install: args.install })?;
    answers.give(&report, render::doctor::doctor)?;
    Ok(if report.ready { Exit::Ok } else { Exit::Host })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::catalog::CatalogSource;
    use crate::model::plan::{Plan, Planned};
    use crate::ops::FailedImage;

    fn report(failures: Vec<Failure>, interrupted: bool) -> ReconcileReport {
        let source = CatalogSource { location: ".".into(), commit: None };
        let plan = Plan { source, made: chrono::DateTime::UNIX_EPOCH, store: Vec::new(), steps: Vec::new() };
        let failed = failures.into_iter();
        ReconcileReport {
            planned: Planned { plan, report: Vec::new(), findings: Vec::new(), cards: Default::default() },
            published: Vec::new(),
            repaired: Vec::new(),
            failed: failed.map(|failure| FailedImage { image: "gw".parse().unwrap(), failure }).collect(),
            remaining: Vec::new(),
            interrupted,
            elapsed_ms: 0,
        }
    }

    #[test]
    fn the_first_failure_gives_the_exit_code() {
        assert_eq!(exit_of(&report(vec![], false)), Exit::Ok);
        assert_eq!(exit_of(&report(vec![Failure::upstream("x"), Failure::bug("y")], false)), Exit::Upstream);
        assert_eq!(exit_of(&report(vec![Failure::upstream("x")], true)), Exit::Interrupted);
        assert_eq!(exit_of(&report(vec![], true)), Exit::Interrupted);
    }
}

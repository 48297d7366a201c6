//! `openwrt`: arguments → request → operation → answer.

use super::args::GlobalArgs;
use super::error::Exit;
use super::openwrt_args::{
    BuilderCommand, BuildsArgs, FirmwareBuildArgs, OpenwrtCommand, ProfileListArgs, ProfileNewArgs,
    ProfilesCommand, SysupgradeArgs,
};
use super::render::{firmware, openwrt as builders, profiles};
use super::run::{Answers, catalog};
use super::writers::listens;
use crate::model::{Failure, Result};
use crate::ops::openwrt::asu::SysupgradeRequest;
use crate::ops::openwrt::builders::{
    BuilderEnsureRequest, BuilderListRequest, BuilderPruneRequest, BuilderVerifyRequest,
};
use crate::ops::openwrt::building::FirmwareBuildRequest;
use crate::ops::openwrt::bundle::{ProfileExportRequest, ProfileImportRequest};
use crate::ops::openwrt::changes::ChangesRequest;
use crate::ops::openwrt::profiles::{
    ProfileCloneRequest, ProfileDeprecateRequest, ProfileListRequest, ProfileNewRequest,
    ProfileOfferedRequest, ProfileShowRequest,
};
use crate::ops::openwrt::records::BuildsRequest;
use crate::ops::{self, CatalogRef, Context};
use crate::serve::asu;

/// Carries out one command of `openwrt`.
///
/// # Errors
/// What the operation says.
pub fn run(
    command: OpenwrtCommand,
    global: &GlobalArgs,
    context: &Context,
    answers: &Answers,
) -> Result<Exit> {
    match command {
        OpenwrtCommand::Builder(command) => builder(command, global, context, answers),
        OpenwrtCommand::Build(args) => build(args, catalog(global), context, answers),
        OpenwrtCommand::Builds(args) => {
            let BuildsArgs { profile, image, device, release } = args;
            let request = BuildsRequest { catalog: catalog(global), profile, image, device, release };
            answers.give(&ops::builds(context, &request)?, firmware::builds)?;
            Ok(Exit::Ok)
        }
        OpenwrtCommand::Changes(args) => {
            answers.give(&ops::changes(context, &ChangesRequest { from: args.from })?, firmware::changes)?;
            Ok(Exit::Ok)
        }
        OpenwrtCommand::Serve(args) => serve(args, catalog(global), context, answers),
        OpenwrtCommand::Profiles(command) => profile(command, catalog(global), context, answers),
    }
}

fn build(args: FirmwareBuildArgs, catalog: CatalogRef, context: &Context, answers: &Answers) -> Result<Exit> {
    let FirmwareBuildArgs { names, tags, all, jobs, force, dry_run } = args;
    let request = FirmwareBuildRequest { catalog, names, tags, all, jobs, force, dry_run };
    let report = ops::firmware_build(context, &request)?;
    answers.give(&report, firmware::build)?;
    Ok(report.failed.first().map_or(Exit::Ok, |failed| Exit::of(&failed.failure)))
}

fn serve(args: SysupgradeArgs, catalog: CatalogRef, context: &Context, answers: &Answers) -> Result<Exit> {
    let scheme = if args.certificate.is_some() { "https" } else { "http" };
    let request = asu::ServeRequest {
        sysupgrade: SysupgradeRequest { catalog },
        listen: args.listen,
        tls: args.certificate.zip(args.certificate_key),
    };
    let mut told = Ok(());
    asu::serve(context, &request, |listening| told = listens(answers, scheme, listening))?;
    told.map(|()| Exit::Ok)
}

fn profile(
    command: ProfilesCommand,
    catalog: CatalogRef,
    context: &Context,
    answers: &Answers,
) -> Result<Exit> {
    match command {
        ProfilesCommand::List(args) => list(args, Vec::new(), catalog, context, answers)?,
        ProfilesCommand::Search(args) => list(args.list, args.words, catalog, context, answers)?,
        ProfilesCommand::Show(args) => {
            let request = ProfileShowRequest { catalog, name: args.name };
            answers.give(&ops::profile_show(context, &request)?, profiles::show)?;
        }
        ProfilesCommand::New(args) => new(args, catalog, context, answers)?,
        ProfilesCommand::Clone(args) => {
            let (from, to, release) = (args.from, args.to, args.release);
            let request = ProfileCloneRequest { catalog, from, to, release };
            answers.give(&ops::profile_clone(context, &request)?, profiles::written)?;
        }
        ProfilesCommand::Deprecate(args) => {
            let request = ProfileDeprecateRequest { catalog, name: args.name, why: args.why };
            answers.give(&ops::profile_deprecate(context, &request)?, profiles::written)?;
        }
        ProfilesCommand::Export(args) => {
            let request = ProfileExportRequest { catalog, names: args.names, to: args.to };
            answers.give(&ops::profile_export(context, &request)?, profiles::export)?;
        }
        ProfilesCommand::Import(args) => {
            let request = ProfileImportRequest { catalog, from: args.from };
            answers.give(&ops::profile_import(context, &request)?, profiles::import)?;
        }
    }
    Ok(Exit::Ok)
}

fn list(
    args: ProfileListArgs,
    words: Vec<String>,
    catalog: CatalogRef,
    context: &Context,
    answers: &Answers,
) -> Result<()> {
    let ProfileListArgs { tags, release, target } = args;
    let request = ProfileListRequest { catalog, tags, release, platform: target, words };
    answers.give(&ops::profile_list(context, &request)?, profiles::list)
}

fn new(args: ProfileNewArgs, catalog: CatalogRef, context: &Context, answers: &Answers) -> Result<()> {
    let (release, platform) = (args.release, args.target);
    if let Some(words) = args.offered {
        let request = ProfileOfferedRequest { catalog, release, platform, words };
        return answers.give(&ops::profile_offered(context, &request)?, profiles::offered);
    }
    let (Some(name), Some(profile)) = (args.name, args.profile) else {
        return Err(Failure::bug("the arguments of `openwrt profiles new` were not checked"));
    };
    let request = ProfileNewRequest {
        catalog,
        name,
        description: args.description,
        tags: args.tags,
        release,
        platform,
        profile,
        add: args.add,
        remove: args.remove,
    };
    answers.give(&ops::profile_new(context, &request)?, profiles::written)
}

fn builder(
    command: BuilderCommand,
    global: &GlobalArgs,
    context: &Context,
    answers: &Answers,
) -> Result<Exit> {
    let catalog = catalog(global);
    match command {
        BuilderCommand::Ensure(args) => {
            let request = BuilderEnsureRequest { catalog, release: args.release, platform: args.platform };
            answers.give(&ops::builder_ensure(context, request)?, builders::ensure)?;
        }
        BuilderCommand::List => {
            answers.give(&ops::builder_list(context, BuilderListRequest { catalog })?, builders::list)?;
        }
        BuilderCommand::Verify => {
            let report = ops::builder_verify(context, BuilderVerifyRequest { catalog })?;
            answers.give(&report, builders::verify)?;
            return Ok(if report.damaged.is_empty() { Exit::Ok } else { Exit::Verify });
        }
        BuilderCommand::Prune(args) => {
            let (max_size, max_age, dry_run) = (args.max_size, args.max_age, args.dry_run);
            let request = BuilderPruneRequest { catalog, max_size, max_age, dry_run };
            answers.give(&ops::builder_prune(context, request)?, builders::prune)?;
        }
    }
    Ok(Exit::Ok)
}

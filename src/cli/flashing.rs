//! `flash`: the one command that asks a question, because what it overwrites is gone.

use super::args::GlobalArgs;
use super::error::Exit;
use super::flash_args::{FlashArgs, FlashCommand, FlashFilterArgs, FlashWriteArgs};
use super::render;
use super::run::{Answers, catalog};
use super::terminal::clean;
use crate::effects::Cancel;
use crate::model::flash::Device;
use crate::model::{Failure, Result};
use crate::ops::{
    self, CatalogRef, CheckVerdict, Context, FlashCheckRequest, FlashHistoryRequest, FlashReport,
    FlashRequest, MapChoice,
};
use crate::state::FlashFilter;
use std::fs::File;
use std::io::{BufRead, IsTerminal, Read};
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

/// How often a wish to stop is looked for while nobody types.
const LOOK: Duration = Duration::from_millis(100);

/// No build id is longer, in bytes.
const LONGEST_REPORT: u64 = 4096;

pub fn flash(args: FlashArgs, global: &GlobalArgs, context: &Context, answers: &Answers) -> Result<Exit> {
    let catalog = catalog(global);
    match args.command {
        None => write(args.write, catalog, context, answers),
        Some(FlashCommand::History(args)) => {
            let request = FlashHistoryRequest { catalog, filter: filter(args.filter), most: args.most };
            answers.give(&ops::flash_history(context, &request)?, render::flash::history)?;
            Ok(Exit::Ok)
        }
        Some(FlashCommand::Check(args)) => {
            let reported = reported(&args.reported, context)?;
            let request = FlashCheckRequest { catalog, reported, filter: filter(args.filter) };
            let report = ops::flash_check(context, &request)?;
            answers.give(&report, render::flash::check)?;
            let good = matches!(report.verdict, CheckVerdict::Same | CheckVerdict::Alike);
            Ok(if good { Exit::Ok } else { Exit::Verify })
        }
    }
}

fn filter(args: FlashFilterArgs) -> FlashFilter {
    FlashFilter { card: args.card, slot: args.slot, image: args.image.map(|image| image.to_string()) }
}

/// What a device says of itself.
fn reported(path: &Path, context: &Context) -> Result<String> {
    let mut text = Vec::new();
    let read = match path == Path::new("-") {
        true => std::io::stdin().lock().take(LONGEST_REPORT).read_to_end(&mut text),
        false => File::open(context.cwd.join(path))
            .and_then(|file| file.take(LONGEST_REPORT).read_to_end(&mut text)),
    };
    read.map_err(|e| Failure::io(format!("reading {}", path.display()), &e))?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn write(args: FlashWriteArgs, catalog: CatalogRef, context: &Context, answers: &Answers) -> Result<Exit> {
    let asks = !args.yes && !args.dry_run;
    if asks && !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
        return Err(Failure::spec(
            "flash asks before it overwrites a device, and there is no terminal to ask at",
        )
        .hint("Look with --dry-run what would be done, then say --yes."));
    }
    let request = FlashRequest {
        catalog,
        store: args.store.store,
        target: args.target.ok_or_else(|| Failure::bug("flash was called with nothing to write"))?,
        sha256: args.sha256,
        block_map: match (args.bmap, args.no_bmap) {
            (Some(path), _) => MapChoice::File(path),
            (None, true) => MapChoice::Without,
            (None, false) => MapChoice::Beside,
        },
        architecture: args.architecture,
        board: args.board,
        keys: args.keys.keys,
        threshold: args.keys.threshold,
        devices: args.devices,
        verify: args.verify,
        wipe: args.wipe,
        patience: Duration::from_secs(args.stall_after),
        force: args.force,
        dry_run: args.dry_run,
        reader: None,
    };
    let prepared = ops::flash_prepare(context, &request)?;
    if args.dry_run {
        answers.give(prepared.plan(), render::flash::plan)?;
        return Ok(Exit::Ok);
    }
    if asks {
        answers.progress.clear();
        answers.progress.message(render::flash::plan(prepared.plan(), answers.palette).trim_end());
        for device in &prepared.plan().devices {
            ask(device, answers, &context.cancel)?;
        }
    }
    let report = ops::flash_write(context, prepared)?;
    answers.give(&report, render::flash::report)?;
    Ok(exit_of(&report, &context.cancel))
}

/// Has the device's name typed.
fn ask(device: &Device, answers: &Answers, cancel: &Cancel) -> Result<()> {
    let name = clean(&device.name);
    answers
        .progress
        .message(&format!("Type {name} to overwrite {}:", clean(&device.path.display().to_string())));
    let typed = line(cancel)?;
    match is_named(device, &typed) {
        true => Ok(()),
        false => Err(Failure::spec(format!("{name} was not typed; nothing was written"))
            .hint("Type the device's name, such as sdb, to say that you mean it.")),
    }
}

fn is_named(device: &Device, typed: &str) -> bool {
    let typed = typed.trim();
    typed == device.name || typed == device.path.to_string_lossy()
}

/// One line from the terminal. Whoever waits here can still be stopped.
fn line(cancel: &Cancel) -> Result<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        let mut typed = String::new();
        let read = std::io::stdin().lock().read_line(&mut typed);
        let _ = send.send(read.map(|_| typed));
    });
    loop {
        cancel.check()?;
        match receive.recv_timeout(LOOK) {
            Ok(typed) => return typed.map_err(|e| Failure::io("reading from the terminal", &e)),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(String::new()),
        }
    }
}

fn exit_of(report: &FlashReport, cancel: &Cancel) -> Exit {
    match report.first_failure() {
        _ if report.all_good() => Exit::Ok,
        _ if cancel.is_requested() => Exit::Interrupted,
        Some(failure) => Exit::of(failure),
        None => Exit::Verify,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_devices_name_says_yes() {
        let device = Device {
            path: "/dev/sdb".into(),
            name: "sdb".to_owned(),
            number: "8:16".to_owned(),
            sequence: None,
            size: 1,
            block_size: 512,
            vendor: None,
            model: None,
            serial: None,
            card: None,
            removable: true,
            filesystem: None,
            partitions: Vec::new(),
        };
        for good in ["sdb", "sdb\n", "/dev/sdb\r\n"] {
            assert!(is_named(&device, good), "{good:?}");
        }
        for bad in ["", "\n", "y", "yes", "sda", "sdb1", "SDB", "sdb sdc"] {
            assert!(!is_named(&device, bad), "{bad:?}");
        }
    }
}

//! `boot`: an image in a virtual machine, for a person.

use super::releases::{Keys, open, version};
use super::{BootReport, BootRequest, BootTarget, Context};
use crate::effects::Place;
use crate::effects::files::WorkFolder;
use crate::effects::place::Local;
use crate::model::release::{FileRole, FirmwareFacts};
use crate::model::spec::Architecture;
use crate::model::{ArtifactKind, Failure, Result};
use crate::verify::{self, Acceleration, Options, Screen, Tools, interactive::Session};
use std::time::Instant;

/// Where a machine's scratch files live, below the folder that Bootwright is run in.
const SCRATCH: &str = ".bootwright/boot";

/// Starts an image in a virtual machine for a person to use.
///
/// # Errors
/// Class *host* if the machine cannot be started.
pub fn boot(context: &Context, request: BootRequest) -> Result<BootReport> {
    let (file, of_firmware) = file_of(context, &request)?;
    let work = WorkFolder::new(&context.cwd.join(SCRATCH), "session")?;
    let mut options = Options::below(work.path());
    let architecture = match of_firmware {
        Some(architecture) => architecture,
        None => verify::interactive::architecture_of(file.path(), &context.cancel)?,
    };
    let tools = Tools::of(architecture);
    options.tools = tools.clone();
    // Kept between sessions: the probe of a host takes a while.
    options.acceleration = Acceleration::Auto { cache: context.cwd.join(SCRATCH).join("accelerator.json") };
    let accelerator = verify::accel::for_medium(file.path(), &options, &context.events, &context.cancel)?;
    let started = Instant::now();
    verify::interactive(
        &Session {
            image: file.path(),
            mode: request.mode,
            virtio: of_firmware.is_some(),
            memory_mib: request.memory_mib,
            screen: match request.graphical {
                true => Screen::Window { environment: request.display.clone() },
                false => Screen::Terminal,
            },
            accelerator,
            tools: &tools,
            scratch: work.path(),
        },
        &context.cancel,
    )?;
    Ok(BootReport {
        file: file.path().to_owned(),
        mode: request.mode,
        accelerator: accelerator.as_str().to_owned(),
        elapsed_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// The file; of firmware also what its programs are made for.
fn file_of(context: &Context, request: &BootRequest) -> Result<(Local, Option<Architecture>)> {
    let release = match &request.target {
        BootTarget::File(path) => {
            let path = context.cwd.join(path);
            if path.is_file() {
                return Ok((Place::folder(path).local()?, None));
            }
            return Err(Failure::not_found(format!("there is no file {}", path.display()))
                .hint("Name an ISO or a disk image (.img, .img.zst, .img.gz), or a release as IMAGE, IMAGE@CHANNEL or IMAGE/VERSION."));
        }
        BootTarget::Release(release) => release,
    };
    let opened = open(context, &request.catalog, None, &Keys::default())?;
    let version = version(&opened.store.index(&opened.keys)?, release)?;
    let manifest = opened.store.manifest(&release.image, &version, &opened.keys)?;
    let of = |kind| manifest.files.iter().find(|f| f.role == FileRole::Artifact(kind));
    let firmware = manifest.system.firmware().filter(|firmware| firmware.not_booted.is_none());
    let starts = |firmware: &'_ FirmwareFacts| {
        let image = firmware.images.iter().find(|image| firmware.boot_mode(image) == Some(request.mode))?;
        manifest.files.iter().find(|file| file.name == image.name)
    };
    let disk = firmware.and_then(starts);
    let image = of(ArtifactKind::Iso).or_else(|| of(ArtifactKind::Disk)).or(disk).ok_or_else(|| {
        let message = format!(
            "{} {version} has no ISO, disk image or firmware that starts by {}",
            release.image,
            request.mode.as_str()
        );
        Failure::not_found(message).hint(
            "Images with `iso` or `disk` in their outputs can be booted, and firmware of x86/64 and armsr/armv8 with \
             `--mode bios` or `--mode uefi`, as its images have it.",
        )
    })?;
    let file = opened.store.folder(&release.image, &version).join(&image.name).local()?;
    let (digest, _) = crate::effects::files::digest_file(file.path())?;
    if digest != image.sha256 {
        return Err(Failure::untrusted(format!("{} is not what was published", file.path().display()))
            .hint("`bootwright release verify` says more; `bootwright reconcile` publishes it again."));
    }
    Ok((file, firmware.and_then(|firmware| firmware.platform.machine())))
}

//! Named points in the way of a run, at which a test stops the real program.
//!
//! A point stands behind every step that leaves something on disk: what comes after a kill
//! at any of them is what the crash tests prove. Nothing happens at a point unless
//! [`arm`] was called, which only the command line does, and only when it was asked to
//! (`docs/crash-safety.md`). The shipped program carries them, so that the tested program
//! is the shipped one; passing one costs a load of a static. A point can only stop the
//! program or make it fail: no step is ever left out because of one.

use crate::model::{Failure, Result};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

macro_rules! points {
    ($($variant:ident $name:literal $what:literal;)*) => {
        /// A step that is done. Its name is `what.happened`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Point {
            $(#[doc = $what] $variant,)*
        }

        impl Point {
            /// All of them, roughly in the order of a run.
            pub const ALL: &[Point] = &[$(Self::$variant,)*];

            /// The name, as a test gives it.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

points! {
    FileWritten "file.written" "A small file lies under a temporary name.";
    FolderMade "folder.made" "A work folder is made.";
    Settled "run.settled" "What a killed run left undone is done.";
    IndexesFetched "lock.indexes" "Package indexes are fetched.";
    LockResolved "lock.resolved" "Packages are resolved.";
    LockKept "lock.kept" "The lock is in the state database.";
    LeaseTaken "lease.taken" "The image is ours.";
    RunStarted "run.started" "The run is in the state database.";
    RunBuilding "run.building" "The run builds.";
    PackagePart "package.part" "A part of a package file has arrived.";
    PackageFetched "package.fetched" "A package file is whole, under its temporary name.";
    PackageStored "package.stored" "A package file has its name.";
    EssentialUnpacked "layer.unpacked" "The essential packages are unpacked.";
    LayerInstalled "layer.installed" "A layer's step has ended.";
    LayerNormalised "layer.normalised" "A layer is normalised.";
    LayerRecorded "layer.recorded" "A layer lies beside its record, under a temporary name.";
    LayerKept "layer.kept" "A layer has its name.";
    InitramfsMade "initramfs.made" "An initramfs is made, under a temporary name.";
    InitramfsKept "initramfs.kept" "An initramfs has its name.";
    SquashfsMade "squashfs.made" "A squashfs module is made, under a temporary name.";
    BlobMade "blob.made" "An OCI blob is made, under a temporary name.";
    DerivedPlaced "derived.placed" "A file derived from a layer has its name and no seal.";
    DerivedSealed "derived.sealed" "A file derived from a layer has its seal.";
    BootFilesExtracted "boot-files.extracted" "Boot loaders are extracted, under a temporary name.";
    BootFilesKept "boot-files.kept" "Boot loaders have their name.";
    IsoTree "iso.tree" "The small files of an ISO are made.";
    IsoWritten "iso.written" "An ISO is written, under a temporary name.";
    OciWritten "oci.written" "An OCI archive is written, under a temporary name.";
    RootfsWritten "rootfs.written" "A root filesystem archive is written, under a temporary name.";
    ArtifactPlaced "artifact.placed" "An artifact has its name.";
    RunVerifying "run.verifying" "The run verifies.";
    RootUnpacked "verify.unpacked" "An artifact is unpacked to be looked at.";
    EvidenceGathered "evidence.gathered" "An artifact was looked at.";
    EvidenceStaged "evidence.staged" "Evidence is written, under a temporary name.";
    EvidenceKept "evidence.kept" "Evidence has its name.";
    RunPublishing "run.publishing" "The run publishes.";
    StoreLocked "publish.locked" "The store is ours.";
    FileStaged "publish.file" "One file of the release is staged.";
    ReleaseSigned "publish.signed" "The release is signed, under a temporary name.";
    ReleaseSynced "publish.synced" "The release is on disk, under a temporary name.";
    ReleaseRenamed "publish.renamed" "The release has its name, and no index lists it.";
    PagePut "publish.page" "One page of the store is written.";
    PagesPut "publish.pages" "All pages of the store are written.";
    IndexWritten "publish.indexed" "The index lists the release.";
    IndexCopied "publish.copied" "The copy of the index is written, and not its signature.";
    ReleasePublished "publish.done" "The store is done with the release.";
    ArtifactsRemoved "artifacts.removed" "The verified copies are removed.";
    RunPublished "run.published" "The run has ended.";
    LeaseReleased "lease.released" "The image is free.";
    BuilderUnpacked "builder.unpacked" "An Image Builder is unpacked, under a temporary name.";
    BuilderSealed "builder.sealed" "An Image Builder lies beside its seal and record, under a temporary name.";
    BuilderKept "builder.kept" "An Image Builder has its name.";
    FirmwareFetched "firmware.fetched" "The packages of a firmware are fetched.";
    FirmwareMade "firmware.made" "A firmware is made, under a temporary name.";
    FirmwareSealed "firmware.sealed" "A firmware lies beside its seal and record, under a temporary name.";
    FirmwareKept "firmware.kept" "A firmware has its name.";
    CardJobIssued "card.issued" "Flash jobs are in the state database.";
    CardJobClaimed "card.claimed" "A flash job is given to a card writer, which has not heard of it yet.";
    CardBeatNoted "card.beat" "It is noted that a card writer is still at its job.";
    CardReceiptKept "card.receipt" "A receipt is a file of the controller, and its job has not ended.";
    CardJobEnded "card.ended" "A flash job ended, and the card writer has not heard of it.";
    WriterTook "writer.took" "The card writer has a job in its journal.";
    WriterReady "writer.ready" "The release is checked and the card is claimed.";
    WriterBegan "writer.began" "The journal says that the card is written, and nothing is yet.";
    WriterWrote "writer.wrote" "The card is written and read back, and the journal does not say so.";
    WriterSigned "writer.signed" "The receipt is in the journal, and nobody has it.";
    WriterTold "writer.told" "The controller has the receipt, and the journal does not say so.";
}

/// What happens where a test wants the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It kills itself: nothing can be tidied up.
    Kill,
    /// It stops itself until somebody sends it SIGCONT.
    Pause,
    /// The step fails as if the disk were full.
    DiskFull,
}

/// Where a test wants the program to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The point.
    pub at: Point,
    /// At which passing, the first being 1.
    pub passing: usize,
    /// What happens there.
    pub how: How,
}

impl Stop {
    /// Reads `NAME` or `NAME:PASSING`, and `kill`, `pause` or `enospc`.
    ///
    /// # Errors
    /// Class *spec* with the names that there are.
    pub fn parse(at: &str, how: Option<&str>) -> Result<Self> {
        let (name, passing) = match at.split_once(':') {
            Some((name, passing)) => (name, passing.parse().ok().filter(|n| *n > 0)),
            None => (at, Some(1)),
        };
        let found = Point::ALL.iter().copied().find(|point| point.name() == name);
        let (Some(point), Some(passing)) = (found, passing) else {
            let names: Vec<&str> = Point::ALL.iter().map(|point| point.name()).collect();
            return Err(Failure::spec(format!("{at:?} names no point of a run"))
                .hint(format!("Write NAME or NAME:PASSING. There are: {}.", names.join(", "))));
        };
        let how = match how {
            None | Some("kill") => How::Kill,
            Some("pause") => How::Pause,
            Some("enospc") => How::DiskFull,
            Some(other) => {
                return Err(Failure::spec(format!("{other:?} is no way to stop"))
                    .hint("Write kill, pause or enospc."));
            }
        };
        Ok(Self { at: point, passing, how })
    }
}

struct Armed {
    stop: Option<Stop>,
    passed: AtomicUsize,
    trace: Option<Mutex<std::fs::File>>,
}

static ARMED: OnceLock<Armed> = OnceLock::new();

/// From now on points are watched: the program stops where `stop` says, and the name of
/// every point that is passed is written to `trace`, one on a line. Only the first call counts.
pub fn arm(stop: Option<Stop>, trace: Option<std::fs::File>) {
    let _ = ARMED.set(Armed { stop, passed: AtomicUsize::new(0), trace: trace.map(Mutex::new) });
}

/// The step of this point is done.
///
/// # Errors
/// *Disk full* where a test wants it.
#[inline]
pub fn point(point: Point) -> Result<()> {
    match ARMED.get() {
        None => Ok(()),
        Some(armed) => armed.pass(point),
    }
}

impl Armed {
    #[cold]
    fn pass(&self, point: Point) -> Result<()> {
        if let Some(trace) = &self.trace {
            let mut trace = trace.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // Whoever watches may have gone.
            let _ = trace.write_all(format!("{}\n", point.name()).as_bytes());
        }
        let Some(stop) = self.stop.filter(|stop| stop.at == point) else { return Ok(()) };
        if self.passed.fetch_add(1, Ordering::SeqCst) + 1 != stop.passing {
            return Ok(());
        }
        let signal = match stop.how {
            How::Kill => nix::sys::signal::Signal::SIGKILL,
            How::Pause => nix::sys::signal::Signal::SIGSTOP,
            How::DiskFull => {
                let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
                return Err(Failure::io(format!("at the point {}", point.name()), &full));
            }
        };
        let _ = nix::sys::signal::kill(nix::unistd::getpid(), signal);
        if stop.how == How::Kill {
            // The signal may take effect on another thread first; this one does no more.
            loop {
                std::thread::park();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorCode;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_unique_words() {
        let names: BTreeSet<&str> = Point::ALL.iter().map(|p| p.name()).collect();
        assert_eq!(names.len(), Point::ALL.len());
        for name in names {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b".-".contains(&b)), "{name}");
        }
    }

    #[test]
    fn stops_are_read() {
        let stop = Stop::parse("layer.kept:3", Some("enospc")).unwrap();
        assert_eq!(stop, Stop { at: Point::LayerKept, passing: 3, how: How::DiskFull });
        assert_eq!(Stop::parse("layer.kept", None).unwrap().how, How::Kill);
        for (at, how) in [
            ("", None),
            ("layer", None),
            ("layer.kept:", None),
            ("layer.kept:0", None),
            ("layer.kept:-1", None),
            ("layer.kept:x", None),
            ("LAYER.KEPT", None),
            ("layer.kept", Some("")),
            ("layer.kept", Some("KILL")),
        ] {
            assert!(Stop::parse(at, how).is_err(), "{at:?} {how:?}");
        }
    }

    #[test]
    fn only_the_wanted_passing_fails() {
        let stop = Stop::parse("layer.kept:2", Some("enospc")).unwrap();
        let armed = Armed { stop: Some(stop), passed: AtomicUsize::new(0), trace: None };
        assert!(armed.pass(Point::LayerKept).is_ok());
        assert!(armed.pass(Point::LeaseTaken).is_ok());
        assert_eq!(armed.pass(Point::LayerKept).unwrap_err().code, ErrorCode::DiskFull);
        assert!(armed.pass(Point::LayerKept).is_ok());
    }
}

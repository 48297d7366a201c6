//! The arguments of `openwrt`.

use crate::model::Digest;
use crate::model::age::Age;
use crate::model::device::{BuilderProfile, DeviceName, OpenwrtPackage, TagName};
use crate::model::openwrt::{Platform, Release};
use crate::model::spec::Size;
use clap::{Args, Subcommand, ValueHint};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// What to do for OpenWrt.
#[derive(Clone, Debug, Subcommand)]
pub enum OpenwrtCommand {
    /// Fetch, look at, check and remove Image Builders
    #[command(subcommand)]
    Builder(BuilderCommand),
    /// Build the firmware of devices, unless it is here
    Build(FirmwareBuildArgs),
    /// Find firmware that was built: of a profile, with an image, for a device
    Builds(BuildsArgs),
    /// Show which packages have new names, as lines for bootwright.yaml
    Changes(ChangesArgs),
    /// Answer routers that ask for firmware, by the Attended Sysupgrade API
    Serve(SysupgradeArgs),
    /// List, look at, make and change device profiles
    #[command(subcommand)]
    Profiles(ProfilesCommand),
}

/// Arguments of `openwrt build`.
#[derive(Clone, Debug, Args)]
pub struct FirmwareBuildArgs {
    /// Device profiles of the catalog
    #[arg(value_name = "PROFILE", required_unless_present_any = ["tags", "all"])]
    pub names: Vec<DeviceName>,
    /// And those with this tag that are not deprecated; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<TagName>,
    /// All that are not deprecated
    #[arg(long)]
    pub all: bool,
    /// How many to build at once; as many as there are processors without it
    #[arg(long, value_name = "NUMBER")]
    pub jobs: Option<NonZeroUsize>,
    /// Build what is here, too
    #[arg(long)]
    pub force: bool,
    /// Say what would be done; ask no server and run nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `openwrt changes`.
#[derive(Clone, Debug, Args)]
pub struct ChangesArgs {
    /// A server of the Attended Sysupgrade API, its overview.json, or a file that holds one
    #[arg(value_name = "ADDRESS|FILE", value_hint = ValueHint::AnyPath)]
    pub from: String,
}

/// Arguments of `openwrt serve`.
#[derive(Clone, Debug, Args)]
pub struct SysupgradeArgs {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub listen: SocketAddr,
    /// The certificate chain that is shown, PEM; without it there is no TLS
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "certificate_key")]
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM, which nobody else may read
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "certificate")]
    pub certificate_key: Option<PathBuf>,
}

/// Arguments of `openwrt builds`.
#[derive(Clone, Debug, Args)]
pub struct BuildsArgs {
    /// Only those of this device profile
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<DeviceName>,
    /// Only those that made an image with this SHA-256, with or without its signature
    #[arg(long, value_name = "SHA256")]
    pub image: Option<Digest>,
    /// Only those for this device, as the Image Builder names it
    #[arg(long, value_name = "DEVICE")]
    pub device: Option<BuilderProfile>,
    /// Only those of this release, or of this branch
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<Release>,
}

/// What to do with device profiles.
#[derive(Clone, Debug, Subcommand)]
pub enum ProfilesCommand {
    /// List the device profiles of the catalog
    List(ProfileListArgs),
    /// List the device profiles in which all of these words are
    Search(ProfileSearchArgs),
    /// Show one device profile with all that belongs to it
    Show(ProfileShowArgs),
    /// Make a device profile, or list the devices that a target offers
    New(ProfileNewArgs),
    /// Make a device profile of another one, with its overlay
    Clone(ProfileCloneArgs),
    /// Say that a device profile should not be used any more
    Deprecate(ProfileDeprecateArgs),
    /// Write device profiles with all their files into one file
    Export(ProfileExportArgs),
    /// Take device profiles from such a file: all of them or none
    Import(ProfileImportArgs),
}

/// Arguments of `openwrt profiles list`.
#[derive(Clone, Debug, Args)]
pub struct ProfileListArgs {
    /// Only those with this tag; given twice, with one of both
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<TagName>,
    /// Only those of this release, as it is written
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<Release>,
    /// Only those of this target
    #[arg(long, value_name = "TARGET/SUBTARGET")]
    pub target: Option<Platform>,
}

/// Arguments of `openwrt profiles search`.
#[derive(Clone, Debug, Args)]
pub struct ProfileSearchArgs {
    /// Words of names, descriptions, tags, devices, releases, targets, packages
    #[arg(value_name = "WORD", required = true)]
    pub words: Vec<String>,
    /// What `list` takes as well
    #[command(flatten)]
    pub list: ProfileListArgs,
}

/// Arguments of `openwrt profiles show`.
#[derive(Clone, Debug, Args)]
pub struct ProfileShowArgs {
    /// The device profile
    #[arg(value_name = "NAME")]
    pub name: DeviceName,
}

/// Arguments of `openwrt profiles new`.
#[derive(Clone, Debug, Args)]
pub struct ProfileNewArgs {
    /// What to call it
    #[arg(value_name = "NAME", required_unless_present = "offered")]
    pub name: Option<DeviceName>,
    /// 24.10.5, 25.12 (the latest of the branch), snapshot or 24.10-SNAPSHOT
    #[arg(long, value_name = "RELEASE")]
    pub release: Release,
    /// The target, such as ramips/mt7621
    #[arg(long, value_name = "TARGET/SUBTARGET")]
    pub target: Platform,
    /// The device as the Image Builder names it, such as `netgear_r6220`
    #[arg(long, value_name = "DEVICE", required_unless_present = "offered")]
    pub profile: Option<BuilderProfile>,
    /// Make nothing: list the devices that the target offers, those in whose names all of these
    /// words are
    #[arg(
        long,
        value_name = "WORD",
        num_args = 0..,
        conflicts_with_all = ["name", "profile", "description", "tags", "add", "remove"]
    )]
    pub offered: Option<Vec<String>>,
    /// One line that says what it is; else what the release says of the device
    #[arg(long, value_name = "TEXT")]
    pub description: Option<String>,
    /// A tag, to select it by
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<TagName>,
    /// A package to put in
    #[arg(long = "add", value_name = "PACKAGE")]
    pub add: Vec<OpenwrtPackage>,
    /// A package to leave out
    #[arg(long = "remove", value_name = "PACKAGE")]
    pub remove: Vec<OpenwrtPackage>,
}

/// Arguments of `openwrt profiles clone`.
#[derive(Clone, Debug, Args)]
pub struct ProfileCloneArgs {
    /// The device profile that is there
    #[arg(value_name = "FROM")]
    pub from: DeviceName,
    /// What to call the new one
    #[arg(value_name = "TO")]
    pub to: DeviceName,
    /// Another release
    #[arg(long, value_name = "RELEASE")]
    pub release: Option<Release>,
}

/// Arguments of `openwrt profiles deprecate`.
#[derive(Clone, Debug, Args)]
pub struct ProfileDeprecateArgs {
    /// The device profile
    #[arg(value_name = "NAME")]
    pub name: DeviceName,
    /// Why, and what to use in its place
    #[arg(long, value_name = "TEXT")]
    pub why: String,
}

/// Arguments of `openwrt profiles export`.
#[derive(Clone, Debug, Args)]
pub struct ProfileExportArgs {
    /// The device profiles; all of the catalog without a name
    #[arg(value_name = "NAME")]
    pub names: Vec<DeviceName>,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}

/// Arguments of `openwrt profiles import`.
#[derive(Clone, Debug, Args)]
pub struct ProfileImportArgs {
    /// The file to read
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
}

/// What to do with Image Builders.
#[derive(Clone, Debug, Subcommand)]
pub enum BuilderCommand {
    /// Fetch an Image Builder, check who signed for it, and unpack it, unless it is here
    Ensure(BuilderEnsureArgs),
    /// List the Image Builders of the cache
    List,
    /// Read every byte and remove what is damaged
    Verify,
    /// Remove what was not used for long, or what does not fit; never what is in use
    Prune(BuilderPruneArgs),
}

/// Arguments of `openwrt builder ensure`.
#[derive(Clone, Debug, Args)]
pub struct BuilderEnsureArgs {
    /// 24.10.5, 25.12 (the latest of the branch), snapshot or 24.10-SNAPSHOT
    #[arg(value_name = "RELEASE")]
    pub release: Release,
    /// The target, such as x86/64
    #[arg(value_name = "TARGET/SUBTARGET")]
    pub platform: Platform,
}

/// Arguments of `openwrt builder prune`.
#[derive(Clone, Debug, Args)]
pub struct BuilderPruneArgs {
    /// Remove what was not used for so long, such as 30d
    #[arg(long, value_name = "AGE")]
    pub max_age: Option<Age>,
    /// Remove the longest unused until so much is left, such as 20GiB
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Say what would be removed and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

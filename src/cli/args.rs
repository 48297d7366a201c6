//! The arguments, as plain structs. Nothing is decided here: `run` turns them into requests.

use super::flash_args::FlashArgs;
use super::openwrt_args::OpenwrtCommand;
use super::release_args::{KeysArg, ReleaseCommand, StoreArg};
use super::writer_args::{ServeArgs, WriterCommand};
use crate::build::cache::kind::{Kind, TABLE};
use crate::model::ImageName;
use crate::model::age::Age;
use crate::model::name::{KeyName, ProfileName, SuiteName};
use crate::model::profile::SecurityLevel;
use crate::model::signing::Moment;
use crate::model::spec::{Architecture, Base, BootMode, Output, Size};
use crate::ops::{BootTarget, Selector, VerifyTarget};
use crate::tables::CATEGORIES;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// The whole command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "bootwright",
    version,
    about = "GitOps for operating-system images",
    long_about = "GitOps for operating-system images: a git repository says which images should exist; \
                  bootwright builds what is missing, boots every image before it trusts it, signs and \
                  publishes the release.",
    after_help = "Start with `bootwright doctor`, then `bootwright init DIR`. Exit codes: docs/exit-codes.md.",
    infer_long_args = false,
    max_term_width = 100
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// The catalog: a folder, a bare repository or an address (https, ssh, file)
    #[arg(long, short = 'C', global = true, value_name = "LOCATION", default_value = ".", env = "BOOTWRIGHT_CATALOG", value_hint = ValueHint::AnyPath)]
    pub catalog: String,
    /// Read the catalog at this branch, tag or commit instead of the working tree
    #[arg(long, global = true, value_name = "REV")]
    pub rev: Option<String>,
    /// Text for people, or JSON: the report on stdout, one event a line on stderr
    #[arg(long, global = true, value_enum, default_value_t = OutputFormat::Text, value_name = "FORMAT")]
    pub output: OutputFormat,
    /// Say nothing but the result, warnings and errors
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Show what the tools say
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// When to use colours; NO_COLOR and TERM=dumb switch them off too
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub color: ColorChoice,
    /// The same as --color never
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Ask nothing of the network: work from the caches, or say what is missing (OFFLINE_ONLY=true does the same)
    #[arg(long, global = true)]
    pub offline: bool,
    /// Write a log of everything to FILE, one JSON object a line
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub log: Option<PathBuf>,
}

/// How results and progress are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// When colours are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Make a catalog that works: settings, mirrors, a signing key, a first spec
    Init(InitArgs),
    /// Add a spec to the catalog
    New(NewArgs),
    /// Make a spec of plain words: "Debian 12 with nginx, ports 80 and 443 open"
    Prompt(PromptArgs),
    /// Say everything that is wrong with the catalog, in one go
    Check,
    /// Say what a field, a rule or an error code is, or how the values of an image came about
    Explain(ExplainArgs),
    /// Resolve packages with the distribution's own tools and write the locks
    Lock(LockArgs),
    /// Say what would be done, and why; change nothing
    Plan(PlanArgs),
    /// Build, verify, sign and publish what is missing
    Reconcile(ReconcileArgs),
    /// Start an image in a virtual machine
    Boot(BootArgs),
    /// Build a release again in a clean place and say whether the same bytes come out
    Rebuild(RebuildArgs),
    /// Look at, check, fetch and promote releases
    #[command(subcommand)]
    Release(ReleaseCommand),
    /// Write an image to SD cards or other devices, and prove that it is there
    Flash(FlashArgs),
    /// Hosts with card readers: enrol them, run their agent, list their jobs
    #[command(subcommand)]
    Writer(WriterCommand),
    /// Answer card writers over HTTPS
    Serve(ServeArgs),
    /// Look into the cache, check it, make it smaller
    #[command(subcommand)]
    Cache(CacheCommand),
    /// Look at, make, rotate and retire signing keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// OpenWrt: device profiles, firmware, Image Builders
    #[command(subcommand)]
    Openwrt(OpenwrtCommand),
    /// Show what distributions call a package, where it comes from, or why it is not there
    Packages(PackagesArgs),
    /// Write an image's spec as a Containerfile, for any of the distributions
    Containerfile(ContainerfileArgs),
    /// Say what this host lacks, and install it when asked
    Doctor(DoctorArgs),
    /// Write shell completions to stdout
    Completions(CompletionsArgs),
    /// Write a man page to stdout
    Man(ManArgs),
}

/// Arguments of `init`.
#[derive(Clone, Debug, Args)]
pub struct InitArgs {
    /// The folder; made if it is not there
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub dir: PathBuf,
    /// Copy specs, policies and runners from this catalog
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub from: Option<PathBuf>,
    /// Make no signing key
    #[arg(long)]
    pub no_key: bool,
}

/// Arguments of `new`.
#[derive(Clone, Debug, Args)]
pub struct NewArgs {
    /// The image's name
    #[arg(value_name = "NAME")]
    pub name: ImageName,
    /// The distribution
    #[arg(long, default_value = "debian", value_name = "DISTRIBUTION", value_parser = base_parser())]
    pub base: Base,
    /// The distribution's suite, such as bookworm
    #[arg(long)]
    pub suite: Option<SuiteName>,
    /// Include profiles/NAME.yaml; several are laid over one another
    #[arg(long = "profile", value_name = "NAME")]
    pub profiles: Vec<ProfileName>,
    /// Start from a security level
    #[arg(long, value_name = "LEVEL", value_parser = level_parser())]
    pub security: Option<SecurityLevel>,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// A field (spec.display.compositor), a rule (mac-one-of), a code (COMPAT_ERROR), or `rules`
    #[arg(value_name = "FIELD|RULE|CODE", required_unless_present = "resolved")]
    pub topic: Option<String>,
    /// Put this image together and show each value with the line that set it
    #[arg(long, value_name = "NAME", conflicts_with = "topic")]
    pub resolved: Option<ImageName>,
    /// With --resolved: only this field and what is in it, such as spec.packages
    #[arg(long, value_name = "FIELD", requires = "resolved")]
    pub origin: Option<String>,
}

/// Arguments of `prompt`.
#[derive(Clone, Debug, Args)]
pub struct PromptArgs {
    /// What the image shall be, in plain words; `-` reads it from stdin
    #[arg(value_name = "WORDS", required = true, num_args = 1..)]
    pub words: Vec<String>,
    /// Put the spec into the catalog, as specs/NAME.yaml
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    pub write: Option<ImageName>,
    /// The image's name; taken from the words without it
    #[arg(long, value_name = "NAME")]
    pub name: Option<ImageName>,
    /// With --write: also over a file that is there, and with errors in it
    #[arg(long, requires = "write")]
    pub force: bool,
    /// Exit with an error if something was not understood or cannot be
    #[arg(long)]
    pub strict: bool,
    /// Who reads the words; a language model where BOOTWRIGHT_LLM_URL and _MODEL name one
    #[arg(long, value_enum, default_value_t = ReaderChoice::Any, value_name = "READER")]
    pub reader: ReaderChoice,
}

/// Who reads a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReaderChoice {
    /// The language model where one is set up, else the keyword table.
    Any,
    /// The keyword table.
    Words,
    /// The language model.
    Model,
}

/// Arguments of `lock`.
#[derive(Clone, Debug, Args)]
pub struct LockArgs {
    /// Only these images
    #[arg(value_name = "NAME")]
    pub names: Vec<ImageName>,
    /// Look for newer packages, also where the lock still answers its spec
    #[arg(long)]
    pub update: bool,
    /// Show the differences and write nothing
    #[arg(long)]
    pub diff: bool,
}

/// Arguments of `plan`.
#[derive(Clone, Debug, Args)]
pub struct PlanArgs {
    /// Only these images, by NAME or LABEL=VALUE
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub only: Vec<Selector>,
    /// Plan to build these although nothing changed
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub force: Vec<ImageName>,
    /// Hash every published byte
    #[arg(long)]
    pub deep: bool,
    /// Markdown, fit for a pull request
    #[arg(long)]
    pub markdown: bool,
    /// Exit with 3 if there is something to do
    #[arg(long)]
    pub exit_code: bool,
}

/// Arguments of `reconcile`.
#[derive(Clone, Debug, Args)]
pub struct ReconcileArgs {
    /// Only these images, by NAME or LABEL=VALUE
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub only: Vec<Selector>,
    /// Build these although nothing changed
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub force: Vec<ImageName>,
    /// How many images to build at once
    #[arg(long, short, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Hash every published byte
    #[arg(long)]
    pub deep: bool,
    /// Plan and stop
    #[arg(long, conflicts_with = "watch")]
    pub dry_run: bool,
    /// Go on: look at git and the schedules again and again
    #[arg(long)]
    pub watch: bool,
    /// With --watch: how many seconds between two looks at git
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "watch", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub interval: u64,
}

/// Arguments of `boot`.
#[derive(Clone, Debug, Args)]
pub struct BootArgs {
    /// IMAGE, IMAGE@CHANNEL, IMAGE/VERSION or an image file (./NAME)
    #[arg(value_name = "RELEASE|FILE")]
    pub target: BootTarget,
    /// Firmware and medium
    #[arg(long, default_value = "bios", value_name = "MODE", value_parser = boot_mode_parser())]
    pub mode: BootMode,
    /// Open a window instead of the serial console
    #[arg(long)]
    pub graphical: bool,
    /// Memory of the machine, in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(128..=1_048_576))]
    pub memory: u32,
}

/// Arguments of `rebuild`.
#[derive(Clone, Debug, Args)]
pub struct RebuildArgs {
    /// A release of the store, or a folder with its files (./NAME)
    #[arg(value_name = "RELEASE|DIR")]
    pub target: VerifyTarget,
    /// Leave the image files of this build in DIR
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub keep: Option<PathBuf>,
    /// Sign no verdict and add none to the release
    #[arg(long)]
    pub unsigned: bool,
    /// Whom to trust.
    #[command(flatten)]
    pub keys: KeysArg,
    /// Which store.
    #[command(flatten)]
    pub store: StoreArg,
}

/// What to do with the cache.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Say what the cache holds, by kind
    List(CacheKindsArgs),
    /// Remove what was not used for long, or what does not fit; never what is in use
    Prune(CachePruneArgs),
    /// Read every byte and remove what is damaged
    Verify(CacheKindsArgs),
}

/// Arguments of `cache list` and `cache verify`.
#[derive(Clone, Debug, Args)]
pub struct CacheKindsArgs {
    /// Only this kind, such as packages or layers
    #[arg(long = "kind", value_name = "KIND", value_parser = kind_parser())]
    pub kinds: Vec<Kind>,
}

/// Arguments of `cache prune`.
#[derive(Clone, Debug, Args)]
pub struct CachePruneArgs {
    /// Only this kind, such as packages or layers
    #[arg(long = "kind", value_name = "KIND", value_parser = kind_parser())]
    pub kinds: Vec<Kind>,
    /// Remove the longest unused until so much is left, such as 20GiB; what the catalog needs goes last
    #[arg(long, value_name = "SIZE")]
    pub max_size: Option<Size>,
    /// Remove what was not used for so long, such as 30d, unless the catalog needs it
    #[arg(long, value_name = "AGE")]
    pub older_than: Option<Age>,
    /// Say what would be removed and remove nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do with signing keys. Nothing here edits bootwright.yaml: the lines to write are
/// shown.
#[derive(Clone, Debug, Subcommand)]
pub enum KeyCommand {
    /// List the keys: who counts, from when to when, and who signs on this host
    List,
    /// Make a new key and show its lines for bootwright.yaml
    New(KeyNewArgs),
    /// Make the successor of a key and show how both sign for a while
    Rotate(KeyRotateArgs),
    /// Show how a key is retired; refused for the last valid one
    Retire(KeyRetireArgs),
}

/// Arguments of `key new`.
#[derive(Clone, Debug, Args)]
pub struct KeyNewArgs {
    /// The key's name
    #[arg(value_name = "NAME")]
    pub name: KeyName,
    /// From when on it signs and counts, such as 2027-01-01
    #[arg(long, value_name = "DATE")]
    pub from: Option<Moment>,
    /// When it is retired
    #[arg(long, value_name = "DATE")]
    pub until: Option<Moment>,
}

/// Arguments of `key rotate`.
#[derive(Clone, Debug, Args)]
pub struct KeyRotateArgs {
    /// The name of the new key
    #[arg(value_name = "NEW")]
    pub name: KeyName,
    /// The key that it follows, if there are several
    #[arg(long, value_name = "NAME")]
    pub old: Option<KeyName>,
    /// For how many days both sign
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=3650))]
    pub overlap: u16,
}

/// Arguments of `key retire`.
#[derive(Clone, Debug, Args)]
pub struct KeyRetireArgs {
    /// The key's name
    #[arg(value_name = "NAME")]
    pub name: KeyName,
    /// When; now if it is left out
    #[arg(long, value_name = "DATE")]
    pub at: Option<Moment>,
}

/// Arguments of `packages`.
#[derive(Clone, Debug, Args)]
pub struct PackagesArgs {
    /// Names as specs write them; all when left out
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only this distribution
    #[arg(long, value_name = "DISTRIBUTION", value_parser = base_parser())]
    pub base: Option<Base>,
    /// Only names of this category
    #[arg(long, value_name = "CATEGORY", value_parser = PossibleValuesParser::new(CATEGORIES))]
    pub category: Option<String>,
}

/// Arguments of `containerfile`.
#[derive(Clone, Debug, Args)]
pub struct ContainerfileArgs {
    /// The image
    #[arg(value_name = "NAME")]
    pub name: ImageName,
    /// The base image, best with its digest; the distribution's usual one when left out
    #[arg(long, value_name = "IMAGE@sha256:DIGEST")]
    pub from: Option<String>,
    /// Write the Containerfile and the files beside it into this folder, which must be new or empty
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output_dir: Option<PathBuf>,
    /// Build it with a container engine, and write the root filesystem (tar, zstd) to this file
    ///
    /// --from may then be oci:FOLDER or oci-archive:FILE too.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub build: Option<PathBuf>,
    /// The engine that builds; the first that is there when left out
    #[arg(long, requires = "build")]
    pub engine: Option<EngineArg>,
}

/// Container engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum EngineArg {
    Buildah,
    Podman,
    Docker,
}

/// Arguments of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
    /// Install what is missing with apt-get
    #[arg(long)]
    pub install: bool,
    /// The folder that caches will be in: overlays and free space are tried there
    #[arg(long, value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Clone, Debug, Args)]
pub struct ManArgs {
    /// The command whose page is written, such as `release verify`; the overview without it
    #[arg(value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// A parser that takes exactly the names of `values`, shows them in the help and completes them.
fn named<T>(values: &'static [T], name: fn(T) -> &'static str) -> impl TypedValueParser<Value = T>
where
    T: Copy + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(values.iter().map(|v| name(*v))).try_map(move |text| {
        values.iter().copied().find(|v| name(*v) == text).ok_or_else(|| format!("{text:?} is not known"))
    })
}

fn boot_mode_parser() -> impl TypedValueParser<Value = BootMode> {
    named(&BootMode::ALL, BootMode::as_str)
}

fn kind_parser() -> impl TypedValueParser<Value = Kind> {
    PossibleValuesParser::new(TABLE.iter().map(|row| row.name)).try_map(|text| text.parse::<Kind>())
}

fn base_parser() -> impl TypedValueParser<Value = Base> {
    let names = PossibleValuesParser::new(Base::all().map(Base::as_str));
    names.try_map(|text| Base::named(&text).ok_or_else(|| format!("{text:?} is not known")))
}

fn level_parser() -> impl TypedValueParser<Value = SecurityLevel> {
    named(&SecurityLevel::ALL, SecurityLevel::as_str)
}

/// Architectures by the names of specs.
pub fn architecture_parser() -> impl TypedValueParser<Value = Architecture> {
    named(&[Architecture::X86_64, Architecture::Aarch64], Architecture::as_str)
}

/// Outputs by the names of specs.
pub fn output_parser() -> impl TypedValueParser<Value = Output> {
    named(&[Output::Iso, Output::Oci, Output::Rootfs, Output::Disk], Output::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_are_understood() {
        for line in [
            "bootwright init",
            "bootwright init demo --from . --no-key",
            "bootwright new gw --base debian --suite bookworm",
            "bootwright check --catalog https://example.org/x.git --rev v1",
            "bootwright --output json lock gw other --update",
            "bootwright plan --markdown --exit-code --only gw site=lab",
            "bootwright reconcile --jobs 2 --only gw --force gw",
            "bootwright reconcile --watch --interval 30 -q",
            "bootwright boot gw@stable --mode secure-boot-usb --graphical",
            "bootwright boot ./gw.iso",
            "bootwright rebuild gw@stable --keep out",
            "bootwright rebuild ./folder --key pub.pem --unsigned",
            "bootwright release list",
            "bootwright release verify ./folder --key pub.pem",
            "bootwright release fetch gw/20240101-0123abcd --to out --only iso",
            "bootwright release promote gw/20240101-0123abcd stable",
            "bootwright flash gw@stable --architecture aarch64 --device /dev/sdb --device /dev/sdc --yes",
            "bootwright flash ./gw.img.gz -d /dev/mmcblk0 --verify prefix=64MiB --wipe --dry-run",
            "bootwright cache list",
            "bootwright cache prune --max-size 20GiB --older-than 30d --kind layers --kind modules --dry-run",
            "bootwright cache verify --kind packages",
            "bootwright reconcile --offline",
            "bootwright release verify gw --key a.pub --key b.pub --threshold 2",
            "bootwright openwrt builder ensure 24.10.5 x86/64",
            "bootwright openwrt builder ensure snapshot ramips/mt7621",
            "bootwright openwrt builder list",
            "bootwright openwrt builder verify",
            "bootwright openwrt builder prune --max-age 30d --max-size 20GiB --dry-run",
            "bootwright openwrt profiles list --tag office --tag lab --release 24.10.5 --target x86/64",
            "bootwright openwrt profiles search mt7621 luci --tag office",
            "bootwright openwrt profiles show office-router",
            "bootwright openwrt profiles new ap --release 25.12 --target ramips/mt7621 --profile netgear_r6220 --add luci --remove ppp",
            "bootwright openwrt profiles new --release 25.12 --target ramips/mt7621 --offered",
            "bootwright openwrt profiles new --release 25.12 --target ramips/mt7621 --offered netgear r6220",
            "bootwright openwrt profiles clone ap ap2 --release 25.12.1",
            "bootwright openwrt profiles deprecate ap --why old",
            "bootwright openwrt profiles export ap --to ap.json",
            "bootwright openwrt profiles import ap.json",
            "bootwright openwrt build ap office-router --tag lab --jobs 2 --force --dry-run",
            "bootwright openwrt build --all",
            "bootwright key list",
            "bootwright key new 2027 --from 2027-01-01 --until 2028-01-01T12:00:00Z",
            "bootwright key rotate 2027 --old 2026 --overlap 60",
            "bootwright key retire 2026 --at 2027-02-01",
            "bootwright release prune --keep 3 --older-than 30d --yes",
            "bootwright release prune --dry-run",
            "bootwright plan --deep",
            "bootwright doctor --install",
            "bootwright packages docker nginx --base fedora --category ai_ml",
            "bootwright containerfile gw --from debian:bookworm --output-dir out",
            "bootwright containerfile gw --from oci-archive:base.oci.tar --build gw.tar.zst --engine podman",
            "bootwright completions bash",
            "bootwright man release verify",
        ] {
            parse(line).unwrap_or_else(|e| panic!("{line}: {e}"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "bootwright",
            "bootwright publish",
            "bootwright new ../x",
            "bootwright new x --base windows",
            "bootwright boot",
            "bootwright boot gw --mode floppy",
            "bootwright boot gw --memory 1",
            "bootwright release promote ./folder stable",
            "bootwright release show GW",
            "bootwright release prune --yes --dry-run",
            "bootwright release prune --older-than 30",
            "bootwright release prune --older-than -1d",
            "bootwright release prune --older-than 99999d",
            "bootwright release prune --keep x",
            "bootwright reconcile --jobs 0",
            "bootwright reconcile --watch --dry-run",
            "bootwright reconcile --interval 5",
            "bootwright plan --only =x",
            "bootwright flash ./gw.img",
            "bootwright flash --device /dev/sdb",
            "bootwright flash ./gw.img -d /dev/sdb --verify some",
            "bootwright flash gw -d /dev/sdb --architecture sparc",
            "bootwright flash ./gw.img -d /dev/sdb --sha256 12",
            "bootwright flash ./gw.img -d /dev/sdb --yes --dry-run",
            "bootwright cache",
            "bootwright cache prune --max-size much",
            "bootwright cache prune --older-than 30",
            "bootwright cache prune --older-than -1d",
            "bootwright cache list --kind ../layers",
            "bootwright cache list --kind Layers",
            "bootwright openwrt",
            "bootwright openwrt builder ensure 24.10.5",
            "bootwright openwrt builder ensure 24.10.5 x86",
            "bootwright openwrt builder ensure 24.10.5 x86/../64",
            "bootwright openwrt builder ensure $(id) x86/64",
            "bootwright openwrt builder ensure 24.10.5 --x86/64",
            "bootwright openwrt builder prune --max-age 30",
            "bootwright openwrt profiles search",
            "bootwright openwrt profiles show Office",
            "bootwright openwrt profiles new ap --release 25.12 --target ramips/mt7621",
            "bootwright openwrt profiles new ap --release 25.12 --target x/y --profile $(id)",
            "bootwright openwrt profiles new ap --release 25.12 --target x/y --profile z --add a=1",
            "bootwright openwrt profiles new ap --release 25.12 --target x/y --offered",
            "bootwright openwrt profiles export ap",
            "bootwright openwrt build",
            "bootwright openwrt build ../ap",
            "bootwright openwrt build ap --jobs 0",
            "bootwright release verify gw --threshold 2",
            "bootwright release verify gw --key a.pub --threshold 0",
            "bootwright key new ../x",
            "bootwright key new x --from yesterday",
            "bootwright key rotate x --overlap 0",
            "bootwright check -q -v",
            "bootwright packages --category games",
            "bootwright packages --base windows",
            "bootwright check --output xml",
            "bootwright check --no-such-option",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn selectors_and_modes_arrive() {
        let Command::Reconcile(args) = parse("bootwright reconcile --only gw site=lab").unwrap().command
        else {
            panic!("not reconcile")
        };
        assert_eq!(args.only.len(), 2);
        let Command::Boot(args) = parse("bootwright boot gw --mode uefi").unwrap().command else {
            panic!("not boot")
        };
        assert_eq!(args.mode, BootMode::Uefi);
        assert!(matches!(args.target, BootTarget::Release(_)));
    }
}

//! `bootwright.yaml`: where things are and how this catalog is run. Every field has a default.

use super::age::Age;
use super::asu::SysupgradeSettings;
use super::name::ChannelName;
use super::name_changes::NameChanges;
use super::packaging::PackageSettings;
use super::signing::SigningKey;
use super::spec::{Architecture, Base, Family, Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU8;

/// The settings of one catalog. Paths are relative to the folder that Bootwright is run
/// on, unless they are absolute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Settings {
    /// Always `bootwright/v1`.
    pub api_version: super::spec::ApiVersion,
    /// Always `Settings`.
    pub kind: SettingsKind,
    /// Where releases are published.
    #[serde(default)]
    pub store: StoreSettings,
    /// Where caches, layers and the state database live.
    #[serde(default)]
    pub cache: CacheSettings,
    /// The repositories that packages come from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<Mirror>,
    /// Where git repositories are fetched from instead of where specs say they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub git_mirrors: Vec<GitMirror>,
    /// Where OpenWrt's Image Builders come from.
    #[serde(default, skip_serializing_if = "OpenwrtSettings::is_empty")]
    pub openwrt: OpenwrtSettings,
    /// Which packages are taken.
    #[serde(default)]
    pub packages: PackageSettings,
    /// Who signs releases.
    #[serde(default)]
    pub signing: Signing,
    /// How artifacts are written.
    #[serde(default)]
    pub build: BuildSettings,
    /// The channels that may be used; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub channels: Vec<ChannelName>,
}

/// The kind of a settings document.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SettingsKind {
    /// Settings of a catalog.
    #[default]
    Settings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            api_version: super::spec::ApiVersion::V1,
            kind: SettingsKind::Settings,
            store: StoreSettings::default(),
            cache: CacheSettings::default(),
            mirrors: Vec::new(),
            git_mirrors: Vec::new(),
            openwrt: OpenwrtSettings::default(),
            packages: PackageSettings::default(),
            signing: Signing::default(),
            build: BuildSettings::default(),
            channels: Vec::new(),
        }
    }
}

/// A copy of git repositories. The commit that a spec names says what is in one, so a copy can
/// only be missing, never wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GitMirror {
    /// How the addresses in specs begin: `https://github.com/`.
    pub of: String,
    /// What stands there instead: `https://git.example.org/github/` or `file:///srv/git/`.
    pub url: String,
}

/// Where OpenWrt's Image Builders come from; nothing is built in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OpenwrtSettings {
    /// The addresses that `releases/` and `snapshots/` are below, in the order in which they are
    /// tried (`http`, `https`, `file`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The public keys of which one must have signed `sha256sums`: OpenPGP and usign (signify),
    /// as paths on this host, or relative to the catalog.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    /// Whether what nobody signed is taken too: what an Image Builder is is then the server's word.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsigned: bool,
    /// Packages that have another name from a branch on or are gone, by branch (`24.10`,
    /// `SNAPSHOT`): profiles are followed to the new names, with a warning. What stands in
    /// `package_changes` of a server's `overview.json` can be put here as it is.
    #[serde(default, skip_serializing_if = "NameChanges::is_empty")]
    pub package_changes: NameChanges,
    /// What `bootwright openwrt serve` allows to routers that ask for firmware.
    #[serde(default, skip_serializing_if = "SysupgradeSettings::is_default")]
    pub sysupgrade: SysupgradeSettings,
}

impl OpenwrtSettings {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where releases are published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoreSettings {
    /// A local folder, or a bucket as `s3://BUCKET/PREFIX`.
    #[serde(default = "default_store")]
    pub path: String,
    /// Where the bucket's service is, if it is not Amazon's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3Settings>,
    /// The address under which a web server shows that folder, for download pages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// An OCI repository prefix (`registry.example/team`) that OCI images are pushed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// When `reconcile` hashes every published byte: five cron fields (minute, hour, day of month, month, day of week).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep_check: Option<String>,
    /// The IANA time zone that `deepCheck` is read in; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deep_check_time_zone: Option<String>,
    /// Which releases `bootwright release prune` leaves alone.
    #[serde(default)]
    pub retention: Retention,
}

/// A service that speaks S3. Credentials come from the environment only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct S3Settings {
    /// Its address (`https://host`); Amazon's own when absent. Plain http goes to this host only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Its region; what the environment says, else `us-east-1`, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Whether the bucket is a part of the host name and not of the path.
    #[serde(default)]
    pub virtual_hosted_style: bool,
}

/// Which releases `bootwright release prune` leaves alone, beside what a channel points to and
/// the last good release before that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retention {
    /// So many of each image's newest releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
    /// What is not older than so many days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 36_500))]
    pub older_than_days: Option<u32>,
    /// These, as `IMAGE/VERSION`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hold: Vec<String>,
}

fn default_store() -> String {
    "releases".to_owned()
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            path: default_store(),
            s3: None,
            url: None,
            registry: None,
            deep_check: None,
            deep_check_time_zone: None,
            retention: Retention::default(),
        }
    }
}

/// Where caches, layers and the state database live. All of it can be deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CacheSettings {
    /// A local folder.
    #[serde(default = "default_cache")]
    pub path: String,
    /// How large it may grow. After a reconcile that built something, what was not used for
    /// longest is removed, what the catalog needs last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<Size>,
    /// What the catalog does not need and was not used for so long is removed after a
    /// reconcile that built something: `30d`, `12h`, `8w`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Age>,
}

fn default_cache() -> String {
    ".bootwright".to_owned()
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { path: default_cache(), max_size: None, max_age: None }
    }
}

/// One repository that packages come from. `init` fills these in from the host's own
/// package configuration; nothing is built in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mirror {
    /// The distribution that it serves.
    pub base: Base,
    /// The repository's addresses, in the order in which they are tried (`http`, `https`, `file`).
    pub urls: Vec<String>,
    /// The suites it serves, with `{suite}` for the spec's own: `["{suite}", "{suite}-updates"]`.
    pub suites: Vec<String>,
    /// The components that are read: `[main]`. Fedora, openSUSE: the repositories' paths below
    /// the address, with `{suite}`, `{version}` and `{arch}`; see docs/mirrors.md.
    pub components: Vec<String>,
    /// The keyring that signatures of its indexes are checked with: a path on this host,
    /// or relative to the catalog.
    pub keyring: String,
    /// Whether its indexes may be unsigned, as on the public mirrors of Arch, Fedora and Void: what
    /// packages are there is then the mirror's word. Every package must be signed all the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsigned_indexes: bool,
}

impl Mirror {
    /// The indexes that it has for a suite, as locks name them. Where repositories are folders
    /// of their own (rpm), these are their paths below the address; none if the mirror does not
    /// serve the suite.
    pub fn indexes(&self, suite: &str, architecture: Architecture) -> Vec<String> {
        let suites: Vec<String> = self.suites.iter().map(|s| s.replace("{suite}", suite)).collect();
        match self.base.family() {
            Family::Fedora | Family::Opensuse if suites.iter().any(|s| s == suite) => {
                let path = |component: &String| fill_in(component, suite, architecture);
                self.components.iter().map(path).collect()
            }
            Family::Fedora | Family::Opensuse => Vec::new(),
            _ => suites,
        }
    }
}

/// A repository's path with the words in braces filled in. `{version}` is the suite without the
/// name before it: `15.6` of `leap-15.6`.
pub fn fill_in(path: &str, suite: &str, architecture: Architecture) -> String {
    let version = suite.rsplit('-').next().unwrap_or(suite);
    path.replace("{suite}", suite).replace("{version}", version).replace("{arch}", architecture.as_str())
}

/// Who signs releases.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Signing {
    /// The private key: an ECDSA P-256 key in cosign's form, by its path on this host. The
    /// short form for a catalog with one key; use `keys` for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The public keys that a release may be signed with, in PEM, for checking. The public
    /// half of `key` when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trusted: Vec<String>,
    /// The keys with the times in which they count, in place of `key` and `trusted`. The
    /// first one that signs makes the signatures without a key's id in their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<SigningKey>,
    /// How many different keys must have signed; 1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<NonZeroU8>,
    /// An OpenPGP secret key file; signs `SHA256SUMS` in addition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openpgp_key: Option<String>,
    /// The OpenPGP public key that `SHA256SUMS.asc` must be signed with: its ASCII armour, or
    /// the path of its file. Not checked when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openpgp_certificate: Option<String>,
    /// Sigstore keyless signing, where CI gives an identity token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyless: Option<Keyless>,
}

/// Sigstore keyless signing: service addresses and trust root.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Keyless {
    /// The certificate authority (Fulcio).
    pub fulcio_url: String,
    /// The transparency log (Rekor).
    pub rekor_url: String,
    /// A `trusted_root.json` to check bundles with, as a path. Bundles are checked when this,
    /// `identity` and `issuer` are there; every release must then have one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trusted_root: Option<String>,
    /// The identity that a bundle must carry when it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// The issuer that a bundle must carry when it is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// How artifacts are written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BuildSettings {
    /// How hard squashfs modules are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Free space that must be left on the cache's file system before a build starts.
    #[serde(default = "default_free_space")]
    pub min_free_space: Size,
    /// Who builds, as a URI: `builder.id` of the provenance.
    #[serde(default = "default_builder_id")]
    pub builder_id: String,
}

fn default_free_space() -> Size {
    Size::from_bytes(4 << 30)
}

fn default_builder_id() -> String {
    "https://bootwright.invalid/builder/local".to_owned()
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self {
            compression: Compression::default(),
            min_free_space: default_free_space(),
            builder_id: default_builder_id(),
        }
    }
}

/// How hard squashfs modules and archives are compressed (all with zstd).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Level 3: for work.
    Fast,
    /// Level 9: a good release.
    #[default]
    Balanced,
    /// Level 19 with blocks of 1 MiB: for publishing to many.
    Small,
}

impl Compression {
    /// The zstd level.
    pub fn level(self) -> i32 {
        match self {
            Self::Fast => 3,
            Self::Balanced => 9,
            Self::Small => 19,
        }
    }
}

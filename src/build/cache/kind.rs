//! The table of what a cache holds.

use serde::Serialize;

/// What an entry of the cache is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Package files.
    Packages,
    /// Layers.
    Layers,
    /// Squashfs modules.
    Modules,
    /// OCI blobs.
    Blobs,
    /// Initramfs images.
    Initramfs,
    /// Archives of kernel modules.
    InitramfsModules,
    /// Files for boot loaders.
    BootFiles,
    /// Package indexes.
    Indexes,
    /// Artifacts of unfinished runs.
    Artifacts,
    /// Evidence of unpublished artifacts.
    Evidence,
    /// Evidence that refused an artifact.
    Refused,
    /// OpenWrt's Image Builders.
    OpenwrtBuilders,
    /// Packages that Image Builders fetched.
    OpenwrtPackages,
    /// Firmware of OpenWrt.
    OpenwrtFirmware,
}

/// How an entry looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A file whose name begins with its SHA-256.
    ByDigest,
    /// A file, with its seal `NAME.json` beside it.
    SealedFile,
    /// A folder with `root/`, its list of contents and its seal.
    SealedTree,
    /// A folder whose user checks or replaces what is in it.
    Folder,
}

/// What it costs to have an entry again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Cost {
    /// Nothing, or seconds of work on this host.
    Low,
    /// A download, or minutes of work.
    High,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The kind.
    pub kind: Kind,
    /// What users call it.
    pub name: &'static str,
    /// Its folder in the cache.
    pub folder: &'static str,
    /// How its entries look.
    pub shape: Shape,
    /// What it costs to have one again.
    pub cost: Cost,
    /// How its bytes are known to be right.
    pub known_by: &'static str,
}

const fn row(
    kind: Kind,
    (name, folder): (&'static str, &'static str),
    shape: Shape,
    cost: Cost,
    known_by: &'static str,
) -> Row {
    Row { kind, name, folder, shape, cost, known_by }
}

const SEALED: &str =
    "seal made when it was stored; size, dates and inodes before each use, all bytes when those differ";

/// Every kind, in the order in which a build meets them.
pub const TABLE: [Row; 14] = [
    row(
        Kind::Packages,
        ("packages", "packages"),
        Shape::ByDigest,
        Cost::High,
        "its name is its SHA-256; all bytes before each use",
    ),
    row(Kind::Layers, ("layers", "layers"), Shape::SealedTree, Cost::High, SEALED),
    row(Kind::Modules, ("modules", "modules"), Shape::SealedFile, Cost::Low, SEALED),
    row(Kind::Blobs, ("blobs", "blobs"), Shape::SealedFile, Cost::Low, SEALED),
    row(Kind::Initramfs, ("initramfs", "initramfs"), Shape::SealedTree, Cost::High, SEALED),
    row(
        Kind::InitramfsModules,
        ("initramfs-modules", "initramfs-modules"),
        Shape::SealedFile,
        Cost::Low,
        SEALED,
    ),
    row(Kind::BootFiles, ("boot-files", "boot-files"), Shape::SealedTree, Cost::Low, SEALED),
    row(
        Kind::Indexes,
        ("indexes", "apt"),
        Shape::Folder,
        Cost::High,
        "apt checks what it fetches against the signed index",
    ),
    row(Kind::Artifacts, ("artifacts", "artifacts"), Shape::Folder, Cost::Low, "written anew by each run"),
    row(Kind::Evidence, ("evidence", "evidence"), Shape::SealedTree, Cost::High, SEALED),
    row(Kind::Refused, ("refused", "refused"), Shape::Folder, Cost::Low, "only people read it"),
    row(
        Kind::OpenwrtBuilders,
        ("openwrt-builders", "openwrt-builders"),
        Shape::SealedTree,
        Cost::High,
        SEALED,
    ),
    row(
        Kind::OpenwrtPackages,
        ("openwrt-packages", "openwrt-packages"),
        Shape::Folder,
        Cost::High,
        "opkg and apk check what they fetched against the signed index",
    ),
    row(
        Kind::OpenwrtFirmware,
        ("openwrt-firmware", "openwrt-firmware"),
        Shape::SealedTree,
        Cost::High,
        SEALED,
    ),
];

impl Kind {
    /// Its row in the table.
    pub fn row(self) -> &'static Row {
        // The table has the kinds in the order of the enum; a test holds it to that.
        &TABLE[self as usize]
    }

    /// What users call it.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// Its folder in the cache.
    pub fn folder(self) -> &'static str {
        self.row().folder
    }

    /// Whether a name in the kind's folder can be an entry.
    pub(super) fn has(self, name: &str, is_folder: bool) -> bool {
        let hex = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let beside = [".lock", ".json", ".part"].iter().any(|end| name.ends_with(end));
        match self.row().shape {
            Shape::ByDigest => !is_folder && name.get(..64).is_some_and(hex) && !name.ends_with(".lock"),
            Shape::SealedFile => !is_folder && !beside && !name.starts_with('.'),
            Shape::SealedTree => is_folder && hex(name),
            Shape::Folder => is_folder && !name.starts_with('.'),
        }
    }
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = TABLE.iter().find(|row| row.name == text).map(|row| row.kind);
        found.ok_or_else(|| {
            let names: Vec<&str> = TABLE.iter().map(|row| row.name).collect();
            format!("{text:?} is no kind of cache entry; there are {}", names.join(", "))
        })
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

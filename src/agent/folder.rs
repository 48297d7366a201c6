//! The agent's folder, and how it comes about.

use super::asking::Asking;
use super::key::Key;
use crate::catalog::scaffold::quoted;
use crate::effects::files::{FileLock, read_if_exists, write_atomic};
use crate::effects::random;
use crate::model::failure::IoContext;
use crate::model::writer::{Slot, WriterKey, WriterName};
use crate::model::{Failure, Result};
use crate::ops::{Context, Secret};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::num::NonZeroU8;
use std::path::{Path, PathBuf};

/// Who the agent is.
const SETTINGS: &str = "writer.yaml";
/// Where releases are and whose signatures count.
const CATALOG: &str = "bootwright.yaml";
/// Its private key.
const KEY: &str = "writer.key";
/// Which installation this is.
const INSTANCE: &str = "instance";
/// Whoever runs on the folder holds this.
const LOCK: &str = "writer.lock";
/// No file here is longer, in bytes.
const LONGEST: u64 = 1 << 20;

/// `writer.yaml`: who the agent is, whom it asks, and what its slots may carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WriterSettings {
    /// Its name in the catalog.
    pub name: WriterName,
    /// The controller: `https://HOST:PORT`.
    pub controller: String,
    /// A file with the authority that issued the controller's certificate, PEM; the host's own
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<PathBuf>,
    /// Its card readers and their rules. They hold whatever the controller says.
    pub slots: Vec<Slot>,
}

/// The agent's folder, which nobody else uses as long as this is held.
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// Who the agent is.
    pub settings: WriterSettings,
    /// Its key.
    pub key: Key,
    /// Which installation this is.
    pub instance: String,
    _lock: FileLock,
}

impl Folder {
    /// Opens the folder of an agent that is enrolled.
    ///
    /// # Errors
    /// If something in it is missing or not in order, or another agent runs on it.
    pub fn open(context: &Context, path: &Path) -> Result<Self> {
        let path = context.cwd.join(path);
        let settings = settings(&path)?;
        let key = Key::load(&path.join(KEY))?;
        let instance = read_if_exists(&path.join(INSTANCE), LONGEST)?
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| not_enrolled(&path))?;
        let lock = FileLock::try_take(&path.join(LOCK))?.ok_or_else(|| {
            Failure::host(format!("another agent runs on {}", path.display()))
                .hint("One agent does the work of all slots; stop the other one.")
        })?;
        Ok(Self { path, settings, key, instance: instance.trim().to_owned(), _lock: lock })
    }
}

fn not_enrolled(path: &Path) -> Failure {
    Failure::spec(format!("{} is no folder of an enrolled card writer", path.display()))
        .hint("Run `bootwright writer enroll` first; docs/card-writers.md shows how.")
}

fn settings(folder: &Path) -> Result<WriterSettings> {
    let path = folder.join(SETTINGS);
    let bytes = read_if_exists(&path, LONGEST)?.ok_or_else(|| not_enrolled(folder))?;
    let bad = |why: String| {
        Failure::spec(format!("{}: {why}", path.display()))
            .hint("docs/card-writers.md shows what stands in it.")
    };
    let text = String::from_utf8(bytes).map_err(|_| bad("it is not in UTF-8".to_owned()))?;
    let options = serde_saphyr::options! { strict_booleans: true };
    let settings: WriterSettings =
        serde_saphyr::from_str_with_options(&text, options).map_err(|e| bad(e.to_string()))?;
    let (names, paths): (BTreeSet<_>, BTreeSet<_>) =
        settings.slots.iter().map(|slot| (&slot.name, &slot.path)).unzip();
    if settings.slots.is_empty() || names.len() < settings.slots.len() || paths.len() < settings.slots.len() {
        return Err(bad("each slot needs a name and a port of its own, and there must be one".to_owned()));
    }
    Ok(settings)
}

/// Make the agent's folder and enrol with the controller.
#[derive(Clone, Debug)]
pub struct EnrollRequest {
    /// The folder.
    pub folder: PathBuf,
    /// The card writer's name in the catalog.
    pub name: WriterName,
    /// The controller: `https://HOST:PORT`.
    pub controller: String,
    /// The authority that issued the controller's certificate, PEM.
    pub authority: Option<PathBuf>,
    /// Where releases are: a folder or a bucket.
    pub store: String,
    /// The public keys that releases must be signed with.
    pub keys: Vec<PathBuf>,
    /// How many of them must have signed.
    pub threshold: Option<NonZeroU8>,
    /// The slots, as NAME=PORT.
    pub slots: Vec<(String, String)>,
    /// The token.
    pub token: Secret,
}

/// An agent that is enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EnrollReport {
    /// Its name.
    pub name: WriterName,
    /// Its folder.
    pub folder: PathBuf,
    /// Its public key, for the catalog.
    pub public_key: WriterKey,
}

/// Makes the agent's key, pins the keys of releases, and enrols with the controller. What is in
/// the folder already stays as it is: that it says the same is checked.
///
/// # Errors
/// If a file cannot be read or written, or the controller refuses.
pub fn enroll(context: &Context, request: &EnrollRequest) -> Result<EnrollReport> {
    let folder = context.cwd.join(&request.folder);
    std::fs::create_dir_all(&folder).during(|| format!("making {}", folder.display()))?;
    if request.keys.is_empty() {
        return Err(Failure::spec("no key is given that releases must be signed with")
            .hint("Give it with --key: the card writer believes nothing else."));
    }
    let mut pinned = Vec::new();
    for (index, key) in request.keys.iter().enumerate() {
        let from = context.cwd.join(key);
        let bytes = std::fs::read(&from).during(|| format!("reading the key {}", from.display()))?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        crate::release::PublicKey::parse(&text).map_err(|f| f.on(from.display()))?;
        let name = format!("keys/release-{}.pub", index + 1);
        write_new(&folder.join(&name), text.as_bytes())?;
        pinned.push(format!("    - {{name: release-{}, public: {name}}}\n", index + 1));
    }
    let authority = match &request.authority {
        Some(path) => {
            let from = context.cwd.join(path);
            let pem = std::fs::read(&from).during(|| format!("reading {}", from.display()))?;
            write_new(&folder.join("controller-ca.pem"), &pem)?;
            "authority: controller-ca.pem\n"
        }
        None => "",
    };
    let threshold = request.threshold.map(|n| format!("  threshold: {n}\n")).unwrap_or_default();
    let store = match crate::model::bucket::is_bucket(&request.store) {
        true => request.store.clone(),
        false => context.cwd.join(&request.store).display().to_string(),
    };
    let catalog = format!(
        "# Where releases are, and whose signatures count. Nothing but the owner of this host changes it.\n\
         apiVersion: bootwright/v1\nkind: Settings\nstore: {{path: {}}}\nsigning:\n{threshold}  keys:\n{}",
        quoted(&store),
        pinned.concat()
    );
    write_new(&folder.join(CATALOG), catalog.as_bytes())?;
    let slots: Vec<String> = request
        .slots
        .iter()
        .map(|(name, path)| format!("  - {{name: {}, path: {}}}\n", quoted(name), quoted(path)))
        .collect();
    let text = format!(
        "# Who this card writer is, and what its slots may carry: images, architectures, boards, maxSize.\n\
         name: {}\ncontroller: {}\n{authority}slots:\n{}",
        quoted(request.name.as_str()),
        quoted(&request.controller),
        slots.concat()
    );
    write_new(&folder.join(SETTINGS), text.as_bytes())?;
    let settings = settings(&folder)?;
    let key = Key::load_or_make(&folder.join(KEY))?;
    let public_key = key.public()?;
    Asking::enroll(context, &folder, &settings, &key, request.token.reveal())?;
    // Last: what has this is enrolled.
    let instance = folder.join(INSTANCE);
    if !instance.exists() {
        write_atomic(&instance, hex::encode(random::bytes::<16>()?).as_bytes(), 0o644)?;
    }
    Ok(EnrollReport { name: settings.name, folder, public_key })
}

/// Writes a file that is not there; one that says something else is never changed.
fn write_new(path: &Path, bytes: &[u8]) -> Result<()> {
    match read_if_exists(path, LONGEST)? {
        None => write_atomic(path, bytes, 0o644),
        Some(there) if there == bytes => Ok(()),
        Some(_) => Err(Failure::host(format!("{} is there already and says something else", path.display()))
            .hint("Take it away if it shall be made anew, or enrol in another folder.")),
    }
}

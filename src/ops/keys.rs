//! `key list|new|rotate|retire`: the keys of a catalog, and the lines that change them.
//!
//! Nothing here edits `bootwright.yaml`: who may sign is decided by a reviewed commit. Keys
//! are made, and the lines to write are shown.

use super::workspace::Workspace;
use super::{CatalogRef, Context, SigningKey};
use crate::model::name::KeyName;
use crate::model::signing::Moment;
use crate::model::{Digest, Failure, Result};
use crate::release::PublicKey;
use crate::release::keys::{self, Term, Trust, TrustedKey};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use serde::Serialize;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Where the long form belongs in settings that have the short one, or none.
const IN_PLACE: &str = "write under `signing:`, in place of `key` and `trusted`";

/// Which keys does a catalog have?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyListRequest {
    /// The catalog.
    pub catalog: CatalogRef,
}

/// The keys of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyList {
    /// How many of them must have signed.
    pub threshold: usize,
    /// The keys, in the order of the settings.
    pub keys: Vec<ListedKey>,
    /// What is wrong with them, or will be.
    pub problems: Vec<String>,
}

/// One key of a catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedKey {
    /// Its name.
    pub name: String,
    /// SHA-256 of its `SubjectPublicKeyInfo`.
    pub id: Digest,
    /// How it stands.
    pub term: Term,
    /// From when on it counts.
    pub from: Option<DateTime<Utc>>,
    /// When it is retired.
    pub until: Option<DateTime<Utc>>,
    /// Whether this host has the private key.
    pub here: bool,
}

/// Make a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyNewRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The key's name.
    pub name: KeyName,
    /// From when on it counts.
    pub from: Option<Moment>,
    /// When it is retired.
    pub until: Option<Moment>,
}

/// Make the successor of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRotateRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The new key's name.
    pub name: KeyName,
    /// The key that it follows; the only active one when absent.
    pub old: Option<KeyName>,
    /// For how long both sign.
    pub overlap: TimeDelta,
}

/// Retire a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRetireRequest {
    /// The catalog.
    pub catalog: CatalogRef,
    /// The key's name.
    pub name: KeyName,
    /// When; now when absent.
    pub at: Option<Moment>,
}

/// What has to be written into `bootwright.yaml`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyChange {
    /// The key that was made, if one was.
    pub made: Option<SigningKey>,
    /// What to write, in order.
    pub edits: Vec<KeyEdit>,
    /// What happens then.
    pub then: String,
}

/// Lines of `bootwright.yaml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyEdit {
    /// Where they belong.
    pub place: String,
    /// The lines.
    pub lines: String,
}

/// Lists the keys of a catalog.
///
/// # Errors
/// Class *spec* if the catalog or a public key cannot be read.
pub fn key_list(context: &Context, request: KeyListRequest) -> Result<KeyList> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let trust = workspace.unchecked_trust(context.clock.now())?;
    let problems = workspace.trust_problems(&trust).into_iter();
    let signing = &workspace.settings().signing;
    let own = signing.key.as_ref().map(|path| workspace.path(path));
    let listed = |(at, known): (usize, &TrustedKey)| {
        let private = match signing.keys.get(at) {
            Some(setting) => setting.private.as_ref().map(|path| workspace.path(path)),
            None => own.clone().filter(|path| is_public_half(path, &known.key)),
        };
        ListedKey {
            name: known.name.clone(),
            id: known.key.id(),
            term: trust.term(known),
            from: known.from,
            until: known.until,
            here: private.is_some_and(|path| path.is_file()),
        }
    };
    Ok(KeyList {
        threshold: trust.threshold(),
        keys: trust.keys().iter().enumerate().map(listed).collect(),
        problems: problems.map(|p| format!("{}: {}", p.field, p.message)).collect(),
    })
}

/// Whether the public half beside a private key of the short form is this one.
fn is_public_half(private: &Path, key: &PublicKey) -> bool {
    PublicKey::load(&private.with_extension("pub")).is_ok_and(|public| &public == key)
}

/// Makes a key pair in `keys/` and gives its entry for the settings.
///
/// # Errors
/// Class *spec* if the name is taken or the time is none; class *host* if the files cannot
/// be written.
pub fn key_new(context: &Context, request: KeyNewRequest) -> Result<KeyChange> {
    let workspace = Workspace::open(context, &request.catalog)?;
    is_free(&workspace, context, &request.name)?;
    if let (Some(from), Some(until)) = (request.from, request.until)
        && until <= from
    {
        return Err(Failure::spec(format!("key {} would end before it begins", request.name))
            .hint("Give an --until after --from."));
    }
    let (made, entry) = make(&workspace, context, &request.name, request.from, request.until)?;
    let edits = match workspace.settings().signing.keys.is_empty() {
        false => vec![edit("add under `signing.keys`", entry)],
        true => vec![edit(IN_PLACE, long_form(&workspace, context, None)? + &entry)],
    };
    let then = "Commit bootwright.yaml (never the private key). The key signs and counts from its time on.";
    Ok(KeyChange { made: Some(made), edits, then: then.to_owned() })
}

/// Makes the successor of a key, and gives the lines with which both sign for a while.
///
/// # Errors
/// As [`key_new`]; class *spec* if it is not clear which key is followed.
pub fn key_rotate(context: &Context, request: KeyRotateRequest) -> Result<KeyChange> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let now = context.clock.now().trunc_subsecs(0);
    let trust = workspace.trust(now)?;
    is_free(&workspace, context, &request.name)?;
    let old = followed(&trust, request.old.as_ref())?;
    let planned = now + request.overlap;
    // An end that is set already and comes earlier stays.
    let until = Moment::from(old.until.map_or(planned, |until| until.min(planned)));
    let (made, entry) = make(&workspace, context, &request.name, Some(now.into()), None)?;
    let edits = if workspace.settings().signing.keys.is_empty() {
        let lines = long_form(&workspace, context, Some((old, until)))? + &entry;
        vec![edit(IN_PLACE, lines)]
    } else {
        vec![
            edit("add under `signing.keys`, after the old key", entry),
            edit(&format!("set in the entry of {}", old.name), format!("      until: {until}\n")),
        ]
    };
    let then = format!(
        "Commit bootwright.yaml, give the new public key to whoever checks your releases, and keep the old private key here until {until}: both sign until then. The next `bootwright reconcile` signs again with both what is published."
    );
    Ok(KeyChange { made: Some(made), edits, then })
}

/// Gives the lines that retire a key.
///
/// # Errors
/// Class *spec* if there is no such key, or too few would be left.
pub fn key_retire(context: &Context, request: KeyRetireRequest) -> Result<KeyChange> {
    let workspace = Workspace::open(context, &request.catalog)?;
    let now = context.clock.now().trunc_subsecs(0);
    let trust = workspace.unchecked_trust(now)?;
    let key = named(&trust, &request.name)?;
    let at = request.at.map_or(now, Moment::at);
    let ended = |known: &TrustedKey| {
        if known.name == key.name { TrustedKey { until: Some(at), ..known.clone() } } else { known.clone() }
    };
    let left: Vec<TrustedKey> = trust.keys().iter().map(ended).collect();
    let after = Trust::new(left, trust.threshold(), at.max(now));
    if let Some(problem) = after.problems("signing.keys").into_iter().find(|p| p.fatal) {
        return Err(Failure::spec(format!("{} is not retired: {}", key.label(), problem.message))
            .field(problem.field)
            .hint("Make its successor first: `bootwright key rotate NEW`."));
    }
    let edits = vec![edit(
        &format!("set in the entry of {}", key.name),
        format!("      until: {}\n", Moment::from(at)),
    )];
    let then = "Commit bootwright.yaml and leave the entry in the list: from then on the key no longer signs or counts, and what only it signed is signed again by the next `bootwright reconcile`. If the key leaked, take the entry out instead: what it signed is then built anew.";
    Ok(KeyChange { made: None, edits, then: then.to_owned() })
}

fn edit(place: &str, lines: String) -> KeyEdit {
    KeyEdit { place: place.to_owned(), lines }
}

fn named<'t>(trust: &'t Trust, name: &KeyName) -> Result<&'t TrustedKey> {
    trust.keys().iter().find(|k| k.name == name.as_str()).ok_or_else(|| {
        let names: Vec<&str> = trust.keys().iter().map(|k| k.name.as_str()).collect();
        Failure::not_found(format!("the catalog has no key {name}"))
            .hint(format!("It has: {}.", if names.is_empty() { "none".to_owned() } else { names.join(", ") }))
    })
}

/// The key that a new one follows.
fn followed<'t>(trust: &'t Trust, old: Option<&KeyName>) -> Result<&'t TrustedKey> {
    if let Some(name) = old {
        return named(trust, name);
    }
    let active: Vec<&TrustedKey> = trust.keys().iter().filter(|k| trust.term(k) == Term::Active).collect();
    match active.as_slice() {
        [only] => Ok(only),
        [] => {
            Err(Failure::spec("there is no active key to follow").hint("Make one with `bootwright key new`."))
        }
        several => {
            let names: Vec<&str> = several.iter().map(|k| k.name.as_str()).collect();
            Err(Failure::spec("several keys are active: say which one is followed")
                .hint(format!("Give --old with one of: {}.", names.join(", "))))
        }
    }
}

fn is_free(workspace: &Workspace, context: &Context, name: &KeyName) -> Result<()> {
    let trust = workspace.unchecked_trust(context.clock.now())?;
    if trust.keys().iter().any(|k| k.name == name.as_str()) {
        return Err(
            Failure::spec(format!("the catalog has a key {name} already")).hint("Choose another name.")
        );
    }
    Ok(())
}

/// Where the private key of a name lies, from the folder that Bootwright is run on.
fn place(name: &KeyName) -> String {
    format!("keys/{name}.key")
}

fn make(
    workspace: &Workspace,
    context: &Context,
    name: &KeyName,
    from: Option<Moment>,
    until: Option<Moment>,
) -> Result<(SigningKey, String)> {
    let passphrase = context.passphrase.as_ref().map(|p| p.reveal().as_bytes());
    let private: PathBuf = workspace.path(&place(name));
    let (key, public) = keys::write_key_pair(&private, passphrase)?;
    let entry = entry(name.as_str(), &key, Some(&place(name)), from, until);
    Ok((SigningKey { private, public, encrypted: passphrase.is_some() }, entry))
}

/// One item of `signing.keys`. The public key is written out: what counts is then what was
/// reviewed, not a file beside it.
fn entry(
    name: &str,
    key: &PublicKey,
    private: Option<&str>,
    from: Option<Moment>,
    until: Option<Moment>,
) -> String {
    let mut text = format!("    - name: \"{name}\"\n      public: |\n");
    for line in key.pem().lines() {
        let _ = writeln!(text, "        {line}");
    }
    if let Some(private) = private {
        let _ = writeln!(text, "      private: {}", serde_json::Value::from(private));
    }
    for (field, moment) in [("from", from), ("until", until)] {
        if let Some(moment) = moment {
            let _ = writeln!(text, "      {field}: {moment}");
        }
    }
    text
}

/// The keys of the short form, as entries of the long one.
fn long_form(
    workspace: &Workspace,
    context: &Context,
    ends: Option<(&TrustedKey, Moment)>,
) -> Result<String> {
    let signing = &workspace.settings().signing;
    let trust = workspace.unchecked_trust(context.clock.now())?;
    let mut text = "  keys:\n".to_owned();
    for known in trust.keys() {
        let own = signing.key.as_ref().filter(|path| is_public_half(&workspace.path(path), &known.key));
        let until = ends.filter(|(key, _)| key.key == known.key).map(|(_, until)| until);
        text += &entry(&known.name, &known.key, own.map(String::as_str), None, until);
    }
    Ok(text)
}

//! Which releases, devices and packages there are, as OpenWrt's servers say.
//!
//! What they said is believed for a while, also that there is nothing; when they cannot be asked, for
//! longer. `profiles.json` counts only if it is signed for; nobody signs the other lists, and nothing
//! is built from them.

use super::Sysupgrade;
use crate::model::asu::document::Document;
use crate::model::asu::index::{self, Index};
use crate::model::asu::overview;
use crate::model::asu::settings::SysupgradeSettings;
use crate::model::firmware::ProfilesJson;
use crate::model::openwrt::{BuilderId, Release, Targets, Versions};
use crate::model::{ErrorCode, Failure, Result};
use crate::reconcile::upstream::Upstream;
use chrono::{DateTime, SecondsFormat};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long what a server said is believed.
const FRESH: Duration = Duration::from_mins(5);
/// How long it is believed that a server has nothing.
const ABSENT: Duration = Duration::from_mins(1);
/// No more answers are kept.
const MOST: usize = 2000;

/// What servers said, by path.
#[derive(Default)]
pub(super) struct Known(Mutex<BTreeMap<String, (Instant, Text)>>);

/// A file, or that there is none.
type Text = Option<Arc<Vec<u8>>>;

impl Known {
    fn get(&self, path: &str) -> Option<(Duration, Text)> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(path).map(|(at, text)| (at.elapsed(), text.clone()))
    }

    fn put(&self, path: String, text: Text) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.clear();
        }
        known.insert(path, (Instant::now(), text));
    }
}

impl Sysupgrade {
    /// A file of a server, as it was said or as it is said now.
    fn known(&self, path: &str, ask: impl FnOnce(&Upstream<'_>) -> Result<Vec<u8>>) -> Result<Text> {
        let before = self.known.get(path);
        if let Some((age, text)) = &before
            && *age < if text.is_some() { FRESH } else { ABSENT }
        {
            return Ok(text.clone());
        }
        let text = match self.upstream().and_then(|upstream| ask(&upstream)) {
            Ok(bytes) => Some(Arc::new(bytes)),
            Err(failure) if is_absent(&failure) => None,
            Err(failure) => match before {
                Some((_, Some(text))) => {
                    self.context.events.warn(format!("{path} is as it was: {failure}"));
                    Some(text)
                }
                _ => return Err(failure),
            },
        };
        self.known.put(path.to_owned(), text.clone());
        Ok(text)
    }

    fn file(&self, path: &str) -> Result<Text> {
        self.known(path, |upstream| upstream.server().file(path))
    }

    pub(super) fn versions(&self) -> Result<Versions> {
        match self.file(".versions.json")? {
            Some(text) => Versions::parse(&text),
            None => Err(Failure::upstream("no server of `openwrt.urls` has a list of releases")),
        }
    }

    pub(super) fn targets(&self, release: &Release) -> Result<Option<Targets>> {
        let text = self.file(&format!("{}/.targets.json", release.folder()))?;
        text.map(|text| Targets::parse(&text)).transpose()
    }

    fn profiles_text(&self, id: &BuilderId) -> Result<Text> {
        let path = format!("{}/profiles.json", id.folder());
        self.known(&path, |upstream| upstream.server().profiles_text(id, &self.cache.work()))
    }

    pub(super) fn profiles(&self, id: &BuilderId) -> Result<Option<ProfilesJson>> {
        self.profiles_text(id)?.map(|text| ProfilesJson::parse(&text)).transpose()
    }

    /// The revision that a release has for a target; nothing if there is no such release here, or no
    /// such target of it.
    ///
    /// # Errors
    /// If no server can be asked.
    pub fn revision(&self, id: &BuilderId) -> Result<Option<String>> {
        if !self.offers(id)? {
            return Ok(None);
        }
        Ok(self.profiles(id)?.map(|profiles| profiles.version_code))
    }

    /// Whether a release is built here.
    ///
    /// # Errors
    /// If no server can be asked.
    pub fn offers_release(&self, release: &Release) -> Result<bool> {
        Ok(self.offer()?.has(release))
    }

    /// Whether a release is built here, and has a target.
    fn offers(&self, id: &BuilderId) -> Result<bool> {
        if !self.offers_release(id.release())? {
            return Ok(false);
        }
        let targets = self.targets(id.release())?;
        Ok(targets.is_some_and(|t| t.architectures().contains_key(&id.platform().to_string())))
    }

    /// A static document; nothing if there is none.
    ///
    /// # Errors
    /// If no server can be asked.
    pub fn document(&self, document: &Document) -> Result<Option<Value>> {
        match document {
            Document::Overview => self.overview().map(Some),
            Document::Branches => Ok(Some(self.branches()?.into_iter().map(|(_, branch)| branch).collect())),
            Document::Latest => Ok(Some(self.offer()?.latest_json())),
            Document::Target(id) | Document::Profile(id, _) if !self.offers(id)? => Ok(None),
            Document::Target(id) => self.target_index(id).map(Some),
            Document::Profile(id, profile) => self.profile(id, profile.as_str()),
            Document::Architecture(release, architecture) => self.architecture_index(release, architecture),
        }
    }

    fn branches(&self) -> Result<Map<String, Value>> {
        let offer = self.offer()?;
        let mut targets = BTreeMap::new();
        for (branch, releases) in &offer.branches {
            let Some(newest) = releases.first() else { continue };
            match self.targets(newest) {
                Ok(found) => targets.extend(found.map(|found| (branch.clone(), found))),
                // One branch shall not keep clients from the others.
                Err(failure) => self.context.events.warn(format!("the targets of {newest}: {failure}")),
            }
        }
        Ok(offer.branches_json(&self.openwrt.package_changes, &targets))
    }

    fn overview(&self) -> Result<Value> {
        let SysupgradeSettings { upstream_url, contact, .. } = self.settings();
        let mut overview = json!({
            "latest": self.offer()?.latest.iter().map(overview::version).collect::<Vec<_>>(),
            "branches": self.branches()?,
            "server": {
                "version": concat!("bootwright/", env!("CARGO_PKG_VERSION")),
                "contact": contact.as_deref().unwrap_or_default(),
                "allow_defaults": self.settings().allow_defaults,
                "repository_allow_list": self.settings().repositories,
                "max_custom_rootfs_size_mb": self.settings().max_rootfs_size_mb,
                "max_defaults_length": self.settings().max_defaults_length,
            },
        });
        // Clients that find no address have one of their own.
        let public = self.openwrt.urls.iter().find(|url| !url.starts_with("file://"));
        if let Some(url) = upstream_url.as_ref().or(public) {
            overview["upstream_url"] = json!(url.trim_end_matches('/'));
        }
        Ok(overview)
    }

    fn profile(&self, id: &BuilderId, profile: &str) -> Result<Option<Value>> {
        let Some(text) = self.profiles_text(id)? else { return Ok(None) };
        let mut document = object(&text)?;
        let profiles = document.remove("profiles");
        // As the public server answers where there is no such device.
        let Some(Value::Object(own)) = profiles.and_then(|mut all| all.get_mut(profile).map(Value::take))
        else {
            return Ok(Some(json!({})));
        };
        document.extend(own);
        document.insert("id".to_owned(), json!(profile));
        document.insert("build_at".to_owned(), build_at(&document));
        Ok(Some(Value::Object(document)))
    }

    fn target_index(&self, id: &BuilderId) -> Result<Value> {
        let folder = id.folder();
        let mut index = self.index(&format!("{folder}/packages"))?;
        // Kernel modules that are made for one kernel lie apart from 23.05.6 on.
        if let Some(text) = self.profiles_text(id)? {
            let kernel = object(&text)?.remove("linux_kernel").unwrap_or_default();
            let part = |name: &str| kernel[name].as_str().filter(|part| is_word(part)).map(str::to_owned);
            if let (Some(version), Some(release), Some(magic)) =
                (part("version"), part("release"), part("vermagic"))
            {
                let modules = self.index(&format!("{folder}/kmods/{version}-{release}-{magic}"))?;
                index.packages.extend(modules.packages);
            }
        }
        Ok(index.json())
    }

    fn architecture_index(&self, release: &Release, architecture: &str) -> Result<Option<Value>> {
        let known = match self.offers_release(release)? {
            true => self.targets(release)?,
            false => None,
        };
        if !known.is_some_and(|targets| targets.architectures().values().any(|known| known == architecture)) {
            return Ok(None);
        }
        let folder = format!("{}/packages/{architecture}", release.folder());
        let feeds = self.file(&format!("{folder}/feeds.conf"))?;
        let feeds = feeds.map(|text| index::feeds(&String::from_utf8_lossy(&text))).unwrap_or_default();
        let mut packages = BTreeMap::new();
        for feed in feeds {
            packages.extend(self.index(&format!("{folder}/{feed}"))?.packages);
        }
        Ok(Some(json!(packages)))
    }

    /// The packages of a folder; none if it has no index.
    fn index(&self, folder: &str) -> Result<Index> {
        let json = self.file(&format!("{folder}/index.json"))?;
        let index = json.map(|text| Index::of_json(&text)).transpose()?;
        match index {
            Some(index) if !index.with_abi => Ok(index),
            old => Ok(match self.file(&format!("{folder}/Packages"))? {
                Some(text) => Index::of_opkg(&String::from_utf8_lossy(&text)),
                None => old.unwrap_or_default(),
            }),
        }
    }
}

fn is_absent(failure: &Failure) -> bool {
    matches!(failure.code, ErrorCode::PackageUnavailable | ErrorCode::NotFound)
}

/// What may be a part of a path.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('.')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~+-".contains(&b))
}

/// A JSON object that was read before.
pub(super) fn object(text: &[u8]) -> Result<Map<String, Value>> {
    serde_json::from_slice(text).map_err(|e| Failure::upstream(format!("profiles.json cannot be read: {e}")))
}

/// When the firmware of a `profiles.json` was made, as the API writes it.
pub(super) fn build_at(document: &Map<String, Value>) -> Value {
    let seconds = document.get("source_date_epoch").and_then(Value::as_i64).unwrap_or_default();
    let at = DateTime::from_timestamp(seconds, 0).unwrap_or_default();
    json!(at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

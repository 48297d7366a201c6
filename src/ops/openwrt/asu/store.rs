//! Files of firmware, by the hash of a request and a name.
//!
//! They are those of the cache. Beside them lies `SHA256SUMS`, and where a signing key is set its
//! signatures: it lists the names under which files are handed out.

use super::Sysupgrade;
use crate::build::openwrt::Firmware;
use crate::model::Digest;
use crate::model::Result;
use crate::model::asu::answer::served_name;
use crate::model::asu::hash::packages_hash;
use crate::model::asu::{Asked, JobState};
use crate::model::failure::IoContext;
use crate::model::firmware::is_file_name;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;

/// The list of all files.
const SUMS: &str = "SHA256SUMS";

/// A file that is handed out.
#[derive(Debug)]
pub enum Served {
    /// One that a build made, and its length in bytes.
    File(File, u64),
    /// One that is made now.
    Text(String),
}

impl Sysupgrade {
    /// The firmware of a request, if it is still there.
    pub(super) fn firmware(&self, asked: &Asked) -> Result<Option<Firmware>> {
        let Some(recipe) = asked.recipe.filter(|_| asked.state == JobState::Done) else { return Ok(None) };
        self.firmwares().find(&recipe)
    }

    /// A file of the firmware of a request; nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be read, or signing fails.
    pub fn file_of(&self, hash: &str, name: &str) -> Result<Option<Served>> {
        let Ok(hash) = hash.parse::<Digest>() else { return Ok(None) };
        if !is_file_name(name) {
            return Ok(None);
        }
        let Some(asked) = self.asked(&hash)? else { return Ok(None) };
        let Some(firmware) = self.firmware(&asked)? else { return Ok(None) };
        let manifest = asked.answer.get("manifest").and_then(Value::as_object);
        let packages = packages_hash(manifest.into_iter().flat_map(|all| all.keys()).map(String::as_str));
        let platform = &firmware.record.recipe.platform;
        let served = |name: &str| served_name(name, platform, &packages);
        if let Some(kind) = name.strip_prefix(SUMS) {
            let files = firmware.record.files.iter();
            let sums: BTreeMap<String, Digest> =
                files.map(|file| (served(&file.name), file.sha256)).collect();
            return Ok(self.sums(&crate::release::sums::write(&sums)?, kind)?.map(Served::Text));
        }
        // Also by the Image Builder's own names, which `sha256sums` and `profiles.json` have.
        let file = firmware.record.files.iter().find(|file| served(&file.name) == name || file.name == name);
        let Some(file) = file else { return Ok(None) };
        let path = firmware.root.join(&file.name);
        let opened = File::open(&path).during(|| format!("opening {}", path.display()))?;
        Ok(Some(Served::File(opened, file.bytes)))
    }

    /// The list of files, or one of its signatures.
    fn sums(&self, list: &str, kind: &str) -> Result<Option<String>> {
        let signers = self.signers.as_ref();
        Ok(match (kind, signers) {
            ("", _) => Some(list.to_owned()),
            (".sig", Some(signers)) => Some(signers.key.sign(list.as_bytes())?),
            (".asc", Some(signers)) => match &signers.openpgp {
                Some(key) => Some(key.sign(list.as_bytes(), self.context.clock.now())?),
                None => None,
            },
            _ => None,
        })
    }
}

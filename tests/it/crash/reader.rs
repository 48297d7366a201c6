//! Somebody outside who reads the store all the time and knows nothing but the published
//! formats: the signed index, manifests, sizes, digests. openssl checks the signatures.

use super::command;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// One look at a store, remembering what was checked already.
pub struct Reader {
    store: PathBuf,
    key: PathBuf,
    scratch: tempfile::TempDir,
    /// Digests of signed bytes and of whole releases that were found right.
    known: BTreeSet<String>,
    serial: u64,
    /// Releases that were listed once: they stay.
    listed: BTreeSet<(String, String)>,
}

impl Reader {
    pub fn new(store: &Path, key: &Path) -> Self {
        Self {
            store: store.to_owned(),
            key: key.to_owned(),
            scratch: tempfile::tempdir().unwrap(),
            known: BTreeSet::new(),
            serial: 0,
            listed: BTreeSet::new(),
        }
    }

    /// Looks at everything that can be seen.
    ///
    /// # Errors
    /// What a reader must never see.
    pub fn look(&mut self) -> Result<(), String> {
        let Ok(envelope) = fs::read(self.store.join("index.dsse.json")) else {
            return if self.serial > 0 { Err("the index is gone".to_owned()) } else { Ok(()) };
        };
        let index = self.open(&envelope)?;
        let serial = index["serial"].as_u64().ok_or("no serial")?;
        if serial < self.serial {
            return Err(format!("the index went back from {} to {serial}", self.serial));
        }
        self.serial = serial;
        let mut listed = BTreeSet::new();
        for (image, content) in index["images"].as_object().ok_or("no images")? {
            for release in content["releases"].as_array().ok_or("no releases")? {
                let version = release["version"].as_str().ok_or("no version")?;
                let manifest = release["manifest"].as_str().ok_or("no manifest")?;
                self.release(&self.store.join(image).join(version), Some(manifest))?;
                listed.insert((image.clone(), version.to_owned()));
            }
            for (channel, version) in content["channels"].as_object().ok_or("no channels")? {
                let version = version.as_str().ok_or("no version")?;
                if !listed.contains(&(image.clone(), version.to_owned())) {
                    return Err(format!("{image}@{channel} points to {version}, which is not listed"));
                }
            }
        }
        if let Some(gone) = self.listed.iter().find(|r| !listed.contains(*r)) {
            return Err(format!("{gone:?} is listed no more"));
        }
        self.listed = listed;
        self.visible()
    }

    /// Also what no index lists: whoever walks the folders finds it.
    fn visible(&mut self) -> Result<(), String> {
        for image in fs::read_dir(&self.store).map_err(|e| e.to_string())?.flatten() {
            let name = image.file_name().to_string_lossy().into_owned();
            if name.starts_with('.') || !image.path().is_dir() {
                if name.ends_with(".html") {
                    page(&image.path())?;
                }
                continue;
            }
            for version in fs::read_dir(image.path()).map_err(|e| e.to_string())?.flatten() {
                if version.path().is_dir() {
                    self.release(&version.path(), None)?;
                } else if version.file_name().to_string_lossy().ends_with(".html") {
                    page(&version.path())?;
                }
            }
        }
        Ok(())
    }

    fn release(&mut self, folder: &Path, manifest: Option<&str>) -> Result<(), String> {
        let at = |what: &str| format!("{}: {what}", folder.display());
        let bytes = fs::read(folder.join("manifest.json")).map_err(|e| at(&format!("manifest: {e}")))?;
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if manifest.is_some_and(|named| named != digest) {
            return Err(at("not the manifest that the index names"));
        }
        let parsed: Value = serde_json::from_slice(&bytes).map_err(|e| at(&e.to_string()))?;
        let new = !self.known.contains(&digest);
        if new {
            let signature = fs::read(folder.join("manifest.json.sig")).map_err(|e| at(&e.to_string()))?;
            self.signed(&bytes, &signature).map_err(|e| at(&e))?;
        }
        for file in parsed["files"].as_array().ok_or(at("no files"))? {
            let path = folder.join(file["name"].as_str().unwrap_or_default());
            let size = fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?.len();
            if Some(size) != file["size"].as_u64() {
                return Err(format!("{} has {size} bytes", path.display()));
            }
            // Every byte the first time, then sizes: a loop has to be quick.
            if new {
                let found = hex::encode(Sha256::digest(fs::read(&path).map_err(|e| e.to_string())?));
                if file["sha256"].as_str() != Some(&format!("sha256:{found}")) {
                    return Err(format!("{} has other bytes", path.display()));
                }
            }
        }
        page(&folder.join("index.html"))?;
        self.known.insert(digest);
        Ok(())
    }

    /// The payload of a DSSE envelope, once openssl says that our key signed it.
    fn open(&mut self, envelope: &[u8]) -> Result<Value, String> {
        let envelope: Value = serde_json::from_slice(envelope).map_err(|e| format!("the index: {e}"))?;
        let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
        let payload = BASE64.decode(text(&envelope["payload"])).map_err(|e| e.to_string())?;
        let kind = text(&envelope["payloadType"]);
        let mut signed = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
        signed.extend_from_slice(&payload);
        self.signed(&signed, text(&envelope["signatures"][0]["sig"]).as_bytes())?;
        serde_json::from_slice(&payload).map_err(|e| e.to_string())
    }

    fn signed(&mut self, bytes: &[u8], signature: &[u8]) -> Result<(), String> {
        let id = hex::encode(Sha256::digest(bytes));
        if self.known.contains(&id) {
            return Ok(());
        }
        let (data, file) = (self.scratch.path().join("data"), self.scratch.path().join("signature"));
        fs::write(&data, bytes).unwrap();
        let signature = BASE64.decode(signature.trim_ascii()).map_err(|e| format!("signature: {e}"))?;
        fs::write(&file, signature).unwrap();
        let checked = command("openssl")
            .args(["dgst", "-sha256", "-verify"])
            .arg(&self.key)
            .arg("-signature")
            .args([&file, &data])
            .output()
            .unwrap();
        if checked.status.success() {
            self.known.insert(id);
            Ok(())
        } else {
            Err("a signature does not hold".to_owned())
        }
    }
}

fn page(path: &Path) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    if text.trim_end().ends_with("</html>") {
        Ok(())
    } else {
        Err(format!("{} is cut short", path.display()))
    }
}

/// A reader that looks all the time, on a thread of its own.
pub struct Watching {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<usize, String>>,
}

impl Watching {
    pub fn start(store: &Path, key: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut reader, stopped) = (Reader::new(store, key), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut looks = 0;
            while !stopped.load(Ordering::SeqCst) {
                reader.look()?;
                looks += 1;
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            reader.look().map(|()| looks + 1)
        });
        Self { stop, thread }
    }

    /// How often it looked and saw nothing wrong.
    pub fn end(self, when: &str) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap().unwrap_or_else(|seen| panic!("{when}: a reader saw: {seen}"))
    }
}

//! The images of this repository: built, booted, held against their specs and published, as
//! `reconcile` does it. One cache for all of them, so that what they share is built once.

mod arm;
mod borgos;
mod desktop;
mod dev_box;
mod dracut;
mod edge_disk;
mod hardened;
mod inits;
mod installer;
mod parts;
mod selinux;
mod sessions;

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One machine at a time: two at once would only slow each other down.
static MACHINE: Mutex<()> = Mutex::new(());

pub(crate) fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "tests start programs as a user does")]
pub(crate) fn command(program: &str) -> Command {
    Command::new(program)
}

fn words(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}\n{err}", output.status)
}

fn run(dir: &Path, program: &str, args: &[&str]) -> Output {
    let output = command(program).current_dir(dir).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", words(&output));
    output
}

/// A catalog with one of this repository's specs, and all that it can name.
pub(crate) struct Image {
    name: &'static str,
    dir: PathBuf,
}

impl Image {
    pub(crate) fn new(name: &'static str, variant: &str) -> Self {
        let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("specs/{name}.yaml"));
        Self::of(name, variant, &std::fs::read_to_string(spec).unwrap())
    }

    /// An image with this spec.
    pub(crate) fn of(name: &'static str, variant: &str, text: &str) -> Self {
        let images = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        let dir = images.join(format!("{name}{variant}"));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&images).unwrap();
        run(&images, env!("CARGO_BIN_EXE_bootwright"), &["init", dir.to_str().unwrap()]);
        std::fs::remove_file(dir.join("specs/hello.yaml")).unwrap();
        let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
        let spec = format!("specs/{name}.yaml");
        std::fs::write(dir.join(&spec), text).unwrap();
        let mut texts = text.to_owned();
        // A catalog is refused if nothing reads one of its files.
        for folder in ["profiles", "profiles", "specs/pictures", "specs/scripts"] {
            copy_named(&repository.join(folder), &dir.join(folder), &mut texts);
        }
        let dotfiles = texts.split("dotfiles: {folder: ").skip(1).filter_map(|rest| rest.split('}').next());
        let folders = dotfiles.map(str::to_owned).chain([format!("specs/overlays/{name}")]);
        for folder in folders.filter(|folder| repository.join(folder).is_dir()) {
            let from = format!("{}/.", repository.join(&folder).display());
            std::fs::create_dir_all(dir.join(&folder)).unwrap();
            run(&images, "cp", &["-a", &from, dir.join(&folder).to_str().unwrap()]);
        }
        let image = Self { name, dir };
        let cache = images.join("cache");
        image.edit("bootwright.yaml", "path: .bootwright", &format!("path: {}", cache.display()));
        // These tests look at systems, not at small files.
        image.edit("bootwright.yaml", "compression: balanced", "compression: fast");
        image
    }

    pub(crate) fn edit(&self, path: &str, from: &str, to: &str) {
        let path = self.dir.join(path);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{} has no {from:?}", path.display());
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// A file that is laid over the image's root.
    pub(crate) fn overlay(&self, path: &str, text: &str) {
        let path = self.dir.join("specs/overlays").join(self.name).join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A folder beside its catalog, emptied.
    pub(crate) fn scratch(&self) -> PathBuf {
        let folder = self.dir.with_extension("scratch");
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn reconcile(&self) -> Value {
        run(&self.dir, "git", &["add", "--all"]);
        let who = ["-c", "user.name=t", "-c", "user.email=t@example.invalid", "-c", "commit.gpgsign=false"];
        run(&self.dir, "git", &[&who[..], &["commit", "--quiet", "--message", "An image"]].concat());
        let mut bootwright = command(env!("CARGO_BIN_EXE_bootwright"));
        let output =
            bootwright.current_dir(&self.dir).args(["--output", "json", "reconcile"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", words(&output)))
    }

    /// Builds it, boots it and publishes it: its release's folder and manifest.
    pub(crate) fn publish(&self) -> (PathBuf, Value) {
        let report = self.reconcile();
        assert_eq!(report["failed"], Value::Array(Vec::new()), "{report:#}");
        let version = report["published"][0]["version"].as_str().unwrap_or_else(|| panic!("{report:#}"));
        let folder = self.dir.join("releases").join(self.name).join(version);
        let manifest = serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
        (folder, manifest)
    }

    /// Builds it and boots it: the words with which it is refused.
    pub(crate) fn refused(&self) -> String {
        let report = self.reconcile();
        assert_eq!(report["published"], Value::Array(Vec::new()), "{report:#}");
        report["failed"].to_string()
    }
}

/// Copies the files that are named in `texts`, and adds the texts among them.
fn copy_named(from: &Path, to: &Path, texts: &mut String) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if texts.contains(name) && path.is_file() && !to.join(name).exists() {
            std::fs::create_dir_all(to).unwrap();
            std::fs::copy(&path, to.join(name)).unwrap();
            texts.push_str(&std::fs::read_to_string(&path).unwrap_or_default());
        }
    }
}

/// The findings of each boot of a release, all of which have passed.
pub(crate) fn boots(manifest: &Value) -> Vec<Vec<String>> {
    let checks =
        manifest["verification"].as_array().unwrap().iter().flat_map(|e| e["checks"].as_array().unwrap());
    let boots = checks.filter(|check| check["boot"].is_string());
    boots
        .map(|boot| {
            assert_eq!(boot["verdict"]["verdict"], "passed", "{boot:#}");
            println!("{} {}", boot["name"], boot["timingsMs"]);
            let findings = boot["findings"].as_array().unwrap();
            findings.iter().map(|f| f.as_str().unwrap().to_owned()).collect()
        })
        .collect()
}

/// Fails unless everything that was declared was found, and gives how much that was.
pub(crate) fn all_found(findings: &[String]) -> usize {
    let count = findings.iter().find_map(|f| f.strip_prefix("declared and found: "));
    let (found, declared) =
        count.and_then(|c| c.split_once(" of ")).unwrap_or_else(|| panic!("{findings:#?}"));
    assert_eq!(found, declared, "{findings:#?}");
    found.parse().unwrap()
}

/// The file of a release with this whole ending: `.rootfs.tar.zst`, since `inputs.tar.zst` ends in
/// zst too.
pub(crate) fn file(folder: &Path, ending: &str) -> PathBuf {
    let mut files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = files.find(|path| path.to_string_lossy().ends_with(ending));
    found.unwrap_or_else(|| panic!("no *{ending} in {}", folder.display()))
}

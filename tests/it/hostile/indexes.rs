//! Attacks on a signed Debian repository: made with gpg, answered by real apt.

use super::Cases;
use bootwright::build::Builder;
use bootwright::build::cache::Cache;
use bootwright::effects::{Cancel, Process, fetch};
use bootwright::model::failure::FailureClass;
use bootwright::model::lock::LockRequest;
use bootwright::model::settings::Mirror;
use bootwright::model::spec::Base;
use bootwright::model::{Digest, Emitter, Failure, Lock, OsImage};
use chrono::{DateTime, TimeDelta, Utc};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

const SUITE: &str = "bookworm";

/// A repository in a folder, and the keys that sign it.
struct Repository {
    dir: tempfile::TempDir,
}

/// What a `Release` file says.
struct Release {
    suite: String,
    codename: String,
    date: DateTime<Utc>,
    valid_until: Option<DateTime<Utc>>,
    /// Which lists of digests it has.
    digests: Vec<&'static str>,
}

impl Release {
    fn sound() -> Self {
        let now = bootwright::effects::Clock::System.now();
        Self {
            suite: "oldstable".to_owned(),
            codename: SUITE.to_owned(),
            date: now - TimeDelta::hours(1),
            valid_until: Some(now + TimeDelta::days(7)),
            digests: vec!["MD5Sum", "SHA256"],
        }
    }

    fn text(&self, repository: &Path) -> String {
        let date = |t: DateTime<Utc>| t.format("%a, %d %b %Y %H:%M:%S UTC").to_string();
        let mut text = format!(
            "Origin: Test\nLabel: Test\nSuite: {}\nCodename: {}\nDate: {}\n",
            self.suite,
            self.codename,
            date(self.date)
        );
        if let Some(until) = self.valid_until {
            let _ = writeln!(text, "Valid-Until: {}", date(until));
        }
        text.push_str("Architectures: amd64\nComponents: main\n");
        let name = "main/binary-amd64/Packages";
        let path = repository.join("dists").join(SUITE).join(name);
        for kind in &self.digests {
            let tool = if *kind == "SHA256" {
                "sha256sum"
            } else if *kind == "SHA1" {
                "sha1sum"
            } else {
                "md5sum"
            };
            let sum = Process::new(tool).arg(&path).check(&Cancel::default()).unwrap().text();
            let sum = sum.split_whitespace().next().unwrap().to_owned();
            let _ = writeln!(text, "{kind}:\n {sum} {} {name}", std::fs::metadata(&path).unwrap().len());
        }
        text
    }
}

impl Repository {
    fn new() -> Self {
        let repository = Self { dir: tempfile::tempdir().unwrap() };
        for key in ["owner", "stranger"] {
            std::fs::create_dir_all(repository.path(key)).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            std::fs::set_permissions(repository.path(key), mode).unwrap();
            repository.gpg(
                key,
                &["--passphrase", "", "--quick-generate-key", &format!("{key}@example.invalid"), "rsa2048"],
            );
        }
        let exported = repository.gpg("owner", &["--export"]);
        std::fs::write(repository.path("owner.gpg"), exported).unwrap();
        repository.write_packages("SHA256: 0000000000000000000000000000000000000000000000000000000000000000");
        repository.publish(&Release::sound(), "owner");
        repository
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn dist(&self, name: &str) -> PathBuf {
        self.path("mirror/dists").join(SUITE).join(name)
    }

    fn gpg(&self, home: &str, args: &[&str]) -> Vec<u8> {
        let base = ["--batch", "--quiet", "--yes", "--homedir"];
        let process = Process::new("gpg").args(base).arg(self.path(home)).args(args);
        process.check(&Cancel::default()).unwrap_or_else(|f| panic!("{f}: {:?}", f.details)).stdout
    }

    fn write_packages(&self, extra: &str) {
        let folder = self.dist("main/binary-amd64");
        std::fs::create_dir_all(&folder).unwrap();
        let text = format!(
            "Package: base-files\nVersion: 1\nArchitecture: amd64\nEssential: yes\nMaintainer: T <t@example.invalid>\nFilename: pool/b/base-files_1_amd64.deb\nSize: 10\n{extra}\nDescription: x\n\n"
        );
        std::fs::write(folder.join("Packages"), text).unwrap();
    }

    /// Writes and signs `InRelease`.
    fn publish(&self, release: &Release, key: &str) {
        self.publish_with(release, key, &[]);
    }

    fn publish_with(&self, release: &Release, key: &str, options: &[&str]) {
        std::fs::write(self.dist("Release"), release.text(&self.path("mirror"))).unwrap();
        let signed = self.gpg(
            key,
            &[options, &["--clearsign", "--output", "-", self.dist("Release").to_str().unwrap()]].concat(),
        );
        std::fs::write(self.dist("InRelease"), signed).unwrap();
    }

    fn edit(&self, name: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.dist(name)).unwrap();
        assert!(text.contains(from), "{text}");
        std::fs::write(self.dist(name), text.replace(from, to)).unwrap();
    }

    fn lock_in(&self, cache: &Path) -> Result<Lock, Failure> {
        let mirror = Mirror {
            base: Base::DEBIAN,
            urls: vec![format!("file://{}", self.path("mirror").display())],
            suites: vec!["{suite}".to_owned()],
            components: vec!["main".to_owned()],
            keyring: self.path("owner.gpg").to_str().unwrap().to_owned(),
            unsigned_indexes: false,
        };
        let spec = crate::catalog::SPEC;
        let image: OsImage = serde_saphyr::from_str(spec).unwrap();
        let request: LockRequest =
            bootwright::resolve::request(&image, &bootwright::model::packaging::PackageSettings::default())
                .unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (cache, client) = (Cache::open(cache)?, fetch::client()?);
        let builder = Builder {
            cache: &cache,
            mirrors: &[mirror],
            client: &client,
            runtime: runtime.handle(),
            events: &Emitter::default(),
            cancel: &Cancel::default(),
            offline: false,
        };
        builder.lock(&image.metadata.name, &request, None)
    }

    fn lock(&self) -> Result<Lock, Failure> {
        self.lock_in(tempfile::tempdir().unwrap().path())
    }
}

/// What a sound index gives: trusted, but it has nothing that a whole system is made of.
fn is_trusted(result: &Result<Lock, Failure>) -> bool {
    result.as_ref().is_err_and(|f| f.class == FailureClass::Spec)
}

#[test]
fn indexes_that_are_refused() {
    let sound = Repository::new().lock();
    assert!(is_trusted(&sound), "{sound:?}");
    let mut cases = Cases::of("package indexes");
    let now = bootwright::effects::Clock::System.now();
    let untrusted =
        "not signed by a key of the mirror's keyring, or is out of date|of another suite|weak|cannot be had";
    let mut case = |name: &str, attack: &dyn Fn(&Repository)| {
        let repository = Repository::new();
        attack(&repository);
        let result = repository.lock();
        assert!(!is_trusted(&result), "{name}: was trusted");
        cases.refused(name, result, untrusted);
    };
    case("unsigned", &|r| std::fs::remove_file(r.dist("InRelease")).unwrap());
    case("unsigned InRelease", &|r| std::fs::copy(r.dist("Release"), r.dist("InRelease")).map(drop).unwrap());
    case("signed by a stranger", &|r| r.publish(&Release::sound(), "stranger"));
    case("an altered index", &|r| r.edit("InRelease", "Origin: Test", "Origin: Best"));
    case("another list of digests", &|r| {
        r.write_packages("SHA256: 1111111111111111111111111111111111111111111111111111111111111111");
        let text = Release::sound().text(&r.path("mirror"));
        let digest = |text: &str| text.lines().last().unwrap().to_owned();
        let old = digest(&std::fs::read_to_string(r.dist("Release")).unwrap());
        r.edit("InRelease", &old, &digest(&text));
    });
    case("altered Packages", &|r| r.edit("main/binary-amd64/Packages", "Version: 1", "Version: 2"));
    case("longer Packages", &|r| r.edit("main/binary-amd64/Packages", "Version: 1", "Version: 1.0"));
    case("no Packages", &|r| std::fs::remove_file(r.dist("main/binary-amd64/Packages")).unwrap());
    case("expired", &|r| {
        r.publish(
            &Release {
                valid_until: Some(now - TimeDelta::hours(2)),
                date: now - TimeDelta::days(9),
                ..Release::sound()
            },
            "owner",
        )
    });
    case("of the future", &|r| {
        r.publish(&Release { date: now + TimeDelta::days(3), ..Release::sound() }, "owner")
    });
    case("of another suite", &|r| {
        r.publish(
            &Release { suite: "stable".to_owned(), codename: "sid".to_owned(), ..Release::sound() },
            "owner",
        )
    });
    case("of the suite's updates", &|r| {
        r.publish(
            &Release {
                suite: "oldstable-updates".to_owned(),
                codename: "bookworm-updates".to_owned(),
                ..Release::sound()
            },
            "owner",
        );
    });
    case("without a name", &|r| {
        r.publish(&Release { suite: String::new(), codename: String::new(), ..Release::sound() }, "owner")
    });
    case("weak digests only", &|r| {
        r.publish(&Release { digests: vec!["MD5Sum"], ..Release::sound() }, "owner")
    });
    case("SHA-1 only", &|r| r.publish(&Release { digests: vec!["SHA1"], ..Release::sound() }, "owner"));
    case("no digests", &|r| r.publish(&Release { digests: Vec::new(), ..Release::sound() }, "owner"));
    case("signed with a weak digest", &|r| {
        r.publish_with(&Release::sound(), "owner", &["--digest-algo", "SHA1", "--allow-weak-digest-algos"]);
    });
    case("text before the signed part", &|r| {
        let text = std::fs::read_to_string(r.dist("InRelease")).unwrap();
        std::fs::write(r.dist("InRelease"), format!("Suite: evil\n\n{text}")).unwrap();
    });
    case("text after the signed part", &|r| {
        let text = std::fs::read_to_string(r.dist("InRelease")).unwrap();
        std::fs::write(r.dist("InRelease"), format!("{text}\nSuite: evil\n")).unwrap();
    });
    case("an empty index", &|r| std::fs::write(r.dist("InRelease"), "").unwrap());
    case("another keyring", &|r| {
        std::fs::write(r.path("owner.gpg"), r.gpg("stranger", &["--export"])).unwrap()
    });
    case("an empty keyring", &|r| std::fs::write(r.path("owner.gpg"), "").unwrap());
    cases.finish(22);
}

/// A mirror that goes back to an older index, signed and not expired, is not followed.
#[test]
fn an_older_index_is_not_taken_back() {
    let repository = Repository::new();
    let cache = tempfile::tempdir().unwrap();
    assert!(is_trusted(&repository.lock_in(cache.path())));
    let newer = Digest::of(std::fs::read(repository.dist("InRelease")).unwrap());
    let older = Release { date: Release::sound().date - TimeDelta::days(2), ..Release::sound() };
    repository.publish(&older, "owner");
    let _ = repository.lock_in(cache.path());
    let mut kept = Vec::new();
    let states = std::fs::read_dir(cache.path().join("apt")).unwrap().flatten();
    for state in states.filter(|state| state.path().is_dir()) {
        for list in std::fs::read_dir(state.path().join("state/lists")).unwrap().flatten() {
            if list.file_name().to_string_lossy().ends_with("InRelease") {
                kept.push(Digest::of(std::fs::read(list.path()).unwrap()));
            }
        }
    }
    assert_eq!(kept, [newer]);
}

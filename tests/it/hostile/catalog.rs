//! Git repositories with trees that no well-meaning git would make.

use super::Cases;
use crate::catalog::{Repository, SPEC, at, read};
use bootwright::catalog::{self, Location};
use bootwright::effects::{Cancel, Process};
use bootwright::model::{Failure, Result};
use bootwright::ops::{self, CatalogRef, Context, PlanRequest};
use std::path::Path;

const SCRIPTED: &str = "  postInstall: {scripts: [specs/x.sh]}\n";
const PICTURED: &str = "  customization: {bootloader: {splash: specs/x.png}}\n";

/// Writes one object and gives its id. `--literally`: git itself would refuse some of them.
fn object(repo: &Path, kind: &str, bytes: &[u8]) -> String {
    let args = ["hash-object", "-w", "--literally", "-t", kind, "--stdin"];
    let done = Process::new("git").args(args).dir(repo).stdin(bytes.to_vec()).check(&Cancel::default());
    done.unwrap_or_else(|f| panic!("{f}: {:?}", f.details)).text().trim().to_owned()
}

/// Mode, name, object id.
type Entry = (String, Vec<u8>, String);

fn tree(repo: &Path, mut entries: Vec<Entry>) -> String {
    entries.sort_by(|a, b| a.1.cmp(&b.1));
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend(mode.as_bytes());
        bytes.push(b' ');
        bytes.extend(name);
        bytes.push(0);
        bytes.extend((0..20).map(|n| u8::from_str_radix(&id[2 * n..2 * n + 2], 16).unwrap()));
    }
    object(repo, "tree", &bytes)
}

/// A repository whose only commit has a sound spec and whatever else is planted.
struct Planted {
    repo: Repository,
    specs: Vec<Entry>,
    root: Vec<Entry>,
}

impl Planted {
    fn new(spec: &str) -> Self {
        let repo = Repository::new();
        let id = object(repo.path(), "blob", format!("{SPEC}{spec}").as_bytes());
        Self { specs: vec![("100644".to_owned(), b"edge.yaml".to_vec(), id)], root: Vec::new(), repo }
    }

    fn blob(&self, bytes: &[u8]) -> String {
        object(self.repo.path(), "blob", bytes)
    }

    /// An entry below `specs/`, in folders of their own.
    fn plant(mut self, path: &[&[u8]], mode: &str, id: &str) -> Self {
        let (last, folders) = path.split_last().unwrap();
        let mut entry: Entry = (mode.to_owned(), last.to_vec(), id.to_owned());
        for folder in folders.iter().rev() {
            let id = tree(self.repo.path(), vec![entry]);
            entry = ("40000".to_owned(), folder.to_vec(), id);
        }
        self.specs.retain(|(_, name, _)| *name != entry.1);
        self.specs.push(entry);
        self
    }

    fn commit(mut self) -> Repository {
        let specs = tree(self.repo.path(), std::mem::take(&mut self.specs));
        if self.root.iter().all(|(_, name, _)| name != b"specs") {
            self.root.push(("40000".to_owned(), b"specs".to_vec(), specs));
        }
        let root = tree(self.repo.path(), std::mem::take(&mut self.root));
        let commit = self.repo.git(&["commit-tree", "-m", "hostile", &root]);
        self.repo.git(&["update-ref", "HEAD", &commit]);
        self.repo
    }
}

/// Both ways in which a catalog is read must refuse it: in full, and as far as is needed to plan.
fn refused_by_all(cases: &mut Cases, case: &str, repo: &Repository, words: &str) {
    let location = at(repo.path(), "HEAD");
    let in_full = read(&location)
        .and_then(|files| catalog::load(&files).map_err(|found| catalog::diagnostic::failure(&found)));
    cases.refused(case, in_full, words);
    cases.refused(&format!("{case}, to plan"), plan(repo.path()), words);
}

fn plan(repo: &Path) -> Result<()> {
    let context = Context { cwd: repo.to_owned(), ..Context::default() };
    let catalog = CatalogRef { location: ".".to_owned(), rev: Some("HEAD".to_owned()) };
    ops::plan(&context, PlanRequest { catalog, only: Vec::new(), force: Vec::new(), deep: false }).map(|_| ())
}

#[test]
fn trees_that_lead_elsewhere() {
    let mut cases = Cases::of("trees in git");
    let sound = Planted::new("").commit();
    plan(sound.path()).unwrap();
    let long = [b'a'; 300];
    let deep: Vec<&[u8]> = vec![b"a"; 70];
    let very_long: Vec<&[u8]> = vec![&long[..200]; 6];
    type Case<'a> = (&'a str, &'a str, Vec<&'a [u8]>, &'a str, &'a str);
    let cases_of_paths: Vec<Case<'_>> = vec![
        ("a spec is a link", "", vec![b"other.yaml"], "120000", "is a symbolic link"),
        ("a lock is a link", "", vec![b"edge.lock.yaml"], "120000", "is a symbolic link"),
        ("a script is a link", SCRIPTED, vec![b"x.sh"], "120000", "is a symbolic link"),
        ("a picture is a link", PICTURED, vec![b"x.png"], "120000", "is a symbolic link"),
        ("dots", "", vec![b"..", b"x"], "100644", "not a path"),
        ("a dot", "", vec![b".", b"x"], "100644", "not a path"),
        ("git's own folder", "", vec![b".git", b"config"], "100644", "not a path"),
        ("git's own folder, shouted", "", vec![b".GIT", b"config"], "100644", "not a path"),
        ("a slash in a name", "", vec![b"overlays/edge/../../../etc/passwd"], "100644", "not a path"),
        ("an absolute name", "", vec![b"/etc/passwd"], "100644", "not a path"),
        ("no name", "", vec![b""], "100644", "not a path|cannot be read"),
        ("a backslash", "", vec![b"a\\..\\b"], "100644", "not a path"),
        ("a line end", "", vec![b"a\nb.yaml"], "100644", "not a path"),
        ("an escape", "", vec![b"a\x1b[2Jb.yaml"], "100644", "not a path"),
        ("no UTF-8", "", vec![b"a\xff\xfe.yaml"], "100644", "UTF-8"),
        ("a long name", "", vec![&long], "100644", "not a path"),
        ("a long path", "", very_long, "100644", "not a path"),
        ("too deep", "", deep, "100644", "too deep|not a path"),
        ("overlay: dots", "", vec![b"overlays", b"edge", b"..", b"..", b"x"], "100644", "not a path"),
        ("overlay: git", "", vec![b"overlays", b"edge", b".git", b"x"], "100644", "not a path"),
        ("overlay: a link as /bin", "", vec![b"overlays", b"edge", b"bin"], "120000", "is a link to usr"),
        ("overlay of nobody", "", vec![b"overlays", b"..", b"x"], "100644", "not a path|of no image"),
        ("overlay: a whiteout", "", vec![b"overlays", b"edge", b".wh.etc"], "100644", "delete files"),
        (
            "overlay: a device folder",
            "",
            vec![b"overlays", b"edge", b"dev", b"sda"],
            "100644",
            "nothing in /dev",
        ),
        ("a submodule", "", vec![b"overlays", b"edge"], "160000", "submodule"),
        ("a submodule of specs", "", vec![b"more"], "160000", "submodule"),
        ("a pipe", "", vec![b"x.yaml"], "10644", "submodule|cannot be read"),
        ("a device", "", vec![b"x.yaml"], "60000", "submodule|cannot be read"),
        ("a socket", "", vec![b"x.yaml"], "140000", "submodule|cannot be read"),
        ("a mode that is none", "", vec![b"x.yaml"], "777777", "submodule|cannot be read"),
        ("a mode of no digits", "", vec![b"x.yaml"], "zzz", "cannot be read"),
    ];
    for (case, spec, path, mode, words) in cases_of_paths {
        let planted = Planted::new(spec);
        let target = planted.blob(b"/etc/passwd");
        refused_by_all(&mut cases, case, &planted.plant(&path, mode, &target).commit(), words);
    }
    cases.finish(60);
}

#[test]
fn objects_that_are_not_what_they_seem() {
    let mut cases = Cases::of("objects in git");
    let mut case = |name: &str, words: &str, plant: &dyn Fn(Planted) -> Planted| {
        refused_by_all(&mut cases, name, &plant(Planted::new("")).commit(), words);
    };
    case("specs is a link", "is a symbolic link|not a path", &|mut planted| {
        let target = planted.blob(b"/etc");
        planted.root.push(("120000".to_owned(), b"specs".to_vec(), target));
        planted
    });
    case("the settings are a link", "is a symbolic link", &|mut planted| {
        let target = planted.blob(b"/etc/passwd");
        planted.root.push(("120000".to_owned(), b"bootwright.yaml".to_vec(), target));
        planted
    });
    case("the settings are a folder", "not a path|is a folder|nothing reads", &|mut planted| {
        let inner = planted.blob(b"x");
        let id = tree(planted.repo.path(), vec![("100644".to_owned(), b"x".to_vec(), inner)]);
        planted.root.push(("40000".to_owned(), b"bootwright.yaml".to_vec(), id));
        planted
    });
    case("policies are a submodule", "submodule", &|mut planted| {
        let id = planted.blob(b"x");
        planted.root.push(("160000".to_owned(), b"policies".to_vec(), id));
        planted
    });
    case("an object that is not there", "cannot be read", &|planted| {
        planted.plant(&[b"other.yaml"], "100644", &"12".repeat(20))
    });
    case("a file that is a tree", "cannot be read", &|planted| {
        let inner = planted.blob(b"x");
        let id = tree(planted.repo.path(), vec![("100644".to_owned(), b"x".to_vec(), inner)]);
        planted.plant(&[b"other.yaml"], "100644", &id)
    });
    case("a folder that is a file", "cannot be read", &|planted| {
        let id = planted.blob(b"not a tree");
        planted.plant(&[b"more"], "40000", &id)
    });
    case("a tree that is cut off", "cannot be read", &|planted| {
        let id = object(planted.repo.path(), "tree", b"100644 x\0short");
        planted.plant(&[b"more"], "40000", &id)
    });
    case("two paths that differ in case", "only in case", &|planted| {
        let id = planted.blob(SPEC.replace("edge", "other").as_bytes());
        planted.plant(&[b"Edge.yaml"], "100644", &id)
    });
    case("a spec that is too large", "at most", &|planted| {
        let id = planted.blob(&vec![b'#'; (8 << 20) + 1]);
        planted.plant(&[b"other.yaml"], "100644", &id)
    });
    case("a script that is too large", "at most", &|planted| {
        let id = planted.blob(&vec![b'#'; (8 << 20) + 1]);
        planted.plant(&[b"x.sh"], "100755", &id)
    });
    case("an overlay file that is too large", "at most", &|planted| {
        let id = planted.blob(&vec![0; (64 << 20) + 1]);
        planted.plant(&[b"overlays", b"edge", b"usr", b"blob"], "100644", &id)
    });
    case("too many files", "too large", &|planted| {
        let id = planted.blob(b"x");
        let entry = |n: usize| ("100644".to_owned(), format!("{n:06}").into_bytes(), id.clone());
        let folder = tree(planted.repo.path(), (0..50_001).map(entry).collect());
        planted.plant(&[b"schema"], "40000", &folder)
    });
    cases.finish(26);
}

#[test]
fn addresses_and_revisions() {
    let mut cases = Cases::of("addresses");
    let clones = tempfile::tempdir().unwrap();
    let open = |text: &str, rev: Option<&str>| -> Result<()> {
        catalog::read(&Location::parse(text, rev)?, &clones.path().join("clones")).map(|_| ())
    };
    for text in [
        "--upload-pack=touch x",
        "-oProxyCommand=touch x",
        "ext::sh -c 'touch x'",
        "ext::sh%20-c%20touch%20x",
        "fd::17",
        "ssh://-oProxyCommand=x/y",
        "ssh://host/-oProxyCommand=x",
        "ssh://-l@host/x",
        "git@-oProxyCommand=x:y",
        "-x@host:path",
        "host:-path",
        "git://host/x",
        "http://example.invalid/x",
        "ftp://host/x",
        "file://host/x",
        "file:///etc/%00",
        "file:///etc/%zz",
        "https:///x",
        "https://host/x?y=--upload-pack",
        "https://host/a b",
        "https://host/\nx",
        "javascript://x/y",
        "",
        "\0",
        "/etc/passwd",
        "/proc/self/mem",
    ] {
        cases.refused(text, open(text, None), "");
    }
    let repo = Repository::new();
    repo.write("specs/edge.yaml", SPEC);
    repo.commit("one");
    let place = repo.path().to_str().unwrap();
    open(place, Some("HEAD")).unwrap();
    for rev in [
        "--help",
        "-n",
        "../../etc/passwd",
        "refs/../HEAD",
        "HEAD~1",
        "HEAD^{/x}",
        "@{-1}",
        "main@{yesterday}",
        "main:specs/edge.yaml",
        ":/one",
        "a b",
        "a\nb",
        "x.lock",
        "config",
        "$(touch x)",
        "",
        "\u{202e}niam",
    ] {
        cases.refused(rev, open(place, Some(rev)), "");
    }
    assert!(!clones.path().join("x").exists() && !Path::new("x").exists(), "something was run");
    cases.finish(40);
}

/// A lie that a tree tells is no lie any more once it is remembered.
#[test]
fn what_was_remembered_hides_nothing() {
    let mut cases = Cases::of("after a sound commit was remembered");
    let attacks: [(&str, &[&[u8]], &str, &str); 3] = [
        ("a link in a lock's place", &[b"edge.lock.yaml"], "120000", "is a symbolic link"),
        ("a link as /bin", &[b"overlays", b"edge", b"bin"], "120000", "is a link to usr"),
        ("a second image of the name", &[b"zz.yaml"], "100644", "two images"),
    ];
    for (case, path, mode, words) in attacks {
        let planted = Planted::new("");
        let id = if mode == "120000" { planted.blob(b"/etc") } else { planted.blob(SPEC.as_bytes()) };
        let sound = Planted { repo: planted.repo, specs: planted.specs.clone(), root: Vec::new() }.commit();
        plan(sound.path()).unwrap_or_else(|f: Failure| panic!("{f}"));
        plan(sound.path()).unwrap();
        let attacked =
            Planted { repo: sound, specs: planted.specs, root: Vec::new() }.plant(path, mode, &id).commit();
        cases.refused(case, plan(attacked.path()), words);
    }
    cases.finish(3);
}

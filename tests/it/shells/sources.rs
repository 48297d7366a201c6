//! Where dotfiles and frameworks come from: folders of the catalog, and git repositories at one
//! commit, fetched by smart HTTP or from a copy.

use crate::catalog::{Repository, git, remotes::Server};
use bootwright::catalog::{self, Clones, Diagnostic, Files, files::FileKind};
use bootwright::effects::{Cancel, Process};
use bootwright::model::catalog::{CatalogSource, OverlayContent, OverlayEntry};
use bootwright::model::{Failure, FailureClass};
use std::path::Path;

fn spec(customization: &str) -> String {
    format!(
        "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {{name: edge}}\nspec:\n  base: debian\n  suite: bookworm\n  \
         outputs: [oci]\n  defaults: {{users: [{{name: ada}}]}}\n  customization: {{{customization}}}\n"
    )
}

fn files(entries: &[(&str, FileKind, &str)]) -> Files {
    let mut files = Files::new(CatalogSource { location: "test".to_owned(), commit: None });
    for (path, kind, text) in entries {
        files.add(path, *kind, text.as_bytes().to_vec()).unwrap();
    }
    files
}

fn errors(files: &Files) -> Vec<Diagnostic> {
    let (_, found) = catalog::check(files);
    found.into_iter().filter(|d| d.severity == catalog::Severity::Error).collect()
}

#[test]
fn a_folder_of_the_catalog() {
    use FileKind::{Executable, Regular, Symlink};
    let spec = spec("dotfiles: {folder: specs/dotfiles/ada}");
    let files = files(&[
        ("specs/edge.yaml", Regular, &spec),
        ("specs/dotfiles/ada/README.md", Regular, "for people"),
        ("specs/dotfiles/ada/.zshrc", Regular, "x"),
        ("specs/dotfiles/ada/.local/bin/up", Executable, "#!/bin/sh\n"),
        ("specs/dotfiles/ada/.vimrc", Symlink, ".config/vim/rc"),
        ("specs/dotfiles/ada/.config/vim/rc", Regular, "y"),
    ]);
    let (catalog, found) = catalog::check(&files);
    assert!(found.iter().all(|d| d.severity != catalog::Severity::Error), "{found:?}");
    let document = catalog.unwrap().images.into_values().next().unwrap();
    let tree = document.trees["specs/dotfiles/ada/"].as_ref().unwrap();
    let paths: Vec<&str> = tree.iter().map(|entry| entry.path.as_str()).collect();
    assert_eq!(paths, [".config/vim/rc", ".local/bin/up", ".vimrc", ".zshrc"]);
}

#[test]
fn folders_that_are_refused() {
    use FileKind::{Regular, Symlink};
    let spec = |folder: &str| spec(&format!("dotfiles: {{folder: {folder}}}"));
    let good = spec("specs/dotfiles/ada");
    let cases: [(&str, &str, FileKind, &str, &str); 6] = [
        (&good, "specs/dotfiles/ada/.vimrc", Symlink, "/etc/shadow", "leads out of its folder"),
        (&good, "specs/dotfiles/ada/a/b", Symlink, "../../x", "leads out of its folder"),
        (&good, "specs/dotfiles/ada/a", Symlink, "b/../../x", "leads out of its folder"),
        (&good, "specs/dotfiles/ada/.wh.x", Regular, "", "is not a path that can be laid"),
        (&spec("specs/dotfiles/bob"), "specs/dotfiles/ada/x", Regular, "", "no files in the folder"),
        (&spec("home/ada"), "specs/dotfiles/ada/x", Regular, "", "not in the place for such folders"),
    ];
    for (spec, path, kind, text, words) in cases {
        let found = errors(&files(&[("specs/edge.yaml", FileKind::Regular, spec), (path, kind, text)]));
        assert!(found.iter().any(|d| d.message.contains(words)), "{path}: {found:?}");
    }
    // What nothing names is still nobody's.
    let lost = files(&[
        ("specs/edge.yaml", FileKind::Regular, &good),
        ("specs/dotfiles/ada/x", FileKind::Regular, ""),
        ("specs/dotfiles/bob/x", FileKind::Regular, ""),
    ]);
    assert_eq!(errors(&lost).len(), 1);
}

/// What becomes of `https://git.example.org/d.git` when its copy is at an address.
fn gathered(
    address: &str,
    revision: &str,
    clones: &Path,
    offline: bool,
) -> Result<Vec<OverlayEntry>, Failure> {
    of_field("dotfiles", address, revision, clones, offline)
}

fn of_field(
    field: &str,
    address: &str,
    revision: &str,
    clones: &Path,
    offline: bool,
) -> Result<Vec<OverlayEntry>, Failure> {
    let framework = if field == "dotfiles" { "" } else { "shell: zsh, shellFramework: prezto, " };
    let spec = spec(&format!(
        "{framework}{field}: {{repository: 'https://git.example.org/d.git', revision: '{revision}'}}"
    ));
    let settings = format!(
        "apiVersion: bootwright/v1\nkind: Settings\ngitMirrors: [{{of: 'https://git.example.org/', url: '{address}'}}]\n"
    );
    let files = files(&[
        ("specs/edge.yaml", FileKind::Regular, &spec),
        ("bootwright.yaml", FileKind::Regular, &settings),
    ]);
    let (catalog, found) = catalog::check(&files);
    let mut catalog = catalog.unwrap_or_else(|| panic!("{found:?}"));
    catalog::gather(&mut catalog, &Clones { folder: clones, offline });
    let document = catalog.images.into_values().next().unwrap();
    document.trees[&format!("https://git.example.org/d.git at {revision}")].clone()
}

/// A bare repository `d.git` in a folder, with what a closure puts into its work tree.
fn bare(fill: impl FnOnce(&Repository)) -> (tempfile::TempDir, String) {
    let repository = Repository::new();
    fill(&repository);
    let id = repository.commit("dotfiles");
    let folder = tempfile::tempdir().unwrap();
    git(folder.path(), &["clone", "-q", "--bare", repository.path().to_str().unwrap(), "d.git"]);
    (folder, id)
}

#[test]
fn a_repository_at_one_commit_by_http_and_from_a_copy() {
    let (folder, id) = bare(|r| {
        r.write(".zshrc", "x");
        r.write("README.md", "for people");
        r.write(".github/workflows/x.yml", "x");
        std::os::unix::fs::symlink(".zshrc", r.path().join(".zprofile")).unwrap();
    });
    let server = Server::of(folder.path());
    let clones = tempfile::tempdir().unwrap();
    let copy = format!("file://{}/", folder.path().display());
    for address in [server.url(""), copy] {
        let tree = gathered(&address, &id, clones.path(), false).unwrap_or_else(|f| panic!("{f:?}"));
        let paths: Vec<&str> = tree.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(paths, [".zprofile", ".zshrc"], "{address}");
        assert_eq!(tree[0].content, OverlayContent::Symlink { target: ".zshrc".to_owned() });
    }
    // A commit that is here needs no network; one that is not says so.
    assert!(gathered(&server.url(""), &id, clones.path(), true).is_ok());
    let fresh = tempfile::tempdir().unwrap();
    let failure = gathered(&server.url(""), &id, fresh.path(), true).unwrap_err();
    assert!(failure.message.contains("is not here yet"), "{failure:?}");
}

#[test]
fn repositories_that_are_refused() {
    let clones = tempfile::tempdir().unwrap();
    let refused = |fill: &dyn Fn(&Repository), words: &str| {
        let (folder, id) = bare(fill);
        let copy = format!("file://{}/", folder.path().display());
        let failure = gathered(&copy, &id, clones.path(), false).unwrap_err();
        let said = format!("{failure} {:?}", failure.details);
        assert!(said.contains(words), "{words}: {said}");
        assert_eq!(failure.class, FailureClass::Spec, "{failure:?}");
    };
    let link = |target: &'static str| {
        move |r: &Repository| std::os::unix::fs::symlink(target, r.path().join("a")).unwrap()
    };
    refused(&link("/etc/shadow"), "leads out of its folder");
    refused(&link("../../etc/shadow"), "leads out of its folder");
    refused(&|r| r.write("README.md", "nothing else"), "has no files");
    refused(&|r| std::fs::write(r.path().join("big"), vec![0; (16 << 20) + 1]).unwrap(), "too large");
    refused(
        &|r| {
            let module = r.path().join("module");
            std::fs::create_dir(&module).unwrap();
            git(&module, &["init", "-q"]);
            git(&module, &["commit", "-q", "--allow-empty", "-m", "x"]);
        },
        "is a submodule",
    );
    // git itself makes no such commit; a hostile server may.
    let (folder, _) = bare(|r| r.write("x", "x"));
    let bare = folder.path().join("d.git");
    let blob = git(&bare, &["rev-parse", "HEAD:x"]);
    let inner = tree(&bare, &format!("100644 blob {blob}\tconfig\n"));
    let outer = tree(&bare, &format!("040000 tree {inner}\t.git\n"));
    let commit = git(&bare, &["commit-tree", "-m", "x", &outer]);
    git(&bare, &["update-ref", "refs/heads/hostile", &commit]);
    let copy = format!("file://{}/", folder.path().display());
    let failure = gathered(&copy, &commit, clones.path(), false).unwrap_err();
    assert!(failure.message.contains("is not a path that can be laid"), "{failure:?}");
}

/// Writes a tree object as it is told.
fn tree(repository: &Path, lines: &str) -> String {
    let process = Process::new("git").args(["mktree"]).dir(repository).stdin(lines.as_bytes().to_vec());
    process.check(&Cancel::default()).unwrap().text().trim().to_owned()
}

#[test]
fn a_revision_that_is_none_or_not_there() {
    let (folder, _) = bare(|r| r.write(".zshrc", "x"));
    let bare = folder.path().join("d.git");
    let id = git(&bare, &["rev-parse", "HEAD"]);
    let copy = format!("file://{}/", folder.path().display());
    let clones = tempfile::tempdir().unwrap();
    let missing = "0123456789abcdef0123456789abcdef01234567";
    let server = Server::of(folder.path());
    for address in [copy.clone(), server.url("")] {
        let failure = gathered(&address, missing, clones.path(), false).unwrap_err();
        assert!(failure.message.contains("there is no branch, tag or commit"), "{failure:?}");
    }
    // A branch that is called like a commit.
    git(&bare, &["update-ref", &format!("refs/heads/{missing}"), &id]);
    for address in [copy, server.url("")] {
        let failure = gathered(&address, missing, clones.path(), false).unwrap_err();
        assert!(failure.message.contains("is the name of a branch or tag"), "{failure:?}");
    }
    // Nobody there.
    let failure = gathered("http://127.0.0.1:1/", &id, clones.path(), false).unwrap_err();
    assert_eq!(failure.class, FailureClass::Upstream, "{failure:?}");
}

#[test]
fn a_framework_comes_without_its_submodules() {
    let (folder, id) = bare(|r| {
        r.write("init.zsh", "x");
        let module = r.path().join("external");
        std::fs::create_dir(&module).unwrap();
        git(&module, &["init", "-q"]);
        git(&module, &["commit", "-q", "--allow-empty", "-m", "x"]);
    });
    let copy = format!("file://{}/", folder.path().display());
    let clones = tempfile::tempdir().unwrap();
    let tree = of_field("shellFrameworkSource", &copy, &id, clones.path(), false).unwrap();
    assert_eq!(tree.iter().map(|entry| entry.path.as_str()).collect::<Vec<_>>(), ["init.zsh"]);
    assert!(gathered(&copy, &id, clones.path(), false).is_err());
}

#[test]
fn copies_of_repositories_that_are_refused() {
    let revision = "0123456789abcdef0123456789abcdef01234567";
    let spec =
        spec(&format!("dotfiles: {{repository: 'https://git.example.org/d.git', revision: {revision}}}"));
    let said = |mirrors: &str| {
        let text = format!("apiVersion: bootwright/v1\nkind: Settings\ngitMirrors: [{mirrors}]\n");
        let found = errors(&files(&[
            ("specs/edge.yaml", FileKind::Regular, &spec),
            ("bootwright.yaml", FileKind::Regular, &text),
        ]));
        found.into_iter().map(|d| d.message).collect::<Vec<_>>().join("; ")
    };
    let sound = "{of: 'https://git.example.org/', url: 'https://copy.example.org/'}";
    assert_eq!(said(sound), "");
    for (mirrors, words) in [
        ("{of: 'https://git.example.org/', url: 'http://copy.example.org/'}", "over plain HTTP"),
        (
            "{of: 'https://git.example.org/', url: 'https://me:hunter2@copy.example.org/'}",
            "cannot be fetched",
        ),
        ("{of: 'https://git.example.org/', url: 'ext::sh -c id/'}", "address"),
        ("{of: 'https://git.example.org/', url: '--upload-pack=id/'}", "cannot be fetched"),
        ("{of: 'https://git.example.org/', url: 'https://copy.example.org'}", "cannot be fetched"),
        ("{of: 'git.example.org/', url: 'https://copy.example.org/'}", "not how the address"),
        ("{of: 'https://other.example.org/', url: 'https://copy.example.org/'}", "nothing reads this"),
        (&format!("{sound}, {sound}"), "have a copy already"),
    ] {
        assert!(said(mirrors).contains(words), "{mirrors}: {}", said(mirrors));
        assert!(!said(mirrors).contains("hunter2"));
    }
}

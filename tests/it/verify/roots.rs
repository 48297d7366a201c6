//! Root file systems in archives: real skopeo, umoci and dpkg look at a small real root.

use super::{artifact, build_id, find, options, put, run};
use bootwright::effects::Cancel;
use bootwright::model::event::Emitter;
use bootwright::model::evidence::{Evidence, Verdict};
use bootwright::model::spec::Init;
use bootwright::model::{ArtifactKind, Digest, probe};
use bootwright::verify;
use std::path::{Path, PathBuf};

const STATUS: &str = "Package: tiny\nStatus: install ok installed\nPriority: optional\nSection: misc\n\
                      Maintainer: Nobody <nobody@example.org>\nArchitecture: all\nVersion: 1.0\n\
                      Description: the only package\n";

/// A root with a shell, dpkg and one package.
fn root(folder: &Path) -> PathBuf {
    let root = folder.join("image");
    for file in probe::files(&build_id(), &"tiny".parse().unwrap(), Init::Systemd, &[]) {
        put(&root.join(file.path), &file.bytes, file.mode.unwrap());
    }
    put(
        &root.join("bin/busybox"),
        &std::fs::read("/bin/busybox").expect("busybox-static is installed"),
        0o755,
    );
    for name in ["sh", "id"] {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    for tool in ["/usr/bin/dpkg", "/usr/bin/dpkg-query"] {
        put(&root.join(&tool[1..]), &std::fs::read(tool).unwrap(), 0o755);
        let libraries = run("ldd", &[tool], folder);
        for library in libraries.split_whitespace().filter(|w| w.starts_with('/')) {
            put(&root.join(&library[1..]), &std::fs::read(library).unwrap(), 0o755);
        }
    }
    for empty in ["var/lib/dpkg/available", "var/lib/dpkg/info/tiny.list", "var/lib/dpkg/info/tiny.md5sums"] {
        put(&root.join(empty), b"", 0o644);
    }
    put(&root.join("var/lib/dpkg/info/format"), b"1\n", 0o644);
    put(&root.join("var/lib/dpkg/status"), STATUS.as_bytes(), 0o644);
    for mount in ["proc", "dev", "tmp", "run", "root", "var/lib/dpkg/updates", "var/lib/dpkg/triggers"] {
        std::fs::create_dir_all(root.join(mount)).unwrap();
    }
    root
}

fn look_at_tar(folder: &Path, root: &Path) -> Evidence {
    let path = folder.join("tiny.rootfs.tar.zst");
    let args =
        ["--zstd", "--numeric-owner", "-cf", path.to_str().unwrap(), "-C", root.to_str().unwrap(), "."];
    run("tar", &args, folder);
    let image = artifact(ArtifactKind::Rootfs, path);
    verify::rootfs(&image, &build_id(), &options(folder), &Emitter::default(), &Cancel::default()).unwrap()
}

fn oci_archive(folder: &Path, root: &Path, command: Option<&str>) -> PathBuf {
    let _ = std::fs::remove_dir_all(folder.join("layout"));
    run("umoci", &["init", "--layout", "layout"], folder);
    run("umoci", &["new", "--image", "layout:t"], folder);
    run("umoci", &["insert", "--image", "layout:t", root.to_str().unwrap(), "/"], folder);
    if let Some(command) = command {
        run("umoci", &["config", "--image", "layout:t", "--config.cmd", command], folder);
    }
    let path = folder.join("tiny.oci.tar");
    let _ = std::fs::remove_file(&path);
    let zstd = ["--insecure-policy", "copy", "-q", "--dest-compress", "--dest-compress-format", "zstd"];
    run("skopeo", &[&zstd[..], &["oci:layout:t", "oci-archive:tiny.oci.tar"]].concat(), folder);
    path
}

fn look_at_oci(folder: &Path, archive: PathBuf, build_id: &Digest) -> Evidence {
    let image = artifact(ArtifactKind::OciArchive, archive);
    verify::oci(&image, build_id, &options(folder), &Emitter::default(), &Cancel::default()).unwrap()
}

fn refused(evidence: &Evidence) -> Vec<(&str, String)> {
    let reasons = |v: &Verdict| match v {
        Verdict::Refused { reasons } => Some(reasons.join("; ")),
        _ => None,
    };
    evidence.checks.iter().filter_map(|c| Some((c.name.as_str(), reasons(&c.verdict)?))).collect()
}

#[test]
fn a_good_root_passes_in_both_forms() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    let evidence = look_at_tar(folder.path(), &root);
    assert_eq!(refused(&evidence), []);
    assert_eq!(evidence.checks.len(), 6);
    let archive = oci_archive(folder.path(), &root, Some("/bin/sh"));
    let evidence = look_at_oci(folder.path(), archive, &build_id());
    assert_eq!(refused(&evidence), []);
    assert_eq!(evidence.checks.len(), 7);
    assert_eq!(std::fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0);
}

#[test]
fn an_oci_image_of_another_build_or_without_its_command_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    let archive = oci_archive(folder.path(), &root, Some("/sbin/init"));
    let evidence = look_at_oci(folder.path(), archive, &Digest::of("another"));
    let [(first, words), (second, command)] = &refused(&evidence)[..] else { panic!("{evidence:?}") };
    assert!(*first == "build-id" && words.contains("was expected"), "{words}");
    assert!(*second == "command" && command.contains("\"/sbin/init\" is not in the image"), "{command}");
    let archive = oci_archive(folder.path(), &root, None);
    let evidence = look_at_oci(folder.path(), archive, &build_id());
    assert!(refused(&evidence)[0].1.contains("neither an entry point nor a command"), "{evidence:?}");
}

#[test]
fn broken_archives_are_refused_with_the_tools_words() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    let odd = folder.path().join("odd.tar");
    std::fs::write(&odd, "no archive").unwrap();
    assert_eq!(refused(&look_at_oci(folder.path(), odd, &build_id()))[0].0, "unpack");
    // One byte of a layer is another: its digest no longer fits.
    let archive = oci_archive(folder.path(), &root, Some("/bin/sh"));
    let place = folder.path().join("altered");
    std::fs::create_dir(&place).unwrap();
    run("tar", &["-xf", archive.to_str().unwrap(), "-C", place.to_str().unwrap()], folder.path());
    let blobs = std::fs::read_dir(place.join("blobs/sha256")).unwrap().map(|e| e.unwrap().path());
    let layer = blobs.max_by_key(|p| p.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&layer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&layer, bytes).unwrap();
    run("tar", &["-cf", archive.to_str().unwrap(), "-C", place.to_str().unwrap(), "."], folder.path());
    let evidence = look_at_oci(folder.path(), archive, &build_id());
    let [(name, words)] = &refused(&evidence)[..] else { panic!("{evidence:?}") };
    assert!(*name == "unpack" && words.contains("skopeo"), "{words}");
}

#[test]
fn half_installed_packages_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    let status = STATUS.replace("install ok installed", "install ok half-configured");
    put(&root.join("var/lib/dpkg/status"), status.as_bytes(), 0o644);
    let evidence = look_at_tar(folder.path(), &root);
    let [(audit, complaint), (packages, state)] = &refused(&evidence)[..] else { panic!("{evidence:?}") };
    assert!(*audit == "dpkg-audit" && complaint.contains("tiny"), "{complaint}");
    assert!(*packages == "packages" && state.contains("package tiny is in state \"iF\""), "{state}");
    put(&root.join("var/lib/dpkg/status"), b"Package: tiny\nStatus what\n", 0o644);
    let evidence = look_at_tar(folder.path(), &root);
    assert_eq!(refused(&evidence).len(), 2, "{evidence:?}");
}

#[test]
fn a_root_that_starts_nothing_or_knows_one_machine_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path());
    std::fs::remove_file(find(&root.join("bin"), "/sh")).unwrap();
    put(&root.join("etc/machine-id"), b"0123456789abcdef0123456789abcdef\n", 0o444);
    put(&root.join("etc/ssh/ssh_host_ed25519_key"), b"key", 0o600);
    put(&root.join("etc/open"), b"", 0o666);
    let evidence = look_at_tar(folder.path(), &root);
    let [(files, words), (start, _)] = &refused(&evidence)[..] else { panic!("{evidence:?}") };
    assert_eq!((*files, *start), ("files", "start"));
    for word in ["/etc/open (mode 666)", "/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key"] {
        assert!(words.contains(word), "{words}");
    }
}

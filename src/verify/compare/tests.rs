use super::*;
use std::os::unix::fs::PermissionsExt;

fn folder(at: &Path, files: &[(&str, &str)]) -> PathBuf {
    for (path, text) in files {
        let to = at.join(path);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, text).unwrap();
    }
    at.to_owned()
}

fn archive(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut builder = ::tar::Builder::new(Vec::new());
    for (path, text, mode) in files {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(*mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_cksum();
        builder.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

fn compare(kind: ArtifactKind, a: &[u8], b: &[u8]) -> Option<Difference> {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&x, a).unwrap();
    std::fs::write(&y, b).unwrap();
    difference(kind, &x, &y, dir.path(), &Cancel::default()).unwrap()
}

fn zstd(plain: &[u8], level: i32) -> Vec<u8> {
    zstd::encode_all(plain, level).unwrap()
}

#[test]
fn the_first_byte_is_found_across_reads() {
    let cancel = Cancel::default();
    let base: Vec<u8> = (0..3_000_000_u32).map(|i| i as u8).collect();
    let mut other = base.clone();
    other[2_345_678] ^= 1;
    let at = |a: &[u8], b: &[u8]| first_byte_of(&mut &a[..], &mut &b[..], &cancel).unwrap().unwrap();
    assert_eq!(at(&base, &base), None);
    assert_eq!(at(&base, &other), Some(2_345_678));
    assert_eq!(at(&base, &base[..7]), Some(7));
    assert_eq!(at(b"", b"x"), Some(0));
    assert_eq!(at(b"", b""), None);
}

#[test]
fn a_root_archive_is_compared_entry_by_entry() {
    let base = archive(&[("etc/a", "one", 0o644), ("etc/b", "two", 0o644)]);
    let cases: [(&[(&str, &str, u32)], &str, &str); 5] = [
        (&[("etc/a", "one", 0o644), ("etc/b", "twO", 0o644)], "etc/b", "from byte 2 on"),
        (&[("etc/a", "one", 0o755), ("etc/b", "two", 0o644)], "etc/a", "its mode is 644, 755 in this build"),
        (&[("etc/a", "one", 0o644)], "etc/b", "not in this build"),
        (&[("etc/a", "one", 0o644), ("etc/c", "two", 0o644)], "etc/b", "in its place this build has etc/c"),
        (&[("etc/a", "one!", 0o644), ("etc/b", "two", 0o644)], "etc/a", "3 bytes, 4 in this build"),
    ];
    for (files, place, what) in cases {
        let found = compare(ArtifactKind::Rootfs, &zstd(&base, 3), &zstd(&archive(files), 3)).unwrap();
        assert_eq!(found.place, [place], "{found}");
        assert!(found.what.contains(what), "{found}");
    }
    assert_eq!(compare(ArtifactKind::Rootfs, &zstd(&base, 3), &zstd(&base, 3)), None);
    let other_level = compare(ArtifactKind::Rootfs, &zstd(&base, 1), &{
        let mut bytes = zstd(&base, 1);
        // An empty skippable frame: other bytes, same content (RFC 8878, section 3.1.2).
        bytes.extend_from_slice(&[0x50, 0x2A, 0x4D, 0x18, 0, 0, 0, 0]);
        bytes
    });
    assert!(other_level.unwrap().place.is_empty());
}

fn oci(layers: &[&[u8]], config: &str) -> Vec<u8> {
    let mut blobs: Vec<(String, Vec<u8>)> = Vec::new();
    let mut add = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        blobs.push((format!("blobs/sha256/{}", digest.hex()), bytes.to_vec()));
        serde_json::json!({ "digest": digest.to_string() })
    };
    let layers: Vec<_> = layers.iter().map(|l| add(l)).collect();
    let config = add(config.as_bytes());
    let manifest = add(serde_json::json!({ "config": config, "layers": layers }).to_string().as_bytes());
    let index = serde_json::json!({ "manifests": [manifest] }).to_string();
    let mut builder = ::tar::Builder::new(Vec::new());
    blobs.sort();
    blobs.push(("index.json".to_owned(), index.into_bytes()));
    for (path, bytes) in blobs {
        let mut header = ::tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_cksum();
        builder.append_data(&mut header, path, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn an_oci_image_names_the_layer() {
    let layer = |text: &str| zstd(&archive(&[("etc/motd", text, 0o644)]), 3);
    let (one, two, other) = (layer("1"), layer("2"), layer("3"));
    let base = oci(&[&one, &two], "{}");
    let found = compare(ArtifactKind::OciArchive, &base, &oci(&[&one, &other], "{}")).unwrap();
    assert_eq!(found.place, ["layer 2", "etc/motd"], "{found}");
    let found = compare(ArtifactKind::OciArchive, &base, &oci(&[&one, &two], "{\"a\":1}")).unwrap();
    assert_eq!(found.place, ["image configuration"], "{found}");
    let found = compare(ArtifactKind::OciArchive, &base, &oci(&[&one], "{}")).unwrap();
    assert!(found.what.contains("2 layers, 1 in this build"), "{found}");
}

#[test]
fn an_iso_names_the_file_in_its_module() {
    let dir = tempfile::tempdir().unwrap();
    let make = |name: &str, text: &str, mode: u32| {
        let root = folder(&dir.path().join(name), &[("etc/hostname", text), ("etc/os-release", "x")]);
        std::fs::set_permissions(root.join("etc/os-release"), std::fs::Permissions::from_mode(mode)).unwrap();
        let tree = dir.path().join(format!("{name}-tree"));
        std::fs::create_dir_all(tree.join("live")).unwrap();
        std::fs::write(tree.join("live/vmlinuz"), "kernel").unwrap();
        let module = tree.join("live/01-all.squashfs");
        Process::new("mksquashfs")
            .args([&root, &module])
            .args(["-quiet", "-no-progress", "-all-time", "0", "-mkfs-time", "0", "-all-root"])
            .check(&Cancel::default())
            .unwrap();
        for path in ["live/01-all.squashfs", "live/vmlinuz", "live", ""] {
            let file = File::open(tree.join(path)).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        }
        let iso = dir.path().join(format!("{name}.iso"));
        Process::new("xorriso")
            .args(["-as", "mkisofs", "-quiet", "-r", "-o"])
            .args([&iso, &tree])
            .env("SOURCE_DATE_EPOCH", "0")
            .check(&Cancel::default())
            .unwrap();
        iso
    };
    let base = make("base", "gw", 0o644);
    let cancel = Cancel::default();
    let found = difference(ArtifactKind::Iso, &base, &make("other", "gx", 0o644), dir.path(), &cancel);
    let found = found.unwrap().unwrap();
    assert_eq!(found.place.last().unwrap(), "etc/hostname", "{found}");
    assert!(found.place[0].ends_with(".squashfs"), "{found}");
    let found = difference(ArtifactKind::Iso, &base, &make("third", "gw", 0o600), dir.path(), &cancel);
    assert!(found.unwrap().unwrap().what.contains("its mode is"), "the mode");
}

#[test]
fn what_is_no_image_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let (x, y) = (dir.path().join("a"), dir.path().join("b"));
    std::fs::write(&x, "one").unwrap();
    std::fs::write(&y, "two").unwrap();
    for kind in [ArtifactKind::OciArchive, ArtifactKind::Rootfs] {
        assert!(difference(kind, &x, &y, dir.path(), &Cancel::default()).is_err(), "{kind:?}");
    }
    assert!(
        difference(ArtifactKind::Rootfs, &x, &dir.path().join("none"), dir.path(), &Cancel::default())
            .is_err()
    );
}

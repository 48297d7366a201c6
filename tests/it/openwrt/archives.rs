//! Archives that are signed for and want to do harm: nothing is written outside, nothing kept.

use bootwright::build::openwrt::archive::{Limits, unpack};
use bootwright::effects::{Cancel, Process};
use bootwright::model::openwrt::Compression;
use bootwright::model::{ErrorCode, Failure, Result};
use std::fs;
use std::path::Path;
use tar::{Builder, EntryType, Header};

type Write = fn(&mut Builder<Vec<u8>>);

fn put(builder: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, link: &str, content: &[u8]) {
    let mut header = Header::new_gnu();
    // Written past the crate's own check, as an attacker would.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o6755);
    header.set_mtime(1_750_000_000);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

fn file(builder: &mut Builder<Vec<u8>>, name: &str) {
    put(builder, name, EntryType::Regular, "", b"content");
}

fn link(builder: &mut Builder<Vec<u8>>, name: &str, to: &str) {
    put(builder, name, EntryType::Symlink, to, b"");
}

/// Unpacks what `write` makes; a second folder beside it must stay as it is.
fn tried(write: Write, limits: &Limits) -> (tempfile::TempDir, Result<()>) {
    let mut builder = Builder::new(Vec::new());
    write(&mut builder);
    let plain = builder.into_inner().unwrap();
    unpacked(&zstd::encode_all(&*plain, 1).unwrap(), Compression::Zstd, limits)
}

fn unpacked(bytes: &[u8], compression: Compression, limits: &Limits) -> (tempfile::TempDir, Result<()>) {
    let folder = tempfile::tempdir().unwrap();
    let (archive, root, outside) =
        (folder.path().join("archive"), folder.path().join("root"), folder.path().join("outside"));
    fs::write(&archive, bytes).unwrap();
    fs::create_dir(&root).unwrap();
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "as it was").unwrap();
    let result = unpack(&archive, compression, &root, limits, &Cancel::default());
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "as it was");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "something new lies beside the root");
    (folder, result)
}

fn refusal(write: Write) -> Failure {
    tried(write, &Limits::default()).1.unwrap_err()
}

#[test]
fn nothing_is_written_outside_and_devices_are_refused() {
    let hostile: [(&str, Write); 22] = [
        ("a climbing name", |b| file(b, "top/../../outside/file")),
        ("a name that climbs from the top", |b| file(b, "../outside/file")),
        ("an absolute name", |b| file(b, "/tmp/bootwright-evil")),
        ("an absolute link", |b| link(b, "top/a", "/etc")),
        ("an absolute link where tools are, elsewhere", |b| {
            link(b, "top/staging_dir/host/bin/a", "/etc/passwd")
        }),
        ("a link to a tool, elsewhere", |b| link(b, "top/bin/sh", "/bin/sh")),
        ("a tool's link that climbs", |b| link(b, "top/staging_dir/host/bin/a", "/usr/bin/../../etc/passwd")),
        ("a link out", |b| link(b, "top/a", "../../outside")),
        ("a link just out", |b| link(b, "top/a/b", "../..")),
        ("a link that descends and climbs", |b| link(b, "top/a", "b/../../../outside")),
        ("an empty link", |b| link(b, "top/a", "")),
        ("through a link", |b| {
            link(b, "top/staging_dir/host/bin/sh", "/usr/bin/sh");
            file(b, "top/staging_dir/host/bin/sh/x");
        }),
        ("over a link", |b| {
            link(b, "top/a", "b");
            file(b, "top/a");
        }),
        ("a folder over a link", |b| {
            link(b, "top/a", "b");
            put(b, "top/a/", EntryType::Directory, "", b"");
        }),
        ("a hard link out", |b| put(b, "top/a", EntryType::Link, "../outside/file", b"")),
        ("an absolute hard link", |b| put(b, "top/a", EntryType::Link, "/etc/passwd", b"")),
        ("a hard link to a link", |b| {
            link(b, "top/staging_dir/host/bin/sh", "/usr/bin/sh");
            put(b, "top/a", EntryType::Link, "top/staging_dir/host/bin/sh", b"");
        }),
        ("a hard link to nothing", |b| put(b, "top/a", EntryType::Link, "top/b", b"")),
        ("a second top folder", |b| {
            file(b, "top/a");
            file(b, "other/a");
        }),
        ("a character device", |b| put(b, "top/a", EntryType::Char, "", b"")),
        ("a block device", |b| put(b, "top/a", EntryType::Block, "", b"")),
        ("a pipe", |b| put(b, "top/a", EntryType::Fifo, "", b"")),
    ];
    for (what, write) in hostile {
        let failure = refusal(write);
        assert_eq!(failure.code, ErrorCode::Untrusted, "{what}: {failure}");
        println!("{what}: {failure}");
    }
    assert!(!Path::new("/tmp/bootwright-evil").exists());
}

#[test]
fn links_within_and_to_the_hosts_tools_are_made() {
    let (folder, result) = tried(
        |b| {
            file(b, "./top/a/file");
            link(b, "./top/b/link", "../a/file");
            link(b, "./top/staging_dir/host/bin/python3", "/usr/bin/python3");
            put(b, "./top/a/same", EntryType::Link, "./top/a/file", b"");
        },
        &Limits::default(),
    );
    result.unwrap();
    let root = folder.path().join("root");
    assert_eq!(fs::read(root.join("b/link")).unwrap(), b"content");
    assert_eq!(fs::read(root.join("a/same")).unwrap(), b"content");
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(root.join("a/file")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755, "without setuid and setgid");
}

#[test]
fn bombs_end_early() {
    let limits = Limits { bytes: 8 << 20, entries: 100 };
    let large: Write = |b| put(b, "top/a", EntryType::Regular, "", &vec![0; 16 << 20]);
    let (folder, result) = tried(large, &limits);
    assert!(result.unwrap_err().message.contains("more than an Image Builder can be"));
    let written = fs::metadata(folder.path().join("root/a")).map_or(0, |meta| meta.len());
    assert!(written <= limits.bytes, "{written}");
    let many: Write = |b| (0..200).for_each(|n| file(b, &format!("top/{n}")));
    assert!(tried(many, &limits).1.unwrap_err().message.contains("more than"));
    // A name of 4 MiB would be read into memory.
    let long: Write = |b| {
        put(b, "././@LongLink", EntryType::GNULongName, "", &vec![b'a'; 4 << 20]);
        file(b, "top/a");
    };
    assert!(tried(long, &limits).1.unwrap_err().message.contains("too long"));
    let pax: Write = |b| {
        put(b, "x", EntryType::XHeader, "", b"19 size=8589934592\n");
        file(b, "top/a");
    };
    assert_eq!(tried(pax, &limits).1.unwrap_err().code, ErrorCode::Untrusted);
    // A dictionary of 1.5 GiB.
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    fs::write(&plain, vec![0; 1 << 20]).unwrap();
    let xz = Process::new("xz").args(["-c", "--lzma2=dict=512MiB"]).arg(&plain).check(&Cancel::default());
    let (_folder, result) = unpacked(&xz.unwrap().stdout, Compression::Xz, &limits);
    let failure = result.unwrap_err();
    assert_eq!(failure.code, ErrorCode::Corrupt, "{failure}");
}

#[test]
fn broken_archives_are_refused() {
    let mut builder = Builder::new(Vec::new());
    file(&mut builder, "top/Makefile");
    let whole = zstd::encode_all(&*builder.into_inner().unwrap(), 1).unwrap();
    let page = b"<!DOCTYPE html><html></html>";
    for bytes in [&b""[..], page, &whole[..whole.len() - 5], &zstd::encode_all(&[7u8; 4096][..], 1).unwrap()]
    {
        for compression in [Compression::Zstd, Compression::Xz] {
            assert!(unpacked(bytes, compression, &Limits::default()).1.is_err());
        }
    }
}

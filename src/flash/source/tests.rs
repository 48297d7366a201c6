use super::*;
use crate::model::block_map::Range;
use std::io::Write;
use std::os::unix::fs::FileExt;

const ROOM: u64 = 64 << 20;

fn image() -> Vec<u8> {
    (0u32..300_000).flat_map(u32::to_le_bytes).collect()
}

fn packed(name: &str, bytes: &[u8]) -> Vec<u8> {
    match name.rsplit('.').next().unwrap() {
        // The real tools: their files carry checksums.
        "zst" => tool("zstd", &["-c", "-q"], bytes),
        "xz" => tool("xz", &["-c", "-T1", "-0"], bytes),
        "gz" => gzip(bytes),
        _ => bytes.to_vec(),
    }
}

fn tool(name: &str, arguments: &[&str], bytes: &[u8]) -> Vec<u8> {
    let tool = crate::effects::Process::new(name).args(arguments).stdin(bytes);
    tool.check(&Cancel::default()).unwrap().stdout
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

struct Held {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

fn file(name: &str, bytes: &[u8]) -> Held {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Held { _dir: dir, path }
}

fn measure(path: &Path, expected: Option<Digest>, room: u64) -> Result<Measured> {
    expecting(path, &Expected { sha256: expected, ..Expected::default() }, room)
}

fn expecting(path: &Path, expected: &Expected, room: u64) -> Result<Measured> {
    Source::open(path)?.measure(expected, room, &|_| {}, &Cancel::default())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut stream = Source::open(path)?.stream(true)?;
    let mut bytes = vec![0; 8 << 20];
    let length = stream.fill(&mut bytes)?;
    bytes.truncate(length);
    stream.finish()?;
    Ok(bytes)
}

#[test]
fn every_packing_gives_the_same_image() {
    for name in ["image.img", "image.zst", "image.xz", "image.gz", "no-ending"] {
        let bytes = packed(name, &image());
        let file = file(name, &bytes);
        let measured = measure(&file.path, Some(Digest::of(&bytes)), ROOM).unwrap();
        assert_eq!(
            (measured.image_size, measured.file_sha256),
            (1_200_000, Some(Digest::of(&bytes))),
            "{name}"
        );
        assert!(read(&file.path).unwrap() == image(), "{name}");
    }
}

#[test]
fn what_is_cut_off_is_refused() {
    for name in ["image.zst", "image.xz", "image.gz"] {
        let bytes = packed(name, &image());
        for left in [bytes.len() - 1, bytes.len() - 9, bytes.len() / 2, 20] {
            let file = file(name, &bytes[..left]);
            let failure = measure(&file.path, None, ROOM).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Corrupt, "{name} {left}: {failure:?}");
        }
        let mut changed = bytes.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0x40;
        let file = file(name, &changed);
        assert!(measure(&file.path, None, ROOM).is_err(), "{name}");
    }
}

#[test]
fn another_digest_is_refused() {
    let file = file("image.img", &image());
    let failure = measure(&file.path, Some(Digest::of("other")), ROOM).unwrap_err();
    assert_eq!(failure.code, ErrorCode::Untrusted);
    assert!(failure.message.contains(&Digest::of(image()).hex()), "{failure}");
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_unpacked() {
    // 1 GiB of zeros in some KiB.
    let bomb = zstd::encode_all(std::io::repeat(0).take(1 << 30), 3).unwrap();
    let file_ = file("bomb.zst", &bomb);
    let seen = std::cell::Cell::new(0);
    let mut source = Source::open(&file_.path).unwrap();
    let failure = source
        .measure(&Expected::default(), ROOM, &|n| seen.set(seen.get() + n), &Cancel::default())
        .unwrap_err();
    assert_eq!((failure.code, failure.class), (ErrorCode::LimitExceeded, FailureClass::Limit));
    assert!(seen.get() <= ROOM + PIECE as u64);
    let file = file("image.img", &image());
    assert!(measure(&file.path, None, 1_199_999).is_err());
    assert!(measure(&file.path, None, 1_200_000).is_ok());
}

#[test]
fn what_is_no_image_is_refused() {
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    for (name, bytes, said) in [
        ("image.zip", b"PK\x03\x04 and more".to_vec(), "a zip archive"),
        ("image.bz2", b"BZh91AY&SY".to_vec(), "bzip2"),
        ("image.tar", tar, "a tar archive"),
        ("image.gz", image(), "damaged"),
        ("image.zst", packed("x.gz", &image()), "damaged"),
        ("empty", Vec::new(), "is empty"),
    ] {
        let file = file(name, &bytes);
        let failure = Source::open(&file.path).unwrap_err();
        assert!(failure.message.contains(said) && failure.hint.is_some(), "{name}: {failure:?}");
    }
    assert!(Source::open(Path::new("/proc/self")).is_err());
}

#[test]
fn what_may_follow_a_gzip_stream() {
    let stream = gzip(&image());
    let with = |tail: &[u8]| [&stream, tail].concat();
    let mut metadata = b"{\"metadata_version\": \"1.1\"}".to_vec();
    metadata.extend([b"FWx0", &[0; 12][..]].concat());
    for good in [with(&[0; 700]), with(&metadata)] {
        let file = file("openwrt.img.gz", &good);
        assert_eq!(measure(&file.path, None, ROOM).unwrap().file_sha256, Some(Digest::of(&good)));
        assert!(read(&file.path).unwrap() == image());
    }
    let twice = file("two.gz", &with(&stream));
    assert_eq!(measure(&twice.path, None, ROOM).unwrap().image_size, 2_400_000);
    for bad in [with(b"junk"), with(&[0x1f, 0x8b]), with(&[0x1f])] {
        let file = file("bad.gz", &bad);
        assert!(measure(&file.path, None, ROOM).is_err());
    }
}

#[test]
fn partition_tables_say_what_blocks_they_count_in() {
    let mut image = vec![0; 8192];
    assert_eq!(table_block(&image), None);
    image[510..512].copy_from_slice(&[0x55, 0xaa]);
    assert_eq!(table_block(&image), None, "a boot sector without a partition");
    image[446 + 4] = 0x83;
    image[446 + 12] = 8;
    assert_eq!(table_block(&image), Some(512));
    image[4096..4104].copy_from_slice(b"EFI PART");
    assert_eq!(table_block(&image), Some(4096));
    image[512..520].copy_from_slice(b"EFI PART");
    assert_eq!(table_block(&image), Some(512));
    assert_eq!(table_block(b""), None);
}

/// An image with a map, of which the second half is left out.
fn mapped() -> (Vec<u8>, BlockMap) {
    let mut image = vec![5; 1 << 20];
    image[1 << 19..].fill(0);
    let range = Range { first: 0, last: 127, sha256: Digest::of(&image[..1 << 19]) };
    let map = BlockMap { image_size: image.len() as u64, block_size: 4096, ranges: vec![range] };
    (image, map)
}

#[test]
fn an_image_is_compared_with_its_map_before_a_card_is_touched() {
    let (image, map) = mapped();
    let expected = |map: &BlockMap| Expected { map: Some(Arc::new(map.clone())), ..Expected::default() };
    for name in ["image.img", "image.zst", "image.xz", "image.gz"] {
        let good = file(name, &packed(name, &image));
        let measured = expecting(&good.path, &expected(&map), ROOM).unwrap();
        assert_eq!((measured.image_size, measured.map), (1 << 20, None), "{name}");
        for at in [0, (1 << 19) - 1, 1 << 19, (1 << 20) - 1] {
            let mut other = image.clone();
            other[at] ^= 1;
            let other = file(name, &packed(name, &other));
            let failure = expecting(&other.path, &expected(&map), ROOM).unwrap_err();
            assert_eq!(failure.code, ErrorCode::Untrusted, "{name} {at}: {failure}");
        }
        let larger = BlockMap { image_size: (1 << 20) + 1, ..map.clone() };
        assert!(expecting(&good.path, &expected(&larger), ROOM).is_err(), "{name}");
        let failure = expecting(&good.path, &expected(&map), (1 << 20) - 1).unwrap_err();
        assert_eq!(failure.class, FailureClass::Limit, "{name}");
    }
}

#[test]
fn only_what_is_signed_is_not_unpacked_before() {
    let (image, map) = mapped();
    let bytes = packed("image.gz", &image);
    let file = file("image.gz", &bytes);
    let expected =
        |signed| Expected { sha256: Some(Digest::of(&bytes)), map: Some(Arc::new(map.clone())), signed };
    let measured = expecting(&file.path, &expected(true), ROOM).unwrap();
    assert_eq!((measured.image_size, measured.map), (1 << 20, Some(Arc::new(map.clone()))));
    let measured = expecting(&file.path, &expected(false), ROOM).unwrap();
    assert_eq!((measured.image_size, measured.map), (1 << 20, None));
    let no_digest = Expected { sha256: None, ..expected(true) };
    assert_eq!(expecting(&file.path, &no_digest, ROOM).unwrap().map, None);
}

#[test]
fn what_was_unpacked_once_is_kept_and_is_the_image() {
    let (image, _) = mapped();
    for (name, vouched) in [("image.zst", true), ("image.gz", false)] {
        let bytes = packed(name, &image);
        let (file, dir) = (file(name, &bytes), tempfile::tempdir().unwrap());
        let mut source = Source::open(&file.path).unwrap().keeping_in(dir.path().join("scratch"));
        let sha256 = vouched.then(|| Digest::of(&bytes));
        let expected = Expected { sha256, ..Expected::default() };
        let measured = source.measure(&expected, ROOM, &|_| {}, &Cancel::default()).unwrap();
        let inventory = measured.inventory.clone().unwrap();
        let known = match vouched {
            true => ImageDigest::Sha256(Digest::of(&image)),
            false => ImageDigest::Xxh128(xxhash_rust::xxh3::xxh3_128(&image)),
        };
        assert_eq!((inventory.size, inventory.image), (1 << 20, known), "{name}");
        // It has no name, and what is behind it may change.
        assert_eq!(std::fs::read_dir(dir.path().join("scratch")).unwrap().count(), 0);
        assert!(source.kept.is_some());
        std::fs::write(&file.path, b"other").unwrap();
        let mut bytes = vec![1; 2 << 20];
        let mut stream = source.stream(true).unwrap();
        let length = stream.fill(&mut bytes).unwrap();
        assert!(bytes[..length] == image[..] && stream.finish().unwrap().is_none(), "{name}");
    }
}

#[test]
fn what_lies_in_a_hole_is_not_read() {
    let file = file("image.img", &[]);
    let (size, piece) = (10 * PIECE + 100, PIECE);
    let image = File::options().write(true).open(&file.path).unwrap();
    image.set_len(size as u64).unwrap();
    for at in [2 * piece + piece / 2, 7 * piece] {
        image.write_all_at(b"data", at as u64).unwrap();
    }
    let expected = std::fs::read(&file.path).unwrap();
    for digest in [false, true] {
        let mut stream = Source::open(&file.path).unwrap().stream(digest).unwrap();
        let (mut bytes, mut holes) = (Vec::new(), Vec::new());
        // What was in the buffer before must not come out of it.
        let mut buffer = vec![7; piece];
        loop {
            match stream.next(&mut buffer).unwrap() {
                Filled::Data(0) => break,
                Filled::Data(length) => bytes.extend_from_slice(&buffer[..length]),
                Filled::Hole => {
                    holes.push(bytes.len() / piece);
                    bytes.resize(bytes.len() + piece, 0);
                }
            }
            buffer.fill(7);
        }
        assert!(bytes == expected, "{digest}");
        // For the digest of the file all of it is read.
        let wanted = if digest { vec![] } else { vec![0, 1, 3, 4, 5, 6, 8, 9] };
        assert_eq!(holes, wanted);
    }
}

use super::*;

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn range(first: u64, last: u64, bytes: &[u8]) -> Range {
    Range { first, last, sha256: Digest::of(bytes) }
}

/// Ten blocks and a half, of which 2, 3 and the last are data.
fn image() -> (Vec<u8>, BlockMap) {
    let mut image = vec![0; 10 * 4096 + 2048];
    image[2 * 4096..4 * 4096].fill(7);
    image[10 * 4096..].fill(9);
    let ranges = vec![range(2, 3, &[7; 8192]), range(10, 10, &[9; 2048])];
    let map = BlockMap { image_size: image.len() as u64, block_size: BLOCK_SIZE, ranges };
    (image, map)
}

/// A text with a right checksum of its own, whatever else is in it.
fn sealed(text: &str) -> String {
    let (before, rest) = text.split_once("<BmapFileChecksum> ").unwrap();
    let text = format!("{before}<BmapFileChecksum> {ZEROED}{}", &rest[64..]);
    text.replacen(ZEROED, &Digest::of(&text).hex(), 1)
}

#[test]
fn what_is_written_is_read() {
    let (_, map) = image();
    assert_eq!(BlockMap::parse(&map.to_xml()).unwrap(), map);
    assert_eq!((map.blocks(), map.mapped(), map.mapped_bytes()), (11, 3, 8192 + 2048));
    let text = map.to_xml().replace("<BlockMap>", "<New> x </New><!-- <ImageSize> 1 --><BlockMap>");
    assert_eq!(BlockMap::parse(&sealed(&text)).unwrap(), map, "what a later 2.x adds is left alone");
}

#[test]
fn hostile_maps_are_refused() {
    let text = image().1.to_xml();
    let digest = Digest::of([7; 8192]).hex();
    let doctype = "<!DOCTYPE bmap [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;\">]>\n<bmap";
    let deep = "<a>".repeat(40_000);
    let many = format!("<Range chksum=\"{digest}\"> 0 </Range>\n").repeat(MOST_RANGES + 1);
    for (from, to, said) in [
        ("2-3", "3-2", "out of order"),
        ("> 10 <", "> 3 <", "overlap"),
        ("> 10 <", "> 0 <", "out of order"),
        ("> 10 <", "> 11 <", "leave the image"),
        ("> 10 <", "> 18446744073709551615 <", "a range is none"),
        ("> 10 <", "> 0x0a <", "a range is none"),
        ("2-3", "2-3-4", "a range is none"),
        ("> 11 <", "> 12 <", "counts"),
        ("> 43008 <", "> 18446744073709551615 <", "counts"),
        ("> 43008 <", "> -1 <", "ImageSize is no number"),
        ("> 4096 <", "> 0 <", "size that no disk has"),
        ("> 4096 <", "> 5000 <", "size that no disk has"),
        ("version=\"2.0\"", "version=\"1.3\"", "version"),
        ("sha256 <", "sha1 <", "not SHA-256"),
        ("chksum=", "other=", "no digest"),
        (digest.as_str(), "abcd", "no SHA-256"),
        ("</BlockMap>", "", "no XML"),
        ("</bmap>\n", "", "cut off"),
        ("<bmap", doctype, "more than elements"),
        ("> 43008 <", "> &a; <", "more than elements"),
        ("<BlockMap>", "<![CDATA[x]]><BlockMap>", "more than elements"),
        ("<BlockMap>", "<ImageSize> 1 </ImageSize><BlockMap>", "twice"),
        ("<BlockMap>", deep.as_str(), "too deep"),
        ("<BlockMap>\n", &format!("<BlockMap>\n{many}"), "too many"),
        ("<bmap", "<other/><bmap", ""),
    ] {
        let failure = BlockMap::parse(&sealed(&text.replacen(from, to, 1))).unwrap_err();
        assert!(failure.message.contains(said), "{from} → {to:.40}: {failure}");
    }
    let wrong = text.replace("43008", "43009");
    assert!(BlockMap::parse(&wrong).unwrap_err().message.contains("checksum is wrong"));
    for bad in ["", "<", "no map", "<bmap/>", "<bmap version=\"2.0\"></bmap>"] {
        assert!(BlockMap::parse(bad).is_err(), "{bad}");
    }
    assert!(BlockMap::parse(&" ".repeat(17 << 20)).unwrap_err().message.contains("too long"));
}

fn compare(map: &BlockMap, image: &[u8], piece: usize) -> Result<()> {
    let mut comparing = map.comparing();
    image.chunks(piece).try_for_each(|bytes| comparing.add(bytes, is_zero))?;
    comparing.finish()
}

#[test]
fn an_image_is_compared_in_pieces_of_any_size() {
    let (image, map) = image();
    for piece in [1000, 4096, 10_000, image.len()] {
        compare(&map, &image, piece).unwrap();
    }
    let empty = BlockMap { image_size: 0, block_size: BLOCK_SIZE, ranges: Vec::new() };
    compare(&empty, &[], 1).unwrap();
    assert!(compare(&empty, &[0], 1).is_err());
}

#[test]
fn another_image_is_not_the_maps() {
    let (image, map) = image();
    let changed = |at: usize| {
        let mut image = image.clone();
        image[at] ^= 1;
        compare(&map, &image, 3000).unwrap_err().message
    };
    assert!(changed(2 * 4096).contains("bytes 8192 to 16384 are"));
    assert!(changed(image.len() - 1).contains("bytes 40960 to 43008 are"));
    for at in [0, 2 * 4096 - 1, 4 * 4096, 9 * 4096] {
        assert!(changed(at).contains("leaves out blocks that hold data"), "{at}");
    }
    assert!(compare(&map, &image[..image.len() - 1], 4096).unwrap_err().message.contains("43007"));
    let longer = [image.as_slice(), &[0]].concat();
    assert!(compare(&map, &longer, 4096).unwrap_err().message.contains("larger"));
}

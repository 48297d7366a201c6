//! Whether a picture of the screen is one: PNG (ISO/IEC 15948), chunk by chunk.

/// No picture of a screen is larger, in bytes.
pub const LARGEST: u64 = 32 << 20;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Width and height in pixels of a whole PNG file.
///
/// # Errors
/// What is wrong with it.
pub fn check(bytes: &[u8]) -> Result<(u32, u32), &'static str> {
    let mut rest = bytes.strip_prefix(SIGNATURE).ok_or("it is no PNG file")?;
    let mut size = None;
    let mut pixels = false;
    loop {
        let (kind, data, next) = chunk(rest).ok_or("the PNG file is cut short")?;
        rest = next;
        match kind {
            b"IHDR" if data.len() == 13 => size = word(data).zip(word(&data[4..])),
            b"IDAT" => pixels = true,
            b"IEND" => break,
            _ => {}
        }
    }
    match size {
        Some((width @ 1..=16384, height @ 1..=16384)) if pixels && rest.is_empty() => Ok((width, height)),
        _ => Err("the PNG file holds no picture"),
    }
}

/// One chunk: length, kind, data, checksum; then what follows.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let length = usize::try_from(word(bytes)?).ok()?;
    let (kind, after) = bytes.get(4..)?.split_at_checked(4)?;
    let (data, after) = after.split_at_checked(length)?;
    Some((kind, data, after.get(4..)?))
}

fn word(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|b| u32::from_be_bytes(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kind: &[u8], data: &[u8]) -> Vec<u8> {
        let mut bytes = u32::try_from(data.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend_from_slice(kind);
        bytes.extend_from_slice(data);
        bytes.extend_from_slice(&[0; 4]);
        bytes
    }

    fn png(width: u32) -> Vec<u8> {
        let mut header = width.to_be_bytes().to_vec();
        header.extend_from_slice(&[0, 0, 0, 3, 8, 2, 0, 0, 0]);
        [SIGNATURE.to_vec(), put(b"IHDR", &header), put(b"IDAT", b"x"), put(b"IEND", b"")].concat()
    }

    #[test]
    fn only_whole_pictures_pass() {
        assert_eq!(check(&png(4)), Ok((4, 3)));
        assert!(check(&png(0)).is_err());
        assert!(check(b"P6 4 3 255").is_err());
        assert!(check(SIGNATURE).is_err());
        let whole = png(4);
        for cut in 0..whole.len() {
            assert!(check(&whole[..cut]).is_err(), "{cut}");
        }
        assert!(check(&[whole, vec![0]].concat()).is_err());
    }
}

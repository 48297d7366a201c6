//! Whether a picture of the screen is one, and what it shows: PNG (ISO/IEC 15948).

use std::collections::HashMap;
use std::io::Read;

/// No picture of a screen is larger, in bytes.
pub const LARGEST: u64 = 32 << 20;

/// No picture that is looked into is larger, in bytes of its rows.
const LARGEST_UNPACKED: usize = 64 << 20;

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// Width and height in pixels of a whole PNG file.
///
/// # Errors
/// What is wrong with it.
pub fn check(bytes: &[u8]) -> Result<(u32, u32), &'static str> {
    let parts = parts(bytes)?;
    Ok((parts.width, parts.height))
}

/// What a PNG file consists of.
struct Parts {
    width: u32,
    height: u32,
    /// Bit depth, colour type, compression, filter and interlace method.
    form: [u8; 5],
    /// The compressed rows.
    data: Vec<u8>,
}

fn parts(bytes: &[u8]) -> Result<Parts, &'static str> {
    let mut rest = bytes.strip_prefix(SIGNATURE).ok_or("it is no PNG file")?;
    let (mut size, mut form, mut rows) = (None, [0; 5], Vec::new());
    loop {
        let (kind, data, next) = chunk(rest).ok_or("the PNG file is cut short")?;
        rest = next;
        match kind {
            b"IHDR" if data.len() == 13 => {
                size = word(data).zip(word(&data[4..]));
                form.copy_from_slice(&data[8..]);
            }
            b"IDAT" => rows.extend_from_slice(data),
            b"IEND" => break,
            _ => {}
        }
    }
    match size {
        Some((width @ 1..=16384, height @ 1..=16384)) if !rows.is_empty() && rest.is_empty() => {
            Ok(Parts { width, height, form, data: rows })
        }
        _ => Err("the PNG file holds no picture"),
    }
}

/// A picture, pixel by pixel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Red, green and blue, row by row.
    pub pixels: Vec<[u8; 3]>,
}

impl Picture {
    /// Reads a PNG file as QEMU writes it: 8 bits a channel, with colours, not interlaced.
    ///
    /// # Errors
    /// What is wrong with it, or that it is of another form.
    pub fn of(bytes: &[u8]) -> Result<Self, &'static str> {
        let parts = parts(bytes)?;
        let channels = match parts.form {
            [8, 2, 0, 0, 0] => 3,
            [8, 6, 0, 0, 0] => 4,
            _ => return Err("the PNG file is of another form"),
        };
        let broken = "the PNG file's rows cannot be unpacked";
        let size = |n: u32| usize::try_from(n).map_err(|_| broken);
        let (width, height) = (size(parts.width)?, size(parts.height)?);
        // A byte before each row says how it was filtered (section 9).
        let length = width * channels + 1;
        let whole =
            length.checked_mul(height).filter(|all| *all <= LARGEST_UNPACKED).ok_or("it is too large")?;
        let mut rows = Vec::with_capacity(whole);
        let unpacked = flate2::read::ZlibDecoder::new(parts.data.as_slice());
        unpacked.take(whole as u64 + 1).read_to_end(&mut rows).map_err(|_| broken)?;
        if rows.len() != whole {
            return Err(broken);
        }
        let mut above = vec![0; length - 1];
        let mut pixels = Vec::with_capacity(width * height);
        for row in rows.chunks_exact_mut(length) {
            let (filter, row) = row.split_first_mut().ok_or(broken)?;
            unfilter(*filter, row, &above, channels).ok_or(broken)?;
            pixels.extend(row.chunks_exact(channels).map(|pixel| [pixel[0], pixel[1], pixel[2]]));
            above.copy_from_slice(row);
        }
        Ok(Self { width, height, pixels })
    }

    /// How many pixels have each colour.
    pub fn colours(&self) -> HashMap<[u8; 3], usize> {
        let mut colours = HashMap::new();
        for pixel in &self.pixels {
            *colours.entry(*pixel).or_insert(0) += 1;
        }
        colours
    }

    /// What it shows, in a few words for who reads evidence.
    pub fn words(&self) -> String {
        let colours = self.colours();
        let most = colours.iter().max_by_key(|(colour, count)| (**count, **colour));
        let most = most.map_or_else(String::new, |([red, green, blue], count)| {
            format!(", {} % #{red:02x}{green:02x}{blue:02x}", count * 100 / self.pixels.len().max(1))
        });
        format!("screen: {}x{}, {} colours{most}", self.width, self.height, colours.len())
    }
}

/// Takes a row's filter back; `None` if there is none of this number.
fn unfilter(filter: u8, row: &mut [u8], above: &[u8], channels: usize) -> Option<()> {
    for i in 0..row.len() {
        let left = if i < channels { 0 } else { row[i - channels] };
        let corner = if i < channels { 0 } else { above[i - channels] };
        let up = above[i];
        let guess = match filter {
            0 => 0,
            1 => left,
            2 => up,
            3 => u8::midpoint(left, up),
            4 => paeth(left, up, corner),
            _ => return None,
        };
        row[i] = row[i].wrapping_add(guess);
    }
    Some(())
}

/// The neighbour that is nearest to `left + up - corner` (section 9.4).
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, up, corner].map(i16::from);
    let middle = a + b - c;
    let far = |n: i16| (middle - n).abs();
    if far(a) <= far(b) && far(a) <= far(c) {
        left
    } else if far(b) <= far(c) {
        up
    } else {
        corner
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

    /// Two rows of two pixels: one filtered by the pixel to the left, one by the best guess.
    fn small(data: &[u8]) -> Vec<u8> {
        let header = [0, 0, 0, 2, 0, 0, 0, 2, 8, 2, 0, 0, 0];
        let mut packed = Vec::new();
        flate2::read::ZlibEncoder::new(data, flate2::Compression::fast()).read_to_end(&mut packed).unwrap();
        [SIGNATURE.to_vec(), put(b"IHDR", &header), put(b"IDAT", &packed), put(b"IEND", b"")].concat()
    }

    #[test]
    fn pixels_are_read_and_counted() {
        let rows = [1, 10, 20, 30, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0];
        let picture = Picture::of(&small(&rows)).unwrap();
        assert_eq!(picture.pixels, [[10, 20, 30], [10, 20, 30], [10, 20, 30], [15, 20, 30]]);
        assert_eq!(picture.words(), "screen: 2x2, 2 colours, 75 % #0a141e");
    }

    #[test]
    fn broken_rows_are_no_picture() {
        let rows = [0; 14];
        assert!(Picture::of(&small(&rows)).is_ok());
        assert!(Picture::of(&small(&rows[1..])).is_err(), "too short");
        assert!(Picture::of(&small(&[0; 15])).is_err(), "too long");
        assert!(Picture::of(&small(&[5; 14])).is_err(), "no such filter");
        assert!(Picture::of(&png(4)).is_err(), "no compressed data");
        let mut huge = small(&rows);
        huge[18..20].copy_from_slice(&[0x40, 0]);
        huge[22..24].copy_from_slice(&[0x40, 0]);
        assert_eq!(Picture::of(&huge), Err("it is too large"));
    }
}

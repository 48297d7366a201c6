//! Memory that direct I/O takes: its address is a multiple of 4096.

/// What addresses, lengths and offsets are multiples of. No device has larger logical blocks.
const ALIGNMENT: usize = 4096;

/// Aligned memory of a fixed length.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Buffer {
    /// Zeros, so many bytes of them.
    pub fn new(length: usize) -> Self {
        let bytes = vec![0; length + ALIGNMENT];
        // The vector never grows, so it never moves.
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Self { bytes, start, length }
    }
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.length]
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_and_zero() {
        for length in [512, 4096, 5000, 1 << 20] {
            let buffer = Buffer::new(length);
            assert_eq!((buffer.as_ptr().addr() % ALIGNMENT, buffer.len()), (0, length));
            assert!(buffer.iter().all(|byte| *byte == 0));
        }
    }
}

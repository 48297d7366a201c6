//! Cards that lie: a file of a FUSE file system of our own, with a loop device on it.
//!
//! Format: the kernel's FUSE protocol, 7.31 (linux/fuse.h). The file is opened for direct I/O,
//! so nothing is cached between the loop device and the lies.

use super::card::{Loop, old, skip};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;

const EIO: i32 = 5;
const ENOENT: i32 = 2;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;
/// What a card keeps or drops as one, in bytes.
const SECTOR: usize = 512;
/// The largest request.
const MOST: usize = 1 << 20;

/// How a card lies. Offsets and numbers of bytes.
#[derive(Clone, Debug, Default)]
pub struct Lies {
    /// Writes here are dropped.
    pub drop: Option<Range<u64>>,
    /// The first write to each sector here is dropped, later ones are not.
    pub drop_once: Option<Range<u64>>,
    /// Writes are dropped once so much was written.
    pub drop_after: Option<u64>,
    /// Addresses begin again from here on.
    pub wrap: Option<u64>,
    /// From here on nothing is kept, and zeros are read.
    pub lose: Option<u64>,
    /// Writes here fail.
    pub fail_write: Option<Range<u64>>,
    /// Reads here fail.
    pub fail_read: Option<Range<u64>>,
    /// A bit of this byte is wrong on every read.
    pub flip_read: Option<u64>,
    /// A bit of this byte is wrong on every write.
    pub flip_write: Option<u64>,
    /// A bit is wrong once in so many bytes that are read, each time elsewhere.
    pub flip_every: Option<u64>,
    /// Only the first half of each request is kept.
    pub torn: bool,
    /// It goes away once so much was written.
    pub vanish_after: Option<u64>,
    /// It takes this long for one request, once so much was written.
    pub stall: Option<(u64, Duration)>,
}

/// A card that lies.
pub struct Liar {
    /// Detached before the file below it goes.
    device: Option<Loop>,
    dir: PathBuf,
    server: Option<JoinHandle<()>>,
    _root: tempfile::TempDir,
}

impl Liar {
    /// A card full of old bytes that says it has `size`; `kept` are there.
    pub fn new(size: u64, kept: usize, lies: Lies) -> Option<Self> {
        let root = tempfile::tempdir_in("/dev/shm").unwrap();
        let (dir, store) = (root.path().join("mount"), root.path().join("store"));
        fs::create_dir(&dir).unwrap();
        fs::write(&store, old(kept)).unwrap();
        let store = OpenOptions::new().read(true).write(true).open(&store).unwrap();
        store.set_len(size).unwrap();
        let Ok(fuse) = OpenOptions::new().read(true).write(true).open("/dev/fuse") else {
            skip("this host has no /dev/fuse; lying cards were NOT tested");
            return None;
        };
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", fuse.as_raw_fd());
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
        mount(Some("liar"), &dir, Some("fuse"), flags, Some(options.as_str())).unwrap();
        let mut server =
            Server { fuse, store, size, lies, written: 0, read: 0, seen: HashSet::new(), noise: 1 };
        let server = std::thread::spawn(move || server.serve());
        let mut liar = Self { device: None, dir: dir.clone(), server: Some(server), _root: root };
        liar.device = Some(Loop::with(&dir.join("disk"), &["--direct-io=on"])?);
        Some(liar)
    }

    pub fn path(&self) -> &str {
        &self.device.as_ref().unwrap().path
    }

    pub fn store(&self) -> PathBuf {
        self.dir.parent().unwrap().join("store")
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.device = None;
        let _ = umount2(&self.dir, MntFlags::MNT_DETACH);
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}

struct Server {
    fuse: File,
    store: File,
    size: u64,
    lies: Lies,
    written: u64,
    read: u64,
    seen: HashSet<u64>,
    noise: u64,
}

/// What a request is answered with.
enum Answer {
    Bytes(Vec<u8>),
    Error(i32),
    Nothing,
    /// The device is gone.
    Gone,
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn small(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn long(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn hits(range: Option<&Range<u64>>, at: u64, length: u64) -> bool {
    range.is_some_and(|range| range.start < at + length && at < range.end)
}

impl Server {
    fn serve(&mut self) {
        let mut request = vec![0; MOST + (64 << 10)];
        loop {
            let length = match (&self.fuse).read(&mut request) {
                Ok(length) => length,
                Err(e) if matches!(e.raw_os_error(), Some(4 | 11 | ENOENT)) => continue,
                // Unmounted.
                Err(_) => return,
            };
            let unique = number(&request, 8);
            let body = request[40..length].to_vec();
            let (error, bytes) = match self.answer(small(&request, 4), number(&request, 16), &body) {
                Answer::Bytes(bytes) => (0, bytes),
                Answer::Error(error) => (error, Vec::new()),
                Answer::Nothing => continue,
                // No answer: the connection ends under whoever waits.
                Answer::Gone => return,
            };
            let length = u32::try_from(16 + bytes.len()).unwrap();
            let mut reply = words(&[length, u32::from_ne_bytes((-error).to_ne_bytes())]);
            reply.extend(unique.to_le_bytes());
            reply.extend(bytes);
            let _ = (&self.fuse).write_all(&reply);
        }
    }

    fn answer(&mut self, opcode: u32, node: u64, body: &[u8]) -> Answer {
        match opcode {
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => Answer::Nothing,
            // LOOKUP
            1 if body.starts_with(b"disk\0") => {
                Answer::Bytes([long(&[2, 0, 3600, 3600]), words(&[0, 0]), self.attributes(2)].concat())
            }
            1 => Answer::Error(ENOENT),
            // GETATTR, SETATTR
            3 | 4 => Answer::Bytes([long(&[3600]), words(&[0, 0]), self.attributes(node)].concat()),
            // OPEN (FOPEN_DIRECT_IO), OPENDIR
            14 => Answer::Bytes([long(&[0]), words(&[1, 0])].concat()),
            27 => Answer::Bytes(vec![0; 16]),
            15 => self.read_at(number(body, 8), u64::from(small(body, 16))),
            16 => {
                let length = small(body, 16) as usize;
                self.write_at(number(body, 8), &body[40..40 + length])
            }
            // INIT: big writes, up to 256 pages in one request.
            26 => {
                let flags = small(body, 12) & (1 | 1 << 5 | 1 << 15 | 1 << 22);
                let mut reply = words(&[7, 31, small(body, 8), flags, 12 << 16 | 16, 1 << 20, 1, 256]);
                reply.resize(64, 0);
                Answer::Bytes(reply)
            }
            // FALLOCATE
            43 => Answer::Error(EOPNOTSUPP),
            // RELEASE, FSYNC, FLUSH, READDIR, RELEASEDIR, ACCESS, DESTROY
            18 | 20 | 25 | 28 | 29 | 34 | 38 => Answer::Bytes(Vec::new()),
            _ => Answer::Error(ENOSYS),
        }
    }

    fn attributes(&self, node: u64) -> Vec<u8> {
        let (size, mode) = if node == 1 { (0, 0o040_755) } else { (self.size, 0o100_600) };
        let times = words(&[0, 0, 0, mode, 1, 0, 0, 0, 4096, 0]);
        [long(&[node, size, size / 512, 0, 0, 0]), times].concat()
    }

    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Answer {
        let (length, before) = (bytes.len() as u64, self.written);
        let said = Answer::Bytes(words(&[u32::try_from(length).unwrap(), 0]));
        if self.lies.vanish_after.is_some_and(|most| before + length > most) {
            return Answer::Gone;
        }
        if hits(self.lies.fail_write.as_ref(), at, length) {
            return Answer::Error(EIO);
        }
        self.written += length;
        if let Some((_, time)) = self.lies.stall.filter(|(after, _)| before >= *after) {
            self.lies.stall = None;
            std::thread::sleep(time);
        }
        if self.lies.drop_after.is_some_and(|most| before >= most) {
            return said;
        }
        let mut bytes = bytes.to_vec();
        if let Some(flipped) = self.lies.flip_write.filter(|flip| (at..at + length).contains(flip)) {
            bytes[usize::try_from(flipped - at).unwrap()] ^= 1;
        }
        if self.lies.torn {
            bytes.truncate(bytes.len() / 2);
        }
        for (place, part) in self.places(at, bytes.len()) {
            let Some(place) = place else { continue };
            for sector in part.clone().step_by(SECTOR) {
                let end = (sector + SECTOR).min(part.end);
                if !self.drops(at + sector as u64) {
                    self.store
                        .write_all_at(&bytes[sector..end], place + (sector - part.start) as u64)
                        .unwrap();
                }
            }
        }
        said
    }

    /// Whether a sector is not written. It is not asked by requests: where those begin and end
    /// is up to the kernel, and differs from run to run.
    fn drops(&mut self, at: u64) -> bool {
        let within = |range: &Option<Range<u64>>| range.as_ref().is_some_and(|range| range.contains(&at));
        within(&self.lies.drop) || within(&self.lies.drop_once) && self.seen.insert(at)
    }

    fn read_at(&mut self, at: u64, length: u64) -> Answer {
        let length = length.min(self.size.saturating_sub(at));
        if hits(self.lies.fail_read.as_ref(), at, length) {
            return Answer::Error(EIO);
        }
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        for (place, part) in self.places(at, bytes.len()) {
            if let Some(place) = place {
                self.store.read_exact_at(&mut bytes[part], place).unwrap();
            }
        }
        if let Some(flipped) = self.lies.flip_read.filter(|flip| (at..at + length).contains(flip)) {
            bytes[usize::try_from(flipped - at).unwrap()] ^= 1;
        }
        if let Some(every) = self.lies.flip_every
            && (self.read + length) / every > self.read / every
        {
            self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let place = usize::try_from(self.noise >> 33).unwrap() % bytes.len();
            bytes[place] ^= 8;
        }
        self.read += length;
        Answer::Bytes(bytes)
    }

    /// Where the parts of a request really lie; nowhere behind the end of a card that loses.
    fn places(&self, at: u64, length: usize) -> Vec<(Option<u64>, Range<usize>)> {
        let limit = self.lies.wrap.or(self.lies.lose).unwrap_or(u64::MAX);
        let (mut places, mut done) = (Vec::new(), 0);
        while done < length {
            let logical = at + done as u64;
            let left = usize::try_from(limit - logical % limit).unwrap_or(usize::MAX).min(length - done);
            let lost = self.lies.lose.is_some_and(|end| logical >= end);
            places.push(((!lost).then_some(logical % limit), done..done + left));
            done += left;
        }
        places
    }
}

//! The parsers of data from outside, on every case that was ever found and on seeds with
//! changes by chance. `make fuzz` looks for new cases; `FUZZ_SECONDS=60 cargo test --test it
//! fuzz::` does so without a fuzzer.

#[path = "../../fuzz/targets.rs"]
mod targets;

use std::path::PathBuf;
use std::time::{Duration, Instant};
use targets::{TARGETS, Target};

/// Changed seeds of every parser in an ordinary run of the tests.
const CHANGES: u64 = 300;
/// No case of at most 4 KiB may take longer, in a build that is not optimised.
const SLOWEST: Duration = Duration::from_secs(10);

fn folder(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz").join(target.name)
}

fn run(target: &Target, case: &str, data: &[u8]) {
    let begun = Instant::now();
    let done = std::panic::catch_unwind(|| (target.run)(data));
    if done.is_err() {
        // Kept, so that it need not be found again.
        let kept = folder(target).join(format!("crash-{}", &bootwright::model::Digest::of(data).hex()[..16]));
        std::fs::create_dir_all(folder(target)).unwrap();
        std::fs::write(&kept, data).unwrap();
        panic!("{}: {case} panics; kept as {}", target.name, kept.display());
    }
    assert!(begun.elapsed() < SLOWEST, "{}: {case} takes {:?}", target.name, begun.elapsed());
}

#[test]
fn found_cases_stay_mended() {
    let mut count = 0;
    for target in TARGETS {
        for seed in target.seeds {
            run(target, "a seed", seed);
        }
        for entry in std::fs::read_dir(folder(target)).into_iter().flatten() {
            let path = entry.unwrap().path();
            run(target, &path.display().to_string(), &std::fs::read(&path).unwrap());
            count += 1;
        }
    }
    println!("found cases: {count}, parsers: {}", TARGETS.len());
    let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/fuzz");
    for entry in std::fs::read_dir(data).into_iter().flatten() {
        let name = entry.unwrap().file_name();
        assert!(known.iter().any(|known| name == *known), "cases of no parser: {name:?}");
    }
}

#[test]
fn changed_seeds_break_nothing() {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the library")]
    let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse::<u64>().ok());
    for target in TARGETS {
        let begun = Instant::now();
        let mut chance = Chance(0x9e37_79b9_7f4a_7c15 ^ seconds.unwrap_or_default());
        let mut count = 0;
        loop {
            let more = match seconds {
                Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
                None => count < CHANGES,
            };
            if !more {
                break;
            }
            let seed = target.seeds[chance.below(target.seeds.len())];
            run(target, "a changed seed", &changed(seed, &mut chance));
            count += 1;
        }
        println!("{}: {count} cases in {:.1} s", target.name, begun.elapsed().as_secs_f64());
    }
}

/// A small generator of numbers (xorshift64*): every run of the tests sees the same ones.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap()
    }
}

/// A seed after a few changes: bytes flipped, cut out, doubled, put in.
fn changed(seed: &[u8], chance: &mut Chance) -> Vec<u8> {
    const JUNK: [&[u8]; 24] = [
        b"",
        b"\0",
        b"\n",
        b"\n\n",
        b"\r",
        b"\t",
        b" ",
        b":",
        b"- ",
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b"'",
        b"&a ",
        b"*a",
        b"---\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b"99999999999999999999",
        b"-1",
        b"../",
        b"\xe2\x80\xae",
    ];
    let mut data = seed.to_vec();
    for _ in 0..=chance.below(6) {
        let at = chance.below(data.len() + 1);
        let end = (at + chance.below(24)).min(data.len());
        match chance.below(6) {
            0 if at < data.len() => data[at] ^= 1 << chance.below(8),
            1 => drop(data.drain(at..end)),
            2 => {
                let part = data[at..end].to_vec();
                let to = chance.below(data.len() + 1);
                data.splice(to..to, part);
            }
            3 => data.truncate(at),
            4 if at < data.len() => data[at] = u8::try_from(chance.below(256)).unwrap(),
            _ => drop(data.splice(at..at, JUNK[chance.below(JUNK.len())].iter().copied())),
        }
    }
    data
}

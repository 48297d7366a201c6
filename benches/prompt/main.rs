//! How long a prompt takes from words to a checked spec: `cargo bench --bench prompt`.

use bootwright::intake;
use std::process::ExitCode;
use std::time::{Duration, Instant};

const TYPICAL: &str = "Arch-based, hyprland, security-hardened, with docker and pytorch";
const PARAGRAPH: &str = "Hi all, I'm looking for a Debian 12 server image with nginx and certbot, firewall on, only 22, \
    80 and 443 open. Backups with restic every night at 2 to s3://backups/web, keep 7 daily and 4 weekly. No desktop, \
    no bluetooth, user anna with sudo, hostname web-1, in Berlin with a german keyboard. Thanks in advance!";
/// What one prompt may take, from words to a checked spec.
const MOST: Duration = Duration::from_millis(10);
/// What 100 KB may take to be read.
const MOST_LONG: Duration = Duration::from_millis(100);

fn median(times: usize, mut work: impl FnMut()) -> Duration {
    let mut all: Vec<Duration> = (0..times)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed()
        })
        .collect();
    all.sort();
    all[times / 2]
}

fn whole(prompt: &str) -> usize {
    let reading = intake::reading(prompt);
    match intake::document(prompt, &reading, None) {
        Ok(document) => intake::findings(&document, None).map_or(0, |found| found.len()),
        Err(_) => 0,
    }
}

fn main() -> ExitCode {
    let begun = Instant::now();
    std::hint::black_box(whole(TYPICAL));
    println!("first prompt of a process, with table and schema: {:?}", begun.elapsed());
    let mut good = true;
    for (name, prompt) in [("one line", TYPICAL), ("a paragraph", PARAGRAPH)] {
        let read = median(201, || {
            std::hint::black_box(intake::reading(prompt));
        });
        let all = median(51, || {
            std::hint::black_box(whole(prompt));
        });
        println!("{name} ({} bytes): read {read:?}, read and checked {all:?}", prompt.len());
        good &= all < MOST;
    }
    for (name, part) in [
        ("sentences", format!("{PARAGRAPH} ")),
        ("unknown words", "frobnicator quux ".to_owned()),
        ("one list", "docker, ".to_owned()),
        ("negations", "no docker, podman or ".to_owned()),
        ("marks", "!a!".to_owned()),
        ("numbers", "80 and 443, ".to_owned()),
    ] {
        let long = part.repeat(100_000 / part.len() + 1);
        let read = median(5, || {
            std::hint::black_box(intake::reading(&long));
        });
        println!("100 KB of {name}: read {read:?}");
        good &= read < MOST_LONG;
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

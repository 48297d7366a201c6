//! Mirrors that stall, lie and never end, on the loopback interface.

use super::Cases;
use bootwright::effects::fetch::{Download, Patience, client, fetch_with};
use bootwright::effects::{Cancel, Task};
use bootwright::model::event::Unit;
use bootwright::model::{Digest, Emitter, Failure};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const GOOD: &[u8] = b"the bytes that were reviewed";

/// What a mirror does with one request.
type Lie = fn(&mut TcpStream) -> std::io::Result<()>;

/// Serves the same lie to everybody until the test ends.
fn mirror(lie: Lie) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/package.deb", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let _ = lie(&mut stream);
            });
        }
    });
    address
}

fn head(stream: &mut TcpStream, fields: &str) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 200 OK\r\n{fields}\r\n")
}

fn stalls(stream: &mut TcpStream, sent: &[u8]) -> std::io::Result<()> {
    stream.write_all(sent)?;
    std::thread::sleep(Duration::from_secs(60));
    Ok(())
}

fn download(url: &str, to: &Path) -> Download {
    Download {
        urls: vec![url.to_owned()],
        sha256: Digest::of(GOOD),
        size: GOOD.len() as u64,
        to: to.to_owned(),
    }
}

fn attempt(url: &str, to: &Path) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (events, cancel) = (Emitter::default(), Cancel::default());
    let task = Task::with_total(&events, "test", None, Unit::Bytes);
    let patience = Patience {
        idle: Duration::from_millis(400),
        window: Duration::from_millis(800),
        least: 1024,
        rounds: 2,
    };
    runtime.block_on(async { fetch_with(&client()?, &download(url, to), &task, &cancel, &patience).await })
}

#[test]
fn mirrors_that_lie() {
    let lies: Vec<(&str, Lie, &str)> = vec![
        ("says nothing", |s| stalls(s, b""), "nothing came for"),
        ("stalls in the head", |s| stalls(s, b"HTTP/1.1 200 OK\r\nContent-Len"), "nothing came for"),
        (
            "stalls after the head",
            |s| stalls(s, b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\n"),
            "nothing came for",
        ),
        (
            "stalls in the body",
            |s| stalls(s, b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\nthe b"),
            "nothing came for",
        ),
        (
            "drips",
            |s| {
                head(s, "Content-Length: 28\r\n")?;
                for byte in GOOD {
                    s.write_all(&[*byte])?;
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(())
            },
            "too slow",
        ),
        (
            "drips its head",
            |s| {
                for byte in b"HTTP/1.1 200 OK\r\nX-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" {
                    s.write_all(&[*byte])?;
                    std::thread::sleep(Duration::from_millis(100));
                }
                Ok(())
            },
            "nothing came for",
        ),
        (
            "never ends",
            |s| {
                head(s, "Connection: close\r\n")?;
                loop {
                    s.write_all(&[b'x'; 65536])?;
                }
            },
            "more than the 28 bytes",
        ),
        (
            "never ends, in chunks",
            |s| {
                head(s, "Transfer-Encoding: chunked\r\n")?;
                loop {
                    s.write_all(b"10\r\nxxxxxxxxxxxxxxxx\r\n")?;
                }
            },
            "more than the 28 bytes",
        ),
        (
            "announces more",
            |s| {
                head(s, "Content-Length: 1000000000000\r\n")?;
                s.write_all(GOOD)
            },
            "announces 1000000000000 bytes",
        ),
        (
            "announces more and sends less",
            |s| {
                head(s, "Content-Length: 29\r\n")?;
                s.write_all(&GOOD[..5])
            },
            "announces 29 bytes",
        ),
        (
            "ends early",
            |s| {
                head(s, "Content-Length: 28\r\n")?;
                s.write_all(&GOOD[..5])
            },
            "cannot be had",
        ),
        (
            "ends early without a length",
            |s| {
                head(s, "Connection: close\r\n")?;
                s.write_all(&GOOD[..5])
            },
            "ended after 5 of 28",
        ),
        (
            "sends other bytes",
            |s| {
                head(s, "Content-Length: 28\r\n")?;
                s.write_all(b"The bytes that were reviewed")
            },
            "wrong bytes",
        ),
        ("sends nothing", |s| head(s, "Content-Length: 0\r\n"), "ended after 0 of 28"),
        (
            "sends a part that was not asked for",
            |s| {
                s.write_all(b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 5-27/28\r\nContent-Length: 23\r\n\r\n")?;
                s.write_all(&GOOD[5..])
            },
            "another part",
        ),
        (
            "packs the body",
            |s| {
                head(s, "Content-Encoding: gzip\r\nContent-Length: 28\r\n")?;
                s.write_all(&[0x1f; 28])
            },
            "wrong bytes",
        ),
        (
            "turns in a circle",
            |s| s.write_all(b"HTTP/1.1 302 Found\r\nLocation: /package.deb\r\nContent-Length: 0\r\n\r\n"),
            "cannot be had",
        ),
        (
            "leads to a file of this host",
            |s| {
                s.write_all(
                    b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
                )
            },
            "cannot be had",
        ),
        ("speaks another protocol", |s| s.write_all(b"SSH-2.0-OpenSSH_9.2\r\n"), "cannot be had"),
        (
            "has a huge head",
            |s| {
                s.write_all(b"HTTP/1.1 200 OK\r\n")?;
                loop {
                    s.write_all(
                        b"X-A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                    )?;
                }
            },
            "cannot be had",
        ),
        ("hangs up", |_| Ok(()), "cannot be had"),
        (
            "has no such file",
            |s| s.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
            "HTTP 404",
        ),
        (
            "is broken",
            |s| s.write_all(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
            "HTTP 500",
        ),
        ("sends an empty answer", |s| s.write_all(b"HTTP/1.1 204 No Content\r\n\r\n"), "ended after 0 of 28"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let honest = mirror(|s| {
        head(s, "Content-Length: 28\r\n")?;
        s.write_all(GOOD)
    });
    let good = dir.path().join("good");
    attempt(&honest, &good).unwrap();
    assert_eq!(std::fs::read(&good).unwrap(), GOOD);
    let mut cases = Cases::of("mirrors");
    // Most of them are about waiting: all at once.
    let running: Vec<_> = lies
        .into_iter()
        .enumerate()
        .map(|(n, (case, lie, words))| {
            let to: PathBuf = dir.path().join(format!("{n}.deb"));
            std::thread::spawn(move || {
                let begun = Instant::now();
                (case, attempt(&mirror(lie), &to), words, to, begun.elapsed())
            })
        })
        .collect();
    for thread in running {
        let (case, result, words, to, took) = thread.join().unwrap();
        assert!(!to.exists(), "{case}: something was kept");
        assert!(took < Duration::from_secs(25), "{case}: it took {took:?}");
        cases.refused(case, result, words);
    }
    cases.finish(24);
}

/// A mirror that failed is left for the next one.
#[test]
fn a_liar_does_not_keep_us_from_an_honest_mirror() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("package.deb");
    let honest = mirror(|s| {
        head(s, "Content-Length: 28\r\n")?;
        s.write_all(GOOD)
    });
    let liar = mirror(|s| stalls(s, b"HTTP/1.1 200 OK\r\nContent-Length: 28\r\n\r\nthe b"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let task = Task::with_total(&Emitter::default(), "test", None, Unit::Bytes);
    let patience = Patience { idle: Duration::from_millis(400), ..Patience::default() };
    let download = Download { urls: vec![liar, honest], ..download("", &to) };
    runtime
        .block_on(async { fetch_with(&client()?, &download, &task, &Cancel::default(), &patience).await })
        .unwrap();
    assert_eq!(std::fs::read(&to).unwrap(), GOOD);
}

//! A web server that gives a folder's files, and fails where a test wants it to.

use crate::registry::front;
use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What goes wrong with a file.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// It answers with this status and a web page.
    Status(u16),
    /// It answers 200 with a web page.
    Html,
    /// It sends so many bytes of the body and then nothing more.
    Stall(usize),
    /// It sends so many bytes of the body and closes.
    Cut(usize),
    /// It sends a byte a second.
    Drip,
}

#[derive(Clone)]
pub struct Web {
    pub url: String,
    folder: PathBuf,
    requests: Arc<Mutex<Vec<String>>>,
    faults: Arc<Mutex<Vec<(String, Fault)>>>,
}

const PAGE: &str = "<!DOCTYPE html>\n<html><body>Sorry.</body></html>\n";

impl Web {
    pub fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let web = Self { url, folder: folder.to_owned(), requests: Arc::default(), faults: Arc::default() };
        let own = web.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let own = own.clone();
                std::thread::spawn(move || drop(own.answer(stream)));
            }
        });
        web
    }

    /// What goes wrong with files whose names end so.
    pub fn fault(&self, end: &str, fault: Fault) {
        self.faults.lock().unwrap().push((end.to_owned(), fault));
    }

    pub fn mend(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// What was asked for since the last call, as `METHOD PATH RANGE`.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut self.requests.lock().unwrap())
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let Some(head) = front::head(&mut reader)? else { return Ok(()) };
        let mut words = head[0].split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let range = head.iter().find_map(|line| line.strip_prefix("range: bytes=")).unwrap_or_default();
        self.requests.lock().unwrap().push(format!("{method} {path} {range}").trim_end().to_owned());
        let fault = self.faults.lock().unwrap().iter().find(|(end, _)| path.ends_with(end)).map(|(_, f)| *f);
        let from = range.trim_end_matches('-').parse().unwrap_or(0);
        match std::fs::read(self.folder.join(path.trim_start_matches('/'))) {
            Ok(bytes) => send(stream, method, fault, &bytes, from),
            Err(_) => send(stream, method, Some(Fault::Status(404)), b"", 0),
        }
    }
}

fn send(
    mut to: TcpStream,
    method: &str,
    fault: Option<Fault>,
    bytes: &[u8],
    from: usize,
) -> std::io::Result<()> {
    let (status, bytes, from) = match fault {
        Some(Fault::Status(status)) => (status, PAGE.as_bytes(), 0),
        Some(Fault::Html) => (200, PAGE.as_bytes(), 0),
        _ if from > 0 && from < bytes.len() => (206, bytes, from),
        _ => (200, bytes, 0),
    };
    let range = match status {
        206 => format!("content-range: bytes {from}-{}/{}\r\n", bytes.len() - 1, bytes.len()),
        _ => String::new(),
    };
    let body = &bytes[from..];
    write!(to, "HTTP/1.1 {status} x\r\ncontent-length: {}\r\n{range}connection: close\r\n\r\n", body.len())?;
    if method == "HEAD" {
        return Ok(());
    }
    match fault {
        Some(Fault::Cut(most)) => to.write_all(&body[..most.min(body.len())]),
        Some(Fault::Stall(most)) => {
            to.write_all(&body[..most.min(body.len())])?;
            std::thread::sleep(Duration::from_secs(600));
            Ok(())
        }
        Some(Fault::Drip) => {
            for byte in body {
                to.write_all(&[*byte])?;
                std::thread::sleep(Duration::from_secs(1));
            }
            Ok(())
        }
        _ => to.write_all(body),
    }
}

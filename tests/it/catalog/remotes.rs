//! Remote repositories over smart HTTP.

use super::{Repository, SPEC, names};
use bootwright::catalog::{self, Files, Location};
use bootwright::effects::{Cancel, Process};
use std::path::Path;

/// `git http-backend` behind a loopback port: a real smart-HTTP remote.
pub(crate) struct Server {
    port: u16,
}

impl Server {
    pub(crate) fn of(root: &Path) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let root = root.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let root = root.clone();
                std::thread::spawn(move || serve(stream, &root));
            }
        });
        Self { port }
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("http://127.0.0.1:{}/{rest}", self.port)
    }
}

fn serve(mut stream: std::net::TcpStream, root: &Path) -> Option<()> {
    use std::io::{BufRead, BufReader, Read, Write};
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut headers = std::collections::BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|t| t == "chunked") {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = u64::from_str_radix(size.trim(), 16).ok()?;
            reader.by_ref().take(size).read_to_end(&mut body).ok()?;
            reader.read_line(&mut String::new()).ok()?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        reader.by_ref().take(length.parse().ok()?).read_to_end(&mut body).ok()?;
    }
    let mut words = request.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let header = |name: &str| headers.get(name).cloned().unwrap_or_default();
    let output = Process::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(body)
        .run(&Cancel::default())
        .ok()?;
    let text = output.stdout;
    let end = text.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&text[..end]).into_owned();
    let status = head.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK");
    let rest = &text[end + 4..];
    let answer =
        format!("HTTP/1.1 {status}\r\n{head}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", rest.len());
    stream.write_all(answer.as_bytes()).ok()?;
    stream.write_all(rest).ok()
}

#[test]
fn remotes_are_fetched_and_followed() {
    let repo = Repository::new();
    repo.write("specs/edge.yaml", SPEC);
    let first = repo.commit("one");
    repo.git(&["tag", "-a", "-m", "x", "v1"]);
    repo.git(&["branch", "side"]);
    let server = Server::of(repo.path());
    let clones = tempfile::tempdir().unwrap();
    let url = server.url(".git");
    let location = |rev| Location::parse(&url, rev).unwrap();
    let read = |rev| catalog::read(&location(rev), clones.path());
    let id = |files: &Files| files.source.commit.clone().unwrap().id;

    for rev in [None, Some("main"), Some("v1"), Some("side"), Some(first.as_str()), Some(&first[..8])] {
        let files = read(rev).unwrap_or_else(|f| panic!("{rev:?}: {f} {:?}", f.details));
        assert_eq!((id(&files), names(&files)), (first.clone(), vec!["edge".to_owned()]), "{rev:?}");
    }
    // The remote moves on.
    repo.write("specs/other.yaml", &SPEC.replace("edge", "other"));
    let second = repo.commit("two");
    assert_eq!(catalog::head(&location(None), clones.path()).unwrap().unwrap(), second);
    assert_eq!(catalog::head(&location(Some("v1")), clones.path()).unwrap().unwrap(), first);
    assert_eq!(names(&read(None).unwrap()), ["edge", "other"]);
    assert_eq!(id(&read(Some("v1")).unwrap()), first);
    // It moves back, and takes a branch away.
    repo.git(&["reset", "-q", "--hard", &first]);
    repo.git(&["branch", "-q", "-D", "side"]);
    assert_eq!(id(&read(Some("main")).unwrap()), first);
    assert!(read(Some("side")).unwrap_err().message.contains("no branch, tag or commit side"));
    // A clone that was torn apart is made again.
    let clone = std::fs::read_dir(clones.path()).unwrap().flatten().find(|e| e.path().is_dir()).unwrap();
    for broken in ["objects", "HEAD"] {
        let path = clone.path().join(broken);
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap()
        } else {
            std::fs::remove_file(&path).unwrap()
        };
        assert_eq!(id(&read(None).unwrap()), first, "{broken}");
    }
    // A reference lock left by a process that was killed.
    repo.commit("three");
    std::fs::create_dir_all(clone.path().join("refs/heads")).unwrap();
    std::fs::write(clone.path().join("refs/heads/main.lock"), "").unwrap();
    assert!(read(None).is_ok());
}

#[test]
fn remotes_that_cannot_be_read() {
    let empty = Repository::new();
    let server = Server::of(empty.path());
    let clones = tempfile::tempdir().unwrap();
    let refused = |url: &str| {
        let location = Location::parse(url, None).unwrap();
        let failure = catalog::read(&location, clones.path()).unwrap_err();
        let shown = format!("{failure} {:?} {:?}", failure.details, failure.hint);
        assert!(!shown.contains("hunter2") && !shown.contains("somebody"), "{shown}");
        assert!(failure.hint.is_some());
        assert!(catalog::head(&location, clones.path()).is_err());
        failure.message
    };
    assert!(refused(&server.url(".git")).contains("no commit yet"));
    assert!(refused(&server.url("gone.git")).contains("cannot be fetched"));
    let url = server.url("gone.git").replace("http://", "http://somebody:hunter2@");
    assert!(refused(&url).contains("cannot be fetched"));
    // Nobody listens there.
    assert!(refused("http://somebody:hunter2@127.0.0.1:1/x.git").contains("cannot be fetched"));
}

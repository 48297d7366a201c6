//! Mirrors with several addresses: who does not answer, who answers with something else and who
//! shows an older index is passed over, and the lock says so.

use super::rpm::{FEDORA, Repository};
use super::{World, command, must, words};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What a server does with every request.
#[derive(Clone)]
enum Manner {
    /// Shows a folder.
    Shows(PathBuf),
    /// Has nothing.
    Empty,
    /// Takes the request and says nothing.
    Stalls,
    /// Answers with a page for people.
    Garbage,
}

/// Serves until the test ends; gives the address.
fn serve(manner: Manner) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let manner = manner.clone();
            std::thread::spawn(move || answer(stream, &manner));
        }
    });
    address
}

fn answer(mut stream: TcpStream, manner: &Manner) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut request = String::new();
    reader.read_line(&mut request).ok()?;
    let mut line = String::new();
    while reader.read_line(&mut line).ok()? > 2 {
        line.clear();
    }
    let path = request.split(' ').nth(1)?.trim_start_matches('/').to_owned();
    let body = match manner {
        Manner::Shows(folder) => fs::read(folder.join(path)).ok(),
        Manner::Empty => None,
        Manner::Stalls => {
            std::thread::sleep(Duration::from_secs(120));
            return None;
        }
        Manner::Garbage => Some(b"<html>Welcome to this hotel</html>".to_vec()),
    };
    let (status, body) = match body {
        Some(body) => ("200 OK", body),
        None => ("404 Not Found", Vec::new()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len())
        .ok()?;
    stream.write_all(&body).ok()
}

fn mirrors(repository: &Repository, urls: &[String]) -> String {
    let old = format!("\"file://{}\"", repository.dir.join("mirror").display());
    let urls: Vec<String> = urls.iter().map(|url| format!("\"{url}\"")).collect();
    let text = repository.mirrors();
    assert!(text.contains(&old), "{text}");
    text.replace(&old, &urls.join(", "))
}

/// Locks; gives what was said and the lock.
fn locked(world: &World) -> (String, String) {
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success(), "{}", words(&done));
    (words(&done), fs::read_to_string(world.dir.join("specs/tiny.lock.yaml")).unwrap())
}

/// A copy of the mirror as it is now.
fn copied(repository: &Repository, name: &str) -> PathBuf {
    let to = repository.dir.join(name);
    must(command("cp").arg("-a").arg(repository.dir.join("mirror")).arg(&to));
    to
}

/// Makes the index say that it is later than it is; its signature is then bad.
fn postdated(mirror: &Path) {
    let head = mirror.join(FEDORA.path).join("repodata/repomd.xml");
    let text = fs::read_to_string(&head).unwrap();
    let start = text.find("<timestamp>").unwrap() + "<timestamp>".len();
    let later: u64 = text[start..].split('<').next().unwrap().parse::<u64>().unwrap() + 86_400;
    let end = start + text[start..].find('<').unwrap();
    fs::write(&head, format!("{}{later}{}", &text[..start], &text[end..])).unwrap();
}

#[test]
fn who_does_not_answer_is_passed_over() {
    let repository = Repository::new(&FEDORA);
    let world = repository.world();
    let good = serve(Manner::Shows(repository.dir.join("mirror")));
    let urls = [serve(Manner::Empty), serve(Manner::Stalls), serve(Manner::Garbage), good];
    world.settings(&mirrors(&repository, &urls));
    let (said, lock) = locked(&world);
    for (url, why) in [(0, "HTTP 404"), (1, "nothing came for 15 s"), (2, "no index is there")] {
        let place = format!("mirrors[0].urls[{url}]");
        let line = lock.lines().find(|l| l.contains(&place)).unwrap_or_else(|| panic!("{place}: {lock}"));
        assert!(line.contains(why), "{line}");
        assert!(said.contains(&format!("{place} of bootwright.yaml is passed over")), "{said}");
    }
    assert!(!lock.contains("urls[3]") && !lock.contains("127.0.0.1"), "{lock}");
}

#[test]
fn an_older_index_is_passed_over() {
    let repository = Repository::new(&FEDORA);
    let old = copied(&repository, "old");
    // The index tells seconds.
    std::thread::sleep(Duration::from_millis(1100));
    repository.index();
    let (old, new) = (serve(Manner::Shows(old)), serve(Manner::Shows(repository.dir.join("mirror"))));
    let world = repository.world();
    world.settings(&mirrors(&repository, &[old.clone(), new.clone()]));
    let (said, lock) = locked(&world);
    assert!(said.contains("which another address has"), "{said}");
    assert!(lock.contains("mirrors[0].urls[0]") && !lock.contains("mirrors[0].urls[1]"), "{lock}");
    // What was locked is not taken back, whoever is the newest of those that answer.
    world.settings(&mirrors(&repository, &[old.clone(), serve(Manner::Empty)]));
    let said = world.refused();
    assert!(said.contains("older than") && said.contains("locked before"), "{said}");
    world.settings(&mirrors(&repository, &[old, serve(Manner::Empty), new]));
    let done = world.run(&["lock", "--update", "tiny"]);
    assert!(done.status.success() && words(&done).contains("locked before"), "{}", words(&done));
}

#[test]
fn who_only_says_that_it_is_newer_is_passed_over() {
    let repository = Repository::new(&FEDORA);
    let lying = copied(&repository, "lying");
    postdated(&lying);
    let urls = [serve(Manner::Shows(lying)), serve(Manner::Shows(repository.dir.join("mirror")))];
    let world = repository.world();
    world.settings(&mirrors(&repository, &urls));
    let (_, lock) = locked(&world);
    let notes: Vec<&str> = lock.lines().filter(|line| line.contains("mirrors[0]")).collect();
    assert!(notes.len() == 1 && notes[0].contains("urls[0]") && notes[0].contains("not signed"), "{lock}");
}

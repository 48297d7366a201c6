//! The checker that images carry, in a small root of its own: every kind of check, right and
//! wrong, under the shells that images have as `/bin/sh`, with fields that try to be more
//! than words.

use super::{put, run};
use bootwright::effects::{Cancel, Process};
use bootwright::model::check::{Check, Expect};
use bootwright::model::probe::{self, Nonce, Reader, Verb};
use bootwright::model::spec::Init;
use bootwright::model::{Digest, name::UserName};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SYSTEMCTL: &str = "#!/bin/sh\nfor name in \"$@\"; do :; done\ncase $name in\n\
    up.service) echo LoadState=loaded; echo ActiveState=active; echo SubState=running; echo Result=success ;;\n\
    tick.timer) echo LoadState=loaded; echo ActiveState=active; echo SubState=waiting; echo Result=success ;;\n\
    *) echo LoadState=not-found; echo ActiveState=inactive; echo SubState=dead; echo Result=success ;;\nesac\n";

/// Shells with what they need; `/bin/sh` is made for each test.
fn root(folder: &Path, shell: &str) -> PathBuf {
    let root = folder.join(shell);
    let busybox = std::fs::read("/bin/busybox").expect("busybox-static is installed");
    put(&root.join("bin/busybox"), &busybox, 0o755);
    // Busybox's own would run its own modprobe rather than the one of the test.
    copy(folder, &root, "/usr/bin/timeout", "bin/timeout");
    for name in "cat chroot echo false id mount printf readlink sha256sum sleep stat tr".split(' ') {
        std::os::unix::fs::symlink("busybox", root.join("bin").join(name)).unwrap();
    }
    if shell == "busybox" {
        std::os::unix::fs::symlink("busybox", root.join("bin/sh")).unwrap();
    } else {
        copy(folder, &root, &format!("/bin/{shell}"), "bin/sh");
    }
    put(&root.join("bin/systemctl"), SYSTEMCTL.as_bytes(), 0o755);
    put(
        &root.join("bin/modprobe"),
        b"#!/bin/sh\nfor n in \"$@\"; do :; done\nif [ $n = dccp ]; then echo install /bin/false; fi\n",
        0o755,
    );
    let passwd = b"root:x:0:0::/root:/bin/sh\nada:x:1000:1000::/home/ada:/bin/zsh\n";
    put(&root.join("etc/passwd"), passwd, 0o644);
    put(&root.join("etc/group"), b"root:x:0:\nada:x:1000:\nsudo:x:27:ada\n", 0o644);
    put(&root.join("etc/secret"), b"bytes", 0o640);
    put(&root.join("etc/set tings"), b"# none\n\t key = \\a $(x) \nlast", 0o644);
    std::os::unix::fs::symlink("/etc/a b", root.join("etc/link")).unwrap();
    for folder in ["dev", "proc", "run/systemd/system", "sys/module/loop", "tmp", "usr/lib/bootwright"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
    root
}

/// A program of the host, with its libraries.
fn copy(folder: &Path, root: &Path, program: &str, to: &str) {
    put(&root.join(to), &std::fs::read(program).unwrap(), 0o755);
    for library in run("ldd", &[program], folder).split_whitespace().filter(|w| w.starts_with('/')) {
        put(&root.join(&library[1..]), &std::fs::read(library).unwrap(), 0o755);
    }
}

fn look(root: &Path, checks: &[Check]) -> BTreeMap<usize, String> {
    for file in probe::files(&Digest::of("x"), &"tiny".parse().unwrap(), Init::Systemd, checks) {
        put(&root.join(file.path), &file.bytes, file.mode.unwrap());
    }
    let _ = std::fs::remove_file(root.join("dev/null"));
    let script = "mount -t proc proc proc && mknod dev/null c 1 3 && exec chroot . /bin/sh /usr/lib/bootwright/checker \
                  < usr/lib/bootwright/checks";
    let output = Process::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script])
        .dir(root)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .check(&Cancel::default())
        .unwrap_or_else(|f| panic!("{f:?}"))
        .text();
    // As the verifier reads it.
    let (nonce, id) = (Nonce::new([3; 16]), Digest::of("x").hex());
    let results: String = output.lines().map(|l| format!("result {l}\n")).collect();
    let text = format!("begin check {nonce} {id}\n{results}end check {nonce} {id}\n");
    let answer = Reader::default().push(text.as_bytes()).remove(0);
    assert_eq!(answer.verb, Verb::Check);
    answer.facts.results
}

fn text(text: &str) -> String {
    text.to_owned()
}

fn output(argv: &[&str], contains: &str) -> Expect {
    Expect::Output { argv: argv.iter().map(|a| text(a)).collect(), contains: text(contains) }
}

/// Each with what is found.
fn all() -> Vec<(Expect, String)> {
    let ada: UserName = "ada".parse().unwrap();
    let service = |name: &str| Expect::Service { name: text(name), running: true };
    let file = |path: &str, sha256| Expect::File { path: text(path), mode: None, owner: None, sha256 };
    let link = |path: &str| Expect::Link { path: text(path), target: text("/") };
    let line = |line: &str| Expect::Line { path: text("/etc/set tings"), line: text(line) };
    let user = |name: UserName| Expect::User { name, shell: None, groups: Vec::new() };
    let sysctl = |key: &str| Expect::Sysctl { key: text(key), value: text("0") };
    let module = |name: &str| Expect::Module { name: text(name), loaded: true };
    let mount = |path: &str| Expect::Mount { path: text(path), kind: None };
    let process = |name: &str| Expect::Process { name: text(name) };
    let hostile = "$(echo x) `echo y` ; * 'a' \"b\" \\n \u{e4}";
    let known = [
        (service("up.service"), "loaded active running success"),
        (service("no.service"), "not-found inactive dead success"),
        (service("-x; echo 0 found"), "not-found inactive dead success"),
        (Expect::Timer { unit: text("tick.timer") }, "loaded active waiting success"),
        (file("/etc/secret", None), "81a0 root -"),
        (file("/etc/none", None), "missing"),
        (link("/etc/link"), "link /etc/a b"),
        (link("/etc/secret"), "no link"),
        (link("/etc/none"), "missing"),
        (line("key = \\a $(x)"), "present"),
        (line("last"), "present"),
        (line("key"), "absent"),
        (Expect::Line { path: text("/etc/none"), line: text("x") }, "missing"),
        (user(ada), "/bin/zsh ada sudo"),
        (user("bob".parse().unwrap()), "missing"),
        (sysctl("no.such.key"), "missing"),
        (module("loop"), "loaded"),
        (module("dccp"), "blocked"),
        (module("nfs"), "absent"),
        (Expect::KernelFlag { word: text("no-such-word") }, "absent"),
        (output(&["/bin/echo", "a", hostile], hostile), &format!("0 yes a {hostile}")),
        (output(&["/bin/echo", "", "*"], "*"), "0 yes  *"),
        (output(&["/bin/printf", "one\\ntwo\\n"], "two"), "0 yes one"),
        (output(&["/bin/echo", "a"], "?"), "0 no a"),
        (
            output(&["/bin/cat", "/etc/none"], ""),
            "1 yes cat: can't open '/etc/none': No such file or directory",
        ),
        (output(&["/bin/cat"], ""), "0 yes"),
        (mount("/"), "missing"),
        (mount("/proc"), "proc"),
        (process("no-such"), "absent"),
    ];
    let mut known: Vec<_> = known.into_iter().map(|(expect, found)| (expect, found.to_owned())).collect();
    let digest = Digest::of("bytes");
    known.push((file("/etc/secret", Some(digest)), format!("81a0 root {}", digest.hex())));
    known
}

#[test]
fn every_kind_is_found_under_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["dash", "busybox", "bash"] {
        let root = root(folder.path(), shell);
        let known = all();
        let checks: Vec<Check> = known
            .iter()
            .map(|(expect, _)| Check { field: text("spec.x"), expect: expect.clone(), live: false })
            .collect();
        let found = look(&root, &checks);
        for (number, (expect, expected)) in known.iter().enumerate() {
            // The root's own mount is seen by some kernels and not by others, and busybox has a
            // modprobe of its own: only that they are answered counts there.
            let varies = matches!(expect, Expect::Mount { path, .. } if path == "/")
                || (shell == "busybox" && matches!(expect, Expect::Module { .. }));
            if !varies {
                let found = found.get(&number).map(String::as_str);
                assert_eq!(found, Some(expected.trim()), "{shell}: {expect:?}");
            }
        }
        assert_eq!(found.len(), known.len(), "{shell}");
        // Who runs it is a process too: busybox calls itself by its own name.
        let me = if shell == "busybox" { "busybox" } else { "sh" };
        let process = Expect::Process { name: text(me) };
        let long = output(&["/bin/printf", "%05000d", "7"], "7");
        let nothing =
            look(&root, &[process, long].map(|expect| Check { field: text("spec.x"), expect, live: false }));
        assert!(matches!(nothing[&0].as_str(), "present" | "absent"), "{shell}: {nothing:?}");
        assert!(nothing[&1].starts_with("0 yes 000") && nothing[&1].len() < 900, "{shell}: {nothing:?}");
    }
}

#[test]
fn a_program_that_does_not_end_is_ended() {
    let folder = tempfile::tempdir().unwrap();
    let root = root(folder.path(), "dash");
    let check = Check { field: text("spec.x"), expect: output(&["/bin/sleep", "1000"], ""), live: false };
    let found = look(&root, &[check]);
    assert!(found[&0].starts_with("124 ") || found[&0].starts_with("143 "), "{found:?}");
}

//! Each kind of check: what is right, what may become right, and the words for what is wrong.

use super::*;
use crate::model::Digest;

fn words(expect: Expect, found: &str) -> String {
    match compare(&expect, found) {
        Outcome::Right => "right".to_owned(),
        Outcome::NotYet(words) => format!("later: {words}"),
        Outcome::Wrong(words) => words,
    }
}

fn text(text: &str) -> String {
    text.to_owned()
}

#[test]
fn services_and_timers() {
    let service = |running, found: &str| words(Expect::Service { name: text("a.service"), running }, found);
    assert_eq!(service(true, "loaded active running success"), "right");
    assert_eq!(service(true, "loaded active exited success"), "right", "a oneshot that has done its work");
    assert_eq!(service(true, "loaded activating start success"), "later: it is activating (start)");
    assert_eq!(service(true, "loaded inactive dead success"), "later: it is inactive (dead)");
    assert_eq!(service(true, "loaded failed failed exit-code"), "it failed (exit-code)");
    assert_eq!(service(true, "not-found inactive dead success"), "no such service");
    assert_eq!(service(true, "masked inactive dead success"), "it is inactive (dead)");
    assert_eq!(service(true, "yes"), "yes");
    assert_eq!(service(false, "loaded inactive dead success"), "right");
    assert_eq!(service(false, "not-found inactive dead success"), "right");
    assert_eq!(service(false, "loaded active running success"), "it is active (running)");
    assert_eq!(service(false, "- - - -"), "it is - (-)", "nothing known is not the same as not running");
    let timer = |found: &str| words(Expect::Timer { unit: text("a.timer") }, found);
    assert_eq!(timer("loaded active waiting success"), "right");
    assert_eq!(timer("loaded active elapsed success"), "it is active (elapsed)");
    assert_eq!(timer("loaded inactive dead success"), "later: it is inactive (dead)");
    assert_eq!(timer("not-found inactive dead success"), "no such timer");
}

#[test]
fn sockets_come_from_the_facts() {
    let at = |protocol, port, loopback| Listening { protocol, port, loopback };
    let sockets = [at(Protocol::Tcp, 22, false), at(Protocol::Tcp, 5432, true), at(Protocol::Udp, 53, false)];
    let facts = Facts { listening: sockets.to_vec(), ..Facts::default() };
    let look = |protocol, port, outside| match listen(&facts, protocol, port, outside) {
        Outcome::Right => "right".to_owned(),
        Outcome::NotYet(words) => format!("later: {words}"),
        Outcome::Wrong(words) => words,
    };
    assert_eq!(look(Protocol::Tcp, 22, Some(true)), "right");
    assert_eq!(look(Protocol::Tcp, 22, None), "right");
    assert_eq!(look(Protocol::Tcp, 5432, Some(false)), "right");
    assert_eq!(look(Protocol::Udp, 53, Some(true)), "right");
    assert_eq!(look(Protocol::Tcp, 22, Some(false)), "that others can reach it");
    assert_eq!(look(Protocol::Tcp, 5432, Some(true)), "later: an answer for this machine only");
    assert_eq!(look(Protocol::Tcp, 53, None), "later: nobody there");
}

#[test]
fn files_links_lines_and_users() {
    let digest = Digest::of("bytes");
    let file = |found: &str| {
        let (path, owner) = (text("/etc/x"), Some(text("root")));
        words(Expect::File { path, mode: Some(0o640), owner, sha256: Some(digest) }, found)
    };
    let hex = digest.hex();
    assert_eq!(file(&format!("81a0 root {hex}")), "right");
    assert_eq!(file(&format!("81a4 ada {hex}")), "mode 0644, owner ada");
    assert_eq!(file("81a0 root -"), "SHA-256 -");
    assert_eq!(file("missing"), "missing");
    assert_eq!(file("x root -"), "x root -");
    let link = |found: &str| {
        let (path, target) = (text("/etc/localtime"), text("/usr/share/zoneinfo/Etc/UTC"));
        words(Expect::Link { path, target }, found)
    };
    assert_eq!(link("link /usr/share/zoneinfo/Etc/UTC"), "right");
    assert_eq!(link("link /elsewhere"), "link /elsewhere");
    assert_eq!(link("no link"), "no link");
    let line = |found: &str| words(Expect::Line { path: text("/etc/x"), line: text("a = b") }, found);
    assert_eq!(
        (line("present"), line("absent"), line("missing")),
        (text("right"), text("absent"), text("missing"))
    );
    let user = |found: &str| {
        let (name, shell) = ("ada".parse().unwrap(), Some(text("/bin/zsh")));
        words(Expect::User { name, shell, groups: vec![text("sudo"), text("docker")] }, found)
    };
    assert_eq!(user("/bin/zsh ada docker sudo"), "right");
    assert_eq!(user("/bin/bash ada sudo"), "shell /bin/bash, in ada, sudo");
    assert_eq!(user("missing"), "no such user");
    assert_eq!(user(""), "no such user");
}

#[test]
fn the_kernel_and_programs() {
    let sysctl =
        |found: &str| words(Expect::Sysctl { key: text("net.x"), value: text("4096 87380 1") }, found);
    assert_eq!(sysctl("is 4096  87380 1"), "right");
    assert_eq!(sysctl("is 0"), "0");
    assert_eq!(sysctl("missing"), "missing");
    let module = |loaded, found: &str| words(Expect::Module { name: text("dccp"), loaded }, found);
    assert_eq!((module(true, "loaded"), module(false, "blocked")), (text("right"), text("right")));
    assert_eq!(module(true, "absent"), "later: absent");
    assert_eq!(module(false, "loaded"), "loaded");
    assert_eq!(module(false, "absent"), "that it can still be loaded");
    let flag = |found: &str| words(Expect::KernelFlag { word: text("apparmor=1") }, found);
    assert_eq!((flag("present"), flag("absent")), (text("right"), text("absent")));
    let output = |found: &str| {
        words(Expect::Output { argv: vec![text("/usr/sbin/nft")], contains: text("policy drop;") }, found)
    };
    assert_eq!(output("0 yes table inet filter {"), "right");
    assert_eq!(
        output("0 no table inet filter {"),
        "later: other output, beginning with \"table inet filter {\""
    );
    assert_eq!(output("1 no Error: No such file"), "later: status 1: \"Error: No such file\"");
    assert_eq!(output("1 yes policy drop;"), "later: status 1: \"policy drop;\"", "the status counts too");
    assert_eq!(output("127 no not found"), "status 127: \"not found\"");
    assert_eq!(output("124 no "), "later: no end within 20 s");
    let mount = |kind: Option<&str>, found: &str| {
        words(Expect::Mount { path: text("/srv"), kind: kind.map(text) }, found)
    };
    assert_eq!((mount(None, "ext4"), mount(Some("ext4"), "ext4")), (text("right"), text("right")));
    assert_eq!(mount(Some("btrfs"), "ext4"), "later: ext4");
    assert_eq!(mount(None, "missing"), "later: missing");
    assert_eq!(words(Expect::Process { name: text("sway") }, "absent"), "later: absent");
}

#[test]
fn the_field_is_named_and_silence_is_wrong() {
    let check = |field: &str, expect| Check { field: text(field), expect, live: false };
    let sysctl = Expect::Sysctl { key: text("kernel.sysrq"), value: text("0") };
    let service = Expect::Service { name: text("ssh.service"), running: true };
    let checks = [check("spec.a", sysctl.clone()), check("spec.b", service), check("spec.c", sysctl)];
    let facts = |results: &[(usize, &str)]| Facts {
        results: results.iter().map(|(n, found)| (*n, text(found))).collect(),
        ..Facts::default()
    };
    let right = (0, "is 0");
    let all = facts(&[right, (1, "loaded active running success"), (2, "is 0")]);
    let declared = Declared::judge(&checks, &all, true);
    assert!(!declared.may_become_right());
    let judgement = declared.judgement();
    assert_eq!((judgement.reasons.len(), judgement.findings[0].as_str()), (0, "declared and found: 3 of 3"));
    let waiting = facts(&[right, (1, "loaded activating start success"), (2, "is 0")]);
    assert!(Declared::judge(&checks, &waiting, true).may_become_right());
    let hopeless = facts(&[right, (1, "loaded activating start success"), (7, "is 0")]);
    let declared = Declared::judge(&checks, &hopeless, true);
    assert!(!declared.may_become_right(), "what is wrong for good need not be waited for");
    assert_eq!(
        declared.judgement().reasons,
        [
            "spec.b: expected ssh.service to run, found it is activating (start)",
            "spec.c: expected kernel.sysrq = 0, found no answer"
        ]
    );
    assert_eq!(Declared::judge(&[], &Facts::default(), true).judgement(), Judgement::default());
}

/// Numbers stay the same: an image of every kind carries all checks.
#[test]
fn what_a_live_medium_has_is_asked_of_no_other() {
    let sysctl = |value: &str, live| Check {
        field: text("spec.x"),
        expect: Expect::Sysctl { key: text("kernel.sysrq"), value: text(value) },
        live,
    };
    let checks = [sysctl("1", true), sysctl("0", false)];
    let results = (0..2).map(|number| (number, text("is 0"))).collect();
    let found = Facts { results, ..Facts::default() };
    let judged = |live| Declared::judge(&checks, &found, live).judgement();
    assert_eq!(judged(true).reasons, ["spec.x: expected kernel.sysrq = 1, found 0"]);
    assert_eq!(judged(false).reasons.len(), 0);
    assert_eq!(judged(false).findings[0], "declared and found: 1 of 1");
}

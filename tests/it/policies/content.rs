//! Rules on what is in an image, on real layer folders.

use super::{SPEC, loaded, rule};
use bootwright::build::content;
use bootwright::effects::Cancel;
use bootwright::model::policy::{ArtifactFacts, Content, Finding, refusal};
use bootwright::model::spec::Output;
use bootwright::model::{ErrorCode, FailureClass};
use bootwright::planner::policy;
use rustix::fs::{CWD, FileType, Mode};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

fn put(root: &Path, path: &str, text: &str, mode: u32) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Two layers: the upper one removes, replaces and adds.
fn layers(dir: &Path) -> Content {
    let (lower, upper) = (dir.join("lower"), dir.join("upper"));
    put(&lower, "etc/passwd", "root:x:0:0::/root:/bin/sh\nold::1:1::/:/bin/sh\n", 0o644);
    put(&lower, "etc/ssh/ssh_host_rsa_key", "secret", 0o600);
    put(&lower, "usr/bin/su", "su", 0o4755);
    put(&lower, "usr/bin/wall", "wall", 0o2755);
    put(&lower, "usr/bin/ls", "ls", 0o755);
    put(&lower, "root/.ssh/id_rsa", "secret", 0o600);
    put(&lower, "srv/gone", "x", 0o666);
    fs::create_dir_all(lower.join("tmp")).unwrap();
    fs::set_permissions(lower.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("passwd", lower.join("etc/alias")).unwrap();

    put(&upper, "etc/passwd", "root:x:0:0::/root:/bin/sh\nadmin:x:1000:1000::/:/bin/sh\n", 0o644);
    put(&upper, "etc/shadow", "root:*:19000::::::\nadmin::19000::::::\n", 0o644);
    put(&upper, "srv/open", "x", 0o666);
    fs::create_dir_all(upper.join("srv/drop")).unwrap();
    fs::set_permissions(upper.join("srv/drop"), fs::Permissions::from_mode(0o777)).unwrap();
    let whiteout = upper.join("srv/gone");
    rustix::fs::mknodat(CWD, &whiteout, FileType::CharacterDevice, Mode::empty(), 0)
        .expect("these tests need root");
    content::of_layers(&[&lower, &upper], &Cancel::default()).unwrap()
}

fn judge(fields: &str, content: &Content, artifacts: &[ArtifactFacts]) -> Vec<Finding> {
    let catalog = loaded(&[("specs/edge.yaml", SPEC), ("policies/house.yaml", &rule(fields))]);
    let document = catalog.images.values().next().unwrap();
    policy::of_build(&catalog.policies, document, content, artifacts)
}

/// Rule, how many findings, and words of the first.
const REFUSED: [(&str, usize, &str); 17] = [
    ("absentPaths: [/etc/passwd]", 1, "/etc/passwd must not be there"),
    ("absentPaths: ['/etc/ssh/ssh_host_*']", 1, "ssh_host_rsa_key"),
    ("absentPaths: ['/root/**']", 2, "/root/.ssh"),
    ("absentPaths: ['/**/id_rsa']", 1, "/root/.ssh/id_rsa"),
    ("absentPaths: [/etc/alias]", 1, "/etc/alias"),
    ("presentPaths: [/etc/os-release]", 1, "/etc/os-release has to be there"),
    ("presentPaths: [/etc/passwd, '/etc/pam.d/*']", 1, "/etc/pam.d/*"),
    ("presentPaths: [/srv/gone]", 1, "/srv/gone has to be there"),
    ("setuidOnly: []", 2, "/usr/bin/su (mode 4755)"),
    ("setuidOnly: [/usr/bin/su]", 1, "/usr/bin/wall (mode 2755)"),
    ("setuidOnly: ['/bin/**']", 2, "/usr/bin/su"),
    ("noEmptyPasswords: true", 1, "account admin has an empty password in /etc/shadow"),
    ("noWorldWritable: true", 2, "anybody may write to /srv/drop (mode 777)"),
    ("fileModes: [{path: /etc/shadow, atMost: '0640'}]", 1, "/etc/shadow has mode 0644, at most 0640"),
    ("fileModes: [{path: '/usr/bin/*', atMost: '0755'}]", 2, "/usr/bin/su has mode 4755"),
    ("fileModes: [{path: '/root/.ssh/**', atMost: '0400'}]", 1, "0600"),
    ("maxSizes: {iso: 1KiB}", 1, "the build: iso has 1.00 KiB (1025 bytes), at most 1.00 KiB (1024 bytes)"),
];

#[test]
fn content_that_a_rule_forbids_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let content = layers(dir.path());
    let iso = ArtifactFacts { output: Output::Iso, size: 1025, verified: false, boots: Vec::new() };
    for (fields, count, words) in REFUSED {
        let found = judge(fields, &content, std::slice::from_ref(&iso));
        assert_eq!(found.len(), count, "{fields}: {found:#?}");
        assert!(found[0].message.contains(words), "{fields}: {found:#?}");
        assert_eq!(found[0].policy.to_string(), "policies/house.yaml:6:7");
        let failure = refusal(&found, None).unwrap();
        assert_eq!((failure.class, failure.code), (FailureClass::Spec, ErrorCode::Policy));
        assert!(failure.message.starts_with("policy rule one: "), "{failure}");
        assert!(failure.details.unwrap().contains("policies/house.yaml:6:7"));
        assert!(failure.hint.is_some() && failure.field.is_some());
    }
}

const KEPT: [&str; 9] = [
    "absentPaths: [/srv/gone, '/etc/ssh_host_*', /usr/bin/s]",
    "presentPaths: [/etc/passwd, '/usr/bin/l?', /tmp, /etc/alias]",
    "setuidOnly: [/usr/bin/su, '/usr/bin/wal*']",
    "setuidOnly: ['/usr/**']",
    "fileModes: [{path: /etc/shadow, atMost: '0644'}, {path: /nowhere, atMost: '0000'}]",
    "maxSizes: {iso: 1025, oci: 1KiB}",
    "lockRequired: true",
    "reproducible: true",
    "requiredVerification: {outputs: [iso]}",
];

#[test]
fn content_that_is_right_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let content = layers(dir.path());
    let iso = ArtifactFacts { output: Output::Iso, size: 1025, verified: false, boots: Vec::new() };
    for fields in KEPT {
        let found = judge(fields, &content, std::slice::from_ref(&iso));
        assert!(found.is_empty(), "{fields}: {found:#?}");
    }
    // The sticky bit is made for folders that all write to; a link's own mode means nothing.
    let found = judge("noWorldWritable: true", &content, &[]);
    assert!(
        found.iter().all(|f| !f.message.contains("/tmp") && !f.message.contains("/etc/alias")),
        "{found:#?}"
    );
    // The upper layer's accounts count, not those that it replaced.
    let found = judge("noEmptyPasswords: true", &content, &[]);
    assert!(found.iter().all(|f| !f.message.contains("old")), "{found:#?}");
}

#[test]
fn many_paths_are_counted_not_listed() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..25 {
        put(dir.path(), &format!("srv/{number:02}"), "x", 0o666);
    }
    let content = content::of_layers(&[dir.path()], &Cancel::default()).unwrap();
    let found = judge("noWorldWritable: true", &content, &[]);
    assert_eq!(found.len(), 10);
    assert!(found[9].message.ends_with("(and 15 more)"), "{}", found[9].message);
}

/// A layer that cannot be read is no layer without faults.
#[test]
fn a_missing_layer_is_a_failure() {
    let dir = tempfile::tempdir().unwrap();
    assert!(content::of_layers(&[&dir.path().join("nothing")], &Cancel::default()).is_err());
}

#[test]
fn a_rule_that_only_warns_refuses_nothing() {
    let content = Content { shadow: Some("a::\n".to_owned()), ..Content::default() };
    let found = judge("severity: warning\nnoEmptyPasswords: true", &content, &[]);
    assert_eq!(found.len(), 1);
    assert!(refusal(&found, None).is_none());
}

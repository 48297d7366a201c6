//! SELinux in a root that was built: settings, policy and tools fit together. No kernel here
//! loads it.

use super::sessions::built;
use super::{command, machine};
use serde_json::json;
use std::path::Path;

/// What a program of the root says in it.
fn inside(root: &Path, program: &[&str]) -> String {
    let mut bwrap = command("bwrap");
    bwrap.arg("--bind").arg(root).args([
        "/",
        "--dev",
        "/dev",
        "--proc",
        "/proc",
        "--unshare-net",
        "--clearenv",
    ]);
    bwrap.args(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin"]);
    let output = bwrap.args(program).output().unwrap();
    assert!(output.status.success(), "{program:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "builds and boots a whole image: make test-images"]
fn the_policy_that_is_named_is_there_and_tells_labels() {
    let _one = machine();
    let spec = json!({
        "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "desktop"},
        "spec": {"base": "debian", "suite": "bookworm", "architecture": "x86_64", "outputs": ["rootfs"],
            "channel": "edge", "securityFeatures": {"mac": ["selinux"]},
            "defaults": {"users": [{"name": "live"}]}},
    });
    let root = built("selinux", &spec.to_string());
    assert!(root.join(".autorelabel").exists());
    // Both find the policy by /etc/selinux/config.
    assert_eq!(inside(&root, &["matchpathcon", "-n", "/etc/shadow"]), "system_u:object_r:shadow_t:s0\n");
    let modules = inside(&root, &["semodule", "--list-modules"]);
    for module in ["accountsd", "ssh", "unconfined"] {
        assert!(modules.lines().any(|line| line == module), "{module}: {modules}");
    }
    std::fs::write(root.join("etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=none\n").unwrap();
    let mut lost = command("bwrap");
    lost.arg("--bind").arg(&root).args(["/", "matchpathcon", "-n", "/etc/shadow"]);
    assert!(!lost.output().unwrap().status.success(), "it told a label without a policy");
    std::fs::remove_dir_all(root.parent().unwrap()).unwrap();
}

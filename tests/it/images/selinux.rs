//! SELinux in a root that was built: settings, policy and tools fit together. No kernel here
//! loads it.

use super::machine;
use super::parts::inside;
use super::sessions::built;
use serde_json::json;
use std::path::Path;

/// What a program of the root says in it, if it succeeds.
fn said(root: &Path, program: &str, args: &[&str]) -> Option<String> {
    let output = inside(root, program, args);
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
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
    let label = |root: &Path| said(root, "matchpathcon", &["-n", "/etc/shadow"]);
    assert_eq!(label(&root).as_deref(), Some("system_u:object_r:shadow_t:s0\n"));
    let modules = said(&root, "semodule", &["--list-modules"]).unwrap();
    for module in ["accountsd", "ssh", "unconfined"] {
        assert!(modules.lines().any(|line| line == module), "{module}: {modules}");
    }
    std::fs::write(root.join("etc/selinux/config"), "SELINUX=enforcing\nSELINUXTYPE=none\n").unwrap();
    assert_eq!(label(&root), None, "it told a label without a policy");
    std::fs::remove_dir_all(root.parent().unwrap()).unwrap();
}

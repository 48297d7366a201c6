//! Services that a spec sets up, judged by the programs that will read what is written:
//! systemd, shells, cron, the databases themselves, borg and restic, btrfs.
//!
//! Needs root and the tools (`.ci/packages-test.txt`); fails loudly without.

mod running;
mod written;

use bootwright::configure::{self, File, FileContent, Plan, System};
use bootwright::effects::{Cancel, Process};
use bootwright::model::spec::OsImage;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What a spec becomes on a system with these packages.
fn plan_with(base: &str, suite: &str, spec: serde_json::Value, packages: &[&str]) -> Plan {
    let image = image(base, suite, spec);
    let configuration = configure::configuration(&image.metadata.name, &image.spec).unwrap();
    configure::plan(&System {
        configuration: &configuration,
        base: image.spec.base,
        suite: image.spec.suite.as_str(),
        architecture: image.spec.architecture,
        packages: packages.iter().map(|name| (*name, "")).collect(),
        outputs: &image.spec.outputs,
    })
}

fn plan(spec: serde_json::Value) -> Plan {
    plan_with("debian", "bookworm", spec, &["postgresql-15", "postgresql-common", "mariadb-server"])
}

fn image(base: &str, suite: &str, spec: serde_json::Value) -> OsImage {
    let mut document = serde_json::json!({
        "apiVersion": "bootwright/v1", "kind": "OsImage", "metadata": {"name": "edge"},
        "spec": {"base": base, "suite": suite, "outputs": ["oci"]}
    });
    for (key, value) in spec.as_object().unwrap() {
        document["spec"][key] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

fn text<'a>(plan: &'a Plan, path: &str) -> &'a str {
    plan.text(path).unwrap_or_else(|| panic!("{path} is not among {:?}", paths(plan)))
}

fn paths(plan: &Plan) -> Vec<&str> {
    plan.files.iter().map(|file| file.path.as_str()).collect()
}

/// Lays a plan's files into a folder.
fn lay(plan: &Plan, root: &Path) {
    for File { path, content, .. } in &plan.files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match content {
            FileContent::Bytes { mode, bytes } => {
                std::fs::write(&path, bytes).unwrap();
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(*mode)).unwrap();
            }
            FileContent::Link { target } => std::os::unix::fs::symlink(target, &path).unwrap(),
        }
    }
}

/// Runs a program of the host: its status and everything it says.
fn tell(program: &str, args: &[&str]) -> (bool, String) {
    let process = Process::new(program).args(args).env("PATH", PATH).env("HOME", "/root");
    let output = process.run(&Cancel::default()).unwrap_or_else(|f| panic!("{program}: {f:?}"));
    (output.status.success(), format!("{}{}", output.text(), output.errors()))
}

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

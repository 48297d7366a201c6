//! Generated Containerfiles, built by a container engine from a base image of this host: no
//! registry is asked.

use super::pacman::{About, SPEC, repository};
use super::{World, find, programs, put, words};
use crate::crash::tiny::serve;
use serde_json::Value;
use std::fs;

const WEB: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: web}\nspec:\n  base: arch\n  \
    suite: rolling\n  channel: edge\n  outputs: [oci]\n  packages: {utils: [hello]}\n";

/// A repository whose `base` brings pacman itself, which reads the repository over HTTP.
fn world() -> (tempfile::TempDir, World) {
    let (dir, repository) = repository();
    let url = serve(repository.dir.join("mirror"));
    repository.package("pacman", About { depends: &["filesystem"], ..About::default() }, |tree| {
        programs(tree, &["/usr/bin/pacman"]);
        let text = format!(
            "[options]\nArchitecture = x86_64\nSigLevel = Never\n[core]\nServer = {url}/core/os/x86_64\n"
        );
        put(tree, "etc/pacman.conf", text, 0o644);
        for name in ["usr/bin/passwd", "usr/sbin/groupadd"] {
            put(tree, name, "#!/bin/sh\nexit 0\n", 0o755);
        }
        for folder in ["var/cache/pacman/pkg", "var/lib/pacman", "var/log"] {
            fs::create_dir_all(tree.join(folder)).unwrap();
        }
    });
    repository.package("base", About { depends: &["busybox>=1", "pacman"], ..About::default() }, |_| {});
    repository.index();
    let world =
        World::new(&SPEC.replace("packages: {utils: [hello]}", "services: {}"), &repository.mirrors());
    (dir, world)
}

fn build(world: &World, base: &str, engine: &str) -> std::process::Output {
    world.run(&["containerfile", "web", "--from", base, "--build", "web.tar.zst", "--engine", engine])
}

/// Folders that a build works in.
fn work(world: &World) -> Vec<String> {
    let entries = fs::read_dir(world.dir.join(".bootwright/work")).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("container-")).collect()
}

#[test]
fn a_containerfile_of_arch_becomes_a_root_filesystem() {
    let (_dir, world) = world();
    let release = world.released();
    let names = world.names(&release);
    assert!(!names.iter().any(|n| n == "usr/share/hello/hi"), "the base has it already");
    let base = format!("oci-archive:{}", find(&release, ".oci.tar").display());
    put(&world.dir, "specs/web.yaml", WEB, 0o644);
    world.commit();
    for engine in ["buildah", "podman"] {
        let done = build(&world, &base, engine);
        assert!(done.status.success(), "{engine}: {}", words(&done));
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(report["built"]["engine"], engine);
        assert_eq!(report["built"]["reproducible"], false);
        assert!(report["built"]["base"].as_str().unwrap().starts_with("sha256:"), "{report}");
        let archive = world.dir.join("web.tar.zst");
        let record: Value =
            serde_json::from_slice(&fs::read(world.dir.join("web.tar.zst.json")).unwrap()).unwrap();
        assert_eq!(record, report["built"]);
        let mut tar = tar::Archive::new(zstd::Decoder::new(fs::File::open(&archive).unwrap()).unwrap());
        let names: Vec<String> = tar
            .entries()
            .unwrap()
            .map(|e| e.unwrap().path().unwrap().to_string_lossy().into_owned())
            .collect();
        assert!(names.iter().any(|n| n.ends_with("usr/share/hello/hi")), "{engine}: {names:?}");
        assert!(names.iter().any(|n| n.ends_with("usr/bin/busybox")), "{engine}: the base is in it");
        assert_eq!(work(&world), Vec::<String>::new(), "{engine} leaves its store");
        fs::remove_file(archive).unwrap();
    }
    // A package that the base's repositories do not have.
    put(&world.dir, "specs/web.yaml", WEB.replace("utils: [hello]", "extra: [nosuchthing]"), 0o644);
    world.commit();
    let done = build(&world, &base, "buildah");
    let said = words(&done);
    assert!(!done.status.success() && said.contains("could not build the Containerfile"), "{said}");
    assert!(said.contains("\"class\":\"upstream\""), "{said}");
    assert!(!world.dir.join("web.tar.zst").exists() && work(&world).is_empty());
}

#[test]
fn what_is_no_image_is_refused() {
    let (_dir, world) = world();
    put(&world.dir, "specs/web.yaml", WEB, 0o644);
    world.commit();
    put(&world.dir, "bad/index.json", "{}", 0o644);
    for base in ["oci:nowhere", "oci:bad", "oci-archive:specs/web.yaml"] {
        let done = build(&world, base, "buildah");
        let said = words(&done);
        assert!(
            !done.status.success() && said.contains("is no image that buildah can read"),
            "{base}: {said}"
        );
    }
    let done = world.run(&["containerfile", "web", "--from", "oci:nowhere"]);
    assert!(words(&done).contains("only a build can start from an image of this host"), "{}", words(&done));
    let done = world.run(&["--offline", "containerfile", "web", "--build", "x.tar.zst"]);
    assert!(!done.status.success() && words(&done).contains("built with the network"), "{}", words(&done));
}

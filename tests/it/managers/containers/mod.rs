//! Generated Containerfiles, built by a container engine from a base image of this host: no
//! registry is asked.

mod docker;
mod gentoo;
mod roots;
pub mod same;
pub mod worlds;

use super::{World, find, put, words};
use same::{Root, differences};
use serde_json::Value;
use std::fs;
use std::process::Output;
use worlds::{Small, alpine, apt, arch, fedora, opensuse, spec, void};

const WEB: &str = "apiVersion: bootwright/v1\nkind: OsImage\nmetadata: {name: web}\nspec:\n  base: arch\n  \
    suite: rolling\n  channel: edge\n  outputs: [oci]\n  packages: {utils: [hello]}\n";

fn build(world: &World, base: &str, engine: &str) -> Output {
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
    let Small { ref world, .. } = arch();
    let release = world.released();
    let names = world.names(&release);
    assert!(!names.iter().any(|n| n == "usr/share/hello/hi"), "the base has it already");
    let base = format!("oci-archive:{}", find(&release, ".oci.tar").display());
    put(&world.dir, "specs/web.yaml", WEB, 0o644);
    world.commit();
    for engine in ["buildah", "podman"] {
        let done = build(world, &base, engine);
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
        assert_eq!(work(world), Vec::<String>::new(), "{engine} leaves its store");
        fs::remove_file(archive).unwrap();
    }
    // A package that the base's repositories do not have.
    put(&world.dir, "specs/web.yaml", WEB.replace("utils: [hello]", "extra: [nosuchthing]"), 0o644);
    world.commit();
    let done = build(world, &base, "buildah");
    let said = words(&done);
    assert!(!done.status.success() && said.contains("could not build the Containerfile"), "{said}");
    assert!(said.contains("\"class\":\"upstream\""), "{said}");
    assert!(!world.dir.join("web.tar.zst").exists() && work(world).is_empty());
}

/// Numbers of processes, but ours, for which `holds` of a file of theirs in /proc.
fn processes(file: &str, holds: impl Fn(&str) -> bool) -> Vec<i32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let text = |number: i32| fs::read(format!("/proc/{number}/{file}")).unwrap_or_default();
    let mine = i32::try_from(std::process::id()).unwrap();
    numbers.filter(|n| *n != mine && holds(&String::from_utf8_lossy(&text(*n)))).collect()
}

#[test]
fn nothing_is_left_of_a_build_that_is_killed() {
    use nix::sys::signal::{Signal, kill};
    use std::time::{Duration, Instant};
    let Small { ref world, .. } = arch();
    let base = format!("oci-archive:{}", find(&world.released(), ".oci.tar").display());
    let waits = format!("{WEB}  postInstall: {{scripts: [specs/scripts/wait.sh]}}\n");
    put(&world.dir, "specs/web.yaml", &waits, 0o644);
    // No other test waits for as long.
    put(&world.dir, "specs/scripts/wait.sh", "#!/bin/sh\nbusybox sleep 86417\n", 0o755);
    world.commit();
    let sleepers = || processes("cmdline", |line| line.ends_with("sleep\086417\0"));
    let about = world.dir.to_str().unwrap();
    for (engine, signal) in
        [("buildah", Signal::SIGKILL), ("podman", Signal::SIGKILL), ("buildah", Signal::SIGTERM)]
    {
        let mut child = super::command(env!("CARGO_BIN_EXE_bootwright"))
            .current_dir(&world.dir)
            .args(["--output", "json", "containerfile", "web", "--build", "web.tar.zst"])
            .args(["--from", &base, "--engine", engine])
            .spawn()
            .unwrap();
        let began = Instant::now();
        while sleepers().is_empty() {
            assert!(child.try_wait().unwrap().is_none(), "{engine} ended by itself");
            assert!(began.elapsed() < Duration::from_secs(300), "{engine} comes to no script");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
        assert!(!mounts().contains(about), "{engine} mounts where all can see it: {}", mounts());
        kill(nix::unistd::Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
        assert!(!child.wait().unwrap().success());
        let began = Instant::now();
        while !sleepers().is_empty() || !processes("mountinfo", |mounts| mounts.contains(about)).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(30), "{engine} goes on after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!mounts().contains(about), "{engine}, {signal}: {}", mounts());
        assert!(!world.dir.join("web.tar.zst").exists());
        if signal == Signal::SIGTERM {
            assert_eq!(work(world), Vec::<String>::new(), "{engine}");
        }
    }
    // Whoever comes next clears up and is not in the way of what was.
    fs::remove_file(world.dir.join("specs/scripts/wait.sh")).unwrap();
    put(&world.dir, "specs/web.yaml", WEB, 0o644);
    world.commit();
    let done = build(world, &base, "buildah");
    assert!(done.status.success(), "{}", words(&done));
    assert_eq!(work(world), Vec::<String>::new());
}

#[test]
fn what_is_no_image_is_refused() {
    let Small { ref world, .. } = arch();
    put(&world.dir, "specs/web.yaml", WEB, 0o644);
    world.commit();
    put(&world.dir, "bad/index.json", "{}", 0o644);
    for base in ["oci:nowhere", "oci:bad", "oci-archive:specs/web.yaml"] {
        let done = build(world, base, "buildah");
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

/// Everything that an area of the settings can become: files of root and of users, accounts,
/// programs, services on, off and later, and what the catalog lays over it.
const DECLARED: &str = r#"packages: {utils: [HELLO]}
  defaults:
    hostname: somewhere
    users:
      - name: ada
        groups: [audio]
        passwordHash: "$6$abcdefgh$ltjgWl6579NluT/Vi1nwEvcil.G5Nbc4NiXZaNGStk8PSwGfQv72N2CKPPrVACtLtip/cZ/1GM/O6IND4WQhG."
        sshKeys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlGqbKEIiDnWlCcaYJcRYjDrCHYIVI6cU8kPr2sFfVc a@b"]
      - {name: bo, shell: /bin/sh}
  services: {enable: [hello], disable: [noisy]}
  securityFeatures: {kernelHardening: [restrict-dmesg, disable-core-dumps]}
  postInstall:
    systemTuning: {swappiness: 10}
    scripts: [specs/scripts/last.sh]
    services: [mine]
  customization:
    dotfiles: {folder: specs/dotfiles/ada, users: [ada]}
"#;

/// A framework of the shell, from a folder of the catalog.
const FRAMEWORK: &str = "    shell: zsh
    shellFramework: oh-my-zsh
    shellTheme: agnoster
    shellFrameworkSource: {folder: specs/frameworks/omz}
";

/// One spec, built natively and as a container from an image of the same distribution's
/// smallest system: the packages come from the same repository, by the real package manager.
fn the_same_both_ways(small: &Small) {
    the_same(small, &["buildah", "podman"], &|args| small.world.run(args), &small.base_image());
}

/// The same by these engines, with what runs our program and the base image that `--from` names.
fn the_same(small: &Small, engines: &[&str], run: &dyn Fn(&[&str]) -> Output, from: &str) {
    let Small { world, base, suite, init, .. } = small;
    let mut declared = DECLARED.replace("HELLO", small.hello);
    if *base == "arch" {
        declared.push_str(FRAMEWORK);
        let framework = "omz() { :; }\nsource $ZSH/themes/$ZSH_THEME.zsh-theme\n";
        put(&world.dir, "specs/frameworks/omz/oh-my-zsh.sh", framework, 0o644);
        put(&world.dir, "specs/frameworks/omz/themes/agnoster.zsh-theme", "PROMPT='> '\n", 0o644);
    }
    for (path, text, mode) in [
        ("dotfiles/ada/.config/vim/rc", "set nu\n", 0o644),
        ("dotfiles/ada/.ssh/config", "Host *\n", 0o644),
        ("dotfiles/ada/.local/bin/go up", "#!/bin/sh\n", 0o755),
    ] {
        put(&world.dir.join("specs"), path, text, mode);
    }
    std::os::unix::fs::symlink(".config/vim/rc", world.dir.join("specs/dotfiles/ada/.vimrc")).unwrap();
    put(&world.dir, "specs/tiny.yaml", spec(base, suite, "oci, rootfs", &declared), 0o644);
    let script = "#!/bin/sh\nset -eu\nid -un ada > /etc/last\nchmod 0640 /etc/last\n";
    put(&world.dir, "specs/scripts/last.sh", script, 0o755);
    let (service, text) = init.service("mine");
    put(&world.dir, &format!("specs/overlays/tiny/{service}"), text, init.mode());
    put(&world.dir, "specs/overlays/tiny/usr/bin/a tool", "#!/bin/sh\n", 0o755);
    let image = Root::read(&find(&world.released(), ".rootfs.tar.zst"));
    let container = |engine: &str| {
        let done =
            run(&["containerfile", "tiny", "--from", from, "--build", "c.tar.zst", "--engine", engine]);
        assert!(done.status.success(), "{engine}: {}", words(&done));
        Root::read(&world.dir.join("c.tar.zst"))
    };
    // Both hold what the spec says, by the image's own account.
    image.says("etc/passwd", "ada:x:1000:1000::/home/ada:/");
    image.says("etc/passwd", "bo:x:1001:1001::/home/bo:/bin/sh\n");
    image.says("etc/group", "audio:x:63:ada\n");
    image.says("etc/shadow", "ada:$6$abcdefgh$");
    image.says("etc/shadow", "root:!");
    image.says("home/ada/.ssh", "Directory 700 1000:1000");
    image.says("home/ada/.ssh/authorized_keys", "Regular 600 1000:1000 ssh-ed25519 ");
    image.says("home/ada/.ssh/config", "Regular 600 1000:1000 Host *\n");
    image.says("home/ada/.config/vim", "Directory 755 1000:1000");
    image.says("home/ada/.local/bin/go up", "Regular 755 1000:1000 #!/bin/sh\n");
    image.says("home/ada/.vimrc", "Symlink 777 1000:1000 -> .config/vim/rc");
    if *base == "arch" {
        image.says("usr/share/oh-my-zsh/themes/agnoster.zsh-theme", "Regular 644 0:0 PROMPT");
        image.says("home/ada/.zshrc", "ZSH_THEME='agnoster'");
    }
    image.says("etc/hostname", "somewhere\n");
    image.says("usr/bin/a tool", "Regular 755 0:0");
    image.says("etc/last", "Regular 640 0:0 ada\n");
    let (on, off) = ([init.on("hello"), init.on("mine")], init.on("noisy"));
    for link in &on {
        image.says(link, "Symlink");
    }
    assert!(!image.files.contains_key(&off));
    assert!(image.packages.contains_key(small.hello), "{:?}", image.packages);

    for engine in engines {
        let differ = differences(&image, &container(engine), &[]);
        assert!(differ.is_empty(), "{base} by {engine}:\n{}", differ.join("\n"));
    }
    // Another spec is another system, and what differs is said by its name.
    let other = declared.replace("groups: [audio]", "groups: []").replace("enable: [hello], ", "");
    put(&world.dir, "specs/tiny.yaml", spec(base, suite, "oci, rootfs", &other), 0o644);
    world.commit();
    let differ = differences(&image, &container(engines[0]), &[]);
    let named: Vec<&str> = differ.iter().filter_map(|d| d.lines().next()).collect();
    let expected = ["etc/group", &on[0]];
    assert_eq!(named, expected, "{}", differ.join("\n"));
}

#[test]
fn a_container_and_an_image_of_debian_are_the_same() {
    the_same_both_ways(&apt("debian"));
}

#[test]
fn a_container_and_an_image_of_ubuntu_are_the_same() {
    the_same_both_ways(&apt("ubuntu"));
}

#[test]
fn a_container_and_an_image_of_arch_are_the_same() {
    the_same_both_ways(&arch());
}

#[test]
fn a_container_and_an_image_of_fedora_are_the_same() {
    the_same_both_ways(&fedora());
}

#[test]
fn a_container_and_an_image_of_opensuse_are_the_same() {
    the_same_both_ways(&opensuse());
}

#[test]
fn a_container_and_an_image_of_void_are_the_same() {
    if let Some(void) = void() {
        the_same_both_ways(&void);
    }
}

#[test]
fn a_container_and_an_image_of_alpine_are_the_same() {
    if let Some(alpine) = alpine() {
        the_same_both_ways(&alpine);
    }
}

#[test]
fn a_container_and_an_image_of_gentoo_are_the_same() {
    let (small, repository) = gentoo::gentoo();
    let from = small.base_image();
    the_same(&small, &["buildah", "podman"], &|args| small.world.run(args), &from);
    // A package that nobody signed is not installed, whatever the base image says of that.
    repository.unsigned("hello");
    let args = ["containerfile", "tiny", "--from", &from, "--build", "c.tar.zst"];
    let said = words(&small.world.run(&args));
    assert!(said.contains("could not build the Containerfile") && said.contains("signature"), "{said}");
}

#[test]
fn privileged_docker_makes_the_same_of_debian_as_an_image() {
    let (small, docker) = (apt("debian"), docker::Docker::start());
    the_same(&small, &["docker"], &|args| docker.run(&small.world, args), &small.base_image());
    // The base image was lent to its store.
    let listed = docker.client(&["image", "ls", "--quiet", "bootwright-base"]);
    assert!(listed.status.success() && listed.stdout.is_empty(), "{}", words(&listed));
    assert_eq!(work(&small.world), Vec::<String>::new());
    let bad = ["containerfile", "tiny", "--from", "oci-archive:specs/tiny.yaml", "--build", "c.tar.zst"];
    let said = words(&docker.run(&small.world, &[&bad[..], &["--engine", "docker"]].concat()));
    assert!(said.contains("is no image that docker can read"), "{said}");
}

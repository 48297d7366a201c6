//! Docker as a builder: its daemon and its client out of Debian's packages, for one test. Nothing of
//! them is installed on this host, and with the daemon ends everything that it started.

use super::super::{World, command, must};
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// A daemon with a store and a socket of its own, in namespaces of its own.
pub struct Docker {
    process: Child,
    dir: tempfile::TempDir,
}

/// Finds Debian's client first, whatever else this host calls `docker`.
const CLIENT: &str = "mount --bind \"$0\" /usr/local/bin && exec \"$@\"";

impl Docker {
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("docker").tempdir_in("/var/tmp").unwrap();
        let at = |name: &str| dir.path().join(name);
        for folder in ["root", "tmp"] {
            fs::create_dir(at(folder)).unwrap();
        }
        let mut fetch = command("apt-get");
        fetch.current_dir(dir.path()).args(["--option", "APT::Sandbox::User=root", "download"]);
        must(fetch.args(["containerd", "docker.io", "runc"]));
        for package in fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
            if package.extension().is_some_and(|ending| ending == "deb") {
                must(command("dpkg-deb").arg("-x").arg(package).arg(at("root")));
            }
        }
        // The host's settings are not for this one.
        fs::write(at("settings"), "{}").unwrap();
        let log = fs::File::create(at("log")).unwrap();
        let option = |name: &str, file: &str| format!("--{name}={}", at(file).display());
        let process = command("unshare")
            .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd"])
            .args([option("data-root", "data"), option("exec-root", "run"), option("pidfile", "pid")])
            .args([option("config-file", "settings"), format!("--host={}", Self::socket(dir.path()))])
            .arg(format!("--cgroup-parent=/{}", Self::group(dir.path())))
            .args(["--bridge=none", "--iptables=false", "--ip6tables=false", "--group=0"])
            .env(
                "PATH",
                format!("{0}/usr/sbin:{0}/usr/bin:/usr/sbin:/usr/bin:/sbin:/bin", at("root").display()),
            )
            .env("TMPDIR", at("tmp"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let docker = Self { process, dir };
        let began = Instant::now();
        while !docker.client(&["version"]).status.success() {
            let said = || fs::read_to_string(docker.dir.path().join("log")).unwrap();
            assert!(began.elapsed() < Duration::from_secs(60), "dockerd does not answer: {}", said());
            thread::sleep(Duration::from_millis(200));
        }
        docker
    }

    /// The control group of what runs in it.
    fn group(dir: &Path) -> String {
        dir.file_name().unwrap().to_string_lossy().into_owned()
    }

    fn socket(dir: &Path) -> String {
        format!("unix://{}/socket", dir.display())
    }

    /// What Debian's client says.
    pub fn client(&self, args: &[&str]) -> Output {
        let mut client = command(self.dir.path().join("root/usr/bin/docker").to_str().unwrap());
        client.args(args).env("DOCKER_HOST", Self::socket(self.dir.path())).output().unwrap()
    }

    /// [`World::run`] where this daemon is docker.
    pub fn run(&self, world: &World, args: &[&str]) -> Output {
        command("unshare")
            .args(["--mount", "sh", "-c", CLIENT])
            .arg(self.dir.path().join("root/usr/bin"))
            .args([env!("CARGO_BIN_EXE_bootwright"), "--output", "json"])
            .args(args)
            .current_dir(&world.dir)
            .env("DOCKER_HOST", Self::socket(self.dir.path()))
            .output()
            .unwrap()
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        // In each hierarchy of a host that has several.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").unwrap().map(|entry| entry.unwrap().path());
        for hierarchy in hierarchies.chain(["/sys/fs/cgroup".into()]) {
            let group = hierarchy.join(Self::group(self.dir.path()));
            for folder in [group.join("buildkit"), group] {
                let _ = fs::remove_dir(folder);
            }
        }
    }
}

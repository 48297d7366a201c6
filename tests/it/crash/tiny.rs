//! The smallest distribution that Bootwright takes for Debian: a signed repository of a dozen
//! packages made from this host's own programs, shown by a small web server. A whole image of
//! it takes seconds, so that every point of a run can be tried.

use super::{command, words};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The kernel's version.
const KERNEL: &str = "6.1.0-tiny";
/// Programs of this host that the base package brings.
const PROGRAMS: [&str; 5] =
    ["/usr/bin/dpkg", "/usr/bin/dpkg-deb", "/usr/bin/dpkg-query", "/usr/bin/dpkg-split", "/bin/tar"];
/// Names of busybox.
const BUSYBOX: [&str; 18] = [
    "sh", "rm", "diff", "id", "cat", "mkdir", "ln", "cp", "mv", "chmod", "chown", "true", "false", "echo",
    "grep", "sed", "test", "install",
];
/// Commands that the configuration layer and dpkg call, and that have nothing to do here.
const SILENT: [&str; 4] = ["usermod", "useradd", "ldconfig", "start-stop-daemon"];
/// Packages that the table of Debian asks for, without anything in them.
const EMPTY: [&str; 13] = [
    "usr-is-merged",
    "apt",
    "dbus",
    "iproute2",
    "kmod",
    "libpam-systemd",
    "passwd",
    "systemd-resolved",
    "udev",
    "zstd",
    "live-boot",
    "live-boot-initramfs-tools",
    "hello",
];
/// The host's own boot loaders: package and what it brings.
const BOOT_FILES: [(&str, &str); 5] = [
    ("grub-common", "usr/share/grub/unicode.pf2"),
    ("grub-efi-amd64-signed", "usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed"),
    ("grub-pc-bin", "usr/lib/grub/i386-pc"),
    ("shim-helpers-amd64-signed", "usr/lib/shim/mmx64.efi.signed"),
    ("shim-signed", "usr/lib/shim/shimx64.efi.signed"),
];

/// The distribution: where it is served, and what its index is signed with.
pub struct Tiny {
    pub url: String,
    pub keyring: PathBuf,
    dir: tempfile::TempDir,
}

/// Made once for all tests of this process.
pub fn tiny() -> &'static Tiny {
    static TINY: OnceLock<Tiny> = OnceLock::new();
    TINY.get_or_init(|| make("bookworm", "linux-image-amd64"))
}

/// The same with the suite and the kernel's package of another distribution.
pub fn make(suite: &str, kernel: &'static str) -> Tiny {
    make_with(suite, kernel, |_, _, _| {})
}

/// The same; `fill` is told of each package its name, its tree and the distribution, and may put
/// more into the tree.
pub fn make_with(suite: &str, kernel: &'static str, fill: impl Fn(&str, &Path, &Tiny)) -> Tiny {
    let dir = tempfile::tempdir().unwrap();
    let repository = dir.path().join("repository");
    let folder = repository.join(format!("dists/{suite}/main/binary-amd64"));
    fs::create_dir_all(&folder).unwrap();
    let keyring = dir.path().join("keys.gpg");
    let home = dir.path().join("gnupg");
    fs::create_dir(&home).unwrap();
    fs::set_permissions(&home, PermissionsExt::from_mode(0o700)).unwrap();
    let gpg = |args: &[&str]| {
        let done = command("gpg").env("GNUPGHOME", &home).args(["--batch", "--quiet"]).args(args).output();
        let done = done.unwrap();
        assert!(done.status.success(), "gpg {args:?}: {}", words(&done));
        done.stdout
    };
    gpg(&["--passphrase", "", "--quick-generate-key", "tiny@example.invalid", "rsa2048"]);
    fs::write(&keyring, gpg(&["--export"])).unwrap();
    let tiny = Tiny { url: serve(repository.clone()), keyring, dir };
    let mut index = String::new();
    for package in packages(&tiny.dir.path().join("trees"), kernel) {
        fill(package.name, &package.tree, &tiny);
        index.push_str(&package.build(&repository));
    }
    fs::write(folder.join("Packages"), &index).unwrap();
    let release = format!(
        "Origin: Tiny\nSuite: {suite}\nCodename: {suite}\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n\
         Architectures: amd64\nComponents: main\nSHA256:\n {} {} main/binary-amd64/Packages\n",
        hex(index.as_bytes()),
        index.len()
    );
    let plain = tiny.dir.path().join("Release");
    fs::write(&plain, release).unwrap();
    let signed = gpg(&["--clearsign", "--output", "-", plain.to_str().unwrap()]);
    fs::write(repository.join(format!("dists/{suite}/InRelease")), signed).unwrap();
    let agent = command("gpgconf").env("GNUPGHOME", &home).args(["--kill", "gpg-agent"]).status();
    assert!(agent.unwrap().success());
    tiny
}

fn hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

struct Package {
    name: &'static str,
    fields: &'static str,
    tree: PathBuf,
}

impl Package {
    /// Makes the package file; gives its part of the index.
    fn build(&self, repository: &Path) -> String {
        let control = format!(
            "Package: {}\nVersion: 1.0\nArchitecture: amd64\nMaintainer: Nobody <nobody@example.invalid>\n\
             {}Description: a part of the smallest distribution\n",
            self.name, self.fields
        );
        let debian = self.tree.join("DEBIAN");
        fs::create_dir_all(&debian).unwrap();
        fs::write(debian.join("control"), &control).unwrap();
        let path = format!("pool/{}_1.0_amd64.deb", self.name);
        let file = repository.join(&path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let made = command("dpkg-deb")
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .args(["--root-owner-group", "-Zgzip", "-z1", "--build"])
            .args([&self.tree, &file])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", words(&made));
        let bytes = fs::read(&file).unwrap();
        format!("{control}Filename: {path}\nSize: {}\nSHA256: {}\n\n", bytes.len(), hex(&bytes))
    }
}

fn packages(trees: &Path, kernel_name: &'static str) -> Vec<Package> {
    let tree = |name: &str| {
        let tree = trees.join(name);
        fs::create_dir_all(&tree).unwrap();
        fs::set_permissions(&tree, PermissionsExt::from_mode(0o755)).unwrap();
        tree
    };
    let mut packages = vec![
        Package {
            name: "tiny-base",
            fields: "Essential: yes\nPriority: required\n",
            tree: base(tree("tiny-base")),
        },
        Package {
            name: "systemd-sysv",
            fields: "",
            tree: scripts(tree("systemd-sysv"), &["usr/bin/systemctl"]),
        },
        Package { name: kernel_name, fields: "", tree: kernel(tree(kernel_name)) },
        Package { name: "initramfs-tools", fields: "", tree: initramfs(tree("initramfs-tools")) },
    ];
    packages.extend(EMPTY.map(|name| {
        let tree = tree(name);
        put(&tree, &format!("usr/share/doc/{name}/copyright"), name.as_bytes(), 0o644);
        Package { name, fields: "", tree }
    }));
    packages.extend(BOOT_FILES.map(|(name, path)| {
        let tree = tree(name);
        let (from, to) = (Path::new("/").join(path), tree.join(path));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        let copied = command("cp").args(["-rL"]).args([&from, &to]).output().unwrap();
        assert!(copied.status.success(), "{name} has to be installed: {}", words(&copied));
        Package { name, fields: "", tree }
    }));
    packages
}

fn put(tree: &Path, path: &str, bytes: &[u8], mode: u32) {
    let path = tree.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
}

fn scripts(tree: PathBuf, paths: &[&str]) -> PathBuf {
    for path in paths {
        put(&tree, path, b"#!/bin/sh\nexit 0\n", 0o755);
    }
    tree
}

/// dpkg, tar, their libraries, and busybox for the rest.
fn base(tree: PathBuf) -> PathBuf {
    put(&tree, "usr/bin/busybox", &fs::read("/bin/busybox").expect("busybox-static is installed"), 0o755);
    for name in BUSYBOX {
        symlink("busybox", tree.join("usr/bin").join(name)).unwrap();
    }
    let mut libraries = BTreeSet::new();
    for program in PROGRAMS {
        let name = Path::new(program).file_name().unwrap().to_str().unwrap();
        put(&tree, &format!("usr/bin/{name}"), &fs::read(program).unwrap(), 0o755);
        let found = command("ldd").arg(program).output().unwrap();
        let text = String::from_utf8(found.stdout).unwrap();
        libraries.extend(text.split_whitespace().filter(|w| w.starts_with('/')).map(str::to_owned));
    }
    for library in libraries {
        let place = if library.starts_with("/usr/") { library.clone() } else { format!("/usr{library}") };
        put(&tree, &place[1..], &fs::read(&library).unwrap(), 0o755);
    }
    let silent: Vec<String> = SILENT.iter().map(|name| format!("usr/sbin/{name}")).collect();
    let tree = scripts(tree, &silent.iter().map(String::as_str).collect::<Vec<_>>());
    put(&tree, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644);
    put(&tree, "etc/group", b"root:x:0:\n", 0o644);
    for folder in ["dev", "proc", "sys", "run", "tmp", "root", "var/tmp", "boot"] {
        fs::create_dir_all(tree.join(folder)).unwrap();
    }
    for folder in ["tmp", "var/tmp"] {
        fs::set_permissions(tree.join(folder), PermissionsExt::from_mode(0o1777)).unwrap();
    }
    tree
}

fn kernel(tree: PathBuf) -> PathBuf {
    put(&tree, &format!("boot/vmlinuz-{KERNEL}"), &[7; 4096], 0o644);
    put(&tree, &format!("usr/lib/modules/{KERNEL}/kernel/tiny.ko"), b"no module", 0o644);
    tree
}

/// What `mkinitramfs` leaves for the two archives of an initramfs.
fn initramfs(tree: PathBuf) -> PathBuf {
    let functions = "# hook functions\n\nmanual_add_modules()\n{\n\t:\n}\n";
    put(&tree, "usr/share/initramfs-tools/hook-functions", functions.as_bytes(), 0o644);
    let script = format!(
        "#!/bin/sh\necho programs > /run/out/initrd\necho /usr/lib/modules/{KERNEL}/kernel/tiny.ko > /run/out/modules\n"
    );
    put(&tree, "usr/sbin/mkinitramfs", script.as_bytes(), 0o755);
    tree
}

/// Serves files as long as this process lives; gives the address.
pub fn serve(root: PathBuf) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            // Clients that are killed in the middle are what this is for.
            std::thread::spawn(move || drop(answer(stream, &root)));
        }
    });
    url
}

fn answer(stream: TcpStream, root: &Path) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let path = line.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let mut from = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_ascii_lowercase();
        if let Some(range) = lower.strip_prefix("range: bytes=") {
            from = range.split('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        }
    }
    let mut stream = stream;
    let Ok(mut file) = fs::File::open(root.join(path)) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let size = file.metadata()?.len();
    let status = if from > 0 { "206 Partial Content" } else { "200 OK" };
    file.seek(SeekFrom::Start(from))?;
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{size}\r\nConnection: close\r\n\r\n",
        size - from,
        size - 1
    )?;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..n])?;
    }
}

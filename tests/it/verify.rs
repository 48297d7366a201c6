//! Images that boot, panic, hang, reset, lie: each gets its own verdict and words.
//!
//! The images are real GRUB ISOs with Debian's cloud kernel and a busybox initramfs that
//! runs the real guest probe; only systemd is played by a script. They boot in real QEMU.

mod checker;
mod disks;
mod roots;

use bootwright::effects::files::digest_file;
use bootwright::effects::{Cancel, Process};
use bootwright::model::check::{self, Expect};
use bootwright::model::event::Emitter;
use bootwright::model::evidence::{Check, Evidence, Verdict};
use bootwright::model::probe;
use bootwright::model::spec::{BootMode, Init, Protocol, Verify};
use bootwright::model::{Artifact, ArtifactKind, Digest, FailureClass};
use bootwright::verify::{self, Acceleration, Accelerator, Options, Wish};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

/// Boots are made one after the other: two at once would only slow each other down.
static MACHINE: Mutex<()> = Mutex::new(());

fn machine() -> MutexGuard<'static, ()> {
    MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn run(program: &str, args: &[&str], dir: &Path) -> String {
    Process::new(program)
        .args(args)
        .dir(dir)
        .check(&Cancel::default())
        .unwrap_or_else(|f| panic!("{program} {args:?}: {f:?}"))
        .text()
}

/// Debian's cloud kernel, unpacked once for all runs of the tests.
pub fn kernel() -> &'static Path {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify-kernel");
        if folder.join("done").exists() {
            return folder;
        }
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let download = ["-o", "APT::Sandbox::User=root", "download"];
        run("apt-get", &[&download[..], &["linux-image-cloud-amd64"]].concat(), &folder);
        let meta = find(&folder, ".deb");
        let depends = run("dpkg-deb", &["-f", meta.to_str().unwrap(), "Depends"], &folder);
        let package = depends.split([' ', ',']).next().unwrap().trim().to_owned();
        std::fs::remove_file(meta).unwrap();
        run("apt-get", &[&download[..], &[&package]].concat(), &folder);
        run("dpkg-deb", &["-x", find(&folder, ".deb").to_str().unwrap(), "root"], &folder);
        std::fs::write(folder.join("done"), "").unwrap();
        folder
    })
}

pub fn find(folder: &Path, part: &str) -> PathBuf {
    let mut entries = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    entries.find(|p| p.to_string_lossy().contains(part)).unwrap_or_else(|| panic!("no {part} in {folder:?}"))
}

pub fn put(path: &Path, bytes: &[u8], mode: u32) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

const MODULES: [&str; 9] = [
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "drivers/char/virtio_console.ko",
    "drivers/misc/pvpanic/pvpanic.ko",
    "drivers/misc/pvpanic/pvpanic-mmio.ko",
    "fs/efivarfs/efivarfs.ko",
];

fn build_id() -> Digest {
    Digest::of("the image under test")
}

/// What the tiny image declares. The second port is opened some seconds after the first look.
fn checks() -> Vec<check::Check> {
    let check = |field: &str, expect| check::Check { field: field.to_owned(), expect, live: false };
    let unit = |name: &str| Expect::Service { name: name.to_owned(), running: true };
    let listen = |port| Expect::Listen { protocol: Protocol::Tcp, port, outside: Some(true) };
    vec![
        check("spec.services.enable[0]", unit("web.service")),
        check("spec.late", listen(81)),
        check(
            "spec.defaults.hostname",
            Expect::Sysctl { key: "kernel.hostname".to_owned(), value: "tiny".to_owned() },
        ),
        check("spec.motd", Expect::Line { path: "/etc/motd".to_owned(), line: "it's $(here) \\".to_owned() }),
    ]
}

fn asked<'a>(verify: &'a Verify, checks: &'a [check::Check]) -> Wish<'a> {
    Wish { verify, checks }
}

/// The initramfs, the same for all scenarios.
fn initramfs() -> &'static Path {
    static INITRAMFS: OnceLock<PathBuf> = OnceLock::new();
    INITRAMFS.get_or_init(|| {
        let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("verify-initramfs");
        let root = place.join("root");
        let _ = std::fs::remove_dir_all(&place);
        for folder in ["proc", "sys", "dev", "tmp"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        put(
            &root.join("bin/busybox"),
            &std::fs::read("/bin/busybox").expect("busybox-static is installed"),
            0o755,
        );
        put(&root.join("init"), include_bytes!("verify/init.sh"), 0o755);
        put(&root.join("fake/systemctl"), include_bytes!("verify/systemctl.sh"), 0o755);
        put(&root.join("fake/journalctl"), b"#!/bin/sh\necho it broke on purpose\n", 0o755);
        put(&root.join("fake/systemd-analyze"), b"#!/bin/sh\necho Startup finished in 1s\n", 0o755);
        for file in probe::files(&build_id(), &"tiny".parse().unwrap(), Init::Systemd, &checks()) {
            put(&root.join(file.path), &file.bytes, file.mode.unwrap());
        }
        let modules = find(&kernel().join("root/lib/modules"), "cloud").join("kernel");
        for module in MODULES {
            // Some are built in, in some kernels.
            if let Ok(bytes) = std::fs::read(modules.join(module)) {
                put(&root.join("modules").join(Path::new(module).file_name().unwrap()), &bytes, 0o644);
            }
        }
        let names = run("find", &["."], &root);
        let archive = place.join("initrd.img");
        let cpio = Process::new("busybox").args(["cpio", "-o", "-H", "newc"]).dir(&root).stdin(names);
        cpio.stdout_to(std::fs::File::create(&archive).unwrap()).check(&Cancel::default()).unwrap();
        archive
    })
}

/// An ISO whose initramfs plays `scenario`.
fn iso(folder: &Path, scenario: &str) -> Artifact {
    let tree = folder.join("tree");
    let vmlinuz = std::fs::read(find(&kernel().join("root/boot"), "vmlinuz")).unwrap();
    put(&tree.join("live/vmlinuz"), &vmlinuz, 0o644);
    put(&tree.join("live/initrd.img"), &std::fs::read(initramfs()).unwrap(), 0o644);
    let menu = format!(
        "serial --unit=0 --speed=115200\nterminal_output console serial\nset timeout=0\n\
         menuentry tiny {{\n linux /live/vmlinuz console=tty0 console=ttyS0 scenario={scenario}\n \
         initrd /live/initrd.img\n}}\n"
    );
    put(&tree.join("boot/grub/grub.cfg"), menu.as_bytes(), 0o644);
    let path = folder.join("tiny, with a comma.iso");
    run("grub-mkrescue", &["--compress=no", "-o", path.to_str().unwrap(), tree.to_str().unwrap()], folder);
    artifact(ArtifactKind::Iso, path)
}

fn artifact(kind: ArtifactKind, path: PathBuf) -> Artifact {
    let (digest, size) = digest_file(&path).unwrap();
    Artifact { kind, path, digest, size }
}

fn options(folder: &Path) -> Options {
    Options { acceleration: Acceleration::Always(Accelerator::Tcg), ..Options::below(folder) }
}

fn wish(timeout_seconds: u32) -> Verify {
    Verify {
        boot: vec![BootMode::Bios],
        dwell_seconds: 1,
        timeout_seconds,
        memory_mib: 256,
        units: vec!["web".parse().unwrap()],
        ports: vec![80.try_into().unwrap()],
    }
}

fn boot(artifact: &Artifact, wish: &Verify, options: &Options) -> Evidence {
    verify::iso(
        artifact,
        &build_id(),
        asked(wish, &checks()),
        options,
        &Emitter::default(),
        &Cancel::default(),
    )
    .unwrap()
}

/// Boots a scenario once and gives its only check.
fn play(scenario: &str, timeout_seconds: u32, then: impl FnOnce(&Check)) {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let evidence = boot(&iso(folder.path(), scenario), &wish(timeout_seconds), &options(folder.path()));
    let [check] = evidence.checks.as_slice() else { panic!("{evidence:?}") };
    let leftovers = std::fs::read_dir(folder.path().join("scratch")).unwrap().count();
    assert_eq!(leftovers, 0, "something was left in the scratch folder");
    println!("{scenario}: {:?} {:?}", check.verdict, check.timings_ms);
    then(check);
}

fn refusal(check: &Check) -> String {
    match &check.verdict {
        Verdict::Refused { reasons } => reasons.join("; "),
        other => panic!("not refused: {other:?}"),
    }
}

fn evidence_file(check: &Check, name: &str) -> Vec<u8> {
    let file = check.files.iter().find(|f| f.name.ends_with(name)).unwrap_or_else(|| panic!("no {name}"));
    std::fs::read(&file.path).unwrap()
}

#[test]
fn a_good_image_passes_and_leaves_its_evidence() {
    play("good", 300, |check| {
        assert_eq!(check.verdict, Verdict::Passed);
        let findings = check.findings.join("\n");
        for fact in [
            "firmware: bios",
            "units failed: 0",
            "unit web.service: active",
            "port 80/tcp: open",
            "clean reboot",
            "declared and found: 4 of 4",
            "spec.late: port 81/tcp to answer from outside: so it is",
        ] {
            assert!(findings.contains(fact), "{fact}: {findings}");
        }
        let names: Vec<_> = check.timings_ms.iter().map(|(n, _)| n.as_str()).collect();
        for name in ["grub", "kernel", "signal", "dwell", "checked", "reset", "reboot: signal", "powered off"]
        {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(check.timings_ms.is_sorted_by_key(|(_, ms)| *ms));
        assert!(evidence_file(check, "bios/screenshot.png").starts_with(b"\x89PNG"));
        let log = String::from_utf8(evidence_file(check, "bios/serial.log")).unwrap();
        assert!(log.contains("Linux version") && !log.contains('\x1b'), "{log}");
        let results: serde_json::Value =
            serde_json::from_slice(&evidence_file(check, "bios/results.json")).unwrap();
        assert_eq!(results["verdict"]["verdict"], "passed");
    });
}

#[test]
fn the_same_image_passes_under_uefi_from_a_stick_and_not_under_secure_boot() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = iso(folder.path(), "good");
    let evidence =
        boot(&image, &Verify { boot: vec![BootMode::UefiUsb], ..wish(300) }, &options(folder.path()));
    let check = &evidence.checks[0];
    assert_eq!(check.verdict, Verdict::Passed);
    assert!(check.findings.contains(&"firmware: uefi".to_owned()), "{:?}", check.findings);
    // Nobody signed its boot loader.
    let evidence =
        boot(&image, &Verify { boot: vec![BootMode::SecureBoot], ..wish(60) }, &options(folder.path()));
    let Verdict::Hang { last } = &evidence.checks[0].verdict else { panic!("{evidence:?}") };
    assert!(last.starts_with("firmware ("), "{last}");
}

#[test]
fn a_panic_is_a_panic() {
    play("panic", 300, |check| {
        let Verdict::Panic { message } = &check.verdict else { panic!("{:?}", check.verdict) };
        assert_eq!(message, "sysrq triggered crash");
        assert!(check.failure().unwrap().message.contains("the kernel panicked: sysrq triggered crash"));
        assert!(evidence_file(check, "screenshot.png").starts_with(b"\x89PNG"));
    });
}

#[test]
fn a_hang_names_the_last_milestone() {
    play("hang", 90, |check| {
        let Verdict::Hang { last } = &check.verdict else { panic!("{:?}", check.verdict) };
        assert!(last.starts_with("systemd (Welcome to tiny)"), "{last}");
        assert!(check.failure().unwrap().message.contains("no signal in time; last seen: systemd"));
    });
}

#[test]
fn a_login_prompt_proves_nothing() {
    play("login-only", 90, |check| {
        assert!(
            matches!(&check.verdict, Verdict::Hang { last } if last.starts_with("login (")),
            "{:?}",
            check.verdict
        );
    });
}

#[test]
fn a_shell_of_the_initramfs_ends_the_waiting() {
    play("shell", 300, |check| {
        assert!(
            matches!(&check.verdict, Verdict::Hang { last } if last.contains("the initramfs found no root")),
            "{:?}",
            check.verdict
        );
    });
}

#[test]
fn a_reset_before_or_after_the_signal_is_a_reset() {
    play("reset", 300, |check| {
        assert!(
            matches!(&check.verdict, Verdict::Reset { last } if last.starts_with("systemd")),
            "{:?}",
            check.verdict
        );
    });
    play("late-reset", 300, |check| {
        assert!(
            matches!(&check.verdict, Verdict::Reset { last } if last.starts_with("its signal")),
            "{:?}",
            check.verdict
        );
    });
}

#[test]
fn a_plain_power_off_never_passes() {
    play("off", 300, |check| assert!(refusal(check).contains("powered itself off")));
    play("off-for-reboot", 300, |check| {
        assert!(refusal(check).contains("powered off when it was asked to restart"))
    });
}

#[test]
fn a_failed_unit_is_named_with_its_own_words() {
    play("failed-unit", 300, |check| {
        // First of all reasons: what was not there yet is told too, as nobody waits for it now.
        let reasons = refusal(check);
        assert!(
            reasons.starts_with("unit broken.service failed (exit-code): it broke on purpose"),
            "{reasons}"
        );
    });
}

#[test]
fn declared_units_and_ports_must_be_there() {
    play("unit-and-port-down", 300, |check| {
        let reasons = refusal(check);
        let expected = "unit web.service is inactive (dead), not active; port 80/tcp is closed: nothing listens on it; \
             spec.services.enable[0]: expected web.service to run, found it is inactive (dead)";
        assert!(reasons.starts_with(expected), "{reasons}");
    });
}

#[test]
fn what_is_not_as_declared_is_named_by_its_field() {
    play("undeclared", 300, |check| {
        let words = refusal(check);
        let hostname = "spec.defaults.hostname: expected kernel.hostname = tiny, found another; ";
        let motd = "spec.motd: expected \"it's $(here) \\\\\" in /etc/motd, found absent";
        assert!(words.ends_with(&format!("{hostname}{motd}")), "{words}");
    });
}

#[test]
fn another_build_and_a_recording_are_refused() {
    play("other-build", 300, |check| assert!(refusal(check).contains("was expected"), "{}", refusal(check)));
    play("recording", 90, |check| assert!(refusal(check).contains("recording"), "{}", refusal(check)));
}

#[test]
fn a_machine_that_does_not_start_says_nothing_about_the_image() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.iso");
    std::fs::write(&path, vec![0; 1 << 20]).unwrap();
    let image = artifact(ArtifactKind::Iso, path);
    let failed = |wish: &Verify, change: &dyn Fn(&mut Options)| {
        let mut options = options(folder.path());
        change(&mut options);
        let evidence = boot(&image, wish, &options);
        let check = &evidence.checks[0];
        let Verdict::MachineFailed { message } = &check.verdict else { panic!("{:?}", check.verdict) };
        assert_eq!(check.failure().unwrap().class, FailureClass::Host);
        message.clone()
    };
    let uefi = Verify { boot: vec![BootMode::Uefi], ..wish(10) };
    let message = failed(&uefi, &|o| o.tools.uefi_code = "/nonexistent/OVMF_CODE.fd".into());
    assert!(message.contains("/nonexistent/OVMF_CODE.fd") && message.contains("ovmf"), "{message}");
    let message = failed(&uefi, &|o| o.tools.uefi_vars = "/nonexistent/OVMF_VARS.fd".into());
    assert!(message.contains("/nonexistent/OVMF_VARS.fd"), "{message}");
    // A file that is no firmware: QEMU itself refuses it.
    let odd = folder.path().join("odd.fd");
    std::fs::write(&odd, "odd").unwrap();
    let message = failed(&uefi, &|o| o.tools.uefi_code.clone_from(&odd));
    assert!(message.contains("QEMU ended") && message.contains("firmware block device"), "{message}");
}

#[test]
fn kvm_is_tried_with_the_images_own_kernel_and_remembered() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = iso(folder.path(), "good");
    let kernel = folder.path().join("vmlinuz");
    verify::accel::extract_kernel(&image.path, &kernel, &Cancel::default()).unwrap();
    let cache = folder.path().join("accelerator.json");
    let (options, events) = (options(folder.path()), Emitter::default());
    let probe =
        || verify::accel::probe(&cache, &kernel, &options.tools, "7.2", &events, &Cancel::default()).unwrap();
    let began = std::time::Instant::now();
    let first = probe();
    assert!(began.elapsed().as_secs() < 25, "a KVM that does not work must not cost more");
    let began = std::time::Instant::now();
    assert_eq!(probe(), first);
    assert!(began.elapsed().as_secs() < 2, "it was tried again");
    assert_eq!(cache.exists(), Path::new("/dev/kvm").exists());
    let missing =
        verify::accel::extract_kernel(&kernel, &folder.path().join("x"), &Cancel::default()).unwrap_err();
    assert!(missing.message.contains("xorriso"), "{missing}");
}

/// For machines that power themselves off: a person may wait for one that hangs, a test does not.
fn stopped_in_time() -> Cancel {
    let cancel = Cancel::default();
    let too_long = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_mins(5));
        too_long.request();
    });
    cancel
}

#[test]
fn a_person_gets_a_machine_that_ends_when_it_powers_off() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = iso(folder.path(), "off");
    let options = options(folder.path());
    let session = verify::interactive::Session {
        image: &image.path,
        mode: BootMode::Bios,
        virtio: false,
        memory_mib: 256,
        screen: verify::Screen::Vnc(77),
        accelerator: Accelerator::Tcg,
        tools: &options.tools,
        scratch: &options.scratch,
    };
    verify::interactive(&session, &stopped_in_time()).unwrap();
    let (digest, _) = digest_file(&image.path).unwrap();
    assert_eq!(digest, image.digest, "the image was written to");
    let gone = verify::interactive::Session { image: Path::new("/nonexistent.iso"), ..session };
    assert!(verify::interactive(&gone, &Cancel::default()).unwrap_err().message.contains("/nonexistent.iso"));
}

#[test]
fn a_changed_file_is_not_the_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("any.iso");
    std::fs::write(&path, "built").unwrap();
    let image = artifact(ArtifactKind::Iso, path.clone());
    std::fs::write(&path, "changed").unwrap();
    let failure = verify::iso(
        &image,
        &build_id(),
        asked(&wish(5), &[]),
        &options(folder.path()),
        &Emitter::default(),
        &Cancel::default(),
    )
    .unwrap_err();
    assert!(failure.message.contains("it was built as"), "{failure}");
}

#[test]
fn a_wish_to_stop_ends_the_machine() {
    let _one = machine();
    let folder = tempfile::tempdir().unwrap();
    let image = iso(folder.path(), "hang");
    let cancel = Cancel::default();
    let other = cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_secs(2));
        other.request();
    });
    let failure = verify::iso(
        &image,
        &build_id(),
        asked(&wish(60), &[]),
        &options(folder.path()),
        &Emitter::default(),
        &cancel,
    )
    .unwrap_err();
    assert_eq!(failure.class, FailureClass::Cancelled);
    assert_eq!(std::fs::read_dir(folder.path().join("scratch")).unwrap().count(), 0);
}

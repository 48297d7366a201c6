//! Programs of another architecture in a sandbox: run by qemu-user, known to that sandbox only.

use bootwright::effects::{Cancel, Sandbox};
use bootwright::model::spec::Architecture;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The smallest program for Linux on 64-bit ARM that ends with this code (ELF specification,
/// "ELF Header" and "Program Header"): `mov x0, CODE; mov x8, __NR_exit; svc 0`.
fn arm_program(instructions: &[u32]) -> Vec<u8> {
    const BASE: u64 = 0x40_0000;
    let mut elf = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let word = |elf: &mut Vec<u8>, bytes: usize, value: u64| {
        elf.extend_from_slice(&value.to_le_bytes()[..bytes]);
    };
    let size = 64 + 56 + 4 * instructions.len() as u64;
    // Executable, AArch64, version, entry, program headers, no sections, flags, sizes.
    for (bytes, value) in [
        (2, 2),
        (2, 183),
        (4, 1),
        (8, BASE + 120),
        (8, 64),
        (8, 0),
        (4, 0),
        (2, 64),
        (2, 56),
        (2, 1),
        (2, 0),
        (2, 0),
        (2, 0),
    ] {
        word(&mut elf, bytes, value);
    }
    // Loaded whole, readable and executable.
    for (bytes, value) in [(4, 1), (4, 5), (8, 0), (8, BASE), (8, BASE), (8, size), (8, size), (8, 0x1000)] {
        word(&mut elf, bytes, value);
    }
    instructions.iter().for_each(|i| elf.extend_from_slice(&i.to_le_bytes()));
    elf
}

/// Ends with 42.
const EXIT_42: [u32; 3] = [0xd280_0540, 0xd280_0ba8, 0xd400_0001];
/// Never ends: a branch to itself.
const FOR_EVER: [u32; 1] = [0x1400_0000];

fn root_with(program: &[u32]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("layer");
    std::fs::create_dir(&root).unwrap();
    let path = root.join("arm");
    std::fs::write(&path, arm_program(program)).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    (folder, root)
}

fn host_is_x86() -> bool {
    let x86 = std::env::consts::ARCH == "x86_64";
    if !x86 {
        println!("SKIPPED: this host runs these programs itself");
    }
    x86
}

/// What the host itself would hand to an emulator under our name.
fn registered_on_the_host() -> bool {
    Path::new("/proc/sys/fs/binfmt_misc/bootwright").exists()
}

#[test]
fn an_arm_program_runs_in_its_sandbox_and_nowhere_else() {
    if !host_is_x86() {
        return;
    }
    let (folder, root) = root_with(&EXIT_42);
    let sandbox = Sandbox::new(&[root], folder.path()).unwrap();
    let emulated = sandbox.clone().running(Architecture::Aarch64).unwrap();
    let output = emulated.process("/arm").unwrap().run(&Cancel::default()).unwrap();
    assert_eq!(output.status.code(), Some(42), "{}", output.errors());
    assert!(!registered_on_the_host());
    // Who is not told what the root is made for cannot run it.
    let output = sandbox.process("/arm").unwrap().run(&Cancel::default()).unwrap();
    assert!(!output.status.success() && output.errors().contains("execvp /arm"), "{}", output.errors());
}

#[test]
fn nothing_is_left_when_the_emulator_is_killed() {
    if !host_is_x86() {
        return;
    }
    let (folder, root) = root_with(&FOR_EVER);
    let sandbox = Sandbox::new(&[root], folder.path()).unwrap().running(Architecture::Aarch64).unwrap();
    let began = Instant::now();
    let running = sandbox.process("/arm").unwrap().timeout(Duration::from_secs(3));
    let failure = running.run(&Cancel::default()).unwrap_err();
    assert!(failure.message.contains("did not end in time"), "{failure}");
    // Its processes were killed with SIGKILL; the kernel takes the namespace with the last one.
    while emulators_of(&root_name(folder.path())) > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "an emulator is left");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(!registered_on_the_host());
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains("bootwright"), "{mounts}");
}

fn root_name(folder: &Path) -> String {
    folder.file_name().unwrap().to_string_lossy().into_owned()
}

/// Processes of qemu-user, or of its sandbox, that name our folder or run our program.
fn emulators_of(folder: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|line| line.contains(folder) && line.starts_with("bwrap"))
        .count()
}

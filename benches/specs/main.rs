//! How long it takes to check and resolve 1,000 specs, and the memory that it takes: all in
//! one process, on two threads, with the rules and the tables and without any lock or network.

use bootwright::catalog::{self, Files, files::FileKind};
use bootwright::model::catalog::CatalogSource;
use bootwright::resolve;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many specs there are.
const SPECS: usize = 1000;
/// How many threads share them.
const THREADS: usize = 2;
/// How often it is measured; the middle counts.
const RUNS: usize = 5;
/// What issue 4 asks for.
const LONGEST: Duration = Duration::from_secs(1);
const MOST_MIB: u64 = 200;

fn spec(at: usize) -> String {
    let shell = ["/bin/bash", "/usr/bin/zsh", "/usr/bin/fish"][at % 3];
    let packages = ["htop", "curl", "git", "python", "wireguard", "nano", "vim", "tmux"];
    let first = packages[at % packages.len()];
    let second = packages[(at + 3) % packages.len()];
    format!(
        "apiVersion: bootwright/v1
kind: OsImage
metadata:
  name: image-{at}
  description: Image {at} of many
  labels: {{row: r{}}}
spec:
  base: debian
  suite: bookworm
  outputs: [iso, oci]
  channel: stable
  schedule: \"{} {} * * 1\"
  kernel: {{customFlags: [quiet, loglevel={}], modules: {{disable: [pcspkr]}}}}
  packages:
    utils: [{first}, {second}]
    servers: [nginx]
    networking: [ca-certificates]
  defaults:
    hostname: host-{at}
    locale: de_DE.UTF-8
    timezone: Europe/Berlin
    users:
      - name: admin
        sudo: true
        shell: {shell}
        passwordHash: \"$6$bootwrightdemo$Rpygdf/.jAU8urdLdtFTeAwjrNK500dXD0uxRUt5jHJnpRt.iv524FYdZCEZOKBEybXo5vjglBUK6O6e6MJu50\"
        sshKeys: [\"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxjweeCU3cN1JeEc92uw8BYH/IEhaqAaZL5BvZC0ESS key\"]
  services: {{enable: [nginx.service]}}
  securityFeatures:
    firewall:
      rules:
        - {{action: allow, port: 22}}
        - {{action: allow, port: 80}}
        - {{action: allow, port: {}, source: 192.0.2.0/24}}
    ssh: {{maxRetries: 3, allowUsers: [admin]}}
  verify: {{boot: [bios, uefi], units: [nginx.service], ports: [22, 80]}}
  limits: {{isoSize: 2GiB}}
",
        at % 20,
        at % 60,
        at % 24,
        at % 8,
        1024 + at
    )
}

/// Checks and resolves some specs; gives how many were in order.
fn work(texts: &[(String, String)]) -> usize {
    let mut files = Files::new(CatalogSource { location: "bench".to_owned(), commit: None });
    for (path, text) in texts {
        files.add(path, FileKind::Regular, text.as_bytes().to_vec()).expect("an ordinary file");
    }
    let (catalog, found) = catalog::check(&files);
    let Some(catalog) = catalog else {
        eprintln!("{}", catalog::diagnostic::render(&found, false));
        return 0;
    };
    let packages = &catalog.settings.packages;
    catalog.images.values().filter(|document| resolve::request(&document.spec, packages).is_ok()).count()
}

/// The most memory that this process ever had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|n| n.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

fn main() -> ExitCode {
    let texts: Vec<(String, String)> =
        (0..SPECS).map(|at| (format!("specs/image-{at}.yaml"), spec(at))).collect();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let begun = Instant::now();
        let sound: usize = std::thread::scope(|scope| {
            let parts = texts.chunks(SPECS.div_ceil(THREADS));
            let threads: Vec<_> = parts.map(|part| scope.spawn(|| work(part))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_default()).sum()
        });
        if sound != SPECS {
            eprintln!("only {sound} of {SPECS} specs were in order");
            return ExitCode::FAILURE;
        }
        times.push(begun.elapsed());
    }
    times.sort();
    let (middle, memory) = (times[RUNS / 2], peak_mib());
    println!(
        "{SPECS} specs checked and resolved on {THREADS} threads: {} ms, {memory} MiB",
        middle.as_millis()
    );
    println!("fastest {} ms, slowest {} ms", times[0].as_millis(), times[RUNS - 1].as_millis());
    if middle <= LONGEST && memory <= MOST_MIB {
        ExitCode::SUCCESS
    } else {
        eprintln!("asked for: {} ms, {MOST_MIB} MiB", LONGEST.as_millis());
        ExitCode::FAILURE
    }
}

//! How long a firmware that is there takes to be found, and how many devices one Image Builder serves.
//!
//! The Image Builder is that of the tests (`tests/it/openwrt/fixture.rs`): a real Makefile, real package
//! files, a real squashfs. Twenty devices differ by a file each. For the comparison `make image` is run for
//! each of them by hand, one after the other, in a copy of its own of the unpacked Image Builder, with
//! the same arguments.

mod crash {
    use std::process::Command;

    #[expect(clippy::disallowed_methods, reason = "the program is started as a user does")]
    pub fn command(program: &str) -> Command {
        Command::new(program)
    }
}

#[path = "../../tests/it/openwrt"]
mod openwrt {
    #[expect(dead_code, reason = "the tests use the rest")]
    pub mod fixture;
    pub mod packages;
}

use openwrt::fixture::World;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How many devices there are.
const DEVICES: usize = 20;
/// How often a firmware that is there is asked for; the middle counts.
const RUNS: usize = 21;
/// What issue 6 asks for: the answer of a cold process, and the whole against the sum of the parts.
const LONGEST: Duration = Duration::from_millis(50);
const MOST: f64 = 1.1;

fn device(world: &World, at: usize) {
    let text = format!(
        "apiVersion: bootwright/v1\nkind: DeviceProfile\nmetadata: {{name: ap-{at}}}\nspec:\n  release: 24.10.5\n  \
         target: ramips\n  subtarget: mt7621\n  profile: netgear_r6260\n  packages: {{add: [luci, tmux, odhcpd, ppp]}}\n"
    );
    let specs = world.catalog().join("specs");
    let overlay = specs.join(format!("overlays/ap-{at}/etc"));
    fs::create_dir_all(&overlay).unwrap();
    fs::write(specs.join(format!("ap-{at}.yaml")), text).unwrap();
    fs::write(overlay.join("banner"), format!("access point {at}\n")).unwrap();
}

/// `make image` by hand for every device: the sum of their times.
fn by_hand(world: &World, tree: &Path) -> Duration {
    let copy = world.path().join("by-hand");
    let mut sum = Duration::ZERO;
    for at in 0..DEVICES {
        let _ = fs::remove_dir_all(&copy);
        let cp = crash::command("cp").arg("-a").arg(tree).arg(&copy).status().unwrap();
        assert!(cp.success());
        let files = world.catalog().join(format!("specs/overlays/ap-{at}"));
        let mut make = crash::command("make");
        make.current_dir(&copy).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        make.args(["-s", "image", "PROFILE=netgear_r6260", "PACKAGES=luci odhcpd ppp tmux"]);
        make.arg(format!("FILES={}", files.display())).arg(format!("BIN_DIR={}", copy.join("out").display()));
        let began = Instant::now();
        let output = make.output().unwrap();
        sum += began.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    sum
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() -> ExitCode {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let world = World::new();
    (0..DEVICES).for_each(|at| device(&world, at));
    world.run(&["lock"]).report();
    let path = world.ensure("24.10.5", "ramips/mt7621").report()["builder"]["path"].clone();
    let sum = by_hand(&world, Path::new(path.as_str().unwrap()));
    // As on a host that has never seen the Image Builder.
    fs::remove_dir_all(world.cache()).unwrap();
    let jobs = cores.to_string();
    let began = Instant::now();
    let said = world.run(&["openwrt", "build", "--all", "--jobs", &jobs]);
    let whole = began.elapsed();
    let report = said.report();
    let built = report["firmware"].as_array().unwrap().iter().filter(|f| f["outcome"] == "built").count();
    assert_eq!((built, said.tasks("unpack")), (DEVICES, 1), "{}", said.words());
    let ratio = whole.as_secs_f64() / (sum.as_secs_f64() / cores as f64);
    let times = (0..RUNS).map(|_| {
        let began = Instant::now();
        let said = world.run(&["openwrt", "build", "ap-7"]);
        let time = began.elapsed();
        assert_eq!(said.report()["firmware"][0]["outcome"], "reused", "{}", said.words());
        time
    });
    let reuse = middle(times.collect());
    println!("{DEVICES} devices, one Image Builder, {cores} cores");
    println!("make by hand, one after the other: {:.2} s in all", sum.as_secs_f64());
    println!(
        "bootwright, cold, unpacked once:   {:.2} s, {ratio:.2} of sum / cores (at most {MOST})",
        whole.as_secs_f64()
    );
    println!(
        "one that is there, cold process:   {:.1} ms (at most {} ms)",
        reuse.as_secs_f64() * 1e3,
        LONGEST.as_millis()
    );
    match ratio <= MOST && reuse < LONGEST {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

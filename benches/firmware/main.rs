//! How long a firmware that is there takes to be found, and how many devices one Image Builder serves.
//!
//! The Image Builder is that of the tests (`tests/it/openwrt/fixture.rs`): a real Makefile, real package
//! files, a real squashfs. Twenty devices differ by a file each. For the comparison `make image` is run for
//! each of them by hand, as many at once as there are cores, in a copy of its own of the unpacked Image
//! Builder, with the same arguments.

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
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
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

/// `make image` by hand for every device, as many at once as there are cores: how long all took.
fn by_hand(world: &World, tree: &Path, cores: usize) -> Duration {
    let copies: Vec<PathBuf> = (0..DEVICES).map(|at| world.path().join(format!("by-hand-{at}"))).collect();
    for copy in &copies {
        let cp = crash::command("cp").arg("-a").arg(tree).arg(copy).status().unwrap();
        assert!(cp.success());
    }
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(copy) = copies.get(next.fetch_add(1, Ordering::Relaxed)) {
            let at = copy.to_str().unwrap().rsplit('-').next().unwrap();
            let files = world.catalog().join(format!("specs/overlays/ap-{at}"));
            let mut make = crash::command("make");
            make.current_dir(copy).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
            make.args(["-s", "image", "PROFILE=netgear_r6260", "PACKAGES=luci odhcpd ppp tmux"]);
            make.arg(format!("FILES={}", files.display()));
            make.arg(format!("BIN_DIR={}", copy.join("out").display()));
            let output = make.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    };
    let began = Instant::now();
    std::thread::scope(|scope| (0..cores).for_each(|_| drop(scope.spawn(work))));
    began.elapsed()
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
    let by_hand = by_hand(&world, Path::new(path.as_str().unwrap()), cores);
    // As on a host that has never seen the Image Builder.
    fs::remove_dir_all(world.cache()).unwrap();
    let jobs = cores.to_string();
    let began = Instant::now();
    let said = world.run(&["openwrt", "build", "--all", "--jobs", &jobs]);
    let whole = began.elapsed();
    let report = said.report();
    let inside: u64 = report["firmware"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["record"]["elapsedMs"].as_u64().unwrap())
        .sum();
    let built = report["firmware"].as_array().unwrap().iter().filter(|f| f["outcome"] == "built").count();
    assert_eq!((built, said.tasks("unpack")), (DEVICES, 1), "{}", said.words());
    let ratio = whole.as_secs_f64() * 1e3 / (inside as f64 / cores as f64);
    let times = (0..RUNS).map(|_| {
        let began = Instant::now();
        let said = world.run(&["openwrt", "build", "ap-7"]);
        let time = began.elapsed();
        assert_eq!(said.report()["firmware"][0]["outcome"], "reused", "{}", said.words());
        time
    });
    let reuse = middle(times.collect());
    println!("{DEVICES} devices, one Image Builder, {cores} cores");
    println!("their make times, in all:         {:.2} s", inside as f64 / 1e3);
    println!("all of it, unpacked once:         {:.2} s", whole.as_secs_f64());
    println!("  of sum / cores:                 {ratio:.2} (at most {MOST})");
    println!("make by hand, {cores} at once:          {:.2} s", by_hand.as_secs_f64());
    println!(
        "one that is there, cold process:  {:.1} ms (at most {})",
        reuse.as_secs_f64() * 1e3,
        LONGEST.as_millis()
    );
    match ratio <= MOST && reuse < LONGEST {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

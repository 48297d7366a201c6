//! What a piece of work costs: wall time, CPU time of all its processes, and how much CPU
//! time everything else on the machine took meanwhile.

use bootwright::effects::Process;
use bootwright::model::{Failure, Result};
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;
use std::ops::Add;
use std::time::{Duration, Instant};

/// The cost of one piece of work, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// From begin to end.
    pub wall_s: f64,
    /// User and system time of this process and of all descendants that were waited for.
    pub cpu_s: f64,
    /// CPU time that everything else on the machine took meanwhile.
    pub others_s: f64,
}

impl Add for Cost {
    type Output = Self;

    fn add(self, more: Self) -> Self {
        Self {
            wall_s: self.wall_s + more.wall_s,
            cpu_s: self.cpu_s + more.cpu_s,
            others_s: self.others_s + more.others_s,
        }
    }
}

/// How long processes that nobody waited for get to end.
const GRACE: Duration = Duration::from_secs(1);

/// Takes over the processes whose parents end before them. bwrap does not wait for the
/// first process of its sandbox: without this, all that a sandbox costs would be lost.
pub fn take_over_orphans() -> Result<()> {
    nix::sys::prctl::set_child_subreaper(true).map_err(|e| Failure::io("becoming a subreaper", &e.into()))
}

/// A tool in namespaces of its own: what it starts and mounts goes when it goes, so that a
/// comparison that is stopped leaves nothing mounted below the work folder.
pub fn contained(tool: &str) -> Process {
    Process::new("unshare")
        .args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(tool)
}

/// Waits for orphans, so that their time counts. Only when no child of our own is left:
/// its status would be taken away from whoever waits for it.
fn reap_orphans() {
    let begun = Instant::now();
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) if begun.elapsed() < GRACE => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Ok(WaitStatus::StillAlive) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Does `work` and measures it. It must leave no child of this process running.
pub fn measure<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    reap_orphans();
    let (begun, own, machine) = (Instant::now(), own_cpu()?, machine_cpu()?);
    let done = work()?;
    let wall_s = begun.elapsed().as_secs_f64();
    reap_orphans();
    let cpu_s = own_cpu()? - own;
    let others_s = (machine_cpu()? - machine - cpu_s).max(0.0);
    Ok((done, Cost { wall_s, cpu_s, others_s }))
}

fn own_cpu() -> Result<f64> {
    let of = |who| getrusage(who).map_err(|e| Failure::io("asking for CPU time", &e.into()));
    let seconds = |usage: Usage| {
        (usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6
    };
    Ok(seconds(of(UsageWho::RUSAGE_SELF)?) + seconds(of(UsageWho::RUSAGE_CHILDREN)?))
}

/// CPU time of the whole machine since it started, from the first line of /proc/stat:
/// user, nice, system, idle, iowait, irq, softirq, steal (man proc_stat).
fn machine_cpu() -> Result<f64> {
    let text = std::fs::read_to_string("/proc/stat").map_err(|e| Failure::io("reading /proc/stat", &e))?;
    let ticks = text.lines().next().into_iter().flat_map(str::split_whitespace).skip(1).take(7).enumerate();
    let busy: u64 =
        ticks.filter(|(i, _)| !matches!(i, 3 | 4)).filter_map(|(_, t)| t.parse::<u64>().ok()).sum();
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
    Ok(busy as f64 / per_second as f64)
}

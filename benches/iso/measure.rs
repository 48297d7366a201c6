//! What a piece of work costs: wall time, CPU time of all its processes, and how much CPU
//! time everything else on the machine took meanwhile.

use bootwright::model::failure::IoContext;
use bootwright::model::{Failure, Result};
use nix::unistd::{SysconfVar, sysconf};
use serde::Serialize;
use std::ops::Add;
use std::path::PathBuf;
use std::time::Instant;

/// The cost of one piece of work, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Cost {
    /// From begin to end.
    pub wall_s: f64,
    /// User and system time of this process and of everything that it started.
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

/// The control group that this process and everything it starts is in (kernel documentation,
/// `cgroup-v2.rst`). Times that processes report of their children would not do: bwrap does
/// not wait for the first process of its sandbox, and all that it cost would be lost.
pub struct Group(PathBuf);

impl Group {
    /// Makes a group and joins it.
    pub fn join() -> Result<Self> {
        let mounts = std::fs::read_to_string("/proc/mounts").during(|| "reading /proc/mounts".to_owned())?;
        let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let root = fields.find(|of| of.get(2) == Some(&"cgroup2")).map(|of| PathBuf::from(of[1]));
        let root =
            root.ok_or_else(|| Failure::host("no cgroup2 file system is mounted to count CPU time"))?;
        let group = Self(root.join(format!("bootwright-bench-{}", std::process::id())));
        let joining = || format!("joining the control group {}", group.0.display());
        std::fs::create_dir(&group.0).during(joining)?;
        std::fs::write(group.0.join("cgroup.procs"), std::process::id().to_string()).during(joining)?;
        Ok(group)
    }

    /// User and system time of all that is and was in the group, in seconds.
    fn cpu(&self) -> Result<f64> {
        let path = self.0.join("cpu.stat");
        let text = std::fs::read_to_string(&path).during(|| format!("reading {}", path.display()))?;
        let used = text.lines().find_map(|line| line.strip_prefix("usage_usec ")?.parse::<u64>().ok());
        let used = used.ok_or_else(|| Failure::host(format!("{} has no usage_usec", path.display())))?;
        Ok(used as f64 / 1e6)
    }

    /// Does `work` and measures it. It must leave nothing running.
    pub fn measure<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
        let (begun, own, machine) = (Instant::now(), self.cpu()?, machine_cpu()?);
        let done = work()?;
        let wall_s = begun.elapsed().as_secs_f64();
        let cpu_s = self.cpu()? - own;
        let others_s = (machine_cpu()? - machine - cpu_s).max(0.0);
        Ok((done, Cost { wall_s, cpu_s, others_s }))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Only an empty group can be removed: back to the root, which takes everyone.
        if let Some(root) = self.0.parent() {
            let _ = std::fs::write(root.join("cgroup.procs"), std::process::id().to_string());
        }
        let _ = std::fs::remove_dir(&self.0);
    }
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

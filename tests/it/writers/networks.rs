//! Two network namespaces as two hosts: the network is cut in mid-job and restored.

use super::super::flash::card::{command, run, skip};
use super::bench::{Bench, until, until_stopped};
use bootwright::model::receipt::ReceiptResult;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;

/// Two hosts with a wire between them; taken away when dropped.
struct Wire {
    controller: String,
    agent: String,
}

impl Wire {
    fn new() -> Option<Self> {
        let id = std::process::id();
        let wire = Self { controller: format!("bw-c{id}"), agent: format!("bw-a{id}") };
        if !command("ip").args(["netns", "add", &wire.controller]).output().unwrap().status.success() {
            skip("this host gives no network namespaces; two hosts were NOT tested");
            return None;
        }
        run("ip", &["netns", "add", &wire.agent]);
        let (one, other) = (format!("bwc{id}"), format!("bwa{id}"));
        run("ip", &["link", "add", &one, "type", "veth", "peer", "name", &other]);
        for (name, link, address) in
            [(&wire.controller, &one, "10.77.0.1/24"), (&wire.agent, &other, "10.77.0.2/24")]
        {
            run("ip", &["link", "set", link, "netns", name, "name", "wire0"]);
            run("ip", &["-n", name, "addr", "add", address, "dev", "wire0"]);
            run("ip", &["-n", name, "link", "set", "wire0", "up"]);
            run("ip", &["-n", name, "link", "set", "lo", "up"]);
        }
        Some(wire)
    }

    fn is(&self, state: &str) {
        run("ip", &["-n", &self.agent, "link", "set", "wire0", state]);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for name in [&self.controller, &self.agent] {
            let _ = command("ip").args(["netns", "delete", name]).output();
        }
    }
}

#[test]
fn privileged_a_job_outlives_a_network_that_is_cut() {
    let Some(wire) = Wire::new() else { return };
    let Some(mut bench) = Bench::with("", "10.77.0.1") else { return };
    let within = |name: &str| ["ip", "netns", "exec", name].map(str::to_owned).to_vec();
    (bench.controller_in, bench.agent_in) = (within(&wire.controller), within(&wire.agent));
    let _serving = bench.serve(&[]);
    bench.enrolled();
    // It stops itself when the card is about to be written; then the wire is cut.
    let stop = [("BOOTWRIGHT_STOP_AT", "writer.began"), ("BOOTWRIGHT_STOP_HOW", "pause")];
    let mut agent = bench.spawn(&["--once"], &stop);
    let journal = bench.folder.join("slots/a.json");
    until("the journal's word", || fs::read_to_string(&journal).is_ok_and(|text| text.contains("writing")));
    let pid = until_stopped(&agent);
    wire.is("down");
    kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
    until("the signed receipt", || fs::read_to_string(&journal).is_ok_and(|text| text.contains("signed")));
    assert!(bench.holds("one"), "the card is written without the controller");
    assert!(bench.receipts().is_empty());
    assert!(agent.0.try_wait().unwrap().is_none(), "it goes on trying");
    let written = bench.written();
    wire.is("up");
    until("the receipt", || bench.receipts().len() == 1);
    let mut status = None;
    until("the agent's end", || {
        status = agent.0.try_wait().unwrap();
        status.is_some()
    });
    assert!(status.unwrap().success());
    assert_eq!((bench.states(), bench.written()), (vec!["done".to_owned()], written));
    assert_eq!(bench.receipts()[0].receipt.result, ReceiptResult::Good);
}

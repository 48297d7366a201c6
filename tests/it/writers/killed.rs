//! SIGKILL of agent and controller at every state: the job ends once, with one receipt, and the
//! card is not written a second time once it was proved.

use super::bench::{Bench, until};
use bootwright::effects::Point;
use bootwright::model::receipt::ReceiptResult;
use std::os::unix::process::ExitStatusExt;

/// After whatever was killed there: the job ended once, with one receipt.
fn ended_once(bench: &Bench, at: &str) {
    assert_eq!(bench.states(), ["done"], "{at}: {:?}", bench.jobs());
    let receipts = bench.receipts();
    assert_eq!((receipts.len(), receipts[0].receipt.result), (1, ReceiptResult::Good), "{at}");
    assert!(bench.holds("one"), "{at}");
    assert_eq!(bench.once(), (0, 0), "{at}");
}

#[test]
fn an_agent_that_is_killed_goes_on_with_what_it_had() {
    let points = Point::ALL.iter().map(|point| point.name()).filter(|name| name.starts_with("writer."));
    for at in points {
        let Some(mut bench) = Bench::new("") else { return };
        let _serving = bench.serve(&[]);
        bench.enrolled();
        let output = bench.agent(&["--once"], &[("BOOTWRIGHT_STOP_AT", at)]).output().unwrap();
        assert_eq!(output.status.signal(), Some(9), "{at}: {}", String::from_utf8_lossy(&output.stderr));
        let written = bench.written();
        let (code, receipts) = bench.once();
        assert_eq!(code, 0, "{at}");
        assert!(receipts == 1, "{at}: {receipts}");
        if ["writer.wrote", "writer.signed", "writer.told"].contains(&at) {
            assert_eq!(bench.written(), written, "{at}: it was written already");
        }
        ended_once(&bench, at);
    }
}

#[test]
fn a_controller_that_is_killed_goes_on_with_what_it_had() {
    let points = Point::ALL.iter().map(|point| point.name()).filter(|name| name.starts_with("card."));
    for at in points {
        let Some(mut bench) = Bench::new("") else { return };
        if at == "card.issued" {
            let mut serving = bench.serve(&[("BOOTWRIGHT_STOP_AT", at)]);
            assert_eq!(serving.child.wait().unwrap().signal(), Some(9), "{at}");
            let _serving = bench.serve(&[]);
            bench.enrolled();
            assert_eq!(bench.once(), (0, 1), "{at}");
            ended_once(&bench, at);
            continue;
        }
        let serving = bench.serve(&[]);
        bench.enrolled();
        drop(serving);
        let mut serving = bench.serve(&[("BOOTWRIGHT_STOP_AT", at)]);
        let mut agent = bench.spawn(&["--once"], &[]);
        assert_eq!(serving.child.wait().unwrap().signal(), Some(9), "{at}");
        let _again = bench.serve(&[]);
        let mut status = None;
        until("the agent's end", || {
            status = agent.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{at}");
        ended_once(&bench, at);
    }
}

//! The controller's database is lost while a card is worked on: the job ends once all the same, and no
//! card is written twice.

use super::bench::{Bench, until, until_stopped};
use bootwright::model::receipt::ReceiptResult;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

#[test]
fn a_database_that_is_lost_in_mid_job_costs_no_card_and_no_receipt() {
    for at in ["writer.took", "writer.ready", "writer.began", "writer.wrote", "writer.signed"] {
        let Some(mut bench) = Bench::new("") else { return };
        let serving = bench.serve(&[]);
        bench.pin(&bench.enrolled());
        let stop = [("BOOTWRIGHT_STOP_AT", at), ("BOOTWRIGHT_STOP_HOW", "pause")];
        let mut agent = bench.spawn(&["--once"], &stop);
        let pid = until_stopped(&agent);
        let before = bench.written();
        drop(serving);
        bench.lose_database();
        let _serving = bench.serve(&[]);
        assert_eq!(bench.states(), ["pending"], "{at}: it is issued again");
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap();
        let mut status = None;
        until("the agent's end", || {
            status = agent.0.try_wait().unwrap();
            status.is_some()
        });
        assert!(status.unwrap().success(), "{at}");
        assert_eq!(bench.states(), ["done"], "{at}: {:?}", bench.jobs());
        let receipts = bench.receipts();
        assert_eq!((receipts.len(), receipts[0].receipt.result), (1, ReceiptResult::Good), "{at}");
        assert!(bench.holds("one"), "{at}");
        let after = bench.written();
        if ["writer.wrote", "writer.signed"].contains(&at) {
            assert_eq!(after, before, "{at}: it was written already");
        }
        // Neither that job nor another one is left to do.
        assert_eq!((bench.once(), bench.written()), ((0, 0), after), "{at}");
    }
}

#[test]
fn an_agent_and_a_database_that_are_both_lost_write_no_card_twice() {
    for at in ["writer.began", "writer.wrote", "writer.signed", "writer.told"] {
        let Some(mut bench) = Bench::new("") else { return };
        let serving = bench.serve(&[]);
        bench.pin(&bench.enrolled());
        let killed = bench.agent(&["--once"], &[("BOOTWRIGHT_STOP_AT", at)]).output().unwrap();
        assert!(!killed.status.success(), "{at}");
        let before = bench.written();
        drop(serving);
        bench.lose_database();
        let _serving = bench.serve(&[]);
        assert_eq!(bench.once().0, 0, "{at}");
        assert_eq!((bench.states(), bench.receipts().len()), (vec!["done".to_owned()], 1), "{at}");
        assert!(bench.holds("one"), "{at}");
        if at != "writer.began" {
            assert_eq!(bench.written(), before, "{at}: it was written already");
        }
    }
}

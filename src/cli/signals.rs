//! Ctrl-C, SIGTERM, hang-ups.
//!
//! Handlers are used, not signal masks: a mask would be inherited by every tool that we
//! start, and a tool that cannot be interrupted outlives us.

use super::error::Exit;
use super::progress::Progress;
use crate::effects::Cancel;
use crate::model::failure::IoContext;
use crate::model::{Failure, Result};
use std::sync::mpsc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the first request says.
pub const STOPPING: &str = "stopping: finished steps are kept and the next run goes on from there \
                        (once more to stop at once)";
/// What the first request says while cards are written.
pub const STOPPING_FLASH: &str =
    "stopping: cards that are not proved are left so that they do not boot (once more to stop at once)";
/// How long a word may take before nobody waits for it.
const WORD: Duration = Duration::from_millis(100);
/// What a hang-up says; nobody may be there to read it.
const HUNG_UP: &str = "the terminal hung up; the work goes on";

/// From now on the first Ctrl-C or SIGTERM asks `cancel` to stop and the second ends the
/// process. With `outlives_terminal`, a hang-up is only noted. The first request says `stopping`.
///
/// # Errors
/// Class *host* if the handlers cannot be installed.
pub fn listen(
    cancel: Cancel,
    progress: Progress,
    outlives_terminal: bool,
    stopping: &'static str,
) -> Result<()> {
    let (ready, installed) = mpsc::sync_channel(1);
    let thread = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(e) => return drop(ready.send(Err(e))),
        };
        runtime.block_on(async {
            match Handlers::install(outlives_terminal) {
                Ok(handlers) => {
                    let _ = ready.send(Ok(()));
                    handlers.serve(&cancel, &progress, stopping).await;
                }
                Err(e) => drop(ready.send(Err(e))),
            }
        });
    };
    std::thread::Builder::new()
        .name("signals".to_owned())
        .spawn(thread)
        .during(|| "starting the signal thread")?;
    let answer = installed.recv().map_err(|_| Failure::bug("the signal thread ended early"))?;
    answer.during(|| "installing signal handlers")
}

struct Handlers {
    interrupt: Signal,
    terminate: Signal,
    hangup: Option<Signal>,
}

impl Handlers {
    fn install(outlives_terminal: bool) -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: outlives_terminal.then(|| signal(SignalKind::hangup())).transpose()?,
        })
    }

    async fn serve(mut self, cancel: &Cancel, progress: &Progress, stopping: &'static str) {
        loop {
            let hangup = async {
                match &mut self.hangup {
                    Some(signal) => signal.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => {}
                _ = self.terminate.recv() => {}
                _ = hangup => {
                    drop(say(progress, HUNG_UP));
                    continue;
                }
            }
            if cancel.is_requested() {
                // The kernel kills what we started; what was half done is found and
                // removed by the next run.
                std::process::exit(i32::from(Exit::Interrupted as u8));
            }
            // First the word: whoever stops at once may be gone before it is said.
            let _ = say(progress, stopping).recv_timeout(WORD);
            cancel.request();
        }
    }
}

/// Says something without waiting for it: a terminal that was stopped (Ctrl-S) must not
/// keep the next signal from being seen. What is given hears when it is said.
fn say(progress: &Progress, text: &'static str) -> mpsc::Receiver<()> {
    let (said, heard) = mpsc::channel();
    let progress = progress.clone();
    std::thread::spawn(move || {
        progress.message(text);
        let _ = said.send(());
    });
    heard
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::progress::{Detail, Style};
    use crate::cli::terminal::Palette;
    use nix::sys::signal::{Signal as Number, raise};
    use std::time::Instant;

    const MARK: &str = "BOOTWRIGHT_TEST_SIGNALLED";

    /// Raises signals in a process of its own: they are the whole process's business.
    fn signalled(numbers: &str) -> std::process::Output {
        #[expect(clippy::disallowed_methods, reason = "this test runs itself again")]
        std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "cli::signals::tests::the_process_that_is_signalled",
                "--ignored",
                "--nocapture",
            ])
            .env(MARK, numbers)
            .output()
            .unwrap()
    }

    #[test]
    #[ignore = "started by the other tests"]
    fn the_process_that_is_signalled() {
        #[expect(clippy::disallowed_methods, reason = "set by the test that started us")]
        let Ok(numbers) = std::env::var(MARK) else { return };
        let cancel = Cancel::default();
        let progress = Progress::stderr(Style::Lines, Detail::Normal, Palette::default());
        listen(cancel.clone(), progress, true, STOPPING).unwrap();
        for number in numbers.split(' ') {
            raise(number.parse::<Number>().unwrap()).unwrap();
            std::thread::sleep(Duration::from_millis(300));
        }
        let end = Instant::now() + Duration::from_secs(2);
        while !cancel.is_requested() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        std::process::exit(if cancel.is_requested() { 40 } else { 41 });
    }

    #[test]
    fn the_first_request_asks_and_says_what_happens() {
        for number in ["SIGINT", "SIGTERM"] {
            let output = signalled(number);
            assert_eq!(output.status.code(), Some(40), "{number}: {output:?}");
            assert!(String::from_utf8_lossy(&output.stderr).contains("stopping: finished steps are kept"));
        }
    }

    #[test]
    fn the_second_request_ends_the_process() {
        for numbers in ["SIGINT SIGINT", "SIGTERM SIGINT", "SIGINT SIGTERM"] {
            assert_eq!(signalled(numbers).status.code(), Some(130), "{numbers}");
        }
    }

    #[test]
    fn a_hangup_is_only_noted() {
        let output = signalled("SIGHUP SIGHUP");
        assert_eq!(output.status.code(), Some(41), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the work goes on"));
    }
}

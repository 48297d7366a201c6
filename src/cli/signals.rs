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
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the first request says.
const STOPPING: &str = "stopping: finished steps are kept and the next run goes on from there \
                        (once more to stop at once)";
/// What a hang-up says; nobody may be there to read it.
const HUNG_UP: &str = "the terminal hung up; the work goes on";

/// From now on the first Ctrl-C or SIGTERM asks `cancel` to stop and the second ends the
/// process. With `outlives_terminal`, a hang-up is only noted.
///
/// # Errors
/// Class *host* if the handlers cannot be installed.
pub fn listen(cancel: Cancel, progress: Progress, outlives_terminal: bool) -> Result<()> {
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
                    handlers.serve(&cancel, &progress).await;
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

    async fn serve(mut self, cancel: &Cancel, progress: &Progress) {
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
                    say(progress, HUNG_UP);
                    continue;
                }
            }
            if cancel.is_requested() {
                // The kernel kills what we started; what was half done is found and
                // removed by the next run.
                std::process::exit(i32::from(Exit::Interrupted as u8));
            }
            cancel.request();
            say(progress, STOPPING);
        }
    }
}

/// Says something without waiting for it: a terminal that was stopped (Ctrl-S) must not
/// keep the next signal from being seen.
fn say(progress: &Progress, text: &'static str) {
    let progress = progress.clone();
    std::thread::spawn(move || progress.message(text));
}

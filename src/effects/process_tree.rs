//! A tree of processes that ends with us, whoever in it was just about to start another one.
//!
//! The kernel kills a child when its parent dies, if the child asked for it. `bwrap` asks too
//! late: its inner process first waits for the outer one, and if that is killed in this
//! moment, the inner one waits for ever (seen with bubblewrap 0.8). A PID namespace has no
//! such gap: when its first process dies, the kernel kills all others (pid_namespaces(7)).

use nix::libc;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill, signal};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, getpid, pipe};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Goes on as the first process of a new PID namespace. Whoever called this stays behind as
/// its parent, waits for it, and ends the way it ended.
///
/// # Safety
/// Only between fork and exec, where there is one thread: makes system calls only.
///
/// # Errors
/// If the system refuses; the namespace wants the same rights as mounting does.
pub(super) unsafe fn enter() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWPID)?;
    let (alive, held) = pipe()?;
    // SAFETY: see above; the child only makes system calls and then runs another program.
    match unsafe { fork() }? {
        ForkResult::Child => {
            drop(held);
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            if is_closed(&alive) {
                // The parent died before the signal was set. It cannot be asked for by its
                // number: it is outside of the namespace.
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            Ok(())
        }
        ForkResult::Parent { child } => {
            drop(alive);
            close_all_but(held.as_raw_fd());
            wait_and_end(child)
        }
    }
}

fn is_closed(pipe: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    // SAFETY: the pipe is open as long as we borrow it.
    let fd = unsafe { BorrowedFd::borrow_raw(pipe.as_raw_fd()) };
    let mut fds = [PollFd::new(fd, PollFlags::empty())];
    let _ = poll(&mut fds, PollTimeout::ZERO);
    fds[0].revents().is_none_or(|seen| seen.contains(PollFlags::POLLHUP))
}

/// Whoever reads what the tree writes, or waits for its start, must not wait for us.
fn close_all_but(keep: i32) {
    let keep = keep.unsigned_abs();
    for (first, last) in [(0, keep.saturating_sub(1)), (keep + 1, u32::MAX)] {
        if first <= last && !(keep == 0 && first == 0) {
            // SAFETY: this process does nothing any more but wait.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
}

fn wait_and_end(child: Pid) -> ! {
    let code = loop {
        match waitpid(child, None) {
            Ok(WaitStatus::Exited(_, code)) => break code,
            Ok(WaitStatus::Signaled(_, number, _)) => {
                // SAFETY: the default is no handler.
                let _ = unsafe { signal(number, nix::sys::signal::SigHandler::SigDfl) };
                let _ = kill(getpid(), number);
                break 128 + number as i32;
            }
            Err(nix::errno::Errno::EINTR) | Ok(_) => {}
            Err(_) => break 255,
        }
    };
    // SAFETY: ends this process and runs nothing of the one that it was forked from.
    unsafe { libc::_exit(code) }
}

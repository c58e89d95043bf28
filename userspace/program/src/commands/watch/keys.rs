//! Key presses from the terminal, without ever waiting for one in a read.

use std::io::{self, stdin};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use aioinspect_kernel::host::readiness::register;
use aioinspect_render::screen::key::Key;
use aioinspect_render::screen::typed::Typed;

/// For so long the rest of a sequence may take; after that it was the key Escape.
const REST_OF_SEQUENCE: Duration = Duration::from_millis(30);

/// Keys typed at the terminal, read as they come.
pub(super) struct Keys {
    /// The terminal. Not made non-blocking: that would hold for the shell too.
    terminal: AsyncFd<OwnedFd>,
    typed: Typed,
}

/// What the terminal has to read.
enum Input {
    Bytes(Vec<u8>),
    Nothing,
    Closed,
}

impl Keys {
    /// Listens to standard input.
    pub(super) fn open() -> io::Result<Self> {
        let terminal = stdin().as_fd().try_clone_to_owned()?;
        Ok(Self { terminal: register(terminal, Interest::READABLE)?, typed: Typed::default() })
    }

    /// Waits for keys; `None` when the terminal is closed. Nothing is lost if the wait is given up.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<Key>>> {
        loop {
            let ready = self.terminal.readable();
            let mut ready = if self.typed.is_waiting() {
                match timeout(REST_OF_SEQUENCE, ready).await {
                    Ok(ready) => ready?,
                    Err(_) => return Ok(Some(self.typed.give_up())),
                }
            } else {
                ready.await?
            };
            match read_input(ready.get_inner())? {
                Input::Bytes(bytes) => {
                    let keys = self.typed.read(&bytes);
                    if !keys.is_empty() {
                        return Ok(Some(keys));
                    }
                }
                Input::Nothing => ready.clear_ready(),
                Input::Closed => return Ok(None),
            }
        }
    }
}

/// Reads what is there, if anything is: another reader may have been faster.
fn read_input(terminal: &OwnedFd) -> io::Result<Input> {
    let mut poll = [PollFd::new(terminal, PollFlags::IN)];
    match rustix::event::poll(&mut poll, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        Ok(0) | Err(Errno::INTR) => return Ok(Input::Nothing),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut bytes = vec![0_u8; 1024];
    match rustix::io::read(terminal, &mut bytes) {
        // In raw mode a terminal has no end of file but its own.
        Ok(0) | Err(Errno::IO) => Ok(Input::Closed),
        Ok(count) => {
            bytes.truncate(count);
            Ok(Input::Bytes(bytes))
        }
        Err(Errno::INTR | Errno::AGAIN) => Ok(Input::Nothing),
        Err(error) => Err(error.into()),
    }
}

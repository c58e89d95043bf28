//! The terminal that the screen of `watch` is drawn on: in its own mode while it is, as before afterwards, whatever happens.

use std::io::{self, BufWriter, Stdout, Write, stdin, stdout};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use crossterm::cursor::{Hide, Show};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::backend::CrosstermBackend;
use ratatui::layout::Rect;
use ratatui::{Terminal, TerminalOptions, Viewport};
use rustix::io::Errno;

use aioinspect_render::screen::Screen;

/// Whether the terminal is ours now. One program has one terminal, and whoever panics must find out.
static OURS: AtomicBool = AtomicBool::new(false);
/// Columns and lines of a terminal that does not know its size.
const USUAL: (u16, u16) = (80, 24);

/// The terminal. Dropped, it is as before.
pub(super) struct Display {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl Display {
    /// Takes the terminal.
    pub(super) fn enter() -> io::Result<Self> {
        restore_on_panic();
        let backend = CrosstermBackend::new(BufWriter::with_capacity(1 << 16, stdout()));
        let options = TerminalOptions { viewport: Viewport::Fixed(area()) };
        let mut display = Self { terminal: Terminal::with_options(backend, options)? };
        display.take()?;
        Ok(display)
    }

    /// Takes it again, after it was left or somebody else used it.
    pub(super) fn take(&mut self) -> io::Result<()> {
        OURS.store(true, Ordering::SeqCst);
        // What is saved of the mode may be older than what a shell did to it since.
        let _ = disable_raw_mode();
        enable_raw_mode()?;
        execute!(self.terminal.backend_mut(), EnterAlternateScreen, Hide)?;
        self.repaint()
    }

    /// Gives it back for a while.
    pub(super) fn leave(&mut self) {
        let _ = self.terminal.backend_mut().flush();
        restore();
    }

    /// Has the next drawing draw every cell, at the size that the terminal has now.
    pub(super) fn repaint(&mut self) -> io::Result<()> {
        execute!(self.terminal.backend_mut(), Clear(ClearType::All))?;
        self.terminal.resize(area())
    }

    /// Draws what changed.
    pub(super) fn draw(&mut self, screen: &mut Screen) -> io::Result<()> {
        self.terminal.draw(|frame| screen.draw(frame.buffer_mut()))?;
        Ok(())
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Lets go of the terminal without touching it: it is somebody else's already.
pub(super) fn forget() {
    OURS.store(false, Ordering::SeqCst);
}

/// Whether the terminal is ours.
pub(super) fn is_ours() -> bool {
    OURS.load(Ordering::SeqCst)
}

/// Whether the terminal reads and shows what we do: a background process that touches its mode is stopped.
pub(super) fn is_foreground() -> bool {
    // A terminal that is nobody's, or gone, is not somebody else's.
    rustix::termios::tcgetpgrp(stdin()).map_or(true, |group| group == rustix::process::getpgrp())
}

/// Whether an error says that nobody is at the terminal any more.
pub(super) fn is_closed(error: &io::Error) -> bool {
    let gone = [Errno::IO, Errno::NXIO, Errno::PIPE, Errno::BADF, Errno::NODEV];
    error.raw_os_error().is_some_and(|errno| gone.contains(&Errno::from_raw_os_error(errno)))
        || error.kind() == io::ErrorKind::BrokenPipe
}

fn area() -> Rect {
    let (columns, lines) = match rustix::termios::tcgetwinsize(stdout()) {
        Ok(size) if size.ws_col > 0 && size.ws_row > 0 => (size.ws_col, size.ws_row),
        Ok(_) | Err(_) => USUAL,
    };
    Rect::new(0, 0, columns, lines)
}

/// Puts everything back, once. What fails fails because the terminal is gone.
fn restore() {
    if OURS.swap(false, Ordering::SeqCst) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// A message of a panic in the terminal's other screen would vanish with it.
fn restore_on_panic() {
    static SET: Once = Once::new();
    SET.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

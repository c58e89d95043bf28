//! The screen of `watch`: a terminal in its own mode, drawn anew with each update and each key.

use std::io;
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::cli::WatchArgs;
use crate::commands::exit::Exit;
use crate::commands::terminal::Terminal;
use crate::commands::watch::display::{Display, forget, is_closed, is_foreground, is_ours};
use crate::commands::watch::feed::Feed;
use crate::commands::watch::keys::Keys;
use aioinspect_kernel::host::suspend::{Who, stop};
use aioinspect_model::units::Pid;
use aioinspect_render::screen::key::{Action, Key};
use aioinspect_render::screen::{Screen, Theme};

/// The shortest time between two drawings: nobody reads faster, and a terminal may be far away.
const BETWEEN_DRAWINGS: Duration = Duration::from_millis(50);
/// How often a process in the background looks whether the terminal is its own again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Shows the screen until it is quit; the terminal is as before afterwards, whatever happens.
pub(super) async fn run(feed: &mut Feed, args: &WatchArgs, terminal: Terminal) -> anyhow::Result<Exit> {
    let theme = Theme { color: terminal.color, ascii: args.ascii };
    let only = args.pid.iter().map(|pid| Pid(*pid)).collect();
    // Signals first: from here on none of them ends us while the terminal is not as before.
    let mut signals = Signals::new().context("cannot handle signals")?;
    let mut keys = Keys::open().context("cannot read the terminal")?;
    let display = match Display::enter() {
        Ok(display) => display,
        Err(error) if is_closed(&error) => return Ok(Exit::Fine),
        Err(error) => return Err(error).context("cannot use the terminal as a screen"),
    };
    let deadline = args.duration.map(|duration| Instant::now() + duration);
    let mut shown = Shown { screen: Screen::new(theme, only), display, stale: true, drawn: None };
    if let Some(replay) = feed.replay() {
        replay.begin(&mut shown.screen)?;
    }
    let ended = shown.until_the_end(feed, &mut keys, &mut signals, deadline).await;
    if feed.recorder().is_some() {
        // What happened until now belongs to the recording; it is lost with the kernel's programs otherwise.
        let _ = feed.rest();
    }
    match ended {
        Err(End::Terminal(error)) if is_closed(&error) => Ok(Exit::Fine),
        Err(End::Terminal(error)) => Err(error).context("cannot write to the terminal"),
        Err(End::Feed(error)) => Err(error),
        Ok(()) => Ok(Exit::Fine),
    }
}

/// The signals that mean something to a screen.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
    resize: Signal,
    suspend: Signal,
    resume: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            resize: signal(SignalKind::window_change())?,
            suspend: signal(SignalKind::from_raw(libc::SIGTSTP))?,
            resume: signal(SignalKind::from_raw(libc::SIGCONT))?,
        })
    }
}

/// Why it cannot go on.
enum End {
    Terminal(io::Error),
    Feed(anyhow::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Terminal(error)
    }
}

struct Shown {
    screen: Screen,
    display: Display,
    /// Whether something changed since it was drawn.
    stale: bool,
    drawn: Option<Instant>,
}

impl Shown {
    async fn until_the_end(
        &mut self,
        feed: &mut Feed,
        keys: &mut Keys,
        signals: &mut Signals,
        deadline: Option<Instant>,
    ) -> Result<(), End> {
        let mut ended = false;
        loop {
            if !is_ours() {
                self.come_back()?;
            }
            let here = is_ours();
            let due = self.drawn.map_or_else(Instant::now, |drawn| drawn + BETWEEN_DRAWINGS);
            tokio::select! {
                () = sleep_until(due), if here && self.stale => {
                    self.display.draw(&mut self.screen)?;
                    self.drawn = Some(Instant::now());
                    self.stale = false;
                }
                update = feed.next(), if !ended => {
                    if let Some(update) = update.map_err(End::Feed)? {
                        self.stale |= self.screen.update(update.picture, update.events, update.status);
                        if let Some(recorder) = feed.recorder() {
                            self.screen.record(recorder.state());
                        }
                    } else {
                        ended = true;
                        self.screen.end();
                        self.stale = true;
                    }
                }
                typed = keys.next(), if here => {
                    let Some(typed) = typed? else { return Ok(()) };
                    for key in typed {
                        if self.key(key, feed)? == Action::Quit {
                            return Ok(());
                        }
                    }
                }
                _ = signals.interrupt.recv() => return Ok(()),
                _ = signals.terminate.recv() => return Ok(()),
                _ = signals.hangup.recv() => return Ok(()),
                () = sleep_until(deadline.unwrap_or(due)), if deadline.is_some() => return Ok(()),
                _ = signals.suspend.recv() => self.stop(Who::Us)?,
                // Whoever stopped us may have used the terminal since.
                _ = signals.resume.recv() => forget(),
                _ = signals.resize.recv(), if here => {
                    self.display.repaint()?;
                    self.stale = true;
                }
                () = sleep(BETWEEN_LOOKS), if !here => {}
            }
        }
    }

    fn key(&mut self, key: Key, feed: &mut Feed) -> Result<Action, End> {
        let action = self.screen.key(key);
        match action {
            Action::Nothing | Action::Quit => {}
            Action::Draw => self.stale = true,
            Action::Next | Action::Previous | Action::Jump => {
                if let Some(replay) = feed.replay() {
                    replay.travel(action, &mut self.screen).map_err(End::Feed)?;
                }
                self.stale = true;
            }
            Action::Repaint => {
                self.display.repaint()?;
                self.stale = true;
            }
            Action::Suspend => self.stop(Who::Group)?,
        }
        Ok(action)
    }

    /// Gives the terminal back and stops; goes on from here when continued.
    fn stop(&mut self, who: Who) -> Result<(), End> {
        self.display.leave();
        Ok(stop(who).map_err(io::Error::from)?)
    }

    /// Takes the terminal again, unless we are in the background, where it is not ours to take.
    fn come_back(&mut self) -> Result<(), End> {
        if is_foreground() {
            self.display.take()?;
            self.stale = true;
        }
        Ok(())
    }
}

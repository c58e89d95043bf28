//! The screen of a recording: keys that travel in time, and the line in which a time is typed.

use aioinspect_model::event::{Timed, WatchStatus};
use aioinspect_model::picture::Picture;

use crate::moment::EXAMPLES;
use crate::screen::canvas::Canvas;
use crate::screen::key::{Action, Key};
use crate::screen::theme::Tone;
use crate::screen::{Screen, Told};

/// Characters that a time may have.
const LONGEST_TIME: usize = 40;

/// Where in a recording the screen is.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Which picture is shown, counted from 1, and how many there are.
    nth: usize,
    pictures: usize,
    /// The time that is being typed.
    jump: Option<String>,
    /// What is to be read until the next key.
    says: String,
}

impl Screen {
    /// Shows a picture of a recording, the `nth` of so many, and what happened before it, instead of what was shown.
    pub fn show(
        &mut self,
        (nth, pictures): (usize, usize),
        picture: Picture,
        events: Vec<Timed>,
        status: WatchStatus,
    ) {
        let replay = self.replay.get_or_insert_default();
        (replay.nth, replay.pictures) = (nth, pictures);
        self.paused = None;
        self.shown = Told::default();
        self.update(Some(picture), events, status);
    }

    /// Has something read below the picture, until the next key.
    pub fn say(&mut self, says: String) {
        if let Some(replay) = &mut self.replay {
            replay.says = says;
        }
    }

    /// The time that was typed.
    pub fn asked(&mut self) -> String {
        self.replay.as_mut().and_then(|replay| replay.jump.take()).unwrap_or_default()
    }

    /// What a key means in a recording; `None`: what it means elsewhere.
    pub(super) fn key_of_replay(&mut self, key: Key) -> Option<Action> {
        let is_elsewhere = self.typing || self.help.is_some();
        let replay = self.replay.as_mut()?;
        replay.says.clear();
        let Some(typed) = &mut replay.jump else {
            return match key {
                _ if is_elsewhere => None,
                Key::Char('t') => Some(Action::Next),
                Key::Char('T') => Some(Action::Previous),
                Key::Char('j') => {
                    replay.jump = Some(String::new());
                    Some(Action::Draw)
                }
                // There is nothing to wait for.
                Key::Char('p' | ' ') => Some(Action::Nothing),
                Key::Char(_)
                | Key::Ctrl(_)
                | Key::Enter
                | Key::Esc
                | Key::Tab
                | Key::Backspace
                | Key::Up
                | Key::Down
                | Key::PageUp
                | Key::PageDown
                | Key::Home
                | Key::End
                | Key::F1 => None,
            };
        };
        match key {
            Key::Enter if !typed.trim().is_empty() => return Some(Action::Jump),
            Key::Enter | Key::Esc => replay.jump = None,
            Key::Backspace if typed.is_empty() => replay.jump = None,
            Key::Backspace => {
                typed.pop();
            }
            Key::Ctrl('u') => typed.clear(),
            Key::Char(c) if typed.len() < LONGEST_TIME && !c.is_control() => typed.push(c),
            Key::Char(_)
            | Key::Ctrl(_)
            | Key::Tab
            | Key::Up
            | Key::Down
            | Key::PageUp
            | Key::PageDown
            | Key::Home
            | Key::End
            | Key::F1 => return Some(Action::Nothing),
        }
        Some(Action::Draw)
    }
}

impl Replay {
    /// `recorded, 12 of 300`
    pub(super) fn place(&self) -> String {
        format!("recorded, {} of {}", self.nth, self.pictures)
    }

    /// Draws what is typed or to be read, if there is anything.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>, y: usize) -> bool {
        if let Some(typed) = &self.jump {
            let typed = canvas.theme.name(typed.as_bytes()).into_owned();
            let mut x = canvas.write(0, y, "jump to ", Tone::Key);
            x = x.saturating_add(canvas.write(x, y, &typed, Tone::Strong));
            x = x.saturating_add(canvas.write(x, y, " ", Tone::Selected)).saturating_add(1);
            canvas.write(x, y, &format!("UTC: {EXAMPLES}"), Tone::Faint);
            return true;
        }
        if self.says.is_empty() {
            return false;
        }
        let says = canvas.theme.name(self.says.as_bytes()).into_owned();
        canvas.write(0, y, &says, Tone::Pending);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Theme;
    use crate::screen::specimen::host;

    fn shown(nth: usize) -> Screen {
        let mut screen = Screen::new(Theme { color: false, ascii: true }, Vec::new());
        screen.show((nth, 3), host(), Vec::new(), WatchStatus::default());
        screen
    }

    /// Check what each key asks for in a recording, that a time is typed letter by letter, and that elsewhere the same keys do what they always did.
    #[test]
    fn keys() {
        let mut screen = shown(1);
        assert_eq!(screen.key(Key::Char('t')), Action::Next);
        assert_eq!(screen.key(Key::Char('T')), Action::Previous);
        assert_eq!(screen.key(Key::Char('j')), Action::Draw);
        for key in "-1hx".chars() {
            assert_eq!(screen.key(Key::Char(key)), Action::Draw);
        }
        screen.key(Key::Backspace);
        assert_eq!(screen.key(Key::Enter), Action::Jump);
        assert_eq!((screen.asked(), screen.asked()), ("-1h".to_owned(), String::new()));
        for key in "jt".chars() {
            screen.key(Key::Char(key));
        }
        assert_eq!(screen.key(Key::Esc), Action::Draw);
        assert_eq!(screen.key(Key::Char('t')), Action::Next, "the line is closed");
        screen.key(Key::Char('/'));
        assert_eq!(screen.key(Key::Char('t')), Action::Draw, "a letter of the filter");
        let mut live = Screen::new(Theme { color: false, ascii: true }, Vec::new());
        assert_eq!(live.key(Key::Char('t')), Action::Nothing);
        live.update(Some(host()), Vec::new(), WatchStatus::default());
        live.key(Key::Char('j'));
        assert_eq!(live.process.row(), 1, "a row down");
    }
}

//! What each key does.

use crate::fields::Field;
use crate::fields::order::Order;
use crate::screen::cursor::Cursor;
use crate::screen::key::{Action, Key};
use crate::screen::processes::Grouping;
use crate::screen::rows::key_of;
use crate::screen::rows::{OF_CONTEXTS, columns_of};
use crate::screen::search::Search;
use crate::screen::{Pane, Screen};

/// Characters that a search may have: no terminal is as wide, and an expression must not be longer.
const LONGEST_SEARCH: usize = 1000;

/// A move in a list or a page.
#[derive(Clone, Copy)]
enum Step {
    Up(usize),
    Down(usize),
    First,
    Last,
}

impl Screen {
    /// Answers to a key.
    pub fn key(&mut self, key: Key) -> Action {
        if let Key::Ctrl(letter @ ('c' | 'z' | 'l')) = key {
            return match letter {
                'c' => Action::Quit,
                'z' => Action::Suspend,
                _ => Action::Repaint,
            };
        }
        if let Some(action) = self.key_of_replay(key) {
            return action;
        }
        if self.typing {
            return self.key_of_search(key);
        }
        if self.help.is_some() {
            return self.key_of_help(key);
        }
        match key {
            Key::Char('q') => return Action::Quit,
            Key::Char('?' | 'h') | Key::F1 => self.turn_to(Some(0)),
            Key::Char('p' | ' ') if self.paused.is_some() => self.resume(),
            Key::Char('p' | ' ') => self.pause(),
            _ if self.detail.is_some() => return self.key_of_detail(key),
            Key::Char('/') => self.typing = true,
            Key::Char('s') => self.sort(Order::next),
            Key::Char('S') => self.sort(|order, _| Order { reverse: !order.reverse, ..order }),
            Key::Char('o') => self.regroup(),
            Key::Char('e') => self.more_events = !self.more_events,
            Key::Tab => {
                self.pane = match self.pane {
                    Pane::Processes => Pane::Contexts,
                    Pane::Contexts => Pane::Processes,
                }
            }
            Key::Enter if self.pane == Pane::Processes => self.pane = Pane::Contexts,
            Key::Enter => {
                self.open_detail();
                self.turn_to(None);
            }
            Key::Esc => return self.back(),
            Key::Char(_)
            | Key::Ctrl(_)
            | Key::Backspace
            | Key::Up
            | Key::Down
            | Key::PageUp
            | Key::PageDown
            | Key::Home
            | Key::End => match step(key, self.page_of_pane()) {
                Some(step) => self.go(step),
                None => return Action::Nothing,
            },
        }
        Action::Draw
    }

    /// From processes to owners, or back; to all of them.
    fn regroup(&mut self) {
        self.rows.grouping = match self.rows.grouping {
            Grouping::Processes => Grouping::Owners,
            Grouping::Owners => Grouping::Processes,
        };
        std::mem::swap(&mut self.process_order, &mut self.other_order);
        self.pane = Pane::Processes;
        self.process = Cursor::default();
        self.sift();
    }

    /// From contexts to processes, from one process to all, then from some to all.
    fn back(&mut self) -> Action {
        if self.pane == Pane::Contexts {
            self.pane = Pane::Processes;
        } else if self.process.row() > 0 {
            self.go(Step::First);
        } else if self.typed.is_empty() {
            return Action::Nothing;
        } else {
            self.typed.clear();
            self.search();
        }
        Action::Draw
    }

    fn key_of_search(&mut self, key: Key) -> Action {
        match key {
            Key::Enter => self.typing = false,
            Key::Esc => {
                self.typing = false;
                self.typed.clear();
                self.search();
            }
            Key::Backspace if self.typed.is_empty() => self.typing = false,
            Key::Backspace => {
                self.typed.pop();
                self.search();
            }
            Key::Ctrl('u') => {
                self.typed.clear();
                self.search();
            }
            Key::Ctrl('w') => {
                let kept = self.typed.trim_end().rfind(' ').map_or(0, |at| at.saturating_add(1));
                self.typed.truncate(kept);
                self.search();
            }
            Key::Char(c) if self.typed.len() < LONGEST_SEARCH && !c.is_control() => {
                self.typed.push(c);
                self.search();
            }
            Key::Up | Key::Down | Key::PageUp | Key::PageDown => {
                if let Some(step) = step(key, self.page_of_pane()) {
                    self.go(step);
                }
            }
            Key::Char(_) | Key::Ctrl(_) | Key::Tab | Key::Home | Key::End | Key::F1 => {
                return Action::Nothing;
            }
        }
        Action::Draw
    }

    fn search(&mut self) {
        self.search = Search::of(&self.typed);
        self.sift();
    }

    /// Opens the help, or closes it. A page is as long as it turns out when it is drawn: a key that comes before that, as on a busy machine,
    /// is not held to the length of another one.
    fn turn_to(&mut self, help: Option<usize>) {
        self.help = help;
        self.scrollable = usize::MAX;
    }

    fn key_of_help(&mut self, key: Key) -> Action {
        match (key, step(key, self.page), self.help) {
            (Key::Char('q' | '?' | 'h') | Key::F1 | Key::Esc | Key::Enter, _, _) => self.turn_to(None),
            (_, Some(step), Some(top)) => self.help = Some(scrolled(top, step, self.scrollable)),
            _ => return Action::Nothing,
        }
        Action::Draw
    }

    fn key_of_detail(&mut self, key: Key) -> Action {
        match (key, step(key, self.page), &mut self.detail) {
            (Key::Esc | Key::Enter | Key::Backspace, _, _) => self.detail = None,
            (_, Some(step), Some(detail)) => detail.top = scrolled(detail.top, step, self.scrollable),
            _ => return Action::Nothing,
        }
        Action::Draw
    }

    fn sort(&mut self, change: impl Fn(Order, &[Field]) -> Order) {
        match self.pane {
            Pane::Processes => {
                self.process_order = change(self.process_order, columns_of(self.rows.grouping));
                let Some(picture) = &self.shown.picture else { return };
                self.rows.sort_processes(picture, self.process_order);
                let processes = &self.rows.processes;
                self.process
                    .settle(processes.len(), |row| processes.get(row).map(|process| process.key.clone()));
            }
            Pane::Contexts => {
                self.context_order = change(self.context_order, &OF_CONTEXTS);
                self.choose();
            }
        }
    }

    fn page_of_pane(&self) -> usize {
        match self.pane {
            Pane::Processes => self.process.page(),
            Pane::Contexts => self.context.page(),
        }
    }

    fn go(&mut self, step: Step) {
        let Some(picture) = &self.shown.picture else { return };
        let rows = &self.rows;
        match self.pane {
            Pane::Processes => {
                let len = rows.processes.len();
                let row = moved(self.process.row(), step, len);
                self.process.go(row, len, |row| rows.processes.get(row).map(|process| process.key.clone()));
                self.choose();
            }
            Pane::Contexts => {
                let len = rows.contexts.len();
                let row = moved(self.context.row(), step, len);
                self.context.go(row, len, |row| rows.context(picture, row).map(key_of));
            }
        }
    }
}

/// The move that a key asks for.
fn step(key: Key, page: usize) -> Option<Step> {
    match key {
        Key::Up | Key::Char('k') => Some(Step::Up(1)),
        Key::Down | Key::Char('j') => Some(Step::Down(1)),
        Key::PageUp | Key::Ctrl('b') => Some(Step::Up(page.max(1))),
        Key::PageDown | Key::Ctrl('f') => Some(Step::Down(page.max(1))),
        Key::Home | Key::Char('g') => Some(Step::First),
        Key::End | Key::Char('G') => Some(Step::Last),
        Key::Char(_) | Key::Ctrl(_) | Key::Enter | Key::Esc | Key::Tab | Key::Backspace | Key::F1 => None,
    }
}

fn moved(row: usize, step: Step, len: usize) -> usize {
    let last = len.saturating_sub(1);
    match step {
        Step::Up(rows) => row.saturating_sub(rows),
        Step::Down(rows) => row.saturating_add(rows).min(last),
        Step::First => 0,
        Step::Last => last,
    }
}

fn scrolled(top: usize, step: Step, scrollable: usize) -> usize {
    moved(top, step, scrollable.saturating_add(1))
}

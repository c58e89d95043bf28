//! The keys the screen knows, and what a key press asks of whoever shows it.

/// One key press.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// A character, as typed.
    Char(char),
    /// A letter, lower case, with Ctrl held down.
    Ctrl(char),
    /// The return key, or Enter of the keypad.
    Enter,
    /// Escape alone, with no sequence after it.
    Esc,
    /// Tab, with or without Shift.
    Tab,
    /// Backspace, whichever byte the terminal sends.
    Backspace,
    /// One row up.
    Up,
    /// One row down.
    Down,
    /// One page up.
    PageUp,
    /// One page down.
    PageDown,
    /// The first row.
    Home,
    /// The last row.
    End,
    /// F1.
    F1,
}

/// What is to be done after a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: the screen is as before.
    Nothing,
    /// Draw anew.
    Draw,
    /// Draw every cell anew: something else wrote on the terminal.
    Repaint,
    /// Stop, as Ctrl-Z asks for.
    Suspend,
    /// Show the next picture of the recording.
    Next,
    /// Show the picture before.
    Previous,
    /// Show the picture of the time that was typed ([`Screen::asked`](crate::screen::Screen::asked)).
    Jump,
    /// End the program.
    Quit,
}

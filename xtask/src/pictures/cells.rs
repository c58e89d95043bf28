//! A frame of a terminal, as `tmux capture-pane -e` writes it: text, and escape sequences that change colours and style.

/// One of the terminal's colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    /// One of 256; the first 16 are the ones that have names.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a cell looks.
#[expect(clippy::struct_excessive_bools, reason = "a terminal switches each of them apart from the others")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub fore: Option<Colour>,
    pub back: Option<Colour>,
    pub bold: bool,
    pub dim: bool,
    pub underlined: bool,
    pub reversed: bool,
}

/// Characters of one style, and the column where they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub column: usize,
    pub text: String,
    pub style: Style,
}

/// The lines of a frame, each as its runs. A style goes on over the end of a line.
pub(super) fn parse(frame: &str) -> Vec<Vec<Run>> {
    let mut style = Style::default();
    frame.lines().map(|line| runs(line, &mut style)).collect()
}

fn runs(line: &str, style: &mut Style) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut column, mut chars) = (0, line.chars());
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            let sequence: String =
                chars.by_ref().take_while(|c| !c.is_ascii_alphabetic()).filter(|c| *c != '[').collect();
            style.change(&sequence);
        } else if !c.is_control() {
            match runs.last_mut() {
                Some(run) if run.style == *style => run.text.push(c),
                _ => runs.push(Run { column, text: String::from(c), style: *style }),
            }
            column += 1;
        }
    }
    runs
}

impl Style {
    /// By the numbers of one sequence, such as `1;38;5;2`. Those that this does not know change nothing.
    fn change(&mut self, sequence: &str) {
        let mut codes = sequence.split([';', ':']).map(|code| code.parse::<u8>().unwrap_or(0));
        while let Some(code) = codes.next() {
            match code {
                0 => *self = Style::default(),
                1 => self.bold = true,
                2 => self.dim = true,
                4 => self.underlined = true,
                7 => self.reversed = true,
                22 => (self.bold, self.dim) = (false, false),
                24 => self.underlined = false,
                27 => self.reversed = false,
                30..=37 => self.fore = Some(Colour::Indexed(code - 30)),
                90..=97 => self.fore = Some(Colour::Indexed(code - 82)),
                40..=47 => self.back = Some(Colour::Indexed(code - 40)),
                100..=107 => self.back = Some(Colour::Indexed(code - 92)),
                38 => self.fore = extended(&mut codes),
                48 => self.back = extended(&mut codes),
                39 => self.fore = None,
                49 => self.back = None,
                _ => {}
            }
        }
    }
}

/// What follows 38 or 48: `5;N` or `2;R;G;B`.
fn extended(codes: &mut impl Iterator<Item = u8>) -> Option<Colour> {
    match codes.next()? {
        5 => Some(Colour::Indexed(codes.next()?)),
        2 => Some(Colour::Rgb(codes.next()?, codes.next()?, codes.next()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that runs begin where the style changes, that it lasts over lines, and that a reset ends it.
    #[test]
    fn styles_make_runs() {
        let lines = parse("a\u{1b}[1;38;5;1mbc\u{1b}[48;2;1;2;3md\ne\u{1b}[0mf\u{1b}[91mg");
        let red = Style { bold: true, fore: Some(Colour::Indexed(1)), ..Style::default() };
        let on = Style { back: Some(Colour::Rgb(1, 2, 3)), ..red };
        let run = |column, text: &str, style| Run { column, text: text.to_owned(), style };
        assert_eq!(lines[0], [run(0, "a", Style::default()), run(1, "bc", red), run(3, "d", on)]);
        let bright = Style { fore: Some(Colour::Indexed(9)), ..Style::default() };
        assert_eq!(lines[1], [run(0, "e", on), run(1, "f", Style::default()), run(2, "g", bright)]);
    }
}

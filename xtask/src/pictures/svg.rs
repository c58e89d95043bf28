//! A terminal's frame as SVG: text as text, and the characters that are drawings as rectangles, so that no font leaves gaps.

use std::fmt::Write as _;

use super::cells::{Colour, Run, Style};

/// One cell, in pixels; the size of the letters, and where they stand in it.
const WIDTH: usize = 8;
const HEIGHT: usize = 17;
const LETTERS: usize = 13;
const BASE: usize = 13;
/// Around the frame, and the bar with its title above it.
const EDGE: usize = 12;
const BAR: usize = 30;

const BACK: &str = "#16191f";
const FORE: &str = "#d7dae0";
/// The 16 colours that have names.
const NAMED: [&str; 16] = [
    "#21252b", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#abb2bf", "#6b7280",
    "#f0808a", "#b5e08f", "#f5d58f", "#82c4ff", "#dc9bee", "#7fd6e0", "#ffffff",
];

/// The picture, a document of its own.
pub(super) fn draw(title: &str, lines: &[Vec<Run>]) -> String {
    let columns = lines.iter().flatten().map(|run| run.column + run.text.chars().count()).max().unwrap_or(0);
    let (width, height) = (columns * WIDTH + 2 * EDGE, lines.len() * HEIGHT + BAR + EDGE);
    let mut svg = String::new();
    // A string takes everything.
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-family=\"'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace\" font-size=\"{LETTERS}\" fill=\"{FORE}\">\n\
         <title>{0}</title>\n\
         <rect width=\"{width}\" height=\"{height}\" rx=\"8\" fill=\"{BACK}\"/>\n\
         <circle cx=\"18\" cy=\"15\" r=\"5\" fill=\"#e06c75\"/><circle cx=\"36\" cy=\"15\" r=\"5\" fill=\"#e5c07b\"/><circle cx=\"54\" cy=\"15\" r=\"5\" fill=\"#98c379\"/>\n\
         <text x=\"{1}\" y=\"19\" text-anchor=\"middle\" fill=\"#8b93a1\">{0}</text>",
        escaped(title),
        width / 2,
    );
    for (at, line) in lines.iter().enumerate() {
        for run in line {
            one(&mut svg, run, EDGE + run.column * WIDTH, BAR + at * HEIGHT);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn one(svg: &mut String, run: &Run, x: usize, y: usize) {
    let (fore, back) = colours(run.style);
    let cells = run.text.chars().count();
    if back != BACK {
        rectangle(svg, (x, y), (cells * WIDTH, HEIGHT), &back, 100);
    }
    let mut left = run.text.as_str();
    let mut column = 0;
    while let Some(first) = left.chars().next() {
        // As many as are alike: the same drawing, or letters.
        let kind = |c: char| shape(c).map(|_| c);
        let end = left.find(|c| kind(c) != kind(first)).unwrap_or(left.len());
        let (part, rest) = left.split_at(end);
        let (count, from) = (part.chars().count(), x + column * WIDTH);
        match shape(first) {
            Some((top, tall, strength)) => {
                rectangle(svg, (from, y + top), (count * WIDTH, tall), &fore, strength);
            }
            None => text(svg, part, (from, y + BASE), run.style, &fore),
        }
        (left, column) = (rest, column + count);
    }
}

/// Characters that fill the width of their cell: the top and the height of what they fill, in pixels, and how strongly, in percent.
fn shape(c: char) -> Option<(usize, usize, usize)> {
    match c {
        '█' => Some((2, HEIGHT - 4, 100)),
        '▓' => Some((2, HEIGHT - 4, 75)),
        '▒' => Some((2, HEIGHT - 4, 50)),
        '░' => Some((2, HEIGHT - 4, 25)),
        '─' => Some((HEIGHT / 2, 1, 100)),
        // Eighths from below: of a line that is drawn with letters.
        '▁'..='▇' => {
            let eighths = (u32::from(c) - u32::from('▁') + 1) as usize;
            let tall = ((HEIGHT - 2) * eighths / 8).max(1);
            Some((HEIGHT - 1 - tall, tall, 100))
        }
        _ => None,
    }
}

fn rectangle(
    svg: &mut String,
    (x, y): (usize, usize),
    (width, height): (usize, usize),
    fill: &str,
    strength: usize,
) {
    let opacity = if strength < 100 { format!(" opacity=\"0.{strength}\"") } else { String::new() };
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" fill=\"{fill}\"{opacity}/>"
    );
}

/// Words that stand far apart are texts of their own, at their own columns: no viewer may move them.
fn text(svg: &mut String, part: &str, (x, y): (usize, usize), style: Style, fore: &str) {
    let mut at = 0;
    for word in part.split("  ") {
        let cells = word.chars().count();
        let trimmed = word.trim_start();
        let skipped = cells - trimmed.chars().count();
        let trimmed = trimmed.trim_end();
        if !trimmed.is_empty() {
            let (from, length) = (x + (at + skipped) * WIDTH, trimmed.chars().count() * WIDTH);
            let mut marks = String::new();
            if fore != FORE {
                let _ = write!(marks, " fill=\"{fore}\"");
            }
            if style.bold {
                marks.push_str(" font-weight=\"bold\"");
            }
            if style.dim {
                marks.push_str(" opacity=\"0.6\"");
            }
            if style.underlined {
                marks.push_str(" text-decoration=\"underline\"");
            }
            let _ = writeln!(
                svg,
                "<text x=\"{from}\" y=\"{y}\" textLength=\"{length}\"{marks}>{}</text>",
                escaped(trimmed)
            );
        }
        at += cells + 2;
    }
}

/// Those of the letters and of what is behind them.
fn colours(style: Style) -> (String, String) {
    let fore = style.fore.map_or_else(|| FORE.to_owned(), named);
    let back = style.back.map_or_else(|| BACK.to_owned(), named);
    if style.reversed { (back, fore) } else { (fore, back) }
}

/// A colour as SVG has it. Beyond the 16: a cube of 6 by 6 by 6, then 24 greys.
fn named(colour: Colour) -> String {
    let (red, green, blue) = match colour {
        Colour::Rgb(red, green, blue) => (red, green, blue),
        Colour::Indexed(index) => {
            if let Some(name) = NAMED.get(usize::from(index)) {
                return (*name).to_owned();
            }
            let level = |part: u8| if part == 0 { 0 } else { part.saturating_mul(40).saturating_add(55) };
            if let 16..=231 = index {
                let cube = index - 16;
                (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
            } else {
                let grey = index.saturating_sub(232).saturating_mul(10).saturating_add(8);
                (grey, grey, grey)
            }
        }
    };
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::cells::parse;
    use super::*;

    /// Check that what is not a letter is drawn, that letters are escaped and stand at their columns, and that colours are theirs.
    #[test]
    fn draws_cells() {
        let svg = draw("a & b", &parse("\u{1b}[38;5;1m██░\u{1b}[0m <b>  x\n\u{1b}[30;42m─\u{1b}[0;1my"));
        for part in [
            "<title>a &amp; b</title>",
            "<rect x=\"12\" y=\"32\" width=\"16\" height=\"13\" fill=\"#e06c75\"/>",
            "<rect x=\"28\" y=\"32\" width=\"8\" height=\"13\" fill=\"#e06c75\" opacity=\"0.25\"/>",
            "<text x=\"44\" y=\"43\" textLength=\"24\">&lt;b&gt;</text>",
            "<text x=\"84\" y=\"43\" textLength=\"8\">x</text>",
            "<rect x=\"12\" y=\"47\" width=\"8\" height=\"17\" fill=\"#98c379\"/>",
            "<rect x=\"12\" y=\"55\" width=\"8\" height=\"1\" fill=\"#21252b\"/>",
            "<text x=\"20\" y=\"60\" textLength=\"8\" font-weight=\"bold\">y</text>",
        ] {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert_eq!(named(Colour::Indexed(196)), "#ff0000");
        assert_eq!(named(Colour::Indexed(255)), "#eeeeee");
        assert_eq!(shape('▁').map(|(top, tall, _)| top + tall), Some(HEIGHT - 1));
    }
}

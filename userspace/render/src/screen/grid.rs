//! A table in a part of the canvas: headings, and as many rows as there is room for. Only those are turned into text.

use crate::fields::Field;
use crate::fields::order::Order;
use crate::screen::canvas::{Canvas, width};
use crate::screen::row::Row;
use crate::screen::theme::Tone;

/// Columns that are more dispensable than this are shown only where the others can be read well.
const MATTERS: u8 = 4;

/// A table to be drawn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid<'a> {
    /// Its columns, as they stand.
    pub fields: &'a [Field],
    /// What it is sorted by.
    pub order: Order,
    /// Line of the headings.
    pub y: usize,
    /// Lines of rows below it.
    pub page: usize,
    /// The row on the first line.
    pub top: usize,
    /// The row that is selected.
    pub selected: usize,
    /// Whether it takes the keys.
    pub focus: bool,
}

/// A column that is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    field: Field,
    x: usize,
    width: usize,
    right: bool,
}

impl Grid<'_> {
    /// Draws it. `needs`: what the widest cell of a column needs; `row_at`: the row of a number.
    pub(super) fn draw<R: Row>(
        &self,
        canvas: &mut Canvas<'_>,
        needs: impl Fn(Field) -> usize,
        row_at: impl Fn(usize) -> Option<R>,
    ) {
        let places = self.places(canvas.width(), needs);
        canvas.line_tone(self.y, Tone::Heading);
        for place in &places {
            let sorted = place.field == self.order.field;
            let tone = if sorted { Tone::Sorted } else { Tone::Heading };
            let text = self.heading(place.field, canvas);
            put(canvas, *place, self.y, &text, tone);
        }
        for line in 0..self.page {
            let nth = self.top.saturating_add(line);
            let Some(row) = row_at(nth) else { break };
            let y = self.y.saturating_add(line).saturating_add(1);
            let whole = match (nth == self.selected, self.focus) {
                (false, _) => None,
                (true, true) => Some(Tone::Selected),
                (true, false) => Some(Tone::Marked),
            };
            if let Some(tone) = whole {
                canvas.line_tone(y, tone);
            }
            for place in &places {
                let cell = row.cell(place.field, canvas.theme);
                put(canvas, *place, y, &cell, whole.unwrap_or_else(|| row.tone(place.field)));
            }
        }
    }

    fn heading(&self, field: Field, canvas: &Canvas<'_>) -> String {
        let signs = canvas.signs();
        let arrow = match (field == self.order.field, self.order.descends()) {
            (false, _) => "",
            (true, true) => signs.down,
            (true, false) => signs.up,
        };
        format!("{}{arrow}", field.heading())
    }

    /// The columns there is room for, the indispensable first, and what is left given to those that can use it.
    fn places(&self, room: usize, needs: impl Fn(Field) -> usize) -> Vec<Place> {
        let mut ranked: Vec<Field> = self.fields.to_vec();
        // The first column says what a row is.
        ranked.sort_by_key(|field| (self.fields.first() != Some(field), field.row().shape.dispensable));
        let mut chosen: Vec<(Field, usize)> = Vec::new();
        let mut used = 0_usize;
        for field in ranked {
            let least = self.least(field, &needs);
            let more = least.saturating_add(usize::from(!chosen.is_empty()));
            // The first is shown in any case, cut if need be.
            if !chosen.is_empty() && used.saturating_add(more) > room {
                continue;
            }
            used = used.saturating_add(more);
            chosen.push((field, least));
            if field.row().shape.dispensable <= MATTERS {
                continue;
            }
            let wanted = |(field, width): &(Field, usize)| {
                field.row().shape.good.min(needs(*field)).saturating_sub(*width)
            };
            let missing: usize = chosen.iter().map(wanted).sum();
            if used.saturating_add(missing) > room {
                chosen.pop();
                used = used.saturating_sub(more);
            }
        }
        let mut spare = room.saturating_sub(used);
        for wanted in [|field: Field| field.row().shape.good, |field: Field| field.row().shape.enough] {
            for (field, width) in &mut chosen {
                let more = wanted(*field).min(needs(*field)).saturating_sub(*width).min(spare);
                *width = width.saturating_add(more);
                spare = spare.saturating_sub(more);
            }
        }
        let mut x = 0_usize;
        let mut place = |field: &Field| {
            let (_, width) = chosen.iter().find(|(shown, _)| shown == field)?;
            let place = Place { field: *field, x, width: *width, right: field.is_right() };
            x = x.saturating_add(*width).saturating_add(1);
            Some(place)
        };
        self.fields.iter().filter_map(&mut place).collect()
    }

    fn least(&self, field: Field, needs: impl Fn(Field) -> usize) -> usize {
        let shape = field.row().shape;
        let arrow = usize::from(field == self.order.field);
        let least = shape.least.max(field.heading().len().saturating_add(arrow));
        if field.is_right() { least.max(needs(field)) } else { least }
    }
}

fn put(canvas: &mut Canvas<'_>, place: Place, y: usize, text: &str, tone: Tone) {
    let blanks = if place.right { place.width.saturating_sub(width(text)) } else { 0 };
    canvas.put(place.x.saturating_add(blanks), y, text, place.width.saturating_sub(blanks), tone);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::rows::{OF_CONTEXTS, OF_OWNERS, OF_PROCESSES};

    fn shown(fields: &[Field], room: usize) -> Vec<&'static str> {
        let grid = Grid {
            fields,
            order: Order::by(Field::MaxReqs),
            y: 0,
            page: 1,
            top: 0,
            selected: 0,
            focus: true,
        };
        let needs = |field: Field| if field == Field::Pid { 5 } else { field.row().shape.enough };
        let places = grid.places(room, needs);
        let end = places.last().map_or(0, |place| place.x + place.width);
        assert!(end <= room || places.len() == 1, "{end} of {room}");
        places.iter().map(|place| place.field.heading()).collect()
    }

    /// Check which columns a narrow table gives up.
    #[test]
    fn narrow() {
        assert_eq!(shown(&OF_CONTEXTS, 120).len(), OF_CONTEXTS.len());
        assert_eq!(
            shown(&OF_CONTEXTS, 80),
            ["PID", "COMM", "CONTEXT", "MAX_REQS", "IN_FLIGHT", "UNREAPED", "FILL", "FINDINGS"]
        );
        assert_eq!(shown(&OF_CONTEXTS, 40), ["PID", "COMM", "MAX_REQS", "FINDINGS"]);
        assert_eq!(shown(&OF_CONTEXTS, 20), ["PID", "FINDINGS"]);
        assert_eq!(shown(&OF_CONTEXTS, 1), ["PID"]);
        assert_eq!(shown(&OF_PROCESSES, 80).len(), OF_PROCESSES.len());
        assert_eq!(shown(&OF_PROCESSES, 40), ["PID", "COMM", "MAX_REQS", "WORST"]);
        assert_eq!(shown(&OF_OWNERS, 120).len(), OF_OWNERS.len());
        assert_eq!(shown(&OF_OWNERS, 40), ["OWNER", "MAX_REQS", "IN_FLIGHT", "WORST"]);
        assert_eq!(shown(&OF_OWNERS, 20), ["OWNER", "WORST"]);
    }
}

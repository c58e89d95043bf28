//! Beside the table, one context: the drawing of its ring, and its facts.

use std::fmt::Write as _;

use aioinspect_model::picture::ContextView;

use crate::escape::escaped;
use crate::fields::cell::Cell;
use crate::fields::{Field, View};
use crate::page::drawing::Drawing;
use crate::page::html::{number, put, text};
use crate::page::query::PageQuery;
use crate::page::rows::{codes, mark};

/// Appends the panel of the context that the query names; hidden, and full of `-`, if it names none: page.js fills it.
pub(super) fn panel(contexts: &[&ContextView], query: &PageQuery, out: &mut String) {
    let selected = query.selected();
    let context = selected.and_then(|(pid, id)| {
        contexts.iter().copied().find(|context| (context.pid.0, context.context.0) == (pid, id))
    });
    let hidden = if selected.is_none() { " hidden" } else { "" };
    let start = context.map(|context| context.start_ticks);
    let key =
        selected.map_or_else(String::new, |(pid, id)| format!("{pid}:{id:#x}{}", context.map_or("", mark)));
    let field = |of: fn(&ContextView) -> Option<u32>| number(context.and_then(of));
    let (in_flight, unreaped) = (field(|context| context.in_flight), field(|context| context.unreaped));
    let _ = write!(
        out,
        "<aside id=\"ring-panel\" aria-labelledby=\"ring-title\" data-key=\"{key}\" data-start=\"{}\" data-head=\"{}\" data-tail=\"{}\" \
         data-in-flight=\"{in_flight}\" data-unreaped=\"{unreaped}\"{hidden}>",
        number(start),
        field(|context| context.head),
        field(|context| context.tail),
    );
    let title = match (selected, context) {
        (Some(_), Some(context)) => {
            format!("{}[{}] {}", escaped(&context.comm), context.pid, context.context)
        }
        (Some((pid, id)), None) => format!("[{pid}] {id:#x}"),
        (None, _) => String::new(),
    };
    out.push_str("<header><h2 id=\"ring-title\" tabindex=\"-1\">");
    put(&title, out);
    let close = text(&query.link(query.sort.as_deref(), None));
    let (hidden, gone) = if selected.is_some() && context.is_none() {
        ("", "gone: there is no such context any more")
    } else {
        (" hidden", "")
    };
    let _ = write!(
        out,
        "</h2><a id=\"ring-close\" href=\"{close}\" aria-label=\"close\">close</a></header>\
         <p id=\"gone\" class=\"bad\" role=\"status\"{hidden}>{gone}</p>"
    );
    let percent = context.map_or(Cell::Unknown, |context| Field::Fill.of(context)).text();
    Drawing::of(context).write(
        &percent,
        "ring: entry 0 at the top, then clockwise; the numbers are below",
        out,
    );
    legend(context, out);
    facts(context, out);
    out.push_str("</aside>");
}

fn legend(context: Option<&ContextView>, out: &mut String) {
    let of = |field: Field| context.map_or(Cell::Unknown, |context| field.of(context)).text();
    let _ = write!(
        out,
        "<ul class=\"legend\"><li><i class=\"done\"></i><b data-f=\"unreaped\">{}</b> unreaped: completed, head up to tail</li>\
         <li><i class=\"flight\"></i><b data-f=\"in_flight\">{}</b> in flight: will take the ring entries from tail on</li>\
         <li><i class=\"free\"></i><b data-f=\"free\">{}</b> free; one more entry always stays empty</li></ul>",
        of(Field::Unreaped),
        of(Field::InFlight),
        of(Field::Free),
    );
}

fn facts(context: Option<&ContextView>, out: &mut String) {
    out.push_str("<dl>");
    for field in Field::on(View::Facts) {
        let row = field.row();
        let unit = row.unit.trim_start_matches([',', ' ']);
        let unit = if unit.is_empty() { String::new() } else { format!(", {unit}") };
        let _ =
            write!(out, "<dt title=\"{}\">{}{unit}</dt><dd data-f=\"{}\">", text(row.help), row.id, row.id);
        put(&context.map_or(Cell::Unknown, |context| field.of(context)).text(), out);
        out.push_str("</dd>");
    }
    out.push_str("<dt>findings</dt><dd data-f=\"findings\">");
    codes(context, out);
    out.push_str("</dd></dl>");
}

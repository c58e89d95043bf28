//! Beside the table, one context: the drawing of its ring, and its facts.

use std::fmt::Write as _;

use crate::columns::Column;
use crate::escape::escaped;
use crate::filter::Value;
use crate::screen::field::percent_taken;
use aioinspect_model::picture::{ContextView, Stranded};

use crate::page::drawing::Drawing;
use crate::page::html::{number, or_dash, put, text};
use crate::page::query::PageQuery;
use crate::page::rows::{codes, mark};

/// Appends the panel of the context that the query names; hidden, and full of `-`, if it names none: page.js fills it.
pub fn panel(contexts: &[&ContextView], query: &PageQuery, out: &mut String) {
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
    let percent =
        context.and_then(percent_taken).map_or_else(|| "-".to_owned(), |percent| format!("{percent}%"));
    Drawing::of(context).write(
        &percent,
        "ring: slot 0 at the top, then clockwise; the numbers are below",
        out,
    );
    legend(context, out);
    facts(context, out);
    out.push_str("</aside>");
}

fn legend(context: Option<&ContextView>, out: &mut String) {
    let free = context.map(|context| Column::Free.value(context));
    let free = match free {
        Some(Value::Number(free)) => free.to_string(),
        Some(_) | None => "-".to_owned(),
    };
    let of = |of: fn(&ContextView) -> Option<u32>| number(context.and_then(of));
    let _ = write!(
        out,
        "<ul class=\"legend\"><li><i class=\"done\"></i><b data-f=\"unreaped\">{}</b> unreaped: completed, head up to tail</li>\
         <li><i class=\"flight\"></i><b data-f=\"in_flight\">{}</b> in flight: will take the slots from tail on</li>\
         <li><i class=\"free\"></i><b data-f=\"free\">{free}</b> free; one more slot always stays empty</li></ul>",
        of(|context| context.unreaped),
        of(|context| context.in_flight),
    );
}

fn facts(context: Option<&ContextView>, out: &mut String) {
    out.push_str("<dl>");
    let owner = context.map(|context| &context.owner);
    let of = |of: fn(&ContextView) -> Option<u32>| number(context.and_then(of));
    let name = |name: Option<&String>| match name {
        Some(name) => or_dash(&escaped(name.as_bytes())).to_owned(),
        None => "-".to_owned(),
    };
    let mapped = context.and_then(|context| context.mapped).map(|mapped| if mapped { "yes" } else { "no" });
    let list = [
        ("comm", "comm", context.map_or_else(|| "-".to_owned(), |of| or_dash(&escaped(&of.comm)).to_owned())),
        ("pid", "pid", number(context.map(|context| context.pid))),
        (
            "start_ticks",
            "started, clock ticks after boot",
            number(context.map(|context| context.start_ticks)),
        ),
        ("max_reqs", "max_reqs, its cost of fs.aio-max-nr", of(|context| context.max_reqs)),
        ("nr_events", "slots of the ring", of(|context| context.nr_events)),
        ("ring_len", "bytes of the ring", number(context.and_then(|context| context.ring_len))),
        ("head", "head, as the process claims", of(|context| context.head)),
        ("tail", "tail, next slot to be filled", of(|context| context.tail)),
        ("mapped", "mapped", number(mapped)),
        ("submit_fails_on", "io_submit fails now on CPUs", fails_on(context)),
        ("stranded_credits", "free entries that only some CPUs can use", stranded(context)),
        ("runtime", "runtime", name(owner.map(|owner| &owner.runtime))),
        ("unit", "unit", name(owner.map(|owner| &owner.unit))),
        ("container", "container", name(owner.map(|owner| &owner.container))),
        ("pod", "pod", name(owner.map(|owner| &owner.pod))),
    ];
    for (field, label, value) in list {
        let _ = write!(out, "<dt>{label}</dt><dd data-f=\"{field}\">");
        put(&value, out);
        out.push_str("</dd>");
    }
    out.push_str("<dt>findings</dt><dd data-f=\"findings\">");
    codes(context, out);
    out.push_str("</dd></dl>");
}

/// On which CPUs io_submit would fail now, as the kernel lists them.
fn fails_on(context: Option<&ContextView>) -> String {
    match context.and_then(|context| context.outlook.as_ref()) {
        None => "-".to_owned(),
        Some(outlook) if outlook.fails_on.is_empty() => "none".to_owned(),
        Some(outlook) => outlook.fails_on.to_string(),
    }
}

/// How many CPUs are told of.
const MOST_CPUS: usize = 8;

/// Such as `58 on CPU 1, 3 on CPU 4 (offline)`.
fn stranded(context: Option<&ContextView>) -> String {
    let Some(outlook) = context.and_then(|context| context.outlook.as_ref()) else { return "-".to_owned() };
    let place = |of: &Stranded| {
        let offline = if of.online == Some(false) { " (offline)" } else { "" };
        format!("{} on CPU {}{offline}", of.credits, of.cpu)
    };
    let mut places: Vec<String> = outlook.stranded.iter().take(MOST_CPUS).map(place).collect();
    match outlook.stranded.len().checked_sub(MOST_CPUS) {
        None | Some(0) => {}
        Some(more) => places.push(format!("more on {more} others")),
    }
    if places.is_empty() { "none".to_owned() } else { places.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::specimen;
    use aioinspect_model::cpus::CpuSet;
    use aioinspect_model::picture::Outlook;

    /// Check the words of where io_submit fails: not known, nowhere, on some CPUs, and of many CPUs no more than some.
    #[test]
    fn where_it_fails() {
        let of = |outlook: Option<Outlook>| {
            let context = ContextView { outlook, ..specimen::context(1, 1) };
            (fails_on(Some(&context)), stranded(Some(&context)))
        };
        let said = |fails: &str, credits: &str| (fails.to_owned(), credits.to_owned());
        assert_eq!(of(None), said("-", "-"));
        assert_eq!((fails_on(None), stranded(None)), said("-", "-"));
        assert_eq!(of(Some(Outlook::default())), said("none", "none"));
        let all = |count: u32| {
            let of = |cpu| Stranded { cpu, credits: 58, online: Some(cpu != 1) };
            Some(Outlook { fails_on: CpuSet::parse("0,9").unwrap(), stranded: (1..=count).map(of).collect() })
        };
        assert_eq!(of(all(2)), said("0,9", "58 on CPU 1 (offline), 58 on CPU 2"));
        assert!(of(all(8)).1.ends_with(", 58 on CPU 8"));
        assert!(of(all(10)).1.ends_with("58 on CPU 8, more on 2 others"));
    }
}

//! A word that is looked for in a context, in upper or lower case.

use aioinspect_model::picture::ContextView;

use crate::fields::{Field, View};

/// Whether one of the fields that are searched has `wanted`, in lower case, in it.
pub(crate) fn has(context: &ContextView, wanted: &str) -> bool {
    let mut text = String::new();
    Field::on(View::Search).any(|field| {
        text.clear();
        field.write(context, &mut text);
        // What is not there is shown as `-`, which nobody looks for.
        text != "-" && contains(&text, wanted)
    })
}

fn contains(text: &str, wanted: &str) -> bool {
    if text.is_ascii() {
        let wanted = wanted.as_bytes();
        return text.as_bytes().windows(wanted.len().max(1)).any(|part| part.eq_ignore_ascii_case(wanted));
    }
    text.to_lowercase().contains(wanted)
}

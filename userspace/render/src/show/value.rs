//! One description of what was read, of which `show` makes its text and its JSON.

use aioinspect_model::units::{ContextId, Instant, MmId, Pid, Tid};
use serde_json::Value as Json;

/// A part of evidence as it is shown.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// The same in both; in text without quotation marks, null as `-`.
    Plain(Json),
    /// An instant of the host's clock: as it is in JSON, since the first reading in text.
    At(Instant),
    /// Nanoseconds since 1970: a date in text.
    Date(u64),
    /// Few and short: one cell in text.
    Cells(Vec<Value>),
    /// Any number of the same kind.
    List(Vec<Value>),
    /// Named parts, in order.
    Record(Vec<(&'static str, Value)>),
    /// What text says beside the fields, worked out of one of them.
    TextOnly(String),
    /// Evidence of an earlier version has no such thing, and neither output names it.
    Absent,
}

/// What can be shown.
pub(super) trait Shown {
    /// The value as `show` prints it, as text and as JSON.
    fn value(&self) -> Value;
}

/// Takes a struct apart by name, so that a new field does not compile until it is shown. `as` gives a field another key than its name,
/// `by` a function of the module `by` in the place of [`Shown::value`].
macro_rules! record {
    ($it:expr, $of:ident { $($field:ident $(as $key:literal)? $(by $how:ident)?),* $(,)? }) => {{
        let $of { $($field),* } = $it;
        $crate::show::value::Value::Record(vec![$(
            (record!(@key $field $($key)?), record!(@value $field $($how)?))
        ),*])
    }};
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
    (@value $field:ident) => { $crate::show::value::Shown::value($field) };
    (@value $field:ident $how:ident) => { by::$how($field) };
}
pub(super) use record;

/// Words for the variants of an enum: a promise, they are in JSON.
macro_rules! words {
    ($($of:ident { $($variant:ident: $word:literal),* $(,)? })*) => {
        $(impl $crate::show::value::Shown for $of {
            fn value(&self) -> $crate::show::value::Value {
                $crate::show::value::Value::Plain(match self { $($of::$variant => $word),* }.into())
            }
        })*
    };
}
pub(super) use words;

macro_rules! plain {
    ($($of:ty: |$it:ident| $value:expr;)*) => {
        $(impl Shown for $of {
            fn value(&self) -> Value {
                let $it = self;
                Value::Plain($value.into())
            }
        })*
    };
}

plain! {
    u32: |it| *it;
    i32: |it| *it;
    u64: |it| *it;
    i64: |it| *it;
    bool: |it| *it;
    Pid: |it| it.0;
    Tid: |it| it.0;
    MmId: |it| it.0;
    ContextId: |it| format!("{:#x}", it.0);
}

impl Shown for Instant {
    fn value(&self) -> Value {
        Value::At(*self)
    }
}

impl<T: Shown> Shown for Option<T> {
    fn value(&self) -> Value {
        self.as_ref().map_or(Value::Plain(Json::Null), Shown::value)
    }
}

impl<T: Shown> Shown for Vec<T> {
    fn value(&self) -> Value {
        Value::List(self.iter().map(Shown::value).collect())
    }
}

impl Value {
    /// As JSON; `None` where it has no key there.
    pub(super) fn into_json(self) -> Option<Json> {
        Some(match self {
            Value::Plain(value) => value,
            Value::At(Instant(ns)) | Value::Date(ns) => ns.into(),
            Value::Cells(items) | Value::List(items) => {
                items.into_iter().filter_map(Value::into_json).collect()
            }
            Value::Record(fields) => {
                let keys =
                    fields.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value.into_json()?)));
                Json::Object(keys.collect())
            }
            Value::TextOnly(_) | Value::Absent => return None,
        })
    }
}

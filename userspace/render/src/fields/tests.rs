//! Tests of the table as a whole.

use aioinspect_model::container_names::Names;
use aioinspect_model::evidence::Process;
use aioinspect_model::picture::{About, ContextView, Origin};
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::specimen;
use aioinspect_model::units::{Pid, Tid};

use crate::fields::*;
use crate::filter::Value;

/// Check that a column's values are of the kind it says, and that what is not known is null.
#[test]
fn kinds() {
    let mut picture = reconcile(&specimen::idle());
    let made = Origin::Made { unix_ns: 0, age_ns: 5_900_000_000, pid: Pid(1), tid: Tid(1), max_reqs: 1 };
    let names =
        Names { pod: "db-0".into(), namespace: "shop".into(), container: "db".into(), image: "i".into() };
    let process = Process {
        ns_pids: vec![9, 1],
        uid: Some(999),
        cmdline: Some(b"a\0\x1b\0".to_vec()),
        names: Some(names),
        ..Process::default()
    };
    picture.contexts[0].origin = Some(made);
    picture.contexts[0].about = About::of(&process).into();
    let known = &picture.contexts[0];
    assert_eq!(Field::Age.of(known).value(), Value::Number(5));
    assert_eq!(Field::User.of(known).value(), Value::Text("999".into()));
    assert_eq!(Field::Cmdline.of(known).value(), Value::Text("a \\x1b".into()));
    assert_eq!(Field::PodCalled.of(known).value(), Value::Text("shop/db-0".into()));
    let unknown = ContextView {
        max_reqs: None,
        nr_events: None,
        in_flight: None,
        unreaped: None,
        head: None,
        tail: None,
        ring_len: None,
        mapped: None,
        ..known.clone()
    };
    for field in Field::on(View::List) {
        assert_eq!(field.of(known).value().kind(), Some(field.row().kind), "{field:?}");
        assert!(field.of(&unknown).value().kind().is_none_or(|kind| kind == field.row().kind), "{field:?}");
    }
    assert_eq!(Field::InFlight.of(&unknown).value(), Value::Null);
    assert_eq!(Field::Free.of(known).value(), Value::Number(382));
    assert_eq!(Field::Findings.of(known).value(), Value::Text("".into()));
}

/// Check that no two rows have one name or id, old names included, and that each has one.
#[test]
fn names_are_unique() {
    let mut names: Vec<&str> = Field::ALL
        .iter()
        .flat_map(|field| [Some(field.heading()), field.row().old_heading])
        .flatten()
        .chain(Field::ALL.iter().map(|field| field.row().id))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    assert!(Field::ALL.iter().all(|field| !field.row().help.is_empty()));
    for field in Field::on(View::List) {
        assert_eq!(Field::named(&field.heading().to_lowercase()), Some(field));
    }
    assert_eq!(Field::named("slots"), Some(Field::NrEvents));
}

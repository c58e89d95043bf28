//! Every output says of a field what the table of fields says, and all of them name one owner.

use aioinspect::cli::Cli;
use aioinspect_model::container_names::Names;
use aioinspect_model::event::{Actor, Event, Timed};
use aioinspect_model::evidence::{Evidence, Manner, Process};
use aioinspect_model::headroom::headroom;
use aioinspect_model::history::History;
use aioinspect_model::picture::{About, Origin, Owner, Picture};
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::specimen::{AT, evidence, kioctx, look};
use aioinspect_model::units::{ContextId, Instant, Pid, Tid};
use aioinspect_render::fields::choice::usual;
use aioinspect_render::fields::{Field, Of, View};
use aioinspect_render::listing::List;
use aioinspect_render::page::{PageQuery, PageView};
use aioinspect_render::screen::key::Key;
use aioinspect_render::screen::{Screen, Theme};
use aioinspect_render::table::Style;
use aioinspect_render::{event_line, json, page, table};
use clap::CommandFactory;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde_json::Value;

use crate::blessed::{Comparison, root, text_of};

/// A host with one context of a process of this owner.
fn host(owner: Owner) -> Picture {
    let evidence: Evidence = evidence(vec![look(Manner::Running, &[kioctx(AT, 0)])]);
    let mut picture = reconcile(&evidence);
    let owner = std::sync::Arc::new(owner);
    let about = Process {
        ns_pids: vec![100, 1],
        uid: Some(0),
        cmdline: Some(b"svc\0".to_vec()),
        names: Some(Names {
            pod: "p".into(),
            namespace: "n".into(),
            container: "c".into(),
            image: "i".into(),
        }),
        ..Process::default()
    };
    for context in &mut picture.contexts {
        context.owner = owner.clone();
        context.about = About::of(&about).into();
        context.origin = Some(Origin::Found { since_unix_ns: 0 });
    }
    picture
}

fn written(write: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    write(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// What the screen shows after some keys.
fn screen(picture: &Picture, keys: &[Key]) -> String {
    let mut screen = Screen::new(Theme { color: false, ascii: true }, Vec::new());
    screen.update(Some(picture.clone()), Vec::new(), aioinspect_model::event::WatchStatus::default());
    let area = Rect::new(0, 0, 200, 120);
    for key in keys {
        screen.draw(&mut Buffer::empty(area));
        screen.key(*key);
    }
    let mut buffer = Buffer::empty(area);
    screen.draw(&mut buffer);
    let lines = buffer.content.chunks(area.width.into());
    lines.map(|line| line.iter().map(ratatui::buffer::Cell::symbol).collect::<String>() + "\n").collect()
}

fn page(picture: &Picture) -> String {
    let query = PageQuery::default();
    page::render(&PageView {
        picture,
        history: &History::default(),
        now_unix_ns: 0,
        failures: &[],
        query: &query,
        taken_unix_ns: 0,
        hook: "",
        version: "",
    })
}

fn help() -> String {
    let mut program = Cli::command().term_width(200);
    program.build();
    program.find_subcommand_mut("list").unwrap().render_long_help().to_string()
}

/// Check that the name and help of each field are where the table says that it is shown, and nowhere else: help and manual page, table,
/// screen, page, JSON.
#[test]
fn are_as_the_table_says() {
    let picture = host(Owner::default());
    let list = List::from(&picture);
    let (help, table) = (help(), written(|out| table::write(out, &list, &usual(), Style::PLAIN)));
    let headings: Vec<&str> = table.lines().next().unwrap().split_whitespace().collect();
    let (tables, keys) = (screen(&picture, &[]), screen(&picture, &[Key::Char('?')]));
    let tables = tables + &screen(&picture, &[Key::Char('o')]);
    let (detail, page) = (screen(&picture, &[Key::Enter, Key::Enter]), page(&picture));
    let json: Value = serde_json::from_str(&written(|out| json::write(out, &list))).unwrap();
    let context = &json["contexts"][0];
    for field in Field::ALL {
        let row = field.row();
        let on = |view| row.on.contains(&view);
        let column = help.lines().any(|line| {
            let mut words = line.trim_start_matches(['*', ' ']).splitn(2, ' ');
            words.next() == Some(row.heading)
                && words.next().is_some_and(|rest| rest.trim().starts_with(row.help))
        });
        assert_eq!(column, on(View::List) || on(View::Groups), "list --help: {field:?}");
        assert_eq!(headings.contains(&row.heading), on(View::Usual), "list: {field:?}");
        let on_screen = on(View::Processes) || on(View::Owners) || on(View::Contexts);
        let heads = tables
            .lines()
            .filter(|line| ["PID", "OWNER"].iter().any(|head| line.trim_start().starts_with(head)));
        let shown = heads.flat_map(str::split_whitespace).any(|head| head.trim_matches('v') == row.heading);
        assert_eq!(shown, on_screen, "screen: {field:?}\n{tables}");
        let explained = keys.lines().any(|line| {
            line.split_once(' ').is_some_and(|(name, says)| name == row.heading && says.trim() == row.help)
        });
        assert_eq!(explained, on_screen, "help of the screen: {field:?}\n{keys}");
        let fact = detail.lines().any(|line| line.split_whitespace().next() == Some(row.id));
        assert!(!on(View::Facts) || fact, "detail: {field:?}\n{detail}");
        assert_eq!(page.contains(&format!(">{}</a></th>", row.heading)), on(View::Page), "page: {field:?}");
        let panel = page.contains(&format!("<dd data-f=\"{}\">", row.id));
        assert_eq!(panel, on(View::Facts) || *field == Field::Findings, "panel: {field:?}");
        let object = if row.of == Of::Owner { &context["owner"] } else { context };
        let is_there = object.get(row.id).is_some();
        // The only one that some contexts lack, and the object that is named like a column.
        let is_special = matches!(field, Field::Dying | Field::Owner);
        assert_eq!(is_there, on(View::Json) && !is_special, "JSON: {field:?}");
    }
    let script = page.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
    for field in Field::on(View::Page) {
        assert!(!script.contains(&format!("\"{}\"", field.heading())), "page.js types {field:?}");
    }
}

/// Check that json.md describes each key of a context with the table's words.
#[test]
fn are_described() {
    let text = text_of("docs/json.md");
    let begins = "these keys, in this order:\n\n| key | is |\n|---|---|\n";
    let (before, after) = text.split_once(begins).expect("json.md has the table of the keys of a context");
    let rest = after.split_once("\n`runtime`").unwrap().1;
    let row = |field: Field| {
        let owner = if field.row().of == Of::Owner { "owner." } else { "" };
        format!("| `{owner}{}` | {} |", field.row().id, field.row().help)
    };
    let rows = Field::on(View::Json).map(row).collect::<Vec<_>>().join("\n");
    let mut all = Comparison::default();
    all.compare(&root().join("docs/json.md"), &format!("{before}{begins}{rows}\n\n`runtime`{rest}"));
    all.done();
}

/// Check that every output names the same owner: pod, else container, else unit, else path; a sentence cuts an id to its beginning.
#[test]
fn all_outputs_name_one_owner() {
    let id = "0f1e2d3c4b5a69788796a5b4c3d2e1f0".repeat(2);
    let pod = "0a1b2c3d-0001-4002-8003-00000000abcd".to_owned();
    let all = Owner {
        runtime: "containerd".into(),
        unit: format!("cri-containerd-{id}.scope"),
        container: id.clone(),
        pod: pod.clone(),
        cgroup: String::new(),
    };
    let container = Owner { pod: String::new(), ..all.clone() };
    let unit = Owner { unit: "db.service".into(), ..Owner::default() };
    let path = Owner { cgroup: "/t1".into(), ..Owner::default() };
    for (owner, name, short) in [
        (all, &*pod, &*pod),
        (container, &*id, "0f1e2d3c4b5a"),
        (unit, "db.service", "db.service"),
        (path, "/t1", "/t1"),
    ] {
        let picture = host(owner.clone());
        let context = &picture.contexts[0];
        let list = List::from(&picture);
        let table = written(|out| {
            table::write(
                out,
                &list,
                &[Field::Owner],
                Style { headings: false, footer: false, ..Style::PLAIN },
            )
        });
        assert_eq!(table.trim(), name);
        let holders = written(|out| aioinspect_render::headroom::write(out, &headroom(&picture, None), None));
        assert!(holders.lines().any(|line| line.ends_with(&format!(" {name}"))), "{holders}");
        // Its column has 32 cells at most.
        let seen: String = name.chars().take(31).collect();
        assert!(screen(&picture, &[]).contains(&format!(" {seen}")), "{name}");
        let detail = screen(&picture, &[Key::Enter, Key::Enter]);
        assert!(detail.lines().any(|line| line.split_whitespace().eq(["owner", name])), "{detail}");
        let page = page(&picture);
        assert!(page.contains(&format!("<td>{name}</td>")), "{page}");
        let rule = page.split("data-owner=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(rule, "pod container unit cgroup", "the page's script is handed the rule");
        let by =
            Actor { pid: Pid(100), tid: Tid(100), comm: context.comm.to_vec(), owner: Some(owner.into()) };
        let event = Event::Setup { by, context: ContextId(AT), max_reqs: 1 };
        let line = event_line::line(&Timed { at: Instant(0), unix_ns: 0, event });
        assert!(line.ends_with(&format!("(in {short})")), "{line}");
    }
}

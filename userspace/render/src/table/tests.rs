//! Golden text of `list`, as a table and as JSON, from contexts with every kind of value.

use crate::fields::choice::usual;
use crate::table::*;
use aioinspect_model::cpus::CpuSet;
use aioinspect_model::evidence::CensusSource;
use aioinspect_model::picture::{About, ContextView, GhostView, Picture};
use aioinspect_model::picture::{Outlook, Owner, Stranded, SystemView};
use aioinspect_model::units::{ContextId, Pid};

/// A hostile name, a context of which nothing is known, a wide name.
fn picture() -> Picture {
    let sane = ContextView {
        pid: Pid(812),
        comm: b"mariadbd".as_slice().into(),
        start_ticks: 1234,
        about: About::default().into(),
        context: ContextId(0x7f1c_2a00_0000),
        max_reqs: Some(2048),
        nr_events: Some(4223),
        in_flight: Some(12),
        unreaped: Some(0),
        head: Some(7),
        tail: Some(7),
        ring_len: Some(135_168),
        mapped: Some(true),
        owner: Owner { unit: "mariadb.service".to_owned(), ..Owner::default() }.into(),
        origin: None,
        dying_ns: None,
        outlook: Some(Outlook {
            fails_on: CpuSet::parse("0,2-3").unwrap(),
            stranded: vec![
                Stranded { cpu: 1, credits: 58, online: Some(true) },
                Stranded { cpu: 4, credits: 3, online: Some(false) },
            ],
        }),
        stands_for: Some(1),
        findings: vec![Finding::InFlight],
        details: vec![],
    };
    let hostile = ContextView {
        pid: Pid(9),
        comm: b"\x1b[2J\nx\xff".as_slice().into(),
        max_reqs: None,
        nr_events: None,
        in_flight: None,
        unreaped: None,
        head: None,
        tail: None,
        mapped: None,
        outlook: None,
        owner: Owner::default().into(),
        findings: vec![Finding::UnreadableRing, Finding::SharedRing],
        ..sane.clone()
    };
    let wide = ContextView {
        pid: Pid(65536),
        comm: "名前".as_bytes().into(),
        context: ContextId(0x1000),
        mapped: Some(false),
        outlook: Some(Outlook::default()),
        findings: vec![],
        in_flight: Some(0),
        ..sane.clone()
    };
    let ghost = |address| GhostView {
        owner: Owner::default().into(),
        pid: Pid(813),
        comm: b"kid\r".as_slice().into(),
        address: ContextId(address),
        ring_len: 12288,
    };
    Picture {
        system: SystemView {
            aio_nr: 4096,
            aio_max_nr: 65536,
            attributed: Some(4097),
            unattributed: Some(-1),
            possible_cpus: 2,
            page_size: 4096,
            source: CensusSource::Bpf,
        },
        contexts: vec![hostile, sane, wide],
        ghosts: vec![ghost(0x2000), ghost(0x9000)],
        spaces: vec![],
    }
}

fn table(picture: &Picture, columns: &[Field], style: Style) -> String {
    let mut out = Vec::new();
    write(&mut out, &List::from(picture), columns, style).unwrap();
    String::from_utf8(out).unwrap()
}

/// Check the table in a pipe: aligned, nothing cut, nothing that moves a cursor.
#[test]
fn in_a_pipe() {
    let expected = r"  PID COMM                  CONTEXT MAX_REQS NR_EVENTS IN_FLIGHT UNREAPED FINDINGS
    9 \x1b[2J\nx\xff 0x7f1c2a000000        -         -         -        - unreadable-ring,shared-ring
  812 mariadbd       0x7f1c2a000000     2048      4223        12        0 in-flight
65536 名前                   0x1000     2048      4223         0        0 -

aio-nr 4096 of 65536, attributed 4097, unattributed -1, source bpf
ghost-ring: pid 813 (kid\x0d) maps 2 rings without a context, 24576 bytes, the first at 0x2000
";
    assert_eq!(table(&picture(), &usual(), Style::PLAIN), expected);
}

/// Check that a terminal's width cuts texts only, the findings first, and colours only findings and headings.
#[test]
fn on_a_terminal() {
    let style = Style { width: Some(72), color: true, footer: false, ..Style::PLAIN };
    let columns = crate::fields::choice::parse("pid,comm,context,in_flight,unit,findings").unwrap();
    let plain = table(&picture(), &columns, Style { color: false, ..style });
    let expected = r"  PID COMM                  CONTEXT IN_FLIGHT UNIT            FINDINGS
    9 \x1b[2J\nx\xff 0x7f1c2a000000         - -               unreadabl…
  812 mariadbd       0x7f1c2a000000        12 mariadb.service in-flight
65536 名前                   0x1000         0 mariadb.service -
";
    assert_eq!(plain, expected);
    assert!(plain.lines().all(|line| line.width() <= 72));
    let colored = table(&picture(), &columns, style);
    let expected =
        "    9 \\x1b[2J\\nx\\xff 0x7f1c2a000000         - -               \x1b[31munreadabl…\x1b[0m\n";
    assert!(colored.contains(expected), "{colored}");
    assert!(colored.contains("\x1b[33min-flight\x1b[0m\n65536"));
    let headings = table(&picture(), &[Field::Pid, Field::Comm, Field::Head], style);
    assert!(headings.starts_with("  \x1b[1mPID\x1b[0m \x1b[1mCOMM\x1b[0m           \x1b[1mHEAD\x1b[0m\n"));
}

/// Check a cut in the middle of a wide character.
#[test]
fn cut_keeps_the_width() {
    assert_eq!(cut("名前名前名前", 8), "名前名 …");
    assert_eq!(cut("abcdefghijk", 8), "abcdefg…");
}

/// Check that without contexts there are a heading and a footer, and what cannot be known is not 0.
#[test]
fn no_contexts() {
    let mut empty = picture();
    empty.contexts.clear();
    empty.ghosts.truncate(1);
    empty.system =
        SystemView { attributed: None, unattributed: None, source: CensusSource::Proc, ..empty.system };
    let expected = r"PID COMM CONTEXT MAX_REQS NR_EVENTS IN_FLIGHT UNREAPED FINDINGS

aio-nr 4096 of 65536, attributed -, unattributed -, source proc (in flight is not known, and a ring inherited by fork looks like a context)
ghost-ring: pid 813 (kid\x0d) maps 1 ring without a context, 12288 bytes, at 0x2000
";
    assert_eq!(table(&empty, &usual(), Style::PLAIN), expected);
    let bare = Style { headings: false, footer: false, ..Style::PLAIN };
    assert_eq!(table(&empty, &usual(), bare), "");
    assert_eq!(table(&picture(), &[], bare), "\n\n\n", "no column is still no panic");
}

/// Check that every column is there to be seen.
#[test]
fn every_column() {
    let columns =
        crate::fields::choice::parse("+free,head,tail,ring_len,mapped,unit,container,pod,owner,start")
            .unwrap();
    let style = Style { footer: false, headings: false, ..Style::PLAIN };
    let shown = table(&picture(), &columns, style);
    let fields: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(
        fields.join(" "),
        "812 mariadbd 0x7f1c2a000000 2048 4223 12 0 4210 7 7 135168 yes mariadb.service - - mariadb.service 1234 in-flight"
    );
    assert!(shown.lines().all(|line| line.split_whitespace().count() == columns.len()));
}

/// Check every key of `list -J`, its order, and null.
#[test]
fn json() {
    let mut out = Vec::new();
    crate::json::write(&mut out, &List::from(&picture())).unwrap();
    let text = String::from_utf8(out).unwrap();
    let expected = r#"{"schema_version":1,
 "system":{"aio_nr":4096,"aio_max_nr":65536,"attributed":4097,"unattributed":-1,"possible_cpus":2,"source":"bpf"},
 "contexts":[
  {"pid":9,"comm":"\\x1b[2J\\nx\\xff","start_ticks":1234,"context":"0x7f1c2a000000","max_reqs":null,"nr_events":null,"in_flight":null,"unreaped":null,"head":null,"tail":null,"ring_len":135168,"mapped":null,"owner":{"runtime":"","unit":"","container":"","pod":"","cgroup":""},"findings":["unreadable-ring","shared-ring"],"submit_fails_on":null,"stranded_credits":null},
  {"pid":812,"comm":"mariadbd","start_ticks":1234,"context":"0x7f1c2a000000","max_reqs":2048,"nr_events":4223,"in_flight":12,"unreaped":0,"head":7,"tail":7,"ring_len":135168,"mapped":true,"owner":{"runtime":"","unit":"mariadb.service","container":"","pod":"","cgroup":""},"findings":["in-flight"],"submit_fails_on":"0,2-3","stranded_credits":[{"cpu":1,"credits":58,"online":true},{"cpu":4,"credits":3,"online":false}]},
  {"pid":65536,"comm":"名前","start_ticks":1234,"context":"0x1000","max_reqs":2048,"nr_events":4223,"in_flight":0,"unreaped":0,"head":7,"tail":7,"ring_len":135168,"mapped":false,"owner":{"runtime":"","unit":"mariadb.service","container":"","pod":"","cgroup":""},"findings":[],"submit_fails_on":"","stranded_credits":[]}],
 "ghosts":[
  {"pid":813,"address":"0x2000","ring_len":12288},
  {"pid":813,"address":"0x9000","ring_len":12288}]}
"#;
    assert_eq!(text, expected);
    serde_json::from_str::<serde_json::Value>(&text).unwrap();
}

/// Check that a writer that is full is an error and no panic.
#[test]
fn a_full_writer() {
    let mut none = [0_u8; 0];
    let error = write(&mut &mut none[..], &List::from(&picture()), &usual(), Style::PLAIN);
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::WriteZero);
}

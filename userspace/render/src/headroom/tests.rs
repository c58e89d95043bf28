//! Tests of `headroom.rs`.

use proptest::prelude::*;
use serde_json::Value;

use crate::headroom::*;
use aioinspect_model::headroom::{answer, free};
use aioinspect_model::picture::{Owner, SystemView};
use aioinspect_model::units::Pid;

fn system(aio_nr: u64, unattributed: i64) -> SystemView {
    SystemView {
        aio_nr,
        aio_max_nr: 65536,
        attributed: Some(aio_nr),
        unattributed: Some(unattributed),
        possible_cpus: 2,
        page_size: 4096,
        source: CensusSource::Bpf,
    }
}

fn holder(pid: u32, comm: &[u8], contexts: usize, slots: u64, owner: Owner) -> Holder {
    Holder { pid: Pid(pid), comm: comm.to_vec(), owner, processes: 1, contexts, slots }
}

/// As a picture of them would be summed.
fn by_owner(processes: &[Holder]) -> Vec<Holder> {
    let mut owners: Vec<Holder> = Vec::new();
    for process in processes {
        let name = process.owner.named_by();
        match owners.iter_mut().find(|owner| name.is_some() && owner.owner.named_by() == name) {
            Some(owner) => {
                owner.processes += 1;
                owner.contexts += process.contexts;
                owner.slots += process.slots;
            }
            None => owners.push(process.clone()),
        }
    }
    owners
}

fn of(system: &SystemView, need: Option<u64>, holders: Vec<Holder>) -> Headroom<'_> {
    let (reserved, limit) = (system.aio_nr, system.aio_max_nr);
    let need = need.map(|need| (need, answer(need, reserved, limit)));
    let owners = by_owner(&holders);
    Headroom { system, free: free(reserved, limit), need, holders, owners }
}

fn text(of: &Headroom<'_>, waited: Option<Duration>) -> String {
    let mut out = Vec::new();
    write(&mut out, of, waited).unwrap();
    String::from_utf8(out).unwrap()
}

fn unit(unit: &str) -> Owner {
    Owner { unit: unit.to_owned(), ..Owner::default() }
}

/// Check the whole: sums, answer, a table in columns with the owner of each, and the sum of those that are not shown.
#[test]
fn whole() {
    let id = "0f".repeat(32);
    let pod = Owner {
        unit: format!("cri-{id}.scope"),
        container: id.clone(),
        pod: "0a1b".to_owned(),
        ..Owner::default()
    };
    let mut holders = vec![
        holder(1234, b"mysqld", 8, 1024, unit("mariadb.service")),
        holder(9, "名".as_bytes(), 1, 128, pod),
        holder(5, b"\x1b[2J", 1, 100, Owner::default()),
    ];
    holders.extend((10..20).map(|pid| holder(pid, b"x", 2, 1, Owner::default())));
    let system = SystemView { attributed: Some(1262), ..system(1264, 2) };
    let is = text(&of(&system, Some(5000), holders), None);
    let expected = "free 64272 of 65536, reserved 1264, 1.9 %\n\
         need 5000: yes\n\
         62 more of the size of mariadb.service (1024) fit, 502 of 0a1b (128), 642 of \\x1b[2J[5] (100)\n\
         one context of 5000 takes 316 KiB of memory for its ring\n\
         \n\
         RESERVED PROCESSES CONTEXTS LARGEST      OWNER\n\
         \x20   1024         1        8 mysqld[1234] mariadb.service\n\
         \x20    128         1        1 名[9]        0a1b\n\
         \x20    100         1        1 \\x1b[2J[5]   -\n";
    assert!(is.starts_with(expected), "{is}");
    let ends = "\n       1         1        2 x[16]        -\n\n3 more owners have 3 slots reserved in 6 contexts\n\
        2 reserved by processes that cannot be seen: in another PID namespace, or just starting or ending\n";
    assert!(is.ends_with(ends), "{is}");
}

/// Check each answer, the limit that was lowered, and a limit of nothing.
#[test]
fn answers() {
    let says = |aio_nr, limit, need, waited| {
        let system = SystemView { aio_max_nr: limit, ..system(aio_nr, 0) };
        text(&of(&system, Some(need), Vec::new()), waited)
    };
    let ring = "one context of 2 takes 4 KiB of memory for its ring\n";
    assert_eq!(
        says(0, 65536, 65536, None),
        "free 65536 of 65536, reserved 0, 0.0 %\nneed 65536: yes\n\
         one context of 65536 takes 4.0 MiB of memory for its ring\n"
    );
    assert_eq!(
        says(65535, 65536, 2, None),
        format!(
            "free 1 of 65536, reserved 65535, 99.9 %\nneed 2: no, 1 free\n\
             short by 1: set fs.aio-max-nr to at least 65537: sysctl -w fs.aio-max-nr=65537\n{ring}"
        )
    );
    let waited = Some(Duration::from_millis(2071));
    assert_eq!(
        says(70000, 65536, 2, waited),
        format!(
            "free -4464 of 65536, reserved 70000, 106.8 %\nneed 2: no, 0 free after 2.0 s\n\
             short by 4466: set fs.aio-max-nr to at least 70002: sysctl -w fs.aio-max-nr=70002\n{ring}"
        )
    );
    let never = "need 1: no, and never while fs.aio-max-nr is 0: raise it with sysctl\n\
        short by 1: set fs.aio-max-nr to at least 1: sysctl -w fs.aio-max-nr=1\n\
        one context of 1 takes 4 KiB of memory for its ring\n";
    assert_eq!(says(0, 0, 1, None), format!("free 0 of 0, reserved 0\n{never}"));
}

/// Check what is said to do where 64 workers of one unit hold nearly all, and where several owners hold a part each.
#[test]
fn what_to_do() {
    let workers = |count, slots, name: &str| -> Vec<Holder> {
        (1..=count).map(|pid| holder(pid, b"nginx", 1, slots, unit(name))).collect()
    };
    let system = system(64_000, 0);
    let is = text(&of(&system, Some(5000), workers(64, 1000, "nginx.service")), None);
    let expected = "free 1536 of 65536, reserved 64000, 97.6 %\n\
        need 5000: no, 1536 free\n\
        short by 3464: set fs.aio-max-nr to at least 69000: sysctl -w fs.aio-max-nr=69000\n\
        or free 3464: nginx.service reserves 64000 (64 processes)\n\
        0 more of the size of nginx.service (64000) fit\n\
        one context of 5000 takes 316 KiB of memory for its ring\n\
        \n\
        RESERVED PROCESSES CONTEXTS LARGEST  OWNER\n\
        \x20  64000        64       64 nginx[1] nginx.service\n";
    assert_eq!(is, expected);
    let databases = |count, slots| -> Vec<Holder> {
        (1..=count).flat_map(|nth| workers(1, slots, &format!("db{nth}.service"))).collect()
    };
    let is = text(&of(&system, Some(5000), databases(16, 4000)), None);
    let each = "\nor free 3464, each has enough: db1.service reserves 4000 (nginx, pid 1), \
        db2.service reserves 4000 (nginx, pid 1), db3.service reserves 4000 (nginx, pid 1), and 13 more\n\
        0 more of the size of db1.service (4000) fit\n";
    assert!(is.contains(each), "{is}");
    let is = text(&of(&system, Some(5000), databases(64, 1000)), None);
    let together = "\nor free 3464, only together enough: db1.service reserves 1000 (nginx, pid 1), \
        db2.service reserves 1000 (nginx, pid 1), db3.service reserves 1000 (nginx, pid 1), and 1 more\n\
        1 more of the size of db1.service (1000) fits\n";
    assert!(is.contains(together), "{is}");
}

/// Check that without BPF no number is said of what nobody knows, in text and in JSON.
#[test]
fn without_bpf() {
    let system =
        SystemView { attributed: None, unattributed: None, source: CensusSource::Proc, ..system(128, 0) };
    let holders = (1..=11).map(|pid| holder(pid, b"x", 2, 0, Owner::default()));
    let headroom = of(&system, None, holders.collect());
    let is = text(&headroom, None);
    assert!(is.contains("\n       -         1        2 x[1]    -\n"), "{is}");
    assert!(
        is.contains("1 more owner has 2 contexts\n") && is.contains("without BPF it is not known"),
        "{is}"
    );
    assert_eq!(is.lines().next(), Some("free 65408 of 65536, reserved 128, 0.1 %"));
    let json = json(&headroom);
    assert!(json["holders"][0]["slots"].is_null() && json["need"].is_null() && json["enough"].is_null());
    assert_eq!((json["holders"].as_array().unwrap().len(), &json["free"]), (11, &65408.into()));
}

fn json(of: &Headroom<'_>) -> Value {
    let mut out = Vec::new();
    write_json(&mut out, of, None).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// Check the JSON letter by letter: the keys are a promise.
#[test]
fn keys_are_a_promise() {
    let system = system(1152, 0);
    let holders = vec![
        holder(1234, b"mysqld", 8, 1024, unit("mariadb.service")),
        holder(9, b"a\n", 1, 128, Owner::default()),
    ];
    let mut out = Vec::new();
    write_json(&mut out, &of(&system, Some(65000), holders), None).unwrap();
    let expected = r#"{"schema_version":1,
 "system":{"aio_nr":1152,"aio_max_nr":65536,"attributed":1152,"unattributed":0,"possible_cpus":2,"source":"bpf"},
 "free":64384,"need":65000,"enough":false,
 "holders":[
  {"pid":1234,"comm":"mysqld","contexts":8,"slots":1024,"owner":{"runtime":"","unit":"mariadb.service","container":"","pod":"","cgroup":""}},
  {"pid":9,"comm":"a\\n","contexts":1,"slots":128,"owner":{"runtime":"","unit":"","container":"","pod":"","cgroup":""}}],
 "owners":[
  {"name":"mariadb.service","processes":1,"contexts":8,"slots":1024,"pid":1234,"comm":"mysqld","owner":{"runtime":"","unit":"mariadb.service","container":"","pod":"","cgroup":""},"more_fit":62},
  {"name":"","processes":1,"contexts":1,"slots":128,"pid":9,"comm":"a\\n","owner":{"runtime":"","unit":"","container":"","pod":"","cgroup":""},"more_fit":503}],
 "short_by":616,"least_limit":66152,"ring_bytes":4161536}
"#;
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

proptest! {
    /// Check that any name and any number stay in their lines, and that JSON stays JSON.
    #[test]
    fn anything(comm: Vec<u8>, name: String, aio_nr: u64, aio_max_nr: u64, need: Option<u64>, slots: u64) {
        let owner = Owner { unit: name.clone(), container: name.clone(), pod: name, ..Owner::default() };
        let system = SystemView { aio_nr, aio_max_nr, ..system(0, 0) };
        let headroom = of(&system, need, vec![holder(1, &comm, 1, slots, owner)]);
        let is = text(&headroom, None);
        prop_assert!(!is.chars().any(|c| c.is_control() && c != '\n'));
        let lines = is.lines().count();
        prop_assert!(if need.is_some() { (5..=9).contains(&lines) } else { lines == 4 }, "{}", is);
        prop_assert_eq!(&json(&headroom)["need"], &serde_json::json!(need));
    }
}

//! Free ring entries that io_submit can take on one CPU only.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::strand::{Strand, strand};

use crate::tool::{Looks, assert_looks, can_run, check, context, findings, list, run_on};

/// EAGAIN on x86 and arm64.
const EAGAIN: u64 = 11;

/// Check that what io_submit answers on each CPU is what is said of it: it fails on CPU 0 while CPU 1 has credits, then on both, then on none.
#[test]
fn stranded_credits() {
    if !can_run("stranded_credits") {
        return;
    }
    if std::thread::available_parallelism().unwrap().get() < 2 {
        println!("stranded_credits: skipped: it takes two CPUs");
        return;
    }
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(64);
    let Strand { in_flight, errno } = strand(&mut fixture, 0, 1).unwrap();
    assert_eq!(errno, EAGAIN);
    let usable = u64::from(fixture.truth().contexts[0].nr_events) - 1;
    let free = usable - in_flight;
    println!("stranded_credits: EAGAIN on CPU 0 with {in_flight} of {usable} in flight");
    assert!(free > 0, "no credit is left on CPU 1");
    let listed = list(fixture.pid());
    let of = context(&listed, id);
    assert_eq!(findings(of), ["in-flight", "stranded-credits"]);
    let fails_on = of["submit_fails_on"].as_str().unwrap().to_owned();
    assert!(fails_on.split(['-', ',']).next() == Some("0"), "{fails_on}");
    let stranded = of["stranded_credits"].as_array().unwrap();
    assert!(stranded.iter().all(|of| of["online"] == true && of["cpu"] != 0), "{stranded:?}");
    let sum: u64 = stranded.iter().map(|of| of["credits"].as_u64().unwrap()).sum();
    assert!(sum > 0 && sum <= free, "{sum} of {free}");
    let on_1 = stranded.iter().find(|of| of["cpu"] == 1).unwrap()["credits"].as_u64().unwrap();
    let says = format!("{on_1} credits are on CPU 1; io_submit fails now on CPU");
    let text = run_on("check", fixture.pid(), &[]);
    assert!(text.code == 5 && text.stdout.contains(&says), "{says}: {text:?}");
    // On CPU 1 it works as often as was said, and not once more.
    let more = fixture.run("poll #0 100000 1");
    assert_eq!((more["submitted"].as_u64(), more["errno"].as_u64()), (Some(on_1), Some(EAGAIN)));
    let full = ["in-flight", "ring-full"];
    let says = format!("{} requests in flight", in_flight + on_1);
    let json = assert_looks(&mut fixture, &Looks { handle: 0, code: 5, findings: &full, says: &[&says] });
    assert_eq!(json["contexts"][0]["stranded_credits"], serde_json::json!([]));
    assert!(json["contexts"][0]["submit_fails_on"].as_str().unwrap().starts_with('0'), "{json}");
    // One that is reaped is a credit for whoever comes first, on any CPU.
    fixture.run("complete #0 1");
    fixture.run("reap #0 1");
    let json = check(fixture.pid(), &[]).1;
    let of = &json["contexts"][0];
    assert_eq!((findings(of), &of["submit_fails_on"]), (vec!["in-flight"], &"".into()), "{json}");
    assert_eq!(fixture.run("poll #0 1 0")["submitted"], 1);
}

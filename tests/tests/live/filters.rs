//! `list -o`, `-Q`: which columns, which rows.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::programs::run_aioinspect;

use crate::tool::{at_rest, can_run, json};

fn rows(args: &[&str]) -> Vec<Vec<String>> {
    let output = run_aioinspect(args);
    assert_eq!(output.code, 0, "{args:?}: {output:?}");
    let table = output.stdout.lines().take_while(|line| !line.is_empty());
    table.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Check that columns are chosen, and added to the usual ones, by name; and that a wrong name is a usage error that names it.
#[test]
fn columns() {
    if !can_run("columns") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    fixture.setup(128);
    fixture.run("poll #0 5");
    fixture.run("complete #0 3");
    fixture.run("reap #0 1");
    at_rest(fixture.pid());
    let ring_len = fixture.truth().contexts[0].ring_len.to_string();
    let chosen = rows(&["list", "-p", &pid, "-o", "TAIL,HEAD,RING_LEN,MAPPED,PID"]);
    assert_eq!(chosen, [["TAIL", "HEAD", "RING_LEN", "MAPPED", "PID"], ["3", "1", &ring_len, "yes", &pid]]);
    let added = rows(&["list", "-p", &pid, "-o", "+head,tail"]);
    assert_eq!(added[0].len(), 10);
    assert_eq!(added[0][7..], ["HEAD", "TAIL", "FINDINGS"]);
    assert_eq!(added[1][7..], ["1", "3", "in-flight,unreaped"]);
    let wrong = run_aioinspect(&["list", "-o", "NO_SUCH"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("NO_SUCH"), "{wrong:?}");
}

/// Check that rows are chosen by an expression, that nothing chosen is exit code 3, and a wrong expression a usage error.
#[test]
fn expressions() {
    if !can_run("expressions") {
        return;
    }
    let mut fixture = Fixture::spawn();
    let pid = fixture.pid().to_string();
    for n in [16, 128, 1000] {
        fixture.setup(n);
    }
    fixture.run("poll #1 5");
    at_rest(fixture.pid());
    let sizes = |expression: &str| -> Vec<String> {
        let found = rows(&["list", "-H", "-p", &pid, "-o", "MAX_REQS", "-Q", expression]);
        found.into_iter().map(|row| row[0].clone()).collect()
    };
    let sorted = |mut of: Vec<String>| {
        of.sort();
        of
    };
    assert_eq!(sorted(sizes("MAX_REQS > 100")), ["1000", "128"]);
    assert_eq!(sizes("MAX_REQS > 100 and IN_FLIGHT == 0"), ["1000"]);
    assert_eq!(sizes("IN_FLIGHT > 0"), ["128"]);
    assert_eq!(sizes(r#"COMM =~ "fixt" and MAX_REQS == 16"#), ["16"]);
    assert_eq!(sizes(r#"FINDINGS =~ "in-flight""#), ["128"]);
    let chosen = json(&run_aioinspect(&["list", "-J", "-p", &pid, "-Q", "MAX_REQS < 20"]));
    assert_eq!(chosen["contexts"].as_array().unwrap().len(), 1);
    let none = run_aioinspect(&["list", "-p", &pid, "-Q", "MAX_REQS > 5000"]);
    assert_eq!(none.code, 3, "{none:?}");
    for wrong in ["MAX_REQS >", "NO_SUCH == 1", "(", "MAX_REQS == \"x"] {
        let output = run_aioinspect(&["list", "-Q", wrong]);
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{wrong}: {output:?}");
    }
}

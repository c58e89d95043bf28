//! What the page does while nobody touches it.

use std::process::Command;

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::programs::bin;
use aioinspect_tests::serving::Serving;

use super::driver::Browser;
use super::{key, keys_of, rename, ring, row, true_ring};

/// Check that the numbers of the host and the rows of a process come, change and go with them, without a reload.
#[test]
fn numbers_and_rows_follow() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let mut fixture = Fixture::spawn_alone(&host);
    let first = fixture.setup(128);
    browser.open(&serving, "/");
    browser.run("window.sameDocument = true", &[]);
    browser.until_text("#state", "live");
    let (before, limit) = (aio_nr(), aio_max_nr());
    browser.until_text("#reserved", &before.to_string());
    assert_eq!(browser.text("#limit"), limit.to_string());
    assert_eq!(browser.text("#slots-free"), (i128::from(limit) - i128::from(before)).to_string());
    assert_eq!(keys_of(&browser, &fixture), [key(&fixture, first)]);
    let cells = browser.texts(&format!("{} td", row(&fixture, first)));
    let pid = fixture.pid().to_string();
    assert_eq!(
        [&cells[0], &cells[1], &cells[4], &cells[5], &cells[6]],
        [&pid, "aio-fixture", "128", "0", "0"]
    );

    let second = fixture.setup(7);
    fixture.run(&format!("poll {second:#x} 3 0"));
    browser.until("the second context", || {
        let cells = browser.texts(&format!("{} td", row(&fixture, second)));
        (cells.get(4..6)? == ["7", "3"]).then_some(())
    });
    let after = aio_nr();
    assert!(after > before);
    browser.until_text("#reserved", &after.to_string());

    fixture.run(&format!("destroy {first:#x}"));
    browser.until("one row less", || (keys_of(&browser, &fixture) == [key(&fixture, second)]).then_some(()));
    let gone = key(&fixture, second);
    assert_eq!(fixture.finish(), Some(0));
    browser.until("no row", || browser.texts(&format!("tr[data-key=\"{gone}\"]")).is_empty().then_some(()));
    assert_eq!(browser.run("return window.sameDocument", &[]), true);
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that the ring of the context that is open is the true one, and stays so while it changes; and that a context that ends is said to be gone.
#[test]
fn the_ring_follows() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(32);
    fixture.run(&format!("poll {id:#x} 9 0"));
    fixture.run(&format!("complete {id:#x} 4"));
    browser.open(&serving, "/");
    browser.click(&format!("{} td:nth-child(2)", row(&fixture, id)));
    assert_eq!(browser.attribute("#ring-panel", "data-key").unwrap(), key(&fixture, id));
    assert!(browser.is_shown("#ring"));
    assert_eq!(browser.text("#ring-title"), format!("aio-fixture[{}] {id:#x}", fixture.pid()));
    assert_eq!(true_ring(&mut fixture, 0), ["0", "4", "5", "4"]);
    let mut drawings = Vec::new();
    for change in ["", "poll #0 2 0", "complete #0 3", "reap #0 5", "complete #0 1"] {
        if !change.is_empty() {
            fixture.run(change);
        }
        let truth = true_ring(&mut fixture, 0);
        browser.until(&format!("{change}: {truth:?}"), || (ring(&browser) == truth).then_some(()));
        // What is read, and what is seen.
        let [head, tail, in_flight, unreaped] = truth;
        let facts = ["dd[data-f=head]", "dd[data-f=tail]", "b[data-f=in_flight]", "b[data-f=unreaped]"];
        assert_eq!(facts.map(|css| browser.text(css)), [head, tail, in_flight, unreaped], "{change}");
        let arcs =
            ["circle.flight", "circle.done"].map(|css| browser.attribute(css, "stroke-dasharray").unwrap());
        drawings.push((arcs, browser.attribute("#ring .tail path", "transform").unwrap()));
        browser.picture(&format!("ring-{}", drawings.len()));
    }
    for (one, other) in drawings.iter().zip(drawings.iter().skip(1)) {
        assert_ne!(one, other);
    }
    drop(fixture);
    browser.until("it is gone", || browser.is_shown("#gone").then_some(()));
    assert!(browser.text("#gone").starts_with("gone"));
    browser.picture("gone");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that a failed io_setup is told on the page when it happens, with who failed and how, and to who comes later as well.
#[test]
fn failures_are_told() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let mut fixture = Fixture::spawn();
    browser.open(&serving, "/");
    browser.until_text("#state", "live");
    let who = format!("aio-fixture[{}]", fixture.pid());
    let told = || {
        let items = browser.texts("#failures li");
        items.into_iter().filter(|item| item.contains(&who)).collect::<Vec<_>>()
    };
    assert_eq!(told(), [""; 0]);
    let much = aio_max_nr() + 1;
    assert_eq!(fixture.try_run(&format!("setup {much}")).unwrap_err().errno, 11);
    let first = browser.until("the failure", || told().pop());
    // In between it may say in which owner, wherever the tests run.
    assert!(first.contains(&format!(" EAGAIN {who}")), "{first}");
    assert!(first.contains(&format!(" io_setup({much}): ")), "{first}");
    assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
    browser.until("another", || (told().len() == 2).then_some(()));
    assert!(
        told()[0].contains(&format!(" EINVAL {who}")) && told()[0].contains(" io_setup(0): "),
        "the newest is not the first: {:?}",
        told()
    );
    assert!(!browser.is_shown("#failures + .none"));
    browser.picture("failures");
    let live = told();
    browser.reload();
    assert_eq!(told(), live, "the server's word differs from the script's");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that whatever a process calls itself is text: in the row, the panel and the feed, of the server's making and of the script's.
#[test]
fn hostile_names_are_text() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    for comm in ["<b onload=x>", "<img src=x>", "</script><i>", "\"'><svg>&amp;", "{{js}}"] {
        let mut fixture = Fixture::spawn();
        rename(&mut fixture, comm);
        let id = fixture.setup(2);
        assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
        browser.open(&serving, "/");
        let name = format!("{} td:nth-child(2)", row(&fixture, id));
        browser.until_text("#state", "live");
        browser.until_text(&name, comm);
        browser.click(&name);
        let title = format!("{comm}[{}] {id:#x}", fixture.pid());
        assert_eq!(browser.text("#ring-title"), title);
        assert_eq!(browser.text("dd[data-f=comm]"), comm);
        assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
        let who = format!("{comm}[{}]", fixture.pid());
        let feed = || browser.texts("#failures li span").iter().filter(|span| **span == who).count();
        browser.until("both failures", || (feed() == 2).then_some(()));
        browser.reload();
        assert_eq!((browser.text("#ring-title"), feed()), (title, 2));
        let made = browser.texts("img, i:not(.legend i), svg svg, [onload], body script, body style");
        assert_eq!(made, [""; 0], "{comm} made an element");
        assert_eq!(browser.complaints(), [""; 0], "{comm}");
    }
}

/// Check that the page says that it is cut off when the server ends, keeps what it knew, and goes on when there is a server again.
#[test]
fn a_server_that_ends_is_missed() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let mut fixture = Fixture::spawn();
    let first = fixture.setup(3);
    browser.open(&serving, "/");
    browser.until_text("#state", "live");
    let address = serving.tcp();
    // With a page that listens.
    let served = serving.end();
    assert_eq!(served.code, Some(0), "{served:?}");
    browser.until_text("#state", "disconnected");
    assert_eq!(browser.attribute("#status", "data-state").as_deref(), Some("disconnected"));
    assert_eq!(keys_of(&browser, &fixture), [key(&fixture, first)]);
    browser.picture("disconnected");
    let second = fixture.setup(4);
    let mut command = Command::new(bin("aioinspect"));
    command.args(["serve", "--listen", &address.to_string()]);
    let serving = Serving::of(command).unwrap();
    browser.until_text("#state", "live");
    browser.until("the new context", || {
        keys_of(&browser, &fixture).contains(&key(&fixture, second)).then_some(())
    });
    assert_eq!(serving.end().code, Some(0));
    let refused = |complaint: &String| complaint.contains("net::ERR_");
    let others: Vec<_> = browser.complaints().into_iter().filter(|complaint| !refused(complaint)).collect();
    assert_eq!(others, [""; 0]);
}

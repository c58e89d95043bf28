//! The page where no script runs: the same document, brought up to date by loading it again.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::serving::Serving;

use super::driver::Browser;
use super::{key, keys, keys_of, numbers, rename, ring, row, true_ring};

/// Check that everything is there to be read, and that links and forms filter, sort and open as the script does.
#[test]
fn readable() {
    let host = HostLock::take();
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::without_script();
    let mut fixture = Fixture::spawn_alone(&host);
    let mut other = Fixture::spawn_alone(&host);
    let ids = [fixture.setup(17), fixture.setup(400), fixture.setup(60)];
    fixture.run("poll #0 6 0");
    fixture.run("complete #0 2");
    other.setup(100);
    rename(&mut other, "<i>other</i>");
    assert_eq!(fixture.try_run("setup 0").unwrap_err().errno, 22);
    serving.await_metric("aio_setup_calls_total", &["result=\"EINVAL\""], 1.0);

    browser.open(&serving, "/");
    browser.run("window.sameDocument = true", &[]);
    assert!(browser.is_shown("noscript p"), "scripts run");
    assert_eq!(browser.text("#state"), "taken");
    assert!(!browser.is_shown("#pause") && !browser.is_shown("#theme"), "buttons that do nothing");
    assert_eq!(browser.text("#reserved"), aio_nr().to_string());
    assert_eq!(browser.text("#limit"), aio_max_nr().to_string());
    assert_eq!((keys_of(&browser, &fixture).len(), keys_of(&browser, &other).len()), (3, 1));
    assert!(browser.texts("#contexts td:nth-child(2)").contains(&"<i>other</i>".to_owned()));
    let who = format!("EINVAL aio-fixture[{}]", fixture.pid());
    let failures = browser.texts("#failures li");
    assert!(
        failures.iter().any(|item| item.contains(&who) && item.contains(" io_setup(0): ")),
        "{failures:?}"
    );
    browser.picture("unscripted");

    // By the form, and then by links that keep what it asked for.
    browser.click("#filter");
    browser.type_text(&fixture.pid().to_string());
    browser.click("form[role=search] button");
    let asked = format!("q={}", fixture.pid());
    browser.until("the form is sent", || (browser.query() == asked).then_some(()));
    assert_eq!(browser.run("return window.sameDocument ?? null", &[]), serde_json::Value::Null);
    assert_eq!(keys(&browser), [ids[1], ids[2], ids[0]].map(|id| key(&fixture, id)));
    browser.click("th[data-sort=max_reqs] a");
    assert_eq!(numbers(&browser, 5), [17, 60, 400]);
    assert_eq!(browser.attribute("th[data-sort=max_reqs]", "aria-sort").as_deref(), Some("ascending"));
    browser.click("th[data-sort=in_flight] a");
    assert_eq!(numbers(&browser, 6), [4, 0, 0]);
    browser.click("th[data-sort=max_reqs] a");
    browser.click("th[data-sort=max_reqs] a");

    assert!(!browser.is_shown("#ring-panel"));
    browser.click(&format!("{} a", row(&fixture, ids[0])));
    assert!(browser.is_shown("#ring-panel") && browser.is_shown("#ring"));
    assert_eq!(ring(&browser), true_ring(&mut fixture, 0));
    assert_eq!(
        ["dd[data-f=tail]", "b[data-f=in_flight]", "dd[data-f=max_reqs]"].map(|css| browser.text(css)),
        ["2", "4", "17"]
    );
    let drawn = browser.attribute("circle.flight", "stroke-dasharray").unwrap();
    assert!(!drawn.starts_with("0 ") && !drawn.starts_with("0.00 "), "{drawn}");
    assert_eq!(numbers(&browser, 5), [17, 60, 400], "the order is lost");
    browser.picture("unscripted-panel");
    browser.click("#ring-close");
    assert!(!browser.is_shown("#ring-panel"));
    assert_eq!(keys(&browser).len(), 3, "the filter is lost");
    let complaints = browser.complaints();
    assert!(
        complaints.iter().all(|complaint| complaint.contains("Blocked script execution")),
        "{complaints:?}"
    );
}

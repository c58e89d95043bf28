//! What the page does for the hands of its reader: mouse and keys.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::aio_max_nr;
use aioinspect_tests::serving::Serving;
use fantoccini::key::Key;

use super::driver::Browser;
use super::{key, keys, keys_of, numbers, rename, ring, row, true_ring};

/// Check that typing leaves the rows that match, says of how many, and is remembered in the address.
#[test]
fn filter() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let (mut one, mut other) = (Fixture::spawn(), Fixture::spawn());
    let mine = [one.setup(5), one.setup(6), one.setup(9)];
    other.setup(11);
    rename(&mut one, "Zebra 7");
    browser.open(&serving, "/");
    browser.until("both", || {
        (keys_of(&browser, &one).len() == 3 && keys_of(&browser, &other).len() == 1).then_some(())
    });
    let all = keys(&browser).len();
    browser.click("#filter");
    browser.type_text("zebra");
    assert_eq!(keys(&browser), mine.map(|id| key(&one, id)).into_iter().rev().collect::<Vec<_>>());
    assert_eq!(browser.text("#more"), format!("3 of {all} contexts match"));
    assert_eq!(browser.query(), "q=zebra");
    browser.picture("filtered");
    // It stays while the page goes on, and for who loads it again.
    let more = one.setup(1);
    browser.until("the new context alone", || (keys(&browser).len() == 4).then_some(()));
    assert_eq!(keys(&browser).pop(), Some(key(&one, more)));
    browser.reload();
    assert_eq!(keys(&browser).len(), 4);
    browser.until_text("#state", "live");
    assert_eq!(keys(&browser).len(), 4);
    browser.click("#filter");
    browser.type_text(" nobody");
    assert_eq!((keys(&browser).len(), browser.text("#more").as_str()), (0, "no context matches the filter"));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that a click on a heading sorts by it, a second one the other way, and that the rows really stand so.
#[test]
fn sort() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let (mut one, mut other) = (Fixture::spawn(), Fixture::spawn());
    for n in [40, 300, 7] {
        let id = one.setup(n);
        one.run(&format!("poll {id:#x} {} 0", 11 - n % 10));
    }
    other.setup(50);
    rename(&mut other, "another");
    // Those that are known whole, and no other process of this host.
    browser.open(&serving, "/?q=no-such-context");
    browser.until_text("#state", "live");
    browser.open(&serving, "/");
    browser.until("all", || {
        (keys_of(&browser, &one).len() == 3 && keys_of(&browser, &other).len() == 1).then_some(())
    });
    let sorted = |name: &str| browser.attribute(&format!("th[data-sort={name}]"), "aria-sort").unwrap();
    assert_eq!(sorted("max_reqs"), "descending");
    for (name, column, first) in [
        ("pid", 1, "ascending"),
        ("max_reqs", 5, "descending"),
        ("in_flight", 6, "descending"),
        ("unreaped", 7, "descending"),
    ] {
        let second = if first == "ascending" { "descending" } else { "ascending" };
        for direction in [first, second] {
            browser.click(&format!("th[data-sort={name}] a"));
            assert_eq!(sorted(name), direction, "{name}");
            let is = numbers(&browser, column);
            let mut wanted = is.clone();
            wanted.sort_unstable();
            if direction == "descending" {
                wanted.reverse();
            }
            assert_eq!(is, wanted, "{name} {direction}");
            assert!(keys_of(&browser, &one).len() == 3 && keys_of(&browser, &other).len() == 1);
        }
        assert_eq!(browser.texts("th[aria-sort=ascending], th[aria-sort=descending]").len(), 1);
    }
    for direction in ["ascending", "descending"] {
        browser.click("th[data-sort=comm] a");
        assert_eq!(sorted("comm"), direction);
        let names = browser.texts("#contexts tbody td:nth-child(2)");
        let place = |name: &str| names.iter().position(|is| is == name).unwrap();
        assert_eq!(place("aio-fixture") < place("another"), direction == "ascending", "{names:?}");
    }
    assert_eq!(browser.query(), "sort=-comm");
    let before = keys(&browser);
    browser.reload();
    assert_eq!((keys(&browser), sorted("comm").as_str()), (before, "descending"));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check the keys: to the filter and out of it, along the rows, into a context and back, pause, and their list.
#[test]
fn keyboard() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let mut fixture = Fixture::spawn();
    let ids = [fixture.setup(90), fixture.setup(60), fixture.setup(30)];
    fixture.run("poll #1 2 0");
    browser.open(&serving, "/");
    browser.until_text("#state", "live");
    let focus = || {
        let focused = browser
            .run("const e = document.activeElement; return e.closest('tbody tr')?.dataset.key ?? e.id", &[]);
        focused.as_str().unwrap_or_default().to_owned()
    };
    let (escape, enter, down) = (char::from(Key::Escape), char::from(Key::Enter), char::from(Key::Down));
    browser.press(&['/']);
    assert_eq!(focus(), "filter");
    // In the filter a key is a letter.
    browser.type_text(&format!("{}", fixture.pid()));
    browser.type_text("pj");
    assert_eq!(
        browser.run("return document.getElementById('filter').value", &[]),
        format!("{}pj", fixture.pid())
    );
    browser.press(&[char::from(Key::Backspace), char::from(Key::Backspace), down]);
    let wanted = ids.map(|id| key(&fixture, id));
    assert_eq!(keys(&browser), wanted);
    assert_eq!(focus(), wanted[0]);
    browser.press(&['j', 'j', 'k']);
    assert_eq!(focus(), wanted[1]);
    browser.press(&['j', 'j', 'j']);
    assert_eq!(focus(), wanted[2], "past the last row");
    browser.press(&['k', enter]);
    assert_eq!(focus(), "ring-title");
    assert_eq!(browser.attribute("#ring-panel", "data-key").unwrap(), wanted[1]);
    assert_eq!(ring(&browser), true_ring(&mut fixture, 1));
    assert!(browser.is_shown("#ring-panel") && browser.query().contains(&format!("context={:#x}", ids[1])));
    browser.press(&[escape]);
    assert!(!browser.is_shown("#ring-panel") && !browser.query().contains("context="));
    assert_eq!(focus(), wanted[1], "the focus is lost");
    browser.press(&['p']);
    browser.until_text("#state", "paused");
    browser.press(&['p']);
    browser.until_text("#state", "live");
    browser.press(&['?']);
    assert!(browser.is_shown("#keys"));
    browser.picture("keys");
    browser.press(&[escape]);
    assert!(!browser.is_shown("#keys"));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that a page that is paused shows what it showed, whatever happens, and catches up when it goes on.
#[test]
fn pause() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let mut fixture = Fixture::spawn();
    let first = fixture.setup(20);
    fixture.run("poll #0 3 0");
    browser.open(&serving, "/");
    browser.until_text("#state", "live");
    browser.click(&format!("{} td:nth-child(1)", row(&fixture, first)));
    browser.click("#pause");
    assert_eq!(browser.attribute("#pause", "aria-pressed").as_deref(), Some("true"));
    assert_eq!(browser.attribute("#status", "data-state").as_deref(), Some("paused"));
    let seen =
        || (browser.text("#reserved"), keys(&browser), ring(&browser), browser.texts("#failures li").len());
    let before = seen();
    assert_eq!(before.2, ["0", "0", "3", "0"]);
    fixture.run("complete #0 2");
    let second = fixture.setup(21);
    assert_eq!(fixture.try_run(&format!("setup {}", aio_max_nr() + 1)).unwrap_err().errno, 11);
    let id = format!("{second:#x}");
    let known = serving.contexts();
    assert!(known["contexts"].as_array().unwrap().iter().any(|context| context["context"] == *id));
    // Two of the page's own rounds and more.
    let aged = |by: i32| (5..9).any(|s| browser.text("#age").contains(&format!("data {} s old", s + by)));
    browser.until("age", || aged(0).then_some(()));
    browser.picture("paused");
    assert_eq!(seen(), before);
    browser.click("#pause");
    browser.until_text("#state", "live");
    browser.until("what was missed", || {
        let (_, keys, ring, failures) = seen();
        let caught = keys.contains(&key(&fixture, second)) && ring == ["0", "2", "1", "2"];
        (caught && failures == before.3 + 1).then_some(())
    });
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that the page is dark or light as its reader's system is, and that the button turns that, for the next time too.
#[test]
fn theme() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let background = || {
        let rgb = browser.run("return getComputedStyle(document.body).backgroundColor", &[]);
        let rgb = rgb.as_str().unwrap().trim_start_matches("rgb(").trim_end_matches(')').to_owned();
        let sum: u32 = rgb.split(", ").map(|part| part.parse::<u32>().unwrap()).sum();
        if sum < 3 * 128 { "dark" } else { "light" }
    };
    let scheme = || browser.run("return getComputedStyle(document.documentElement).colorScheme", &[]);
    for system in ["dark", "light"] {
        browser.prefer(system);
        browser.open(&serving, "/");
        browser.run("localStorage.clear()", &[]);
        browser.reload();
        assert_eq!(background(), system);
        browser.picture(system);
        let other = if system == "dark" { "light" } else { "dark" };
        browser.click("#theme");
        assert_eq!((background(), scheme().as_str()), (other, Some(other)));
        browser.reload();
        assert_eq!(background(), other, "forgotten");
        browser.click("#theme");
        assert_eq!(background(), system);
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that a narrow window has nothing outside it and the panel in reach.
#[test]
fn narrow() {
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    let mut fixture = Fixture::spawn();
    let id = fixture.setup(20);
    fixture.run("poll #0 3 0");
    browser.resize(400, 800);
    browser.open(&serving, "/");
    browser.until_text("#state", "live");
    let wide = || browser.run("return document.documentElement.scrollWidth > innerWidth", &[]);
    assert_eq!(wide(), false, "the page scrolls sideways");
    browser.picture("narrow");
    browser.click(&format!("{} td:nth-child(1)", row(&fixture, id)));
    assert_eq!(ring(&browser), true_ring(&mut fixture, 0));
    assert_eq!(wide(), false, "the page scrolls sideways with the panel");
    browser.picture("narrow-panel");
    browser.click("#ring-close");
    assert!(!browser.is_shown("#ring-panel"));
    assert_eq!(browser.complaints(), [""; 0]);
}

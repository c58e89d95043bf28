use proptest::prelude::*;

use super::*;
use aioinspect_model::history::Holders;

const NOON: u64 = 1_769_860_800_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn holders(all: &[(&str, u64)]) -> Holders {
    Holders::new(all.iter().map(|(name, slots)| ((*name).to_owned(), *slots)))
}

fn drawn(history: &History, query: &str) -> String {
    let mut out = String::new();
    section(history, NOON, &PageQuery::parse(query), &mut out);
    out
}

/// The path of an element.
fn path<'a>(drawn: &'a str, of: &str) -> &'a str {
    let after = drawn.split_once(of).unwrap_or_else(|| panic!("no {of} in {drawn}")).1;
    after.split_once("d=\"").unwrap().1.split_once('"').unwrap().0
}

/// Check the paths of a stack, in which an owner doubled half way and nothing is known of the first half.
#[test]
fn stacked() {
    let mut history = History::default();
    for ago in (0..=600).rev().step_by(5) {
        let a = if ago <= 300 { 400 } else { 200 };
        let at = NOON - ago * SECOND;
        history.look(at, a + 150, 1000, Some(holders(&[("a", a), ("b", 100)])));
    }
    history.failed(NOON - 100 * SECOND);
    let drawn = drawn(&history, "");
    // The top is a twelfth above the limit: 1083. The last of the columns has noon in it.
    assert_eq!(path(&drawn, "class=\"layer o0\" data-owner=\"a\""), "M534 174v-30h240v-29h248V174z");
    assert_eq!(path(&drawn, "class=\"layer o1\" data-owner=\"b\""), "M534 174v-44h240v-30h248V174z");
    assert_eq!(path(&drawn, "class=\"layer nobodys\""), "M534 174v-52h240v-29h248V174z");
    let place = |of: &str| drawn.find(of).unwrap();
    assert!(place("layer nobodys") < place("layer o1") && place("layer o1") < place("layer o0"), "{drawn}");
    assert_eq!(path(&drawn, "class=\"limit\""), "M534 26h488");
    assert_eq!(path(&drawn, "class=\"gap\""), "M62 14H534V174H62z");
    assert_eq!(path(&drawn, "class=\"failed\""), "M935 206v-22h6v22z");
    for part in [
        "a: 400 now",
        "b: 100 now",
        "not attributed: 50 now",
        "limit 1000<",
        ">11:45</text>",
        ">12:00</text>",
    ] {
        assert!(drawn.contains(part), "{part}: {drawn}");
    }
    assert!(drawn.contains("aria-label=\"slots over the last 20 min: 550 reserved now, 550 at most, limit 1000; 1 calls failed\""), "{drawn}");
    assert!(
        drawn.contains("<li><i class=\"o0\"></i><a href=\"?owner=a\" data-owner=\"a\">a</a> <b>400</b></li>"),
        "{drawn}"
    );
    assert!(!drawn.contains("others"), "{drawn}");
}

/// Check that what nobody looked at is a part of its own, above the owners that are known, and never `not attributed`.
#[test]
fn nobody_looked() {
    let mut history = History::default();
    history.observe(NOON - 200 * SECOND, 400, 1000);
    history.look(NOON - 20 * SECOND, 400, 1000, Some(holders(&[("a", 400)])));
    history.observe(NOON - 15 * SECOND, 900, 1000);
    history.look(NOON, 900, 1000, Some(holders(&[("a", 900)])));
    let drawn = drawn(&history, "");
    assert!(!drawn.contains("not attributed"), "{drawn}");
    assert_eq!(path(&drawn, "class=\"layer o0\" data-owner=\"a\""), "M998 174v-59h16v-74h8V174z");
    assert_eq!(path(&drawn, "class=\"layer unknown\""), "M854 174v-59h24V174zM998 174v-133h24V174z");
    assert!(drawn.contains("owners not known: 0 now") && drawn.contains("a: 900 now"), "{drawn}");
}

/// Check that the words tell what is now, where a column has what was the most in its three minutes.
#[test]
fn shrunk() {
    let mut history = History::default();
    history.look(NOON + 60 * SECOND, 950, 1000, Some(holders(&[("a", 900), ("b", 50)])));
    history.look(NOON + 120 * SECOND, 60, 1000, Some(holders(&[("b", 40), ("c", 10)])));
    for span in ["span=20m", "span=6h"] {
        let mut drawn = String::new();
        section(&history, NOON + 120 * SECOND, &PageQuery::parse(span), &mut drawn);
        let words = [
            "a: 0 now",
            "b: 40 now",
            "c: 10 now",
            "not attributed: 10 now",
            ": 60 reserved now, 950 at most",
        ];
        for part in words {
            assert!(drawn.contains(part), "{part}: {drawn}");
        }
        assert!(drawn.contains("\">a</a> <b>0</b>"), "{drawn}");
    }
}

/// Check that the owner that is chosen is at the bottom and the others fade, and that its link leads back.
#[test]
fn chosen() {
    let mut history = History::default();
    let many: Vec<(String, u64)> = (1..=10).map(|n| (format!("o{n}"), n * 10)).collect();
    history.look(NOON, 550, 1000, Some(Holders::new(many)));
    let all = drawn(&history, "");
    assert!(
        all.contains("class=\"layer o0\" data-owner=\"o10\"") && all.contains("other owners: 30 now"),
        "{all}"
    );
    let one = drawn(&history, "owner=o1&span=1h");
    assert!(one.contains("class=\"layer o0\" data-owner=\"o1\""), "{one}");
    assert!(one.contains("class=\"layer o1 faint\" data-owner=\"o10\""), "{one}");
    assert!(
        one.contains("<a href=\"?span=1h\" data-owner=\"o1\">") && one.contains("other owners: 50 now"),
        "{one}"
    );
    assert!(one.contains("data-span=\"1h\" aria-current=\"true\">1 h</a>"), "{one}");
}

/// Check that a limit far above all that is reserved leaves it to be seen, and says where it is.
#[test]
fn scales() {
    assert_eq!(Scale::of(100, 1000), Scale { top: 108, has_limit: false });
    assert_eq!(Scale::of(200, 1000), Scale { top: 1083, has_limit: true });
    assert_eq!(Scale::of(0, 0), Scale { top: 1, has_limit: true });
    assert_eq!(Scale::of(0, 65_536), Scale { top: 1, has_limit: false });
    let ticks = |peak, limit| Scale::of(peak, limit).ticks().collect::<Vec<_>>();
    assert_eq!(ticks(60_000, 65_536), [0, 20_000, 40_000, 60_000]);
    assert_eq!(ticks(0, 9), [0, 1]);
    assert_eq!(ticks(5, 5), [0, 2, 4, 6]);
    let mut history = History::default();
    history.observe(NOON, 10, 1_048_576);
    let drawn = drawn(&history, "");
    assert!(drawn.contains("limit 1048576, above the plot") && !drawn.contains("class=\"limit\""), "{drawn}");
}

/// Check how far back the plot reaches if nobody says it.
#[test]
fn spans() {
    for (minutes, word) in [(0, "20m"), (19, "20m"), (21, "1h"), (59, "1h"), (61, "6h"), (360, "6h")] {
        let mut history = History::default();
        history.observe(NOON - minutes * 60 * SECOND, 1, 2);
        history.observe(NOON, 1, 2);
        let drawn = drawn(&history, "");
        assert!(drawn.contains(&format!("data-span=\"{word}\" aria-current")), "{minutes}: {drawn}");
    }
    assert!(drawn(&History::default(), "").contains("nothing is known of this time"));
}

proptest! {
    /// Check that no history makes it panic or draws what is no number.
    #[test]
    fn any_history(samples in proptest::collection::vec((0_u64..25_000, any::<u64>(), any::<u64>(), "[a-c<]{0,2}"), 0..60), back in 0_u64..30_000) {
        let mut history = History::default();
        for (ago, reserved, limit, name) in samples {
            history.look(NOON - ago * SECOND, reserved, limit, Some(Holders::new([(name, reserved / 2)])));
            history.failed(NOON - ago * SECOND);
        }
        for span in ["", "span=20m", "span=1h", "span=6h&owner=a"] {
            let mut out = String::new();
            section(&history, NOON - back * SECOND, &PageQuery::parse(span), &mut out);
            prop_assert!(!out.contains("NaN") && !out.contains("inf"), "{out}");
            prop_assert_eq!(out.matches("</section>").count(), 1);
        }
    }
}

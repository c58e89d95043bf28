use proptest::prelude::*;

use crate::event_specimens;
use crate::screen::specimen;
use aioinspect_model::history::{History, Holders};
use aioinspect_model::picture::{ContextView, GhostView, Owner, Picture};
use aioinspect_model::units::{ContextId, Pid};

use crate::page::*;

const NOON: u64 = 1_769_860_800_000_000_000;

fn page_of(picture: &Picture, failures: &[Timed], query: &str) -> String {
    page_after(&History::default(), picture, failures, query)
}

fn page_after(history: &History, picture: &Picture, failures: &[Timed], query: &str) -> String {
    let query = PageQuery::parse(query);
    render(&PageView {
        picture,
        history,
        now_unix_ns: NOON,
        failures,
        query: &query,
        taken_unix_ns: NOON,
        hook: "fentry",
        version: "0.1.0",
    })
}

fn page(contexts: Vec<ContextView>, query: &str) -> String {
    page_of(&specimen::picture(contexts), &[], query)
}

/// Twenty minutes, in which an owner came, and calls failed while nothing was known of the rest.
fn history() -> History {
    let mut history = History::default();
    for ago in (0..1200_u64).rev().step_by(5).filter(|ago| !(300..400).contains(ago)) {
        let mut all = vec![("mariadb.service".to_owned(), 4096), ("worker[31016]".to_owned(), 128)];
        if ago < 600 {
            all.push(("nginx.service".to_owned(), 50_000));
        }
        let holders = Holders::new(all);
        history.look(NOON - ago * 1_000_000_000, holders.sum() + 32, 65_536, Some(holders));
    }
    for ago in [350, 349, 10] {
        history.failed(NOON - ago * 1_000_000_000);
    }
    history
}

/// The PIDs of the rows, in their order.
fn pids(page: &str) -> Vec<u32> {
    let table = page.split_once("<table id=\"contexts\">").unwrap().1;
    let table = table.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    let keys = table.split("data-key=\"").skip(1);
    keys.map(|key| key.split_once(':').unwrap().0.parse().unwrap()).collect()
}

/// What a browser without script shows, roughly: tags and what is hidden are gone, a line a row.
fn shown(page: &str) -> String {
    let mut text = page.to_owned();
    let unseen = [
        ("<head>", "</head>"),
        ("<dialog", "</dialog>"),
        ("<template", "</template>"),
        ("<template", "</template>"),
        ("<p id=\"only\" hidden", "</p>"),
    ];
    for (from, to) in unseen {
        let start = text.find(from).unwrap();
        let end = start + text.split_at(start).1.find(to).unwrap() + to.len();
        text.replace_range(start..end, "");
    }
    for end in ["</tr>", "</div>", "</p>", "</li>", "</dd>", "</h2>"] {
        text = text.replace(end, "\n");
    }
    for gap in ["</td>", "</th>", "</dt>", "</text>"] {
        text = text.replace(gap, " ");
    }
    let mut plain = String::new();
    let mut in_tag = false;
    for c in text.chars() {
        match c {
            '<' => in_tag = true,
            '>' if in_tag => in_tag = false,
            c if !in_tag => plain.push(c),
            _ => {}
        }
    }
    let lines = plain.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).map(|line| line + "\n").collect()
}

/// Check the text that is read without script, of a host with every kind of context, a ring that wraps, and failures.
#[test]
fn golden() {
    let mut host = specimen::host();
    let address = ContextId(0x7f00_0000_1000);
    host.ghosts = vec![GhostView {
        pid: Pid(9),
        comm: b"child".as_slice().into(),
        owner: Owner::default().into(),
        address,
        ring_len: 4096,
    }];
    let page = page_after(&history(), &host, &event_specimens::all(), "pid=812&context=0x7f39bb64d000");
    let at = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/golden.txt");
    if std::env::var_os("AIOINSPECT_BLESS").is_some_and(|value| !value.is_empty()) {
        std::fs::write(at, shown(&page)).unwrap();
    }
    assert_eq!(shown(&page), std::fs::read_to_string(at).unwrap(), "what {at} says");
    let panel = "data-key=\"812:0x7f39bb64d000\" data-start=\"812\" data-head=\"4220\" data-tail=\"4\"";
    assert!(page.contains(panel), "{page}");
    assert!(page.contains("data-in-flight=\"33\" data-unreaped=\"7\">"), "{page}");
    assert!(page.contains("<tr data-key=\"812:0x7f39bb64d000\" class=\"open\">"), "{page}");
}

/// Check that no name gets out of its place: neither of a process, nor of its owner, nor what the address says.
#[test]
fn hostile() {
    let evil = "</script><img src=x onerror='a()'>\"";
    let mut context = ContextView { comm: evil.as_bytes().into(), ..specimen::context(7, 0x1000) };
    context.owner = Owner { unit: evil.to_owned(), ..Owner::default() }.into();
    let mut failures = event_specimens::all();
    for failure in &mut failures {
        if let Event::SetupFailed { by, .. } = &mut failure.event {
            by.comm = evil.into();
        }
    }
    let picture = specimen::picture(vec![context]);
    let query = "pid=7&context=0x1000&q=%3C/script%3E%3Cimg&sort=%22%3E%3Cimg&owner=%3C/script%3E%3Cimg+src%3Dx+onerror%3D'a()'%3E%22";
    let mut history = History::default();
    history.look(NOON, 128, 65_536, Some(Holders::new([(evil.to_owned(), 128)])));
    let page = page_after(&history, &picture, &failures, query);
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("&lt;/script&gt;&lt;img src=x onerror=&#39;a()&#39;&gt;&quot;"), "{page}");
    assert_eq!(pids(&page), [7]);
    let gone = self::page(Vec::new(), "pid=7&context=0x1000");
    assert!(gone.contains("[7] 0x1000") && gone.contains("role=\"status\">gone"), "{gone}");
}

/// Check the weight of the page without contexts, which is what it adds to the data; and that of the fullest plot, in which every owner
/// changes from column to column.
#[test]
fn weight() {
    let empty = page(Vec::new(), "");
    assert!(empty.len() < 48_000, "{} bytes", empty.len());
    assert!(
        empty.contains("no process has an AIO context") && empty.contains("nothing is known of this time")
    );
    let mut history = History::default();
    for ago in (0..1200_u64).rev().step_by(5) {
        let owners = (0..20_u64).map(|owner| {
            (format!("a-service-of-some-length-{owner}.service"), 1 + (ago * 7919 + owner * 104_729) % 3000)
        });
        history.look(NOON - ago * 1_000_000_000, 65_000 - ago, 60_000 + ago, Some(Holders::new(owners)));
        history.failed(NOON - ago * 1_000_000_000);
    }
    let full = page_after(&history, &specimen::picture(Vec::new()), &[], "");
    assert!(full.len() < 60_000, "{} bytes, of which the plot {}", full.len(), full.len() - empty.len());
}

/// Check the table of owners: sums, share, order, and that an owner's link leaves its contexts alone, and is one back where it is chosen.
#[test]
fn owners() {
    let page = page_of(&specimen::host(), &[], "sort=pid");
    let table = page.split_once("<table id=\"owners\">").unwrap().1.split_once("</table>").unwrap().0;
    let cells = |row: &str| {
        row.split("<td class=\"n\">")
            .skip(1)
            .map(|cell| cell.split('<').next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let rows: Vec<&str> = table.split("<tr data-key=\"").skip(1).collect();
    assert!(rows[0].starts_with("mariadb.service\"><td><a href=\"?owner=mariadb.service&amp;sort=pid\" data-owner=\"mariadb.service\">"), "{table}");
    assert_eq!(cells(rows[0]), ["1", "2", "4096", "6.2%", "4255"]);
    assert!(rows[1].starts_with("größe 名前[31016]\""), "{table}");
    assert_eq!(cells(rows[1]), ["1", "1", "128", "0.1%", "-"]);
    assert_eq!(cells(rows[2]), ["1", "2", "32", "&lt;0.1%", "0"]);
    let one = page_of(&specimen::host(), &[], "owner=mariadb.service&sort=pid");
    assert_eq!(pids(&one), [812, 812]);
    assert!(
        one.contains("<tr data-key=\"mariadb.service\" class=\"open\"><td><a href=\"?sort=pid\""),
        "{one}"
    );
    assert!(one.contains(
        "contexts of <b id=\"only-owner\">mariadb.service</b> alone <a id=\"only-all\" href=\"?sort=pid\">"
    ));
    assert!(one.contains("2 of 5 contexts match"));
    assert!(one.contains("<input type=\"hidden\" name=\"owner\" value=\"mariadb.service\">"));
    assert_eq!(
        pids(&page_of(&specimen::host(), &[], "owner=gr%C3%B6%C3%9Fe+%E5%90%8D%E5%89%8D%5B31016%5D")),
        [31_016]
    );
    assert_eq!(pids(&page_of(&specimen::host(), &[], "owner=nobody")), [0; 0]);
}

/// Check that an address with a context alone opens it, as one with its process does.
#[test]
fn a_context_alone() {
    let page = page_of(&specimen::host(), &[], "context=0x7f39bb64d000");
    assert!(page.contains("data-key=\"812:0x7f39bb64d000\" data-start=\"812\" data-head=\"4220\""), "{page}");
    assert!(page.contains("<tr data-key=\"812:0x7f39bb64d000\" class=\"open\">"), "{page}");
    let gone = page_of(&specimen::host(), &[], "context=0x1");
    assert!(gone.contains("id=\"ring-panel\"") && !gone.contains("class=\"open\""), "{gone}");
}

/// Check that many owners make no endless table, and what of them is left out.
#[test]
fn many_owners() {
    let contexts = (1..=60).map(|pid| specimen::context(pid, 0x1000)).collect();
    let page = page(contexts, "");
    assert_eq!(page.matches("data-owner=\"worker[").count(), owners::MOST_OWNERS);
    assert!(page.contains("10 more owners reserve 1280"), "{page}");
}

/// Check that the policy allows exactly what stands between the tags, and that nothing asks for more than it allows.
#[test]
fn policy() {
    let page = page_of(&specimen::host(), &event_specimens::all(), "");
    for (tag, directive) in [("script", "script-src"), ("style", "style-src")] {
        let (_, after) = page.split_once(&format!("<{tag}>")).unwrap();
        let (inlined, rest) = after.split_once(&format!("</{tag}>")).unwrap();
        assert!(csp().contains(&format!("{directive} '{}';", hash(inlined))), "{}", csp());
        assert!(!rest.contains(&format!("<{tag}")), "a second {tag}");
        assert!(!inlined.contains('\r') && !inlined.contains("<!--"));
    }
    for part in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(csp().contains(part), "{}", csp());
    }
    for banned in [
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval",
        "Function(",
        "http://",
        "https://",
        " style=",
        " onclick=",
        " onload=",
        " src=",
        "javascript:",
        "{{",
    ] {
        assert!(!page.contains(banned), "{banned}");
    }
}

/// Check that the filter looks at the name, the owner, the PID and the findings, in any case.
#[test]
fn filters() {
    let host = specimen::host();
    let of = |query: &str| {
        let mut pids = pids(&page_of(&host, &[], query));
        pids.dedup();
        pids
    };
    assert_eq!(of("q=MySQL"), [812]);
    assert_eq!(of("q=4f5e6d"), [20_311]);
    assert_eq!(of("q=mariadb"), [812]);
    assert_eq!(of("q=310"), [31_016]);
    assert_eq!(of("q=unmapped-ring"), [31_016]);
    assert_eq!(of("q=%E5%90%8D"), [31_016]);
    assert_eq!(of("q=nothing"), [0; 0]);
    assert!(page_of(&host, &[], "q=nothing").contains("no context matches the filter"));
    assert!(page_of(&host, &[], "q=mysql&sort=pid").contains("name=\"sort\" value=\"pid\""));
}

/// Check both directions, that the headings say them, and that what is not known comes last in each.
#[test]
fn sorts() {
    let of = |sort: &str| {
        let mut pids = pids(&page_of(&specimen::host(), &[], &format!("sort={sort}")));
        pids.dedup();
        pids
    };
    assert_eq!(of(""), [812, 31_016, 20_311]);
    assert_eq!(of("max_reqs"), [812, 31_016, 20_311]);
    assert_eq!(of("-max_reqs"), [20_311, 31_016, 812]);
    assert_eq!(of("pid"), [812, 20_311, 31_016]);
    assert_eq!(of("-PID"), [31_016, 20_311, 812]);
    assert_eq!(of("in_flight"), [812, 20_311, 31_016]);
    assert_eq!(of("-in_flight"), [20_311, 812, 31_016]);
    assert_eq!(of("owner"), [20_311, 812, 31_016]);
    assert_eq!(of("findings"), [812, 20_311, 31_016, 812]);
    assert_eq!(of("nonsense"), of(""));
    let page = page_of(&specimen::host(), &[], "sort=pid&q=a");
    assert!(
        page.contains("data-sort=\"pid\" aria-sort=\"ascending\"><a href=\"?q=a&amp;sort=-pid\">"),
        "{page}"
    );
}

/// Check that a host of many contexts gets no endless page, and is told so.
#[test]
fn many() {
    let contexts = (1..=1200).map(|pid| specimen::context(pid, 0x1000)).collect();
    let page = page(contexts, "");
    assert_eq!(pids(&page).len(), rows::MOST_ROWS);
    assert!(page.contains("and 700 more: the first 500 of 1200 are shown"));
}

/// Check the words and colours of a host that is over its limit, and one that has none.
#[test]
fn limits() {
    let mut host = specimen::host();
    for (used, limit, says, class) in [
        (70_000, 65_536, "106.8%", "bad"),
        (60_000, 65_536, "91.5%", "pending"),
        (0, 0, "-", "fine"),
        (u64::MAX, 1, "", "bad"),
    ] {
        (host.system.aio_nr, host.system.aio_max_nr) = (used, limit);
        let page = page_of(&host, &[], "");
        assert!(page.contains(&format!("<b id=\"percent\">{says}")), "{page}");
        assert!(page.contains(&format!("<section id=\"system\" class=\"{class}\"")), "{page}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Check that no address and no name makes it panic or breaks the page.
    #[test]
    fn any_query(query: String, comm: Vec<u8>, pid: u32, numbers: [Option<u32>; 6]) {
        let [max_reqs, nr_events, in_flight, unreaped, head, tail] = numbers;
        let comm = comm.into();
        let context = ContextView {
            comm, max_reqs, nr_events, in_flight, unreaped, head, tail, ..specimen::context(pid, u64::MAX)
        };
        let query = format!("{query}&pid={pid}&context=0xffffffffffffffff");
        let page = page(vec![context], &query);
        prop_assert_eq!(page.matches("</html>").count(), 1);
        prop_assert!(!page.contains("NaN"));
    }
}

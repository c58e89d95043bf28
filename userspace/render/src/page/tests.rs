use proptest::prelude::*;

use crate::event_specimens;
use crate::screen::specimen;
use aioinspect_model::picture::{ContextView, GhostView, Owner, Picture};
use aioinspect_model::units::{ContextId, Pid};

use crate::page::*;

const NOON: u64 = 1_769_860_800_000_000_000;

fn page_of(picture: &Picture, failures: &[Timed], query: &str) -> String {
    let query = PageQuery::parse(query);
    render(&PageView {
        list: &List::from(picture),
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

/// The PIDs of the rows, in their order.
fn pids(page: &str) -> Vec<u32> {
    let table = page.split_once("<tbody>").unwrap().1.split_once("</tbody>").unwrap().0;
    let keys = table.split("data-key=\"").skip(1);
    keys.map(|key| key.split_once(':').unwrap().0.parse().unwrap()).collect()
}

/// What a browser without script shows, roughly: tags and what is hidden are gone, a line a row.
fn shown(page: &str) -> String {
    let mut text = page.to_owned();
    for (from, to) in [("<head>", "</head>"), ("<dialog", "</dialog>"), ("<template", "</template>")] {
        let start = text.find(from).unwrap();
        let end = text.find(to).unwrap();
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
    let page = page_of(&host, &event_specimens::all(), "pid=812&context=0x7f39bb64d000");
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
    let query = "pid=7&context=0x1000&q=%3C/script%3E%3Cimg&sort=%22%3E%3Cimg";
    let page = page_of(&picture, &failures, query);
    assert_eq!(page.matches("</script>").count(), 1);
    assert!(!page.contains("<img"), "{page}");
    assert!(page.contains("&lt;/script&gt;&lt;img src=x onerror=&#39;a()&#39;&gt;&quot;"), "{page}");
    assert_eq!(pids(&page), [7]);
    let gone = self::page(Vec::new(), "pid=7&context=0x1000");
    assert!(gone.contains("[7] 0x1000") && gone.contains("role=\"status\">gone"), "{gone}");
}

/// Check the weight of the page without contexts, which is what it adds to the data.
#[test]
fn weight() {
    let page = page(Vec::new(), "");
    assert!(page.len() < 40_000, "{} bytes", page.len());
    assert!(page.contains("no process has an AIO context"));
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

//! Owners on the page: their sums, the plot of the last hours, and the links that lead from an owner to a ring.

use aioinspect_tests::cgroup::Cgroup;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use aioinspect_tests::serving::Serving;
use serde_json::Value;

use super::driver::Browser;
use super::{key, keys, ring, row, true_ring};

/// Two services of this test alone: one of two processes, 350 and 300 slots, one of 200 slots.
struct Services {
    names: [String; 2],
    _cgroups: [Cgroup; 2],
    many: [Fixture; 2],
    one: Fixture,
    ids: [u64; 4],
}

impl Services {
    fn start(host: &HostLock) -> Services {
        let names = ["many", "one"].map(|name| format!("aioinspect-{name}-{}.service", std::process::id()));
        let cgroups = names.clone().map(|name| Cgroup::new(&name));
        let (mut many, mut one) = ([0, 1].map(|_| Fixture::spawn_alone(host)), Fixture::spawn_alone(host));
        many.iter().for_each(|fixture| cgroups[0].take(fixture.pid()));
        cgroups[1].take(one.pid());
        let ids = [many[0].setup(300), many[0].setup(50), many[1].setup(300), one.setup(200)];
        Services { names, _cgroups: cgroups, many, one, ids }
    }
}

/// The cells of an owner's row behind its name.
fn cells(browser: &Browser, owner: &str) -> Vec<String> {
    browser.texts(&format!("#owners tbody tr[data-key=\"{owner}\"] td.n"))
}

/// The number that the legend has for an owner.
fn legend(browser: &Browser, owner: &str) -> Option<u64> {
    let script = "return document.querySelector(`#history .legend a[data-owner=\"${arguments[0]}\"]`)?.parentElement\
                  .querySelector('b').textContent ?? null";
    browser.run(script, &[owner]).as_str()?.parse().ok()
}

/// How high a layer of the stack is drawn, from the base.
fn height(browser: &Browser, owner: &str) -> f64 {
    let script =
        "return document.querySelector(`#plot .layer[data-owner=\"${arguments[0]}\"]`).getBBox().height";
    browser.run(script, &[owner]).as_f64().unwrap()
}

fn history(serving: &Serving) -> Value {
    serde_json::from_str(&serving.get("/api/v1/history").text()).unwrap()
}

fn share(percent_of: u64) -> String {
    let thousandths = percent_of * 1000 / aio_max_nr();
    if thousandths == 0 && percent_of > 0 {
        return "<0.1%".to_owned();
    }
    format!("{}.{}%", thousandths / 10, thousandths % 10)
}

/// Check that owners stand with their sums in the table, the plot, and the API; that a click on one leaves its contexts alone; and that a
/// context's link opens its ring, for whoever it is sent to.
#[test]
fn from_owner_to_ring() {
    let host = HostLock::take();
    let mut services = Services::start(&host);
    let [many, one] = services.names.clone();
    services.one.run("poll #0 3 0");
    assert_eq!(services.many[0].try_run(&format!("setup {}", aio_max_nr() + 1)).unwrap_err().errno, 11);
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::start();
    browser.open(&serving, "/");
    browser.until_text("#state", "live");
    assert_eq!(cells(&browser, &many), ["2", "3", "650", &share(650), "0"]);
    assert_eq!(cells(&browser, &one), ["1", "1", "200", &share(200), "3"]);
    browser.until("owners in the plot", || (legend(&browser, &many)? == 650).then_some(()));
    assert_eq!(legend(&browser, &one), Some(200));
    // They stand one on the other.
    let (lower, upper) = (height(&browser, &many), height(&browser, &one));
    assert!((upper / lower - 850.0 / 650.0).abs() < 0.05, "{lower} {upper}");
    browser.picture("owners");

    let document = history(&serving);
    let last = document["samples"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(document["schema_version"], 1);
    assert_eq!((last["reserved"].as_u64(), last["limit"].as_u64()), (Some(aio_nr()), Some(aio_max_nr())));
    let slots = |name: &str| {
        let owners = last["owners"].as_array().unwrap();
        owners.iter().find(|owner| owner["name"] == name).unwrap()["slots"].as_u64().unwrap()
    };
    assert_eq!((slots(&many), slots(&one)), (650, 200));
    let told: u64 =
        last["owners"].as_array().unwrap().iter().map(|owner| owner["slots"].as_u64().unwrap()).sum();
    let rest: u64 =
        ["others", "unattributed", "owners_not_known"].iter().map(|key| last[*key].as_u64().unwrap()).sum();
    assert_eq!(told + rest, aio_nr(), "{last}");

    // By the legend to its contexts; the plot is drawn anew with that owner at the bottom.
    browser.click(&format!("#history .legend a[data-owner=\"{one}\"]"));
    assert_eq!(keys(&browser), [key(&services.one, services.ids[3])]);
    assert_eq!((browser.query(), browser.text("#only-owner")), (format!("owner={one}"), one.clone()));
    browser.until("the plot of one", || {
        (browser.attribute("#plot .layer.o0", "data-owner")? == one).then_some(())
    });
    assert!(browser.attribute(&format!("#plot [data-owner=\"{many}\"]"), "class").unwrap().contains("faint"));
    browser.picture("owner");
    browser.click(&format!("{} a", row(&services.one, services.ids[3])));
    assert_eq!(ring(&browser), true_ring(&mut services.one, 0));
    let sent = browser.query();
    assert!(sent.contains(&format!("owner={one}")) && sent.contains("context=0x"), "{sent}");

    // Whoever gets the address sees the same; and with the id alone, the ring.
    let other = Browser::start();
    other.open(&serving, &format!("/?{sent}"));
    other.until_text("#state", "live");
    assert_eq!(keys(&other), [key(&services.one, services.ids[3])]);
    assert_eq!(ring(&other), true_ring(&mut services.one, 0));
    other.open(&serving, &format!("/?context={:#x}", services.ids[1]));
    other.until_text("#state", "live");
    assert!(
        other.is_shown("#ring-panel")
            && other.text("#ring-title").contains(&format!("{:#x}", services.ids[1]))
    );
    assert_eq!(other.complaints(), [""; 0]);

    // By the table to another, and a click on that again to all.
    browser.click("#ring-close");
    let all = |browser: &Browser| keys(browser).len() >= 4;
    browser.click("#only-all");
    assert!(all(&browser) && !browser.is_shown("#only"));
    let link = format!("#owners a[data-owner=\"{many}\"]");
    browser.click(&link);
    assert_eq!(keys(&browser).len(), 3);
    // What comes is seen at once, in the table and later in the plot.
    services.many[1].setup(350);
    browser.until("the new context", || (cells(&browser, &many)[2] == "1000").then_some(()));
    assert_eq!(keys(&browser).len(), 4);
    browser.until("the new slots in the plot", || (legend(&browser, &many)? == 1000).then_some(()));
    browser.click(&link);
    assert!(all(&browser) && browser.query().is_empty());
    browser.click("#history nav a[data-span=\"1h\"]");
    browser.until("an hour", || (browser.attribute("#history", "data-span")? == "1h").then_some(()));
    assert_eq!(browser.query(), "span=1h");
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Check that the same is there where no script runs, by links alone, and that the page stays light.
#[test]
fn without_script() {
    let host = HostLock::take();
    let mut services = Services::start(&host);
    let [many, one] = services.names.clone();
    let serving = Serving::start(&[]).unwrap();
    let browser = Browser::without_script();
    assert!(serving.get("/").text().len() < 60_000, "the page is heavy");
    browser.open(&serving, "/");
    assert_eq!(cells(&browser, &many), ["2", "3", "650", &share(650), "0"]);
    assert_eq!((legend(&browser, &many), legend(&browser, &one)), (Some(650), Some(200)));
    assert!(browser.is_shown("#plot") && !browser.is_shown("#only"));
    browser.picture("owners-unscripted");
    browser.click(&format!("#owners a[data-owner=\"{one}\"]"));
    assert_eq!(
        (keys(&browser), browser.text("#only-owner")),
        (vec![key(&services.one, services.ids[3])], one.clone())
    );
    browser.click(&format!("{} a", row(&services.one, services.ids[3])));
    assert_eq!(ring(&browser), true_ring(&mut services.one, 0));
    browser.click("#history nav a[data-span=\"6h\"]");
    assert_eq!(browser.attribute("#history", "data-span").as_deref(), Some("6h"));
    assert_eq!((keys(&browser).len(), ring(&browser)), (1, true_ring(&mut services.one, 0)));
    browser.click("#only-all");
    assert!(keys(&browser).len() >= 4);
}

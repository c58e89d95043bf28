//! The screen of the running host by owner, and the line of the time that goes by.

use aioinspect_tests::cgroup::Cgroup;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr};
use aioinspect_tests::programs::bin;

use crate::pane::{Pane, can};

/// Check that two services stand as two rows with the sums of their processes, that Enter goes to the contexts of one, and that what is
/// reserved and what fails is seen as time goes by.
#[test]
fn services() {
    if !can("services") {
        return;
    }
    let host = HostLock::take();
    let names = ["many", "one"].map(|name| format!("aioinspect-{name}-{}.service", std::process::id()));
    let cgroups = names.clone().map(|name| Cgroup::new(&name));
    let (mut many, mut one) = ([0, 1].map(|_| Fixture::spawn_alone(&host)), Fixture::spawn_alone(&host));
    many.iter().for_each(|fixture| cgroups[0].take(fixture.pid()));
    cgroups[1].take(one.pid());
    many[0].setup(30_000);
    many[0].setup(50);
    many[1].setup(3000);
    one.setup(200);
    let script = format!("exec '{}' watch --interval 500ms", bin("aioinspect").display());
    let pane = Pane::running(&script, (120, 30), &[]);
    pane.wait("the first picture", || pane.now().contains("aio-fixture"));
    pane.keys(&["o"]);
    let cells = |name: &str| {
        let now = pane.now();
        let line = now.lines().find(|line| line.starts_with(name))?;
        Some(line.split_whitespace().skip(1).take(5).map(str::to_owned).collect::<Vec<_>>())
    };
    let share = |slots: u64| {
        let thousandths = slots * 1000 / aio_max_nr();
        format!("{}.{}%", thousandths / 10, thousandths % 10)
    };
    let row = |processes: &str, contexts: &str, slots: u64| {
        Some([processes, contexts, &slots.to_string(), &share(slots), "0"].map(str::to_owned).to_vec())
    };
    pane.wait("owners", || cells(&names[0]) == row("2", "3", 33_050));
    pane.wait("the other owner", || cells(&names[1]) == row("1", "1", 200));
    pane.keys(&["Down"]);
    pane.wait("its contexts", || pane.now().contains(&format!("contexts  of {} 3 of ", names[0])));
    pane.keys(&["Enter", "Enter"]);
    pane.wait("the largest of them", || pane.now().contains("max_reqs      30000 slots"));
    pane.keys(&["Escape", "Escape"]);
    // Another context of the same owner, and a call that fails.
    many[1].setup(1000);
    let much = aio_max_nr() + 1;
    assert_eq!(one.try_run(&format!("setup {much}")).unwrap_err().errno, 11);
    pane.wait("what is new", || cells(&names[0]) == row("2", "4", 34_050));
    let line = || pane.now().lines().find(|line| line.starts_with("reserved ")).map(str::to_owned);
    pane.wait("the line of the time that went by", || {
        line().is_some_and(|line| {
            line.contains(" peak 34")
                && line.contains("  failed ")
                && line.contains('█')
                && line.contains(" 1  ")
        })
    });
    pane.keys(&["o"]);
    pane.wait("processes", || pane.now().contains(" processes  3 "));
    pane.keys(&["q"]);
}

//! States that take more than a line of [`super::recipes`], each made and read.

use std::thread::sleep;
use std::time::Duration;

use aioinspect_model::evidence::{Evidence, Manner};
use aioinspect_model::finding::Finding as F;
use anyhow::bail;

use super::derived::joined;
use super::{Made, Scene, said};
use crate::strand::strand;
use crate::watch::{Watch, is_of};

/// What `check` reads of one fixture after these commands.
pub(super) fn checked(scene: &mut Scene, commands: &[&str]) -> Made {
    let pid = scene.fixture(commands)?;
    scene.check(pid, &[])
}

/// What `dump` reads of one.
pub(super) fn dumped(scene: &mut Scene, commands: &[&str], options: &[&str]) -> Made {
    let pid = scene.fixture(commands)?;
    scene.dump(pid, options)
}

pub(super) fn ring_full(scene: &mut Scene) -> Made {
    checked(scene, &["setup 1", "poll #0 100000 0"])
}

/// EAGAIN on one CPU of two, while the other has credits.
pub(super) fn stranded(scene: &mut Scene) -> Made {
    let pid = scene.fixture(&["setup 64"])?;
    strand(scene.last()?, 0, 1)?;
    scene.check(pid, &[])
}

pub(super) fn stuck(scene: &mut Scene) -> Made {
    let pid = scene.fixture(&["setup 128", "poll #0 5"])?;
    scene.check(pid, &["--wait", "5500ms"])
}

pub(super) fn idle_leak(scene: &mut Scene) -> Made {
    let pid = scene.fixture(&["setup 8"])?;
    let mut seen = vec![scene.check(pid, &[])?];
    for _ in 0..2 {
        sleep(Duration::from_millis(2600));
        scene.last()?.run("setup 8");
        seen.push(scene.check(pid, &[])?);
    }
    joined(seen)
}

/// It is met at many points of its work: what is kept is met with events to reap, of which some came or went meanwhile.
pub(super) fn busy(scene: &mut Scene) -> Made {
    let pid = scene.fixture(&["churn", "busy"])?;
    let mut evidence = scene.check(pid, &[])?;
    for _ in 0..50 {
        if said(&evidence) == ("busy", vec![F::Unreaped, F::Unsettled]) {
            break;
        }
        evidence = scene.check(pid, &[])?;
    }
    Ok(evidence)
}

/// Met asleep it is not frozen, since that would be in vain.
pub(super) fn frozen(scene: &mut Scene) -> Made {
    let pid = scene.fixture(&["setup 32", "busy"])?;
    let is_frozen = |evidence: &Evidence| {
        evidence
            .spaces
            .iter()
            .filter_map(|space| space.looks.last())
            .all(|look| look.manner == Manner::Frozen)
    };
    for _ in 0..50 {
        let evidence = scene.check(pid, &["--freeze", "ptrace"])?;
        if is_frozen(&evidence) {
            return Ok(evidence);
        }
    }
    bail!("it is never met busy")
}

/// Each io_destroy takes some 30 ms: of many, one after the other, one is met.
pub(super) fn about_to_be_gone(scene: &mut Scene) -> Made {
    const TIMES: u32 = 60;
    let pid = scene.fixture(&[])?;
    let lines = |ordinal: u32| ["setup 16".to_owned(), format!("destroy #{ordinal}")];
    for line in (0..TIMES).flat_map(lines) {
        scene.last()?.send(&line);
    }
    let seen = scene.check(pid, &[]);
    for line in (0..TIMES).flat_map(lines) {
        scene.last()?.receive(&line).map_err(|failure| anyhow::anyhow!("{line}: {failure:?}"))?;
    }
    seen
}

/// A child that waits for its contexts while it ends; the fixture itself has none.
pub(super) fn ending_child(scene: &mut Scene, command: &str) -> Made {
    scene.fixture(&[])?;
    let child = scene.last()?.pid_of(command);
    scene.check(child, &[])
}

pub(super) fn of_child(scene: &mut Scene, command: &str) -> Made {
    scene.fixture(&["setup 128"])?;
    let child = scene.last()?.pid_of(command);
    scene.check(child, &[])
}

pub(super) fn child_writes(scene: &mut Scene) -> Made {
    let pid = scene.fixture(&["setup 128"])?;
    let child = scene.last()?.pid_of("fork-ghost");
    scene.last()?.run(&format!("child-write-head {child} #0 50"));
    scene.check(pid, &[])
}

pub(super) fn forged(scene: &mut Scene, what: &str) -> Made {
    checked(scene, &["setup 128", &format!("forge #0 {what}")])
}

pub(super) fn dump_ghost(scene: &mut Scene) -> Made {
    scene.fixture(&["setup 128"])?;
    let child = scene.last()?.pid_of("fork-ghost");
    scene.last()?.run(&format!("child-setup {child} 16"));
    scene.dump(child, &[])
}

pub(super) fn dump_spoof(scene: &mut Scene) -> Made {
    scene.fixture(&[])?;
    let helper = scene.last()?.pid_of("spoof tmpfs deleted");
    scene.dump(helper, &[])
}

pub(super) fn no_bpf(scene: &mut Scene) -> Made {
    scene.fixture(&["setup 128", "poll #0 6", "complete #0 2", "fork-ghost"])?;
    scene.list(&["--no-bpf"])
}

pub(super) fn host(scene: &mut Scene) -> Made {
    // The names are hex: database, writer, worker.
    let database = scene.fixture(&["set-comm 6461746162617365", "setup 2048", "setup 128", "poll #1 9 0"])?;
    let writer = scene.fixture(&["set-comm 777269746572", "setup 64", "poll #0 3", "complete #0 3"])?;
    scene.fixture(&["set-comm 776f726b6572", "setup 32", "fork-ghost"])?;
    scene.cgroups = vec![
        (database, "0::/system.slice/database.service\n"),
        (
            writer,
            "0::/kubepods.slice/kubepods-burstable.slice/\
             kubepods-burstable-pod01234567_89ab_cdef_0123_456789abcdef.slice/\
             cri-containerd-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef.scope\n",
        ),
    ];
    scene.list(&[])
}

/// A process of whose two contexts a watch saw the second being made.
pub(super) fn traced(scene: &mut Scene, options: &[&str]) -> Made {
    let pid = scene.fixture(&["setup 32"])?;
    let mut watch = Watch::start(options).map_err(|ended| anyhow::anyhow!("no watch: {}", ended.stderr))?;
    scene.last()?.setup(33);
    watch.expect("the second", |event| is_of(event, pid) && event["event"] == "setup");
    let evidence = scene.check(pid, &["--wait", "10s"]);
    watch.end();
    evidence
}

//! What runs at the same time: this machine's own suites, one after the other, and beside them one virtual machine after the other.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::builds::Builds;
use super::commands::{self, LIMIT, LONG_LIMIT};
use super::{What, Wish};
use crate::catalogue::Catalogue;
use crate::count::Suite;
use crate::kernel::list::{Listed, Source};
use crate::side_by_side::{self, Place};
use crate::{dist, paths, vm};

/// Sequences of the random-state suite in a machine that is emulated, and with `--release-long`.
const VM_SEQUENCES: u32 = 500;
const VM_LONG_SEQUENCES: u32 = 2_500;

/// What all jobs share.
#[derive(Clone, Copy)]
pub(super) struct Shared<'a> {
    /// What is wanted.
    pub wish: &'a Wish,
    /// The suites that there are.
    pub catalogue: &'a Catalogue,
    /// What they run.
    pub builds: &'a Builds,
}

/// What runs beside other jobs.
enum Job<'a> {
    /// All that this machine runs itself: the suites on its kernel where that is among these, and the package.
    Here(Vec<&'a Listed>),
    /// A kernel's suites in a virtual machine.
    Machine(&'a Listed, &'a Source),
}

/// Runs the suites of these kernels: as many machines at a time as there are CPUs, for an emulated one has one thread; and beside them this
/// machine's own suites, which wait more than they work, and before which machines give way.
pub(super) fn run(chosen: &[Listed], shared: Shared<'_>) -> Vec<Suite> {
    let native: Vec<&Listed> = chosen.iter().filter(|kernel| kernel.source.is_none()).collect();
    let is_here = !native.is_empty() || shared.wish.what.has_package();
    let machines = chosen.iter().filter_map(|listed| Some(Job::Machine(listed, listed.source.as_ref()?)));
    let jobs: Vec<Job<'_>> = is_here.then_some(Job::Here(native)).into_iter().chain(machines).collect();
    let each = |job: &Job<'_>, out: &mut dyn FnMut(&str)| match job {
        Job::Here(native) => here(native, shared, out),
        Job::Machine(listed, source) => in_machine(listed, source, shared, out),
    };
    side_by_side::run(&jobs, side_by_side::at_once(), place_of, each).into_iter().flatten().collect()
}

/// A machine with a number of CPUs of its own may be emulated by as many threads: that is what it is for, and none runs beside it.
fn place_of(job: &Job<'_>) -> Place {
    match job {
        Job::Here(_) => Place::Beside,
        Job::Machine(listed, _) if listed.terms.cpus.is_some() => Place::Alone,
        Job::Machine(..) => Place::Shared,
    }
}

fn here(native: &[&Listed], shared: Shared<'_>, out: &mut dyn FnMut(&str)) -> Vec<Suite> {
    let mut suites = Vec::new();
    for kernel in native {
        if paths::is_root() {
            if let Err(error) = live(shared, out, &mut suites) {
                suites.push(Suite::broken(&kernel.name, format!("{error:#}")));
            }
        } else {
            suites.push(Suite::broken(&kernel.name, "it needs root"));
        }
    }
    if shared.wish.what.has_package() {
        let built = &shared.builds.here;
        let machine =
            matches!(shared.wish.what, What::All | What::Package).then_some((built, shared.catalogue));
        suites.extend(dist::suites(&built.bins.join("aioinspect"), machine, out));
    }
    suites
}

fn live(shared: Shared<'_>, out: &mut dyn FnMut(&str), suites: &mut Vec<Suite>) -> Result<()> {
    let Catalogue { suites: all, systemd_suites, .. } = shared.catalogue;
    for name in all.iter().filter(|name| !systemd_suites.contains(name)) {
        suites.push(commands::live(name, &shared.builds.here, shared.wish.long, out)?);
    }
    Ok(())
}

/// A kernel's suites in a virtual machine. One that is emulated has one thread, if the list does not give it CPUs of its own.
fn in_machine(listed: &Listed, source: &Source, shared: Shared<'_>, out: &mut dyn FnMut(&str)) -> Vec<Suite> {
    let Shared { wish, catalogue, builds } = shared;
    if let Some(why) = too_late(wish, Instant::now()) {
        return vec![Suite::skipped(&listed.name, &why)];
    }
    let broken = |why: String| vec![Suite::broken(&listed.name, why)];
    let built = match builds.of(source.architecture) {
        Ok(built) => built,
        Err(why) => return broken(why),
    };
    let run = vm::Run {
        listed,
        source,
        catalogue,
        built,
        whole: wish.long,
        sequences: if wish.long { VM_LONG_SEQUENCES } else { VM_SEQUENCES },
        limit: if wish.long { LONG_LIMIT } else { LIMIT },
    };
    run.suites(out).unwrap_or_else(|error| broken(format!("{error:#}")))
}

/// Why a machine is not started any more.
fn too_late(wish: &Wish, now: Instant) -> Option<String> {
    let within = wish.start_within?;
    let passed = now.saturating_duration_since(wish.begun);
    let minutes = |time: Duration| time.as_secs() / 60;
    (passed > within).then(|| {
        format!(
            "not started: {} min had passed, and --start-within gives {}",
            minutes(passed),
            minutes(within)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a machine is left out when its time is over, and says why; without a limit never.
    #[test]
    fn late_machines_are_named() {
        let begun = Instant::now();
        let wish = |start_within| Wish { what: What::All, long: false, begun, start_within };
        let at = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        let limit = wish(Some(Duration::from_secs(600)));
        assert_eq!(too_late(&limit, at(10)), None);
        let why = too_late(&limit, at(11)).unwrap();
        assert!(why.contains("11 min") && why.contains("gives 10"), "{why}");
        assert_eq!(too_late(&wish(None), at(1000)), None);
    }
}

//! What `doctor` tries, in the order in which things depend on one another.

use std::path::Path;

use crate::commands::doctor::outcome::{Outcome, check, fixed_by, needed};
use crate::commands::doctor::{hooks, host};
use crate::commands::exit::{Exit, exit_of};
use aioinspect_kernel::bpf::denial::Denial;
use aioinspect_kernel::bpf::embedded;
use aioinspect_kernel::bpf::error::ProbeError;
use aioinspect_kernel::census::probe::{CensusScope, Probe};
use aioinspect_kernel::host::caps::{self, Capability};
use aioinspect_kernel::host::clock;
use aioinspect_kernel::host::system;
use aioinspect_kernel::layout::read::read_layout;
use aioinspect_kernel::layout::vmlinux::VMLINUX_BTF;
use aioinspect_model::known;
use aioinspect_model::units::Tid;
use aioinspect_render::doctor::Status;

/// All of them.
pub(super) fn all() -> Vec<Outcome> {
    let mut found = vec![embedded(), host::architecture(), host::aio(), host::slots(), btf(), host::jit()];
    found.extend(capabilities());
    let loaded = load();
    found.extend(host::memlock(loaded.as_ref().err()));
    let works = loaded.is_ok();
    match loaded {
        Ok(probe) => found.extend(walks(probe)),
        Err(error) => found.push(refused(error)),
    }
    found.extend([host::freeze(), map_files(), host::lockdown(works)]);
    found.extend(hooks::all(works));
    found
}

fn embedded() -> Outcome {
    let found = if embedded::is_embedded() {
        check("eBPF programs", Status::Present, "built in")
    } else {
        fixed_by(
            check("eBPF programs", Status::Missing, "this build contains none"),
            "cargo xtask run -- doctor",
        )
    };
    (needed(found), Exit::Error)
}

fn btf() -> Outcome {
    const NAME: &str = "BTF of the kernel";
    let found = match read_layout() {
        Ok(layout) => {
            let seq = if layout.mm_lock_seq.is_present() {
                "with mm_lock_seq: one number shows that no mapping changed"
            } else {
                "without mm_lock_seq: mappings are read again during the freeze"
            };
            let mut lost = known::notes(layout.known().lacks());
            lost.extend(layout.losses());
            if lost.is_empty() {
                check(NAME, Status::Present, format!("{VMLINUX_BTF}, {seq}"))
            } else {
                check(NAME, Status::Limited, format!("{VMLINUX_BTF}; {}", lost.join("; ")))
            }
        }
        Err(error) => {
            let fix = if Path::new(VMLINUX_BTF).exists() {
                "report this line and the output of `uname -a`: this version does not know such a kernel"
            } else if !Path::new("/sys/kernel").exists() {
                host::MOUNT_SYSFS
            } else {
                "use a kernel built with CONFIG_DEBUG_INFO_BTF=y"
            };
            fixed_by(check(NAME, Status::Missing, error.cause()), fix)
        }
    };
    (needed(found), Exit::Lacks)
}

fn capabilities() -> Vec<Outcome> {
    let wanted = [
        (Capability::Bpf, "loads the eBPF programs"),
        (Capability::Perfmon, "lets the eBPF programs read kernel memory"),
        (Capability::SysPtrace, "freezes processes of other users and reads their memory"),
        (Capability::DacReadSearch, "reads the auxiliary vector of processes of other users"),
    ];
    let missing = caps::missing(&wanted.map(|(capability, _)| capability)).unwrap_or_default();
    let nested = caps::in_user_namespace();
    let each = |(capability, purpose): (Capability, &str)| {
        let name = capability.name();
        let found = if missing.contains(&capability) {
            // What brings one of them should bring all that are missing.
            fixed_by(check(name, Status::Missing, purpose), &caps::way_to(&missing))
        } else if nested && matches!(capability, Capability::Bpf | Capability::Perfmon) {
            let detail = format!("{purpose}; held only in a user namespace, where it has no effect");
            fixed_by(check(name, Status::Missing, detail), caps::OUT_OF_USER_NAMESPACE)
        } else {
            check(name, Status::Present, purpose)
        };
        (needed(found), Exit::NotPermitted)
    };
    wanted.into_iter().map(each).collect()
}

const CENSUS: &str = "BPF iterator over tasks";

fn load() -> Result<Probe, ProbeError> {
    Probe::load(system::possible_cpus().unwrap_or(1), 0)
}

fn refused(error: ProbeError) -> Outcome {
    let mut missing = check(CENSUS, Status::Missing, error.cause());
    // What the lines of the capabilities say already is not said again.
    let said = matches!(
        &error,
        ProbeError::NotBuilt
            | ProbeError::NotPermitted { why: Denial::Missing(_) | Denial::UserNamespace, .. }
    );
    missing.fix = error.fix().filter(|_| !said);
    (needed(missing), exit_of(&error.into()))
}

fn walks(mut probe: Probe) -> Vec<Outcome> {
    let begun = clock::now();
    let census = match probe.census(CensusScope::All) {
        Ok(records) => {
            let micros = clock::now().0.saturating_sub(begun.0) / 1000;
            let detail = format!("a census took {micros} us and found {} contexts", records.contexts.len());
            check(CENSUS, Status::Present, detail)
        }
        Err(error) => check(CENSUS, Status::Missing, error.cause()),
    };
    let one_task = match probe.walk_of(Tid(std::process::id())) {
        Ok(Some(_)) => check(
            "BPF iterator over one task",
            Status::Present,
            "the freeze stays short on a host with many processes",
        ),
        Ok(None) => check(
            "BPF iterator over one task",
            Status::Limited,
            "this kernel does not have it: the freeze lasts until every task of the host is read",
        ),
        Err(error) => check("BPF iterator over one task", Status::Limited, error.cause()),
    };
    let mappings = match probe.rings() {
        Ok(Some(rings)) => {
            check("BPF iterator over mappings", Status::Present, format!("{} ring mappings", rings.len()))
        }
        Ok(None) => check(
            "BPF iterator over mappings",
            Status::Limited,
            "this kernel does not have it: /proc/PID/maps of every process is read instead",
        ),
        Err(error) => check("BPF iterator over mappings", Status::Limited, error.cause()),
    };
    vec![(needed(census), Exit::Lacks), (one_task, Exit::Lacks), (mappings, Exit::Lacks)]
}

fn map_files() -> Outcome {
    let wanted = [Capability::CheckpointRestore];
    let found = if caps::missing(&wanted).is_ok_and(|lacking| lacking.is_empty()) {
        check("map_files", Status::Present, "real rings are told from look-alike files by mode")
    } else {
        fixed_by(
            check(
                "map_files",
                Status::Limited,
                "without CAP_CHECKPOINT_RESTORE real rings are told from look-alike files only by device",
            ),
            &caps::way_to(&wanted),
        )
    };
    (found, Exit::NotPermitted)
}

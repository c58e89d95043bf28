//! What `doctor` tries, in the order in which things depend on one another.

use std::fs;

use super::doctor_hooks;
use super::exit::{Exit, exit_of};
use crate::model::units::Tid;
use crate::output::doctor::{Check, Status};
use crate::sys::caps::{Capability, missing};
use crate::sys::clock;
use crate::sys::kernel_layout::{VMLINUX_BTF, read_layout};
use crate::sys::object;
use crate::sys::probe::{Capacity, Order, Probe};
use crate::sys::system;
use crate::sys::trial_child;

/// A check, and the exit code it deserves if it is what fails.
pub type Found = (Check, Exit);

/// All of them.
pub fn all() -> Vec<Found> {
    let mut found = vec![embedded(), aio(), slots(), btf()];
    found.extend(capabilities());
    found.extend(probe());
    found.extend([freeze(), map_files(), lockdown()]);
    found.extend(doctor_hooks::all());
    found
}

pub(super) fn check(name: &str, status: Status, detail: impl Into<String>) -> Check {
    Check { name: name.to_owned(), status, detail: detail.into(), fix: None, needed_for_dump: false }
}

fn needed(check: Check) -> Check {
    Check { needed_for_dump: true, ..check }
}

pub(super) fn fixed_by(check: Check, fix: &str) -> Check {
    Check { fix: Some(fix.to_owned()), ..check }
}

fn embedded() -> Found {
    let found = if object::is_embedded() {
        check("eBPF programs", Status::Present, "built in")
    } else {
        fixed_by(check("eBPF programs", Status::Missing, "this build has none"), "cargo xtask run -- doctor")
    };
    (needed(found), Exit::Error)
}

fn aio() -> Found {
    let found = match system::facts() {
        Ok(facts) => check(
            "native AIO",
            Status::Present,
            format!("kernel {}, {} possible CPUs", facts.kernel_release, facts.possible_cpus),
        ),
        Err(error) => fixed_by(
            check("native AIO", Status::Missing, error.to_string()),
            "use a kernel built with CONFIG_AIO=y",
        ),
    };
    (needed(found), Exit::Lacks)
}

fn slots() -> Found {
    let found = match system::facts() {
        Ok(facts) if facts.aio_nr >= facts.aio_max_nr => fixed_by(
            check(
                "free slots",
                Status::Limited,
                format!("none: aio-nr {}, aio-max-nr {}", facts.aio_nr, facts.aio_max_nr),
            ),
            &format!("sysctl -w fs.aio-max-nr={}", facts.aio_max_nr.saturating_mul(2)),
        ),
        Ok(facts) => check(
            "free slots",
            Status::Present,
            format!("{} of {}", facts.aio_max_nr.saturating_sub(facts.aio_nr), facts.aio_max_nr),
        ),
        Err(error) => check("free slots", Status::Missing, error.to_string()),
    };
    (found, Exit::Lacks)
}

fn btf() -> Found {
    match read_layout() {
        Ok(layout) => {
            let seq = if layout.mm_lock_seq.is_present() {
                "with mm_lock_seq: one number vouches for all mappings"
            } else {
                "without mm_lock_seq: mappings are read again inside the freeze"
            };
            (
                needed(check("BTF of the kernel", Status::Present, format!("{VMLINUX_BTF}, {seq}"))),
                Exit::Lacks,
            )
        }
        Err(error) => {
            let missing = check("BTF of the kernel", Status::Missing, error.to_string());
            (needed(fixed_by(missing, "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")), Exit::Lacks)
        }
    }
}

fn capabilities() -> Vec<Found> {
    let wanted = [
        (Capability::Bpf, "loading the eBPF programs"),
        (Capability::Perfmon, "reading kernel memory in them"),
        (Capability::SysPtrace, "freezing processes of others and reading their memory"),
        (Capability::DacReadSearch, "reading the auxiliary vector of processes of others"),
    ];
    let each = |(capability, purpose): (Capability, &str)| {
        let name = capability.name();
        let found = match missing(&[capability]) {
            Ok(lacking) if lacking.is_empty() => check(name, Status::Present, purpose),
            Ok(_) => fixed_by(
                check(name, Status::Missing, purpose),
                &format!(
                    "setpriv --inh-caps +{0} --ambient-caps +{0} aioinspect, or run as root",
                    short(name)
                ),
            ),
            Err(error) => check(name, Status::Missing, error.to_string()),
        };
        (needed(found), Exit::NotPermitted)
    };
    wanted.into_iter().map(each).collect()
}

fn short(name: &str) -> String {
    name.trim_start_matches("CAP_").to_ascii_lowercase()
}

fn probe() -> Vec<Found> {
    let cpus = system::possible_cpus().unwrap_or(1);
    let mut probe = match Probe::load(cpus, Capacity::for_slots(0), 0) {
        Ok(probe) => probe,
        Err(error) => {
            let exit = exit_of(&anyhow::Error::from(error));
            let again = Probe::load(cpus, Capacity::for_slots(0), 0).err().map(|error| error.to_string());
            let missing = check("BPF iterator over tasks", Status::Missing, again.unwrap_or_default());
            return vec![(needed(missing), exit)];
        }
    };
    let begun = clock::now();
    let census = match probe.census(Order::All) {
        Ok(records) => {
            let micros = clock::now().0.saturating_sub(begun.0) / 1000;
            let detail = format!("a census took {micros} us and found {} contexts", records.contexts.len());
            check("BPF iterator over tasks", Status::Present, detail)
        }
        Err(error) => check("BPF iterator over tasks", Status::Missing, error.to_string()),
    };
    let one_task = match probe.walk_of(Tid(std::process::id())) {
        Ok(Some(_)) => {
            check("BPF iterator over one task", Status::Present, "the pause does not grow with the host")
        }
        Ok(None) => check(
            "BPF iterator over one task",
            Status::Limited,
            "not known to this kernel: every task is walked in the pause",
        ),
        Err(error) => check("BPF iterator over one task", Status::Limited, error.to_string()),
    };
    let mappings = match probe.rings() {
        Ok(Some(rings)) => {
            check("BPF iterator over mappings", Status::Present, format!("{} ring mappings", rings.len()))
        }
        Ok(None) => check(
            "BPF iterator over mappings",
            Status::Limited,
            "not known to this kernel: /proc/PID/maps of every process is read instead",
        ),
        Err(error) => check("BPF iterator over mappings", Status::Limited, error.to_string()),
    };
    vec![(needed(census), Exit::Lacks), (one_task, Exit::Lacks), (mappings, Exit::Lacks)]
}

fn freeze() -> Found {
    match trial_child::freeze_one() {
        Ok(report) => {
            let detail = format!("a process of our own was held for {} us", report.pause_ns / 1000);
            (needed(check("ptrace freeze", Status::Present, detail)), Exit::NotPermitted)
        }
        Err(error) => {
            let detail = error.to_string();
            let exit = exit_of(&anyhow::Error::from(error));
            let missing = check("ptrace freeze", Status::Missing, detail);
            (
                needed(fixed_by(
                    missing,
                    "allow ptrace: a seccomp profile of the container, or yama's ptrace_scope=3, forbids it",
                )),
                exit,
            )
        }
    }
}

fn map_files() -> Found {
    let lacking = missing(&[Capability::CheckpointRestore]).map_or(true, |lacking| !lacking.is_empty());
    let found = if lacking {
        fixed_by(
            check(
                "map_files",
                Status::Limited,
                "a file named like a ring is told from one by its device alone",
            ),
            "add CAP_CHECKPOINT_RESTORE",
        )
    } else {
        check("map_files", Status::Present, "a file named like a ring is told from one by its mode")
    };
    (found, Exit::NotPermitted)
}

fn lockdown() -> Found {
    let text = fs::read_to_string("/sys/kernel/security/lockdown").unwrap_or_default();
    let found = if text.contains("[confidentiality]") {
        fixed_by(
            check("lockdown", Status::Missing, "confidentiality: BPF may not read kernel memory"),
            "boot with lockdown=integrity or without it",
        )
    } else {
        check(
            "lockdown",
            Status::Present,
            if text.trim().is_empty() { "off, or not shown" } else { "does not hinder" },
        )
    };
    (needed(found), Exit::Lacks)
}

//! What `doctor` asks of the host besides BPF: slots, limits, switches, ptrace, lockdown.

use std::fs;
use std::path::Path;

use crate::commands::doctor::outcome::{Outcome, check, fixed_by, needed};
use crate::commands::exit::{Exit, exit_of};
use aioinspect_kernel::bpf::denial::{self, Denial};
use aioinspect_kernel::bpf::error::ProbeError;
use aioinspect_kernel::bpf::jit;
use aioinspect_kernel::bpf::lockdown::{self, Lockdown};
use aioinspect_kernel::bpf::memlock;
use aioinspect_kernel::host::caps::{self, Capability};
use aioinspect_kernel::host::page::page_size;
use aioinspect_kernel::host::system;
use aioinspect_kernel::look::trial_child;
use aioinspect_model::architecture::Architecture;
use aioinspect_model::headroom::advised_limit;
use aioinspect_render::doctor::{Check, Status};

/// What brings /sys back.
pub(super) const MOUNT_SYSFS: &str = "mount -t sysfs sysfs /sys";

/// Whether this kernel has native AIO at all.
pub(super) fn aio() -> Outcome {
    let found = match system::facts() {
        Ok(facts) => check(
            "native AIO",
            Status::Present,
            format!("kernel {}, {} possible CPUs", facts.kernel_release, facts.possible_cpus),
        ),
        Err(error) => {
            let fix = if !Path::new("/proc/sys/fs").exists() {
                "mount -t proc proc /proc"
            } else if !Path::new("/sys/devices").exists() {
                MOUNT_SYSFS
            } else {
                "use a kernel built with CONFIG_AIO=y"
            };
            fixed_by(check("native AIO", Status::Missing, error.to_string()), fix)
        }
    };
    (needed(found), Exit::Lacks)
}

/// Whether the suites ran on a kernel like this one: its architecture, and its pages, which size every ring.
pub(super) fn architecture() -> Outcome {
    (of_architecture(Architecture::HERE, page_size()), Exit::Lacks)
}

fn of_architecture(architecture: Architecture, page_size: u32) -> Check {
    const NAME: &str = "architecture";
    let (name, tried) = (architecture.name(), architecture.tried());
    if architecture.page_sizes_tried().contains(&page_size) {
        return check(
            NAME,
            Status::Present,
            format!("{name}, pages of {page_size} bytes; tried with {tried}"),
        );
    }
    let detail = format!(
        "{name}, pages of {page_size} bytes, with which the suites were never tried on a kernel; tried with {tried}"
    );
    check(NAME, Status::Limited, detail)
}

/// Whether anybody can make a context.
pub(super) fn slots() -> Outcome {
    const NAME: &str = "free slots";
    let found = match system::slots() {
        Ok((aio_nr, aio_max_nr)) if aio_nr >= aio_max_nr => fixed_by(
            check(NAME, Status::Limited, format!("none: aio-nr {aio_nr}, aio-max-nr {aio_max_nr}")),
            &format!("sysctl -w fs.aio-max-nr={}", advised_limit(aio_nr, aio_max_nr)),
        ),
        Ok((aio_nr, aio_max_nr)) => {
            check(NAME, Status::Present, format!("{} of {aio_max_nr}", aio_max_nr.saturating_sub(aio_nr)))
        }
        Err(error) => check(NAME, Status::Missing, error.to_string()),
    };
    (found, Exit::Lacks)
}

/// Whether BPF programs are translated.
pub(super) fn jit() -> Outcome {
    const NAME: &str = "BPF JIT";
    let found = match jit::is_on() {
        Some(true) => check(NAME, Status::Present, "on"),
        Some(false) => fixed_by(
            check(NAME, Status::Limited, format!("off ({}): the programs run, but slower", jit::SYSCTL)),
            jit::FIX,
        ),
        None => check(NAME, Status::Present, "not visible here; if it is off, the checks below say so"),
    };
    (found, Exit::Lacks)
}

/// RLIMIT_MEMLOCK, where the kernel charges maps to it. `refused`: why the probe did not load, if it did not.
pub(super) fn memlock(refused: Option<&ProbeError>) -> Option<Outcome> {
    const NAME: &str = "RLIMIT_MEMLOCK";
    // Only who may make maps can try: one who was refused a program has made them.
    let may_be_asked = match refused {
        None | Some(ProbeError::Refused { .. } | ProbeError::NoJit { .. }) => true,
        Some(ProbeError::NotPermitted { why, .. }) => matches!(why, Denial::Memlock(_)),
        Some(
            ProbeError::NotBuilt | ProbeError::Lacks { .. } | ProbeError::Object(_) | ProbeError::Io { .. },
        ) => false,
    };
    let is_cause = matches!(refused, Some(ProbeError::NotPermitted { .. }));
    if !may_be_asked || !denial::memlock_is_charged() {
        return None;
    }
    let found = match memlock::limit() {
        None => check(NAME, Status::Present, "no limit; this kernel counts BPF maps against it"),
        Some(bytes) => fixed_by(
            check(
                NAME,
                if is_cause { Status::Missing } else { Status::Limited },
                format!("{bytes} bytes; this kernel counts BPF maps against it"),
            ),
            memlock::FIX,
        ),
    };
    Some((needed(found), Exit::NotPermitted))
}

/// Holds a process of our own.
pub(super) fn freeze() -> Outcome {
    const NAME: &str = "ptrace freeze";
    let found = match trial_child::freeze_one() {
        Ok(report) => check(
            NAME,
            Status::Present,
            format!("a test process was stopped for {} us", report.pause_ns / 1000),
        ),
        Err(error) => {
            let detail = error.to_string();
            let exit = exit_of(&anyhow::Error::from(error));
            let mut missing = check(NAME, Status::Missing, detail);
            if exit == Exit::NotPermitted {
                missing.fix = freeze_fix();
            }
            return (needed(missing), exit);
        }
    };
    (needed(found), Exit::NotPermitted)
}

/// What forbids ptrace of a child of one's own, where something does.
fn freeze_fix() -> Option<String> {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope").unwrap_or_default();
    let lacking = caps::missing(&[Capability::SysPtrace]).unwrap_or_default();
    if scope.trim() == "3" {
        return Some(
            "remove kernel.yama.ptrace_scope=3 from /etc/sysctl.d and reboot: it cannot be lowered while the host runs"
                .to_owned(),
        );
    }
    if scope.trim() == "2" && !lacking.is_empty() {
        return Some(caps::way_to(&lacking));
    }
    denial::has_seccomp_filter().then(|| {
        "allow ptrace and process_vm_readv in the seccomp profile (in a systemd unit: SystemCallFilter=@debug; \
         in a container: --security-opt seccomp=PROFILE)"
            .to_owned()
    })
}

/// How far the kernel is locked down, and what is left. `works`: whether the probe loaded all the same.
pub(super) fn lockdown(works: bool) -> Outcome {
    const NAME: &str = "lockdown";
    let found = match Lockdown::of_this_kernel() {
        Lockdown::None => check(NAME, Status::Present, "none"),
        Lockdown::Integrity => check(NAME, Status::Present, "integrity: no effect on aioinspect"),
        Lockdown::AtMostIntegrity => check(
            NAME,
            Status::Present,
            "not visible; BPF may read kernel memory, so it has no effect on aioinspect",
        ),
        Lockdown::Confidentiality if works => fixed_by(
            check(
                NAME,
                Status::Limited,
                "confidentiality: list, check, dump and headroom work; watch and serve work without tracefs and kprobes",
            ),
            lockdown::FIX,
        ),
        Lockdown::Confidentiality => fixed_by(
            check(
                NAME,
                Status::Missing,
                "confidentiality: BPF may not read kernel memory; only list --no-bpf, headroom and dump --unverified work",
            ),
            lockdown::FIX,
        ),
        Lockdown::Unknown => fixed_by(
            check(
                NAME,
                Status::Limited,
                "not visible, and BPF could not be tested; no private tracefs instance is used",
            ),
            lockdown::SHOW,
        ),
    };
    (needed(found), Exit::Lacks)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that pages with which no suite ran are told from others, and stop nobody.
    #[test]
    fn pages_that_were_tried() {
        for architecture in Architecture::ALL {
            for page_size in architecture.page_sizes() {
                let found = of_architecture(architecture, *page_size);
                let is_tried = architecture.page_sizes_tried().contains(page_size);
                assert_eq!(found.status == Status::Present, is_tried, "{found:?}");
                assert_eq!(found.detail.contains("never tried"), !is_tried, "{found:?}");
                let says = format!("{}, pages of {page_size} bytes", architecture.name());
                assert!(found.detail.starts_with(&says) && !found.needed_for_dump, "{found:?}");
            }
        }
    }
}

//! The capabilities this process has, by the names an operator knows.

use std::fs;

use rustix::thread::{CapabilitySet, capabilities, capability_is_in_bounding_set};

/// What mends it that capabilities do not count.
pub const OUT_OF_USER_NAMESPACE: &str =
    "start it outside the user namespace (a container: without --userns, by the host's root)";

/// A capability this program can make use of.
///
/// Held within a user namespace it may still be refused: what a kernel answers counts, this is for advice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Freezing, reading memory and mappings of other users' processes.
    SysPtrace,
    /// Loading BPF programs.
    Bpf,
    /// Reading kernel memory from BPF, and tracing.
    Perfmon,
    /// Stands for the two above; opening `/proc/PID/map_files`.
    SysAdmin,
    /// Opening `/proc/PID/map_files` without CAP_SYS_ADMIN.
    CheckpointRestore,
    /// Opening `/proc/PID/auxv` of other users' processes: its mode is 0400, and no other capability reads past that
    /// but the next.
    DacReadSearch,
    /// Stands for the one above; what the root of a container has.
    DacOverride,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SysPtrace,
        Self::Bpf,
        Self::Perfmon,
        Self::SysAdmin,
        Self::CheckpointRestore,
        Self::DacReadSearch,
        Self::DacOverride,
    ];

    /// The name in capabilities(7).
    pub fn name(self) -> &'static str {
        match self {
            Self::SysPtrace => "CAP_SYS_PTRACE",
            Self::Bpf => "CAP_BPF",
            Self::Perfmon => "CAP_PERFMON",
            Self::SysAdmin => "CAP_SYS_ADMIN",
            Self::CheckpointRestore => "CAP_CHECKPOINT_RESTORE",
            Self::DacReadSearch => "CAP_DAC_READ_SEARCH",
            Self::DacOverride => "CAP_DAC_OVERRIDE",
        }
    }

    fn bit(self) -> CapabilitySet {
        match self {
            Self::SysPtrace => CapabilitySet::SYS_PTRACE,
            Self::Bpf => CapabilitySet::BPF,
            Self::Perfmon => CapabilitySet::PERFMON,
            Self::SysAdmin => CapabilitySet::SYS_ADMIN,
            Self::CheckpointRestore => CapabilitySet::CHECKPOINT_RESTORE,
            Self::DacReadSearch => CapabilitySet::DAC_READ_SEARCH,
            Self::DacOverride => CapabilitySet::DAC_OVERRIDE,
        }
    }
}

/// The names, as in a sentence.
pub fn names(capabilities: &[Capability]) -> String {
    match capabilities {
        [] => String::new(),
        [one] => one.name().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(|one| one.name()).collect();
            format!("{} and {}", first.join(", "), last.name())
        }
    }
}

/// Whether we are in a user namespace other than the first: what is held there counts only for what belongs to it.
pub fn in_user_namespace() -> bool {
    /// `PROC_USER_INIT_INO` (include/linux/proc_ns.h).
    const FIRST: &[u8] = b"user:[4026531837]";
    fs::read_link("/proc/thread-self/ns/user").is_ok_and(|name| name.as_os_str().as_encoded_bytes() != FIRST)
}

/// The line that gives us capabilities that are missing.
///
/// Root has what its bounding set leaves it, and nothing inside brings back what that lacks: whoever started us must.
pub fn way_to(missing: &[Capability]) -> String {
    let can_be_had = missing.iter().all(|one| capability_is_in_bounding_set(one.bit()).unwrap_or(false));
    way(missing, rustix::process::geteuid().is_root() || !can_be_had)
}

fn way(missing: &[Capability], from_outside: bool) -> String {
    if !from_outside {
        return "run it as root (sudo aioinspect)".to_owned();
    }
    let names: Vec<&str> = missing.iter().map(|one| one.name()).collect();
    let short = names.iter().map(|name| name.trim_start_matches("CAP_"));
    let add: Vec<String> = short.map(|name| format!("--cap-add {name}")).collect();
    let names = names.join(" ");
    format!(
        "start the container with {}, the systemd unit with AmbientCapabilities={names} and CapabilityBoundingSet={names}",
        add.join(" ")
    )
}

/// The effective capabilities of the calling thread that are among [`Capability::ALL`].
pub fn effective() -> std::io::Result<Vec<Capability>> {
    let held = capabilities(None)?.effective;
    Ok(Capability::ALL.into_iter().filter(|one| held.contains(one.bit())).collect())
}

/// Those of `wanted` that the calling thread lacks, in the order asked.
///
/// CAP_SYS_ADMIN stands in for CAP_BPF, CAP_PERFMON and CAP_CHECKPOINT_RESTORE (include/linux/capability.h:bpf_capable,
/// perfmon_capable, checkpoint_restore_ns_capable), CAP_DAC_OVERRIDE for CAP_DAC_READ_SEARCH where reading is concerned.
pub fn missing(wanted: &[Capability]) -> std::io::Result<Vec<Capability>> {
    Ok(missing_from(&effective()?, wanted))
}

fn missing_from(held: &[Capability], wanted: &[Capability]) -> Vec<Capability> {
    let has = |one: Capability| match one {
        Capability::Bpf | Capability::Perfmon | Capability::CheckpointRestore => {
            held.contains(&one) || held.contains(&Capability::SysAdmin)
        }
        Capability::DacReadSearch => held.contains(&one) || held.contains(&Capability::DacOverride),
        Capability::SysPtrace | Capability::SysAdmin | Capability::DacOverride => held.contains(&one),
    };
    wanted.iter().copied().filter(|one| !has(*one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check against the kernel's own text of the same set.
    #[test]
    fn agrees_with_proc() {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
        let bits = u64::from_str_radix(line.trim(), 16).unwrap();
        let numbers = [19, 39, 38, 21, 40, 2, 1];
        for (one, number) in Capability::ALL.into_iter().zip(numbers) {
            assert_eq!(effective().unwrap().contains(&one), bits >> number & 1 == 1, "{}", one.name());
        }
    }

    /// Check how capabilities are named, and the line that brings them.
    #[test]
    fn names_and_ways() {
        use Capability::{Bpf, Perfmon, SysPtrace};
        assert_eq!(names(&[]), "");
        assert_eq!(names(&[Bpf]), "CAP_BPF");
        assert_eq!(names(&[Bpf, Perfmon, SysPtrace]), "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
        assert_eq!(way(&[Bpf], false), "run it as root (sudo aioinspect)");
        assert_eq!(
            way(&[Bpf, Perfmon], true),
            "start the container with --cap-add BPF --cap-add PERFMON, the systemd unit with \
             AmbientCapabilities=CAP_BPF CAP_PERFMON and CapabilityBoundingSet=CAP_BPF CAP_PERFMON"
        );
    }

    /// Check that CAP_SYS_ADMIN covers what the kernel lets it cover, and nothing else.
    #[test]
    fn sys_admin_stands_in() {
        use Capability::{Bpf, CheckpointRestore, DacOverride, DacReadSearch, Perfmon, SysAdmin, SysPtrace};
        assert_eq!(missing_from(&[SysAdmin], &Capability::ALL), [SysPtrace, DacReadSearch, DacOverride]);
        assert_eq!(missing_from(&[DacOverride], &[DacReadSearch]), []);
        assert_eq!(missing_from(&[], &[Bpf, SysPtrace]), [Bpf, SysPtrace]);
        assert_eq!(missing_from(&[Bpf, SysPtrace], &[Bpf, SysPtrace]), []);
        assert_eq!(missing_from(&[Bpf, Perfmon, CheckpointRestore], &[SysAdmin]), [SysAdmin]);
    }
}

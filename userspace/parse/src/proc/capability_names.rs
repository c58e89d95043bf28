//! The names of all capabilities, by their number (include/uapi/linux/capability.h).

/// Of CAP_CHOWN, 0, to the newest, in order, without the `CAP_`.
const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// The capabilities of a mask as /proc writes them, in order: `CAP_KILL, CAP_BPF`; one that has no name here by its number.
pub fn names_of(mask: u64) -> String {
    let name = |bit: u32| {
        let known = usize::try_from(bit).ok().and_then(|bit| NAMES.get(bit));
        known.map_or_else(|| format!("capability {bit}"), |name| format!("CAP_{name}"))
    };
    let set: Vec<String> = (0..u64::BITS).filter(|bit| mask >> bit & 1 == 1).map(name).collect();
    set.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check some numbers that every kernel has, and one that none has yet.
    #[test]
    fn by_number() {
        assert_eq!(names_of(0), "");
        assert_eq!(names_of(1 << 19 | 1), "CAP_CHOWN, CAP_SYS_PTRACE");
        assert_eq!(names_of(1 << 24), "CAP_SYS_RESOURCE");
        assert_eq!(
            names_of(1 << 21 | 1 << 38 | 1 << 39 | 1 << 40),
            "CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF, CAP_CHECKPOINT_RESTORE"
        );
        assert_eq!(names_of(1 << 63), "capability 63");
    }
}

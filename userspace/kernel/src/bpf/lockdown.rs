//! Whether the kernel is locked down (security/lockdown): what it says in securityfs, or else what it lets BPF do.
//!
//! Under confidentiality BPF may not call bpf_probe_read_kernel, and who releases an instance of tracefs kills the kernel
//! (`list_del corruption`, fs/tracefs/inode.c:tracefs_destroy_inode; seen on 6.12 and 6.19). So it is never assumed to be off.

use aya_obj::generated::bpf_func_id::BPF_FUNC_probe_read_kernel;
use aya_obj::generated::{BPF_ADD, BPF_ALU64, BPF_CALL, BPF_EXIT, BPF_JMP, BPF_K, BPF_MOV, BPF_X, bpf_insn};

use crate::bpf::call::{Code, ProgramKind, Verbosity, prog_load};
use crate::bpf::syscall::Plain;

/// The kernel's file; the level in force stands in brackets: `none [integrity] confidentiality`.
const FILE: &str = "/sys/kernel/security/lockdown";
const SECURITYFS: &str = "/sys/kernel/security";
/// `SECURITYFS_MAGIC` (include/uapi/linux/magic.h).
const SECURITYFS_MAGIC: i64 = 0x7363_6673;

/// The line that makes confidentiality end.
pub const FIX: &str = "boot with lockdown=integrity on the kernel's command line, or without lockdown=";
/// The line that makes the level readable.
pub const SHOW: &str = "mount -t securityfs securityfs /sys/kernel/security";

/// How far the kernel is locked down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lockdown {
    /// Not at all.
    None,
    /// Nobody may change the running kernel.
    Integrity,
    /// The level is not shown, and BPF may read the kernel's memory: it is one of the two above.
    AtMostIntegrity,
    /// Nobody may read its memory either.
    Confidentiality,
    /// It is not shown, and BPF could not be asked.
    Unknown,
}

impl Lockdown {
    /// Asks the kernel. Where securityfs is not mounted BPF is asked, which takes CAP_BPF and CAP_PERFMON.
    pub fn of_this_kernel() -> Self {
        if let Ok(text) = std::fs::read_to_string(FILE) {
            return parse(&text);
        }
        if is_securityfs(SECURITYFS) {
            // The file is there whenever the kernel can be locked down (security/lockdown/lockdown.c:lockdown_secfs_init).
            return Self::None;
        }
        match may_read_kernel_memory() {
            Some(true) => Self::AtMostIntegrity,
            Some(false) => Self::Confidentiality,
            None => Self::Unknown,
        }
    }

    /// Whether a tracefs instance may be made, which is released sooner or later.
    pub fn allows_tracefs_instance(self) -> bool {
        match self {
            Self::None | Self::Integrity | Self::AtMostIntegrity => true,
            Self::Confidentiality | Self::Unknown => false,
        }
    }
}

/// The level in brackets. What is not understood is not known.
fn parse(text: &str) -> Lockdown {
    let level = text.split_once('[').and_then(|(_, rest)| rest.split_once(']')).map(|(level, _)| level);
    match level {
        Some("none") => Lockdown::None,
        Some("integrity") => Lockdown::Integrity,
        Some("confidentiality") => Lockdown::Confidentiality,
        Some(_) | None => Lockdown::Unknown,
    }
}

fn is_securityfs(place: &str) -> bool {
    rustix::fs::statfs(place).is_ok_and(|stat| stat.f_type == SECURITYFS_MAGIC)
}

/// Whether a BPF program that reads kernel memory loads; `None` if even one that does nothing does not.
fn may_read_kernel_memory() -> Option<bool> {
    let end = [insn(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0), insn(BPF_JMP | BPF_EXIT, 0, 0, 0)];
    // r1 = r10 - 8; r2 = 8; r3 = 0; bpf_probe_read_kernel(r1, r2, r3)
    let call = [
        insn(BPF_ALU64 | BPF_MOV | BPF_X, 1, 10, 0),
        insn(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, -8),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 8),
        insn(BPF_ALU64 | BPF_MOV | BPF_K, 3, 0, 0),
        insn(BPF_JMP | BPF_CALL, 0, 0, BPF_FUNC_probe_read_kernel as i32),
    ];
    if loads([&call[..], &end].concat()) {
        return Some(true);
    }
    loads(end.to_vec()).then_some(false)
}

/// One instruction without offset: code, the two registers, the number.
fn insn(code: u32, to: u8, from: u8, number: i32) -> bpf_insn {
    let mut insn = bpf_insn::zeroed();
    insn.code = u8::try_from(code).unwrap_or_default();
    insn.set_dst_reg(to);
    insn.set_src_reg(from);
    insn.imm = number;
    insn
}

/// Whether the kernel takes a program, which is attached to nothing and gone at once.
fn loads(instructions: Vec<bpf_insn>) -> bool {
    let code = Code { instructions, func_info: Vec::new(), func_info_rec_size: 0 };
    prog_load("", &code, None, ProgramKind::Trial, Verbosity::Reasons, &mut []).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the level in force is the one in brackets, and that no other text is taken for a level.
    #[test]
    fn levels() {
        assert_eq!(parse("[none] integrity confidentiality\n"), Lockdown::None);
        assert_eq!(parse("none [integrity] confidentiality\n"), Lockdown::Integrity);
        assert_eq!(parse("none integrity [confidentiality]\n"), Lockdown::Confidentiality);
        // A kernel that can do one level alone.
        assert_eq!(parse("none [confidentiality]"), Lockdown::Confidentiality);
        for odd in ["", "\n", "none", "[]", "[none", "none]", "[ none]", "[integrity+]", "[None]"] {
            assert_eq!(parse(odd), Lockdown::Unknown, "{odd:?}");
        }
    }

    /// Check that an instance of tracefs is made only where nothing can come of it.
    #[test]
    fn what_is_not_known_is_not_safe() {
        assert!(Lockdown::None.allows_tracefs_instance());
        assert!(Lockdown::Integrity.allows_tracefs_instance());
        assert!(Lockdown::AtMostIntegrity.allows_tracefs_instance());
        assert!(!Lockdown::Confidentiality.allows_tracefs_instance());
        assert!(!Lockdown::Unknown.allows_tracefs_instance());
    }

    /// Check the parts of an instruction against include/uapi/linux/bpf.h.
    #[test]
    fn instructions() {
        let parts = |one: bpf_insn| (one.code, one.dst_reg(), one.src_reg(), one.off, one.imm);
        assert_eq!(parts(insn(BPF_ALU64 | BPF_MOV | BPF_X, 1, 10, 0)), (0xbf, 1, 10, 0, 0));
        assert_eq!(parts(insn(BPF_ALU64 | BPF_ADD | BPF_K, 1, 0, -8)), (0x07, 1, 0, 0, -8));
        assert_eq!(parts(insn(BPF_JMP | BPF_CALL, 0, 0, 113)), (0x85, 0, 0, 0, 113));
    }

    /// Check that the two ways of asking agree, where both can be gone.
    #[test]
    fn bpf_agrees_with_the_file() {
        let (Ok(text), Some(may)) = (std::fs::read_to_string(FILE), may_read_kernel_memory()) else { return };
        assert_eq!(may, parse(&text).allows_tracefs_instance(), "{text}");
    }
}

//! What keeps us from looking into a process that is there, found out by what /proc says of it and of us.
//!
//! The kernel's rule is kernel/ptrace.c:__ptrace_may_access: the same user and a dumpable process, else CAP_SYS_PTRACE in its user namespace;
//! then the security modules, of which the one for capabilities wants what the process has, or CAP_SYS_PTRACE again
//! (security/commoncap.c:cap_ptrace_access_check).

use std::{fmt, fs};

use crate::host::caps;
use aioinspect_model::units::Pid;
use aioinspect_parse::proc::capability_names::names_of;
use aioinspect_parse::proc::status::Status;

/// Where Yama, if this kernel has it, says whom it lets trace.
const YAMA: &str = "/proc/sys/kernel/yama/ptrace_scope";
/// The active security modules; readable where securityfs is mounted.
const MODULES: &str = "/sys/kernel/security/lsm";
/// The capability that opens every process of its user namespace.
const SYS_PTRACE: &str = "CAP_SYS_PTRACE";

/// What is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barrier {
    /// That capability would do; nothing further was asked.
    Needs(&'static str),
    /// It belongs to another user.
    OtherUser(u32),
    /// It is of our user and has these capabilities, a bit each, which we have not.
    MoreCapable(u64),
    /// It is of our user and has no more than we: it is not dumpable, or in another user namespace.
    Undumpable,
    /// We hold the capability in a user namespace that is not the process's.
    UserNamespace(&'static str),
    /// `kernel.yama.ptrace_scope` has this value.
    Yama(u8),
    /// We hold the capability, and are refused all the same.
    Guarded {
        /// The capability that we hold, such as `CAP_SYS_PTRACE`.
        held: &'static str,
        /// What the process has and we have not, a bit each.
        more: u64,
        /// The active security modules, as the kernel lists them; empty: not known.
        modules: String,
    },
}

/// What was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// To read; with what, as far as the refusal itself tells.
    Read(&'static str),
    /// To trace.
    Trace,
}

/// What decides it.
#[derive(Clone, Debug, Default)]
struct Facts {
    /// Whether we hold the capability that would do.
    held: bool,
    /// Whether we are in a user namespace other than the first.
    in_user_namespace: bool,
    /// Our effective user.
    us: Option<u32>,
    /// The real, effective and saved user of the process.
    them: Option<[u32; 3]>,
    /// Permitted capabilities of the process that we have not in force.
    more: u64,
    /// Value of `kernel.yama.ptrace_scope`; `None`: no Yama.
    yama: Option<u8>,
    /// The active security modules.
    modules: String,
}

impl Barrier {
    /// Finds out what kept us from a process.
    pub fn of(pid: Pid, access: Access) -> Self {
        let needs = needed(access);
        let status = |path: &str| Status::parse(&fs::read(path).ok()?).ok();
        let ours = status("/proc/thread-self/status").unwrap_or_default();
        let theirs = status(&format!("/proc/{pid}/status")).unwrap_or_default();
        let in_force = ours.cap_eff.unwrap_or(0);
        let missing = caps::effective().map(|held| !held.iter().any(|one| one.name() == needs));
        Self::by(
            access,
            Facts {
                held: !missing.unwrap_or(true),
                in_user_namespace: caps::in_user_namespace(),
                us: ours.uids.map(|[_, effective, ..]| effective),
                them: theirs.uids.map(|[real, effective, saved, _]| [real, effective, saved]),
                more: theirs.cap_prm.unwrap_or(0) & !in_force,
                yama: fs::read_to_string(YAMA).ok().and_then(|text| text.trim().parse().ok()),
                modules: fs::read_to_string(MODULES).unwrap_or_default().trim().to_owned(),
            },
        )
    }

    fn by(access: Access, facts: Facts) -> Self {
        let needs = needed(access);
        let yama = facts.yama.filter(|_| access == Access::Trace);
        // Even CAP_SYS_PTRACE is refused then (security/yama/yama_lsm.c:yama_ptrace_access_check).
        if yama == Some(3) {
            return Self::Yama(3);
        }
        if facts.held && facts.in_user_namespace {
            return Self::UserNamespace(needs);
        }
        if facts.held {
            return Self::Guarded { held: needs, more: facts.more, modules: facts.modules };
        }
        if needs != SYS_PTRACE {
            return Self::Needs(needs);
        }
        let (Some(us), Some(them)) = (facts.us, facts.them) else { return Self::Needs(needs) };
        if let Some(other) = them.into_iter().find(|user| *user != us) {
            return Self::OtherUser(other);
        }
        match (facts.more, yama) {
            (0, Some(scope @ 1..)) => Self::Yama(scope),
            (0, _) => Self::Undumpable,
            (more, _) => Self::MoreCapable(more),
        }
    }
}

fn needed(access: Access) -> &'static str {
    match access {
        Access::Read(needs) => needs,
        Access::Trace => SYS_PTRACE,
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs(needs) => write!(f, "needs {needs}"),
            Self::OtherUser(user) => write!(f, "needs {SYS_PTRACE} (it belongs to user {user})"),
            Self::MoreCapable(more) => write!(
                f,
                "it has capabilities that we lack ({}): needs these, or {SYS_PTRACE}",
                names_of(*more)
            ),
            Self::Undumpable => write!(
                f,
                "needs {SYS_PTRACE}, although it belongs to the same user (it is not dumpable, or in another user namespace)"
            ),
            Self::UserNamespace(held) => write!(
                f,
                "{held} is held only in a user namespace, and the process is not in that one; fix: {}",
                caps::OUT_OF_USER_NAMESPACE
            ),
            Self::Yama(3) => f.write_str(
                "kernel.yama.ptrace_scope is 3: nobody may trace a process until the next boot, not even with CAP_SYS_PTRACE",
            ),
            Self::Yama(scope) => write!(f, "needs {SYS_PTRACE} (kernel.yama.ptrace_scope is {scope})"),
            Self::Guarded { held, more, modules } => {
                write!(f, "{held} is held and does not help: the kernel or a security module")?;
                if !modules.is_empty() {
                    write!(f, " ({modules})")?;
                }
                f.write_str(" protects it")?;
                if *more == 0 { Ok(()) } else { write!(f, "; it has capabilities that we lack: {}", names_of(*more)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Access = Access::Read(SYS_PTRACE);
    const PERFMON: u64 = 1 << 38;

    fn facts() -> Facts {
        Facts { us: Some(1000), them: Some([1000; 3]), ..Facts::default() }
    }

    /// Check who is in the way of somebody without the capability.
    #[test]
    fn without_the_capability() {
        assert_eq!(Barrier::by(READ, facts()), Barrier::Undumpable);
        assert_eq!(Barrier::by(READ, Facts { more: PERFMON, ..facts() }), Barrier::MoreCapable(PERFMON));
        for them in [[0, 1000, 1000], [1000, 0, 1000], [1000, 1000, 0]] {
            let facts = Facts { them: Some(them), more: PERFMON, ..facts() };
            assert_eq!(Barrier::by(READ, facts), Barrier::OtherUser(0));
        }
        assert_eq!(Barrier::by(READ, Facts { them: None, ..facts() }), Barrier::Needs(SYS_PTRACE));
        let auxv = Access::Read("CAP_DAC_READ_SEARCH");
        assert_eq!(Barrier::by(auxv, facts()), Barrier::Needs("CAP_DAC_READ_SEARCH"));
    }

    /// Check who is in the way of somebody who has it.
    #[test]
    fn with_the_capability() {
        let held = Facts { held: true, them: Some([0; 3]), ..facts() };
        let guarded = |more| Barrier::Guarded { held: SYS_PTRACE, more, modules: String::new() };
        assert_eq!(Barrier::by(READ, held.clone()), guarded(0));
        assert_eq!(Barrier::by(READ, Facts { more: PERFMON, ..held.clone() }), guarded(PERFMON));
        let inside = Facts { in_user_namespace: true, ..held };
        assert_eq!(Barrier::by(READ, inside), Barrier::UserNamespace(SYS_PTRACE));
    }

    /// Check that Yama is in the way of tracing alone, and at 3 of everybody's.
    #[test]
    fn yama() {
        let scope = |yama, held| Facts { yama: Some(yama), held, ..facts() };
        assert_eq!(Barrier::by(Access::Trace, scope(1, false)), Barrier::Yama(1));
        assert_eq!(Barrier::by(Access::Trace, scope(3, true)), Barrier::Yama(3));
        assert_eq!(Barrier::by(Access::Trace, scope(0, false)), Barrier::Undumpable);
        assert_eq!(Barrier::by(READ, scope(3, false)), Barrier::Undumpable);
    }

    /// Check that whatever is said names a capability, in one line without a full stop.
    #[test]
    fn how_it_reads() {
        let all = [
            Barrier::Needs(SYS_PTRACE),
            Barrier::OtherUser(5),
            Barrier::MoreCapable(PERFMON),
            Barrier::Undumpable,
            Barrier::UserNamespace(SYS_PTRACE),
            Barrier::Yama(1),
            Barrier::Yama(3),
            Barrier::Guarded { held: SYS_PTRACE, more: PERFMON, modules: "capability,yama".to_owned() },
        ];
        for barrier in all {
            let text = barrier.to_string();
            assert!(text.contains("CAP_") && !text.contains('\n') && !text.ends_with('.'), "{text}");
        }
    }
}

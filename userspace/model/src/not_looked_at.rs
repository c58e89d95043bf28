//! What is not looked at, in words, and what it means for who wants it strictly.

use crate::evidence::{Evidence, NotLookedAt};
use crate::units::Pid;
use crate::verdict::{DumpVerdict, Reason};

const REMEDY: &str = "see that it is idle by other means, and leave --strict out";

/// A line for each kind of I/O that is there, or could not be looked for; none where there is none.
pub fn lines(found: &NotLookedAt) -> Vec<String> {
    let NotLookedAt { io_urings, posix_aio_threads } = *found;
    let urings = match io_urings {
        Some(0) => None,
        Some(count) => Some(format!("{count} io_uring, not looked at")),
        None => Some("io_uring could not be looked for (needs CAP_SYS_PTRACE)".to_owned()),
    };
    let threads = match posix_aio_threads {
        Some(0) => None,
        Some(1) => Some("1 thread that may serve POSIX AIO, not looked at".to_owned()),
        Some(count) => Some(format!("{count} threads that may serve POSIX AIO, not looked at")),
        None => Some("POSIX AIO could not be looked for (needs CAP_SYS_PTRACE)".to_owned()),
    };
    urings.into_iter().chain(threads).collect()
}

/// What was found beside the contexts of a process; `None`: nobody looked for it.
pub fn of(evidence: &Evidence, pid: Pid) -> Option<NotLookedAt> {
    let lives =
        |space: &&crate::evidence::AddressSpace| space.processes.iter().any(|process| process.pid == pid);
    evidence.spaces.iter().find(lives)?.not_looked_at
}

/// The verdict of who accepts nothing that was not looked at: idle is refused, and so is what nobody looked for.
pub fn strictly(verdict: DumpVerdict, evidence: &Evidence, pid: Pid) -> DumpVerdict {
    let lines = of(evidence, pid).map_or_else(
        || vec!["whether it has io_uring or POSIX AIO is not in this evidence".to_owned()],
        |found| lines(&found),
    );
    let mut against = lines.into_iter().map(|line| Reason::open(line, REMEDY)).peekable();
    if against.peek().is_none() {
        return verdict;
    }
    match verdict {
        DumpVerdict::Idle { .. } => DumpVerdict::Refused { reasons: against.collect() },
        // Those of the whole process come first.
        DumpVerdict::Refused { reasons } => {
            DumpVerdict::Refused { reasons: against.chain(reasons).collect() }
        }
        other @ (DumpVerdict::Busy { .. } | DumpVerdict::NoSuchProcess) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{AddressSpace, Process};

    fn evidence(not_looked_at: Option<NotLookedAt>) -> Evidence {
        let processes = vec![Process { pid: Pid(7), ..Process::default() }];
        let space = AddressSpace { processes, not_looked_at, ..AddressSpace::default() };
        Evidence { spaces: vec![space], ..Evidence::default() }
    }

    fn found(io_urings: Option<u32>, posix_aio_threads: Option<u32>) -> NotLookedAt {
        NotLookedAt { io_urings, posix_aio_threads }
    }

    /// Check that nothing is said of what is not there, and that what could not be looked for is.
    #[test]
    fn words() {
        assert!(lines(&found(Some(0), Some(0))).is_empty());
        assert_eq!(lines(&found(Some(1), Some(0))), ["1 io_uring, not looked at"]);
        assert_eq!(lines(&found(Some(0), Some(2))), ["2 threads that may serve POSIX AIO, not looked at"]);
        assert!(lines(&found(None, None)).iter().all(|line| line.contains("could not be looked for")));
    }

    /// Check that idle is refused strictly for each kind, for what could not be looked for, and for what nobody looked for.
    #[test]
    fn strict() {
        let idle = DumpVerdict::Idle { contexts: Vec::new(), unproven: Vec::new() };
        let judged = |of| strictly(idle.clone(), &evidence(of), Pid(7));
        assert_eq!(judged(Some(found(Some(0), Some(0)))), idle);
        for of in
            [None, Some(found(Some(1), Some(0))), Some(found(Some(0), Some(1))), Some(found(None, Some(0)))]
        {
            assert!(matches!(judged(of), DumpVerdict::Refused { reasons } if reasons.len() == 1), "{of:?}");
        }
    }
}

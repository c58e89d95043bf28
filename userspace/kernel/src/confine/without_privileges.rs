//! Giving up every capability, once nothing needs them any more.

use std::io;

use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
};

/// Gives up the capabilities of the calling thread, for good, and of the threads it will start: all of them, if `works` works without, or else
/// all but CAP_BPF. Whether that one was kept.
///
/// What is open stays open: attached programs run on, maps are read, iterators are run. But kernels before 5.19 ask for CAP_BPF at each call of
/// bpf(2) where unprivileged BPF is off ("bpf: refine kernel.unprivileged_bpf_disabled behaviour").
pub fn give_up(works: impl Fn() -> io::Result<()> + Sync) -> io::Result<bool> {
    let works_without = std::thread::scope(|scope| {
        let trial = scope.spawn(|| drop_all_but(CapabilitySet::empty()).and_then(|()| works()));
        trial.join().unwrap_or_else(|_| Err(io::Error::other("the trial ended early")))
    });
    let keeps = works_without.is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
    let kept = if keeps { CapabilitySet::BPF } else { CapabilitySet::empty() };
    drop_all_but(kept)?;
    Ok(keeps)
}

fn drop_all_but(kept: CapabilitySet) -> io::Result<()> {
    set_no_new_privs(true)?;
    clear_ambient_capability_set()?;
    let inheritable = CapabilitySet::empty();
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::thread::capabilities;

    /// Check in threads of their own, since it is for good, that all is given up where that works or fails otherwise, and that who holds CAP_BPF
    /// keeps it alone where it is asked for.
    #[test]
    fn keeps_what_is_asked_for() {
        let given_up = |answer: fn() -> io::Result<()>| {
            std::thread::spawn(move || {
                let held = capabilities(None).unwrap().effective.contains(CapabilitySet::BPF);
                let kept = give_up(answer);
                (held, kept, capabilities(None).unwrap().effective)
            })
            .join()
            .unwrap()
        };
        let eperm = || Err(io::Error::from_raw_os_error(libc::EPERM));
        for answer in [|| Ok(()), || Err(io::Error::other("else"))] {
            let (_, kept, left) = given_up(answer);
            assert!(!kept.unwrap() && left.is_empty());
        }
        let (held, kept, left) = given_up(eperm);
        if held {
            assert!(kept.unwrap() && left == CapabilitySet::BPF);
        } else {
            // What is not held cannot be kept.
            assert_eq!(kept.unwrap_err().raw_os_error(), Some(libc::EPERM));
        }
    }
}

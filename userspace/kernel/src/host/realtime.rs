//! Not to be kept from the CPU while others wait for us.

#![expect(unsafe_code, reason = "scheduling policies are set by a raw call")]

/// Puts the calling thread before all that are not real-time threads; whether that was permitted (CAP_SYS_NICE).
///
/// Each thread that is let go or woken would otherwise be preferred to the one that lets the rest go: with 64 threads
/// on two CPUs, the last waited for many time slices. Such a thread must sleep, not poll, where it waits for long.
pub(crate) fn before_all_others() -> bool {
    set(libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, 1)
}

/// Takes that back.
pub(crate) fn like_all_others() {
    set(libc::SCHED_OTHER, 0);
}

fn set(policy: libc::c_int, sched_priority: libc::c_int) -> bool {
    let parameter = libc::sched_param { sched_priority };
    // SAFETY: 0 is the calling thread, and `parameter` lives through the call.
    unsafe { libc::sched_setscheduler(0, policy, &raw const parameter) == 0 }
}

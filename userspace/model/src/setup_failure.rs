//! Why an io_setup failed, in words for an operator. Each error and its conditions: fs/aio.c:io_setup, ioctx_alloc,
//! aio_setup_ring.

use crate::errno;
use crate::event::{Failure, Holder};
use crate::nr_req::{MAX_REQS_LIMIT, ring_len};

const EPERM: i32 = 1;
const EINTR: i32 = 4;
const EAGAIN: i32 = 11;
const ENOMEM: i32 = 12;
const EACCES: i32 = 13;
const EFAULT: i32 = 14;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;

/// The smallest page and the fewest CPUs there are: what a ring takes at least, wherever it was to be made.
const LEAST_PAGE: u32 = 4096;
const LEAST_CPUS: u32 = 1;

/// One or two short sentences, without the errno's name.
///
/// Names of processes are in it as they are: bytes, to be escaped as a whole by whoever prints it, as `comm` is.
pub fn in_words(failure: &Failure) -> Vec<u8> {
    match failure.errno {
        EAGAIN => no_slots(failure),
        EINVAL => invalid(failure).into_bytes(),
        EFAULT => unreachable_context(failure).into_bytes(),
        ENOMEM => no_memory(failure).into_bytes(),
        EINTR => b"the caller was killed while it waited to map the ring".to_vec(),
        ENOSYS => {
            b"this kernel is built without AIO (CONFIG_AIO), or a filter of system calls (seccomp) says so"
                .to_vec()
        }
        EPERM | EACCES => {
            b"a filter of system calls (seccomp) or a security module does not allow it".to_vec()
        }
        other => {
            let name = errno::name(other);
            format!(
                "io_setup itself never fails with {name}: most likely a filter of system calls (seccomp) does"
            )
            .into_bytes()
        }
    }
}

/// What kind of failure it is, without its numbers: two failures of one kind are the same to whoever counts them. No promise.
pub fn cause(failure: &Failure) -> &'static str {
    let requested = failure.requested;
    match failure.errno {
        EAGAIN | EINVAL if requested > MAX_REQS_LIMIT => "too-large",
        EAGAIN if failure.limit.is_some_and(|limit| u64::from(requested) > limit) => "above-limit",
        EAGAIN => "no-slots",
        EINVAL if requested == 0 => "none-asked-for",
        EINVAL => "variable",
        EFAULT if failure.initial.is_some() => "read-only",
        EFAULT => "nowhere",
        _ => "",
    }
}

/// EAGAIN: too much for the host, or too much for what is left of it.
fn no_slots(failure: &Failure) -> Vec<u8> {
    let requested = failure.requested;
    if requested > MAX_REQS_LIMIT {
        // Doubled, the number leaves 32 bits, so that the check that answers EINVAL lets it pass.
        return too_large(requested).into_bytes();
    }
    if let Some(limit) = failure.limit.filter(|limit| u64::from(requested) > *limit) {
        return format!(
            "asked for {requested}, more than all of fs.aio-max-nr ({limit}): raise it, or ask for less"
        )
        .into_bytes();
    }
    let mut text = match (failure.free, failure.limit) {
        (Some(free), limit) if free >= i64::from(requested) => {
            let of = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
            format!("asked for {requested}, and the slots were taken at that moment; free again: {free}{of}")
        }
        (Some(free), limit) => format!("asked for {requested}, {}", left(free, limit)),
        (None, Some(limit)) => format!("asked for {requested}, more than was free of {limit}"),
        (None, None) => format!("asked for {requested}, more than was free of fs.aio-max-nr"),
    }
    .into_bytes();
    for (place, holder) in failure.largest.iter().enumerate() {
        text.extend_from_slice(if place == 0 { b"; reserved by " } else { b", " });
        held(holder, &mut text);
    }
    text
}

/// `120 free of 65536`; aio-nr may be above aio-max-nr.
fn left(free: i64, limit: Option<u64>) -> String {
    let of = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
    match free {
        1.. => format!("{free} free{of}"),
        0 => format!("none free{of}"),
        _ => format!("none free{of}: fs.aio-nr is {} above the limit", free.unsigned_abs()),
    }
}

/// `nginx.service (64 processes, 64000 slots in 64 contexts)`, `mariadb.service (mysqld, pid 123, 1024 slots in 8 contexts)`, and without
/// an owner `mysqld (pid 123, ..)`. A context has at least one slot: 0 means that their number is not known.
fn held(holder: &Holder, text: &mut Vec<u8>) {
    let (owner, pid) = (holder.owner.short_workload(), holder.pid);
    match (owner, holder.processes) {
        ("", _) => {
            text.extend_from_slice(&holder.comm);
            text.extend_from_slice(format!(" (pid {pid}").as_bytes());
        }
        (_, 0 | 1) => {
            text.extend_from_slice(format!("{owner} (").as_bytes());
            text.extend_from_slice(&holder.comm);
            text.extend_from_slice(format!(", pid {pid}").as_bytes());
        }
        (_, processes) => text.extend_from_slice(format!("{owner} ({processes} processes").as_bytes()),
    }
    let contexts = match holder.contexts {
        1 => "1 context".to_owned(),
        several => format!("{several} contexts"),
    };
    let what = match holder.slots {
        0 => contexts,
        1 => format!("1 slot in {contexts}"),
        slots => format!("{slots} slots in {contexts}"),
    };
    text.extend_from_slice(format!(", {what})").as_bytes());
}

fn too_large(requested: u32) -> String {
    format!("asked for {requested}, more than one context can have ({MAX_REQS_LIMIT})")
}

/// EINVAL: either argument, or both.
fn invalid(failure: &Failure) -> String {
    let mut faults: Vec<String> = Vec::new();
    match failure.requested {
        0 => faults.push("asked for 0, at least 1 is needed".to_owned()),
        requested if requested > MAX_REQS_LIMIT => faults.push(too_large(requested)),
        _ => {}
    }
    match failure.initial {
        Some(0) => {}
        Some(value) => {
            faults
                .push(format!("the variable for the context must be 0 before the call, and held {value:#x}"));
        }
        None if faults.is_empty() => {
            faults.push(
                "most likely the variable for the context was not 0 before the call; it could not be read"
                    .to_owned(),
            );
        }
        None => {}
    }
    if faults.is_empty() {
        return format!(
            "asked for {} with a variable that was 0 when we looked: it changed meanwhile, or a filter of system calls (seccomp) refuses",
            failure.requested
        );
    }
    faults.join("; ")
}

/// EFAULT: the pointer that should receive the context.
fn unreachable_context(failure: &Failure) -> String {
    match failure.initial {
        Some(_) => "the variable for the context can be read but not written".to_owned(),
        None => "the pointer to the variable for the context leads nowhere".to_owned(),
    }
}

/// ENOMEM: the ring, or its place in the address space (every error of do_mmap becomes this one).
fn no_memory(failure: &Failure) -> String {
    let ring = match ring_len(failure.requested, LEAST_CPUS, LEAST_PAGE) {
        Some(bytes) => format!("for a ring of at least {bytes} bytes"),
        None => "for the ring".to_owned(),
    };
    format!(
        "no memory or no address space {ring}: look at the memory cgroup, ulimit -v (RLIMIT_AS), ulimit -l after mlockall, vm.max_map_count \
         and fs.file-max"
    )
}

#[cfg(test)]
mod tests;

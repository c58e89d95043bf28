//! Attaching programs to where they run: typed tracepoints and functions, and what perf_event_open(2) reaches.

#![expect(unsafe_code, reason = "perf_event_open has no safe wrapper")]

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use crate::bpf::call::{bpf_fd, raw};

const BPF_RAW_TRACEPOINT_OPEN: libc::c_long = 17;
const BPF_LINK_CREATE: libc::c_long = 28;
/// `BPF_PERF_EVENT`.
const BPF_PERF_EVENT: u32 = 41;
/// `PERF_TYPE_TRACEPOINT`.
const PERF_TYPE_TRACEPOINT: u32 = 2;
/// `PERF_FLAG_FD_CLOEXEC`.
const PERF_FLAG_FD_CLOEXEC: libc::c_ulong = 8;

/// Attaches a program to the typed tracepoint or function it was loaded for, until the answer is dropped.
pub fn attach_traced(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        name: u64,
        prog_fd: u32,
        pad: u32,
    }
    bpf_fd(BPF_RAW_TRACEPOINT_OPEN, &mut Attr { name: 0, prog_fd: raw(program)?, pad: 0 })
}

/// Attaches a program to a perf event, until the answer and the event are dropped; `None`: the event alone holds it.
pub fn attach_to_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    match link_to_event(program, event) {
        Ok(link) => Ok(Some(link)),
        // Kernels before 5.15 know no such link.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            set_program(program, event).map(|()| None)
        }
        Err(error) => Err(error),
    }
}

/// `PERF_EVENT_IOC_SET_BPF`.
fn set_program(program: BorrowedFd<'_>, event: BorrowedFd<'_>) -> io::Result<()> {
    const PERF_EVENT_IOC_SET_BPF: libc::Ioctl = 0x4004_2408;
    // SAFETY: the request takes a number, the program's descriptor, and two descriptors are open.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), PERF_EVENT_IOC_SET_BPF, program.as_raw_fd()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn link_to_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        cookie: u64,
    }
    let mut attr = Attr {
        prog_fd: raw(program)?,
        target_fd: raw(event)?,
        attach_type: BPF_PERF_EVENT,
        flags: 0,
        cookie: 0,
    };
    bpf_fd(BPF_LINK_CREATE, &mut attr)
}

/// The first 112 bytes of `struct perf_event_attr` (include/uapi/linux/perf_event.h, PERF_ATTR_SIZE_VER5).
#[repr(C)]
#[derive(Default)]
struct EventAttr {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    config1: u64,
    config2: u64,
    rest: [u64; 5],
}

/// A tracepoint of tracefs by its id, on all CPUs: programs on it run wherever it is passed.
pub fn tracepoint_event(id: u64) -> io::Result<OwnedFd> {
    event(EventAttr { kind: PERF_TYPE_TRACEPOINT, config: id, sample_period: 1, ..EventAttr::default() })
}

/// A kprobe at the beginning of a function, or a kretprobe at its end. `kind` and `return_bit` are those of the kprobe PMU.
pub fn kprobe_event(kind: u32, return_bit: Option<u32>, function: &CStr) -> io::Result<OwnedFd> {
    let config = return_bit.map_or(0, |bit| 1_u64.checked_shl(bit).unwrap_or(0));
    event(EventAttr { kind, config, config1: function.as_ptr() as u64, ..EventAttr::default() })
}

fn event(mut attr: EventAttr) -> io::Result<OwnedFd> {
    attr.size = u32::try_from(size_of::<EventAttr>()).map_err(io::Error::other)?;
    let (any_process, first_cpu, no_group): (libc::c_long, libc::c_long, libc::c_long) = (-1, 0, -1);
    // SAFETY: `attr` is a live perf_event_attr of the size it names; what it points to outlives the call.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            any_process,
            first_cpu,
            no_group,
            PERF_FLAG_FD_CLOEXEC,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call succeeded, so this is a new file descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

//! Attaching programs to where they run: typed tracepoints and functions, and what perf_event_open(2) reaches.

#![expect(unsafe_code, reason = "perf_event_open has no safe wrapper")]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::bpf_attach_type::BPF_PERF_EVENT;
use aya_obj::generated::bpf_cmd::{BPF_LINK_CREATE, BPF_RAW_TRACEPOINT_OPEN};
use aya_obj::generated::perf_type_id::PERF_TYPE_TRACEPOINT;
use aya_obj::generated::{PERF_EVENT_IOC_SET_BPF, PERF_FLAG_FD_CLOEXEC, bpf_attr, perf_event_attr};

use crate::bpf::syscall::{Plain, bpf_fd, raw};

/// Attaches a program to the typed tracepoint or function it was loaded for, until the answer is dropped.
pub(crate) fn attach_traced(program: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = bpf_attr::zeroed();
    attr.raw_tracepoint.prog_fd = raw(program)?;
    // SAFETY: the one pointer of this command, a name, is null: the program was loaded for one place.
    unsafe { bpf_fd(BPF_RAW_TRACEPOINT_OPEN, &mut attr) }
}

/// Attaches a program to a perf event, until the answer and the event are dropped; `None`: the event alone holds it.
pub(crate) fn attach_to_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>) -> io::Result<Option<OwnedFd>> {
    match link_to_event(program, event) {
        Ok(link) => Ok(Some(link)),
        // Kernels before 5.15 know no such link.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            set_program(program, event).map(|()| None)
        }
        Err(error) => Err(error),
    }
}

/// Sets the one program of an event.
fn set_program(program: BorrowedFd<'_>, event: BorrowedFd<'_>) -> io::Result<()> {
    let request = libc::Ioctl::from(PERF_EVENT_IOC_SET_BPF);
    // SAFETY: the request takes a number, the program's descriptor, and two descriptors are open.
    let result = unsafe { libc::ioctl(event.as_raw_fd(), request, program.as_raw_fd()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn link_to_event(program: BorrowedFd<'_>, event: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = bpf_attr::zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = raw(program)?;
    attr.link_create.__bindgen_anon_2.target_fd = raw(event)?;
    attr.link_create.attach_type = BPF_PERF_EVENT as u32;
    // SAFETY: there is no pointer in this command for an event.
    unsafe { bpf_fd(BPF_LINK_CREATE, &mut attr) }
}

/// A tracepoint of tracefs by its id, on all CPUs: programs on it run wherever it is passed.
pub(crate) fn tracepoint_event(id: u64) -> io::Result<OwnedFd> {
    let mut attr = perf_event_attr::zeroed();
    attr.type_ = PERF_TYPE_TRACEPOINT as u32;
    attr.config = id;
    attr.__bindgen_anon_1.sample_period = 1;
    // SAFETY: a tracepoint has no pointer.
    unsafe { event(attr) }
}

/// A kprobe at the beginning of a function, or a kretprobe at its end. `kind` and `return_bit` are those of the kprobe PMU.
pub(crate) fn kprobe_event(kind: u32, return_bit: Option<u32>, function: &str) -> io::Result<OwnedFd> {
    let function = CString::new(function)?;
    let mut attr = perf_event_attr::zeroed();
    attr.type_ = kind;
    attr.config = return_bit.map_or(0, |bit| 1_u64.checked_shl(bit).unwrap_or(0));
    attr.__bindgen_anon_3.kprobe_func = function.as_ptr() as u64;
    // SAFETY: the kernel reads the name up to its NUL.
    unsafe { event(attr) }
}

/// # Safety
/// Each pointer in `attr` is to what the event of that type takes there.
unsafe fn event(mut attr: perf_event_attr) -> io::Result<OwnedFd> {
    attr.size = u32::try_from(size_of::<perf_event_attr>()).map_err(io::Error::other)?;
    let (any_process, first_cpu, no_group): (libc::c_long, libc::c_long, libc::c_long) = (-1, 0, -1);
    // SAFETY: `attr` is a live perf_event_attr of the size it names; the caller vouches for its pointers.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attr,
            any_process,
            first_cpu,
            no_group,
            libc::c_ulong::from(PERF_FLAG_FD_CLOEXEC),
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call succeeded, so this is a new file descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

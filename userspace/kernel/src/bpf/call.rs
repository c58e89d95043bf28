//! bpf(2), the few commands this program needs.
//!
//! aya's own loader parses all of vmlinux's BTF, twice, to find one number that [`aioinspect_parse::btf`] finds in a sweep; that is most of a short
//! command's time and memory (docs/libraries.md). So aya-obj reads and relocates the object, and the commands are given here.

#![expect(unsafe_code, reason = "bpf(2) takes pointers")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use aya_obj::generated::bpf_insn;

use crate::bpf::memlock;

const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_BTF_LOAD: libc::c_long = 18;
const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;

/// `BPF_F_SLEEPABLE`.
const BPF_F_SLEEPABLE: u32 = 1 << 4;
/// `BPF_TRACE_ITER`.
const BPF_TRACE_ITER: u32 = 28;

/// Length of a map's or program's name, NUL included.
const NAME_LEN: usize = 16;

/// Runs one command. `attr` must be the command's part of `union bpf_attr`, plain numbers without padding.
pub(super) fn bpf<T>(command: libc::c_long, attr: &mut T) -> io::Result<libc::c_long> {
    let size = u32::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads and writes at most `size` bytes of `attr`; the pointers in it are checked by their makers below.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attr), size) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(super) fn bpf_fd<T>(command: libc::c_long, attr: &mut T) -> io::Result<OwnedFd> {
    let answer = match bpf(command, attr) {
        // Kernels before 5.11 charge maps and programs to the locked memory, and this is what they say where it is used up.
        Err(error) if error.raw_os_error() == Some(libc::EPERM) && memlock::raise() => bpf(command, attr),
        answer => answer,
    };
    let fd = RawFd::try_from(answer?).map_err(io::Error::other)?;
    // SAFETY: the command succeeded, so this is a new file descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(super) fn raw(fd: BorrowedFd<'_>) -> io::Result<u32> {
    u32::try_from(fd.as_raw_fd()).map_err(io::Error::other)
}

fn short_name(name: &str) -> [u8; NAME_LEN] {
    let mut short = [0; NAME_LEN];
    for (to, from) in short
        .iter_mut()
        .take(NAME_LEN - 1)
        .zip(name.bytes().filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
    {
        *to = from;
    }
    short
}

/// What a map is made of.
#[derive(Clone, Copy, Debug)]
pub struct MapShape {
    /// `BPF_MAP_TYPE_*`.
    pub kind: u32,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Number of elements.
    pub max_entries: u32,
    /// `BPF_F_*`.
    pub flags: u32,
}

/// Creates a map.
pub fn map_create(name: &str, shape: MapShape) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        map_type: u32,
        key_size: u32,
        value_size: u32,
        max_entries: u32,
        map_flags: u32,
        inner_map_fd: u32,
        numa_node: u32,
        map_name: [u8; NAME_LEN],
    }
    let mut attr = Attr {
        map_type: shape.kind,
        key_size: shape.key_size,
        value_size: shape.value_size,
        max_entries: shape.max_entries,
        map_flags: shape.flags,
        inner_map_fd: 0,
        numa_node: 0,
        map_name: short_name(name),
    };
    bpf_fd(BPF_MAP_CREATE, &mut attr)
}

/// Writes element 0 of an array map of one element.
pub fn map_write_first(map: BorrowedFd<'_>, value: &[u8], value_size: u32) -> io::Result<()> {
    #[repr(C)]
    struct Attr {
        map_fd: u32,
        pad: u32,
        key: u64,
        value: u64,
        flags: u64,
    }
    if usize::try_from(value_size).map_err(io::Error::other)? != value.len() {
        return Err(io::Error::other(format!("{} bytes for a value of {value_size}", value.len())));
    }
    let key = 0u32;
    let mut attr = Attr {
        map_fd: raw(map)?,
        pad: 0,
        key: (&raw const key) as u64,
        value: value.as_ptr() as u64,
        flags: 0,
    };
    bpf(BPF_MAP_UPDATE_ELEM, &mut attr).map(drop)
}

/// Makes a map unchangeable from userspace: its content is then a constant to the verifier.
pub fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    bpf(BPF_MAP_FREEZE, &mut raw(map)?).map(drop)
}

/// Gives the kernel the types of our own object.
pub fn btf_load(btf: &[u8]) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Attr {
        btf: u64,
        btf_log_buf: u64,
        btf_size: u32,
        btf_log_size: u32,
        btf_log_level: u32,
        pad: u32,
    }
    let size = u32::try_from(btf.len()).map_err(io::Error::other)?;
    let mut attr = Attr {
        btf: btf.as_ptr() as u64,
        btf_log_buf: 0,
        btf_size: size,
        btf_log_size: 0,
        btf_log_level: 0,
        pad: 0,
    };
    bpf_fd(BPF_BTF_LOAD, &mut attr)
}

/// A relocated program, and where its functions are in our BTF (a global function must have a type).
#[derive(Clone, Debug)]
pub struct Code {
    /// The instructions, those of the functions it calls included.
    pub instructions: Vec<bpf_insn>,
    /// `struct bpf_func_info` records.
    pub func_info: Vec<u8>,
    /// Bytes of one such record.
    pub func_info_rec_size: u32,
}

/// What a program is for: its type and, for tracing programs, what it is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An iterator whose hook is this BTF function.
    Iter(u32),
    /// The same, of a program that may sleep.
    SleepableIter(u32),
    /// A tracepoint with typed arguments, by its BTF typedef.
    RawTracepoint(u32),
    /// The beginning of this BTF function.
    Fentry(u32),
    /// The end of this BTF function.
    Fexit(u32),
    /// A kprobe or kretprobe.
    Kprobe,
    /// A tracepoint of tracefs.
    Tracepoint,
}

impl Kind {
    /// `BPF_PROG_TYPE_*`, `BPF_TRACE_*` and the BTF id.
    fn numbers(self) -> (u32, u32, u32) {
        const TRACING: u32 = 26;
        match self {
            Kind::Iter(id) | Kind::SleepableIter(id) => (TRACING, BPF_TRACE_ITER, id),
            Kind::RawTracepoint(id) => (TRACING, 23, id),
            Kind::Fentry(id) => (TRACING, 24, id),
            Kind::Fexit(id) => (TRACING, 25, id),
            Kind::Kprobe => (2, 0, 0),
            Kind::Tracepoint => (5, 0, 0),
        }
    }
}

/// How much the verifier says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Verbosity {
    /// `BPF_LOG_LEVEL1`: what it found on the way to its refusal.
    Reasons = 1,
    /// `BPF_LOG_STATS`: how many instructions it checked.
    Counts = 4,
}

/// Loads a program. `log` receives what the verifier says, if not empty.
pub fn prog_load(
    name: &str,
    code: &Code,
    btf: BorrowedFd<'_>,
    kind: Kind,
    verbosity: Verbosity,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    #[repr(C)]
    #[derive(Default)]
    struct Attr {
        prog_type: u32,
        insn_cnt: u32,
        insns: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log_buf: u64,
        kern_version: u32,
        prog_flags: u32,
        prog_name: [u8; NAME_LEN],
        prog_ifindex: u32,
        expected_attach_type: u32,
        prog_btf_fd: u32,
        func_info_rec_size: u32,
        func_info: u64,
        func_info_cnt: u32,
        line_info_rec_size: u32,
        line_info: u64,
        line_info_cnt: u32,
        attach_btf_id: u32,
        attach_btf_obj_fd: u32,
        pad: u32,
    }
    let license = c"Dual MIT/GPL";
    let (prog_type, expected_attach_type, attach_btf_id) = kind.numbers();
    let mut attr = Attr {
        prog_type,
        insn_cnt: u32::try_from(code.instructions.len()).map_err(io::Error::other)?,
        insns: code.instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        prog_flags: if matches!(kind, Kind::SleepableIter(_)) { BPF_F_SLEEPABLE } else { 0 },
        prog_name: short_name(name),
        expected_attach_type,
        prog_btf_fd: raw(btf)?,
        func_info_rec_size: code.func_info_rec_size,
        func_info: code.func_info.as_ptr() as u64,
        func_info_cnt: u32::try_from(code.func_info.len())
            .map_err(io::Error::other)?
            .checked_div(code.func_info_rec_size)
            .unwrap_or(0),
        attach_btf_id,
        ..Attr::default()
    };
    if !log.is_empty() {
        attr.log_level = verbosity as u32;
        attr.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
        attr.log_buf = log.as_mut_ptr() as u64;
    }
    bpf_fd(BPF_PROG_LOAD, &mut attr)
}

/// Attaches an iterator program; with a thread id, to that one thread of the reader's PID namespace.
///
/// Kernels before 6.1 know no restriction and answer EINVAL (kernel/bpf/task_iter.c:bpf_iter_attach_task).
pub fn iter_link_create(program: BorrowedFd<'_>, tid: Option<u32>) -> io::Result<OwnedFd> {
    #[repr(C)]
    struct Task {
        tid: u32,
        pid: u32,
        pid_fd: u32,
    }
    #[repr(C)]
    struct Attr {
        prog_fd: u32,
        target_fd: u32,
        attach_type: u32,
        flags: u32,
        iter_info: u64,
        iter_info_len: u32,
        pad: u32,
    }
    let task = Task { tid: tid.unwrap_or(0), pid: 0, pid_fd: 0 };
    let mut attr = Attr {
        prog_fd: raw(program)?,
        target_fd: 0,
        attach_type: BPF_TRACE_ITER,
        flags: 0,
        iter_info: 0,
        iter_info_len: 0,
        pad: 0,
    };
    if tid.is_some() {
        attr.iter_info = (&raw const task) as u64;
        attr.iter_info_len = u32::try_from(size_of::<Task>()).map_err(io::Error::other)?;
    }
    bpf_fd(BPF_LINK_CREATE, &mut attr)
}

/// Opens one walk of an attached iterator: reading it to its end runs the program on everything.
pub fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    bpf_fd(BPF_ITER_CREATE, &mut [raw(link)?, 0])
}

/// Runs a walk to its end, without a pause of ours.
pub fn iter_run(walk: BorrowedFd<'_>) -> io::Result<()> {
    iter_run_in_pieces(walk, || {})
}

/// Runs a walk to its end. The programs print nothing, so one read does it, unless it pauses (EAGAIN): the kernel does after a million objects, a program
/// that asks to be run on the same object again when it likes. `between` is called at each pause.
pub fn iter_run_in_pieces(walk: BorrowedFd<'_>, mut between: impl FnMut()) -> io::Result<()> {
    let mut nothing = [0u8; 64];
    loop {
        match rustix::io::read(walk.as_fd(), &mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => between(),
            Err(errno) => return Err(errno.into()),
        }
    }
}

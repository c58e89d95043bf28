//! bpf(2), the few commands this program needs.
//!
//! aya's own loader parses all of vmlinux's BTF, twice, to find one number that [`aioinspect_parse::btf`] finds in a sweep; that is most of a short
//! command's time and memory (docs/libraries.md). So aya-obj reads and relocates the object, and the commands are given here.

#![expect(unsafe_code, reason = "bpf(2) takes pointers")]

use std::ffi::c_char;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use aioinspect_ebpf::Wire;
use aya_obj::generated::bpf_attach_type::{
    BPF_TRACE_FENTRY, BPF_TRACE_FEXIT, BPF_TRACE_ITER, BPF_TRACE_RAW_TP,
};
use aya_obj::generated::bpf_cmd::{
    BPF_BTF_LOAD, BPF_ITER_CREATE, BPF_LINK_CREATE, BPF_MAP_CREATE, BPF_MAP_FREEZE, BPF_MAP_UPDATE_ELEM,
    BPF_PROG_LOAD,
};
use aya_obj::generated::bpf_map_type::{BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH};
use aya_obj::generated::bpf_prog_type::{
    BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_TRACING,
};
use aya_obj::generated::{
    BPF_F_SLEEPABLE, BPF_OBJ_NAME_LEN, bpf_attach_type, bpf_attr, bpf_insn, bpf_prog_type,
};

use crate::bpf::syscall::{Plain, bpf, bpf_fd, bpf_fd_once, raw};

/// Length of a map's or program's name, NUL included.
const NAME_LEN: usize = BPF_OBJ_NAME_LEN as usize;

fn short_name(name: &str) -> [c_char; NAME_LEN] {
    let mut short = [0; NAME_LEN];
    for (to, from) in short
        .iter_mut()
        .take(NAME_LEN - 1)
        .zip(name.bytes().filter(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'))
    {
        *to = c_char::from_ne_bytes([from]);
    }
    short
}

/// What a map is made of.
#[derive(Clone, Copy, Debug)]
pub struct MapShape {
    /// `BPF_MAP_TYPE_*`.
    pub(super) kind: u32,
    /// Bytes of a key.
    pub(super) key_size: u32,
    /// Bytes of a value.
    pub(super) value_size: u32,
    /// Number of elements.
    pub(super) max_entries: u32,
    /// `BPF_F_*`.
    pub(super) flags: u32,
}

impl MapShape {
    /// The smallest array.
    pub(super) const SMALLEST: Self =
        Self { kind: BPF_MAP_TYPE_ARRAY as u32, key_size: 4, value_size: 4, max_entries: 1, flags: 0 };

    /// A hash map from `K` to `V`.
    pub fn hash<K: Wire, V: Wire>(max_entries: u32) -> Self {
        let [key_size, value_size] = [K::SIZE, V::SIZE].map(|size| u32::try_from(size).unwrap_or(u32::MAX));
        Self { kind: BPF_MAP_TYPE_HASH as u32, key_size, value_size, max_entries, flags: 0 }
    }

    fn attr(self, name: &str) -> bpf_attr {
        let mut attr = bpf_attr::zeroed();
        attr.__bindgen_anon_1.map_type = self.kind;
        attr.__bindgen_anon_1.key_size = self.key_size;
        attr.__bindgen_anon_1.value_size = self.value_size;
        attr.__bindgen_anon_1.max_entries = self.max_entries;
        attr.__bindgen_anon_1.map_flags = self.flags;
        attr.__bindgen_anon_1.map_name = short_name(name);
        attr
    }
}

/// Creates a map.
pub fn map_create(name: &str, shape: MapShape) -> io::Result<OwnedFd> {
    // SAFETY: there is no pointer in this command.
    unsafe { bpf_fd(BPF_MAP_CREATE, &mut shape.attr(name)) }
}

/// The same by the limits that are set, whatever they are.
pub(super) fn map_create_within_limits(name: &str, shape: MapShape) -> io::Result<OwnedFd> {
    // SAFETY: there is no pointer in this command.
    unsafe { bpf_fd_once(BPF_MAP_CREATE, &mut shape.attr(name)) }
}

/// Creates an array map of one element, and writes that.
pub(super) fn map_create_with(name: &str, shape: MapShape, value: &[u8]) -> io::Result<OwnedFd> {
    if shape.key_size != 4 || usize::try_from(shape.value_size).map_err(io::Error::other)? != value.len() {
        return Err(io::Error::other(format!("{} bytes for a value of {}", value.len(), shape.value_size)));
    }
    let map = map_create(name, shape)?;
    let key = 0u32;
    let mut attr = bpf_attr::zeroed();
    attr.__bindgen_anon_2.map_fd = raw(map.as_fd())?;
    attr.__bindgen_anon_2.key = (&raw const key) as u64;
    attr.__bindgen_anon_2.__bindgen_anon_1.value = value.as_ptr() as u64;
    // SAFETY: key and value are as long as those of the map, which was just made.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut attr) }?;
    Ok(map)
}

/// Makes a map unchangeable from userspace: its content is then a constant to the verifier.
pub(super) fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = bpf_attr::zeroed();
    attr.__bindgen_anon_2.map_fd = raw(map)?;
    // SAFETY: there is no pointer in this command.
    unsafe { bpf(BPF_MAP_FREEZE, &mut attr) }.map(drop)
}

/// Gives the kernel the types of our own object.
pub(super) fn btf_load(btf: &[u8]) -> io::Result<OwnedFd> {
    let mut attr = bpf_attr::zeroed();
    attr.__bindgen_anon_7.btf = btf.as_ptr() as u64;
    attr.__bindgen_anon_7.btf_size = u32::try_from(btf.len()).map_err(io::Error::other)?;
    // SAFETY: the kernel reads `btf_size` bytes; there is no log.
    unsafe { bpf_fd(BPF_BTF_LOAD, &mut attr) }
}

/// A relocated program, and where its functions are in our BTF (a global function must have a type).
#[derive(Clone, Debug)]
pub(crate) struct Code {
    /// The instructions, those of the functions it calls included.
    pub(super) instructions: Vec<bpf_insn>,
    /// `struct bpf_func_info` records.
    pub(super) func_info: Vec<u8>,
    /// Bytes of one such record.
    pub(super) func_info_rec_size: u32,
}

impl Code {
    /// The same without its fences (`ebpf/src/architecture/aarch64.rs`), the only atomic operations of the programs that give back what was
    /// there; `None` if it has none.
    pub(super) fn without_fences(&self) -> Option<Self> {
        /// `BPF_STX | BPF_DW | BPF_ATOMIC`
        const ATOMIC: u8 = 0xdb;
        /// `BPF_ADD | BPF_FETCH`
        const FETCH_ADD: i32 = 0x01;
        /// `BPF_JMP | BPF_JA`: with no distance, an instruction that does nothing.
        const JUMP: u8 = 0x05;
        let mut code = self.clone();
        let mut any = false;
        for instruction in &mut code.instructions {
            if instruction.code == ATOMIC && instruction.imm == FETCH_ADD {
                *instruction = bpf_insn { code: JUMP, off: 0, imm: 0, ..bpf_insn::zeroed() };
                any = true;
            }
        }
        any.then_some(code)
    }
}

/// What a program is for: its type and, for tracing programs, what it is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProgramKind {
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
    /// Only to be loaded: to learn whether it can be.
    Trial,
}

impl ProgramKind {
    /// Its type, what a tracing program is attached to (else nothing is asked), and the BTF id of that.
    fn names(self) -> (bpf_prog_type, Option<bpf_attach_type>, u32) {
        match self {
            ProgramKind::Iter(id) | ProgramKind::SleepableIter(id) => {
                (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_ITER), id)
            }
            ProgramKind::RawTracepoint(id) => (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_RAW_TP), id),
            ProgramKind::Fentry(id) => (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_FENTRY), id),
            ProgramKind::Fexit(id) => (BPF_PROG_TYPE_TRACING, Some(BPF_TRACE_FEXIT), id),
            ProgramKind::Kprobe => (BPF_PROG_TYPE_KPROBE, None, 0),
            ProgramKind::Tracepoint => (BPF_PROG_TYPE_TRACEPOINT, None, 0),
            ProgramKind::Trial => (BPF_PROG_TYPE_RAW_TRACEPOINT, None, 0),
        }
    }
}

/// How much the verifier says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Verbosity {
    /// `BPF_LOG_LEVEL1`: what it found on the way to its refusal. The kernel's own header: no generated name.
    Reasons = 1,
    /// `BPF_LOG_STATS`: how many instructions it checked. Likewise.
    Counts = 4,
}

/// Loads a program. `btf`: the types of its functions, if it names any; `log` receives what the verifier says, if not empty.
pub(super) fn prog_load(
    name: &str,
    code: &Code,
    btf: Option<BorrowedFd<'_>>,
    kind: ProgramKind,
    verbosity: Verbosity,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let (prog_type, attach_type, attach_btf_id) = kind.names();
    let count = |len: usize| u32::try_from(len).map_err(io::Error::other);
    let mut attr = bpf_attr::zeroed();
    attr.__bindgen_anon_3.prog_type = prog_type as u32;
    attr.__bindgen_anon_3.insn_cnt = count(code.instructions.len())?;
    attr.__bindgen_anon_3.insns = code.instructions.as_ptr() as u64;
    attr.__bindgen_anon_3.license = license.as_ptr() as u64;
    attr.__bindgen_anon_3.prog_flags =
        if matches!(kind, ProgramKind::SleepableIter(_)) { BPF_F_SLEEPABLE } else { 0 };
    attr.__bindgen_anon_3.prog_name = short_name(name);
    attr.__bindgen_anon_3.expected_attach_type = attach_type.map_or(0, |kind| kind as u32);
    attr.__bindgen_anon_3.prog_btf_fd = btf.map_or(Ok(0), raw)?;
    attr.__bindgen_anon_3.func_info_rec_size = code.func_info_rec_size;
    attr.__bindgen_anon_3.func_info = code.func_info.as_ptr() as u64;
    attr.__bindgen_anon_3.func_info_cnt =
        count(code.func_info.len())?.checked_div(code.func_info_rec_size).unwrap_or(0);
    attr.__bindgen_anon_3.attach_btf_id = attach_btf_id;
    if !log.is_empty() {
        attr.__bindgen_anon_3.log_level = verbosity as u32;
        attr.__bindgen_anon_3.log_size = count(log.len())?;
        attr.__bindgen_anon_3.log_buf = log.as_mut_ptr() as u64;
    }
    // SAFETY: each pointer is to as many instructions, records or bytes as the number beside it says; the licence ends with a NUL.
    unsafe { bpf_fd(BPF_PROG_LOAD, &mut attr) }
}

/// Attaches an iterator program; with a thread id, to that one thread of the reader's PID namespace.
///
/// Kernels before 6.1 know no restriction and answer EINVAL (kernel/bpf/task_iter.c:bpf_iter_attach_task).
pub(crate) fn iter_link_create(program: BorrowedFd<'_>, tid: Option<u32>) -> io::Result<OwnedFd> {
    /// `union bpf_iter_link_info`, its part for threads: not among the generated ones.
    #[repr(C)]
    struct Thread {
        tid: u32,
        pid: u32,
        pid_fd: u32,
    }
    let thread = Thread { tid: tid.unwrap_or(0), pid: 0, pid_fd: 0 };
    let mut attr = bpf_attr::zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = raw(program)?;
    attr.link_create.attach_type = BPF_TRACE_ITER as u32;
    if tid.is_some() {
        attr.link_create.__bindgen_anon_3.__bindgen_anon_1.iter_info = (&raw const thread) as u64;
        attr.link_create.__bindgen_anon_3.__bindgen_anon_1.iter_info_len =
            u32::try_from(size_of::<Thread>()).map_err(io::Error::other)?;
    }
    // SAFETY: what is pointed to, if anything, is a live struct of the length that is given.
    unsafe { bpf_fd(BPF_LINK_CREATE, &mut attr) }
}

/// Opens one walk of an attached iterator: reading it to its end runs the program on everything.
pub(crate) fn iter_create(link: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut attr = bpf_attr::zeroed();
    attr.iter_create.link_fd = raw(link)?;
    // SAFETY: there is no pointer in this command.
    unsafe { bpf_fd(BPF_ITER_CREATE, &mut attr) }
}

/// Runs a walk to its end, without a pause of ours.
pub(crate) fn iter_run(walk: BorrowedFd<'_>) -> io::Result<()> {
    iter_run_in_pieces(walk, || {})
}

/// Runs a walk to its end. The programs print nothing, so one read does it, unless it pauses (EAGAIN): the kernel does after a million objects, a program
/// that asks to be run on the same object again when it likes. `between` is called at each pause.
pub(crate) fn iter_run_in_pieces(walk: BorrowedFd<'_>, mut between: impl FnMut()) -> io::Result<()> {
    let mut nothing = [0u8; 64];
    loop {
        match rustix::io::read(walk.as_fd(), &mut nothing) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => between(),
            Err(errno) => return Err(errno.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that an atomic operation that gives back what was there is taken out, and that one that only adds, and all else, stays.
    #[test]
    fn fences_are_taken_out() {
        let of = |code, imm| bpf_insn { code, imm, ..bpf_insn::zeroed() };
        let (plain_add, exit) = (of(0xdb, 0), of(0x95, 0));
        let code = |instructions| Code { instructions, func_info: Vec::new(), func_info_rec_size: 0 };
        let without = code(vec![of(0xdb, 1), plain_add, exit, of(0xdb, 1)]).without_fences().unwrap();
        let left: Vec<(u8, i32)> = without.instructions.iter().map(|of| (of.code, of.imm)).collect();
        assert_eq!(left, [(0x05, 0), (0xdb, 0), (0x95, 0), (0x05, 0)]);
        assert!(code(vec![plain_add, exit]).without_fences().is_none());
    }
}

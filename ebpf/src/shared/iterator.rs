//! What programs on iterators have in common: their argument, their answers, their log.

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::bindings::task_struct;

/// Answer of a program on an iterator: go on to the next object.
pub const NEXT: i32 = 0;
/// Answer: run it on the same object again (kernel/bpf/bpf_iter.c:bpf_iter_run_prog). The read(2)
/// that runs it ends with EAGAIN, and the next one begins here.
pub const AGAIN: i32 = 1;

/// `PF_KTHREAD`: a kernel thread may borrow an mm, but lives in none.
pub const PF_KTHREAD: u32 = 0x0020_0000;
/// `PF_EXITING`.
pub const PF_EXITING: u32 = 4;

/// What the kernel hands to a program on `iter/task`.
#[repr(C)]
pub struct IterTask {
    meta: *const c_void,
    /// The task; null ends the walk.
    pub task: *const task_struct,
}

/// What the kernel hands to a program on `iter/task_vma`; null pointers end the walk.
#[repr(C)]
pub struct IterTaskVma {
    meta: *const c_void,
    /// The task that the mapping was found through.
    pub task: *const task_struct,
    /// The mapping (`struct vm_area_struct`).
    pub vma: *const c_void,
}

/// What the macros of aya-log want: a context, which iterators do not have.
pub struct Logger;

impl aya_ebpf::EbpfContext for Logger {
    fn as_ptr(&self) -> *mut c_void {
        ptr::null_mut()
    }
}

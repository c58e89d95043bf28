//! Summing per-CPU counters without kallsyms.
//!
//! A per-CPU pointer plus a CPU's distance is the address of that CPU's copy. The distances are measured once, on a per-CPU map of
//! our own: address of its value on that CPU minus the per-CPU pointer of its element (`bpf_array.pptrs[0]`).

use core::ffi::c_void;
use core::ptr;

use aya_ebpf::helpers::generated::{bpf_loop, bpf_map_lookup_percpu_elem};

use aioinspect_ebpf::Control;

use crate::constants::offset;
use crate::kernel::read;
use crate::maps::{CPU_OFFSETS, CPU_RULER};
use crate::reader::control;

/// Fills CPU_OFFSETS unless it is filled.
#[inline(always)]
pub fn measure(control: &mut Control) {
    if control.cpus_known != 0 {
        return;
    }
    let cpus = offset!(possible_cpus);
    // SAFETY: the callback has the signature that bpf_loop calls.
    unsafe { bpf_loop(cpus, measure_one as *mut c_void, ptr::null_mut(), 0) };
    control.cpus_known = 1;
}

/// Stores a pointer that the verifier would not let us calculate with, and reads it back as a number.
#[inline(always)]
fn as_number(control: &mut Control, pointer: *const c_void) -> u64 {
    // SAFETY: a live map value of this size; volatile, so that the compiler keeps the way through memory.
    unsafe {
        ptr::write_volatile((&raw mut control.pointer).cast::<*const c_void>(), pointer);
        ptr::read_volatile(&raw const control.pointer)
    }
}

extern "C" fn measure_one(cpu: u64, _context: *mut c_void) -> i64 {
    let Some(control) = control() else { return 1 };
    let ruler = (&raw const CPU_RULER).cast_mut().cast::<c_void>();
    let key = 0u32;
    // SAFETY: a per-CPU array and a key of its size; the kernel refuses CPUs that cannot be.
    let value = unsafe { bpf_map_lookup_percpu_elem(ruler, (&raw const key).cast(), cpu as u32) };
    if value.is_null() {
        return 1;
    }
    let here = as_number(control, value);
    let map = as_number(control, ruler);
    control.pointer = 0;
    let base: u64 = read(map, offset!(bpf_array_pptrs));
    if let Some(slot) = CPU_OFFSETS.get_ptr_mut(cpu as u32) {
        // SAFETY: a live map value.
        unsafe { *slot = here.wrapping_sub(base) };
    }
    0
}

/// Two sums over all possible CPUs, in one walk.
pub struct Sums {
    /// Per-CPU address of a `struct kioctx_cpu`.
    pub available_at: u64,
    /// Per-CPU address of a percpu_ref's counters, 0 if it has none.
    pub refs_at: u64,
    /// Sum of `kioctx_cpu.reqs_available`.
    pub available: i64,
    /// Sum of the counters.
    pub refs: i64,
}

/// Walks the CPUs. Their number is a constant to the verifier, which follows the loop turn by turn: cheaper to run than a callback.
#[inline(always)]
pub fn sum(sums: &mut Sums) {
    for cpu in 0..offset!(possible_cpus) {
        let Some(distance) = CPU_OFFSETS.get_ptr(cpu) else { return };
        // SAFETY: a live map value.
        let distance = unsafe { *distance };
        let available: u32 =
            read(sums.available_at.wrapping_add(distance), offset!(kioctx_cpu_reqs_available));
        sums.available = sums.available.wrapping_add(i64::from(available));
        if sums.refs_at != 0 {
            let refs: i64 = read(sums.refs_at.wrapping_add(distance), 0);
            sums.refs = sums.refs.wrapping_add(refs);
        }
    }
}

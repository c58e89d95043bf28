//! Summing per-CPU counters.
//!
//! A per-CPU pointer plus a CPU's distance is the address of that CPU's copy. The distances are
//! measured once, on a per-CPU map of our own: address of its value on that CPU minus the per-CPU
//! pointer of its element (`bpf_array.pptrs[0]`). A kernel before 5.19 shows a program the value of
//! the CPU it runs on alone: userspace then runs it on one CPU after the other.

use aioinspect_ebpf::shared::value::Value;
use core::ffi::c_void;

use aioinspect_ebpf::{Control, Place, number, place, way};
use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_map_lookup_percpu_elem};

use crate::control::control;
use crate::maps::{CPU_OFFSETS, CPU_RULER, CREDITS};
use aioinspect_ebpf::constants::has;
use aioinspect_ebpf::shared::here::read_here;
use aioinspect_ebpf::shared::memory::{read, read_8};
use aioinspect_ebpf::shared::pointer::as_number;

/// CPUs that one run measures at most.
const MEASURED_AT_ONCE: u32 = 8;
/// CPUs that are summed in one go.
pub const SUMMED_AT_ONCE: u32 = 16;

/// Fills CPU_OFFSETS, some CPUs a run; false: it is to be run again.
#[inline(always)]
pub fn measure(control: Value<Control>) -> bool {
    if control.cpus_known().get() >= control.possible_cpus().get() {
        return true;
    }
    for _ in 0..MEASURED_AT_ONCE {
        if measure_next() != 0 {
            return true;
        }
    }
    false
}

/// Measures one CPU more; 1: there are no others.
// SAFETY: nobody else has a function of this name. The verifier checks it once, not at each turn of
// a loop over it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn measure_next() -> u32 {
    let Some(control) = control() else { return 1 };
    let cpu = control.cpus_known().get();
    if cpu >= control.possible_cpus().get() {
        return 1;
    }
    let distance = if number!(per_cpu_offset_at) != 0 {
        read_8(number!(per_cpu_offset_at).wrapping_add(u64::from(cpu).wrapping_mul(8)))
    } else if has(way::EVERY_CPU) {
        distance_of(cpu, control)
    } else {
        // Measured CPU by CPU before, as far as that goes.
        return 1;
    };
    store(cpu, distance);
    control.cpus_known().set(cpu.wrapping_add(1));
    u32::from(control.cpus_known().get() >= control.possible_cpus().get())
}

/// Measures the CPU that it runs on.
#[inline(always)]
pub fn measure_this(control: Value<Control>) {
    let Some(value) = CPU_RULER.get_ptr(0) else { return };
    let here = as_number(control.pointer(), value);
    let distance = here.wrapping_sub(base(control));
    // SAFETY: always allowed.
    let cpu = unsafe { bpf_get_smp_processor_id() } as u32;
    store(cpu, distance);
}

#[inline(always)]
fn store(cpu: u32, distance: u64) {
    if let Some(place) = Value::of(&CPU_OFFSETS, cpu) {
        place.set(distance);
    }
}

/// The per-CPU pointer of our own variable.
#[inline(always)]
fn base(control: Value<Control>) -> u64 {
    let map = as_number(control.pointer(), &raw const CPU_RULER);
    read(map, place!(bpf_array_pptrs))
}

#[inline(always)]
fn distance_of(cpu: u32, control: Value<Control>) -> u64 {
    let ruler = (&raw const CPU_RULER).cast_mut().cast::<c_void>();
    let key = 0u32;
    // SAFETY: a per-CPU array and a key of its size; the kernel refuses CPUs that cannot be.
    let value = unsafe { bpf_map_lookup_percpu_elem(ruler, (&raw const key).cast(), cpu) };
    if value.is_null() {
        return 0;
    }
    let here = as_number(control.pointer(), value);
    here.wrapping_sub(base(control))
}

/// Adds some CPUs to the sums of a context, from the cursor on; 1: that was the last of them.
///
/// `available_at`: per-CPU address of a `struct kioctx_cpu`; `refs_at`: of a percpu_ref's counters,
/// 0 if it has none.
// SAFETY: nobody else has a function of this name. The verifier checks it once, whoever calls it.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_some_cpus(available_at: u64, refs_at: u64) -> u32 {
    for _ in 0..SUMMED_AT_ONCE {
        if sum_next_cpu(available_at, refs_at) != 0 {
            return 1;
        }
    }
    0
}

/// Adds one CPU; 1: that was the last.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn sum_next_cpu(available_at: u64, refs_at: u64) -> u32 {
    let Some(control) = control() else { return 1 };
    let cpu = control.walk_cpu().get();
    if cpu >= control.possible_cpus().get() {
        return 1;
    }
    control.walk_cpu().set(cpu.wrapping_add(1));
    let Some(distance) = Value::of(&CPU_OFFSETS, cpu) else { return 1 };
    let distance = distance.get();
    let available = read_here(available_at.wrapping_add(distance), place!(kioctx_cpu_reqs_available));
    control.walk_available().set(control.walk_available().get().wrapping_add(available.cast_signed()));
    if control.walk_short().get() != 0 && available != 0 {
        let position = control.credits().count();
        if let Some(record) = Value::of(&CREDITS, position) {
            record.cpu().set(cpu);
            record.credits().set(available as u32);
        }
    }
    if refs_at != 0 {
        let refs = read_here(refs_at.wrapping_add(distance), Place::whole(0, 8)).cast_signed();
        control.walk_refs().set(control.walk_refs().get().wrapping_add(refs));
    }
    u32::from(control.walk_cpu().get() >= control.possible_cpus().get())
}

/// The same, true for the last of them.
#[inline(always)]
pub fn sum(available_at: u64, refs_at: u64) -> bool {
    sum_some_cpus(available_at, refs_at) != 0
}

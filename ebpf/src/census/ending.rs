//! The contexts of an address space that ends, by what is left of it: its mappings.
//!
//! exit and exec empty the table of contexts, wait, and unmap last (kernel/fork.c:__mmput). So
//! while they wait each ring that was mapped still is, and its file leads to its context
//! (fs/aio.c:aio_private_file; an inode of its own kind, aio_inode_info, in newer kernels). No task
//! has that mm any more, and no iterator walks it: its mappings are walked here, a list before 6.1
//! and a maple tree since (lib/maple_tree.c).

use aioinspect_ebpf::shared::value::Value;
use aioinspect_ebpf::{Control, Place, place};

use crate::context::report_context;
use crate::control::control;
use crate::dying::dying_at;
use crate::maps::{CONTEXTS, LEVELS, TREE};
use crate::stack::{self, is_on_stack};
use aioinspect_ebpf::shared::here::read_here;
use aioinspect_ebpf::shared::memory::read;

/// Steps in one run of the program: rows of so many.
const ROWS: u32 = 32;
const ROW: u32 = 32;
/// After so many steps the walk is given up: more than `vm.max_map_count` allows mappings, several
/// times over.
const STEPS_AT_MOST: u32 = 1 << 20;

/// Nodes are aligned to this many bytes; the bits below it are free (MAPLE_NODE_MASK).
const NODE_MASK: u64 = 0xff;
/// A level of TREE: the slot that is next.
const SLOT: u64 = 0x3f;
/// A level of TREE: its slots hold mappings, not nodes.
const LEAF: u64 = 0x80;
/// A level of TREE: the node also keeps gaps (maple_arange_64).
const GAPS: u64 = 0x40;
/// Bits of a pointer to a node that say what it is (mte_node_type), and two of the kinds: those up
/// to the first are leaves.
const KIND_SHIFT: u32 = 3;
const KIND_MASK: u64 = 0xf;
const KIND_LEAF: u64 = 1;
const KIND_GAPS: u64 = 3;

/// The number itself if it is the address of an mm that nobody uses any more and that still has a
/// context table, for which a thread with this stack is in exit_aio; else 0.
///
/// A table has 4, 16, 64, .. places (fs/aio.c:ioctx_add_table). It is freed when the wait is over
/// (fs/aio.c:exit_aio), so the stack keeps its address too: that of the mm alone may have been left
/// there by another's exit.
// SAFETY: nobody else has functions of these names. The verifier checks each of them once.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn ending_at(mm: u64, stack: u64) -> u64 {
    if !is_kernel(mm) || mm & 63 != 0 || stack::holds(stack, mm) || !place!(mm_users).is_present() {
        return 0;
    }
    let table = read_here(mm, place!(mm_ioctx_table));
    if !is_kernel(table) || table & 7 != 0 || read_here(mm, place!(mm_users)) != 0 {
        return 0;
    }
    let places = read_here(table, place!(table_nr));
    let power_of_four = places & places.wrapping_sub(1) == 0 && places & 0x5555_5554 != 0;
    if power_of_four && is_on_stack(stack, table) != 0 { mm } else { 0 }
}

/// Whether the number is an address of the kernel's.
#[inline(always)]
fn is_kernel(address: u64) -> bool {
    address.cast_signed() < 0
}

/// Begins with the mappings of the mm that was found.
#[inline(always)]
pub fn begin(control: Value<Control>) {
    let mm = control.walk_ending().get();
    control.walk_mapping().set(0);
    control.walk_depth().set(0);
    control.walk_steps().set(0);
    if mm == 0 {
        return;
    }
    if place!(mm_mmap).is_present() && place!(vma_next).is_present() {
        control.walk_mapping().set(read(mm, place!(mm_mmap)));
    } else if place!(mm_tree_root).is_present() {
        push(control, read(mm, place!(mm_tree_root)));
    }
}

/// Goes into a node; what is none is passed over.
#[inline(always)]
fn push(control: Value<Control>, entry: u64) {
    let kind = entry >> KIND_SHIFT & KIND_MASK;
    // The bit 1 is set in every pointer to a node (xa_is_node), or taken from it for what lies
    // below the root.
    if !is_kernel(entry) || control.walk_depth().get() >= LEVELS || entry & NODE_MASK == 0 {
        return;
    }
    let bits = if kind <= KIND_LEAF {
        LEAF
    } else if kind == KIND_GAPS {
        GAPS
    } else {
        0
    };
    if let Some(level) = Value::of(&TREE, control.walk_depth().get()) {
        level.set(entry & !NODE_MASK | bits);
        control.walk_depth().count();
    }
}

/// Takes some steps; true: that was the last mapping. `stack`: of the thread that waits.
#[inline(always)]
pub fn walk(stack: u64) -> bool {
    for _ in 0..ROWS {
        if walk_row(stack) != 0 {
            return control().is_some_and(|control| control.is_full().get() == 0);
        }
    }
    false
}

/// A row of steps; 1: there are no more.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn walk_row(stack: u64) -> u32 {
    for _ in 0..ROW {
        if step_to_mapping(stack) != 0 {
            return 1;
        }
    }
    0
}

/// One step; 1: there are no more, or no room.
// SAFETY: as above.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn step_to_mapping(stack: u64) -> u32 {
    let Some(control) = control() else { return 1 };
    if CONTEXTS.get_ptr(control.contexts().get()).is_none() {
        control.is_full().set(1);
        return 1;
    }
    if control.walk_mapping().get() != 0 {
        // Of a context with many CPUs a part is summed: the same mapping once more.
        if report_ring(control.walk_mapping().get(), stack) != 0 {
            let in_list = control.walk_depth().get() == 0;
            let next = if in_list { read(control.walk_mapping().get(), place!(vma_next)) } else { 0 };
            control.walk_mapping().set(next);
        }
        return 0;
    }
    if control.walk_depth().get() == 0 || control.walk_steps().get() >= STEPS_AT_MOST {
        return 1;
    }
    control.walk_steps().count();
    step_through_tree(control);
    0
}

/// One slot of the tree: a mapping is kept for the next step, a node is gone into, at a node's end
/// the walk goes back.
#[inline(always)]
fn step_through_tree(control: Value<Control>) {
    let depth = control.walk_depth().get().wrapping_sub(1);
    let Some(level) = Value::of(&TREE, depth) else {
        control.walk_depth().set(0);
        return;
    };
    let at = level.get();
    let slots = if at & GAPS != 0 { place!(arange_slots) } else { place!(range_slots) };
    // A pivot less than slots, and the parent, lie before them.
    let (first, count) = (u64::from(slots.offset()), u64::from(slots.offset()) / 8);
    let slot = at & SLOT;
    if slot >= count {
        control.walk_depth().set(depth);
        return;
    }
    level.set(at.wrapping_add(1));
    let node = at & !NODE_MASK;
    let entry = read_here(node.wrapping_add(first).wrapping_add(slot.wrapping_mul(8)), Place::whole(0, 8));
    if at & LEAF == 0 {
        push(control, entry);
    } else if is_kernel(entry) && entry & 7 == 0 {
        control.walk_mapping().set(entry);
    }
}

/// Reports the context whose ring a mapping is, if a thread with this stack waits for it; 0: once
/// more.
#[inline(always)]
fn report_ring(vma: u64, stack: u64) -> u32 {
    let file: u64 = read(vma, place!(vma_file));
    if file == 0 {
        return 1;
    }
    let of_file: u64 = if place!(aio_inode_ctx).is_present() {
        // The inode is the first member of its aio_inode_info.
        read(read(file, place!(file_inode)), place!(aio_inode_ctx))
    } else {
        read(read(file, place!(file_mapping)), place!(mapping_private))
    };
    let kioctx = dying_at(of_file, stack, 0);
    if kioctx == 0 {
        return 1;
    }
    let Some(control) = control() else { return 1 };
    control.walk_first().set(kioctx);
    control.walk_table().set(read(kioctx, place!(kioctx_rq_wait)));
    let done = report_context(kioctx);
    if done != 0 {
        control.walk_cpu().set(0);
    }
    done
}

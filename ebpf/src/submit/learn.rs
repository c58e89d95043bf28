//! The program `learn`: an iterator that whoever reads runs once, so that the others number
//! processes as the reader does.

use aioinspect_ebpf::shared::cgroups;
use aioinspect_ebpf::shared::iterator::{IterTask, Logger, NEXT};
use aioinspect_ebpf::shared::who::Reader;
use aya_log_ebpf::debug;

use crate::maps::control;

// SAFETY: the section names the hook, the symbol is this program's own.
#[unsafe(link_section = "iter/task")]
#[unsafe(no_mangle)]
extern "C" fn learn(iter: *const IterTask) -> i32 {
    let Some(control) = control() else { return NEXT };
    // SAFETY: the kernel hands a valid context to every run.
    if unsafe { (*iter).task }.is_null() {
        let level_plus_one = control.level_plus_one().get();
        debug!(&Logger, "learn: the reader's level plus one is {}", level_plus_one);
        return NEXT;
    }
    if control.level_plus_one().get() != 0 {
        return NEXT;
    }
    let reader = Reader::current();
    control.reader_ns().set(reader.ns);
    control.reader_cgroups().set(cgroups::root_of_reader());
    control.level_plus_one().set(reader.level_plus_one);
    NEXT
}

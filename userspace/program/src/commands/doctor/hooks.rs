//! What `doctor` tries of what `watch` needs: tracefs, and each hook, with what it costs on this host.

use crate::commands::doctor::outcome::{Outcome, check};
use crate::commands::exit::Exit;
use aioinspect_kernel::bpf::tracefs::Tracefs;
use aioinspect_kernel::host::syscall_cost::SyscallCost;
use aioinspect_kernel::trace::hook::Hook;
use aioinspect_kernel::trace::tracer::{Sizes, Tracer};
use aioinspect_render::doctor::{Check, Status};

/// All of them. `dump` needs none. `works`: whether the probe loaded; what hinders that is said there.
pub(super) fn all(works: bool) -> Vec<Outcome> {
    let mut found = vec![tracefs()];
    let mut first = true;
    for hook in Hook::ALL {
        found.push(one(hook, works, &mut first));
    }
    found
}

fn tracefs() -> Outcome {
    // That it opens does not mean that it may be read.
    let opened = Tracefs::open().and_then(|tracefs| {
        tracefs.id("syscalls", "sys_enter_io_setup")?;
        Ok(tracefs)
    });
    let found = match opened {
        Ok(tracefs) => {
            let detail = tracefs.mounted_at().map_or_else(
                || "not mounted; a private instance is used and not mounted anywhere".to_owned(),
                |place| place.display().to_string(),
            );
            check("tracefs", Status::Present, detail)
        }
        Err(error) => Check {
            fix: error.fix(),
            ..check("tracefs", Status::Limited, format!("{}; watch works without it", error.cause()))
        },
    };
    (found, Exit::Lacks)
}

/// Attaches the hook for a moment, and measures what it makes of a system call that does nothing.
fn one(hook: Hook, works: bool, first: &mut bool) -> Outcome {
    let name = format!("watch with {}", hook.name());
    let before = SyscallCost::measure();
    let started = Tracer::start(Sizes { buffer: 4096, ..Sizes::of(1) }, Some(hook), None, 0, &mut Vec::new());
    let found = match started {
        Ok(_attached) => {
            let after = SyscallCost::measure();
            let used = if std::mem::take(first) { "; this one is used" } else { "" };
            let detail = format!(
                "{}: an empty system call takes {} ns, {} ns without{used}",
                hook.cost(),
                after.nanoseconds(),
                before.nanoseconds()
            );
            check(&name, Status::Present, detail)
        }
        Err(error) => {
            Check { fix: error.fix().filter(|_| works), ..check(&name, Status::Limited, error.cause()) }
        }
    };
    (found, Exit::Lacks)
}

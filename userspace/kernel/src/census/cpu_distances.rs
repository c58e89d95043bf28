//! How far each CPU's memory lies from a per-CPU pointer, on kernels that do not show a program the memory of other CPUs (before 5.19).

use std::fs::File;
use std::io::{BufRead, BufReader};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Runs `act` on one possible CPU after the other; how many of them it ran on. One that is offline, or that our cpuset does not have, is left out.
pub(crate) fn on_each_cpu(
    possible_cpus: u32,
    mut act: impl FnMut() -> std::io::Result<()>,
) -> std::io::Result<u32> {
    let before = sched_getaffinity(None)?;
    let mut visited = 0;
    let mut done = Ok(());
    for cpu in 0..possible_cpus.min(CpuSet::MAX_CPU.try_into().unwrap_or(u32::MAX)) {
        let mut one = CpuSet::new();
        one.set(usize::try_from(cpu).unwrap_or(0));
        if sched_setaffinity(None, &one).is_err() {
            continue;
        }
        done = act();
        if done.is_err() {
            break;
        }
        visited += 1;
    }
    sched_setaffinity(None, &before)?;
    done.map(|()| visited)
}

/// The address of the kernel's array of these distances, by /proc/kallsyms, which shows addresses to the privileged.
pub(crate) fn per_cpu_offset_at() -> Option<u64> {
    per_cpu_offset_in(BufReader::new(File::open("/proc/kallsyms").ok()?))
}

fn per_cpu_offset_in(symbols: impl BufRead) -> Option<u64> {
    for line in symbols.split(b'\n') {
        let line = line.ok()?;
        if !line.ends_with(b" __per_cpu_offset") {
            continue;
        }
        let address = line.split(|byte| *byte == b' ').next()?;
        let address = u64::from_str_radix(std::str::from_utf8(address).ok()?, 16).ok()?;
        return (address != 0).then_some(address);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the symbol is found by its whole name, and that an address that is hidden is none.
    #[test]
    fn finds_the_symbol() {
        let text = "ffffffff81000000 T _text\nffffffff82a0c0e0 r __ksymtab___per_cpu_offset\nffffffff8265b0a0 D __per_cpu_offset\n";
        assert_eq!(per_cpu_offset_in(text.as_bytes()), Some(0xffff_ffff_8265_b0a0));
        assert_eq!(per_cpu_offset_in(&b"0000000000000000 D __per_cpu_offset\n"[..]), None);
        assert_eq!(per_cpu_offset_in(&b"zz D __per_cpu_offset\n"[..]), None);
        assert_eq!(per_cpu_offset_in(&b"ffffffff81000000 T _text\n"[..]), None);
    }

    /// Check that each CPU that can be run on is, and that our affinity is as before.
    #[test]
    fn visits_each() {
        let before = sched_getaffinity(None).unwrap();
        let mut seen = Vec::new();
        let visited = on_each_cpu(4096, || {
            seen.push(rustix::thread::sched_getcpu());
            Ok(())
        })
        .unwrap();
        assert_eq!(usize::try_from(visited).unwrap(), seen.len());
        assert_eq!(seen.len(), usize::try_from(before.count()).unwrap());
        assert!(seen.is_sorted_by(|a, b| a < b));
        assert!(sched_getaffinity(None).unwrap() == before);
        assert!(on_each_cpu(1, || Err(std::io::Error::other("no"))).is_err());
        assert!(sched_getaffinity(None).unwrap() == before);
    }
}

//! Facts of the host as a whole.

use std::io;

use crate::model::witness::SystemFacts;

/// Reads the facts of the host now.
pub fn facts() -> io::Result<SystemFacts> {
    let (aio_nr, aio_max_nr) = slots()?;
    Ok(SystemFacts {
        aio_nr,
        aio_max_nr,
        possible_cpus: possible_cpus()?,
        page_size: u32::try_from(rustix::param::page_size()).map_err(io::Error::other)?,
        kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at_unix_ns: super::clock::unix_now(),
    })
}

/// `fs.aio-nr` and `fs.aio-max-nr` alone: two small reads, for who asks again and again.
pub fn slots() -> io::Result<(u64, u64)> {
    Ok((number("/proc/sys/fs/aio-nr")?, number("/proc/sys/fs/aio-max-nr")?))
}

/// Bytes of memory that the host has.
pub fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(info.mem_unit.into())
}

/// Number of CPUs this kernel can ever have (`num_possible_cpus`), which sizes every ring.
pub fn possible_cpus() -> io::Result<u32> {
    const PATH: &str = "/sys/devices/system/cpu/possible";
    let text = std::fs::read_to_string(PATH).map_err(|error| at(PATH, &error))?;
    count_in_list(text.trim()).ok_or_else(|| invalid(PATH, &text))
}

fn number(path: &str) -> io::Result<u64> {
    let text = std::fs::read_to_string(path).map_err(|error| at(path, &error))?;
    text.trim().parse().map_err(|_| invalid(path, &text))
}

fn at(path: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("cannot read {path}: {error}"))
}

fn invalid(path: &str, text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} holds {:?}", text.trim()))
}

/// How many numbers a list such as `0-3,8` names (lib/bitmap-str.c:bitmap_parselist without strides); ascending, as the kernel prints it.
fn count_in_list(text: &str) -> Option<u32> {
    let mut count = 0_u32;
    let mut next = 0_u32;
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        if first < next || last < first {
            return None;
        }
        next = last.checked_add(1)?;
        count = count.checked_add(next.checked_sub(first)?)?;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Check lists as kernels print them, and that others are refused.
    #[test]
    fn lists() {
        for (list, count) in [("0", 1), ("0-1", 2), ("0-3,8", 5), ("0,2,4-5", 4), ("0-8191", 8192)] {
            assert_eq!(count_in_list(list), Some(count), "{list}");
        }
        for list in ["", "a", "3-1", "0-", "0,0", "0-3,2", "0-4294967295", "-1", "1,,2"] {
            assert_eq!(count_in_list(list), None, "{list}");
        }
    }

    /// Check that this host's facts make sense and can be read without privileges.
    #[test]
    fn this_host() {
        let facts = facts().unwrap();
        assert!(facts.possible_cpus as usize >= std::thread::available_parallelism().unwrap().get());
        assert!(facts.page_size.is_power_of_two());
        assert!(facts.aio_max_nr > 0);
        assert!(!facts.kernel_release.is_empty());
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        assert_eq!(total.map(|kib| kib * 1024), Some(memory()));
    }

    proptest! {
        /// Check that any text is counted or refused, never a panic.
        #[test]
        fn any_text(text in "[0-9,-]{0,40}") {
            count_in_list(&text);
        }
    }
}

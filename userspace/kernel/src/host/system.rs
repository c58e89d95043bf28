//! Facts of the host as a whole.

use std::io;

use aioinspect_model::architecture::Architecture;
use aioinspect_model::cpus::CpuSet;
use aioinspect_model::evidence::SystemFacts;

use crate::host::page::page_size;

/// Reads the facts of the host now.
pub fn facts() -> io::Result<SystemFacts> {
    let (aio_nr, aio_max_nr) = slots()?;
    Ok(SystemFacts {
        aio_nr,
        aio_max_nr,
        possible_cpus: possible_cpus()?,
        page_size: page_size(),
        kernel_release: rustix::system::uname().release().to_string_lossy().into_owned(),
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        taken_at_unix_ns: crate::host::clock::unix_now(),
        online_cpus: cpus("/sys/devices/system/cpu/online")?,
        architecture: Some(Architecture::HERE),
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
    Ok(cpus("/sys/devices/system/cpu/possible")?.count())
}

fn cpus(path: &str) -> io::Result<CpuSet> {
    let text = std::fs::read_to_string(path).map_err(|error| at(path, &error))?;
    CpuSet::parse(&text).ok_or_else(|| invalid(path, &text))
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that this host's facts make sense and can be read without privileges.
    #[test]
    fn this_host() {
        let facts = facts().unwrap();
        assert!(facts.possible_cpus as usize >= std::thread::available_parallelism().unwrap().get());
        let online = facts.online_cpus.count();
        assert!((1..=facts.possible_cpus).contains(&online), "{online}");
        assert!(facts.page_size.is_power_of_two());
        assert!(facts.aio_max_nr > 0);
        assert!(!facts.kernel_release.is_empty());
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap();
        let total = meminfo.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
        assert_eq!(total.map(|kib| kib * 1024), Some(memory()));
    }
}

//! What the eBPF programs have to say, under `-v`: aya-log's records go to the `log` crate.

use super::probe::Probe;

/// Hands on every record that waits. Finding the log by the program's id needs CAP_SYS_ADMIN.
pub fn drain(probe: &Probe) -> Result<(), String> {
    let id = probe.program_id().map_err(|error| error.to_string())?;
    let mut logger = aya_log::EbpfLogger::init_from_id(id).map_err(|error| error.to_string())?;
    logger.flush();
    Ok(())
}

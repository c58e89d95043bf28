//! What the eBPF programs have to say, under `-v`: aya-log's records go to the `log` crate.

use crate::census::probe::Probe;

/// The log of a program, opened while there are privileges for it, to be read when there are none.
pub struct OpenLog(aya_log::EbpfLogger<&'static dyn log::Log>);

impl OpenLog {
    /// Opens the log of the program with that id. Finding it needs CAP_SYS_ADMIN.
    pub fn of(program: u32) -> Result<Self, String> {
        aya_log::EbpfLogger::init_from_id(program).map(Self).map_err(|error| error.to_string())
    }

    /// Hands on every record that waits.
    pub fn drain(&mut self) {
        self.0.flush();
    }
}

/// Hands on every record that waits. Finding the log by the program's id needs CAP_SYS_ADMIN.
pub fn drain(probe: &Probe) -> Result<(), String> {
    let id = probe.program_id().map_err(|error| error.to_string())?;
    let mut logger = aya_log::EbpfLogger::init_from_id(id).map_err(|error| error.to_string())?;
    logger.flush();
    Ok(())
}

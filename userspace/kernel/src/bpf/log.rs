//! What the eBPF programs have to say, under `-v`: aya-log's records go to the `log` crate.

/// The log of a program, opened while there are privileges for it, to be read when there are none.
pub(crate) struct OpenLog(aya_log::EbpfLogger<&'static dyn log::Log>);

impl OpenLog {
    /// Opens the log of the program with that id. Finding it needs CAP_SYS_ADMIN.
    pub(crate) fn of(program: u32) -> Result<Self, String> {
        aya_log::EbpfLogger::init_from_id(program).map(Self).map_err(|error| error.to_string())
    }

    /// Hands on every record that waits.
    pub(crate) fn drain(&mut self) {
        self.0.flush();
    }
}

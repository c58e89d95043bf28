//! Options of the verbs that work on CRIU's images and on evidence files.

use std::path::PathBuf;

use clap::Args;

use aioinspect_model::restore_fit::RestoreHost;

use super::with_exit_codes;
use crate::cli::restore_on::restore_on;

/// How it is done, and what is refused.
pub(super) const AMEND_HELP: &str = with_exit_codes!(
    "\
CRIU guesses nr_req from the length of a ring: the largest number that makes it, so that 16 contexts of io_setup(16) reserve 992 slots after a \
restore instead of 256; and it makes a context of every ring that a fork copied. amend writes the smallest nr_req that is at least the kernel's max_reqs and makes \
the same ring, and drops the rings that have no context. Every other byte of the images stays, also what this version does not know.

All images are refused, with exit 5 and no file changed, if one does not match its evidence: no such process, a ring that the evidence \
does not have or has in another length, other addresses of the program, or requests in flight.

Each image is at every moment the old or the new one, whole. All new ones are on the disk before the first takes its name. If amend \
is killed after that, some may be new and some old: run it again. What is right already is not written again (exit 0).

"
);

/// Options of `amend`.
#[derive(Args, Clone, Debug)]
pub struct AmendArgs {
    /// CRIU's image directory, of one process or of a tree. Of a series of pre-dumps the last, which has
    /// the mm-*.img.
    #[arg(value_name = "DIR")]
    pub dir: PathBuf,
    /// Evidence of the processes, as `dump`, `check --evidence` and `criu-hook` write it. May be repeated.
    /// Default: DIR/aioinspect.evidence, else each DIR/aioinspect-PID.evidence.
    #[arg(long, value_name = "FILE")]
    pub evidence: Vec<PathBuf>,
    /// Show in a table what would change. Write nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// Choose nr_req for a restore on a host with this many possible CPUs. Default: the host of the evidence.
    /// Exit 5 if a ring cannot be made there or more than M slots are needed.
    #[arg(long, value_name = "cpus=N[,free=M]", value_parser = restore_on)]
    pub restore_on: Option<RestoreHost>,
    /// Print JSON.
    #[arg(short = 'J', long)]
    pub json: bool,
}

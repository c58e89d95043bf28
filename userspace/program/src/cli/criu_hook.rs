//! Options of `criu-hook`. CRIU starts a script without arguments, so each can come by environment.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;

use super::with_exit_codes;
use crate::cli::{duration, pid};

/// How it is used, and what it does at each step.
pub(super) const HOOK_HELP: &str = with_exit_codes!(
    "\
Use it by `criu dump .. --action-script /usr/libexec/aioinspect/criu-hook`, and the same at `criu restore`. CRIU starts the script without \
arguments: set AIOINSPECT_DRAIN, AIOINSPECT_WAIT and AIOINSPECT_STRICT in CRIU's environment. A step that fails makes CRIU give up the dump, and the \
processes run on.

pre-dump: refuses what can never be dumped, before anybody is stopped. network-lock: all processes are stopped; waits until their requests have \
completed. post-dump: verifies again, writes aioinspect.evidence and corrects aios in the images. pre-restore: will it restore on this host? \
post-restore: are the contexts as they were?

CRIU has the step network-lock only for processes with a network namespace of their own, as containers have. For others freeze their control group \
first and give it to CRIU by --freeze-cgroup: then the requests are waited for at pre-dump. Without either, requests in flight are refused.

"
);

/// Options of `criu-hook`.
#[derive(Args, Clone, Debug)]
pub struct CriuHookArgs {
    /// When CRIU holds all processes: wait at most this long until no request is in flight.
    #[arg(long, value_name = "TIME", env = "AIOINSPECT_DRAIN", default_value = "10s", value_parser = duration)]
    pub drain: Duration,
    /// Before CRIU stops anybody: wait at most this long until all processes are idle by themselves.
    #[arg(long, value_name = "TIME", env = "AIOINSPECT_WAIT", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Refuse processes that use asynchronous I/O which aioinspect does not examine: io_uring, or POSIX
    /// AIO as far as it can be detected.
    #[arg(long, env = "AIOINSPECT_STRICT", value_parser = FalseyValueParser::new())]
    pub strict: bool,
    #[arg(long, hide = true, env = "CRTOOLS_SCRIPT_ACTION")]
    /// The step CRIU is at.
    pub action: Option<String>,
    #[arg(long, hide = true, env = "CRTOOLS_INIT_PID", value_parser = pid)]
    /// The root of the tree, as CRIU sees it.
    pub root: Option<u32>,
    #[arg(long, hide = true, env = "CRTOOLS_IMAGE_DIR")]
    /// The directory of the images.
    pub images_dir: Option<PathBuf>,
}

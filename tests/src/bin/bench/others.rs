//! The rivals that people call first: both show who maps a ring, as one of all open and mapped files, and count nothing.

use crate::spawned::{Spawned, spawn_and_measure};

/// `lsfd` of util-linux.
pub(crate) fn lsfd() -> anyhow::Result<Spawned> {
    spawn_and_measure(&["lsfd".into()], &[0])
}

/// `lsof`, which is not to look up names of hosts and ports. 1: it could not look at something.
pub(crate) fn lsof() -> anyhow::Result<Spawned> {
    spawn_and_measure(&["lsof".into(), "-nP".into()], &[0, 1])
}

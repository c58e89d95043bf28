//! Whether the mappings that were planned with are still the same when the headers are read.
//!
//! Three ways, the cheapest that the kernel has: `mm->mm_lock_seq`, which moves whenever anyone takes the mmap lock for writing, so that
//! one number vouches for every mapping; PROCMAP_QUERY for each ring (6.11); reading maps again, raw, and parsing it later.

use std::fs::File;
use std::os::fd::AsFd;

use crate::look::evidence_source::SourceError;
use crate::look::preparation::Subject;
use crate::proc::map_query::{QueryError, query_exact};
use aioinspect_model::evidence::{MappingSource, RingMapping};
use aioinspect_parse::proc::smaps::{parse_rings, ring_mappings};

/// Room for mappings that appear between planning and checking; more of them is an answer too.
const SLACK: usize = 64 * 1024;

enum Way {
    LockSeq(u32),
    Query { maps: File, found: Vec<Option<RingMapping>> },
    Reread { maps: File, text: Vec<u8>, whole: bool },
}

/// A planned check.
pub(super) struct Recheck {
    way: Way,
    planned: Vec<RingMapping>,
}

impl Recheck {
    /// Plans a check of `subject`'s rings. `lock_seq` must have been read before the mappings were, to vouch for them; `None`: look at
    /// the mappings themselves.
    pub(super) fn plan(subject: &Subject, lock_seq: Option<u32>) -> Result<Self, SourceError> {
        let planned = subject.mappings.clone();
        if let Some(lock_seq) = lock_seq {
            return Ok(Self { way: Way::LockSeq(lock_seq), planned });
        }
        let maps = subject.dir.open_maps()?;
        let way = match query_exact(maps.as_fd(), 0) {
            Err(QueryError::Unsupported) => {
                // A line of maps is at most its fixed part and the name.
                let room = subject
                    .vmas
                    .iter()
                    .fold(SLACK, |sum, vma| sum.saturating_add(vma.name.len().saturating_add(80)));
                Way::Reread { maps, text: vec![0; room], whole: false }
            }
            Ok(_) | Err(QueryError::Gone | QueryError::Failed(_)) => {
                Way::Query { maps, found: vec![None; planned.len()] }
            }
        };
        Ok(Self { way, planned })
    }

    /// Looks. Allocates nothing.
    pub(super) fn run(&mut self) {
        match &mut self.way {
            Way::LockSeq(_) => {}
            Way::Query { maps, found } => {
                for (ring, found) in self.planned.iter().zip(found) {
                    *found = query_exact(maps.as_fd(), ring.start).ok().flatten().map(|answer| RingMapping {
                        start: answer.start,
                        end: answer.end,
                        offset: answer.offset,
                        inode: answer.inode,
                        perms: answer.perms,
                        source: MappingSource::Smaps,
                    });
                }
            }
            Way::Reread { maps, text, whole } => *whole = read_whole(maps, text),
        }
    }

    /// Whether the mappings are the planned ones. `lock_seq`: from a census that was taken while the headers could not change.
    pub(super) fn holds(&self, lock_seq: Option<u32>) -> bool {
        match &self.way {
            Way::LockSeq(planned) => lock_seq == Some(*planned),
            Way::Query { found, .. } => self.planned.iter().map(|ring| Some(*ring)).eq(found.iter().copied()),
            Way::Reread { text, whole, .. } => *whole && self.same_as(text),
        }
    }

    fn same_as(&self, text: &[u8]) -> bool {
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        let rings = text.get(..end).and_then(|text| parse_rings(text).ok());
        // The text is of candidates; those that the plan found to be no rings are not looked for.
        rings.is_some_and(|rings| {
            let now = ring_mappings(&rings);
            self.planned.iter().all(|ring| now.contains(ring)) && now.len() >= self.planned.len()
        })
    }
}

/// Reads to the end of the file; false if there is more than fits, or it cannot be read. What follows the text is zeroed.
fn read_whole(maps: &File, text: &mut [u8]) -> bool {
    let mut at = 0_usize;
    loop {
        let Some(room) = text.get_mut(at..) else { return false };
        if room.is_empty() {
            return false;
        }
        match rustix::io::pread(maps, &mut *room, at as u64) {
            Ok(0) => {
                if let Some(first) = room.first_mut() {
                    *first = 0;
                }
                return true;
            }
            Ok(read) => at = at.saturating_add(read),
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

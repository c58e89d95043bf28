//! One context as the fixture knows it: by counting what it did, not by believing the ring.

use aioinspect_tests::truth::{ContextTruth, StrandTruth};

use crate::failure::Failure;
use crate::memory::{self, page};
use crate::polls::Poll;

/// Bytes of the ring's header (`struct aio_ring`), and of each entry behind it.
const ENTRY: u64 = 32;

/// The header's words, in their order.
pub(crate) const FIELDS: [&str; 8] =
    ["id", "nr", "head", "tail", "magic", "compat", "incompat", "header_length"];

/// How one page of a ring is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// As io_setup maps it.
    ReadWrite,
    /// After `mprotect ro`.
    ReadOnly,
    /// After `mprotect none`.
    None,
    /// After `munmap`.
    Gone,
}

/// A header word that somebody other than the kernel wrote.
#[derive(Clone, Debug)]
pub(crate) struct Forged {
    /// Name of the field, as commands give it.
    pub field: &'static str,
    /// What it says now.
    pub value: u32,
    /// What it said before; `head` and `tail` are counted instead.
    pub original: u32,
}

/// A living context.
#[derive(Debug)]
pub(crate) struct Context {
    /// Its ordinal, `#0` for the first: stays when the id moves.
    pub handle: u32,
    /// `user_id`.
    pub id: u64,
    /// Argument of io_setup.
    pub max_reqs: u32,
    /// Entries of the ring, read from the header when it was new.
    pub nr_events: u32,
    /// Polls in flight, oldest first.
    pub polls: Vec<Poll>,
    /// Slow reads in flight.
    pub reads: u32,
    /// Completions so far.
    pub completed: u64,
    /// Events reaped so far.
    pub reaped: u64,
    /// One for each page of the ring.
    pub pages: Vec<Page>,
    /// What was forged.
    pub forged: Vec<Forged>,
    /// Who made it, if not the protocol's thread.
    pub origin: String,
    /// Whether a thread uses it all the time, so that nothing can be said of it.
    pub moving: bool,
    /// Threads blocked in io_getevents on it: they would reap what is completed.
    pub waited: bool,
    /// What `strand` did last, and what had been submitted and completed by then.
    pub stranded: Option<(StrandTruth, u32, u64)>,
}

impl Context {
    /// Learns the ring's size from the header that the kernel has just written.
    pub(crate) fn new(handle: u32, id: u64, max_reqs: u32, origin: &str) -> Result<Self, Failure> {
        let nr_events = memory::load_u32(id.wrapping_add(4))
            .filter(|nr| *nr > 0)
            .ok_or_else(|| Failure::refused(format!("the new ring at {id:#x} cannot be read")))?;
        let pages = (ENTRY + ENTRY * u64::from(nr_events)).div_ceil(page());
        Ok(Context {
            handle,
            id,
            max_reqs,
            nr_events,
            polls: Vec::new(),
            reads: 0,
            completed: 0,
            reaped: 0,
            pages: vec![Page::ReadWrite; memory::size(pages)?],
            forged: Vec::new(),
            origin: origin.to_owned(),
            moving: false,
            waited: false,
            stranded: None,
        })
    }

    /// Bytes of the ring as io_setup made it.
    pub(crate) fn ring_len(&self) -> u64 {
        (ENTRY + ENTRY * u64::from(self.nr_events)).next_multiple_of(page())
    }

    /// Requests submitted and not completed.
    pub(crate) fn in_flight(&self) -> u32 {
        u32::try_from(self.polls.len()).unwrap_or(u32::MAX).saturating_add(self.reads)
    }

    /// What `strand` did, unless something was submitted or completed since.
    fn strand(&self) -> Option<StrandTruth> {
        let (strand, in_flight, completed) = self.stranded?;
        ((in_flight, completed) == (self.in_flight(), self.completed)).then_some(strand)
    }

    /// Completions that nobody reaped.
    pub(crate) fn unreaped(&self) -> u32 {
        u32::try_from(self.completed.saturating_sub(self.reaped)).unwrap_or(u32::MAX)
    }

    /// Where the kernel will write the next event.
    pub(crate) fn tail(&self) -> u32 {
        self.wrapped(self.completed)
    }

    /// Where the next event will be reaped, unless `head` is forged.
    pub(crate) fn head(&self) -> u32 {
        self.wrapped(self.reaped)
    }

    fn wrapped(&self, count: u64) -> u32 {
        u32::try_from(count % u64::from(self.nr_events).max(1)).unwrap_or(0)
    }

    /// Whether any page of the ring is mapped.
    pub(crate) fn is_mapped(&self) -> bool {
        self.pages.iter().any(|page| *page != Page::Gone)
    }

    /// The first page that is mapped, and how many are.
    pub(crate) fn mapped_pages(&self) -> (u64, u64) {
        let mapped = (0_u64..).zip(&self.pages).filter(|(_, page)| **page != Page::Gone).map(|(k, _)| k);
        (mapped.clone().next().unwrap_or(0), mapped.fold(0, |count, _| count + 1))
    }

    /// Whether the header can be written without a fault.
    pub(crate) fn header_writable(&self) -> bool {
        self.pages.first() == Some(&Page::ReadWrite)
    }

    /// Address of a header word and its name as a constant.
    pub(crate) fn field(&self, name: &str) -> Result<(u64, &'static str), Failure> {
        (0_u64..)
            .zip(FIELDS)
            .find(|(_, field)| *field == name)
            .map(|(i, field)| (self.id + 4 * i, field))
            .ok_or_else(|| Failure::refused(format!("no header field {name:?}")))
    }

    /// Whether the word `field` is forged at the moment.
    pub(crate) fn is_forged(&self, field: &str) -> bool {
        self.forged.iter().any(|forged| forged.field == field)
    }

    /// Notes that somebody wrote a header word.
    pub(crate) fn note_forged(&mut self, field: &'static str, value: u32) {
        let original = memory::load_u32(self.id + 4 * position(field)).unwrap_or(0);
        if let Some(known) = self.forged.iter_mut().find(|forged| forged.field == field) {
            known.value = value;
        } else {
            self.forged.push(Forged { field, value, original });
        }
    }

    /// The kernel has completed requests, and so has written its own tail over a forged one.
    pub(crate) fn kernel_wrote_tail(&mut self, count: usize) {
        if count > 0 {
            self.forged.retain(|forged| forged.field != "tail");
        }
    }

    /// What is true of it.
    pub(crate) fn truth(&self) -> ContextTruth {
        let word = |i: u64| memory::load_u32(self.id.wrapping_add(4 * i));
        let forged_head = self.forged.iter().find(|f| f.field == "head").map(|f| f.value);
        let first = self.pages.first() != Some(&Page::Gone);
        ContextTruth {
            handle: self.handle,
            id: self.id,
            max_reqs: self.max_reqs,
            nr_events: self.nr_events,
            ring_len: self.ring_len(),
            in_flight: self.in_flight(),
            unreaped: self.unreaped(),
            head: forged_head.unwrap_or_else(|| self.head()),
            tail: self.tail(),
            ring_head: if first { word(2) } else { None },
            ring_tail: if first { word(3) } else { None },
            mapped: self.is_mapped(),
            pages: self.pages.iter().map(|page| page.letter()).collect(),
            forged: self.forged.iter().map(|f| f.field.to_owned()).collect(),
            origin: self.origin.clone(),
            moving: self.moving,
            strand: self.strand(),
        }
    }
}

/// Ordinal of a header word.
pub(crate) fn position(field: &str) -> u64 {
    (0_u64..).zip(FIELDS).find(|(_, name)| *name == field).map_or(0, |(i, _)| i)
}

impl Page {
    fn letter(self) -> char {
        match self {
            Page::ReadWrite => 'w',
            Page::ReadOnly => 'r',
            Page::None => '-',
            Page::Gone => 'x',
        }
    }
}

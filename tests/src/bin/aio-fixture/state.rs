//! All that one fixture holds.
#![expect(unsafe_code, reason = "ids, limits and affinity of the calling thread")]

use std::mem;
use std::os::fd::OwnedFd;
use std::time::Duration;

use serde_json::{Value, json};

use crate::aio;
use crate::blocked::Blocked;
use crate::children::Child;
use crate::completions::Completions;
use crate::context::Context;
use crate::destroys::Destroy;
use crate::disk::Disk;
use crate::failure::{At, Done, Failure};
use crate::farm::Farm;
use crate::load::Loads;
use crate::polls::Sources;
use crate::reading::Reading;
use crate::reads::Reads;
use crate::thirty_two::Caller;
use crate::words::{Words, number};

/// How long anything that must happen may take before it is an error; kernel workers of a busy host were seen to stand still for 10 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// Everything the protocol's commands work on.
#[derive(Debug)]
pub(crate) struct State {
    /// Living contexts of this address space.
    pub contexts: Vec<Context>,
    /// The next context's ordinal.
    next_handle: u32,
    /// Pipes and eventfds for polls.
    pub sources: Sources,
    /// The count of completions.
    pub completions: Completions,
    /// Slow reads.
    pub reads: Reads,
    /// Requests to a disk.
    pub disk: Disk,
    /// Threads in io_destroy.
    pub destroys: Vec<Destroy>,
    /// Children with slow reads of their own.
    pub readings: Vec<Reading>,
    /// Child processes, except the farm's.
    pub children: Vec<Child>,
    /// Many processes at once.
    pub farm: Option<Farm>,
    /// Blocked threads.
    pub blocked: Vec<Blocked>,
    /// Threads that are never at rest.
    pub loads: Loads,
    /// Who makes 32-bit calls, once one was asked for.
    pub caller_of_32_bits: Option<Caller>,
    /// Open io_urings.
    pub urings: Vec<OwnedFd>,
}

impl State {
    /// A fixture without any context; raises the limit of open files.
    pub(crate) fn new() -> Result<Self, Failure> {
        raise_file_limit();
        Ok(State {
            contexts: Vec::new(),
            next_handle: 0,
            sources: Sources::default(),
            completions: Completions::new()?,
            reads: Reads::default(),
            disk: Disk::default(),
            destroys: Vec::new(),
            readings: Vec::new(),
            children: Vec::new(),
            farm: None,
            blocked: Vec::new(),
            loads: Loads::default(),
            caller_of_32_bits: None,
            urings: Vec::new(),
        })
    }

    /// The context named `#ordinal`, or by its id; where two have one id, the mapped one.
    pub(crate) fn context(&mut self, word: &str) -> Result<&mut Context, Failure> {
        let at = self.position(word)?;
        self.contexts.get_mut(at).ok_or_else(|| Failure::refused(format!("no context {word}")))
    }

    /// The place in `contexts` of the context of that name.
    pub(crate) fn position(&self, word: &str) -> Result<usize, Failure> {
        let found = if let Some(ordinal) = word.strip_prefix('#') {
            let handle = number::<u32>(ordinal);
            self.contexts.iter().position(|c| Some(c.handle) == handle)
        } else {
            let id = number::<u64>(word);
            let named =
                |mapped| self.contexts.iter().position(|c| Some(c.id) == id && c.is_mapped() == mapped);
            named(true).or_else(|| named(false))
        };
        found.ok_or_else(|| Failure::refused(format!("no context {word}")))
    }

    /// Takes a context into the books.
    pub(crate) fn adopt(&mut self, id: u64, max_reqs: u32, origin: &str) -> Result<&mut Context, Failure> {
        let context = Context::new(self.next_handle, id, max_reqs, origin)?;
        self.next_handle += 1;
        self.contexts.push(context);
        self.contexts.last_mut().ok_or_else(|| Failure::refused("no context"))
    }

    /// `setup N`.
    pub(crate) fn setup(&mut self, words: &mut Words) -> Done {
        let n = words.number("N")?;
        let id = aio::io_setup(n).at("io_setup")?;
        Ok(described(self.adopt(id, n, "main")?))
    }

    /// `setup-many COUNT N`.
    pub(crate) fn setup_many(&mut self, words: &mut Words) -> Done {
        let (count, n) = (words.number::<u32>("COUNT")?, words.number("N")?);
        let mut ids = Vec::new();
        for _ in 0..count {
            let id = aio::io_setup(n).at("io_setup")?;
            self.adopt(id, n, "main")?;
            ids.push(format!("{id:#x}"));
        }
        Ok(json!({"ids": ids}))
    }

    /// `destroy CTX`: its polls are cancelled; refused while slow reads are in flight, for it would wait for them
    /// (`destroy-waiting` does).
    pub(crate) fn destroy(&mut self, words: &mut Words) -> Done {
        let at = self.position(words.word("CTX")?)?;
        let context = self.contexts.get_mut(at).ok_or_else(|| Failure::refused("no context"))?;
        if context.reads > 0 {
            return Err(Failure::refused("slow reads are in flight: io_destroy would wait for them"));
        }
        aio::io_destroy(context.id).at("io_destroy")?;
        for poll in mem::take(&mut context.polls) {
            self.completions.expect(&poll);
            self.sources.give_back(poll);
        }
        self.contexts.remove(at);
        self.completions.wait(None)?;
        self.completions.settle();
        Ok(json!({}))
    }
}

/// What the answer to a setup says.
pub(crate) fn described(context: &Context) -> Value {
    json!({
        "handle": context.handle,
        "id": format!("{:#x}", context.id),
        "nr_events": context.nr_events,
        "ring_len": context.ring_len(),
    })
}

/// Runs something pinned to one CPU, and gives this thread its old CPUs back.
pub(crate) fn on_cpu<T>(cpu: Option<u32>, run: impl FnOnce() -> T) -> Result<T, Failure> {
    let Some(cpu) = cpu else { return Ok(run()) };
    let bits = 8 * size_of::<libc::cpu_set_t>();
    let cpu = usize::try_from(cpu)
        .ok()
        .filter(|cpu| *cpu < bits)
        .ok_or_else(|| Failure::refused(format!("cpu {cpu} is too large")))?;
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: cpu_set_t is plain bits.
    let mut old: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: as above.
    let mut one: libc::cpu_set_t = unsafe { mem::zeroed() };
    // SAFETY: `cpu` is within the set.
    unsafe { libc::CPU_SET(cpu, &mut one) };
    // SAFETY: `old` has the size that is told.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut old) } != 0 {
        return Err(Failure::last("sched_getaffinity"));
    }
    // SAFETY: `one` has the size that is told.
    if unsafe { libc::sched_setaffinity(0, size, &raw const one) } != 0 {
        return Err(Failure::last("sched_setaffinity"));
    }
    let result = run();
    // SAFETY: `old` is what the kernel gave.
    if unsafe { libc::sched_setaffinity(0, size, &raw const old) } != 0 {
        return Err(Failure::last("sched_setaffinity"));
    }
    Ok(result)
}

/// This process's id, asked of the kernel.
pub(crate) fn pid() -> u32 {
    std::process::id()
}

/// This thread's id.
pub(crate) fn tid() -> u32 {
    // SAFETY: takes nothing, returns a number.
    unsafe { libc::gettid() }.cast_unsigned()
}

fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a rlimit.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0 {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: as above; failure leaves the old limit, and a later pipe2 will say so.
        unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    }
}

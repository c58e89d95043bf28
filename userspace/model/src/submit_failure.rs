//! Why calls of io_submit, io_getevents and io_pgetevents failed, in words for an operator. Each error and its conditions:
//! fs/aio.c:io_submit, io_submit_one, aio_get_req, do_io_getevents, lookup_ioctx.
//!
//! The kernel's programs count the calls and keep the arguments of the last one. What the context was like then nobody kept: the
//! picture that is taken when the numbers are read, up to a second later, says what it is like now.

use crate::errno;
use crate::finding::Finding;
use crate::picture::{ContextView, Picture};
use crate::units::{ContextId, Pid};

const EPERM: i32 = 1;
const EBADF: i32 = 9;
const EAGAIN: i32 = 11;
const EACCES: i32 = 13;
const EFAULT: i32 = 14;
const EINVAL: i32 = 22;
const ENOSYS: i32 = 38;
const EOPNOTSUPP: i32 = 95;

/// The call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Call {
    /// io_submit.
    #[default]
    Submit,
    /// io_getevents.
    Getevents,
    /// io_pgetevents.
    Pgetevents,
}

impl Call {
    /// Its name, in lines and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Call::Submit => "io_submit",
            Call::Getevents => "io_getevents",
            Call::Pgetevents => "io_pgetevents",
        }
    }
}

/// Whether the process that called is still the one that a picture taken afterwards shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// It runs the same program: the start and the name in `/proc/PID/stat` are those of its last call.
    Same,
    /// It is at its end, or became another program, or took another name.
    Other,
    /// `/proc` does not show it, or not any more: what the picture shows of it must do.
    Unseen,
}

/// What a call asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Arguments {
    /// The context.
    pub context: ContextId,
    /// `nr` of io_submit, `min_nr` of the others.
    pub second: i64,
    /// Of io_submit the pointer to the iocbs, `nr` of the others.
    pub third: i64,
}

/// Calls of one process that failed in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SubmitFailure {
    /// Which call.
    pub call: Call,
    /// The errno, positive.
    pub errno: i32,
    /// How many calls, since the last time they were counted.
    pub count: u64,
    /// What the last of them asked for.
    pub arguments: Arguments,
    /// Why.
    pub cause: Cause,
}

/// Why calls fail, as far as it can be known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Cause {
    /// EAGAIN, and io_submit fails on every CPU now: the finding in words.
    RingFull(String),
    /// EAGAIN, and io_submit fails on some CPUs now: the finding in words.
    StrandedCredits(String),
    /// EAGAIN, and io_submit would not fail now, or nobody knows.
    NoCredits,
    /// EINVAL: the process lives and has no such context.
    NoContext,
    /// EINVAL: it has, but the kernel does not find it by its ring, which is unmapped or forged: the finding in words.
    LostContext(String),
    /// EINVAL of io_submit: the context is there, so it is the request.
    BadRequest,
    /// EINVAL: the numbers of requests or events.
    BadNumber,
    /// EBADF.
    BadFile,
    /// EFAULT: of io_submit the pointers, an iocb, or the list of buffers of one (fs/aio.c:aio_setup_rw).
    BadMemory,
    /// EPERM and its kin: not allowed, by a filter of system calls, or of io_submit by fs/aio.c:aio_prep_rw (priority, flags) or
    /// fs/read_write.c:rw_verify_area (security modules, fanotify).
    Refused,
    /// EOPNOTSUPP.
    Unsupported,
    /// Anything else, and EINVAL where the contexts are not known, as of a process that has ended.
    #[default]
    Unknown,
}

impl Cause {
    /// The word for it in JSON: a promise.
    pub fn word(&self) -> &'static str {
        match self {
            Cause::RingFull(_) => "ring-full",
            Cause::StrandedCredits(_) => "stranded-credits",
            Cause::NoCredits => "no-credits",
            Cause::NoContext => "no-context",
            Cause::LostContext(_) => "lost-context",
            Cause::BadRequest => "bad-request",
            Cause::BadNumber => "bad-number",
            Cause::BadFile => "bad-file",
            Cause::BadMemory => "bad-memory",
            Cause::Refused => "refused",
            Cause::Unsupported => "unsupported",
            Cause::Unknown => "unknown",
        }
    }

    /// The cause of that word, and the finding in words that some name; `None`: no such word.
    pub fn from_word(word: &str, finding: String) -> Option<Self> {
        let with = match word {
            "ring-full" => return Some(Cause::RingFull(finding)),
            "stranded-credits" => return Some(Cause::StrandedCredits(finding)),
            "lost-context" => return Some(Cause::LostContext(finding)),
            "no-credits" => Cause::NoCredits,
            "no-context" => Cause::NoContext,
            "bad-request" => Cause::BadRequest,
            "bad-number" => Cause::BadNumber,
            "bad-file" => Cause::BadFile,
            "bad-memory" => Cause::BadMemory,
            "refused" => Cause::Refused,
            "unsupported" => Cause::Unsupported,
            "unknown" => Cause::Unknown,
            _ => return None,
        };
        Some(with)
    }

    /// The finding in words, of those that name one.
    pub fn finding(&self) -> Option<&str> {
        match self {
            Cause::RingFull(finding) | Cause::StrandedCredits(finding) | Cause::LostContext(finding) => {
                Some(finding)
            }
            Cause::NoCredits
            | Cause::NoContext
            | Cause::BadRequest
            | Cause::BadNumber
            | Cause::BadFile
            | Cause::BadMemory
            | Cause::Refused
            | Cause::Unsupported
            | Cause::Unknown => None,
        }
    }

    /// Whether the cause of such a failure can be told better with a picture.
    pub fn asks_for_picture(call: Call, errno: i32) -> bool {
        errno == EINVAL || (errno == EAGAIN && call == Call::Submit)
    }

    /// Finds the cause of a failure of that process. `caller`: what has become of it since the picture was taken.
    pub fn of(
        call: Call,
        errno: i32,
        arguments: &Arguments,
        (pid, caller): (Pid, Caller),
        picture: Option<&Picture>,
    ) -> Self {
        let is_shown = |picture: &Picture| picture.spaces.iter().any(|space| space.pids.contains(&pid));
        let context = || picture.and_then(|picture| context_of(picture, pid, arguments.context));
        let now = |finding: Finding| context().filter(|context| context.findings.contains(&finding));
        let words = |finding: Finding| now(finding).map(|context| context.in_words(finding));
        match (errno, call) {
            (EAGAIN, Call::Submit) => {
                let full = words(Finding::RingFull).map(Cause::RingFull);
                let stranded = || words(Finding::StrandedCredits).map(Cause::StrandedCredits);
                full.or_else(stranded).unwrap_or(Cause::NoCredits)
            }
            (EINVAL, _) if has_bad_number(call, arguments) => Cause::BadNumber,
            // No context has this id: fs/aio.c:io_setup takes the word that it writes the id to only if that is 0.
            (EINVAL, _) if arguments.context == ContextId(0) => Cause::NoContext,
            (EINVAL, _) if context().is_none() => {
                // Of one that has ended, or has no memory of then, all contexts are gone, and nobody knows which there were.
                let tells = match caller {
                    Caller::Same => picture.is_some(),
                    Caller::Other => false,
                    Caller::Unseen => picture.is_some_and(is_shown),
                };
                if tells { Cause::NoContext } else { Cause::Unknown }
            }
            (EINVAL, _) => {
                let lost = words(Finding::UnmappedRing).or_else(|| words(Finding::ForgedHeader));
                let there = if call == Call::Submit { Cause::BadRequest } else { Cause::Unknown };
                lost.map_or(there, Cause::LostContext)
            }
            (EBADF, _) => Cause::BadFile,
            (EFAULT, _) => Cause::BadMemory,
            (EPERM | EACCES | ENOSYS, _) => Cause::Refused,
            (EOPNOTSUPP, _) => Cause::Unsupported,
            _ => Cause::Unknown,
        }
    }
}

/// The context of that id that a process has, alone or with others.
fn context_of(picture: &Picture, pid: Pid, id: ContextId) -> Option<&ContextView> {
    let shares = |context: &ContextView| {
        context.pid == pid
            || picture
                .spaces
                .iter()
                .any(|space| space.pids.contains(&pid) && space.pids.contains(&context.pid))
    };
    picture.contexts.iter().find(|context| context.context == id && !context.is_dying() && shares(context))
}

/// fs/aio.c: io_submit takes no negative `nr`, io_getevents a `min_nr` from 0 to `nr`.
fn has_bad_number(call: Call, arguments: &Arguments) -> bool {
    match call {
        Call::Submit => arguments.second < 0,
        Call::Getevents | Call::Pgetevents => arguments.second < 0 || arguments.second > arguments.third,
    }
}

/// One or two short sentences, without the errno's name.
pub fn in_words(failure: &SubmitFailure) -> String {
    let SubmitFailure { call, errno, arguments, .. } = failure;
    let Arguments { context, second, third } = arguments;
    let submits = *call == Call::Submit;
    match &failure.cause {
        Cause::RingFull(words) | Cause::StrandedCredits(words) => format!("context {context}: {words}"),
        Cause::NoCredits => {
            format!("context {context} had no free ring entry for this CPU at that moment: it submits more than it reaps")
        }
        Cause::NoContext => {
            format!("the process has no context {context} now: it was never made, or destroyed, or its ring was moved")
        }
        Cause::LostContext(words) => format!("the kernel does not find context {context}: {words}"),
        Cause::BadRequest => format!(
            "context {context} is there: a request (iocb) has an unknown operation, a reserved field that is not 0, a wrong length or flag, \
             or its file cannot do that"
        ),
        Cause::BadNumber if submits => format!("asked for {second} requests: must not be negative"),
        Cause::BadNumber => format!("min_nr is {second} and nr is {third}: min_nr must be from 0 to nr"),
        Cause::BadFile => {
            "a request (iocb) names a file that is not open, or not open for reading or writing".to_owned()
        }
        Cause::BadMemory if submits => {
            "the pointer to the requests, to one of them, or to the list of buffers of one (PREADV, PWRITEV) leads nowhere, or a request \
             cannot be written"
                .to_owned()
        }
        Cause::BadMemory => {
            "the pointer to the events, to the timeout or to the signal mask leads nowhere".to_owned()
        }
        Cause::Refused if *errno == ENOSYS => {
            format!("a filter of system calls (seccomp) does not know {}, or this kernel does not", call.name())
        }
        Cause::Refused if submits => {
            "a filter of system calls (seccomp) does not allow it, a request asks for a priority or flag that it may not have, or a security \
             module (SELinux, AppArmor) or fanotify forbids to read or write its file"
                .to_owned()
        }
        Cause::Refused => "a filter of system calls (seccomp) does not allow it".to_owned(),
        Cause::Unsupported => "a request (iocb) has a flag that its file does not support".to_owned(),
        Cause::Unknown if *errno == EINVAL => {
            "an argument is not valid: the context, the numbers or a size".to_owned()
        }
        Cause::Unknown => format!(
            "{} itself does not fail with {}: most likely the file or a filter of system calls (seccomp) does",
            call.name(),
            errno::name(*errno)
        ),
    }
}

#[cfg(test)]
mod tests;

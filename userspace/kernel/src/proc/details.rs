//! What tells look-alike processes apart, for those who ask: the user of a process, its PID in its container, its command line.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::host::containers::Containers;
use crate::proc::files::ProcDir;
use aioinspect_model::evidence::{AddressSpace, Process};
use aioinspect_model::owner::owner;
use aioinspect_parse::passwd::names_by_uid;
use aioinspect_parse::proc::stat::Stat;
use aioinspect_parse::proc::status::Status;

/// Where the names of users are.
const PASSWD: &str = "/etc/passwd";
/// More than that file ever has.
const PASSWD_MAX: u64 = 16 << 20;
/// Bytes of a command line that are kept: its beginning.
const CMDLINE_MAX: u64 = 32 << 10;
/// How long the memory of a process may take to give its command line.
const ANSWER: Duration = Duration::from_millis(200);
/// After so many that did not answer no others are asked.
const MOST_SILENT: usize = 8;

/// Which of it is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// User, and the number in each PID namespace.
    pub status: bool,
    /// Command line.
    pub cmdline: bool,
    /// What containers are called, by the files of their runtimes; the control groups have to be known.
    pub names: bool,
}

/// Adds what is wanted to the processes of a host's evidence. One that is gone by now gets none of it. Returns a note where something could
/// not be read.
pub fn add_details(
    spaces: &mut [AddressSpace],
    wanted: Details,
    containers: &mut Containers,
) -> Option<String> {
    let users = if wanted.status { users() } else { HashMap::new() };
    let mut cmdlines = Cmdlines::default();
    for process in spaces.iter_mut().flat_map(|space| &mut space.processes) {
        if wanted.names {
            let container = owner(process.cgroup.as_deref().unwrap_or_default()).container;
            process.names = Some(containers.names(&container)).filter(|names| !names.is_empty());
        }
        if (wanted.status || wanted.cmdline)
            && let Some((dir, status)) = found(process)
        {
            if wanted.status {
                process.ns_pids = dir.ns_pids();
                process.uid = status.uids.map(|[_, effective, _, _]| effective);
                process.user = process.uid.and_then(|uid| users.get(&uid)).cloned();
            }
            if wanted.cmdline {
                process.cmdline = cmdlines.read(&dir);
            }
        }
    }
    let silent = cmdlines.silent;
    (silent > 0)
        .then(|| format!("CMDLINE is not known for {silent} process(es): their memory does not answer"))
}

/// The files of the same process, if it is there still. Of one in uninterruptible sleep that is taken for granted: it was there a moment ago,
/// and to read when it was started may wait for as long as it does.
fn found(process: &Process) -> Option<(ProcDir, Status)> {
    let (dir, status) = ProcDir::open_unasked(process.pid).ok()?;
    if status.state != Some(b'D') {
        let stat = Stat::parse(&dir.stat().ok()?).ok()?;
        if stat.start_ticks != process.start_ticks {
            return None;
        }
    }
    Some((dir, status))
}

fn users() -> HashMap<u32, Vec<u8>> {
    let mut text = Vec::new();
    let read = File::open(PASSWD).and_then(|file| file.take(PASSWD_MAX).read_to_end(&mut text));
    if read.is_ok() { names_by_uid(&text) } else { HashMap::new() }
}

/// Reads command lines. They are memory of the process, which may keep a reader waiting (a page on a file system of its own, userfaultfd), so
/// another thread reads; one that does not come back is left alone, and ends with us.
#[derive(Default)]
struct Cmdlines {
    reader: Option<Reader>,
    /// How many did not answer in time, or were not asked any more because of them.
    silent: usize,
}

/// The thread: who asks it, and what it has read.
struct Reader {
    ask: Sender<File>,
    told: Receiver<Option<Vec<u8>>>,
}

impl Cmdlines {
    fn read(&mut self, dir: &ProcDir) -> Option<Vec<u8>> {
        let file = dir.open_file("cmdline").ok()?;
        if self.silent >= MOST_SILENT {
            self.silent = self.silent.saturating_add(1);
            return None;
        }
        let reader = match self.reader.take() {
            Some(reader) => reader,
            None => Reader::start().ok()?,
        };
        reader.ask.send(file).ok()?;
        let Ok(read) = reader.told.recv_timeout(ANSWER) else {
            self.silent = self.silent.saturating_add(1);
            return None;
        };
        self.reader = Some(reader);
        read
    }
}

impl Reader {
    fn start() -> io::Result<Self> {
        let (ask, asked) = channel::<File>();
        let (tell, told) = channel();
        std::thread::Builder::new().spawn(move || {
            for file in asked {
                let mut bytes = Vec::new();
                let read = file.take(CMDLINE_MAX).read_to_end(&mut bytes);
                if tell.send(read.is_ok().then_some(bytes)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { ask, told })
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;

    use aioinspect_model::units::Pid;

    use super::*;
    use crate::proc::files::process_of;

    fn details(process: Process, wanted: Details) -> Process {
        let mut spaces = [AddressSpace { processes: vec![process], ..AddressSpace::default() }];
        let note = add_details(&mut spaces, wanted, &mut Containers::below(PathBuf::from("/")));
        assert_eq!(note, None);
        spaces[0].processes.remove(0)
    }

    /// Check what is said of ourselves, that only what is wanted is read, and that a process that came later under the number gets nothing.
    #[test]
    fn of_ourselves() {
        let me = process_of(Pid(std::process::id())).unwrap();
        let unread = Process { ns_pids: Vec::new(), ..me.clone() };
        let status = Details { status: true, ..Details::default() };
        let found = details(unread.clone(), status);
        assert_eq!(found.ns_pids, me.ns_pids);
        assert_eq!(found.ns_pids.first(), Some(&me.pid.0));
        let own = Status::parse(&std::fs::read("/proc/self/status").unwrap()).unwrap();
        assert_eq!(found.uid, own.uids.map(|uids| uids[1]));
        assert_eq!(found.cmdline, None);
        let cmdline = Details { cmdline: true, ..Details::default() };
        let read = details(unread.clone(), cmdline).cmdline;
        assert_eq!(read, Some(std::fs::read("/proc/self/cmdline").unwrap()));
        assert_eq!(details(unread.clone(), Details::default()), unread);
        let another = Process { start_ticks: me.start_ticks - 1, ..unread };
        let all = Details { status: true, cmdline: true, names: true };
        assert_eq!(details(another.clone(), all), another);
    }

    /// Check that of a long command line the beginning is kept.
    #[test]
    fn a_long_command_line() {
        let mut child = Command::new("sleep").args(["60".to_owned(), "0".repeat(60_000)]).spawn().unwrap();
        let process = process_of(Pid(child.id())).unwrap();
        let read = details(process, Details { cmdline: true, ..Details::default() }).cmdline.unwrap();
        assert_eq!(read.len() as u64, CMDLINE_MAX);
        assert!(read.starts_with(b"sleep\x0060\x00000"), "{read:?}");
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

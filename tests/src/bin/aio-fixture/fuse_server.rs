//! The helper that serves one file by FUSE and answers reads only when told.
//!
//! A process of its own, so that reads can be answered while the fixture is frozen. It must not wait to be
//! told that the fixture is dying: with reads in flight a dying process waits in exit_aio for their
//! completion, before it closes a socket or signals a child. So it looks for PF_EXITING itself, and for the SIGKILL
//! of a thread that waits in io_destroy.
#![expect(unsafe_code, reason = "poll and mount")]

use std::collections::VecDeque;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use aioinspect_tests::pages::BLOCK;
use serde_json::{Value, json};

use crate::failure::{At, Done, Failure};
use crate::fuse::{self, Request};
use crate::mounts;
use crate::reads::{GROUP_BLOCKS, GROUPS, content};
use crate::waits::IO_DESTROY;
use crate::words::Words;

/// `PF_EXITING` (linux/sched.h), set by do_exit before the mm is given up.
const PF_EXITING: u32 = 4;
/// SIGKILL in a set of signals.
const SIGKILL: u32 = 1 << (libc::SIGKILL - 1);
/// How often to look whether the parent is dying.
const LOOK_MS: i32 = 50;

struct Server {
    device: File,
    waiting: VecDeque<(u64, u64)>,
}

/// Serves until the parent is gone or closes the socket.
pub(crate) fn run(link: &mut UnixStream) -> Result<(), Failure> {
    let device = OpenOptions::new().read(true).write(true).open("/dev/fuse").at("open /dev/fuse")?;
    let mut server = Server { device, waiting: VecDeque::new() };
    let (path, directory) = server.mount()?;
    writeln!(link, "{}", json!({"path": path, "litter": [path, directory]})).at("write")?;
    let parent = std::os::unix::process::parent_id();
    let mut text = Vec::new();
    loop {
        let mut fds = [poll_in(&server.device), poll_in(link)];
        // SAFETY: an array of two pollfd.
        if unsafe { libc::poll(fds.as_mut_ptr(), 2, LOOK_MS) } < 0 {
            continue;
        }
        let [device, control] = fds;
        if device.revents != 0 && !server.serve()? {
            return Ok(());
        }
        if control.revents != 0 {
            let mut bytes = [0; 256];
            let n = link.read(&mut bytes).at("read")?;
            if n == 0 {
                return Ok(());
            }
            text.extend(bytes.iter().take(n));
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let command: Vec<u8> = text.drain(..=end).collect();
                let answer = server.command(&String::from_utf8_lossy(&command));
                writeln!(link, "{}", answer.unwrap_or_else(|failure| failure.to_json())).at("write")?;
            }
        }
        if is_dying(parent) {
            return Ok(());
        }
    }
}

fn poll_in(file: &impl AsRawFd) -> libc::pollfd {
    libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

impl Server {
    /// Mounts the file system, whose root is a regular file, on a file of our own mount namespace.
    ///
    /// The names must stay until the end: removing a mount point unmounts it in every namespace.
    fn mount(&mut self) -> Result<(String, String), Failure> {
        mounts::private_namespace()?;
        let directory = mounts::fresh_directory()?;
        let path = format!("{directory}/slow");
        File::create(&path).at(&path)?;
        let fd = self.device.as_raw_fd();
        let options = format!("fd={fd},rootmode=100444,user_id=0,group_id=0,allow_other");
        let options = CString::new(options).map_err(|_| Failure::refused("options"))?;
        mounts::mount("aio-fixture", &path, Some("fuse"), libc::MS_NOSUID | libc::MS_NODEV, Some(&options))?;
        Ok((path, directory))
    }

    /// Answers, or keeps, one request; false when the file system is gone.
    fn serve(&mut self) -> Result<bool, Failure> {
        let mut bytes = vec![0; 1 << 16];
        let n = match self.device.read(&mut bytes) {
            Ok(n) => n,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(false),
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::ENOENT | libc::EAGAIN)) => {
                return Ok(true);
            }
            Err(error) => return Err(error).at("read of /dev/fuse"),
        };
        let Some(request) = bytes.get(..n).and_then(Request::parse) else { return Ok(true) };
        let reply = match request.opcode {
            fuse::INIT => fuse::reply(request.unique, 0, &fuse::init_body()),
            fuse::GETATTR => fuse::reply(request.unique, 0, &fuse::attributes(GROUPS * GROUP_BLOCKS * BLOCK)),
            fuse::OPEN => fuse::reply(request.unique, 0, &fuse::opened()),
            fuse::READ => {
                match request.range() {
                    Some((offset, 4096)) => self.waiting.push_back((request.unique, offset / BLOCK)),
                    _ => return self.send(&fuse::reply(request.unique, libc::EINVAL, &[])),
                }
                return Ok(true);
            }
            fuse::FLUSH | fuse::RELEASE => fuse::reply(request.unique, 0, &[]),
            fuse::FORGET | fuse::BATCH_FORGET | fuse::INTERRUPT => return Ok(true),
            fuse::DESTROY => return Ok(false),
            _ => fuse::reply(request.unique, libc::ENOSYS, &[]),
        };
        self.send(&reply)
    }

    fn send(&mut self, reply: &[u8]) -> Result<bool, Failure> {
        match self.device.write_all(reply) {
            // The request was interrupted or aborted meanwhile.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(true),
            other => other.at("write to /dev/fuse").map(|()| true),
        }
    }

    fn command(&mut self, line: &str) -> Done {
        let mut words = Words::new(line);
        match words.word("command")? {
            "pending" => {
                let group = words.number::<u64>("GROUP")?;
                let pending = self.waiting.iter().filter(|(_, block)| block / GROUP_BLOCKS == group).count();
                Ok(json!({"pending": pending}))
            }
            "finish" => {
                let (count, group) = (words.number::<usize>("COUNT")?, words.number::<u64>("GROUP")?);
                for _ in 0..count {
                    let at = self.waiting.iter().position(|(_, block)| block / GROUP_BLOCKS == group);
                    let read = at.and_then(|at| self.waiting.remove(at));
                    let (unique, block) = read.ok_or_else(|| Failure::refused("no read waits"))?;
                    self.send(&fuse::reply(unique, 0, &content(block).repeat(512)))?;
                }
                Ok(Value::Null)
            }
            other => Err(Failure::refused(format!("no command {other:?}"))),
        }
    }
}

/// Whether every thread of the process is exiting or killed, or it is gone.
fn is_dying(pid: u32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return true };
    !tasks.flatten().any(|task| {
        // Without memory it is exiting. This, and not `stat`, is asked first: who reads that uses the memory, and would wait for these very reads if
        // it let go of it as the last (kernel/fork.c:mmput).
        if fs::read_link(task.path().join("exe")).is_err() {
            return false;
        }
        let wchan = fs::read_to_string(task.path().join("wchan")).unwrap_or_default();
        if !wchan.contains(IO_DESTROY) && wchan != "0" {
            return true;
        }
        let stat = fs::read(task.path().join("stat")).unwrap_or_default();
        let text = String::from_utf8_lossy(&stat);
        let (_, rest) = text.rsplit_once(')').unwrap_or_default();
        // Fields 9 and 31 of proc_pid_stat(5): flags, and the signals that wait for this thread. The third follows the name's bracket.
        let field = |number: usize| rest.split_whitespace().nth(number - 3)?.parse::<u32>().ok();
        let (flags, signals) = (field(9), field(31));
        flags.is_some_and(|flags| flags & PF_EXITING == 0) && signals.is_some_and(|set| set & SIGKILL == 0)
    })
}

//! The child with slow reads: it makes its contexts, and ends in the way it is told.
#![expect(unsafe_code, reason = "io_submit, exit")]

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread;

use aioinspect_tests::pages::BLOCK;
use serde_json::{Value, json};

use crate::aio::{self, Iocb};
use crate::failure::{At, Failure};
use crate::memory;
use crate::reads::{self, GROUP_BLOCKS};
use crate::words::Words;
use crate::{children, destroys, process, state};

/// Runs as `helper reading PATH GROUP CONTEXTS READS N`.
pub(crate) fn run(link: &UnixStream, words: &mut Words) -> Result<(), Failure> {
    let path = words.word("PATH")?;
    let first = words.number::<u64>("GROUP")? * GROUP_BLOCKS;
    let (count, each) = (words.number::<u64>("CONTEXTS")?, words.number::<u64>("READS")?);
    let n = words.number::<u32>("N")?;
    let file = reads::open(path)?;
    let (mut ids, mut contexts) = (Vec::new(), Vec::new());
    for ordinal in 0..count {
        let id = aio::io_setup(n).at("io_setup")?;
        let nr_events = memory::load_u32(id + 4);
        let mut iocbs = Vec::new();
        for block in first + ordinal * each..first + (ordinal + 1) * each {
            let address = memory::map(BLOCK, libc::PROT_READ | libc::PROT_WRITE)?;
            let offset = i64::try_from(block * BLOCK).unwrap_or(0);
            iocbs.push(Iocb::read(block, file.as_raw_fd(), address, BLOCK, offset, None));
        }
        let mut pointers: Vec<_> = iocbs.iter_mut().map(std::ptr::from_mut).collect();
        // SAFETY: the iocbs live beyond the call, the buffers as long as the process.
        let taken = unsafe { aio::io_submit(id, &mut pointers) }.at("io_submit")?;
        if taken != iocbs.len() {
            return Err(Failure::refused(format!("only {taken} of {each} reads were taken")));
        }
        ids.push(id);
        contexts.push(json!({"id": format!("{id:#x}"), "nr_events": nr_events}));
    }
    say(link, &json!({"contexts": contexts}))?;
    obey(link, &ids)
}

/// Runs as `helper rest`: what a child becomes by exec. It says that it runs, and waits to be let go.
pub(crate) fn rest(link: &UnixStream) -> Result<(), Failure> {
    say(link, &json!({"exec": true}))?;
    obey(link, &[])
}

fn say(mut link: &UnixStream, what: &Value) -> Result<(), Failure> {
    writeln!(link, "{what}").at("write")
}

fn obey(link: &UnixStream, ids: &[u64]) -> Result<(), Failure> {
    let mut lines = BufReader::new(link);
    let mut text = String::new();
    while lines.read_line(&mut text).at("read")? > 0 {
        match text.trim() {
            // SAFETY: ends the process, all threads included.
            "exit" => unsafe { libc::_exit(0) },
            "exec" => {
                // Its standard input, which is the link, stays.
                let error = Command::new("/proc/self/exe").args(["helper", "rest"]).exec();
                return Err(Failure::os("exec", &error));
            }
            "leader" => leave(link)?,
            "destroy" => destroy(link, ids)?,
            other => return Err(Failure::refused(format!("no command {other:?}"))),
        }
        text.clear();
    }
    Ok(())
}

/// The leader exits alone; another thread says so when it is gone, and exits as the last.
fn leave(link: &UnixStream) -> Result<(), Failure> {
    let link = link.try_clone().at("dup")?;
    let parent = std::os::unix::process::parent_id();
    let body = move || {
        // What to do when the parent dies is remembered by each thread for itself.
        children::die_with_parent(parent);
        // A failure shows at the other end, which waits for an answer.
        let gone = process::await_dead_leader();
        let _ = gone.and_then(|()| say(&link, &json!({"tids": [state::tid()]})));
        process::exit_thread()
    };
    thread::Builder::new().spawn(body).at("thread")?;
    process::exit_thread()
}

/// A thread in io_destroy for each context; one more says when all have returned.
fn destroy(link: &UnixStream, ids: &[u64]) -> Result<(), Failure> {
    let started = ids.iter().map(|id| destroys::start(*id)).collect::<Result<Vec<_>, _>>()?;
    let tids: Vec<u32> = started.iter().map(|(tid, _)| *tid).collect();
    say(link, &json!({"tids": tids}))?;
    let link = link.try_clone().at("dup")?;
    let body = move || {
        let each: Vec<Value> = started
            .iter()
            .map(|(tid, ended)| {
                // As long as it takes: who asked has patience, and ends us when it has none.
                let ended = ended.wait();
                json!({"tid": tid, "result": ended.result, "ms": ended.ms()})
            })
            .collect();
        // Nobody listens any more if that fails.
        let _ = say(&link, &json!({"destroyed": each}));
    };
    thread::Builder::new().spawn(body).at("thread").map(|_| ())
}

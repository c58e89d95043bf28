//! A regular file that looks like a ring by name: its path is `/[aio]` in its mount namespace.
#![expect(unsafe_code, reason = "a shared mapping of a file")]

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr;

use serde_json::{Value, json};

use crate::children;
use crate::failure::{At, Done, Failure};
use crate::memory::{self, page};
use crate::mounts;
use crate::state::State;
use crate::words::Words;

const PATH: &str = "/[aio]";

/// Bytes of it: three pages of 4 kB, or one that is larger.
fn length() -> u64 {
    12288_u64.next_multiple_of(page())
}

/// `spoof tmpfs|root [deleted]`: a helper that maps such a file, on a tmpfs or on the file system of TMPDIR.
pub(crate) fn spoof(state: &mut State, words: &mut Words) -> Done {
    let (place, fate) = (words.word("tmpfs|root")?, words.next().unwrap_or("kept"));
    if !["tmpfs", "root"].contains(&place) || !["kept", "deleted"].contains(&fate) {
        return Err(Failure::refused(format!("spoof {place} {fate}?")));
    }
    let (child, said) = children::helper("spoof", &["spoof", place, fate])?;
    let pid = child.pid;
    state.children.push(child);
    let field = |name| said.get(name).unwrap_or(&Value::Null);
    Ok(json!({"pid": pid, "address": field("address"), "len": length(), "inode": field("inode")}))
}

/// The helper: says where the mapping is, then waits for the end of its socket.
pub(crate) fn helper(link: &mut UnixStream, words: &mut Words) -> Result<(), Failure> {
    let (place, fate) = (words.word("place")?, words.word("fate")?);
    mounts::private_namespace()?;
    let directory = mounts::fresh_directory()?;
    if place == "tmpfs" {
        mounts::mount("tmpfs", &directory, Some("tmpfs"), 0, None)?;
    } else {
        mounts::mount(&directory, &directory, None, libc::MS_BIND, None)?;
    }
    mounts::become_root(Path::new(&directory))?;
    let mut file =
        OpenOptions::new().read(true).write(true).create_new(true).mode_private().open(PATH).at(PATH)?;
    file.set_len(length()).at("truncate")?;
    // The header of an idle ring that fills it: of 383 entries, as io_setup(128) makes it, with pages of 4 kB.
    let nr_events = u32::try_from(length() / 32 - 1).map_err(|_| Failure::refused("a file of that size"))?;
    for word in [0_u32, nr_events, 0, 0, 0xa10a_10a1, 1, 0, 32] {
        file.write_all(&word.to_ne_bytes()).at("write")?;
    }
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let len = memory::size(length())?;
    // SAFETY: a new mapping where the kernel finds room touches no existing memory.
    let at = unsafe { libc::mmap(ptr::null_mut(), len, prot, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if at == libc::MAP_FAILED {
        return Err(Failure::last("mmap"));
    }
    if fate == "deleted" {
        fs::remove_file(PATH).at("remove")?;
    }
    let inode = file.metadata().at("stat")?.ino();
    let address = format!("{:#x}", at.addr());
    let litter = [format!("{directory}{PATH}"), directory];
    writeln!(link, "{}", json!({"address": address, "inode": inode, "litter": litter})).at("write")?;
    // Nothing is ever said to it; the read ends when the fixture does.
    let _ = link.read(&mut [0]);
    Ok(())
}

trait ModePrivate {
    fn mode_private(&mut self) -> &mut Self;
}

impl ModePrivate for OpenOptions {
    fn mode_private(&mut self) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(self, 0o600)
    }
}

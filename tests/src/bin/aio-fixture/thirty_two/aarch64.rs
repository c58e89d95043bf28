//! aarch64: a 64-bit process cannot make a 32-bit call. A process of its own makes them, whose program is [`program`].
#![expect(unsafe_code, reason = "a file without a name")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};

use super::{Memory, program};
use crate::failure::{At, Failure};
use crate::state::PATIENCE;

/// Numbers of arch/arm/tools/syscall.tbl.
pub(super) const IO_SETUP: u32 = 243;
pub(super) const IO_DESTROY: u32 = 244;
pub(super) const IO_GETEVENTS: u32 = 245;
pub(super) const IO_SUBMIT: u32 = 246;
const PRCTL: u32 = 172;

/// Where the memory of a call is in a block.
const MEMORY: usize = 32;
const BLOCK: usize = program::BLOCK as usize;

const _: () = assert!(MEMORY + size_of::<Memory>() == BLOCK);

/// The process.
#[derive(Debug)]
pub(crate) struct Caller {
    process: Child,
    link: UnixStream,
}

impl Caller {
    pub(super) fn new() -> Result<Self, Failure> {
        // SAFETY: the name is a C string.
        let fd = unsafe { libc::memfd_create(c"aio-fixture".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(Failure::last("memfd_create"));
        }
        // SAFETY: a descriptor that nobody else has.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(&program::file()).at("write of a program")?;
        let (link, theirs) = UnixStream::pair().at("socketpair")?;
        link.set_read_timeout(Some(PATIENCE)).at("socket")?;
        let output = theirs.try_clone().at("dup")?;
        // By `Stdio::null` it could be written only.
        let null = File::open("/dev/null").at("open /dev/null")?;
        let process = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()))
            .stdin(OwnedFd::from(theirs))
            .stdout(OwnedFd::from(output))
            .stderr(null)
            .spawn()
            .at("exec of a 32-bit program")?;
        let mut caller = Caller { process, link };
        // The kernel names it after its descriptor.
        let mut memory = [0; _];
        for (place, byte) in memory.iter_mut().zip(b"aio-fixture") {
            *place = *byte;
        }
        let name = libc::PR_SET_NAME.cast_unsigned();
        let at = caller.address();
        match caller.call(PRCTL, [name, at, 0, 0, 0], &mut memory)? {
            0 => Ok(caller),
            answer => Err(Failure::refused(format!("a 32-bit program's prctl answers {answer}"))),
        }
    }

    /// Whose calls they are.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where it has the memory of a call.
    #[expect(clippy::unused_self, reason = "elsewhere it is where the kernel found room")]
    pub(super) fn address(&self) -> u32 {
        program::ADDRESS + 32
    }

    /// A descriptor of its /dev/null.
    #[expect(clippy::unused_self, reason = "elsewhere it is a file of its own")]
    pub(super) fn null(&self) -> RawFd {
        libc::STDERR_FILENO
    }

    /// Makes a call; the memory is then as the call left it.
    pub(super) fn call(
        &mut self,
        number: u32,
        [first, second, third, fourth, fifth]: [u32; 5],
        memory: &mut Memory,
    ) -> Result<i32, Failure> {
        let words = [number, first, second, third, fourth, fifth, 0, 0].map(u32::to_le_bytes);
        let mut block = [words.as_flattened(), memory].concat();
        self.link.write_all(&block).at("write to a 32-bit program")?;
        self.link.read_exact(&mut block).at("answer of a 32-bit program")?;
        let answer = block.first_chunk().copied().map(i32::from_le_bytes);
        let answer = answer.ok_or_else(|| Failure::refused("no answer of a 32-bit program"))?;
        for (place, byte) in memory.iter_mut().zip(block.iter().skip(MEMORY)) {
            *place = *byte;
        }
        Ok(answer)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        // What cannot be told to end has ended, and what cannot be waited for any more is gone.
        let _ = self.link.shutdown(Shutdown::Both);
        let _ = self.process.wait();
    }
}

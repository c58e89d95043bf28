//! x86_64: a 64-bit process makes a 32-bit call by the old gate, and the kernel takes it as what it would be of a 32-bit one.
#![expect(unsafe_code, reason = "raw system calls")]

use std::arch::asm;
use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use super::Memory;
use crate::failure::{At, Failure};
use crate::raw::{map, unmap};
use crate::state;

/// Numbers of arch/x86/entry/syscalls/syscall_32.tbl.
pub(super) const IO_SETUP: u32 = 245;
pub(super) const IO_DESTROY: u32 = 246;
pub(super) const IO_GETEVENTS: u32 = 247;
pub(super) const IO_SUBMIT: u32 = 248;

/// This process as a 32-bit caller.
#[derive(Debug)]
pub(crate) struct Caller {
    page: usize,
    address: u32,
    null: File,
}

impl Caller {
    pub(super) fn new() -> Result<Self, Failure> {
        let null = File::open("/dev/null").at("open /dev/null")?;
        let page = map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_32BIT)?;
        let address = u32::try_from(page).map_err(|_| Failure::refused("no memory below 4 GiB"))?;
        Ok(Caller { page, address, null })
    }

    /// Whose calls they are.
    #[expect(clippy::unused_self, reason = "elsewhere it is another process")]
    pub(super) fn pid(&self) -> u32 {
        state::pid()
    }

    /// Where it has the memory of a call.
    pub(super) fn address(&self) -> u32 {
        self.address
    }

    /// A descriptor of its /dev/null.
    pub(super) fn null(&self) -> RawFd {
        self.null.as_raw_fd()
    }

    /// Makes a call; the memory is then as the call left it.
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it asks another process")]
    pub(super) fn call(
        &mut self,
        number: u32,
        arguments: [u32; 5],
        memory: &mut Memory,
    ) -> Result<i32, Failure> {
        let shared = self.page as *mut Memory;
        // SAFETY: a live page of our own, larger than the memory.
        unsafe { ptr::write_volatile(shared, *memory) };
        let answer = gate(number, arguments);
        // SAFETY: as above.
        *memory = unsafe { ptr::read_volatile(shared) };
        Ok(answer)
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        unmap(self.page);
    }
}

fn gate(number: u32, [first, second, third, fourth, fifth]: [u32; 5]) -> i32 {
    let mut answer = i32::from_ne_bytes(number.to_ne_bytes());
    // SAFETY: the kernel's own gate; rbx is put back, and the registers that the gate does not keep are named.
    unsafe {
        asm!(
            "xchg {first:r}, rbx",
            "int 0x80",
            "xchg {first:r}, rbx",
            first = inout(reg) u64::from(first) => _,
            inout("eax") answer,
            in("ecx") second,
            in("edx") third,
            in("esi") fourth,
            in("edi") fifth,
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    answer
}

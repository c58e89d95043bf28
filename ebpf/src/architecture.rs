//! What differs between the architectures, for both halves: call numbers, the user's registers, functions, and how memory is ordered.
//!
//! Each architecture has a file with the same names in it, and nothing outside asks which one it is. The eBPF half is built for the
//! architecture of the kernel that will run it (`bpf_target_arch`), userspace for its own.
//!
//! | name | what it is |
//! |---|---|
//! | `call` | numbers of system calls, of 64-bit and of 32-bit callers |
//! | `function` | the functions that the kernel has for them |
//! | `NUMBER` .. `ANSWER` | where things are in `struct pt_regs` |
//! | `COMPAT` | the bit that says that a thread is in a 32-bit call, in the member `task_compat` of [`crate::Offsets`] |
//! | `DESTROY_SERVES_BOTH` | whether io_destroy of 32-bit callers is that of the others |
//! | `stack_size` | bytes of a kernel stack |
//! | `fence` | what keeps stores and loads of one CPU in their order for the others |

#[cfg(any(bpf_target_arch = "aarch64", all(not(target_arch = "bpf"), target_arch = "aarch64")))]
mod aarch64;
#[cfg(any(bpf_target_arch = "x86_64", all(not(target_arch = "bpf"), target_arch = "x86_64")))]
mod x86_64;

#[cfg(any(bpf_target_arch = "aarch64", all(not(target_arch = "bpf"), target_arch = "aarch64")))]
pub use aarch64::*;
#[cfg(any(bpf_target_arch = "x86_64", all(not(target_arch = "bpf"), target_arch = "x86_64")))]
pub use x86_64::*;

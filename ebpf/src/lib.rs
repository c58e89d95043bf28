//! Wire records between the eBPF programs and userspace. No dependencies, fixed sizes, asserted below.
#![no_std]

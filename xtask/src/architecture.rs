//! The architectures that aioinspect is built and tested for: all that xtask does differently for one than for the other.

use std::fs;
use std::path::Path;

use clap::ValueEnum;

use crate::packages::Tool;
use crate::paths;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Architecture {
    /// Debian's amd64.
    #[value(name = "x86_64")]
    X86_64,
    /// Debian's arm64.
    #[value(name = "aarch64")]
    Aarch64,
}

/// What qemu is told for a machine of an architecture.
#[derive(Debug)]
pub(crate) struct Qemu {
    /// The program, and Debian's package of it.
    pub tool: Tool,
    /// The kind of machine and its CPU with KVM.
    pub kvm: &'static [&'static str],
    /// The same, emulated.
    pub tcg: &'static [&'static str],
    /// Threads with which the machine is emulated: by default, and where the list gives the number of its CPUs.
    pub threads: [&'static str; 2],
    /// More words for the command line of a kernel that is emulated.
    pub boot: &'static [&'static str],
    /// The first serial line as the kernel calls it: of its console.
    pub console: &'static str,
    /// What gives the machine a second serial line, whose bytes go to qemu's standard output.
    pub line: &'static [&'static str],
    /// The second serial line as the kernel calls it.
    pub line_name: &'static str,
}

/// What builds for an architecture on another one.
#[derive(Debug)]
pub(crate) struct Cross {
    /// The C compiler, which links as well.
    pub compiler: Tool,
    /// Debian's package of the static C library.
    pub libc: &'static str,
}

impl Architecture {
    /// Every one.
    pub(crate) const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// The one that xtask is built for, and runs on.
    #[cfg(target_arch = "x86_64")]
    pub(crate) const HERE: Self = Self::X86_64;
    /// The one that xtask is built for, and runs on.
    #[cfg(target_arch = "aarch64")]
    pub(crate) const HERE: Self = Self::Aarch64;

    /// Rust's name, which is the kernel's (uname) as well.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// Debian's name, which is that of Go and of container images as well.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    /// The architecture in the name of a kernel's package, such as linux-image-arm64-16k.
    pub(crate) fn of_package(package: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| package.split('-').any(|word| word == one.debian()))
    }

    /// Whether programs of it run on this machine.
    pub(crate) fn is_here(self) -> bool {
        self == Self::HERE
    }

    /// The target that the userspace half is built for. Here it is that of this host's own C library; there, Debian's.
    pub(crate) fn triple(self) -> String {
        if self.is_here() { paths::host_triple() } else { format!("{}-unknown-linux-gnu", self.name()) }
    }

    /// What builds for it elsewhere.
    pub(crate) fn cross(self) -> Cross {
        match self {
            Self::X86_64 => Cross {
                compiler: Tool { program: "x86_64-linux-gnu-gcc", package: "gcc-x86-64-linux-gnu" },
                libc: "libc6-dev-amd64-cross",
            },
            Self::Aarch64 => Cross {
                compiler: Tool { program: "aarch64-linux-gnu-gcc", package: "gcc-aarch64-linux-gnu" },
                libc: "libc6-dev-arm64-cross",
            },
        }
    }

    /// What qemu is told.
    pub(crate) fn qemu(self) -> Qemu {
        match self {
            // No secret of another's is in an emulated machine: guards against CPUs that leak, and pages zeroed twice, would cost time alone.
            // MSR_IA32_ARCH_CAPABILITIES is what KVM inside a virtual machine most often refuses, and nothing here needs it.
            // With a thread for each CPU, a guest that patches its own text (static keys, fentry) now and then executes what it had there
            // before, and dies of an int3 that nobody owns.
            Self::X86_64 => Qemu {
                tool: Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" },
                kvm: &["-cpu", "max,-arch-capabilities"],
                tcg: &["-cpu", "max,-arch-capabilities"],
                threads: ["single", "single"],
                // Old kernels do not trust an emulated time stamp counter, and each look at the clock would leave the emulated code.
                boot: &["mitigations=off", "init_on_alloc=0", "tsc=reliable"],
                console: "ttyS0",
                line: &["-serial", "stdio"],
                line_name: "ttyS1",
            },
            // The architecture's own way to sign pointers is slow to emulate; the kernel signs them on every call.
            // A thread for each CPU finds what goes wrong between CPUs, and takes as many of this machine's: only where that is wanted.
            // The machine has one serial line of its own; Debian's kernels have the driver of this one built in.
            Self::Aarch64 => Qemu {
                tool: Tool { program: "qemu-system-aarch64", package: "qemu-system-arm" },
                kvm: &["-machine", "virt,gic-version=host", "-cpu", "host"],
                tcg: &["-machine", "virt", "-cpu", "max,pauth-impdef=on"],
                threads: ["single", "multi"],
                boot: &["mitigations=off", "init_on_alloc=0"],
                console: "ttyAMA0",
                line: &["-chardev", "stdio,id=line", "-device", "pci-serial,chardev=line"],
                line_name: "ttyS0",
            },
        }
    }

    /// Whether a file is a program of it, by its ELF header.
    pub(crate) fn is_of(self, program: &Path) -> bool {
        fs::read(program).is_ok_and(|bytes| elf_machine(&bytes) == Some(self.elf_machine()))
    }

    /// `EM_X86_64` and `EM_AARCH64` of elf(5).
    fn elf_machine(self) -> u16 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }
}

/// `e_machine` of a little-endian ELF file: after the 16 bytes of `e_ident` and `e_type`.
fn elf_machine(file: &[u8]) -> Option<u16> {
    let machine = file.strip_prefix(b"\x7fELF\x02\x01")?.get(12..14)?;
    Some(u16::from_le_bytes(machine.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that an architecture is found in the names of Debian's kernels, and nowhere else.
    #[test]
    fn knows_a_kernels_package() {
        let of = |name: &str| Architecture::of_package(name);
        assert_eq!(of("linux-image-cloud-amd64"), Some(Architecture::X86_64));
        assert_eq!(of("linux-image-6.12-cloud-arm64"), Some(Architecture::Aarch64));
        assert_eq!(of("linux-image-arm64-16k"), Some(Architecture::Aarch64));
        assert_eq!(of("linux-image-powerpc64le"), None);
        assert_eq!(of("linux-image-arm64e"), None);
    }

    /// Check that xtask itself is a program of this architecture, and of no other; and that a text is of none.
    #[test]
    fn reads_a_programs_architecture() {
        let own = std::env::current_exe().unwrap();
        for one in Architecture::ALL {
            assert_eq!(one.is_of(&own), one.is_here(), "{one:?}");
            assert!(!one.is_of(&paths::root().join("README.md")));
        }
        assert_eq!(elf_machine(b"\x7fELF\x02\x01"), None);
    }
}

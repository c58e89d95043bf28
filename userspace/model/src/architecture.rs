//! The architectures that aioinspect runs on, and what differs between them for who uses it.
//!
//! docs/compatibility.md, README.md and `doctor` say what is said here. What the programs must know of an architecture (numbers,
//! registers, names of functions) is in ebpf/src/architecture/.

/// An architecture of the kernel that is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Architecture {
    /// AMD's and Intel's 64-bit one; Debian's amd64.
    X86_64,
    /// Arm's 64-bit one; Debian's arm64.
    Aarch64,
}

impl Architecture {
    /// All of them, in the order of the table's columns.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];

    /// That of this program, and so of the kernel that it looks at.
    #[cfg(target_arch = "x86_64")]
    pub const HERE: Self = Self::X86_64;
    /// That of this program, and so of the kernel that it looks at.
    #[cfg(target_arch = "aarch64")]
    pub const HERE: Self = Self::Aarch64;

    /// Its name: that of Rust, and of `uname -m`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    /// The architecture of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Bytes that a page can have, by the kernel's configuration.
    pub const fn page_sizes(self) -> &'static [u32] {
        match self {
            Self::X86_64 => &[4096],
            Self::Aarch64 => &[4096, 16384, 65536],
        }
    }

    /// Those of them with which the suites ran on a kernel.
    pub const fn page_sizes_tried(self) -> &'static [u32] {
        match self {
            Self::X86_64 => &[4096],
            Self::Aarch64 => &[4096, 16384],
        }
    }

    /// With which kernels and machines the suites ran.
    pub const fn tried(self) -> &'static str {
        match self {
            Self::X86_64 => "kernels from 5.10 to the newest, natively and in virtual machines",
            Self::Aarch64 => {
                "Debian's 6.12 and 7.3 with pages of 4096 bytes, and 6.12 with 16384, on emulated machines only, never on hardware"
            }
        }
    }

    /// Words of the auxiliary vector that CRIU 4.2 keeps, and whose restore refuses more: its `AT_VECTOR_SIZE`
    /// (criu/arch/*/include/asm/types.h).
    pub const fn auxv_words(self) -> usize {
        match self {
            Self::X86_64 => 44,
            // 40 until CRIU 4.0.
            Self::Aarch64 => 50,
        }
    }
}

/// One thing that is not the same on all of them.
#[derive(Clone, Copy, Debug)]
pub struct Difference {
    /// Which, as a cell of a Markdown table.
    pub what: &'static str,
    /// How it is on x86_64.
    pub x86_64: &'static str,
    /// How it is on aarch64.
    pub aarch64: &'static str,
}

impl Difference {
    /// How it is there.
    pub const fn on(&self, architecture: Architecture) -> &'static str {
        match architecture {
            Architecture::X86_64 => self.x86_64,
            Architecture::Aarch64 => self.aarch64,
        }
    }
}

/// What differs, in the order of docs/compatibility.md.
pub const DIFFERENCES: &[Difference] = &[
    Difference {
        what: "tried with",
        x86_64: Architecture::X86_64.tried(),
        aarch64: Architecture::Aarch64.tried(),
    },
    Difference {
        what: "not tried",
        x86_64: "-",
        aarch64: "hardware; kernels before 6.12; pages of 65536 bytes but for the arithmetic of rings",
    },
    Difference {
        what: "package, archive",
        x86_64: "`_amd64.deb`, `-x86_64-linux.tar.gz`",
        aarch64: "`_arm64.deb`, `-aarch64-linux.tar.gz`",
    },
    Difference { what: "bytes of a page", x86_64: "4096", aarch64: "4096, 16384 or 65536" },
    Difference {
        what: "ring entries of `io_setup(128)` on 2 possible CPUs",
        x86_64: "383",
        aarch64: "383, 511 or 2047",
    },
    Difference {
        what: "requests that the kernel hands to a CPU at a time, for such a ring",
        x86_64: "47",
        aarch64: "47, 63 or 255",
    },
    Difference {
        what: "numbers of io_setup, io_destroy, io_submit, io_getevents, io_pgetevents",
        x86_64: "206, 207, 209, 208, 333",
        aarch64: "0, 1, 2, 4, 292",
    },
    Difference {
        what: "functions that `watch` attaches to",
        x86_64: "`__x64_sys_*`; of 32-bit callers `__ia32_compat_sys_*` and `__ia32_sys_*`",
        aarch64: "`__arm64_sys_*`; of 32-bit callers `__arm64_compat_sys_*`, and for io_destroy the same as of 64-bit ones",
    },
    Difference {
        what: "32-bit callers",
        x86_64: "i386, with CONFIG_IA32_EMULATION; told by the status of the thread, call by call",
        aarch64: "AArch32, with CONFIG_COMPAT and on CPUs that have it; told by the flags of the thread, which is 32-bit as a whole",
    },
    Difference {
        what: "direct calls, which fentry needs",
        x86_64: "on every kernel tried",
        aarch64: "from 6.4 on, with CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS; else `watch` tries a kprobe",
    },
    Difference {
        what: "order of memory, between programs and userspace",
        x86_64: "the CPU keeps it",
        aarch64: "fences keep it. An emulator on an x86_64 machine shows the order of x86_64, so that no test proves them",
    },
    Difference {
        what: "`mm_saved_auxv` of `mm-PID.img`: words at most, as CRIU 4.2 has them",
        x86_64: "44",
        aarch64: "50 (CRIU before 4.1: 40, and its restore refuses more)",
    },
    Difference {
        what: "`flags`, `madv` of mappings in `mm-PID.img`",
        x86_64: "MAP_* and MADV_* of Linux",
        aarch64: "the same numbers. Like CRIU we leave out what VmFlags says of branch targets (`bt`) and memory tags (`mt`)",
    },
    Difference {
        what: "`mm-PID.img` beside CRIU's own of the same process",
        x86_64: "equal but for `nr_req` and what only CRIU's `files.img` knows: CRIU 4.2.1, and 3.17.1 on Debian's 6.1",
        aarch64: "the same: CRIU 3.17.1 on an emulated machine with Debian's 6.12",
    },
    Difference {
        what: "`[vsyscall]` in `mm-PID.img`",
        x86_64: "if the process has it",
        aarch64: "there is none",
    },
    Difference {
        what: "evidence and images",
        x86_64: "of both are judged, shown, compared and amended on both",
        aarch64: "the same",
    },
    Difference {
        what: "restore",
        x86_64: "of images of x86_64",
        aarch64: "of images of aarch64 with the same bytes of a page",
    },
];

#[cfg(test)]
mod tests {
    use crate::nr_req::nr_events;

    use super::*;

    fn row(what: &str) -> &'static Difference {
        DIFFERENCES.iter().find(|row| row.what.starts_with(what)).unwrap()
    }

    /// `1`, `1 or 2`, `1, 2 or 3`.
    fn listed(numbers: &[u32]) -> String {
        let words: Vec<String> = numbers.iter().map(u32::to_string).collect();
        match words.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, first)) => format!("{} or {last}", first.join(", ")),
            None => String::new(),
        }
    }

    /// Check that names lead back, and that this program is of an architecture with a name that Rust gives it.
    #[test]
    fn names() {
        for one in Architecture::ALL {
            assert_eq!(Architecture::of_name(one.name()), Some(one));
        }
        assert_eq!(Architecture::of_name("amd64"), None);
        assert_eq!(Architecture::HERE.name(), std::env::consts::ARCH);
    }

    /// Check that the numbers of the table are those that the model computes with.
    #[test]
    fn numbers_of_the_table() {
        for one in Architecture::ALL {
            let pages = one.page_sizes();
            let entries: Vec<u32> = pages.iter().map(|page| nr_events(128, 2, *page).unwrap()).collect();
            // fs/aio.c:ioctx_alloc
            let batches: Vec<u32> = entries.iter().map(|entries| (entries - 1) / (2 * 4)).collect();
            assert_eq!(row("bytes of a page").on(one), listed(pages));
            assert_eq!(row("ring entries").on(one), listed(&entries));
            assert_eq!(row("requests that the kernel hands").on(one), listed(&batches));
            let words = row("`mm_saved_auxv`").on(one).split(' ').next().unwrap();
            assert_eq!(words, one.auxv_words().to_string());
        }
    }

    /// Check that what was tried is a part of what there is, and that the rest is said not to be.
    #[test]
    fn what_was_tried() {
        for one in Architecture::ALL {
            let tried = one.page_sizes_tried();
            assert!(tried.iter().all(|size| one.page_sizes().contains(size)));
            for size in one.page_sizes() {
                let is_named = row("not tried").on(one).contains(&size.to_string());
                assert_ne!(is_named, tried.contains(size), "{} {size}", one.name());
            }
        }
    }

    /// Check that each cell can stand in a table, and each row is there once.
    #[test]
    fn cells() {
        for (at, row) in DIFFERENCES.iter().enumerate() {
            for cell in [row.what, row.x86_64, row.aarch64] {
                assert!(!cell.is_empty() && !cell.contains(['|', '\n']), "{cell}");
            }
            assert!(DIFFERENCES.iter().skip(at + 1).all(|other| other.what != row.what), "{}", row.what);
        }
    }
}

//! `cargo xtask setup`: what run and test need, found or installed. Quick and silent when all is there.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::command::{Cmd, note};
use crate::packages::{self, Tool};
use crate::{criu, ebpf, kernel, linker, paths, toolchain, unpacked};

/// What linking the userspace half needs.
const BUILD_TOOLS: [Tool; 1] = [Tool { program: "cc", package: "gcc" }];

/// What the tests call. MariaDB as its `-core` packages: the server's program without a service, user or start-up script.
const TEST_TOOLS: [Tool; 14] = [
    QEMU,
    Tool { program: "crit", package: "criu" },
    Tool { program: "fio", package: "fio" },
    Tool { program: "mariadbd", package: "mariadb-server-core" },
    Tool { program: "mariadb-install-db", package: "mariadb-server-core" },
    Tool { program: "mariadb", package: "mariadb-client-core" },
    TMUX,
    XZ,
    CHROMIUM,
    Tool { program: "chromedriver", package: "chromium-driver" },
    Tool { program: "openssl", package: "openssl" },
    Tool { program: "curl", package: "curl" },
    DPKG_DEB,
    DEBOOTSTRAP,
];

/// What `pictures` calls.
const PICTURE_TOOLS: [Tool; 2] = [TMUX, CHROMIUM];
const TMUX: Tool = Tool { program: "tmux", package: "tmux" };
const CHROMIUM: Tool = Tool { program: "chromium", package: "chromium" };

/// What a virtual machine takes: qemu, and what unpacks a kernel and its modules.
pub(crate) const VM_TOOLS: [Tool; 3] = [QEMU, XZ, DPKG_DEB];
const QEMU: Tool = Tool { program: "qemu-system-x86_64", package: "qemu-system-x86" };
const XZ: Tool = Tool { program: "xz", package: "xz-utils" };

/// What `dist` calls, and with `--try`.
const DPKG_DEB: Tool = Tool { program: "dpkg-deb", package: "dpkg" };
const DEBOOTSTRAP: Tool = Tool { program: "debootstrap", package: "debootstrap" };

/// What the benchmark calls beside them: the rivals of `watch` and of `list`.
const BENCH_TOOLS: [Tool; 3] = [
    Tool { program: "bpftrace", package: "bpftrace" },
    Tool { program: "lsfd", package: "util-linux" },
    Tool { program: "lsof", package: "lsof" },
];

/// The verb: sets up, and says what will be used.
pub(crate) fn setup(tests: bool) -> Result<()> {
    let object = if tests { for_tests()? } else { for_run()? };
    if let Some(toolchain) = toolchain::find() {
        note(&format!("eBPF toolchain: {}", toolchain.name));
    }
    if let Some(linker) = linker::find().first() {
        note(&format!("bpf-linker: {}", linker.display()));
    }
    note(&format!("eBPF object: {}", object.display()));
    if tests {
        kernel::fetch_all()?;
        let names = TEST_TOOLS.iter().map(|tool| tool.program).chain(unpacked::programs());
        let names: Vec<&str> = names.collect();
        note(&format!("test tools: {}", names.join(", ")));
    }
    Ok(())
}

/// What `run` needs; returns the directory of the eBPF objects.
pub(crate) fn for_run() -> Result<PathBuf> {
    packages::need(&BUILD_TOOLS)?;
    need_static_libc()?;
    let toolchain = match toolchain::find() {
        Some(toolchain) => toolchain,
        None => toolchain::install()?,
    };
    ebpf::build(&toolchain)
}

/// What `bench` needs; returns the directory of the eBPF objects.
pub(crate) fn for_bench() -> Result<PathBuf> {
    packages::need(&BENCH_TOOLS)?;
    for_run()
}

/// What `pictures` needs; returns the directory of the eBPF objects.
pub(crate) fn for_pictures() -> Result<PathBuf> {
    packages::need(&PICTURE_TOOLS)?;
    for_run()
}

/// What `dist` needs, for a package and for a trial of it; returns the directory of the eBPF objects.
pub(crate) fn for_dist(package: bool, trial: bool) -> Result<PathBuf> {
    if package {
        packages::need(&[DPKG_DEB])?;
    }
    if trial {
        packages::need(&[DEBOOTSTRAP])?;
    }
    for_run()
}

/// What `test` needs but for the kernels, which each virtual machine fetches itself; returns the directory of the eBPF objects.
pub(crate) fn for_tests() -> Result<PathBuf> {
    packages::need(&TEST_TOOLS)?;
    unpacked::need()?;
    criu::fetch();
    let object = for_run()?;
    if let Some(toolchain) = toolchain::find() {
        toolchain::need_clippy(&toolchain)?;
    }
    Ok(object)
}

/// The program is linked statically, so that the one that runs here runs in the virtual machines: that takes libc.a.
fn need_static_libc() -> Result<()> {
    let answer = Cmd::new("cc").arg("-print-file-name=libc.a").ask().unwrap_or_default();
    // Where there is none, the compiler repeats the bare name.
    if answer.trim().contains('/') {
        return Ok(());
    }
    if packages::can_install() {
        return packages::install(&["libc6-dev"]);
    }
    bail!(
        "no static C library for {}; install it:\n  {}\n  or glibc-static (Fedora)",
        paths::host_triple(),
        packages::line(&["libc6-dev"])
    )
}

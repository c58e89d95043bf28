//! `cargo xtask setup`: what run and test need, found or installed. Quick and silent when all is there.

use anyhow::Result;

use crate::architecture::Architecture;
use crate::command::note;
use crate::ebpf::Objects;
use crate::packages::{self, Tool};
use crate::{criu, ebpf, kernel, library, linker, toolchain, unpacked};

/// What linking the userspace half needs.
const BUILD_TOOLS: [Tool; 1] = [Tool { program: "cc", package: "gcc" }];

/// What the tests call. MariaDB as its `-core` packages: the server's program without a service, user or start-up script.
const TEST_TOOLS: [Tool; 13] = [
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
pub(crate) fn vm_tools(architecture: Architecture) -> [Tool; 3] {
    [architecture.qemu().tool, XZ, DPKG_DEB]
}

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

/// The verb: sets up for these architectures, or else for this machine's own, and says what will be used.
pub(crate) fn setup(tests: bool, architectures: &[Architecture]) -> Result<()> {
    let chosen = if architectures.is_empty() { &[Architecture::HERE] } else { architectures };
    let mut built = chosen.iter().map(|&one| for_run(one)).collect::<Result<Vec<_>>>()?;
    if tests {
        built = vec![for_tests()?];
        let listed = kernel::list::read()?;
        let is_listed = |one: &Architecture| {
            let mut run = listed.iter().filter(|listed| !listed.terms.by_name);
            run.any(|listed| listed.source.as_ref().is_some_and(|source| source.architecture == *one))
        };
        for foreign in Architecture::ALL.into_iter().filter(|one| !one.is_here() && is_listed(one)) {
            // Without it the machines of that architecture fail, and nothing else does.
            match for_machines(foreign) {
                Ok(objects) => built.push(objects),
                Err(error) => note(&format!("no machines of {}: {error:#}", foreign.name())),
            }
        }
    }
    if let Some(toolchain) = toolchain::find() {
        note(&format!("eBPF toolchain: {}", toolchain.name));
    }
    if let Some(linker) = linker::find().first() {
        note(&format!("bpf-linker: {}", linker.display()));
    }
    for Objects { architecture, dir } in &built {
        note(&format!("eBPF objects of {}: {}", architecture.name(), dir.display()));
    }
    if tests {
        kernel::fetch_all()?;
        let emulators = built.iter().map(|objects| objects.architecture.qemu().tool.program);
        let names = emulators.chain(TEST_TOOLS.iter().map(|tool| tool.program)).chain(unpacked::programs());
        let names: Vec<&str> = names.collect();
        note(&format!("test tools: {}", names.join(", ")));
    }
    Ok(())
}

/// What `run` needs, and any build for an architecture; the eBPF objects of that.
pub(crate) fn for_run(architecture: Architecture) -> Result<Objects> {
    packages::need(&BUILD_TOOLS)?;
    library::need(architecture)?;
    let toolchain = match toolchain::find() {
        Some(toolchain) => toolchain,
        None => toolchain::install()?,
    };
    ebpf::build(&toolchain, architecture)
}

/// What virtual machines of an architecture need; the eBPF objects of that.
pub(crate) fn for_machines(architecture: Architecture) -> Result<Objects> {
    packages::need(&vm_tools(architecture))?;
    for_run(architecture)
}

/// What `bench` needs; the eBPF objects.
pub(crate) fn for_bench() -> Result<Objects> {
    packages::need(&BENCH_TOOLS)?;
    for_run(Architecture::HERE)
}

/// What `pictures` needs; the eBPF objects.
pub(crate) fn for_pictures() -> Result<Objects> {
    packages::need(&PICTURE_TOOLS)?;
    for_run(Architecture::HERE)
}

/// What `dist` needs, for a package and for a trial of it; this machine's own eBPF objects.
pub(crate) fn for_dist(package: bool, trial: bool) -> Result<Objects> {
    if package {
        packages::need(&[DPKG_DEB])?;
    }
    if trial {
        packages::need(&[DEBOOTSTRAP])?;
    }
    for_run(Architecture::HERE)
}

/// What `test` needs but for machines of other architectures, and for the kernels, which each machine fetches itself; this machine's own
/// eBPF objects.
pub(crate) fn for_tests() -> Result<Objects> {
    packages::need(&TEST_TOOLS)?;
    unpacked::need()?;
    criu::fetch();
    let objects = for_machines(Architecture::HERE)?;
    if let Some(toolchain) = toolchain::find() {
        toolchain::need_clippy(&toolchain)?;
    }
    Ok(objects)
}

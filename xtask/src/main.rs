//! `cargo xtask`: every step between a fresh clone and a tested program, so that none is left to the reader.

mod architecture;
mod archive;
mod build;
mod catalogue;
mod check;
mod command;
mod count;
mod criu;
mod deny;
mod dist;
mod ebpf;
mod failures;
mod initramfs;
mod kernel;
mod library;
mod linker;
mod mirror;
mod packages;
mod paths;
mod pictures;
mod setup;
mod side_by_side;
mod suites;
mod tidy;
mod toolchain;
mod unpacked;
mod vm;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::architecture::Architecture;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Set-up, build, tests and checks of aioinspect"
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find or install what the eBPF half needs, and build it
    Setup {
        /// Also what the tests need: qemu, crit, fio, MariaDB, tmux, chromium, debootstrap, openssl, curl, Prometheus, CRIU, runc
        #[arg(long)]
        tests: bool,
        /// Build for this architecture (repeatable; default: this machine's own), with a cross compiler where it is another
        #[arg(long = "arch", value_name = "ARCH")]
        architectures: Vec<Architecture>,
    },
    /// Set up, build, and run aioinspect with the arguments given
    Run {
        /// Arguments of aioinspect
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Run all tests: without privileges, live on this kernel, and in virtual machines
    Test(TestArgs),
    /// Boot a virtual machine with aioinspect and run a command in it
    Vm {
        /// Name from .ci/kernels.txt
        name: String,
        /// Another file for the machine's /bin (repeatable)
        #[arg(long, value_name = "FILE")]
        with: Vec<PathBuf>,
        /// The command; `sh -c '..'` where package busybox-static is installed
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Set up, build, and run the benchmarks
    Bench {
        /// Arguments of the benchmark program
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Build what is handed to users: the static program, an archive and a Debian package, in target/dist
    Dist {
        /// Only for this architecture (repeatable; default: for every one that can be built for here)
        #[arg(long = "arch", value_name = "ARCH")]
        architectures: Vec<Architecture>,
        /// Leave out the Debian package
        #[arg(long, conflicts_with = "try_it")]
        no_package: bool,
        /// Try this machine's own Debian package in a clean Debian root (needs root)
        #[arg(long = "try")]
        try_it: bool,
    },
    /// Make the pictures in docs/pictures anew: needs root, reserves nearly all slots of this host for some ten seconds
    Pictures,
    /// Check file lengths and unfinished work
    Tidy,
    /// Formatting, clippy of both halves, and tidy; warnings are errors
    Check,
}

#[derive(Args)]
struct TestArgs {
    /// Only this part (default: all)
    #[command(subcommand)]
    part: Option<Part>,
    /// Run the suites whole on each kernel, whatever the list leaves out, and five times as many random sequences
    #[arg(long, global = true)]
    release_long: bool,
    /// Start no virtual machine after so many minutes: the rest are skipped, and named (default: no limit)
    #[arg(long, global = true, env = "XTASK_START_WITHIN", value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(..100_000))]
    start_within: Option<u64>,
}

#[derive(Subcommand)]
enum Part {
    /// The tests that need no privileges, then the live suites on this kernel
    Local,
    /// The live suites in virtual machines
    Vm {
        /// Names of kernels and passes from .ci/kernels.txt (default: all of them)
        names: Vec<String>,
    },
    /// The Debian package: in a clean root, and as a service in a virtual machine that systemd boots
    Package,
}

fn main() -> ExitCode {
    match act(Cli::parse().verb) {
        Ok(code) => code,
        Err(error) => {
            command::note(&format!("xtask: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn act(verb: Verb) -> Result<ExitCode> {
    let begun = Instant::now();
    let done = |()| ExitCode::SUCCESS;
    match verb {
        Verb::Setup { tests, architectures } => setup::setup(tests, &architectures).map(done),
        Verb::Run { args } => {
            let objects = setup::for_run(Architecture::HERE)?;
            command::Cmd::new(build::program(&objects)?).arguments(&args).exec()
        }
        Verb::Vm { name, with, command } => vm::command::run(&name, &with, &command),
        Verb::Bench { args } => {
            let objects = setup::for_bench()?;
            build::helper(&objects, "bench")?.arguments(&args).exec()
        }
        Verb::Test(TestArgs { part, release_long, start_within }) => {
            let what = match part {
                None => suites::What::All,
                Some(Part::Local) => suites::What::Local,
                Some(Part::Vm { names }) => suites::What::Vm(names),
                Some(Part::Package) => suites::What::Package,
            };
            let start_within = start_within.map(|minutes| Duration::from_secs(60 * minutes));
            suites::test(&suites::Wish { what, long: release_long, begun, start_within })
        }
        Verb::Dist { architectures, no_package, try_it } => dist::dist(&architectures, !no_package, try_it),
        Verb::Pictures => pictures::pictures().map(done),
        Verb::Tidy => tidy::tidy().map(done),
        Verb::Check => check::check().map(done),
    }
}

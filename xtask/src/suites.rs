//! `cargo xtask test`: which suites there are, running them, and the count at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::build::{self, Built};
use crate::catalogue::{self, Catalogue};
use crate::command::{Cmd, Ended, Limits, note, say};
use crate::count::{self, Suite};
use crate::ebpf::Objects;
use crate::kernel::list::{self, Listed, Source};
use crate::{dist, paths, setup, side_by_side, toolchain, unpacked, vm};

/// A suite that runs longer than this hangs.
const LIMIT: Duration = Duration::from_secs(40 * 60);
/// The same with `--release-long`.
const LONG_LIMIT: Duration = Duration::from_secs(4 * 3600);
/// Sequences of the random-state suites with `--release-long`; without, the suite's own number, and fewer in a machine
/// that is emulated.
const LONG_SEQUENCES: u32 = 10_000;
const VM_SEQUENCES: u32 = 500;
const VM_LONG_SEQUENCES: u32 = 2_500;

/// What to test.
#[derive(Debug)]
pub(crate) enum What {
    /// The unprivileged tests, the live suites here and in machines, and the package.
    All,
    /// What runs on this machine's own kernel.
    Local,
    /// Virtual machines of these names; none given: all of the list.
    Vm(Vec<String>),
    /// The package, and no kernel's suites.
    Package,
}

/// The verb: runs, counts, and ends with the line of sums. Whatever goes wrong is in the table, so that the sums are last.
pub(crate) fn test(what: &What, long: bool) -> Result<ExitCode> {
    if !matches!(what, What::Vm(_)) && !paths::is_root() {
        bail!(
            "the live suites inspect processes through BPF and ptrace, and need root:\n  \
             sudo -E env \"PATH=$PATH\" cargo xtask test\nwithout root: `cargo test`, or `cargo xtask test vm`"
        );
    }
    let mut suites = Vec::new();
    if let Err(error) = run_all(what, long, &mut suites) {
        suites.push(Suite::broken("set-up", format!("{error:#}")));
    }
    say("");
    say(&count::report(&suites));
    let good = !suites.is_empty() && suites.iter().all(Suite::is_good);
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_all(what: &What, long: bool, suites: &mut Vec<Suite>) -> Result<()> {
    let chosen = choose(what, list::read()?)?;
    let catalogue = catalogue::read()?;
    let objects = setup::for_tests()?;
    if matches!(what, What::All | What::Local) {
        suites.push(unprivileged()?);
        suites.push(interpreted()?);
    }
    if catalogue.suites.is_empty() {
        bail!("package aioinspect-tests has no live suites");
    }
    let all = builds(&objects, &chosen, &catalogue)?;
    suites.extend(in_machines(&chosen, &catalogue, &all, long));
    let built = all.get(&Architecture::HERE).and_then(|built| built.as_ref().ok());
    let built = built.context("nothing is built for this machine")?;
    for kernel in chosen.iter().filter(|kernel| kernel.source.is_none()) {
        if !paths::is_root() {
            suites.push(Suite::broken(&kernel.name, "it needs root"));
            continue;
        }
        for name in catalogue.suites.iter().filter(|name| !catalogue.systemd_suites.contains(name)) {
            suites.push(live(name, built, long)?);
        }
    }
    if !matches!(what, What::Vm(_)) {
        let machine = matches!(what, What::All | What::Package).then_some((built, &catalogue));
        let good = all.iter().filter_map(|(&one, built)| Some((one, built.as_ref().ok()?)));
        let programs = good.map(|(one, built)| (one, built.bins.join("aioinspect"))).collect();
        suites.extend(dist::suites(&programs, machine));
    }
    Ok(())
}

/// What was built for each architecture, or why it could not be.
type Builds = BTreeMap<Architecture, Result<Built, String>>;

/// Builds everything for this machine, and for the architectures of the chosen kernels; only of another one may it fail.
fn builds(objects: &Objects, chosen: &[Listed], catalogue: &Catalogue) -> Result<Builds> {
    let mut all = Builds::new();
    all.insert(Architecture::HERE, Ok(build::everything(objects, &catalogue.suites)?));
    for architecture in chosen.iter().filter_map(|listed| Some(listed.source.as_ref()?.architecture)) {
        all.entry(architecture).or_insert_with(|| {
            let built = setup::for_machines(architecture).and_then(|objects| {
                build::for_machines(&objects, &suites_of(architecture, chosen, catalogue))
            });
            built.map_err(|error| {
                let why = format!("cannot build for {}: {error:#}", architecture.name());
                note(&why);
                why
            })
        });
    }
    Ok(all)
}

/// The suites that run in the chosen machines of an architecture, each once.
fn suites_of(architecture: Architecture, chosen: &[Listed], catalogue: &Catalogue) -> Vec<String> {
    let of_it = |listed: &&Listed| listed.source.as_ref().is_some_and(|of| of.architecture == architecture);
    let named = chosen.iter().filter(of_it).flat_map(|listed| {
        let runs: Vec<&String> = listed.terms.runs.iter().map(|(suite, _)| suite).collect();
        if runs.is_empty() { catalogue.vm_suites.iter().collect() } else { runs }
    });
    named.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

/// The live suites in virtual machines, as many at a time as there are CPUs: an emulated machine has one thread, if the list does not give it CPUs of
/// its own.
fn in_machines(kernels: &[Listed], catalogue: &Catalogue, all: &Builds, long: bool) -> Vec<Suite> {
    let packaged: Vec<(&Listed, &Source)> =
        kernels.iter().filter_map(|listed| Some((listed, listed.source.as_ref()?))).collect();
    let boot = |&(listed, source): &(&Listed, &Source), out: &mut dyn FnMut(&str)| {
        let broken = |why: String| vec![Suite::broken(&listed.name, why)];
        let built = match all.get(&source.architecture) {
            Some(Ok(built)) => built,
            Some(Err(why)) => return broken(why.clone()),
            None => return broken(format!("nothing is built for {}", source.architecture.name())),
        };
        let run = vm::Run {
            listed,
            source,
            catalogue,
            built,
            sequences: if long { VM_LONG_SEQUENCES } else { VM_SEQUENCES },
            limit: if long { LONG_LIMIT } else { LIMIT },
        };
        run.suites(out).unwrap_or_else(|error| broken(format!("{error:#}")))
    };
    // A machine with a number of CPUs of its own may be emulated by as many threads: that is what it is for, and none runs beside it.
    let is_alone = |(listed, _): &(&Listed, &Source)| listed.terms.cpus.is_some();
    side_by_side::run(&packaged, side_by_side::at_once(), is_alone, boot).into_iter().flatten().collect()
}

/// The kernels to run on, of those listed.
fn choose(what: &What, listed: Vec<Listed>) -> Result<Vec<Listed>> {
    match what {
        What::All => Ok(listed.into_iter().filter(|kernel| !kernel.terms.by_name).collect()),
        What::Package => Ok(Vec::new()),
        What::Local => Ok(listed.into_iter().filter(|kernel| kernel.source.is_none()).collect()),
        What::Vm(names) if names.is_empty() => {
            Ok(listed.into_iter().filter(|kernel| kernel.source.is_some() && !kernel.terms.by_name).collect())
        }
        What::Vm(names) => names.iter().map(|name| list::find(&listed, name)).collect(),
    }
}

/// What `cargo test` runs, with the tools that set-up has brought.
fn unprivileged() -> Result<Suite> {
    let cmd = build::cargo().arguments(["test", "--workspace", "--", "--show-output"]);
    stream(cmd.env("PATH", unpacked::path()?), "cargo test", LIMIT)
}

/// The border to bpf(2) against a kernel in memory, and the wire records, under Miri: it sees every access out of bounds.
fn interpreted() -> Result<Suite> {
    const NAME: &str = "miri";
    if let Err(error) = toolchain::need_miri() {
        return Ok(Suite::skipped(NAME, &format!("{error:#}")));
    }
    let cmd = build::cargo_of("nightly")
        .arguments(["miri", "test", "--target-dir", "target/miri", "--lib"])
        .arguments(["--package", "aioinspect-kernel", "--package", "aioinspect-ebpf", "--"])
        .arguments(["bpf::map::", "census::traced_map::", "bytes::", "offsets::"])
        .env("MIRIFLAGS", "-Zmiri-disable-isolation");
    stream(cmd, NAME, LIMIT)
}

fn live(name: &str, built: &Built, long: bool) -> Result<Suite> {
    let mut cmd = undisturbed()
        .arg(built.suite(name)?)
        .arguments(catalogue::libtest_args())
        .dir(paths::root())
        .env("AIOINSPECT_BIN_DIR", &built.bins)
        .env("PATH", unpacked::path()?);
    if long {
        cmd = cmd.env("AIOINSPECT_RANDOM_SEQUENCES", LONG_SEQUENCES.to_string());
    }
    stream(cmd, &format!("native {name}"), if long { LONG_LIMIT } else { LIMIT })
}

/// What a suite is run by. A shell's `&` and nohup leave signals ignored in whatever they start, and a program that starts with one
/// ignored leaves it so: then Ctrl-C could not be tested.
const UNDISTURBED: [&str; 2] = ["env", "--default-signal"];

fn undisturbed() -> Cmd {
    let [program, argument] = UNDISTURBED;
    Cmd::new(program).arg(argument)
}

fn stream(cmd: Cmd, name: &str, limit: Duration) -> Result<Suite> {
    let mut suite = Suite::new(name);
    let ended = cmd.stream(Limits { start: limit, whole: limit }, &mut |line| {
        say(line);
        suite.line(line);
        true
    })?;
    match ended {
        Ended::Code(code) => suite.end(code),
        Ended::Deadline(limit) => suite.broken = Some(format!("it did not end within {} s", limit.as_secs())),
    }
    if let Some(why) = &suite.broken {
        note(&format!("{name}: {why}"));
    }
    Ok(suite)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check which kernels each form of the verb runs on, and that an unknown one is named.
    #[test]
    fn chooses_kernels() {
        let listed = || list::parse("6.1 bookworm p-amd64\nnative\nlocked on 6.1\n").unwrap();
        let names = |what: &What| {
            choose(what, listed()).map(|all| all.into_iter().map(|k| k.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&What::All).unwrap(), ["6.1", "native", "locked"]);
        assert_eq!(names(&What::Local).unwrap(), ["native"]);
        assert!(names(&What::Package).unwrap().is_empty());
        assert_eq!(names(&What::Vm(vec![])).unwrap(), ["6.1", "locked"]);
        assert_eq!(names(&What::Vm(vec!["locked".into()])).unwrap(), ["locked"]);
        assert!(names(&What::Vm(vec!["5.4".into()])).unwrap_err().to_string().contains("5.4"));
    }

    /// Check that a suite can be interrupted even if what starts it ignores SIGINT.
    #[test]
    fn signals_are_as_at_a_terminal() {
        let ignoring = Cmd::new("sh").arguments(["-c", "trap '' INT; exec \"$@\"", "sh"]);
        let suite = ignoring.arguments(UNDISTURBED).arguments(["sh", "-c", "kill -INT $$; exit 7"]);
        let ended = suite.stream(Limits { start: LIMIT, whole: LIMIT }, &mut |_| true).unwrap();
        assert_eq!(ended, Ended::Code(128 + 2));
    }

    /// Check that a suite which hangs, and one that says nothing, are broken and not passed.
    #[test]
    fn a_hanging_suite_is_broken() {
        let hang = stream(Cmd::new("sleep").arg("1000"), "hang", Duration::from_millis(200)).unwrap();
        assert!(hang.broken.unwrap().contains("did not end"));
        assert!(!stream(Cmd::new("true"), "silent", LIMIT).unwrap().is_good());
    }
}

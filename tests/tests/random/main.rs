//! Random states: what aioinspect finds is what the fixtures know to be true, every time.
//!
//! Needs root. `AIOINSPECT_RANDOM_SEQUENCES` is how many sequences are tried (2,000), `AIOINSPECT_RANDOM_SEED` where they
//! begin: sequence k has the seed of the run plus k, so one that failed is run alone by its own seed and a count of 1.

#[cfg(test)]
mod compare;
#[cfg(test)]
mod dying;
#[cfg(test)]
mod expected;
#[cfg(test)]
mod mappings;
#[cfg(test)]
mod round;
#[cfg(test)]
mod stranded;
#[cfg(test)]
mod verdicts;

use std::env;
use std::path::Path;
use std::time::{Instant, SystemTime};

use aioinspect_kernel::look::live::Live;
use aioinspect_tests::fixture::forks_copy_rings;
use aioinspect_tests::programs::{is_root, skip};

use round::{Round, Tally};

/// Sequences of a run of which nobody said more.
const SEQUENCES: u64 = 2_000;
/// Fixtures that are driven at a time, and then looked at in one census.
const AT_ONCE: u64 = 12;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text:?}: {error}")))
}

fn seed_of_now() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    // Short enough to be typed again.
    u64::from(now.subsec_nanos()) ^ (now.as_secs() & 0xffff_ffff)
}

/// Check that context ids, max_reqs, nr_events, in_flight by both witnesses, unreaped, mappings, findings and ghosts are the
/// truth for random sequences of states, also of contexts that are in no table any more, that every slot of aio-nr is found, and that the
/// verdict follows.
#[test]
fn random_states() {
    if !is_root() {
        return skip("random_states", "needs root (CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE)");
    }
    let slow_reads = Path::new("/dev/fuse").exists();
    if !slow_reads {
        skip("random_states with slow reads", "needs /dev/fuse (modprobe fuse)");
    }
    // Asked before the host is taken for one test alone.
    if !forks_copy_rings() {
        println!("random_states: no ghosts, since this kernel's fork does not copy AIO rings");
    }
    let seed = number("AIOINSPECT_RANDOM_SEED").unwrap_or_else(seed_of_now);
    let sequences = number("AIOINSPECT_RANDOM_SEQUENCES").unwrap_or(SEQUENCES);
    println!("AIOINSPECT_RANDOM_SEED={seed} AIOINSPECT_RANDOM_SEQUENCES={sequences}");
    let begun = Instant::now();
    let mut live = Live::new(true, 0);
    let mut tally = Tally::default();
    let mut done = 0;
    while done < sequences {
        let count = AT_ONCE.min(sequences - done);
        let round = Round { seed: seed.wrapping_add(done), count, slow_reads };
        round.run(&mut live, &mut tally);
        done += count;
    }
    println!("{sequences} sequences in {:.1} s: {tally}", begun.elapsed().as_secs_f64());
    // What was never met was not tested.
    if sequences >= 500 {
        tally.assert_everything_was_met(slow_reads);
    }
}

//! What starting costs: how many instructions the verifier checks.

use aioinspect_kernel::census::probe::Probe;

/// What a program may cost, whatever the kernel and however many CPUs it could have: `waits` takes 9,200 to 12,310 from 5.10 to 7.3.
const AT_MOST: u64 = 13_000;

/// Check that the verifier's work does not grow with the possible CPUs, and is within bounds. The counts are printed.
#[test]
fn one_cost_of_starting() {
    let counts = |possible_cpus| {
        let probe = Probe::load(possible_cpus, 0).unwrap();
        probe.verified_instructions().unwrap()
    };
    let mut counted = Vec::new();
    for possible_cpus in [1, 2, 512, 8192] {
        let programs = counts(possible_cpus);
        println!("possible_cpus {possible_cpus}: verified instructions {programs:?}");
        for (program, count) in &programs {
            assert!(*count <= AT_MOST, "{program}: {count}");
        }
        counted.push(programs);
    }
    // A kernel that does not show the memory of CPUs that are offline is read in another way where there are some.
    assert_eq!((&counted[0], &counted[2]), (&counted[1], &counted[3]));
}

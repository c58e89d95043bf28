//! Tests of what restores where, with the numbers that users of CRIU met.

use proptest::prelude::*;

use super::*;
use crate::reconcile::reconcile;
use crate::specimen;

const PAGE: u32 = 4096;

/// A ring of so many entries as an image has it.
fn image_ring(nr_req: u32, entries: u64) -> RingToMake {
    RingToMake {
        context: ContextId(0x7000),
        ring_len: Some(32 + entries * 32),
        max_reqs: None,
        written: Some(nr_req),
    }
}

fn process(rings: Vec<RingToMake>) -> ProcessToMake {
    ProcessToMake { pid: Pid(1), comm: Vec::new(), image: None, kind: HostKind::default(), rings }
}

/// CRIU issue 2677: nr_req 190 and a ring of 383 entries; the host made one of 2047, as those of 240 to 255 CPUs do.
#[test]
fn issue_2677() {
    for cpus in 240..=255 {
        assert_eq!(nr_req::nr_events(190, cpus, PAGE), Some(2047));
        let fit = fit(image_ring(190, 383), cpus, PAGE);
        let too_many = NrReqError::TooManyCpus { ring_len: 12288, cpus, smallest: 65536 };
        assert_eq!(fit.outcome, Outcome::Never(too_many));
        assert_eq!((fit.good, fit.nr_events), (Some(1..=47), Some(383)));
    }
    assert_ne!(nr_req::nr_events(190, 239, PAGE), Some(2047));
    assert_ne!(nr_req::nr_events(190, 256, PAGE), Some(2047));
}

/// The reverse: io_setup(128) on 255 CPUs made a ring of 2047 entries; a small host makes it of 959.
#[test]
fn issue_2677_reversed() {
    assert_eq!(nr_req::nr_events(959, 2, PAGE), Some(2047));
    assert_eq!(nr_req::nr_events(958, 2, PAGE), Some(1919));
    let ring =
        RingToMake { context: ContextId(1), ring_len: Some(65536), max_reqs: Some(128), written: None };
    assert_eq!(fit(ring, 2, PAGE).outcome, Outcome::Made(959));
    assert_eq!(fit(ring, 255, PAGE).outcome, Outcome::Made(128));
    // CRIU's own nr_req restores there too, for 63 slots more.
    let fit = fit(image_ring(1022, 2047), 2, PAGE);
    assert_eq!((fit.outcome, fit.good), (Outcome::Made(1022), Some(1..=255)));
}

/// CRIU issue 1156: nr_req 190, 383 entries; the host made 767, as those of 80 to 95 CPUs do.
#[test]
fn issue_1156() {
    for cpus in 80..=95 {
        assert_eq!(nr_req::nr_events(190, cpus, PAGE), Some(767));
        let fit = fit(image_ring(190, 383), cpus, PAGE);
        assert!(matches!(fit.outcome, Outcome::Never(NrReqError::TooManyCpus { .. })));
    }
}

/// CRIU issue 500: nr_req 62, 127 entries; the host made 1151, as those of 128 to 143 CPUs do.
#[test]
fn issue_500() {
    for cpus in 128..=143 {
        assert_eq!(nr_req::nr_events(62, cpus, PAGE), Some(1151));
        let fit = fit(image_ring(62, 127), cpus, PAGE);
        assert!(matches!(fit.outcome, Outcome::Never(NrReqError::TooManyCpus { .. })));
        assert_eq!(fit.good, Some(1..=15));
    }
}

/// CRIU issue 559: nr_req 381, 383 entries; 381 makes 767 on every host of up to 95 CPUs and more above: good nowhere.
#[test]
fn issue_559() {
    for cpus in 1..=8192 {
        let made = nr_req::nr_events(381, cpus, PAGE).unwrap();
        assert!(if cpus <= 95 { made == 767 } else { made > 767 });
        let fit = fit(image_ring(381, 383), cpus, PAGE);
        assert_eq!(fit.good, None);
        match fit.outcome {
            Outcome::Amend { nr_req: 190, makes } => assert!(cpus <= 47 && makes == Some(767)),
            Outcome::Never(NrReqError::TooManyCpus { .. }) => assert!(cpus > 47),
            other @ (Outcome::Made(_)
            | Outcome::Amend { .. }
            | Outcome::Never(_)
            | Outcome::UnknownLength) => panic!("{cpus}: {other:?}"),
        }
    }
}

/// Check the sums, and what CRIU's restorer needs itself: 128 in each process until its own contexts are made.
#[test]
fn slots() {
    let host = |free| RestoreHost { possible_cpus: 2, free, kind: HostKind::default() };
    let ring = |n| RingToMake {
        context: ContextId(1),
        ring_len: nr_req::ring_len(n, 2, PAGE),
        max_reqs: Some(n),
        written: None,
    };
    let of = |processes: &[&[u32]], free| {
        let processes = processes.iter().map(|rings| process(rings.iter().map(|n| ring(*n)).collect()));
        judge(processes.collect(), host(free), PAGE)
    };
    let one = of(&[&[16; 64]], Some(1024));
    assert_eq!((one.slots, one.slots_while_restoring, one.restores()), (1024, 1024, true));
    assert_eq!(one.slots_in_image, 64 * 62);
    assert!(!of(&[&[16; 64]], Some(1023)).restores());
    let small = of(&[&[16], &[1], &[]], Some(383));
    assert_eq!((small.slots, small.slots_while_restoring), (17, 384));
    assert_eq!((small.is_enough(), small.restores()), (Some(false), false));
    assert!(of(&[&[16], &[1], &[]], Some(384)).restores());
    assert_eq!(of(&[&[16]], None).is_enough(), None);
    // Nothing that could be refused.
    assert!(of(&[&[], &[]], Some(0)).restores());
}

/// Check that what an image would not have is not counted, and that a cut ring is said to be too small.
#[test]
fn of_a_process() {
    let evidence = specimen::idle();
    let fit = |evidence: &Evidence, cpus| {
        let picture = reconcile(evidence);
        let host = RestoreHost { possible_cpus: cpus, free: None, kind: HostKind::default() };
        judge(of_evidence(evidence, &picture), host, PAGE)
    };
    let here = fit(&evidence, 2);
    assert_eq!((here.slots, here.restores(), &*here.processes[0].comm), (128, true, &b"svc"[..]));
    assert_eq!(here.processes[0].rings[0].in_image, Some(190));
    assert!(!fit(&evidence, 48).restores() && fit(&evidence, 47).restores());

    let mut unmapped = evidence.clone();
    specimen::last(&mut unmapped).mappings.clear();
    assert_eq!(fit(&unmapped, 2).rings().count(), 0);
    let mut unknown = evidence;
    specimen::spoil(&mut unknown, |kioctx| (kioctx.mmap_size, kioctx.nr_pages) = (None, None));
    let unknown = fit(&unknown, 2);
    let all: Vec<_> = unknown.rings().map(|fit| fit.outcome).collect();
    assert!(all.iter().all(|outcome| *outcome == Outcome::UnknownLength) || unknown.restores());
}

/// Check that what is of another architecture, or has other pages, is not restored, with or without rings; and that what nobody knows is
/// against nobody.
#[test]
fn of_another_kind_of_host() {
    let kind = |architecture, page_size| HostKind { architecture, page_size };
    let restores = |of, there| {
        let ring =
            RingToMake { context: ContextId(1), ring_len: Some(65536), max_reqs: Some(1), written: None };
        let all = [vec![ring], Vec::new()].map(|rings| {
            let host = RestoreHost { possible_cpus: 2, free: None, kind: there };
            judge(vec![ProcessToMake { kind: of, ..process(rings) }], host, 65536)
        });
        assert_eq!(all[0].restores(), all[1].restores());
        (all[0].restores(), all[0].processes[0].foreign)
    };
    let (x86, arm) = (Some(Architecture::X86_64), Some(Architecture::Aarch64));
    let (of, there) = ("x86_64", "aarch64");
    let other = Some(Foreign::Architecture { of, there });
    assert_eq!(restores(kind(x86, Some(65536)), kind(arm, Some(65536))), (false, other));
    let other = Some(Foreign::PageSize { of: 65536, there: 4096 });
    assert_eq!(restores(kind(arm, Some(65536)), kind(arm, Some(4096))), (false, other));
    for there in [kind(None, None), kind(arm, None), kind(arm, Some(65536)), kind(None, Some(65536))] {
        for of in [kind(None, None), kind(arm, None), kind(arm, Some(65536))] {
            assert_eq!(restores(of, there), (true, None), "{of:?} {there:?}");
        }
    }
}

/// Check that each process of a list has rings of its own pages.
#[test]
fn each_by_its_own_pages() {
    let sizes = [4096, 16384, 65536];
    let processes = sizes.map(|size| {
        let ring_len = nr_req::ring_len(128, 2, size);
        let ring = RingToMake { context: ContextId(1), ring_len, max_reqs: Some(128), written: None };
        ProcessToMake { kind: HostKind { architecture: None, page_size: Some(size) }, ..process(vec![ring]) }
    });
    let host = RestoreHost { possible_cpus: 2, free: None, kind: HostKind::default() };
    let fit = judge(processes.to_vec(), host, PAGE);
    let entries: Vec<_> = fit.rings().map(|fit| (fit.nr_events, fit.outcome)).collect();
    let made = Outcome::Made(128);
    assert_eq!(entries, [(Some(383), made), (Some(511), made), (Some(2047), made)]);
}

proptest! {
    /// Check each answer against io_setup itself, for any image and any host.
    #[test]
    fn any_image(written: u32, ring_len: u32, max_reqs: Option<u32>, cpus: u32, pages in 0_u64..5000) {
        for len in [u64::from(ring_len), pages * 4096] {
            for written in [Some(written), Some(written % 5000), None] {
                let ring =
                    RingToMake { context: ContextId(1), ring_len: Some(len), max_reqs, written };
                let fit = fit(ring, cpus, PAGE);
                let makes = |nr_req| nr_req::ring_len(nr_req, cpus, PAGE) == Some(len);
                match fit.outcome {
                    Outcome::Made(nr_req) => {
                        prop_assert!(makes(nr_req));
                        prop_assert!(written.is_none_or(|written| written == nr_req));
                    }
                    Outcome::Amend { nr_req, .. } => {
                        prop_assert!(makes(nr_req) && !makes(written.unwrap()));
                    }
                    Outcome::Never(_) => prop_assert!(!written.is_some_and(makes)),
                    Outcome::UnknownLength => prop_assert!(false),
                }
                let good = fit.good.as_ref().is_some_and(|good| good.contains(&cpus));
                let by_image = fit.in_image.is_some_and(makes);
                prop_assert_eq!(good, by_image && cpus > 0);
            }
        }
    }
}

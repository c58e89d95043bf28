//! Tests of what is changed, and of everything that is refused.

use super::*;
use crate::evidence::{ImageFacts, MmLayout, SystemFacts};
use crate::specimen::{self, AT};

/// The evidence of [`specimen::idle`] on a host with pages.
fn idle() -> Evidence {
    with_pages(specimen::idle())
}

fn with_pages(evidence: Evidence) -> Evidence {
    Evidence { system: SystemFacts { page_size: 4096, ..evidence.system.clone() }, ..evidence }
}

fn ring(id: u64, nr_req: u32, ring_len: u32) -> AioRing {
    AioRing { id: ContextId(id), nr_req, ring_len }
}

fn image(aios: Vec<AioRing>) -> MmImage {
    MmImage { aios, layout: vec![("mm_brk", 0), ("mm_start_stack", 0x7ffd_0000)], ..MmImage::default() }
}

fn amend(
    images: &[(u32, &MmImage)],
    evidence: &[Evidence],
    cpus: Option<u32>,
) -> Result<Vec<AmendedImage>, Vec<String>> {
    let images: Vec<_> =
        images.iter().map(|(pid, image)| ImageToAmend { name: "mm-.img", pid: Pid(*pid), image }).collect();
    plan(&images, evidence, cpus)
        .map_err(|refusals| refusals.iter().map(|refusal| refusal.mismatch.to_string()).collect())
}

/// Check the exact nr_req, that an image which has it is left alone, and that another host gets another.
#[test]
fn nr_req_is_exact() {
    let criu = image(vec![ring(AT, 190, 12288)]);
    let amended = amend(&[(100, &criu)], &[idle()], None).unwrap();
    assert_eq!(amended[0].entries[0].change, Change::NrReq(128));
    assert_eq!((amended[0].process, amended[0].changes()), (Some(Pid(100)), true));
    let right = image(vec![ring(AT, 128, 12288)]);
    let again = amend(&[(100, &right)], &[idle()], None).unwrap();
    assert_eq!((again[0].entries[0].change, again[0].changes()), (Change::Keep, false));

    let mut small = idle();
    specimen::spoil(&mut small, |kioctx| kioctx.max_reqs = Some(1));
    let change =
        |cpus| amend(&[(100, &criu)], std::slice::from_ref(&small), cpus).unwrap()[0].entries[0].change;
    assert_eq!(change(Some(47)), Change::NrReq(1));
    assert_eq!(change(Some(2)), Change::NrReq(127));
    let refused = amend(&[(100, &criu)], &[small], Some(48)).unwrap_err();
    assert!(refused[0].contains("cannot be made on 48 possible CPUs"), "{refused:?}");
}

/// Check that a ring without a context loses its entry, and that an image without entries needs no evidence.
#[test]
fn ghosts_are_dropped() {
    let mut evidence = idle();
    specimen::last(&mut evidence).before.as_mut().unwrap().contexts.clear();
    let criu = image(vec![ring(AT, 190, 12288)]);
    let empty = image(vec![]);
    let amended = amend(&[(100, &criu), (7, &empty)], &[evidence.clone()], None).unwrap();
    assert_eq!(amended[0].entries[0].change, Change::DropGhost);
    assert_eq!((amended[1].process, amended[1].changes()), (None, false));
    assert_eq!(amend(&[(100, &empty)], &[evidence], None).unwrap()[0].entries, []);
}

/// Check each thing that does not match.
#[test]
fn what_does_not_match() {
    let good = image(vec![ring(AT, 190, 12288)]);
    let says = |image: &MmImage, evidence: &Evidence| {
        amend(&[(100, image)], std::slice::from_ref(evidence), None).unwrap_err()
    };
    assert_eq!(amend(&[(101, &good)], &[idle()], None).unwrap_err(), ["the evidence has no process 101"]);
    assert_eq!(amend(&[(100, &good)], &[], None).unwrap_err(), ["the evidence has no process 100"]);
    assert_eq!(
        says(&image(vec![ring(AT, 190, 12288), ring(AT + 0x10000, 62, 4096)]), &idle()),
        ["the evidence knows no ring at 0x7f0000010000, for which the image has an entry"]
    );
    assert_eq!(
        says(&image(vec![ring(AT, 62, 4096)]), &idle()),
        ["the ring at 0x7f0000000000 has 4096 bytes in the image and 12288 in the evidence"]
    );
    assert_eq!(
        says(&image(vec![]), &idle()),
        ["the image has no entry for context 0x7f0000000000 of the evidence"]
    );
    assert_eq!(
        says(&image(vec![ring(AT, 190, 12288), ring(AT, 128, 12288)]), &idle()),
        ["the image has two entries for 0x7f0000000000"]
    );
    let brk = MmImage { layout: vec![("mm_brk", 1)], ..good.clone() };
    assert_eq!(says(&brk, &idle()), ["mm_brk is 0x1 in the image and 0x0 in the evidence"]);
    let mut other = idle();
    let layout = MmLayout { start_stack: 0x7ffe_0000, ..MmLayout::default() };
    other.spaces[0].image = Some(ImageFacts { layout, ..ImageFacts::default() });
    assert_eq!(
        says(&good, &other),
        ["mm_start_stack is 0x7ffd0000 in the image and 0x7ffe0000 in the evidence"]
    );
    let pages = |size| MmImage { auxv: vec![6, size, 0, 0], ..good.clone() };
    assert_eq!(
        says(&pages(65536), &idle()),
        ["pages have 65536 bytes in the image and 4096 in the evidence"]
    );
    assert!(amend(&[(100, &pages(4096))], &[idle()], None).is_ok());
    let proc = Evidence { source: CensusSource::Proc, ..idle() };
    assert!(says(&good, &proc)[0].contains("without BPF"));
}

/// Check that evidence of requests in flight amends nothing, and that completions in the ring do not matter.
#[test]
fn what_is_not_idle() {
    let good = image(vec![ring(AT, 190, 12288)]);
    let mut flying = idle();
    specimen::spoil(&mut flying, |kioctx| (kioctx.reqs_available, kioctx.percpu_refs) = (Some(380), Some(3)));
    let refused = amend(&[(100, &good)], &[flying], None).unwrap_err();
    assert_eq!(refused, ["by the evidence, process 100 is not idle: 0x7f0000000000: 2 requests in flight"]);
    let mut waiting = idle();
    specimen::spoil(&mut waiting, |kioctx| {
        (kioctx.reqs_available, kioctx.tail, kioctx.completed_events) = (Some(380), Some(2), Some(2));
    });
    specimen::forge(&mut waiting, |header| header.head = 0);
    assert!(amend(&[(100, &good)], &[waiting], None).is_ok());
}

/// Check that the PIDs are taken of one namespace, the one in which all images have their process.
#[test]
fn pids_of_the_tree() {
    let good = image(vec![ring(AT, 190, 12288)]);
    let mut tree = idle();
    let mut second = tree.spaces[0].clone();
    second.mm = crate::units::MmId(2);
    tree.spaces[0].processes[0].ns_pids = vec![100, 1];
    second.processes[0].pid = Pid(200);
    second.processes[0].ns_pids = vec![200, 100];
    tree.spaces.push(second);
    let processes = |pids: [u32; 2]| {
        let amended = amend(&[(pids[0], &good), (pids[1], &good)], &[tree.clone()], None)?;
        Ok(amended.iter().map(|image| image.process.unwrap().0).collect::<Vec<_>>())
    };
    assert_eq!(processes([100, 200]), Ok(vec![100, 200]));
    assert_eq!(processes([1, 100]), Ok(vec![100, 200]));
    // Of both levels mixed there is no such tree.
    assert_eq!(processes([1, 200]), Err(vec!["the evidence has no process 1".to_owned()]));
}

/// Check that of two files the one about the process is taken.
#[test]
fn several_files() {
    let good = image(vec![ring(AT, 190, 12288)]);
    let mut late = idle();
    specimen::spoil(&mut late, |kioctx| kioctx.max_reqs = Some(129));
    late.target = Some(Pid(100));
    let amended = amend(&[(100, &good)], &[idle(), late], None).unwrap();
    assert_eq!(amended[0].entries[0].change, Change::NrReq(129));
}

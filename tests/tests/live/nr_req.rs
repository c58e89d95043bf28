//! The arithmetic of nr_req, against io_setup itself.
#![expect(unsafe_code, reason = "io_setup, and a word of the ring it makes")]

use std::path::Path;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_kernel::host::system;
use aioinspect_model::nr_req::{nr_events, nr_req_for, ring_len};
use aioinspect_tests::host::Share;

use crate::tool::PATIENCE;

/// io_destroy waits for an RCU grace period, some 30 ms; so many wait at a time, and hold at most 3,000 slots each.
const WORKERS: u32 = 12;
const MOST: u32 = 3_000;

/// The words `id` and `nr` of the ring that io_setup makes for `n`; the context is gone again.
fn nr_of(n: u32) -> u32 {
    let mut id: u64 = 0;
    let begun = Instant::now();
    // SAFETY: the kernel writes one aio_context_t, an unsigned long, into `id`.
    while unsafe { libc::syscall(libc::SYS_io_setup, n, &raw mut id) } != 0 {
        let error = std::io::Error::last_os_error();
        // Others of this host hold slots too.
        assert!(
            error.raw_os_error() == Some(libc::EAGAIN) && begun.elapsed() < PATIENCE,
            "io_setup({n}): {error}"
        );
        id = 0;
        thread::sleep(Duration::from_millis(20));
    }
    let address = usize::try_from(id).unwrap();
    // SAFETY: the ring that the kernel has just mapped there starts with eight words, and nobody else knows it.
    let nr = unsafe { ptr::read_volatile(ptr::with_exposed_provenance::<u32>(address).add(1)) };
    // SAFETY: takes a number; the ring it unmaps is not referred to.
    assert_eq!(unsafe { libc::syscall(libc::SYS_io_destroy, id) }, 0);
    nr
}

/// Check for n = 1 to 3,000 that io_setup(n) makes the ring that the arithmetic says, and that nr_req, with max_reqs known or not, makes
/// the same ring again, and with it known costs no more than it must.
#[test]
fn rings_of_io_setup() {
    let _share = Share::take();
    let facts = system::facts().unwrap();
    let (cpus, page) = (facts.possible_cpus, facts.page_size);
    // The first process of a test machine, which is slow, has its plan there.
    let stride = if Path::new("/plan").exists() { 37 } else { 1 };
    let next = AtomicU32::new(1);
    let estimates = Mutex::new(std::collections::BTreeMap::new());
    let each = || {
        loop {
            let n = next.fetch_add(stride, Ordering::Relaxed);
            if n > MOST {
                return;
            }
            let nr = nr_of(n);
            assert_eq!(nr_events(n, cpus, page), Some(nr), "nr_events of io_setup({n})");
            let bytes = 32 * (u64::from(nr) + 1);
            assert_eq!(ring_len(n, cpus, page), Some(bytes), "ring of io_setup({n})");
            let known = nr_req_for(Some(n), bytes, cpus, page).unwrap();
            assert_eq!(known, n, "on the host that made it nr_req is what io_setup was asked for");
            let estimate = nr_req_for(None, bytes, cpus, page).unwrap();
            assert!(estimate >= n, "{estimate} for io_setup({n})");
            estimates.lock().unwrap().insert(estimate, nr);
        }
    };
    thread::scope(|scope| (0..WORKERS).for_each(|_| drop(scope.spawn(each))));
    let estimates = estimates.into_inner().unwrap();
    // Every number of pages from the smallest ring's to the largest's: a stride is less than what a page holds.
    let pages = |nr: &u32| usize::try_from(32 * (u64::from(*nr) + 1) / u64::from(page)).unwrap();
    let (least, most) = (estimates.values().map(pages).min(), estimates.values().map(pages).max());
    assert_eq!(estimates.len(), most.unwrap() - least.unwrap() + 1, "{estimates:?}");
    assert!(estimates.len() > 1, "{estimates:?}");
    for (estimate, nr) in estimates {
        assert_eq!(nr_of(estimate), nr, "io_setup({estimate}), the estimate without max_reqs");
        assert_ne!(nr_of(estimate + 1), nr, "{estimate} is the largest");
    }
}

//! How large a ring io_setup makes, and which arguments make a ring of a given length.
//!
//! fs/aio.c:ioctx_alloc and aio_setup_ring: `entries = 2 * max(n, 4 * possible_cpus) + 2`, then the ring is rounded up to
//! pages. So many arguments give one ring, and the same argument gives another ring on a host with more CPUs.

use std::ops::RangeInclusive;

use crate::units::{IO_EVENT_LEN, RING_HEADER_LEN};

/// The most `max(n, 4 * possible_cpus)` may be: twice it must not exceed 0x10000000 / 32 (fs/aio.c:ioctx_alloc, EINVAL).
pub const MAX_REQS_LIMIT: u32 = 0x1000_0000 / 32 / 2;

/// Bytes of `struct aio_ring`.
const HEADER: u64 = RING_HEADER_LEN as u64;

/// Why no argument of io_setup can re-create a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NrReqError {
    /// Not a whole number of pages, or none.
    #[error("ring length {ring_len} is not a multiple of the page size {page_size}")]
    NotPages {
        /// Bytes of the ring.
        ring_len: u64,
        /// Bytes of a page.
        page_size: u32,
    },
    /// On so many CPUs every ring is larger: dump with `--restore-on` of a smaller host.
    #[error(
        "ring length {ring_len} cannot be made on {cpus} possible CPUs, where the smallest ring has {smallest}"
    )]
    TooManyCpus {
        /// Bytes of the ring.
        ring_len: u64,
        /// Possible CPUs of the host that restores.
        cpus: u32,
        /// Bytes of the smallest ring there.
        smallest: u64,
    },
    /// The ring has no room for the requests the context may hold: it was cut by mremap.
    #[error("ring length {ring_len} is too small for max_reqs {max_reqs}")]
    TooSmall {
        /// Bytes of the ring.
        ring_len: u64,
        /// What the kernel allows the context.
        max_reqs: u32,
    },
    /// No io_setup makes a ring of this length, on any number of CPUs.
    #[error("ring length {ring_len} is not one that io_setup makes")]
    NoSuchRing {
        /// Bytes of the ring.
        ring_len: u64,
    },
}

/// Bytes of the ring that `io_setup(max_reqs)` makes; `None` where it answers EINVAL.
pub fn ring_len(max_reqs: u32, possible_cpus: u32, page_size: u32) -> Option<u64> {
    if max_reqs == 0 || page_size == 0 {
        return None;
    }
    let reqs = u64::from(max_reqs).max(4 * u64::from(possible_cpus));
    if reqs > u64::from(MAX_REQS_LIMIT) {
        return None;
    }
    let bytes = HEADER + IO_EVENT_LEN * (2 * reqs + 2);
    Some(bytes.next_multiple_of(u64::from(page_size)))
}

/// Slots in a ring of so many bytes, `kioctx.nr_events`; `None` if not even the header fits.
pub fn entries(ring_len: u64) -> Option<u32> {
    u32::try_from(ring_len.checked_sub(HEADER)? / IO_EVENT_LEN).ok()
}

/// `kioctx.nr_events` after `io_setup(max_reqs)`; `None` where it answers EINVAL.
pub fn nr_events(max_reqs: u32, possible_cpus: u32, page_size: u32) -> Option<u32> {
    entries(ring_len(max_reqs, possible_cpus, page_size)?)
}

/// The `nr_req` to write for a ring, so that restoring on a host of `cpus` possible CPUs makes the same one.
///
/// With `max_reqs` known it is the smallest that is not less, so that the context costs no more of aio-max-nr than it
/// must. Without, it is CRIU's own estimate, `(entries - 2) / 2`: the largest.
pub fn nr_req_for(
    max_reqs: Option<u32>,
    ring_len: u64,
    cpus: u32,
    page_size: u32,
) -> Result<u32, NrReqError> {
    let (least, most) = arguments(ring_len, page_size)?.into_inner();
    let floor = u64::from(cpus) * 4;
    if floor > u64::from(most) {
        let smallest = self::ring_len(1, cpus, page_size).unwrap_or(u64::MAX);
        return Err(NrReqError::TooManyCpus { ring_len, cpus, smallest });
    }
    let Some(max_reqs) = max_reqs else { return Ok(most) };
    if max_reqs > most {
        return Err(NrReqError::TooSmall { ring_len, max_reqs });
    }
    // Below the floor any number makes the floor's ring.
    if floor >= u64::from(least) { Ok(max_reqs.max(1)) } else { Ok(max_reqs.max(least)) }
}

/// The values of `max(n, 4 * possible_cpus)` that make a ring of so many bytes.
fn arguments(ring_len: u64, page_size: u32) -> Result<RangeInclusive<u32>, NrReqError> {
    let page = u64::from(page_size);
    if ring_len == 0 || page == 0 || !ring_len.is_multiple_of(page) {
        return Err(NrReqError::NotPages { ring_len, page_size });
    }
    let no_such_ring = NrReqError::NoSuchRing { ring_len };
    // A ring of one page less must not do, one of this length must.
    let most = half(ring_len).ok_or(no_such_ring)?;
    let least = half(ring_len - page).map_or(1, |n| n.saturating_add(1));
    let most = most.min(MAX_REQS_LIMIT);
    if least > most { Err(no_such_ring) } else { Ok(least..=most) }
}

/// On how many possible CPUs `io_setup(nr_req)` makes a ring of so many bytes; `None`: on no number.
pub fn cpus_for(nr_req: u32, ring_len: u64, page_size: u32) -> Option<RangeInclusive<u32>> {
    let (least, most) = arguments(ring_len, page_size).ok()?.into_inner();
    if nr_req == 0 || nr_req > most {
        return None;
    }
    // From `fewest` on the CPUs make the ring large enough, after `limit` too large.
    let fewest = if nr_req >= least { 1 } else { least.div_ceil(4) };
    let limit = most / 4;
    (fewest <= limit).then_some(fewest..=limit)
}

/// The largest number of requests that fits a ring of so many bytes; `None` if it is too small or too large for any.
fn half(ring_len: u64) -> Option<u32> {
    let n = (ring_len.checked_sub(HEADER)? / IO_EVENT_LEN).checked_sub(2)? / 2;
    u32::try_from(n).ok().filter(|n| *n > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes that a page has on some architecture.
    const PAGES: [u32; 3] = [4096, 16384, 65536];

    /// Check the numbers seen on a kernel with two possible CPUs.
    #[test]
    fn rings_as_seen() {
        assert_eq!(ring_len(128, 2, 4096), Some(12288));
        assert_eq!(nr_events(128, 2, 4096), Some(383));
        assert_eq!(nr_events(1, 2, 4096), Some(127));
        assert_eq!(ring_len(62, 2, 4096), Some(4096));
        assert_eq!(ring_len(63, 2, 4096), Some(8192));
        assert_eq!(ring_len(1, 512, 4096), ring_len(2048, 1, 4096));
    }

    /// Check what io_setup refuses.
    #[test]
    fn limits() {
        assert_eq!(ring_len(0, 1, 4096), None);
        assert_eq!(ring_len(MAX_REQS_LIMIT + 1, 1, 4096), None);
        assert_eq!(ring_len(u32::MAX, u32::MAX, u32::MAX), None);
        assert_eq!(ring_len(1 << 31, 1, 4096), None);
        let longest = ring_len(MAX_REQS_LIMIT, 1, 4096).unwrap();
        assert_eq!(nr_req_for(Some(MAX_REQS_LIMIT), longest, 1, 4096), Ok(MAX_REQS_LIMIT));
        assert_eq!(nr_req_for(None, longest, 1, 4096), Ok(MAX_REQS_LIMIT));
        let longer = longest + 4096;
        assert_eq!(nr_req_for(None, longer, 1, 4096), Err(NrReqError::NoSuchRing { ring_len: longer }));
        let too_many = nr_req_for(Some(u32::MAX), longest, 1, 4096);
        assert_eq!(too_many, Err(NrReqError::TooSmall { ring_len: longest, max_reqs: u32::MAX }));
    }

    /// Check that each impossible ring has its own error.
    #[test]
    fn what_cannot_work() {
        assert!(matches!(nr_req_for(None, 0, 2, 4096), Err(NrReqError::NotPages { .. })));
        assert!(matches!(nr_req_for(None, 12000, 2, 4096), Err(NrReqError::NotPages { .. })));
        assert!(matches!(nr_req_for(None, 4096, 2, 0), Err(NrReqError::NotPages { .. })));
        assert_eq!(
            nr_req_for(Some(1), 4096, 16, 4096),
            Err(NrReqError::TooManyCpus { ring_len: 4096, cpus: 16, smallest: 8192 })
        );
        assert_eq!(
            nr_req_for(Some(63), 4096, 2, 4096),
            Err(NrReqError::TooSmall { ring_len: 4096, max_reqs: 63 })
        );
    }

    /// Check every ring of up to 3,000 requests made on 1 to 512 CPUs, restored on the same host and on others.
    ///
    /// Exhaustive for n near the steps, where a mistake by one would show, and for every n on a few hosts.
    #[test]
    fn all_rings_of_all_hosts() {
        for page in PAGES {
            for made_on in 1..=512 {
                let every = matches!(made_on, 1 | 2 | 15 | 16 | 64 | 512);
                let ring = |n| ring_len(n, made_on, page).unwrap();
                let steps = (1..=3000)
                    .filter(|n| every || *n == 1 || ring(*n) != ring(*n - 1) || ring(*n) != ring(*n + 1));
                for n in steps {
                    check(n, made_on, made_on, page);
                    for restored_on in [1, 2, made_on.saturating_sub(1).max(1), made_on + 1, 512] {
                        check(n, made_on, restored_on, page);
                    }
                }
            }
        }
    }

    /// The properties of `nr_req_for`, against the plain definition.
    fn check(n: u32, made_on: u32, restored_on: u32, page: u32) {
        let len = ring_len(n, made_on, page).unwrap();
        let same = |m| ring_len(m, restored_on, page) == Some(len);
        match nr_req_for(Some(n), len, restored_on, page) {
            Ok(m) => {
                assert!(m >= n && same(m), "{n} {made_on} {restored_on} {page} -> {m}");
                assert!(m == n || !same(m - 1), "{m} is not the smallest for {n}");
                assert!(made_on != restored_on || m == n);
                let estimate = nr_req_for(None, len, restored_on, page).unwrap();
                assert!(same(estimate) && !same(estimate + 1) && estimate >= m);
                assert_eq!(estimate, (entries(len).unwrap() - 2) / 2);
            }
            Err(NrReqError::TooManyCpus { smallest, .. }) => {
                assert!(smallest > len && ring_len(1, restored_on, page) == Some(smallest));
            }
            Err(error) => panic!("{n} {made_on} {restored_on} {page}: {error}"),
        }
    }

    /// Check the CPUs of an image against the plain definition, CPU by CPU.
    #[test]
    fn cpus_of_an_image() {
        for page in PAGES {
            for pages in 1..=40 {
                let len = pages * u64::from(page);
                for nr_req in (0..=800).step_by(7).chain([1, 62, 63, 126, 190, 191, 254, 381]) {
                    let good: Vec<u32> =
                        (1..=700).filter(|cpus| ring_len(nr_req, *cpus, page) == Some(len)).collect();
                    let said = cpus_for(nr_req, len, page);
                    let said: Vec<u32> = said.into_iter().flatten().take_while(|cpus| *cpus <= 700).collect();
                    assert_eq!(said, good, "{nr_req} {len} {page}");
                }
            }
        }
        assert_eq!(cpus_for(190, 12288, 4096), Some(1..=47));
        assert_eq!(cpus_for(190, 12287, 4096), None);
    }

    proptest! {
        /// Check that no numbers overflow, and that what is answered is true.
        #[test]
        fn any_numbers(max_reqs: Option<u32>, len: u64, pages in 0_u64..200_000, cpus: u32, page: u32) {
            let whole = PAGES.map(|page| (pages * u64::from(page), page));
            let last = PAGES.map(|page| (0_u64.wrapping_sub(page.into()), page));
            for (len, page) in [(len, page)].into_iter().chain(whole).chain(last) {
                if let Ok(n) = nr_req_for(max_reqs, len, cpus, page) {
                    prop_assert_eq!(ring_len(n, cpus, page), Some(len));
                    prop_assert!(max_reqs.is_none_or(|least| least <= n));
                }
            }
            let _ = (ring_len(max_reqs.unwrap_or(1), cpus, page), nr_events(1, cpus, page), entries(len));
            let _ = cpus_for(max_reqs.unwrap_or(1), len, page);
        }

        /// Check large arguments on hosts that differ.
        #[test]
        fn large(n in 1..=MAX_REQS_LIMIT, cpus in 1_u32..512, other in 1_u32..512) {
            for page in PAGES {
                check(n, cpus, cpus, page);
                check(n, cpus, other, page);
            }
        }

        /// Check the ring against the kernel's own steps (fs/aio.c:ioctx_alloc, aio_setup_ring), and that its length and its entries give
        /// one another.
        #[test]
        fn as_the_kernel_computes(n in 1..=MAX_REQS_LIMIT, cpus in 1_u32..8192) {
            for page in PAGES.map(u64::from) {
                // unsigned int nr_events = max(nr_events, num_possible_cpus() * 4) * 2; nr_events += 2;
                let wanted = u64::from(n.max(cpus * 4)) * 2 + 2;
                // size = sizeof(struct aio_ring) + sizeof(struct io_event) * nr_events; nr_pages = PFN_UP(size);
                let nr_pages = (32 + 32 * wanted).div_ceil(page);
                // nr_events = (PAGE_SIZE * nr_pages - sizeof(struct aio_ring)) / sizeof(struct io_event);
                let kernels = (page * nr_pages - 32) / 32;
                let size = u32::try_from(page).unwrap();
                let len = ring_len(n, cpus, size).unwrap();
                prop_assert_eq!(len, page * nr_pages);
                prop_assert_eq!(nr_events(n, cpus, size).map(u64::from), Some(kernels));
                prop_assert_eq!(entries(len).map(u64::from), Some(kernels));
                // No entry is left over: a length is that of one number of entries.
                prop_assert_eq!(32 + 32 * kernels, len);
                // With fewer or more bytes of a page it may be no ring, but never another one by the same pages.
                for other in PAGES {
                    if let Ok(m) = nr_req_for(Some(n), len, cpus, other) {
                        prop_assert_eq!(ring_len(m, cpus, other), Some(len));
                    }
                }
            }
        }
    }
}

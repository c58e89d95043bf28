//! What an mm image of CRIU says, in terms that can be printed.

use crate::units::ContextId;

/// One entry of `aios`: a context, as CRIU makes it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AioRing {
    /// Its id, the ring's address.
    pub id: ContextId,
    /// The argument of io_setup with which CRIU makes it again.
    pub nr_req: u32,
    /// Bytes of its ring.
    pub ring_len: u32,
}

/// The numbers of `struct mm_struct` that an image has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ImageMm {
    /// The end of the heap.
    pub brk: u64,
    /// 0 not dumpable, 1 dumpable, 2 dumpable by root only.
    pub dumpable: u32,
}

/// An mm image.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct MmImage {
    /// Its contexts, in the image's order.
    pub aios: Vec<AioRing>,
    /// The addresses by CRIU's names, `mm_start_code` to `mm_env_end`.
    pub layout: Vec<(&'static str, u64)>,
    /// Id of the program's file in `files.img`.
    pub exe_file_id: u32,
    /// Words of the auxiliary vector.
    pub auxv: Vec<u64>,
    /// Its mappings, in the image's order.
    pub vmas: Vec<ImageVma>,
    /// As PR_GET_DUMPABLE says; `None`: not in the image.
    pub dumpable: Option<i32>,
    /// Whether PR_SET_THP_DISABLE was used; `None`: not in the image.
    pub thp_disabled: Option<bool>,
}

impl MmImage {
    /// Bytes of a page of the host that it is of, by its auxiliary vector (`AT_PAGESZ`); `None`: it does not tell, or tells what is no size
    /// of a page.
    pub fn page_size(&self) -> Option<u32> {
        /// include/uapi/linux/auxvec.h
        const AT_PAGESZ: u64 = 6;
        let (pairs, _) = self.auxv.as_chunks::<2>();
        let [_, size] = pairs.iter().find(|[key, _]| *key == AT_PAGESZ)?;
        u32::try_from(*size).ok().filter(|size| size.is_power_of_two() && *size >= 4096)
    }
}

/// A mapping in an mm image.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ImageVma {
    /// First address.
    pub start: u64,
    /// Address after the last.
    pub end: u64,
    /// Offset into the file, in bytes.
    pub pgoff: u64,
    /// Id of the file, or inode number of shared anonymous memory; 0 without either.
    pub shmid: u64,
    /// PROT_* names joined by ` | `, unknown bits in hexadecimal; empty for 0. So are the next two.
    pub prot: String,
    /// MAP_* names.
    pub flags: String,
    /// VMA_* names.
    pub status: String,
    /// Bit n: MADV_n.
    pub madv: Option<u64>,
    /// O_* of the mapped file.
    pub fdflags: Option<u32>,
    /// Whether `status` says that it is an AIO ring.
    pub is_ring: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the size of a page is found where it is, and that nothing else is taken for one.
    #[test]
    fn size_of_a_page() {
        let of = |auxv: &[u64]| MmImage { auxv: auxv.to_vec(), ..MmImage::default() }.page_size();
        for size in [4096, 16384, 65536] {
            assert_eq!(of(&[33, 6, 6, size, 0, 0]).map(u64::from), Some(size));
        }
        for none in [&[][..], &[6], &[16, 6, 4096, 6], &[6, 0], &[6, 4095], &[6, 2048], &[6, 1 << 32]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}

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

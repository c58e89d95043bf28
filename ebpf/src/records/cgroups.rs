//! The records by which the programs tell which control groups a process is in, by number and by
//! name: whoever reads an event may find them gone.
//!
//! ```text
//! event or count: cgroups
//!   -> CGROUPS {cgroups, 0}: 2 follow
//!      CGROUPS {cgroups, 1}: hierarchy 0, id 4711
//!        -> CGROUP_NAMES {4711, 0, part 0}: "docker-0f1e..", above it 12
//!           CGROUP_NAMES {12, 0, part 0}: "system.slice", above it 0
//!      CGROUPS {cgroups, 2}: hierarchy 4, id 0
//! ```

use crate::bytes::wire;

wire! {
    /// Key of the map CGROUPS: one of the control groups of a css_set (kernel/cgroup/cgroup.c),
    /// which is one of each hierarchy.
    pub struct CgroupKey: 16 {
        /// A digest of them all, never 0: the same ones have the same, and whatever is in the map
        /// under it is true for ever.
        cgroups: u64,
        /// 0: how many there are. From 1: one of them.
        index: u32,
        /// Named padding, 0.
        _pad: u32,
    }
}

wire! {
    /// Value of the map CGROUPS.
    pub struct CgroupRecord: 16 {
        /// `kernfs_node.id`, which no other of its hierarchy ever has; 0: the root.
        id: u64,
        /// `cgroup_root.hierarchy_id`, as the first number of each line of /proc/PID/cgroup.
        hierarchy: u32,
        /// At index 0: how many follow. It is written last.
        count: u32,
    }
}

wire! {
    /// Key of the map CGROUP_NAMES: [`CgroupNameRecord::BYTES`] bytes of the name of a control
    /// group.
    pub struct CgroupNameKey: 16 {
        /// `kernfs_node.id`.
        id: u64,
        /// `cgroup_root.hierarchy_id`.
        hierarchy: u32,
        /// Which bytes of it, from 0.
        part: u32,
    }
}

wire! {
    /// Value of the map CGROUP_NAMES. The name ends with a NUL, in this part or a later one; what
    /// follows it means nothing.
    pub struct CgroupNameRecord: 40 {
        /// `kernfs_node.id` of the one that it is in; 0: the root.
        above: u64,
        /// The bytes in memory's order, in four words.
        name_0: u64,
        /// The second word.
        name_1: u64,
        /// The third word.
        name_2: u64,
        /// The fourth word.
        name_3: u64,
    }
}

impl CgroupNameRecord {
    /// Bytes of a name in one part.
    pub const BYTES: u32 = 32;
    /// Parts of a name at most: it has 255 bytes (NAME_MAX) and a NUL.
    pub const PARTS: u32 = 8;

    /// The bytes of this part.
    pub fn bytes(&self) -> [u8; Self::BYTES as usize] {
        let words = [self.name_0, self.name_1, self.name_2, self.name_3];
        let mut bytes = [0; Self::BYTES as usize];
        for (to, word) in bytes.chunks_exact_mut(8).zip(words) {
            to.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

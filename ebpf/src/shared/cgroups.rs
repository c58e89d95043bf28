//! The control groups of whoever calls, taken at the call: a moment later the process and its
//! groups may be gone, and with them their names.
//!
//! What names them is told once for each css_set, in maps (`records/cgroups.rs`); an event has the
//! key. So a storm of failures costs the digest alone: a walk along the css_set's list, one entry
//! for each hierarchy, of which a host has one (cgroup v2) or about a dozen (v1).
//!
//! The list of a css_set does not change while a process is in it, but where a hierarchy is mounted
//! meanwhile (kernel/cgroup/cgroup.c: cgroup_setup_root); what is read in such a moment is another
//! digest.
#![expect(
    clippy::needless_borrows_for_generic_args,
    reason = "helpers take the address of a key: no copy is made for it"
)]

use aya_ebpf::helpers::generated::bpf_get_current_task;
use aya_ebpf::macros::map;
use aya_ebpf::maps::HashMap;

use crate::shared::memory::{read, read_8};
use crate::shared::who::leader_of;
use crate::{CgroupKey, CgroupNameKey, CgroupNameRecord, CgroupRecord, place};

/// The control groups that were told of; userspace sets the size. All memory is taken at once, here
/// and below: of what is taken as entries come, the kernel has no more than some dozens at hand,
/// and a program may need more at its first call.
#[map]
static CGROUPS: HashMap<CgroupKey, CgroupRecord> = HashMap::with_max_entries(1, 0);
/// The names of those groups, a level each.
#[map]
static CGROUP_NAMES: HashMap<CgroupNameKey, CgroupNameRecord> = HashMap::with_max_entries(1, 0);

/// Hierarchies that are looked at: each of the kernel's controllers may have one, and a few have
/// none of them.
const HIERARCHIES: u32 = 32;
/// Groups one in the other.
const LEVELS: u32 = 32;

const NOEXIST: u64 = 1;
const EEXIST: i32 = -17;

/// The control groups of the process of `task`: those of its leader, as /proc/PID/cgroup has them.
/// A key of CGROUPS, 0 if they are not known.
#[inline(always)]
pub fn of_process(task: u64) -> u64 {
    told(read(leader_of(task), place!(task_cgroups)))
}

/// The root of the reader's cgroup namespace, to which it has all paths relative; 0 if it is not
/// known.
#[inline(always)]
pub fn root_of_reader() -> u64 {
    // SAFETY: always allowed in a tracing program.
    let reader = unsafe { bpf_get_current_task() };
    let namespaces: u64 = read(reader, place!(task_nsproxy));
    let namespace: u64 = read(namespaces, place!(nsproxy_cgroup_ns));
    told(read(namespace, place!(cgroup_ns_root)))
}

// Functions of their own with global names: the verifier checks each once, and not again at each of
// its calls.
// SAFETY: nobody else has functions of these names.

/// The key of a css_set, told of if it was not yet.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn told(css_set: u64) -> u64 {
    let cgroups = digest(css_set);
    if cgroups == 0 || CGROUPS.get_ptr(&CgroupKey { cgroups, index: 0, _pad: 0 }).is_some() {
        return cgroups;
    }
    if tell(css_set, cgroups) == 0 { 0 } else { cgroups }
}

/// A digest of the groups of a css_set: of hierarchies and ids, no addresses. 0 if they cannot be
/// read.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn digest(css_set: u64) -> u64 {
    let end = list_of(css_set);
    let mut digest = 1u64;
    let mut at = first(css_set);
    for _ in 0..HIERARCHIES {
        if at == 0 || at == end {
            break;
        }
        let (hierarchy, node) = of_link(at);
        digest = mix(mix(digest, hierarchy), id_of(node));
        at = read_8(at);
    }
    // One that ends elsewhere is not read to its end.
    if at == 0 || at != end || digest == 0 { 0 } else { digest }
}

/// Writes the groups of a css_set to CGROUPS and their names to CGROUP_NAMES; 0 if there is no
/// room.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell(css_set: u64, cgroups: u64) -> u32 {
    let end = list_of(css_set);
    let mut at = first(css_set);
    let mut count = 0u32;
    for _ in 0..HIERARCHIES {
        if at == 0 || at == end {
            break;
        }
        let (hierarchy, node) = of_link(at);
        if tell_path(node, hierarchy) == 0 {
            return 0;
        }
        count = count.wrapping_add(1);
        let one = CgroupRecord { id: id_of(node), hierarchy: hierarchy as u32, count: 0 };
        if !put(cgroups, count, &one) {
            return 0;
        }
        at = read_8(at);
    }
    u32::from(at == end && put(cgroups, 0, &CgroupRecord { id: 0, hierarchy: 0, count }))
}

#[inline(always)]
fn put(cgroups: u64, index: u32, record: &CgroupRecord) -> bool {
    is_there(CGROUPS.insert(&CgroupKey { cgroups, index, _pad: 0 }, record, NOEXIST))
}

/// Another CPU may be quicker.
#[inline(always)]
fn is_there(answer: Result<(), i32>) -> bool {
    match answer {
        Ok(()) => true,
        Err(error) => error == EEXIST,
    }
}

/// Tells the names of a group and of those it is in, the root's excepted; 0 if there is no room.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell_path(node: u64, hierarchy: u64) -> u32 {
    let mut node = node;
    // The last is the root.
    for _ in 0..=LEVELS {
        let above: u64 = read(node, place!(kernfs_parent));
        if above == 0 {
            return 1;
        }
        if tell_name(node, hierarchy, id_of(above)) == 0 {
            return 0;
        }
        node = above;
    }
    0
}

/// Tells one name, a part at a time; 0 if there is no room.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell_name(node: u64, hierarchy: u64, above: u64) -> u32 {
    for part in 0..CgroupNameRecord::PARTS {
        match tell_part(node, hierarchy | u64::from(part) << 32, above) {
            ENDED => return 1,
            GOES_ON => {}
            _ => return 0,
        }
    }
    0
}

const ENDED: u32 = 1;
const GOES_ON: u32 = 2;

/// Tells one part of a name; `place`: the hierarchy, and above 32 bits the number of the part.
/// Whether the name ends in it, 0 if there is no room.
///
/// A part is short because all of it is on the stack, of which those who call have little left.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn tell_part(node: u64, place: u64, above: u64) -> u32 {
    let name: u64 = read(node, place!(kernfs_name));
    let part = (place >> 32) as u32;
    let at = name.wrapping_add(u64::from(part.wrapping_mul(CgroupNameRecord::BYTES)));
    let mut ended = false;
    // Beyond the end too: to leave words out would have the compiler fill them in a loop, which
    // 5.10 does not take.
    let mut word = |nth: u64| {
        let word = read_8(at.wrapping_add(nth * 8));
        ended |= has_nul(word);
        word
    };
    let record =
        CgroupNameRecord { above, name_0: word(0), name_1: word(1), name_2: word(2), name_3: word(3) };
    let key = CgroupNameKey { id: id_of(node), hierarchy: place as u32, part };
    if !is_there(CGROUP_NAMES.insert(&key, &record, NOEXIST)) {
        return 0;
    }
    if ended { ENDED } else { GOES_ON }
}

/// Whether one of the bytes is 0.
#[inline(always)]
fn has_nul(word: u64) -> bool {
    word.wrapping_sub(0x0101_0101_0101_0101) & !word & 0x8080_8080_8080_8080 != 0
}

#[inline(always)]
fn mix(digest: u64, more: u64) -> u64 {
    let mixed = (digest ^ more).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

/// Where the list of a css_set begins and ends; 0 if this kernel has no such list.
#[inline(always)]
fn list_of(css_set: u64) -> u64 {
    if css_set == 0 || !place!(css_set_links).is_present() || !place!(link_next).is_present() {
        return 0;
    }
    css_set.wrapping_add(u64::from(place!(css_set_links).offset()))
}

#[inline(always)]
fn first(css_set: u64) -> u64 {
    read(css_set, place!(css_set_links))
}

/// The hierarchy and the directory of the group that an entry of the list stands for.
#[inline(always)]
fn of_link(at: u64) -> (u64, u64) {
    let link = at.wrapping_sub(u64::from(place!(link_next).offset()));
    let cgroup: u64 = read(link, place!(link_cgroup));
    let root: u64 = read(cgroup, place!(cgroup_root));
    (u64::from(read::<u32>(root, place!(root_hierarchy))), read(cgroup, place!(cgroup_kn)))
}

/// The id of a directory, 0 for that of the root.
#[inline(always)]
fn id_of(node: u64) -> u64 {
    let above: u64 = read(node, place!(kernfs_parent));
    if above == 0 { 0 } else { read(node, place!(kernfs_id)) }
}

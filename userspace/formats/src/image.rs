//! The content of `mm-PID.img`, as CRIU would write it.
//!
//! | field | comes from | alone it cannot be known |
//! |---|---|---|
//! | `mm_start_code` .. `mm_env_end` | `/proc/PID/stat` | |
//! | `mm_brk`, `dumpable` | `struct mm_struct` | |
//! | `exe_file_id` | 0 | an id in `files.img`, which is CRIU's; 0 points nowhere |
//! | `mm_saved_auxv` | `/proc/PID/auxv`, the first 44 words (aarch64: 50) | |
//! | `vmas[].shmid` of a file | 0 | an id in `files.img` |
//! | `vmas[].shmid` of shared anonymous memory | its inode number | |
//! | `vmas[].status` | name, device, permissions in `/proc/PID/smaps` | CRIU stats the file behind the mapping |
//! | `vmas[].fdflags` of a shared mapping | `mw` in VmFlags: the file is open for writing | |
//! | `vmas[].fdflags` of a private mapping | 0, read only | how the file was opened |
//! | `vmas[].madv`, further `flags` | VmFlags | |
//! | `aios` | verified contexts | |
//! | `thp_disabled` | `THP_enabled` in `/proc/PID/status` | |
//!
//! So the image is for reading (crit, `show`) and for `amend`; a restore takes CRIU's own mm image.

use aioinspect_proto::crit;
use aioinspect_proto::schema::criu::{AioRingEntry, MmEntry, VmaEntry};

use aioinspect_model::architecture::Architecture;
use aioinspect_model::evidence::{ImageFacts, Vma};
use aioinspect_model::image::{AioRing, ImageMm, ImageVma, MmImage};
use aioinspect_model::units::ContextId;

/// The one entry of an mm image; a ring without an entry in `aios` (a ghost) stays among the mappings.
///
/// Of the auxiliary vector it has as many words as CRIU keeps, whose restore refuses more. A kernel with more entries (6.18 on x86_64: 46
/// words) loses the last ones in CRIU's own images too, AT_NULL among them.
pub fn mm_entry(architecture: Architecture, facts: &ImageFacts, mm: ImageMm, aios: &[AioRing]) -> MmEntry {
    let layout = &facts.layout;
    MmEntry {
        mm_start_code: layout.start_code,
        mm_end_code: layout.end_code,
        mm_start_data: layout.start_data,
        mm_end_data: layout.end_data,
        mm_start_stack: layout.start_stack,
        mm_start_brk: layout.start_brk,
        mm_brk: mm.brk,
        mm_arg_start: layout.arg_start,
        mm_arg_end: layout.arg_end,
        mm_env_start: layout.env_start,
        mm_env_end: layout.env_end,
        exe_file_id: 0,
        mm_saved_auxv: facts.auxv.iter().take(architecture.auxv_words()).copied().collect(),
        vmas: vma_entries(&facts.vmas),
        dumpable: i32::try_from(mm.dumpable).ok(),
        aios: aios
            .iter()
            .map(|ring| AioRingEntry { id: ring.id.0, nr_req: ring.nr_req, ring_len: ring.ring_len })
            .collect(),
        thp_disabled: facts.thp_disabled,
    }
}

/// What a decoded image says, for printing.
pub fn mm_image(entry: &MmEntry) -> MmImage {
    MmImage {
        aios: entry
            .aios
            .iter()
            .map(|aio| AioRing { id: ContextId(aio.id), nr_req: aio.nr_req, ring_len: aio.ring_len })
            .collect(),
        layout: crit::layout(entry).to_vec(),
        exe_file_id: entry.exe_file_id,
        auxv: entry.mm_saved_auxv.clone(),
        vmas: entry.vmas.iter().map(image_vma).collect(),
        dumpable: entry.dumpable,
        thp_disabled: entry.thp_disabled,
    }
}

fn image_vma(vma: &VmaEntry) -> ImageVma {
    ImageVma {
        start: vma.start,
        end: vma.end,
        pgoff: vma.pgoff,
        shmid: vma.shmid,
        prot: crit::prot_text(vma.prot),
        flags: crit::map_text(vma.flags),
        status: crit::status_text(vma.status),
        madv: vma.madv,
        fdflags: vma.fdflags,
        is_ring: vma.status & AREA_AIORING != 0,
    }
}

/// Newer kernels map the vDSO's data in two parts, `[vvar]` and `[vvar_vclock]`; CRIU makes one entry of them.
fn vma_entries(vmas: &[Vma]) -> Vec<VmaEntry> {
    let mut entries: Vec<VmaEntry> = Vec::with_capacity(vmas.len());
    for vma in vmas {
        match entries.last_mut() {
            Some(last)
                if vma.name == b"[vvar_vclock]" && last.status & AREA_VVAR != 0 && last.end == vma.start =>
            {
                last.end = vma.end;
            }
            Some(_) | None => entries.push(vma_entry(vma)),
        }
    }
    entries
}

fn vma_entry(vma: &Vma) -> VmaEntry {
    let area = area(vma);
    let perms = vma.perms;
    let bit = |set: bool, bit: u32| if set { bit } else { 0 };
    let madv = bits(&vma.vm_flags, &MADV).fold(0, |madv, advice| madv | 1_u64 << advice);
    VmaEntry {
        start: vma.start,
        end: vma.end,
        pgoff: vma.offset,
        shmid: if area.status & ANON_SHARED != 0 { vma.inode } else { 0 },
        prot: bit(perms.read, 1) | bit(perms.write, 2) | bit(perms.exec, 4),
        flags: bits(&vma.vm_flags, &MAP).fold(0, |flags, flag| flags | flag)
            | bit(perms.shared, MAP_SHARED)
            | bit(!perms.shared, MAP_PRIVATE)
            | bit(area.anonymous, MAP_ANON)
            | bit(vma.name == b"[stack]", MAP_GROWSDOWN),
        status: area.status,
        fd: -1,
        madv: (madv != 0).then_some(madv),
        fdflags: area.file.then(|| {
            let writable = vma.vm_flags.split(' ').any(|code| code == "mw");
            bit(vma.is_ring || (perms.shared && writable), O_RDWR)
        }),
    }
}

struct Area {
    status: u32,
    /// MAP_ANON belongs to its flags.
    anonymous: bool,
    /// A file is behind it, even if only the kernel's own.
    file: bool,
}

fn area(vma: &Vma) -> Area {
    let shared = vma.perms.shared;
    let pick = |private: u32, of_shared: u32| if shared { of_shared } else { private };
    if vma.is_ring {
        return Area { status: AREA_AIORING, anonymous: false, file: true };
    }
    let file = vma.inode != 0 || vma.device != (0, 0) || vma.name.starts_with(b"/");
    if !file {
        let kind = match vma.name.as_slice() {
            // The latter: of a 32-bit process on aarch64.
            b"[vsyscall]" | b"[vectors]" => AREA_VSYSCALL,
            b"[vdso]" => AREA_REGULAR | AREA_VDSO,
            b"[vvar]" | b"[vvar_vclock]" => AREA_REGULAR | AREA_VVAR,
            b"[heap]" => AREA_REGULAR | AREA_HEAP,
            _ => AREA_REGULAR,
        };
        return Area { status: kind | pick(ANON_PRIVATE, ANON_SHARED), anonymous: true, file: false };
    }
    // The kernel's own files: on a device without a number of its own, and never to be found by their names.
    let own = |prefix: &[u8]| {
        vma.device.0 == 0 && vma.name.starts_with(prefix) && vma.name.ends_with(b" (deleted)")
    };
    let named_shmem = vma.device.0 == 0 && vma.name.starts_with(b"[anon_shmem:");
    if own(b"/SYSV") {
        return Area { status: AREA_REGULAR | ANON_SHARED | AREA_SYSVIPC, anonymous: true, file: true };
    }
    if own(b"/dev/zero") || own(b"/anon_hugepage") || named_shmem {
        return Area { status: AREA_REGULAR | pick(ANON_PRIVATE, ANON_SHARED), anonymous: true, file: true };
    }
    let memfd = if own(b"/memfd:") { AREA_MEMFD } else { 0 };
    let socket = if vma.name.starts_with(b"socket:[") { AREA_SOCKET } else { 0 };
    Area {
        status: AREA_REGULAR | memfd | socket | pick(FILE_PRIVATE, FILE_SHARED),
        anonymous: false,
        file: true,
    }
}

/// The values in `table` of the codes in `vm_flags`.
fn bits<'a>(vm_flags: &'a str, table: &'a [(&'a str, u32)]) -> impl Iterator<Item = u32> + 'a {
    vm_flags
        .split(' ')
        .filter_map(|code| table.iter().find(|(known, _)| *known == code))
        .map(|(_, value)| *value)
}

/// Code of VmFlags, bit of `flags` (MAP_*): of include/uapi/asm-generic/mman.h, which x86_64 and aarch64 share. The codes that only
/// aarch64 has, `bt` (branch targets) and `mt` (memory tags), are PROT_* bits; CRIU passes over them, and so is done here.
const MAP: [(&str, u32); 5] =
    [("gd", MAP_GROWSDOWN), ("dp", MAP_DROPPABLE), ("lo", 0x2000), ("nr", 0x4000), ("ht", 0x4_0000)];

/// Code of VmFlags, MADV_* whose bit is set in `madv`.
const MADV: [(&str, u32); 8] =
    [("rr", 1), ("sr", 2), ("dc", 10), ("mg", 12), ("hg", 14), ("nh", 15), ("dd", 16), ("wf", 18)];

const MAP_SHARED: u32 = 0x1;
const MAP_PRIVATE: u32 = 0x2;
const MAP_DROPPABLE: u32 = 0x8;
const MAP_ANON: u32 = 0x20;
const MAP_GROWSDOWN: u32 = 0x100;
const O_RDWR: u32 = 2;

const AREA_REGULAR: u32 = 1 << 0;
const AREA_VSYSCALL: u32 = 1 << 2;
const AREA_VDSO: u32 = 1 << 3;
const AREA_HEAP: u32 = 1 << 5;
const FILE_PRIVATE: u32 = 1 << 6;
const FILE_SHARED: u32 = 1 << 7;
const ANON_SHARED: u32 = 1 << 8;
const ANON_PRIVATE: u32 = 1 << 9;
const AREA_SYSVIPC: u32 = 1 << 10;
const AREA_SOCKET: u32 = 1 << 11;
const AREA_VVAR: u32 = 1 << 12;
const AREA_AIORING: u32 = 1 << 13;
const AREA_MEMFD: u32 = 1 << 14;

#[cfg(test)]
mod tests {
    use super::*;
    use aioinspect_model::evidence::{MmLayout, Perms};
    use aioinspect_proto::image;

    const SAMPLE: &[u8] = include_bytes!("../../../proto/tests/fixtures/criu-4.2-mm-1-ctx.img");

    fn perms(letters: &str) -> Perms {
        let has = |c| letters.contains(c);
        Perms { read: has('r'), write: has('w'), exec: has('x'), shared: has('s') }
    }

    /// Permissions, inode, name and VmFlags as Linux 6.18 printed them for processes like the sample's.
    const SMAPS: [(&str, u64, &str, &str); 25] = [
        ("r--p", 1, "/x", "rd mr mw me"),
        ("r-xp", 1, "/x", "rd ex mr mw me"),
        ("r--p", 1, "/x", "rd mr mw me"),
        ("r--p", 1, "/x", "rd mr mw me ac"),
        ("rw-p", 1, "/x", "rd wr mr mw me ac"),
        ("rw-p", 0, "[heap]", "rd wr mr mw me ac"),
        ("rw-p", 0, "", "rd wr mr mw me ac"),
        ("r--p", 2, "/libc.so.6", "rd mr mw me"),
        ("r-xp", 2, "/libc.so.6", "rd ex mr mw me"),
        ("r--p", 2, "/libc.so.6", "rd mr mw me"),
        ("r--p", 2, "/libc.so.6", "rd mr mw me ac"),
        ("rw-p", 2, "/libc.so.6", "rd wr mr mw me ac"),
        ("rw-p", 0, "", "rd wr mr mw me ac"),
        ("rw-s", 9, "/[aio] (deleted)", "rd wr sh mr mw me ms de"),
        ("rw-p", 0, "", "rd wr mr mw me ac"),
        ("r--p", 0, "[vvar]", "rd mr pf io de dd"),
        ("r--p", 0, "[vvar_vclock]", "rd mr pf io de dd"),
        ("r-xp", 0, "[vdso]", "rd ex mr mw me de"),
        ("r--p", 3, "/ld.so", "rd mr mw me"),
        ("r-xp", 3, "/ld.so", "rd ex mr mw me"),
        ("r--p", 3, "/ld.so", "rd mr mw me"),
        ("r--p", 3, "/ld.so", "rd mr mw me ac"),
        ("rw-p", 3, "/ld.so", "rd wr mr mw me ac"),
        ("rw-p", 0, "[stack]", "rd wr mr mw me gd ac"),
        ("--xp", 0, "[vsyscall]", "ex"),
    ];

    /// Where the mappings of the sample lie, its `[vvar]` taken apart as the kernel has it.
    fn places(sample: &MmEntry) -> Vec<(u64, u64, u64)> {
        let mut places = Vec::new();
        for vma in &sample.vmas {
            let split = if vma.status & AREA_VVAR != 0 { vma.end - 0x2000 } else { vma.end };
            places.push((vma.start, split, vma.pgoff));
            if split != vma.end {
                places.push((split, vma.end, 0));
            }
        }
        places
    }

    /// Check that the facts of /proc give the bytes of CRIU 4.2's own image, but for the ids of files.
    #[test]
    fn facts_become_the_image_that_criu_writes() {
        let sample = image::decode(SAMPLE).unwrap();
        let vmas = places(&sample)
            .into_iter()
            .zip(SMAPS)
            .map(|((start, end, offset), (letters, inode, name, vm_flags))| Vma {
                start,
                end,
                offset,
                perms: perms(letters),
                device: if inode == 0 || inode == 9 { (0, 0) } else { (0xfe, 0) },
                inode,
                name: name.into(),
                vm_flags: vm_flags.to_owned(),
                is_ring: inode == 9,
            })
            .collect::<Vec<_>>();
        assert_eq!(vmas.len(), 25);
        let facts = ImageFacts {
            layout: MmLayout {
                start_code: sample.mm_start_code,
                end_code: sample.mm_end_code,
                start_stack: sample.mm_start_stack,
                start_data: sample.mm_start_data,
                end_data: sample.mm_end_data,
                start_brk: sample.mm_start_brk,
                arg_start: sample.mm_arg_start,
                arg_end: sample.mm_arg_end,
                env_start: sample.mm_env_start,
                env_end: sample.mm_env_end,
            },
            auxv: [&sample.mm_saved_auxv[..], &[0, 0]].concat(),
            vmas,
            thp_disabled: Some(false),
        };
        let mm = ImageMm { brk: sample.mm_brk, dumpable: 1 };
        let ring = AioRing { id: ContextId(sample.aios[0].id), nr_req: 126, ring_len: 8192 };
        let mut ours = mm_entry(Architecture::X86_64, &facts, mm, &[ring]);
        assert_eq!(ours.exe_file_id, 0);

        ours.exe_file_id = sample.exe_file_id;
        for (ours, theirs) in ours.vmas.iter_mut().zip(&sample.vmas) {
            assert_eq!(ours.shmid, 0);
            ours.shmid = theirs.shmid;
        }
        assert_eq!(ours, sample);
        assert_eq!(image::encode(&ours).unwrap(), SAMPLE);
    }

    #[test]
    fn kinds_that_the_sample_does_not_have() {
        let entry = |letters: &str, device: (u32, u32), name: &str, vm_flags: &str| {
            vma_entry(&Vma {
                perms: perms(letters),
                device,
                inode: 77,
                name: name.into(),
                vm_flags: vm_flags.to_owned(),
                ..Vma::default()
            })
        };
        let short = |e: &VmaEntry| (e.flags, e.status, e.shmid, e.fdflags, e.madv);
        let shared = entry("rw-s", (0, 1), "/dev/zero (deleted)", "rd wr sh mr mw me ms");
        assert_eq!(short(&shared), (0x21, 0x101, 77, Some(2), None));
        let sysv = entry("r--s", (0, 1), "/SYSV00000000 (deleted)", "rd sh mr mw me ms dc");
        assert_eq!(short(&sysv), (0x21, 0x501, 77, Some(2), Some(1 << 10)));
        let memfd = entry("rw-s", (0, 1), "/memfd:x (deleted)", "rd wr sh mr mw me ms");
        assert_eq!(short(&memfd), (0x1, 0x4081, 0, Some(2), None));
        let read_only = entry("r--s", (0xfe, 0), "/etc/x", "rd mr me ms");
        assert_eq!(short(&read_only), (0x1, 0x81, 0, Some(0), None));
        let of_aarch64 = entry("rw-p", (0, 0), "/x", "rd wr mr mw me ac bt mt");
        assert_eq!(of_aarch64.flags, entry("rw-p", (0, 0), "/x", "rd wr mr mw me ac").flags);
        let droppable = entry("rw-p", (0, 0), "/x", "rd wr mr mw me dp");
        assert_eq!(droppable.flags, of_aarch64.flags | 0x8);
        let named_so = entry("rw-p", (0xfe, 0), "/dev/zero (deleted)", "rd wr lo nr ht rr hg");
        assert_eq!(short(&named_so), (0x4_6002, 0x41, 0, Some(0), Some(1 << 1 | 1 << 14)));
    }

    /// Check that of the auxiliary vector there is as much as the CRIU of that architecture takes.
    #[test]
    fn auxiliary_vector() {
        for (architecture, kept) in [(Architecture::X86_64, 44), (Architecture::Aarch64, 50)] {
            for words in [40_u64, 44, 46, 50, 52] {
                let facts = ImageFacts { auxv: (0..words).collect(), ..ImageFacts::default() };
                let entry = mm_entry(architecture, &facts, ImageMm::default(), &[]);
                assert_eq!(entry.mm_saved_auxv, (0..words.min(kept)).collect::<Vec<_>>());
            }
        }
    }

    /// Check that a ring without a context stays a mapping and gets no entry.
    #[test]
    fn ghosts_stay_mappings() {
        let ghost = Vma { perms: perms("rw-s"), inode: 1, is_ring: true, ..Vma::default() };
        let facts = ImageFacts { vmas: vec![ghost], ..ImageFacts::default() };
        let entry = mm_entry(Architecture::X86_64, &facts, ImageMm::default(), &[]);
        assert_eq!(entry.aios, []);
        let vma =
            VmaEntry { prot: 3, flags: 1, status: 8192, fd: -1, fdflags: Some(2), ..VmaEntry::default() };
        assert_eq!(entry.vmas, [vma]);
    }
}

//! Checks on texts as kernels print them, on spoofs, and on damage.

use std::cell::Cell;

use proptest::prelude::*;

use crate::proc::smaps::*;

const SMAPS: &[u8] = b"\
55d0c0a00000-55d0c0a02000 r--p 00000000 fe:01 1234                       /usr/bin/a b\n\
Size:                  8 kB\n\
KernelPageSize:        4 kB\n\
ProtectionKey:         0\n\
VmFlags: rd mr mw me sd \n\
7f9ed1510000-7f9ed1513000 rw-s 00001000 00:13 38567                      /[aio] (deleted)\n\
Size:                 12 kB\n\
VmFlags: rd wr sh mr mw me ms de \n\
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 \n\
Size:                132 kB\n\
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n";

/// Check every field of every mapping, with and without name and flags.
#[test]
fn mappings() {
    let vmas = parse(SMAPS).unwrap();
    assert_eq!(vmas.len(), 4);
    assert_eq!(vmas[0].name, b"/usr/bin/a b");
    assert_eq!(vmas[0].device, (0xfe, 1));
    assert_eq!(vmas[0].vm_flags, "rd mr mw me sd");
    let ring = &vmas[1];
    assert_eq!(
        (ring.start, ring.end, ring.offset, ring.inode),
        (0x7f9e_d151_0000, 0x7f9e_d151_3000, 0x1000, 38567)
    );
    assert_eq!(ring.perms, Perms { read: true, write: true, exec: false, shared: true });
    assert_eq!(ring.vm_flags, "rd wr sh mr mw me ms de");
    assert_eq!((vmas[2].name.as_slice(), vmas[2].vm_flags.as_str()), (b"".as_slice(), ""));
    assert_eq!((vmas[3].end, vmas[3].name.as_slice()), (0xffff_ffff_ff60_1000, b"[vsyscall]".as_slice()));
    assert_eq!(vmas.iter().map(|vma| vma.is_ring).collect::<Vec<_>>(), [false, true, false, false]);
    let rings = ring_mappings(&vmas);
    assert_eq!(rings.len(), 1);
    assert_eq!((rings[0].start, rings[0].inode, rings[0].source), (ring.start, 38567, MappingSource::Smaps));
}

/// Check that the short way finds the same rings, flags included.
#[test]
fn only_rings() {
    let all: Vec<Vma> = parse(SMAPS).unwrap().into_iter().filter(|vma| vma.is_ring).collect();
    assert_eq!(parse_rings(SMAPS).unwrap(), all);
}

fn line(device: &str, inode: u64, perms: &str, name: &str) -> Vec<u8> {
    format!("1000-2000 {perms} 00000000 {device} {inode}      {name}\n").into_bytes()
}

/// Check each of the signs of a ring, and names of any bytes.
#[test]
fn signs_of_a_ring() {
    let ring = |text: &[u8]| parse(text).unwrap()[0].is_ring;
    assert!(ring(&line("00:13", 1, "rw-s", "/[aio] (deleted)")));
    assert!(ring(&line("00:13", 1, "---s", "/[aio]")));
    assert!(!ring(&line("fe:01", 1, "rw-s", "/[aio] (deleted)")));
    assert!(!ring(&line("00:13", 0, "rw-s", "/[aio] (deleted)")));
    assert!(!ring(&line("00:13", 1, "rw-p", "/[aio] (deleted)")));
    assert!(!ring(&line("00:13", 1, "rw-s", "/tmp/[aio] (deleted)")));
    assert!(!ring(&line("00:13", 1, "rw-s", "/[aio]  (deleted)")));
    assert!(!ring(&line("00:13", 1, "rw-s", "/[aio] (deleted) (deleted)")));
    let mut odd = line("00:13", 1, "rw-s", "");
    odd.splice(odd.len() - 1.., *b"/\xff\r\t\\012VmFlags: rd\n");
    assert_eq!(parse(&odd).unwrap()[0].name, b"/\xff\r\t\\012VmFlags: rd");
}

/// Check that a file of the ring's name is told from a ring by its mode, and a device is asked about once.
#[test]
fn spoofs_are_refuted() {
    let name = "/[aio] (deleted)";
    let text =
        [line("00:2f", 7, "rw-s", name), line("00:13", 8, "rw-s", name), line("00:13", 9, "rw-s", name)]
            .concat();
    let rings = |mode_of: &dyn Fn(u64) -> Option<u32>| {
        let mut vmas = parse(&text).unwrap();
        for (n, vma) in (1..).zip(vmas.iter_mut()) {
            vma.start = n;
        }
        let asked = Cell::new(0);
        confirm_rings(&mut vmas, |start, _| {
            asked.set(asked.get() + 1);
            mode_of(start)
        });
        (vmas.iter().map(|vma| vma.is_ring).collect::<Vec<_>>(), asked.get())
    };
    let regular = 0o100_644;
    assert_eq!(rings(&|n| Some(if n == 1 { regular } else { 0o600 })), (vec![false, true, true], 2));
    assert_eq!(rings(&|_| None), (vec![true, true, true], 3));
    assert_eq!(rings(&|n| (n == 3).then_some(0o600)), (vec![false, true, true], 3));
    assert_eq!(rings(&|n| (n == 1).then_some(regular)), (vec![false, true, true], 3));
    assert_eq!(rings(&|_| Some(regular)).0, [false, false, false]);
}

/// Check that what is no list of mappings is refused with its place.
#[test]
fn bad_lines() {
    assert_eq!(parse(b"Size: 1\n"), Err(SmapsError::Stray { line: 1 }));
    for bad in [
        "2000-1000 rw-p 0 0:0 0\n",
        "1000-2000 rw-q 0 0:0 0\n",
        "1000-2000 rw-p 0 0:0 0x1\n",
        "1000-2000 rw-p 0 0:0 \n",
        "1000-2000 rw-p 0 100000000:0 0\n",
        "1000-20000000000000000 rw-p 0 0:0 0\n",
        "-2000 rw-p 0 0:0 0\n",
        "+1000-2000 rw-p 0 0:0 0\n",
        "1000-2000 rw-p 0 0:0 18446744073709551616\n",
        "1000-2000",
        "?",
    ] {
        let text = format!("{}{bad}", "1000-2000 rw-p 0 0:0 0\n\n");
        assert!(matches!(parse(text.as_bytes()), Err(SmapsError::Line { line: 3, .. })), "{bad}");
    }
    assert!(matches!(parse(b"1000-2000 rw-p 0 0:0 0\nSize\n"), Err(SmapsError::Line { line: 2, .. })));
    assert_eq!(parse(b""), Ok(vec![]));
}

/// Check this process's own lists: both read alike.
#[test]
fn own() {
    let maps = parse(&std::fs::read("/proc/self/maps").unwrap()).unwrap();
    assert!(maps.iter().any(|vma| vma.name == b"[stack]"));
    let smaps = parse(&std::fs::read("/proc/self/smaps").unwrap()).unwrap();
    let stack = smaps.iter().find(|vma| vma.name == b"[stack]").unwrap();
    assert!(stack.vm_flags.split(' ').all(|code| code.len() == 2) && stack.vm_flags.contains("rd wr"));
}

/// What smaps of a process with one ring is, as a kernel prints it whose pages have so many bytes.
fn smaps_of_ring(page: u64, at: u64, pages: u64) -> String {
    let (start, end) = (at * page, (at + pages) * page);
    format!(
        "{start:x}-{end:x} rw-s 00000000 00:13 38567                      /[aio] (deleted)\n\
         Size:           {:8} kB\nKernelPageSize: {:8} kB\nMMUPageSize:    {:8} kB\n\
         VmFlags: rd wr sh mr mw me ms de \n\
         {end:x}-{:x} rw-p 00000000 00:00 0 \nVmFlags: rd wr ex mr mw me ac bt mt \n",
        pages * page / 1024,
        page / 1024,
        page / 1024,
        end + page
    )
}

proptest! {
    /// Check that a ring is found where it is and as long as it is, whatever a page is, and that codes of one architecture only stay.
    #[test]
    fn rings_of_any_page(kib in prop::sample::select(vec![4_u64, 16, 64]), at in 1_u64..1 << 24, pages in 1_u64..1 << 16) {
        let page = kib * 1024;
        let text = smaps_of_ring(page, at, pages);
        let vmas = parse(text.as_bytes()).unwrap();
        let rings = ring_mappings(&vmas);
        prop_assert_eq!(rings.len(), 1);
        prop_assert_eq!((rings[0].start, rings[0].end - rings[0].start), (at * page, pages * page));
        prop_assert_eq!(&parse_rings(text.as_bytes()).unwrap()[..], &vmas[..1]);
        prop_assert!(vmas[1].vm_flags.ends_with(" ac bt mt") && !vmas[1].is_ring);
    }

    /// Check that no text makes it panic, and that the short way agrees wherever the long way reads.
    #[test]
    fn any_text(bytes: Vec<u8>, hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)) {
        let _ = parse(&bytes);
        let mut text = SMAPS.to_vec();
        for (at, byte) in hits {
            let at = at.index(text.len());
            text[at] = byte;
        }
        if let Ok(vmas) = parse(&text) {
            let rings: Vec<Vma> = vmas.into_iter().filter(|vma| vma.is_ring).collect();
            prop_assert_eq!(parse_rings(&text).unwrap(), rings);
        }
    }
}

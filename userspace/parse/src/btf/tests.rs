//! Checks on blobs built here, on damaged ones, and on this machine's own.

use std::io::Write;

use proptest::prelude::*;

use aioinspect_ebpf::Place;

use crate::btf::number::Shape;
use crate::btf::*;

/// What the tests look for.
const WANTED: &[Wanted] = &[
    (Named::Struct, "kioctx"),
    (Named::Func, "kioctx"),
    (Named::Struct, "flagged"),
    (Named::Struct, "old"),
    (Named::Struct, "task_struct"),
    (Named::Struct, "list_head"),
    (Named::Func, "vfs_read"),
    (Named::Struct, "vfs_read"),
    (Named::Struct, ""),
];

/// Builds a BTF blob, type after type; ids count from 1.
#[derive(Default)]
pub(crate) struct Builder {
    types: Vec<u8>,
    names: Vec<u8>,
    count: u32,
}

/// Name, type id, offset in bits.
pub(crate) type Field<'a> = (&'a str, u32, u32);

impl Builder {
    fn name(&mut self, name: &str) -> u32 {
        if self.names.is_empty() {
            self.names.push(0);
        }
        if name.is_empty() {
            return 0;
        }
        let at = self.names.len();
        self.names.extend_from_slice(name.as_bytes());
        self.names.push(0);
        u32::try_from(at).unwrap()
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        kind: u32,
        vlen: usize,
        flag: bool,
        word: u32,
        tail: &[u32],
    ) -> u32 {
        let name = self.name(name);
        let info = u32::try_from(vlen).unwrap() | kind << 24 | u32::from(flag) << 31;
        for n in [name, info, word].iter().chain(tail) {
            self.types.extend_from_slice(&n.to_le_bytes());
        }
        self.count += 1;
        self.count
    }

    pub(crate) fn int(&mut self, name: &str, bytes: u32) -> u32 {
        self.add(name, 1, 0, false, bytes, &[(1 << 24) | (bytes * 8)])
    }

    pub(crate) fn pointer(&mut self, to: u32) -> u32 {
        self.add("", 2, 0, false, to, &[])
    }

    pub(crate) fn array(&mut self, of: u32, count: u32) -> u32 {
        self.add("", 3, 0, false, 0, &[of, 1, count])
    }

    pub(crate) fn body(&mut self, name: &str, bytes: u32, fields: &[Field<'_>]) -> u32 {
        self.composite(4, name, bytes, false, fields)
    }

    pub(crate) fn composite(
        &mut self,
        kind: u32,
        name: &str,
        bytes: u32,
        flag: bool,
        fields: &[Field<'_>],
    ) -> u32 {
        let tail: Vec<u32> = fields.iter().flat_map(|(name, id, at)| [self.name(name), *id, *at]).collect();
        self.add(name, kind, fields.len(), flag, bytes, &tail)
    }

    pub(crate) fn func(&mut self, name: &str) -> u32 {
        let proto = self.add("", 13, 0, false, 0, &[]);
        self.add(name, 12, 0, false, proto, &[])
    }

    pub(crate) fn blob(&self) -> Vec<u8> {
        let mut names = self.names.clone();
        if names.is_empty() {
            names.push(0);
        }
        let len = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
        let mut blob = vec![0x9f, 0xeb, 1, 0];
        for n in [24, 0, len(&self.types), len(&self.types), len(&names)] {
            blob.extend_from_slice(&n.to_le_bytes());
        }
        blob.extend_from_slice(&self.types);
        blob.extend_from_slice(&names);
        blob
    }
}

/// One of every kind, with `kioctx` nested as the kernel's is.
fn sample() -> Builder {
    let mut b = Builder::default();
    let int = b.int("int", 4);
    let long = b.int("long", 8);
    let counter = b.body("", 4, &[("counter", int, 0)]);
    let atomic = b.add("atomic_t", 8, 0, false, counter, &[]);
    let hot = b.body("", 64, &[("reqs_available", atomic, 32)]);
    let either = b.composite(5, "", 64, false, &[("", hot, 0), ("raw", long, 0)]);
    let constant = b.add("", 10, 0, false, long, &[]);
    let volatile = b.add("", 9, 0, false, constant, &[]);
    let array = b.array(volatile, 3);
    b.body(
        "kioctx",
        136,
        &[("users", atomic, 0), ("user_id", volatile, 64), ("", either, 128), ("array", array, 832)],
    );
    b.composite(
        4,
        "flagged",
        8,
        true,
        &[("low", int, 3 << 24), ("across", int, 9 << 24 | 3), ("whole", int, 32), ("", int, 5 << 24 | 0xc)],
    );
    let narrow = b.add("narrow", 1, 0, false, 4, &[2 << 16 | 3]);
    let two = b.add("two", 1, 0, false, 4, &[2]);
    b.body("old", 4, &[("bits", narrow, 0), ("late", two, 22)]);
    b.add("e", 6, 2, false, 4, &[0, 0, 0, 1]);
    b.add("fwd", 7, 0, false, 0, &[]);
    b.add("", 11, 0, false, int, &[]);
    b.add("var", 14, 0, false, int, &[0]);
    b.add("sec", 15, 1, false, 4, &[int, 0, 4]);
    b.add("float", 16, 0, false, 4, &[]);
    b.add("tag", 17, 0, false, int, &[0]);
    b.add("tag", 18, 0, false, int, &[]);
    b.add("e64", 19, 1, false, 8, &[0, 1, 0]);
    b.add("kioctx", 8, 0, false, int, &[]);
    b.body("kioctx", 1, &[]);
    b.func("kioctx");
    b
}

/// Check that members are found through typedefs, anonymous structs and unions, and that the first definition counts.
#[test]
fn members_of_nested_bodies() {
    let blob = sample().blob();
    let btf = Btf::parse(&blob, WANTED).unwrap();
    let id = btf.find(Named::Struct, "kioctx").unwrap();
    assert_eq!(btf.size_of(id), Ok(136));
    let offset = |path| btf.member(id, path).map(|member| member.bit / 8);
    assert_eq!(offset("users"), Ok(0));
    assert_eq!(offset("users.counter"), Ok(0));
    assert_eq!(offset("user_id"), Ok(8));
    assert_eq!(offset("reqs_available"), Ok(20));
    assert_eq!(offset("reqs_available.counter"), Ok(20));
    assert_eq!(offset("raw"), Ok(16));
    let size = |path| btf.size_of(btf.member(id, path).unwrap().type_id);
    assert_eq!(size("array"), Ok(24));
    assert_eq!(size("reqs_available"), Ok(4));
    assert!(matches!(offset("reqs"), Err(BtfError::NoMember { name, .. }) if name == "reqs"));
    assert!(matches!(offset(""), Err(BtfError::NoMember { .. })));
    assert!(matches!(offset("user_id.counter"), Err(BtfError::NoMembers { .. })));
    assert!(matches!(offset("array.counter"), Err(BtfError::NoMembers { .. })));
}

/// Check that both encodings of bit fields give the bits, and that only a number is a number.
#[test]
fn places() {
    let blob = sample().blob();
    let btf = Btf::parse(&blob, WANTED).unwrap();
    let id = |name| btf.find(Named::Struct, name).unwrap();
    let number = |of, path| btf.place(id(of), path, Shape::Number);
    assert_eq!(number("flagged", "low"), Ok(Place::bit_field(0, 1, 0, 3)));
    assert_eq!(number("flagged", "across"), Ok(Place::bit_field(0, 2, 3, 9)));
    assert_eq!(number("flagged", "whole"), Ok(Place::whole(4, 4)));
    assert_eq!(number("old", "bits"), Ok(Place::bit_field(0, 1, 2, 3)));
    assert_eq!(number("old", "late"), Ok(Place::bit_field(2, 1, 6, 2)));
    assert_eq!(number("kioctx", "users"), Ok(Place::whole(0, 4)));
    assert_eq!(number("kioctx", "reqs_available"), Ok(Place::whole(20, 4)));
    assert_eq!(number("kioctx", "array.2"), Ok(Place::whole(104 + 16, 8)));
    let says = |path, shape| btf.place(id("kioctx"), path, shape).unwrap_err().to_string();
    assert!(says("array", Shape::Number).ends_with("is an array of 24 bytes"));
    assert!(says("array.3", Shape::Number).ends_with("has no member array.3"));
    assert!(says("user_id", Shape::Pointer).ends_with("is an integer of 8 bytes"));
    assert_eq!(btf.place(id("kioctx"), "user_id", Shape::Signed), Ok(Place::whole(8, 8)));
    assert_eq!(btf.place(id("kioctx"), "users", Shape::Signed), Ok(Place::whole(0, 4)));
    let unsigned = btf.place(id("old"), "bits", Shape::Signed).unwrap_err();
    assert!(unsigned.to_string().ends_with("is an unsigned bit field"));
}

/// Check that a name is sought whole, of its kind, and that several are found in one walk, short ones too.
#[test]
fn names_and_kinds() {
    let mut b = sample();
    let wanted =
        [(Named::Func, "kioctx"), (Named::Struct, "ab"), (Named::Struct, "kioct"), (Named::Func, "ab")];
    let find_all = |blob: &[u8]| {
        let btf = Btf::parse(blob, &wanted).unwrap();
        wanted.map(|(kind, name)| btf.find(kind, name))
    };
    assert!(find_all(&b.blob()).iter().skip(1).all(Option::is_none));
    let ab = b.body("ab", 1, &[]);
    let blob = b.blob();
    let btf = Btf::parse(&blob, WANTED).unwrap();
    assert_eq!(btf.count(), ab);
    assert_eq!(find_all(&blob), [Some(TypeId(ab - 1)), Some(TypeId(ab)), None, None]);
}

/// Check that every type is found by its id, whichever side of a noted position it lies on.
#[test]
fn ids_beyond_the_stride() {
    let mut b = Builder::default();
    for n in 1..=300 {
        if n % 3 == 0 {
            b.int("x", n)
        } else {
            b.body("y", n, &[("m", 3, 8 * n)])
        };
    }
    let blob = b.blob();
    let btf = Btf::parse(&blob, WANTED).unwrap();
    for n in 1..=300 {
        assert_eq!(btf.size_of(TypeId(n)), Ok(u64::from(n)));
    }
    assert_eq!(btf.size_of(TypeId(301)), Err(BtfError::NoType { id: 301 }));
    assert_eq!(btf.size_of(TypeId(0)), Err(BtfError::Unsized { id: 0 }));
    assert_eq!(btf.size_of(TypeId(u32::MAX)), Err(BtfError::NoType { id: u32::MAX }));
}

/// Check that circles end: of typedefs, of arrays, of anonymous members, and of many in each.
#[test]
fn circles_end() {
    let mut b = Builder::default();
    b.add("t", 8, 0, false, 1, &[]);
    b.array(2, 2);
    b.body("s", 1, &[("", 3, 0)]);
    let wide: Vec<Field<'_>> = (0..200).map(|_| ("", 4, 0)).collect();
    b.body("wide", 1, &wide);
    let blob = b.blob();
    let btf = Btf::parse(&blob, WANTED).unwrap();
    for id in 1..=2 {
        assert!(matches!(btf.size_of(TypeId(id)), Err(BtfError::Endless { .. })));
    }
    for id in [1, 3, 4] {
        assert!(matches!(btf.member(TypeId(id), "m"), Err(BtfError::Endless { .. })));
    }
}

/// Check that each damage has its own error, with the place.
#[test]
fn damage_is_named() {
    let good = sample().blob();
    let with = |at: usize, byte: u8| {
        let mut bad = good.clone();
        bad[at] = byte;
        Btf::parse(&bad, WANTED).map(|_| ()).unwrap_err()
    };
    assert_eq!(with(0, 0), BtfError::Magic { found: 0xeb00 });
    assert!(matches!(with(2, 2), BtfError::Header { offset: 2, .. }));
    assert!(matches!(with(4, 23), BtfError::Header { offset: 4, .. }));
    assert!(matches!(with(15, 0xff), BtfError::Header { offset: 8, .. }));
    assert!(matches!(with(23, 0xff), BtfError::Header { offset: 16, .. }));
    assert!(matches!(with(good.len() - 1, b'x'), BtfError::Header { offset: 16, .. }));
    assert_eq!(with(24 + 7, 20), BtfError::UnknownKind { id: 1, offset: 24, kind: 20 });
    assert_eq!(with(24 + 7, 0), BtfError::UnknownKind { id: 1, offset: 24, kind: 0 });
    assert_eq!(with(24 + 16 + 4 + 3, 4), BtfError::UnknownKind { id: 3, offset: 52, kind: 0 });
    let mut cut = Builder::default();
    cut.add("s", 4, 9, false, 8, &[0, 0, 0]);
    assert_eq!(Btf::parse(&cut.blob(), WANTED).map(|_| ()), Err(BtfError::Cut { id: 1, offset: 24 }));
    assert!(matches!(Btf::parse(&[], WANTED).map(|_| ()), Err(BtfError::Header { offset: 0, .. })));
}

/// Check this machine's own BTF, where there is one.
#[test]
fn the_running_kernel() {
    let Ok(blob) = std::fs::read("/sys/kernel/btf/vmlinux") else {
        let reason = "/sys/kernel/btf/vmlinux cannot be read";
        return writeln!(std::io::stderr(), "SKIPPED the_running_kernel: {reason}").unwrap();
    };
    let btf = Btf::parse(&blob, WANTED).unwrap();
    assert!(btf.count() > 10_000);
    let task = btf.find(Named::Struct, "task_struct").unwrap();
    let comm = btf.member(task, "comm").unwrap();
    assert_eq!(btf.size_of(comm.type_id), Ok(16));
    assert!(comm.bit / 8 + 16 <= btf.size_of(task).unwrap());
    let list = btf.find(Named::Struct, "list_head").unwrap();
    assert_eq!((btf.member(list, "next").unwrap().bit, btf.member(list, "prev").unwrap().bit), (0, 64));
    assert_eq!(btf.size_of(list), Ok(16));
    assert!(btf.find(Named::Func, "vfs_read").is_some());
    assert_eq!(btf.find(Named::Struct, "vfs_read"), None);
}

/// Asks everything that can be asked of a blob.
fn exercise(blob: &[u8]) {
    let Ok(btf) = Btf::parse(blob, WANTED) else { return };
    for id in (0..btf.count().min(80) + 2).map(TypeId) {
        let _ = btf.size_of(id);
        for path in ["users.counter", "reqs_available", "low", "bits", "array", "no"] {
            let _ = btf.member(id, path);
        }
    }
    for (kind, name) in WANTED {
        let _ = btf.find(*kind, name);
    }
}

proptest! {
    /// Check that no input makes the reader panic or run away.
    #[test]
    fn survives_anything(blob in proptest::collection::vec(any::<u8>(), 0..400)) {
        exercise(&blob);
        let mut framed = Builder { types: blob, ..Builder::default() }.blob();
        exercise(&framed);
        framed.pop();
        exercise(&framed);
    }

    /// Check the same with a sound blob that is damaged here and there.
    #[test]
    fn survives_damage(hits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6), cut in 0_usize..600) {
        let mut blob = sample().blob();
        for (at, byte) in hits {
            let at = at.index(blob.len());
            blob[at] = byte;
        }
        exercise(&blob);
        blob.truncate(blob.len().saturating_sub(cut));
        exercise(&blob);
    }
}

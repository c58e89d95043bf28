//! A real kernel's types, one member of them changed: the number that is read is the right one, or none with the reason.
//!
//! The two blobs beside this file are the structs that the table names, of Debian's 5.10.0-46 and 7.3.4+deb13 (cloud, amd64), with the members
//! it names and no others. `AIOINSPECT_BLESS=1 BTF_FOLDER=folder cargo test -p aioinspect mutations::fixtures` makes them of folder/5.10.btf and
//! folder/7.3.btf, which are those kernels' section .BTF (`objcopy --dump-section .BTF=5.10.btf vmlinux`).

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use crate::btf::types::{Field, Type, Types};
use crate::kernel::layout::tests::Row;
use crate::kernel::layout::*;

const FIXTURES: [&[u8]; 2] = [include_bytes!("../../btf/5.10.btf"), include_bytes!("../../btf/7.3.btf")];

/// What is tried: the fixtures, and the kernel that runs with all members, where it can be read.
static KERNELS: LazyLock<Vec<(Types, Layout)>> = LazyLock::new(|| {
    let native = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    let blobs = FIXTURES.iter().map(|blob| blob.to_vec()).chain(native);
    blobs
        .map(|blob| {
            let types = Types::of(&Btf::parse(&blob, WANTED).unwrap(), WANTED, None);
            let layout = Layout::resolve(&Btf::parse(&types.blob(), WANTED).unwrap()).unwrap();
            (types, layout)
        })
        .collect()
});

/// What happens to a member.
#[derive(Clone, Debug)]
enum Change {
    Removed,
    Renamed,
    /// An int of so many bytes.
    Int {
        bytes: u32,
        signed: bool,
    },
    /// A bit field by the member's own width.
    Bits {
        bytes: u32,
        signed: bool,
        width: u32,
        shift: u32,
    },
    /// A bit field by an int that is narrower than its bytes.
    OldBits {
        bytes: u32,
        signed: bool,
        width: u32,
        shift: u32,
    },
    /// To the end of its struct.
    Moved {
        gap: u32,
    },
    /// Into a struct or union there, without a name or with one, of a type with a name or without.
    Nested {
        gap: u32,
        union: bool,
        member: bool,
        of_name: bool,
    },
    /// Into a struct that holds nothing else.
    Wrapped,
    Pointer,
    Array,
    Enum {
        bytes: u32,
    },
    /// A struct of two numbers.
    Pair,
}

fn change() -> impl Strategy<Value = Change> {
    let bytes = || prop::sample::select(vec![1_u32, 2, 4, 8]);
    let bits = || {
        (bytes(), any::<bool>()).prop_flat_map(|(bytes, signed)| {
            (1..=8 * bytes).prop_flat_map(move |width| {
                (0..=8 * bytes - width).prop_map(move |shift| (bytes, signed, width, shift))
            })
        })
    };
    prop_oneof![
        Just(Change::Removed),
        Just(Change::Renamed),
        (prop::sample::select(vec![1_u32, 2, 4, 8, 16]), any::<bool>())
            .prop_map(|(bytes, signed)| Change::Int { bytes, signed }),
        bits().prop_map(|(bytes, signed, width, shift)| Change::Bits { bytes, signed, width, shift }),
        bits().prop_map(|(bytes, signed, width, shift)| Change::OldBits { bytes, signed, width, shift }),
        (0_u32..9).prop_map(|gap| Change::Moved { gap }),
        (0_u32..9, any::<bool>(), any::<bool>(), any::<bool>())
            .prop_map(|(gap, union, member, of_name)| Change::Nested { gap, union, member, of_name }),
        Just(Change::Wrapped),
        Just(Change::Pointer),
        Just(Change::Array),
        prop::sample::select(vec![1_u32, 2, 4, 8, 16]).prop_map(|bytes| Change::Enum { bytes }),
        Just(Change::Pair),
    ]
}

/// A number as C has it: which bits, and whether the first of them is a sign.
#[derive(Clone, Copy, Debug)]
struct Number {
    bit: u64,
    bits: u32,
    signed: bool,
}

/// The struct that declares the last named member of a path, the member's place among its fields, and the bits before and after it: those of the
/// struct in the whole, and those of what is left of the path in the member.
#[derive(Clone, Copy, Debug)]
struct Spot {
    body: u32,
    field: usize,
    before: u64,
    after: u64,
    /// The type at the end of the path.
    end: u32,
}

fn spot(types: &Types, of: &str, path: &str) -> Option<Spot> {
    let (mut here, mut base, mut last) = (types.find(of)?, 0, None);
    for step in path.split('.') {
        if let Ok(index) = step.parse::<u32>() {
            let Type::Array { of, .. } = types.get(here) else { return None };
            base += u64::from(index * 8 * types.bytes_of(*of));
            here = *of;
        } else {
            let (body, field, before) = types.declared(here, step)?;
            let Type::Body { fields, .. } = types.get(body) else { return None };
            last = Some((body, field, base + before));
            base += before + u64::from(fields[field].bit);
            here = fields[field].id;
        }
    }
    let (body, field, before) = last?;
    let Type::Body { fields, .. } = types.get(body) else { return None };
    Some(Spot { body, field, before, after: base - before - u64::from(fields[field].bit), end: here })
}

/// What a row must yield of unchanged types.
fn expected(types: &Types, row: &Row, spot: &Spot) -> Option<Number> {
    let Type::Body { fields, .. } = types.get(spot.body) else { return None };
    let bit = spot.before + u64::from(fields[spot.field].bit) + spot.after;
    match row.shape {
        Shape::Pointer | Shape::Name => Some(Number { bit, bits: 64, signed: false }),
        Shape::Number | Shape::Signed => {
            let (bytes, signed) = types.number_of(spot.end)?;
            Some(Number { bit, bits: bytes * 8, signed })
        }
        Shape::Plain(_) => None,
    }
}

/// Changes the member at `spot`; what the row must yield then, `None` for nothing.
fn apply(types: &mut Types, row: &Row, spot: &Spot, change: &Change) -> Option<Number> {
    let before = expected(types, row, spot).unwrap();
    let Type::Body { fields, bytes: len, .. } = types.get(spot.body).clone() else { return None };
    let old = fields[spot.field].clone();
    let end_of_body = 8 * len.max(1);
    let at = |bit: u32| spot.before + u64::from(bit) + spot.after;
    let wants_number = matches!(row.shape, Shape::Number | Shape::Signed);
    // Sizes and signs that the programs read.
    let int = |bit: u64, bits: u32, signed: bool| {
        let fits = row.shape == Shape::Number || signed || bits == 64;
        let plain = spot.end == old.id && wants_number && fits && bits <= 64;
        // No whole number holds bits that begin in one 8 and end in the next.
        let held =
            bit % 64 + u64::from(bits) <= 64 || (bit.is_multiple_of(8) && matches!(bits, 8 | 16 | 32 | 64));
        (plain && held).then_some(Number { bit, bits, signed })
    };
    let encoding = |signed: bool, first: u32, bits: u32| u32::from(signed) << 24 | first << 16 | bits;
    let (mut new, yields) = match *change {
        Change::Removed => (None, None),
        Change::Renamed => (Some(Field { name: "renamed".to_owned(), ..old }), None),
        Change::Int { bytes, signed } => {
            let id = types.add(Type::Int { bytes, encoding: encoding(signed, 0, 8 * bytes) });
            (Some(Field { id, ..old.clone() }), int(at(old.bit), 8 * bytes, signed))
        }
        Change::Bits { bytes, signed, width, shift } => {
            let id = types.add(Type::Int { bytes, encoding: encoding(signed, 0, 8 * bytes) });
            let bit = end_of_body.next_multiple_of(64) + shift;
            (Some(Field { id, bit, width, ..old }), int(at(bit), width, signed))
        }
        Change::OldBits { bytes, signed, width, shift } => {
            let id = types.add(Type::Int { bytes, encoding: encoding(signed, shift, width) });
            let bit = end_of_body.next_multiple_of(64);
            (Some(Field { id, bit, ..old }), int(at(bit + shift), width, signed))
        }
        Change::Moved { gap } => {
            let bit = end_of_body + 8 * gap;
            (Some(Field { bit, ..old }), Some(Number { bit: at(bit), ..before }))
        }
        Change::Nested { gap, union, member, of_name } => {
            let inner = Field { bit: if union { 0 } else { 8 * gap }, ..old.clone() };
            let bit = end_of_body + 8 * gap;
            let name = if of_name { "of_a_name".to_owned() } else { String::new() };
            let found = Number { bit: at(bit + inner.bit), ..before };
            let id = types.add(Type::Body { name, union, bytes: 64, fields: vec![inner] });
            let name = if member { "inner".to_owned() } else { String::new() };
            let anywhere = !of_name && row.paths.iter().any(|path| path.starts_with('*'));
            let yields = (!member || anywhere).then_some(found);
            (Some(Field { name, id, bit, width: 0 }), yields)
        }
        Change::Wrapped => {
            let bytes = if old.id == 0 { 0 } else { types.bytes_of(old.id) };
            let fields = vec![Field { name: "only".to_owned(), bit: 0, ..old.clone() }];
            let id = types.add(Type::Body { name: "wrapper".to_owned(), union: false, bytes, fields });
            // A path that goes on inside the member does not find what it seeks.
            let goes_on = row
                .paths
                .iter()
                .any(|path| path.contains('.') && !path.starts_with('*') && spot.end != old.id);
            (Some(Field { id, ..old }), (!goes_on).then_some(before))
        }
        Change::Pointer => {
            let id = types.add(Type::Pointer);
            let yields = (row.shape == Shape::Pointer && spot.end == old.id).then_some(before);
            (Some(Field { id, ..old }), yields)
        }
        Change::Array => {
            let of = types.add(Type::Int { bytes: 1, encoding: 8 });
            let id = types.add(Type::Array { of, count: 8 });
            // A path into an array finds its first element.
            let element = matches!(types.get(old.id), Type::Array { .. });
            let byte = Number { bit: at(old.bit), bits: 8, signed: false };
            let yields = (element && row.shape == Shape::Number).then_some(byte);
            (Some(Field { id, ..old }), yields)
        }
        Change::Enum { bytes } => {
            let id = types.add(Type::Opaque { bytes });
            let yields = int(at(old.bit), 8 * bytes, false);
            (Some(Field { id, ..old }), yields)
        }
        Change::Pair => {
            let of = types.add(Type::Int { bytes: 4, encoding: 32 });
            let field = |name: &str, bit| Field { name: name.to_owned(), id: of, bit, width: 0 };
            let fields = vec![field("low", 0), field("high", 32)];
            let id = types.add(Type::Body { name: "pair".to_owned(), union: false, bytes: 8, fields });
            (Some(Field { id, ..old }), None)
        }
    };
    let Type::Body { fields, bytes, .. } = types.get_mut(spot.body) else { return None };
    *bytes = len + 4096;
    match new.take() {
        Some(new) => fields[spot.field] = new,
        None => drop(fields.remove(spot.field)),
    }
    yields
}

/// Reads a place as the programs do: whole bytes from a place in memory, then the arithmetic.
fn read(memory: &[u8], place: Place) -> u64 {
    let at = usize::try_from(place.offset()).unwrap();
    let bytes = &memory[at..at + usize::from(place.size())];
    place.number(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

/// Puts the low bits of `value` where C puts them.
fn write(memory: &mut [u8], number: &Number, value: u64) {
    for n in 0..u64::from(number.bits) {
        let bit = number.bit + n;
        let (byte, mask) = (usize::try_from(bit / 8).unwrap(), 1_u8 << (bit % 8));
        if value >> n & 1 == 0 {
            memory[byte] &= !mask;
        } else {
            memory[byte] |= mask;
        }
    }
}

/// Check that `place` reads what lies at `number`, whatever lies around it.
fn reads(row: &Row, place: Place, number: &Number, value: u64, around: u8) -> Result<(), TestCaseError> {
    let end = number.bit / 8 + 64 + u64::from(place.offset());
    let mut memory = vec![around; usize::try_from(end).unwrap()];
    // A count is never negative, though its type may be able to be.
    let bits = number.bits - u32::from(number.signed && row.shape != Shape::Signed);
    let value = if bits == 0 { 0 } else { value >> (64 - bits) };
    write(&mut memory, number, value);
    let found = read(&memory, place);
    if row.shape == Shape::Signed {
        let above = 64 - number.bits;
        let value = if number.signed { (value << above).cast_signed() >> above } else { value.cast_signed() };
        prop_assert_eq!(place.signed(found), value);
    } else {
        prop_assert_eq!(found, value);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// Check that whatever happens to one member, its number is right or told as absent, and no other is touched.
    #[test]
    fn one_member_changes(kernel in any::<Index>(), which in any::<Index>(), change in change(), value: u64, around: u8) {
        let (kernel, base) = kernel.get(&KERNELS);
        let rows = base.rows();
        let at = which.index(rows.len());
        let row = &rows[at];
        let Some(spot) = row.paths.iter().find_map(|path| {
            spot(kernel, row.of, path).filter(|spot| expected(kernel, row, spot).is_some())
        }) else {
            prop_assert!(!row.place.is_present());
            return Ok(());
        };
        reads(row, row.place, &expected(kernel, row, &spot).unwrap(), value, around)?;

        let mut types = kernel.clone();
        let yields = apply(&mut types, row, &spot, &change);
        let blob = types.blob();
        let layout = match Layout::resolve(&Btf::parse(&blob, WANTED).unwrap()) {
            Ok(layout) => layout,
            Err(error) => {
                prop_assert!(yields.is_none() && row.cost == Cost::Everything, "{}", error);
                let LayoutError::Member(missing) = error else { panic!("{error}") };
                prop_assert_eq!((missing.of, missing.member), (row.of, row.paths[0]));
                return Ok(());
            }
        };
        let now = layout.rows();
        if let Some(number) = yields {
            prop_assert!(now[at].place.is_present(), "{:?}: {:?}", row.paths, layout.missing);
            reads(row, now[at].place, &number, value, around)?;
        } else {
            prop_assert_eq!(now[at].place, Place::ABSENT);
            prop_assert_ne!(row.cost, Cost::Everything);
            let missing = layout.missing.iter().find(|missing| (missing.of, missing.member) == (row.of, row.paths[0]));
            let reason = missing.unwrap().to_string();
            prop_assert!(reason.contains(row.of) && reason.contains(row.paths[0]));
            match row.cost {
                Cost::Facts(facts) => prop_assert!(facts.iter().all(|fact| !layout.known().tells(*fact))),
                Cost::OwnIds => prop_assert!(layout.has_first_ids_only()),
                Cost::Lost(_) => prop_assert!(layout.losses().iter().any(|loss| loss.starts_with(&reason))),
                Cost::Everything | Cost::FirstIds | Cost::Nothing => (),
            }
        }
        for (other, before) in now.iter().zip(&rows).enumerate().filter(|(n, _)| *n != at).map(|(_, pair)| pair) {
            let gone_together = layout.has_first_ids_only() && before.cost == Cost::OwnIds;
            // Two structs may hold a third, as lists do: then its member is one of both.
            let its = before.paths.iter().find_map(|path| self::spot(kernel, before.of, path));
            let is_same = its.is_some_and(|its| (its.body, its.field) == (spot.body, spot.field));
            prop_assert!(other.place == before.place || gone_together || is_same, "{:?}", other.paths);
        }
    }
}

/// Check that the fixtures hold what the table names and nothing else: made once more, of the kernels themselves in the folder BTF_FOLDER or else of
/// the fixtures, they are the same. With AIOINSPECT_BLESS set they are written.
#[test]
fn fixtures() {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/btf");
    let folder = std::env::var_os("BTF_FOLDER").map_or_else(|| place.clone(), std::path::PathBuf::from);
    for kernel in ["5.10.btf", "7.3.btf"] {
        let from = folder.join(kernel);
        let blob = std::fs::read(if from.is_file() { from } else { place.join(kernel) }).unwrap();
        let btf = Btf::parse(&blob, WANTED).unwrap();
        let rows = Layout::resolve(&btf).unwrap().rows();
        let words = [&WORDS8[..], &WORDS4, &WORDS1].concat();
        let mut keep: Vec<&str> =
            rows.iter().flat_map(|row| row.paths).flat_map(|path| path.split('.')).collect();
        keep.extend(words.iter().map(|(_, member)| *member));
        keep.extend(["counter", "refs"]);
        let made = Types::of(&btf, WANTED, Some(&keep)).blob();
        if std::env::var_os("AIOINSPECT_BLESS").is_some() {
            std::fs::write(place.join(kernel), &made).unwrap();
        }
        assert!(
            made == std::fs::read(place.join(kernel)).unwrap(),
            "{kernel}: AIOINSPECT_BLESS=1 writes it anew"
        );
    }
}

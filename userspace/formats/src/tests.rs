//! Whatever the model can hold survives the file; what it cannot hold is refused.

use aioinspect_proto::evidence::{decode, encode};
use proptest::prelude::*;

use crate::*;
use aioinspect_model::architecture::Architecture;
use aioinspect_model::cpus::{CpuRange, CpuSet};
use aioinspect_model::evidence::{AddressSpace, Evidence, HeaderReading, Made};
use aioinspect_model::units::{ContextId, Instant, MmId, Pid, Tid};

/// Turns a list of numbers into any evidence.
pub(crate) struct Dice<'a>(std::iter::Cycle<std::slice::Iter<'a, u64>>);

impl<'a> Dice<'a> {
    /// Dice that give these numbers, again and again.
    pub(crate) fn of(numbers: &'a [u64]) -> Self {
        Self(numbers.iter().cycle())
    }
    fn below(&mut self, n: usize) -> usize {
        usize::try_from(*self.0.next().unwrap() % u64::try_from(n).unwrap()).unwrap()
    }
    pub(crate) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// What dice can make, for every field that the descriptions name.
pub(crate) trait Any {
    fn any(dice: &mut Dice<'_>) -> Self;
}

macro_rules! any {
    ($($of:ty: |$dice:ident| $value:expr;)*) => {$(
        impl Any for $of {
            fn any($dice: &mut Dice<'_>) -> Self {
                $value
            }
        }
    )*};
}

any! {
    // 0 and the largest number come often.
    u64: |d| match d.below(4) {
        0 => 0,
        1 => u64::MAX,
        _ => *d.0.next().unwrap(),
    };
    i64: |d| u64::any(d).cast_signed();
    u32: |d| u32::try_from(u64::any(d) >> 32).unwrap();
    i32: |d| u32::any(d).cast_signed();
    u8: |d| u64::any(d).to_le_bytes()[0];
    bool: |d| d.below(2) == 1;
    String: |d| Vec::<u8>::any(d).escape_ascii().to_string();
    (u32, u32): |d| (Any::any(d), Any::any(d));
    Pid: |d| Pid(Any::any(d));
    Architecture: |d| d.one(&Architecture::ALL);
    Tid: |d| Tid(Any::any(d));
    MmId: |d| MmId(Any::any(d));
    Instant: |d| Instant(Any::any(d));
    ContextId: |d| ContextId(Any::any(d));
    Made: |d| Made { at: Any::any(d), tid: Any::any(d) };
    HeaderReading: |d| HeaderReading {
        address: Any::any(d),
        bytes: if bool::any(d) {
            Ok([u64::any(d).to_le_bytes(); 4].concat().try_into().unwrap())
        } else {
            Err(Any::any(d))
        },
    };
    CpuSet: |d| {
        let (first, more) = (u32::any(d) / 4, u32::any(d) / 4);
        let last = first + more;
        let ranges = [CpuRange { first, last }, CpuRange { first: last + 2, last: last + 2 }];
        CpuSet::of_ranges(ranges.into_iter().take(d.below(3))).unwrap()
    };
}

impl<T: Any> Any for Option<T> {
    fn any(dice: &mut Dice<'_>) -> Self {
        bool::any(dice).then(|| T::any(dice))
    }
}

impl<T: Any> Any for Vec<T> {
    fn any(dice: &mut Dice<'_>) -> Self {
        let n = dice.below(4);
        (0..n).map(|_| T::any(dice)).collect()
    }
}

fn evidence(numbers: &[u64]) -> Evidence {
    Any::any(&mut Dice::of(numbers))
}

proptest! {
    /// Check that nothing is lost between the model and the bytes of a file, in either direction.
    #[test]
    fn evidence_survives_the_file(numbers in prop::collection::vec(any::<u64>(), 1..800)) {
        let evidence = evidence(&numbers);
        let bytes = encode(&evidence_to_proto(&evidence)).unwrap();
        let again = evidence_from_proto(decode(&bytes).unwrap()).unwrap();
        prop_assert_eq!(&again, &evidence);
        prop_assert_eq!(encode(&evidence_to_proto(&again)).unwrap(), bytes);
    }

    /// Check that a damaged file is refused or read as something else, and never ends the program.
    #[test]
    fn damage_is_survived(
        numbers in prop::collection::vec(any::<u64>(), 1..200),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = encode(&evidence_to_proto(&evidence(&numbers))).unwrap();
        for (at, with) in damage {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if let Ok(message) = decode(&bytes) {
            let _ = evidence_from_proto(message);
        }
    }
}

#[test]
fn what_the_model_cannot_hold_is_refused() {
    use aioinspect_proto::schema::evidence as file;
    let default =
        || evidence_to_proto(&Evidence { spaces: vec![AddressSpace::default()], ..Evidence::default() });
    let refused = |change: &dyn Fn(&mut file::Evidence)| {
        let mut message = default();
        change(&mut message);
        evidence_from_proto(message).unwrap_err().to_string()
    };
    let look = || file::Look { manner: 1, ..file::Look::default() };
    let header = |outcome| {
        let look = file::Look { headers: vec![file::HeaderReading { address: 0x7f00, outcome }], ..look() };
        refused(&|e| e.spaces[0].looks = vec![look.clone()])
    };
    assert!(evidence_from_proto(default()).is_ok());
    assert_eq!(refused(&|e| e.system = None), "evidence without system");
    assert_eq!(refused(&|e| e.source = 0), "source has the unknown value 0");
    assert_eq!(refused(&|e| e.source = 77), "source has the unknown value 77");
    assert_eq!(
        refused(&|e| e.spaces[0].looks = vec![file::Look::default()]),
        "manner has the unknown value 0"
    );
    assert_eq!(
        refused(
            &|e| e.spaces[0].looks = vec![file::Look { before: Some(file::KernelWord::default()), ..look() }]
        ),
        "evidence without mm"
    );
    assert_eq!(
        refused(&|e| e.spaces[0].looks =
            vec![file::Look { mappings: vec![file::RingMapping::default()], ..look() }]),
        "evidence without perms"
    );
    assert_eq!(
        refused(&|e| e.spaces[0].image = Some(file::ImageFacts::default())),
        "evidence without layout"
    );
    let lack = file::Lack { fact: 77, why: String::new() };
    assert_eq!(refused(&|e| e.lacks = vec![lack.clone()]), "fact has the unknown value 77");
    let word = |kioctx| file::KernelWord {
        mm: Some(file::MmFact::default()),
        contexts: vec![kioctx],
        ..file::KernelWord::default()
    };
    let context = |kioctx: file::Kioctx| {
        refused(&|e| e.spaces[0].looks = vec![file::Look { before: Some(word(kioctx.clone())), ..look() }])
    };
    assert_eq!(context(file::Kioctx::default()), "ref_state has the unknown value 0");
    let unknown = file::Kioctx { unknown: vec![0], ..file::Kioctx::default() };
    assert_eq!(context(unknown), "fact has the unknown value 0");
    assert_eq!(header(None), "evidence without header or errno");
    assert_eq!(
        header(Some(file::header_reading::Outcome::Header(vec![0; 31]))),
        "the ring header at 0x7f00 has 31 bytes, not 32"
    );
}

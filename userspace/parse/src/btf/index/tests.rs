//! Checks of an index on real types, and on what is none.

use proptest::prelude::*;

use crate::btf::index::*;
use crate::kernel::layout::{Layout, WANTED};

const BLOB: &[u8] = include_bytes!("../7.3.btf");
const OTHER: &[u8] = include_bytes!("../5.10.btf");

fn walked(blob: &[u8]) -> (Layout, Index) {
    let btf = Btf::parse(blob, WANTED).unwrap();
    let layout = Layout::resolve(&btf).unwrap();
    (layout, Index::of(&btf, blob.len()).unwrap())
}

fn again(blob: &[u8], index: &Index) -> Option<Layout> {
    let btf = Btf::indexed(blob, WANTED, index)?;
    let layout = Layout::resolve(&btf).ok()?;
    (!btf.went_beyond()).then_some(layout)
}

/// Check that an index gives the layout that the walk gave, also from bytes, and from the pages alone that it names.
#[test]
fn the_same_layout() {
    let native = std::fs::read("/sys/kernel/btf/vmlinux").ok();
    for blob in [BLOB, OTHER].into_iter().chain(native.as_deref()) {
        let (layout, index) = walked(blob);
        assert_eq!(again(blob, &index).as_ref(), Some(&layout));
        let kept = Index::from_bytes(&index.to_bytes()).unwrap();
        assert_eq!(kept, index);
        let mut sparse = vec![0; blob.len()];
        for page in kept.pages() {
            let range = page * PAGE..blob.len().min((page + 1) * PAGE);
            sparse[range.clone()].copy_from_slice(&blob[range]);
        }
        assert_eq!(again(&sparse, &kept).as_ref(), Some(&layout));
        println!(
            "{} bytes, {} pages, {} types",
            index.to_bytes().len(),
            index.pages.len(),
            index.types.len()
        );
    }
}

/// Check that an index of another blob is none, and that a question it was not made for is found out.
#[test]
fn another_blob() {
    let (_, index) = walked(BLOB);
    assert_eq!(again(OTHER, &index), None);
    let btf = Btf::parse(BLOB, WANTED).unwrap();
    let nothing = Index::of(&btf, BLOB.len()).unwrap();
    let btf = Btf::indexed(BLOB, WANTED, &nothing).unwrap();
    let _ = Layout::resolve(&btf);
    assert!(btf.went_beyond());
    assert!(Btf::indexed(BLOB, &WANTED[1..2], &index).is_none());
}

proptest! {
    /// Check that a damaged index gives the layout of the blob or nothing.
    #[test]
    fn never_another_layout(hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let (layout, index) = walked(BLOB);
        let mut bytes = index.to_bytes();
        for (at, byte) in hits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(found) = Index::from_bytes(&bytes).and_then(|index| again(BLOB, &index)) {
            prop_assert_eq!(found, layout);
        }
    }

    /// Check that a change of one byte of the blob is found out wherever an answer could depend on it.
    #[test]
    fn never_a_stale_layout(at in any::<prop::sample::Index>(), byte: u8) {
        let (layout, index) = walked(BLOB);
        let mut blob = BLOB.to_vec();
        let at = at.index(blob.len());
        blob[at] = byte;
        if let Some(found) = again(&blob, &index) {
            prop_assert_eq!(found, layout);
        }
    }

    /// Check that anything may be read as an index.
    #[test]
    fn survives_anything(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Some(index) = Index::from_bytes(&bytes) {
            let _ = again(BLOB, &index);
        }
    }
}

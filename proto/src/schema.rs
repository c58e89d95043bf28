//! The types that prost generates from `schema/*.proto`.

/// CRIU's mm image: `mm_entry` and what it holds.
pub mod criu {
    include!(concat!(env!("OUT_DIR"), "/criu.rs"));
}

/// Content of an evidence file, version 1.
pub mod evidence {
    #![expect(clippy::struct_excessive_bools, reason = "the four letters of /proc/PID/maps")]
    include!(concat!(env!("OUT_DIR"), "/aioinspect.evidence.v1.rs"));
}

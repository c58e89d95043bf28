//! The types that prost generates from `schema/*.proto`.

/// CRIU's images: `mm_entry` and what it holds, and where memory is.
pub mod criu {
    include!(concat!(env!("OUT_DIR"), "/criu.rs"));
}

/// Content of an evidence file, version 1.
pub mod evidence {
    #![expect(clippy::struct_excessive_bools, reason = "the four letters of /proc/PID/maps")]
    include!(concat!(env!("OUT_DIR"), "/aioinspect.evidence.v1.rs"));
}

/// Content of the records of a recording, version 1.
pub mod recording {
    include!(concat!(env!("OUT_DIR"), "/aioinspect.recording.v1.rs"));
}

//! How a record is read from bytes: field by field, safely, the same on both sides.

/// A record of fixed size that can be read from bytes.
pub trait Wire: Sized {
    /// Its size in bytes.
    const SIZE: usize;
    /// Reads one from the start of `bytes`; `None` if there are too few.
    fn read(bytes: &[u8]) -> Option<Self>;
    /// Writes it to the start of `bytes`; `None` if there is too little room.
    fn write(&self, bytes: &mut [u8]) -> Option<()>;
}

/// Defines a record: its struct, its asserted size, and [`Wire`].
macro_rules! wire {
    ($(#[$doc:meta])* pub struct $name:ident: $size:tt { $($(#[$field_doc:meta])* $field:ident: $ty:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct $name { $($(#[$field_doc])* pub $field: $ty,)* }

        const _: () = assert!(size_of::<$name>() == $size);

        #[cfg(target_arch = "bpf")]
        impl $crate::shared::value::Value<$name> {
            $($(#[$field_doc])*
            #[inline(always)]
            pub fn $field(self) -> $crate::shared::value::Value<$ty> {
                // SAFETY: a member of a value that a map gave out.
                unsafe { $crate::shared::value::Value::member(&raw mut (*self.as_ptr()).$field) }
            })*
        }

        impl $crate::bytes::Wire for $name {
            const SIZE: usize = $size;

            fn read(bytes: &[u8]) -> Option<Self> {
                let mut rest = bytes;
                $(let (raw, rest_of) = rest.split_first_chunk::<{ size_of::<$ty>() }>()?;
                rest = rest_of;
                let $field = <$ty>::from_ne_bytes(*raw);)*
                let _ = rest;
                Some(Self { $($field,)* })
            }

            fn write(&self, bytes: &mut [u8]) -> Option<()> {
                let mut rest = bytes;
                $(let (raw, rest_of) = rest.split_first_chunk_mut::<{ size_of::<$ty>() }>()?;
                *raw = self.$field.to_ne_bytes();
                rest = rest_of;)*
                let _ = rest;
                Some(())
            }
        }
    };
}
pub(crate) use wire;

#[cfg(test)]
mod tests {
    use super::Wire;
    use crate::{
        CallRecord, CgroupKey, CgroupNameKey, CgroupNameRecord, CgroupRecord, ContextRecord, Control,
        Counters, CreditsRecord, EventRecord, HeadRecord, MmRecord, Offsets, RingRecord, SpaceKey,
        SpaceRecord, SubmitControl, SubmitErrorKey, SubmitErrors, SubmitKey, SubmitLosses, SubmitRecord,
        TaskRecord, TraceControl, TracedKey, TracedRecord, WaitRecord,
    };

    /// Check that fields are read where repr(C) puts them: no gap the compiler filled in on its
    /// own.
    fn round_trips<T: Wire + PartialEq + core::fmt::Debug>() {
        let mut bytes = [0u8; 1024];
        for (i, b) in bytes.iter_mut().enumerate() {
            *b = u8::try_from(i % 251).unwrap();
        }
        let record = T::read(&bytes).unwrap();
        let mut again = [0u8; 1024];
        record.write(&mut again).unwrap();
        assert_eq!(again[..T::SIZE], bytes[..T::SIZE]);
        assert!(again[T::SIZE..].iter().all(|b| *b == 0));
        assert_eq!(T::read(&bytes[..T::SIZE - 1]), None);
    }

    #[test]
    fn every_record_is_its_bytes() {
        round_trips::<Control>();
        round_trips::<ContextRecord>();
        round_trips::<CreditsRecord>();
        round_trips::<MmRecord>();
        round_trips::<TaskRecord>();
        round_trips::<RingRecord>();
        round_trips::<WaitRecord>();
        round_trips::<Offsets>();
        round_trips::<CgroupKey>();
        round_trips::<CgroupRecord>();
        round_trips::<CgroupNameKey>();
        round_trips::<CgroupNameRecord>();
        round_trips::<TracedKey>();
        round_trips::<TracedRecord>();
        round_trips::<SpaceKey>();
        round_trips::<SpaceRecord>();
        round_trips::<CallRecord>();
        round_trips::<EventRecord>();
        round_trips::<HeadRecord>();
        round_trips::<TraceControl>();
        round_trips::<Counters>();
        round_trips::<SubmitKey>();
        round_trips::<SubmitRecord>();
        round_trips::<SubmitErrorKey>();
        round_trips::<SubmitErrors>();
        round_trips::<SubmitControl>();
        round_trips::<SubmitLosses>();
    }
}

//! How a value of the model stands in a message of a file: one trait, and macros that make both directions from one list of fields.

use aioinspect_model::units::{ContextId, Instant, MmId, Pid, Tid};

/// Why a decoded evidence file is not evidence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// A part that every writer writes is not there.
    #[error("evidence without {0}")]
    Missing(&'static str),
    /// The same, of a part of something else than evidence.
    #[error("{0} without {1}")]
    Without(&'static str, &'static str),
    /// A choice that this version does not know, or 0, which means that none was made.
    #[error("{field} has the unknown value {value}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its value.
        value: i32,
    },
    /// CPUs that are online, and not in ascending order.
    #[error("online_cpus do not ascend")]
    Cpus,
    /// A ring header that is not 32 bytes long.
    #[error("the ring header at {address} has {len} bytes, not 32")]
    HeaderLen {
        /// Where it was read.
        address: ContextId,
        /// Its length.
        len: usize,
    },
}

/// What reading gives.
pub(crate) type Result<T> = std::result::Result<T, ConvertError>;

/// A value of the model that is an `F` in a file.
pub(crate) trait Stored<F>: Sized {
    /// As it is written.
    fn store(&self) -> F;
    /// As it was read. The file may come from anybody: what the model cannot hold is refused by name.
    fn load(stored: F) -> Result<Self>;
}

macro_rules! as_they_are {
    ($($of:ty)*) => {$(
        impl Stored<$of> for $of {
            fn store(&self) -> $of {
                self.to_owned()
            }
            fn load(stored: $of) -> Result<Self> {
                Ok(stored)
            }
        }
    )*};
}

as_they_are! { bool u8 u32 u64 i64 String }

macro_rules! numbers {
    ($($of:ident $number:ty;)*) => {$(
        impl Stored<$number> for $of {
            fn store(&self) -> $number {
                self.0
            }
            fn load(stored: $number) -> Result<Self> {
                Ok(Self(stored))
            }
        }
    )*};
}

numbers! { Pid u32; Tid u32; MmId u32; Instant u64; ContextId u64; }

impl<F, T: Stored<F>> Stored<Option<F>> for Option<T> {
    fn store(&self) -> Option<F> {
        self.as_ref().map(T::store)
    }

    fn load(stored: Option<F>) -> Result<Self> {
        stored.map(T::load).transpose()
    }
}

impl<F, T: Stored<F>> Stored<Vec<F>> for Vec<T> {
    fn store(&self) -> Vec<F> {
        self.iter().map(T::store).collect()
    }

    fn load(stored: Vec<F>) -> Result<Self> {
        stored.into_iter().map(T::load).collect()
    }
}

/// Enums whose variants have the same names in the file, where 0 is none of them; with the name that errors give them.
macro_rules! choices {
    ($($of:ident $name:literal { $($variant:ident),* $(,)? })*) => {$(
        impl Stored<i32> for $of {
            fn store(&self) -> i32 {
                match self { $($of::$variant => file::$of::$variant.into()),* }
            }
            fn load(stored: i32) -> Result<Self> {
                match file::$of::try_from(stored) {
                    $(Ok(file::$of::$variant) => Ok($of::$variant),)*
                    Ok(file::$of::Unspecified) | Err(_) => {
                        Err(ConvertError::Unknown { field: $name, value: stored })
                    }
                }
            }
        }

        #[cfg(test)]
        impl crate::tests::Any for $of {
            fn any(dice: &mut crate::tests::Dice<'_>) -> Self {
                dice.one(&[$($of::$variant),*])
            }
        }
    )*};
}
pub(crate) use choices;

/// Structs and the messages of the same name. First the fields that are called the same in both; `renamed`: those that the file calls otherwise;
/// `split`: those that are several fields of the file; `facts`: numbers that may not be known, which are 0 then and whose names stand in the
/// message's list `unknown`. `required` messages are always there, and errors call them by that name.
///
/// Both structs are taken apart and made by name: a field of either that is in no list does not compile.
macro_rules! messages {
    ($(
        $of:ident $(required $name:literal)? { $($same:ident),* $(,)? }
        $(renamed { $($field:ident = $stored:ident),* $(,)? })?
        $(split { $($whole:ident = ($($part:ident),*)),* $(,)? })?
        $(facts { $($fact:ident: $known:ident),* $(,)? } in $unknown:ident)?;
    )*) => {$(
        impl Stored<file::$of> for $of {
            fn store(&self) -> file::$of {
                let $of { $($same,)* $($($field,)*)? $($($whole,)*)? $($($known,)*)? } = self;
                $($(let ($($part),*) = $whole.store();)*)?
                $(
                    let mut $unknown: Vec<Fact> = Vec::new();
                    $(let $known = $known.as_ref().map(Stored::store).unwrap_or_else(|| {
                        $unknown.push(Fact::$fact);
                        Default::default()
                    });)*
                )?
                file::$of {
                    $($same: $same.store(),)*
                    $($($stored: $field.store(),)*)?
                    $($($($part,)*)*)?
                    $($($known,)* $unknown: $unknown.store(),)?
                }
            }

            fn load(stored: file::$of) -> Result<Self> {
                let file::$of {
                    $($same,)* $($($stored,)*)? $($($($part,)*)*)? $($($known,)* $unknown,)?
                } = stored;
                $(
                    let $unknown: Vec<Fact> = Stored::load($unknown)?;
                    $(let $known = (!$unknown.contains(&Fact::$fact)).then(|| Stored::load($known)).transpose()?;)*
                )?
                Ok($of {
                    $($same: Stored::load($same)?,)*
                    $($($field: Stored::load($stored)?,)*)?
                    $($($whole: Stored::load(($($part),*))?,)*)?
                    $($($known,)*)?
                })
            }
        }

        $(impl Stored<Option<file::$of>> for $of {
            fn store(&self) -> Option<file::$of> {
                Some(self.store())
            }
            fn load(stored: Option<file::$of>) -> Result<Self> {
                Self::load(stored.ok_or(ConvertError::Missing($name))?)
            }
        })?

        #[cfg(test)]
        impl crate::tests::Any for $of {
            fn any(dice: &mut crate::tests::Dice<'_>) -> Self {
                use crate::tests::Any;
                $of {
                    $($same: Any::any(dice),)*
                    $($($field: Any::any(dice),)*)?
                    $($($whole: Any::any(dice),)*)?
                    $($($known: Any::any(dice),)*)?
                }
            }
        }
    )*};
}
pub(crate) use messages;

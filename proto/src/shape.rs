//! What must be there before a message is decoded: required fields, and a bound on how many messages it holds.
//!
//! prost fills in 0 for a required field that is missing, and an empty message costs two bytes in a file but
//! hundreds in memory. Both are refused here, before anything is allocated.

use crate::fields::{FieldError, fields};

/// A message type, as far as it is checked.
pub(crate) struct Shape {
    /// Its name, for errors.
    pub name: &'static str,
    /// Names of the fields 1, 2, 3.. that must be present.
    pub required: &'static [&'static str],
    /// Message fields by number.
    pub children: &'static [(u32, &'static Shape)],
}

/// Why a message does not have its shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not protobuf.
    #[error("in {message}: {error}")]
    Field {
        /// The message's type.
        message: &'static str,
        /// What is wrong; positions count from the start of that message.
        error: FieldError,
    },
    /// A required field is missing.
    #[error("{message} has no {field}")]
    Missing {
        /// The message's type.
        message: &'static str,
        /// The field's name.
        field: &'static str,
    },
    /// More messages than a real file has.
    #[error("more than {0} messages")]
    TooMany(usize),
}

impl Shape {
    /// Checks `bytes`, all its children included, which may be `budget` messages in all.
    pub(crate) fn check(&self, bytes: &[u8], budget: usize) -> Result<(), ShapeError> {
        let mut left = budget;
        self.check_within(bytes, &mut left).map_err(|e| match e {
            ShapeError::TooMany(_) => ShapeError::TooMany(budget),
            ShapeError::Field { .. } | ShapeError::Missing { .. } => e,
        })
    }

    // The recursion is as deep as the tables of `children`, whatever the bytes say.
    fn check_within(&self, bytes: &[u8], left: &mut usize) -> Result<(), ShapeError> {
        *left = left.checked_sub(1).ok_or(ShapeError::TooMany(0))?;
        let mut seen = 0_u64;
        for field in fields(bytes) {
            let field = field.map_err(|error| ShapeError::Field { message: self.name, error })?;
            seen |= 1_u64.checked_shl(field.number).unwrap_or(0);
            let child = self.children.iter().find(|(number, _)| *number == field.number);
            if let (Some((_, child)), Some(payload)) = (child, field.payload) {
                child.check_within(payload, left)?;
            }
        }
        let missing = self.required.iter().zip(1_u32..).find(|(_, number)| seen & (1 << number) == 0);
        missing.map_or(Ok(()), |(field, _)| Err(ShapeError::Missing { message: self.name, field }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAF: Shape = Shape { name: "leaf", required: &["a"], children: &[] };
    const ROOT: Shape = Shape { name: "root", required: &[], children: &[(2, &LEAF)] };

    #[test]
    fn a_missing_field_of_a_child_is_named() {
        assert_eq!(ROOT.check(&[0x12, 2, 0x08, 1], 9), Ok(()));
        assert_eq!(ROOT.check(&[0x12, 0], 9), Err(ShapeError::Missing { message: "leaf", field: "a" }));
    }

    #[test]
    fn children_are_counted() {
        let two = [0x12, 2, 0x08, 1, 0x12, 2, 0x08, 1];
        assert_eq!(ROOT.check(&two, 3), Ok(()));
        assert_eq!(ROOT.check(&two, 2), Err(ShapeError::TooMany(2)));
    }
}

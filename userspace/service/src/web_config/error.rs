//! What is wrong with a web config file.

/// What is wrong with the file. It shows keys, never a hash or any other value that was meant to be secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{says}", line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub struct WebConfigError {
    /// Where, counted from 1, if it is known.
    pub line: Option<u64>,
    /// What, in a sentence without a full stop.
    pub says: String,
}

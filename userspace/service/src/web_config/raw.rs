//! The web config file as it is written: YAML to strings with their lines, and nothing of a value in any error.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Error, Spanned};

use crate::web_config::error::WebConfigError;

/// A word and where it stands.
pub(super) type Word = Spanned<String>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Raw {
    pub tls_server_config: Option<RawTls>,
    pub http_server_config: Option<RawHttp>,
    pub basic_auth_users: Option<BTreeMap<String, Word>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTls {
    pub cert_file: Option<Word>,
    pub key_file: Option<Word>,
    pub client_auth_type: Option<Word>,
    pub client_ca_file: Option<Word>,
    pub client_allowed_sans: Option<Vec<Word>>,
    pub min_version: Option<Word>,
    pub max_version: Option<Word>,
    pub cipher_suites: Option<Vec<Word>>,
    pub curve_preferences: Option<Vec<Word>>,
    pub prefer_server_cipher_suites: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHttp {
    pub http2: Option<bool>,
    pub headers: Option<BTreeMap<String, Word>>,
}

/// Reads the YAML. An empty file, or one of comments only, says nothing, and that is allowed.
pub(super) fn read(text: &str) -> Result<Raw, WebConfigError> {
    // A file of some hundred users; aliases and merges have no use in it.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 20_000,
            max_nodes: 10_000,
            max_depth: 8,
            max_documents: 1,
            max_aliases: 64,
            max_anchors: 64,
            max_total_scalar_bytes: 1 << 20,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 1_000,
            max_replay_stack_depth: 4,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Option<Raw>>(text, options)
        .map(Option::unwrap_or_default)
        .map_err(|error| told(&error))
}

/// The library's own words quote values, and values may be hashes: ours name keys and lines alone.
#[expect(clippy::wildcard_enum_match_arm, reason = "what is not named here is not told apart either")]
fn told(error: &Error) -> WebConfigError {
    let error = error.without_snippet();
    let line = error.location().map(|at| at.line()).filter(|line| *line > 0);
    let says = match error {
        Error::SerdeUnknownField { field, .. } => match field.as_str() {
            "cert" | "key" | "client_ca" => {
                format!(
                    "{field}: PEM text in this file is not supported: put it into a file of its own and name that in {field}_file"
                )
            }
            "rate_limit" => "rate_limit is not supported".to_owned(),
            _ => format!("unknown key {}", key(field)),
        },
        Error::DuplicateMappingKey { key: Some(name), .. } => format!("key {} is given twice", key(name)),
        Error::DuplicateMappingKey { key: None, .. } => "a key is given twice".to_owned(),
        Error::MergeKeyNotAllowed { .. } => "YAML merge keys (<<) are not supported".to_owned(),
        Error::MultipleDocuments { .. } => "more than one YAML document".to_owned(),
        Error::SerdeInvalidType { .. }
        | Error::SerdeInvalidValue { .. }
        | Error::InvalidScalar { .. }
        | Error::InvalidBooleanStrict { .. }
        | Error::NullIntoString { .. }
        | Error::Unexpected { .. } => "a value of the wrong type for this key".to_owned(),
        Error::Budget { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => "too much for a web config file".to_owned(),
        _ => "not the YAML of a web config file".to_owned(),
    };
    WebConfigError { line, says }
}

/// A key as it may be shown: what is not the plain name of something may be a secret in the wrong place.
pub(super) fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '@');
    if !name.is_empty() && name.len() <= 40 && name.chars().all(plain) {
        format!("{name:?}")
    } else {
        "(not a plain name, not shown)".to_owned()
    }
}

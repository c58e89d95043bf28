//! The web config file of Prometheus' exporter-toolkit: TLS, users, and a few headers of an HTTP server.
//!
//! ```yaml
//! tls_server_config:
//!   cert_file: server.crt      # relative to this file
//!   key_file: server.key
//! basic_auth_users:
//!   alice: $2y$10$...          # bcrypt: htpasswd -nBC 10 alice
//! ```
//!
//! What cannot be had here is refused, never passed over: a file that asks for more than the server does would promise what is not kept.

mod error;
mod raw;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use crate::web_config::error::WebConfigError;
use crate::web_config::raw::{RawHttp, RawTls, Word};

/// Work that one comparison may cost, as a power of two: at 15 it is about a second and a half of a CPU.
const MAX_COST: u32 = 15;
const MIN_COST: u32 = 4;

/// What the file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebConfig {
    /// TLS, if certificates are given.
    pub tls: Option<TlsConfig>,
    /// Headers to send with every answer, by their usual spelling; an empty value means: not this header.
    pub headers: BTreeMap<&'static str, String>,
    /// Users by name; empty: nobody is asked who they are.
    pub users: BTreeMap<String, PasswordHash>,
}

/// A bcrypt hash of the right form. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    text: String,
    cost: u32,
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

impl PasswordHash {
    /// The hash itself: for comparing, not for showing.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// The work of a comparison, as a power of two.
    pub fn cost(&self) -> u32 {
        self.cost
    }

    /// `$2[aby]$NN$` and 53 characters of bcrypt's base64.
    fn parse(text: &str) -> Result<Self, String> {
        let form = || "not a bcrypt hash ($2a$, $2b$ or $2y$, 60 characters)".to_owned();
        let rest = ["$2a$", "$2b$", "$2y$"]
            .iter()
            .find_map(|version| text.strip_prefix(version))
            .ok_or_else(form)?;
        let (cost, hash) = rest.split_once('$').ok_or_else(form)?;
        let base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/');
        let digits = cost.len() == 2 && cost.bytes().all(|byte| byte.is_ascii_digit());
        if !digits || hash.len() != 53 || !hash.bytes().all(base64) {
            return Err(form());
        }
        let cost: u32 = cost.parse().map_err(|_| form())?;
        if !(MIN_COST..=MAX_COST).contains(&cost) {
            return Err(format!("a bcrypt cost of {cost}: {MIN_COST} to {MAX_COST} are accepted"));
        }
        Ok(Self { text: text.to_owned(), cost })
    }
}

/// What TLS is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate and its intermediates, PEM.
    pub cert_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// What clients must show.
    pub client_auth: ClientAuth,
    /// Who signs clients' certificates; given whenever they are verified.
    pub client_ca_file: Option<PathBuf>,
    /// The oldest version spoken.
    pub min_version: TlsVersion,
    /// The newest version spoken.
    pub max_version: TlsVersion,
    /// The cipher suites of TLS 1.2 to offer, first wanted first; empty: all. As in Go, those of TLS 1.3 are always offered.
    pub cipher_suites: Vec<CipherSuite>,
    /// The groups to offer, first wanted first; empty: all.
    pub curves: Vec<Curve>,
    /// Whether our order of suites counts, not the client's.
    pub prefer_server_cipher_suites: bool,
}

/// The five policies of Go's crypto/tls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Clients are not asked for a certificate.
    #[default]
    NoClientCert,
    /// They are asked; one that is given is not verified.
    RequestClientCert,
    /// They must give one; it is not verified.
    RequireAnyClientCert,
    /// They are asked; one that is given must be good.
    VerifyClientCertIfGiven,
    /// They must give a good one.
    RequireAndVerifyClientCert,
}

/// A version of TLS. The older ones are broken and not offered by the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// A cipher suite that both Go and our library have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the names")]
pub enum CipherSuite {
    EcdheEcdsaAes128,
    EcdheEcdsaAes256,
    EcdheEcdsaChacha20,
    EcdheRsaAes128,
    EcdheRsaAes256,
    EcdheRsaChacha20,
    /// One of TLS 1.3, all of which are always offered.
    Tls13,
}

/// A group for key exchange that both Go and our library have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are the names")]
pub enum Curve {
    P256,
    P384,
    X25519,
}

const CLIENT_AUTH: [(&str, ClientAuth); 5] = [
    ("NoClientCert", ClientAuth::NoClientCert),
    ("RequestClientCert", ClientAuth::RequestClientCert),
    ("RequireAnyClientCert", ClientAuth::RequireAnyClientCert),
    ("VerifyClientCertIfGiven", ClientAuth::VerifyClientCertIfGiven),
    ("RequireAndVerifyClientCert", ClientAuth::RequireAndVerifyClientCert),
];
const SUITES: [(&str, CipherSuite); 9] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", CipherSuite::EcdheEcdsaAes128),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", CipherSuite::EcdheEcdsaAes256),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::EcdheEcdsaChacha20),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", CipherSuite::EcdheRsaAes128),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", CipherSuite::EcdheRsaAes256),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", CipherSuite::EcdheRsaChacha20),
    ("TLS_AES_128_GCM_SHA256", CipherSuite::Tls13),
    ("TLS_AES_256_GCM_SHA384", CipherSuite::Tls13),
    ("TLS_CHACHA20_POLY1305_SHA256", CipherSuite::Tls13),
];
const CURVES: [(&str, Curve); 3] =
    [("CurveP256", Curve::P256), ("CurveP384", Curve::P384), ("X25519", Curve::X25519)];
const VERSIONS: [(&str, TlsVersion); 2] = [("TLS12", TlsVersion::Tls12), ("TLS13", TlsVersion::Tls13)];

/// The headers that exporter-toolkit lets a file set, and the values it accepts; none: any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

impl WebConfig {
    /// Reads the file's text; `directory` is where the file is: relative paths in it begin there.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, WebConfigError> {
        let raw = raw::read(text)?;
        Ok(Self {
            tls: raw.tls_server_config.map_or(Ok(None), |tls| tls_of(tls, directory))?,
            headers: headers(raw.http_server_config.unwrap_or_default())?,
            users: users(raw.basic_auth_users.unwrap_or_default())?,
        })
    }

    /// Whether connections are encrypted.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether clients must say who they are.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }
}

fn at(word: &Word, says: String) -> WebConfigError {
    WebConfigError { line: Some(word.referenced.line()).filter(|line| *line > 0), says }
}

fn without_line(says: &str) -> WebConfigError {
    WebConfigError { line: None, says: says.to_owned() }
}

/// What `word` names among `known`.
fn one_of<T: Copy>(what: &str, word: &Word, known: &[(&str, T)]) -> Result<T, WebConfigError> {
    known.iter().find(|(name, _)| *name == word.value).map(|(_, one)| *one).ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let given = raw::key(&word.value);
        at(word, format!("{what}: {given} is not supported; use one of: {}", names.join(", ")))
    })
}

fn list<T: Copy>(
    what: &str,
    words: Option<Vec<Word>>,
    known: &[(&str, T)],
) -> Result<Vec<T>, WebConfigError> {
    words.unwrap_or_default().iter().map(|word| one_of(what, word, known)).collect()
}

fn version(what: &str, word: Option<&Word>, usual: TlsVersion) -> Result<TlsVersion, WebConfigError> {
    let Some(word) = word else { return Ok(usual) };
    if ["TLS10", "TLS11"].contains(&word.value.as_str()) {
        return Err(at(
            word,
            format!("{what}: {} is insecure and not supported; the oldest is TLS12", word.value),
        ));
    }
    one_of(what, word, &VERSIONS)
}

fn tls_of(raw: RawTls, directory: &Path) -> Result<Option<TlsConfig>, WebConfigError> {
    if let Some(word) = raw.client_allowed_sans.iter().flatten().next() {
        let says = "client_allowed_sans is not supported: let the CA of client_ca_file sign only clients that may connect";
        return Err(at(word, says.to_owned()));
    }
    let client_auth = match &raw.client_auth_type {
        Some(word) if !word.value.is_empty() => one_of("client_auth_type", word, &CLIENT_AUTH)?,
        _ => ClientAuth::default(),
    };
    let min_version = version("min_version", raw.min_version.as_ref(), TlsVersion::Tls12)?;
    let max_version = version("max_version", raw.max_version.as_ref(), TlsVersion::Tls13)?;
    if let (true, Some(word)) = (min_version > max_version, &raw.min_version) {
        return Err(at(word, "min_version is newer than max_version".to_owned()));
    }
    let cipher_suites = list("cipher_suites", raw.cipher_suites, &SUITES)?;
    let curves = list("curve_preferences", raw.curve_preferences, &CURVES)?;
    let path = |word: Option<Word>| {
        word.filter(|word| !word.value.is_empty()).map(|word| directory.join(word.value))
    };
    let client_ca_file = path(raw.client_ca_file);
    match (client_auth, &client_ca_file) {
        (ClientAuth::NoClientCert, Some(_)) => {
            return Err(without_line("client_ca_file without a client_auth_type that asks for certificates"));
        }
        (ClientAuth::VerifyClientCertIfGiven | ClientAuth::RequireAndVerifyClientCert, None) => {
            return Err(without_line(
                "client_auth_type verifies certificates, but there is no client_ca_file",
            ));
        }
        _ => {}
    }
    let (cert_file, key_file) = match (path(raw.cert_file), path(raw.key_file)) {
        (Some(cert), Some(key)) => (cert, key),
        // As exporter-toolkit has it: a section without certificates is no TLS.
        (None, None) if client_auth == ClientAuth::NoClientCert => return Ok(None),
        (None, _) => return Err(without_line("tls_server_config lacks cert_file")),
        (_, None) => return Err(without_line("tls_server_config lacks key_file")),
    };
    Ok(Some(TlsConfig {
        cert_file,
        key_file,
        client_auth,
        client_ca_file,
        min_version,
        max_version,
        cipher_suites,
        curves,
        prefer_server_cipher_suites: raw.prefer_server_cipher_suites.unwrap_or(true),
    }))
}

fn headers(raw: RawHttp) -> Result<BTreeMap<&'static str, String>, WebConfigError> {
    // Allowed either way: a server may speak less than it is allowed to.
    let _ = raw.http2;
    let mut headers = BTreeMap::new();
    for (name, word) in raw.headers.unwrap_or_default() {
        let Some((known, values)) = HEADERS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<&str> = HEADERS.iter().map(|(known, _)| *known).collect();
            let says = format!("header {} cannot be set here, only {}", raw::key(&name), names.join(", "));
            return Err(at(&word, says));
        };
        if !values.is_empty() && !values.contains(&word.value.as_str()) {
            return Err(at(&word, format!("{known} must be one of: {}", values.join(", "))));
        }
        if !word.value.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            return Err(at(&word, format!("{known} contains characters that a header must not have")));
        }
        headers.insert(*known, word.value);
    }
    Ok(headers)
}

fn users(raw: BTreeMap<String, Word>) -> Result<BTreeMap<String, PasswordHash>, WebConfigError> {
    let mut users = BTreeMap::new();
    for (name, word) in raw {
        let told = |says: &str| at(&word, format!("user {}: {says}", raw::key(&name)));
        if name.is_empty() || name.chars().any(|c| c == ':' || c.is_control()) {
            return Err(told("the name must not be empty or contain a colon or control characters"));
        }
        let hash = PasswordHash::parse(&word.value).map_err(|says| told(&says))?;
        users.insert(name, hash);
    }
    Ok(users)
}

#[cfg(test)]
mod tests;

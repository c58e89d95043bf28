//! The server's side of TLS: certificates read, checked, and read again when they are replaced.
//!
//! ring is named as the provider: a process-wide default would depend on who asks first.

mod any_client;

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::crypto::ring::{self, cipher_suite as suite, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion};
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::tls::any_client::AnyClient;
use crate::web_config::{CipherSuite, ClientAuth, Curve, TlsConfig, TlsVersion};

/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A file of certificates beyond that is none.
const MAX_FILE: u64 = 1 << 20;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {error}", path.display())]
    Unreadable {
        /// The certificate, key or list of authorities.
        path: PathBuf,
        /// What the kernel says.
        error: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{}: {says}", path.display())]
    Content {
        /// The certificate, key or list of authorities.
        path: PathBuf,
        /// What is wrong with it.
        says: String,
    },
    /// The options do not go together.
    #[error("tls_server_config: {0}")]
    Options(String),
}

/// What a connection is accepted with, kept as new as its files.
pub struct Tls {
    config: TlsConfig,
    state: Mutex<State>,
}

struct State {
    acceptor: TlsAcceptor,
    /// What the files were when they were last read, well or not.
    seen: Vec<Stamp>,
    looked_at: Instant,
}

/// What tells a replaced file from the one before: device, inode, size, time of change in seconds and nanoseconds; `None` if it is not there.
type Stamp = Option<(u64, u64, u64, i64, i64)>;

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files and checks that they belong together.
    pub fn new(config: TlsConfig) -> Result<Self, TlsError> {
        // Before reading: what changes meanwhile is read again.
        let seen = stamps(&config);
        let acceptor = acceptor_of(&config)?;
        Ok(Self { config, state: Mutex::new(State { acceptor, seen, looked_at: Instant::now() }) })
    }

    /// What was read last, without a look at the files.
    pub fn acceptor(&self) -> TlsAcceptor {
        self.lock().acceptor.clone()
    }

    /// The same after a look at the files, at most one a second. If they changed and are good, the new ones count from here on; if they are not
    /// good, the old ones do, and the note says why: once for each change. A note of good ones is given too.
    pub fn current(&self) -> (TlsAcceptor, Option<String>) {
        let mut state = self.lock();
        if state.looked_at.elapsed() < LOOK_EVERY {
            return (state.acceptor.clone(), None);
        }
        state.looked_at = Instant::now();
        let seen = stamps(&self.config);
        if seen == state.seen {
            return (state.acceptor.clone(), None);
        }
        state.seen = seen;
        let note = match acceptor_of(&self.config) {
            Ok(acceptor) => {
                state.acceptor = acceptor;
                format!("{}: read again", self.config.cert_file.display())
            }
            Err(error) => format!("the old certificates stay in use: {error}"),
        };
        (state.acceptor.clone(), Some(note))
    }

    /// The directories its files are in, by name and behind symbolic links: what must stay readable for [`Tls::current`].
    pub fn directories(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for file in files(&self.config) {
            let behind = file.canonicalize().ok();
            for path in [Some(file), behind.as_deref()].into_iter().flatten() {
                match path.parent() {
                    Some(parent) if parent.as_os_str().is_empty() => found.push(PathBuf::from(".")),
                    Some(parent) => found.push(parent.to_owned()),
                    None => {}
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Whoever panicked held a whole state: it is replaced by single assignments.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    fn look_again(&self) {
        let past = Instant::now().checked_sub(LOOK_EVERY * 2).unwrap();
        self.lock().looked_at = past;
    }
}

fn files(config: &TlsConfig) -> impl Iterator<Item = &Path> {
    [Some(&config.cert_file), Some(&config.key_file), config.client_ca_file.as_ref()]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
}

fn stamps(config: &TlsConfig) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        std::fs::metadata(path).ok().map(|of| (of.dev(), of.ino(), of.size(), of.mtime(), of.mtime_nsec()))
    };
    files(config).map(stamp).collect()
}

fn acceptor_of(config: &TlsConfig) -> Result<TlsAcceptor, TlsError> {
    let options = |error: rustls::Error| TlsError::Options(error.to_string());
    let provider = Arc::new(provider(config));
    let verifier = verifier(config, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(config))
        .map_err(options)?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder
        .with_single_cert(certificates(&config.cert_file)?, private_key(&config.key_file)?)
        .map_err(|error| pair_error(config, &error))?;
    server.ignore_client_order = config.prefer_server_cipher_suites;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// Which of the two files is at fault.
fn pair_error(config: &TlsConfig, error: &rustls::Error) -> TlsError {
    if matches!(error, rustls::Error::InconsistentKeys(_)) {
        let says = format!("not the key of the certificate in {}", config.cert_file.display());
        return TlsError::Content { path: config.key_file.clone(), says };
    }
    let certificate = matches!(error, rustls::Error::InvalidCertificate(_));
    let path = if certificate { &config.cert_file } else { &config.key_file };
    TlsError::Content { path: path.clone(), says: error.to_string() }
}

fn versions(config: &TlsConfig) -> Vec<&'static SupportedProtocolVersion> {
    [(TlsVersion::Tls13, &rustls::version::TLS13), (TlsVersion::Tls12, &rustls::version::TLS12)]
        .into_iter()
        .filter(|(version, _)| (config.min_version..=config.max_version).contains(version))
        .map(|(_, ours)| ours)
        .collect()
}

fn provider(config: &TlsConfig) -> CryptoProvider {
    let mut provider = ring::default_provider();
    if !config.cipher_suites.is_empty() {
        let chosen = config.cipher_suites.iter().filter_map(|one| tls12_suite(*one));
        provider.cipher_suites.retain(|suite| suite.tls13().is_some());
        provider.cipher_suites.extend(chosen);
    }
    if !config.curves.is_empty() {
        provider.kx_groups = config.curves.iter().map(|curve| group(*curve)).collect();
    }
    provider
}

fn tls12_suite(of: CipherSuite) -> Option<SupportedCipherSuite> {
    Some(match of {
        CipherSuite::EcdheEcdsaAes128 => suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaAes256 => suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaChacha20 => suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheRsaAes128 => suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaAes256 => suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaChacha20 => suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::Tls13 => return None,
    })
}

fn group(of: Curve) -> &'static dyn SupportedKxGroup {
    match of {
        Curve::P256 => kx_group::SECP256R1,
        Curve::P384 => kx_group::SECP384R1,
        Curve::X25519 => kx_group::X25519,
    }
}

/// Who looks at clients' certificates; `None`: nobody asks for them.
fn verifier(
    config: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let any = |required| Some(Arc::new(AnyClient::new(required, provider)) as Arc<dyn ClientCertVerifier>);
    let optional = match config.client_auth {
        ClientAuth::NoClientCert => return Ok(None),
        ClientAuth::RequestClientCert => return Ok(any(false)),
        ClientAuth::RequireAnyClientCert => return Ok(any(true)),
        ClientAuth::VerifyClientCertIfGiven => true,
        ClientAuth::RequireAndVerifyClientCert => false,
    };
    let Some(path) = &config.client_ca_file else {
        return Err(TlsError::Options("client_ca_file is missing".to_owned()));
    };
    let content = |says: String| TlsError::Content { path: path.clone(), says };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| content(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if optional { builder.allow_unauthenticated() } else { builder };
    builder.build().map(Some).map_err(|error| content(error.to_string()))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let of = std::fs::metadata(path).map_err(unreadable)?;
    if !of.is_file() || of.len() > MAX_FILE {
        return Err(TlsError::Content { path: path.to_owned(), says: "not a file of PEM text".to_owned() });
    }
    std::fs::read(path).map_err(unreadable)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let content = |says: &str| TlsError::Content { path: path.to_owned(), says: says.to_owned() };
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let found = found.map_err(|_| content("damaged PEM text"))?;
    if found.is_empty() { Err(content("no PEM certificate in it")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let encrypted = text.windows(9).any(|window| window == b"ENCRYPTED");
        let says = if !matches!(error, pem::Error::NoItemsFound) {
            // What exactly is said may quote lines.
            "damaged PEM text"
        } else if encrypted {
            "the private key is encrypted: use one without a password"
        } else {
            "no PEM private key in it"
        };
        TlsError::Content { path: path.to_owned(), says: says.to_owned() }
    })
}

#[cfg(test)]
mod tests;

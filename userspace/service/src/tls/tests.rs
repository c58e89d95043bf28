use std::collections::BTreeSet;

use rustls::{ClientConfig, ClientConnection, ServerConnection};
use rustls_pki_types::ServerName;
use tempfile::TempDir;

use crate::tls::*;

fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tls/certificates").join(name)
}

fn config(client_auth: ClientAuth) -> TlsConfig {
    TlsConfig {
        cert_file: pem("server.crt"),
        key_file: pem("server.key"),
        client_auth,
        client_ca_file: Some(pem("ca.crt")),
        min_version: TlsVersion::Tls12,
        max_version: TlsVersion::Tls13,
        cipher_suites: Vec::new(),
        curves: Vec::new(),
        prefer_server_cipher_suites: true,
    }
}

/// A client that trusts our CA, speaks these versions, and shows a certificate if it has one.
fn client(shows: Option<&str>, versions: &[&'static SupportedProtocolVersion]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(certificates(&pem("ca.crt")).unwrap().remove(0)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots);
    let client = match shows {
        Some(name) => {
            let key = private_key(&pem(&format!("{name}.key"))).unwrap();
            builder.with_client_auth_cert(certificates(&pem(&format!("{name}.crt"))).unwrap(), key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    ClientConnection::new(Arc::new(client), ServerName::try_from("localhost").unwrap()).unwrap()
}

/// Shakes hands in memory; both sides as they are afterwards.
fn shake(
    acceptor: &TlsAcceptor,
    mut client: ClientConnection,
) -> Result<(ServerConnection, ClientConnection), rustls::Error> {
    let mut server = ServerConnection::new(Arc::clone(acceptor.config())).unwrap();
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut from = wire.as_slice();
        while !from.is_empty() {
            server.read_tls(&mut from).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut from = wire.as_slice();
        while !from.is_empty() {
            client.read_tls(&mut from).unwrap();
            client.process_new_packets()?;
        }
    }
    assert!(!server.is_handshaking() && !client.is_handshaking());
    Ok((server, client))
}

const BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];

/// Check each policy against a client with no certificate, one of our CA, and a stranger's, in both versions.
#[test]
fn client_certificates() {
    use ClientAuth::{
        NoClientCert, RequestClientCert, RequireAndVerifyClientCert, RequireAnyClientCert,
        VerifyClientCertIfGiven,
    };
    for (policy, none, ours, stranger) in [
        (NoClientCert, true, true, true),
        (RequestClientCert, true, true, true),
        (RequireAnyClientCert, false, true, true),
        (VerifyClientCertIfGiven, true, true, false),
        (RequireAndVerifyClientCert, false, true, false),
    ] {
        let tls = Tls::new(config(policy)).unwrap();
        for version in BOTH {
            for (shows, good) in [(None, none), (Some("client"), ours), (Some("stranger"), stranger)] {
                let shaken = shake(&tls.acceptor(), client(shows, &[version]));
                assert_eq!(shaken.is_ok(), good, "{policy:?} {version:?} {shows:?}");
                let Ok((server, _)) = shaken else { continue };
                let seen = server.peer_certificates().is_some();
                assert_eq!(seen, shows.is_some() && policy != NoClientCert, "{policy:?} {shows:?}");
            }
        }
    }
}

/// Check that versions, suites and groups are those asked for.
#[test]
fn what_is_offered() {
    let only13 = TlsConfig { min_version: TlsVersion::Tls13, ..config(ClientAuth::NoClientCert) };
    let tls = Tls::new(only13).unwrap();
    assert!(shake(&tls.acceptor(), client(None, &[&rustls::version::TLS12])).is_err());
    let (server, _) = shake(&tls.acceptor(), client(None, &BOTH)).unwrap();
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    let only12 = TlsConfig {
        max_version: TlsVersion::Tls12,
        cipher_suites: vec![CipherSuite::EcdheEcdsaChacha20],
        curves: vec![Curve::P384],
        ..config(ClientAuth::NoClientCert)
    };
    let (server, _) = shake(&Tls::new(only12.clone()).unwrap().acceptor(), client(None, &BOTH)).unwrap();
    let suite = server.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, rustls::CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256);
    let group = server.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::secp384r1);
    let nothing_left = TlsConfig { cipher_suites: vec![CipherSuite::Tls13], ..only12 };
    assert!(Tls::new(nothing_left).unwrap_err().to_string().starts_with("tls_server_config: "));
}

/// Check that each bad file is named, with what is wrong, and nothing of it.
#[test]
fn bad_files_are_named() {
    let dir = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let good = config(ClientAuth::RequireAndVerifyClientCert);
    let says = |config: TlsConfig| Tls::new(config).unwrap_err().to_string();
    let told = says(TlsConfig { cert_file: pem("absent.crt"), ..good.clone() });
    assert!(told.contains("absent.crt: No such file"), "{told}");
    let told = says(TlsConfig { cert_file: pem("server.key"), ..good.clone() });
    assert!(told.contains("server.key: no PEM certificate"), "{told}");
    let told = says(TlsConfig { key_file: pem("server.crt"), ..good.clone() });
    assert!(told.contains("server.crt: no PEM private key"), "{told}");
    let told = says(TlsConfig { key_file: pem("encrypted.key"), ..good.clone() });
    assert!(told.contains("encrypted.key: the private key is encrypted"), "{told}");
    let told = says(TlsConfig { key_file: pem("client.key"), ..good.clone() });
    assert!(told.contains("client.key: not the key of the certificate in"), "{told}");
    let torn = file("torn.key", "-----BEGIN PRIVATE KEY-----\nMIGHsecret\n");
    let told = says(TlsConfig { key_file: torn, ..good.clone() });
    assert!(told.contains("torn.key: ") && !told.contains("MIGH"), "{told}");
    let torn = file("torn.crt", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let told = says(TlsConfig { cert_file: torn.clone(), ..good.clone() });
    assert!(told.contains("torn.crt: "), "{told}");
    let told = says(TlsConfig { client_ca_file: Some(torn), ..good.clone() });
    assert!(told.contains("torn.crt: "), "{told}");
    let told = says(TlsConfig { cert_file: dir.path().to_owned(), ..good });
    assert!(told.contains("not a file"), "{told}");
}

/// What the server's certificate is, in the eyes of a client.
fn shown(acceptor: &TlsAcceptor) -> CertificateDer<'static> {
    let (_, client) = shake(acceptor, client(None, &BOTH)).unwrap();
    client.peer_certificates().unwrap()[0].clone().into_owned()
}

/// Check that replaced files count, and that bad ones do not take the good ones' place.
#[test]
fn files_are_read_again() {
    let dir = TempDir::new().unwrap();
    let (cert, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
    let put = |from: &str, to: &Path| {
        let next = dir.path().join("next");
        std::fs::copy(pem(from), &next).unwrap();
        std::fs::rename(&next, to).unwrap();
    };
    put("server.crt", &cert);
    put("server.key", &key);
    let tls = Tls::new(TlsConfig {
        cert_file: cert.clone(),
        key_file: key.clone(),
        ..config(ClientAuth::NoClientCert)
    })
    .unwrap();
    // By name, and behind the links on the way to it; in the order of the paths, which is that of wherever this is checked out.
    let given = [dir.path().to_owned(), pem("ca.crt").parent().unwrap().to_owned()];
    let behind = given.iter().map(|path| path.canonicalize().unwrap());
    let expected: BTreeSet<PathBuf> = given.iter().cloned().chain(behind).collect();
    assert_eq!(tls.directories(), Vec::from_iter(expected));
    let first = shown(&tls.acceptor());
    tls.look_again();
    assert_eq!(tls.current().1, None);
    put("renewed.crt", &cert);
    // Within the same second nobody looks.
    assert_eq!(tls.current().1, None);
    tls.look_again();
    let (acceptor, note) = tls.current();
    assert!(note.unwrap().contains("stay in use"));
    assert_eq!(shown(&acceptor), first);
    tls.look_again();
    assert_eq!(tls.current().1, None, "said once");
    put("renewed.key", &key);
    tls.look_again();
    let (acceptor, note) = tls.current();
    assert!(note.unwrap().contains("read again"));
    let renewed = shown(&acceptor);
    assert!(renewed != first && shown(&tls.acceptor()) == renewed);
    std::fs::remove_file(&cert).unwrap();
    tls.look_again();
    let (acceptor, note) = tls.current();
    assert!(note.unwrap().contains("tls.crt: No such file"));
    assert_eq!(shown(&acceptor), renewed);
}

use proptest::prelude::*;

use crate::web_config::*;

const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

fn parse(text: &str) -> Result<WebConfig, WebConfigError> {
    WebConfig::parse(text, Path::new("/etc/aio"))
}

fn refused(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

/// Check that a file that says nothing asks for nothing.
#[test]
fn empty_files() {
    for text in ["", "\n", "# nothing\n", "---\n", "{}", "tls_server_config: {}\n", "basic_auth_users:\n"] {
        let config = parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert!(!config.has_tls() && !config.has_users(), "{text:?}");
    }
}

/// Check exporter-toolkit's own example of a file, and where relative paths begin.
#[test]
fn the_documented_example() {
    let text = format!(
        "tls_server_config:\n  cert_file: server.crt\n  key_file: /keys/server.key\n\
         \n# Usernames and hashed passwords\nbasic_auth_users:\n  alice: {HASH}\n  bob: {HASH}\n"
    );
    let config = parse(&text).unwrap();
    let tls = config.tls.clone().unwrap();
    assert_eq!(tls.cert_file, Path::new("/etc/aio/server.crt"));
    assert_eq!(tls.key_file, Path::new("/keys/server.key"));
    assert_eq!((tls.min_version, tls.max_version), (TlsVersion::Tls12, TlsVersion::Tls13));
    assert!(tls.prefer_server_cipher_suites && config.has_users());
    assert_eq!(config.users["alice"].cost(), 10);
    assert!(!format!("{config:?}").contains("QOau"));
}

/// Check that every key of the format is understood.
#[test]
fn all_keys() {
    let config = parse(
        "tls_server_config:\n  cert_file: a\n  key_file: b\n  client_auth_type: RequireAndVerifyClientCert\n\
         \x20 client_ca_file: c\n  min_version: TLS12\n  max_version: TLS13\n  cipher_suites:\n\
         \x20   - TLS_AES_128_GCM_SHA256\n    - TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256\n\
         \x20 prefer_server_cipher_suites: false\n  curve_preferences: [CurveP256, X25519]\n  client_allowed_sans: []\n\
         http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n    X-XSS-Protection: \"\"\n\
         \x20   Strict-Transport-Security: max-age=31536000\n    Content-Security-Policy: default-src 'none'\n\
         \x20   X-Content-Type-Options: nosniff\n",
    )
    .unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.client_auth, ClientAuth::RequireAndVerifyClientCert);
    assert_eq!(tls.cipher_suites, [CipherSuite::Tls13, CipherSuite::EcdheRsaAes128]);
    assert_eq!(tls.curves, [Curve::P256, Curve::X25519]);
    assert!(!tls.prefer_server_cipher_suites);
    assert_eq!(config.headers.len(), 5);
}

/// Check that what is not understood is named with its line.
#[test]
fn unknown_keys_have_a_line() {
    assert_eq!(refused("tls_server_config:\n  cert_fil: a\n"), "line 2: unknown key \"cert_fil\"");
    assert_eq!(refused("\nbasic_auth: {}\n"), "line 2: unknown key \"basic_auth\"");
    let twice = refused("basic_auth_users:\n  a: x\n  a: y\n");
    assert!(twice.contains("line 3") && twice.contains("given twice"), "{twice}");
    assert!(refused("tls_server_config:\n  cert: x\n").contains("cert_file"));
}

/// Check that what the server does not do is refused.
#[test]
fn what_is_not_offered_is_refused() {
    let tls = |line: &str| refused(&format!("tls_server_config:\n  cert_file: a\n  key_file: b\n  {line}\n"));
    assert!(tls("min_version: TLS10").contains("line 4: min_version: TLS10 is insecure"));
    assert!(tls("min_version: SSL3").contains("TLS12, TLS13"));
    assert!(tls("cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]").contains("is not supported"));
    assert!(tls("curve_preferences: [CurveP521]").contains("CurveP384"));
    assert!(tls("client_allowed_sans: [x]").contains("not supported"));
    assert!(tls("client_auth_type: Maybe").contains("RequireAnyClientCert"));
    assert!(tls("client_auth_type: RequireAndVerifyClientCert").contains("no client_ca_file"));
    assert!(tls("client_ca_file: c").contains("client_auth_type"));
    assert!(tls("min_version: TLS13\n  max_version: TLS12").contains("newer"));
    assert!(refused("tls_server_config: {cert_file: a}").contains("lacks key_file"));
    assert!(refused("tls_server_config: {key_file: a}").contains("lacks cert_file"));
    let header = |line: &str| refused(&format!("http_server_config:\n  headers:\n    {line}\n"));
    assert!(header("Set-Cookie: a").contains("line 3: header \"Set-Cookie\" cannot be set"));
    assert!(header("X-Frame-Options: allow").contains("deny, sameorigin"));
    assert!(header("X-XSS-Protection: \"a\\r\\nb\"").contains("a header must not have"));
    assert!(refused("a: 1\n---\nb: 2\n").len() > 5);
}

/// Check that hashes are checked for their form, and never shown.
#[test]
fn hashes() {
    let user = |hash: &str| parse(&format!("basic_auth_users:\n  alice: \"{hash}\"\n"));
    for version in ["a", "b", "y"] {
        assert!(user(&HASH.replacen('y', version, 1)).is_ok());
    }
    let bad = [
        HASH.replacen('y', "x", 1),
        HASH.replacen("10", "16", 1),
        HASH.replacen("10", "03", 1),
        HASH.replacen("10", "+5", 1),
        format!("{HASH}x"),
        HASH.replace("QOau", "QO u"),
        "secret".to_owned(),
        String::new(),
    ];
    for hash in bad {
        let says = user(&hash).unwrap_err().to_string();
        assert!(says.starts_with("line 2: user \"alice\": "), "{says}");
        assert!(!says.contains("QO") && !says.contains("secret"), "{says}");
    }
}

/// Check that a secret in the wrong place is not shown either, whatever kind of mistake it is.
#[test]
fn secrets_are_never_shown() {
    for text in [
        format!("basic_auth_users: {HASH}\n"),
        format!("{HASH}\n"),
        format!("{HASH}: alice\n"),
        format!("tls_server_config: {HASH}\n"),
        format!("basic_auth_users:\n  {HASH}: alice\n"),
        format!("basic_auth_users:\n  alice: [{HASH}]\n"),
        format!("basic_auth_users:\n  alice: {{{HASH}: 1}}\n"),
        format!("basic_auth_users:\n  - alice: {HASH}\n"),
        format!("basic_auth_users:\n  alice: \"{HASH}\n"),
        format!("http_server_config:\n  http2: {HASH}\n"),
        format!("tls_server_config:\n  min_version: {HASH}\n"),
        format!("basic_auth_users:\n  alice: *{HASH}\n"),
        format!("basic_auth_users:\n  alice: !{HASH} x\n"),
        format!("basic_auth_users:\n\talice: {HASH}\n"),
    ] {
        let error = parse(&text).unwrap_err();
        for said in [error.to_string(), format!("{error:?}")] {
            assert!(!said.contains("QOau") && !said.contains("LDeSi"), "{text}: {said}");
        }
    }
}

/// Check that a bomb of aliases and a deep nest come to an end at once.
#[test]
fn bombs() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (from, to) in "abcdefghi".chars().zip("bcdefghij".chars()) {
        let list = vec![format!("*{from}"); 9].join(", ");
        bomb.extend([format!("{to}: &{to} [{list}]\n")]);
    }
    assert!(parse(&bomb).is_err());
    assert!(parse(&"[".repeat(100_000)).is_err());
    assert!(parse(&"a: ".repeat(10_000)).is_err());
}

proptest! {
    /// Check that no text makes it panic.
    #[test]
    fn never_panics(text in ".{0,200}") {
        let _ = parse(&text);
    }

    /// Check the same of text that is nearly a file.
    #[test]
    fn never_panics_on_near_files(parts in prop::collection::vec(prop::sample::select(vec![
        "tls_server_config:", "basic_auth_users:", "\n", "  ", "cert_file: ", "headers:", "&a ", "*a", "<<: ", "- ",
        "$2y$10$", "{", "}", "[", "]", "\"", "'", "|", ">", "!!binary ", "%", "---", "\t", "é", "\u{0}", "a", ": ", "#",
    ]), 0..30)) {
        let _ = parse(&parts.concat());
    }
}

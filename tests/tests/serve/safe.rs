//! Who may ask a server with a web config file: over TLS, by password, by certificate.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::serving::{Answer, PATIENCE, Serving};
use tempfile::TempDir;

use crate::curl::{Authority, curl};

/// Cheap to compare with.
const COST: u32 = 4;

/// A place with an authority, a certificate for localhost, and a web config file.
struct Place {
    dir: TempDir,
    ca: Authority,
}

impl Place {
    fn new() -> Place {
        let dir = TempDir::new().unwrap();
        let ca = Authority::new(&dir.path().join("ca"));
        ca.sign("server");
        for end in ["crt", "key"] {
            fs::copy(ca.path(&format!("server.{end}")), dir.path().join(format!("server.{end}"))).unwrap();
        }
        Place { dir, ca }
    }

    /// Starts a server with this text after the names of its certificate.
    fn serve(&self, more: &str) -> Serving {
        let file = self.path("web.yml");
        fs::write(
            &file,
            format!("tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n{more}"),
        )
        .unwrap();
        Serving::start(&["--web-config", file.to_str().unwrap()]).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Asks in trust of the authority.
    fn ask(&self, serving: &Serving, path: &str, args: &[&str]) -> Result<Answer, String> {
        let url = format!("https://127.0.0.1:{}{path}", serving.tcp().port());
        curl(&[&["--cacert", &self.ca.path("ca.crt"), url.as_str()], args].concat())
    }
}

fn users() -> String {
    let (alice, bob) = (bcrypt::hash("se:cret", COST).unwrap(), bcrypt::hash("", COST).unwrap());
    format!("basic_auth_users:\n  alice: {alice}\n  bob: {bob}\n")
}

/// Check that curl speaks TLS with it in trust of the authority that signed, and not otherwise; and that plain HTTP gets nothing.
#[test]
fn speaks_tls() {
    let place = Place::new();
    let serving = place.serve("");
    assert!(serving.addresses[0].starts_with("https://127.0.0.1:"), "{:?}", serving.addresses);
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let args: Vec<&str> = version.split('=').collect();
        let answer = place.ask(&serving, "/metrics", &args).unwrap();
        assert_eq!(answer.status, 200, "{version}");
        assert!(answer.text().contains("\naio_system_limit_events "), "{version}");
    }
    let error = curl(&[&format!("https://{}/", serving.tcp())]).unwrap_err();
    assert!(error.starts_with("curl ended with 60:"), "a certificate of nobody we trust: {error}");
    let error = curl(&[&format!("http://{}/healthz", serving.tcp())]).unwrap_err();
    assert!(!error.contains("ok\n"), "{error}");
    let error = place.ask(&serving, "/", &["--tls-max", "1.1"]).unwrap_err();
    assert!(error.starts_with("curl ended with 35:"), "{error}");
    assert_eq!(place.ask(&serving, "/healthz", &[]).unwrap().text(), "ok\n", "it lives on");
    assert_eq!(serving.end().code, Some(0));
}

/// Check that nothing about the host is told without a right pair of name and password, and that probers of liveness need none.
#[test]
fn users_by_password() {
    let place = Place::new();
    let serving = place.serve(&users());
    for path in ["/", "/metrics", "/api/v1/contexts", "/api/v1/events", "/nothing"] {
        let answer = place.ask(&serving, path, &[]).unwrap();
        assert_eq!((answer.status, &*answer.text()), (401, "unauthorized\n"), "{path}");
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm="), "{challenge}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(place.ask(&serving, path, &[]).unwrap().status, 200, "{path}");
    }
    // Twice: the second time a right pair is remembered.
    for _ in 0..2 {
        for right in ["alice:se:cret", "bob:"] {
            let answer = place.ask(&serving, "/metrics", &["-u", right]).unwrap();
            assert_eq!(answer.status, 200, "{right}");
        }
        for wrong in
            ["alice:se:cre", "alice:", "alice:se:crett", "bob:se:cret", "eve:se:cret", "eve:", ":se:cret"]
        {
            let answer = place.ask(&serving, "/metrics", &["-u", wrong]).unwrap();
            assert_eq!(answer.status, 401, "{wrong}");
            assert!(answer.header("www-authenticate").is_some(), "{wrong}");
        }
        for wrong in ["Basic !", "Basic", "Bearer YWxpY2U6c2U6Y3JldA==", "Basic YWxpY2U="] {
            let header = format!("Authorization: {wrong}");
            assert_eq!(place.ask(&serving, "/metrics", &["-H", &header]).unwrap().status, 401, "{wrong}");
        }
    }
    let served = serving.end();
    assert!(!served.stderr.contains("cret") && !served.stderr.contains("$2"), "{served:?}");
}

/// Check that users without TLS are asked for their password too, on this host alone.
#[test]
fn users_without_tls() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("web.yml");
    fs::write(&file, users()).unwrap();
    let serving = Serving::start(&["--web-config", file.to_str().unwrap()]).unwrap();
    assert_eq!(serving.get("/metrics").status, 401);
    let url = format!("http://{}/metrics", serving.tcp());
    assert_eq!(curl(&["-u", "alice:se:cret", &url]).unwrap().status, 200);
}

/// Check that with `RequireAndVerifyClientCert` nobody gets a word without a certificate of the authority's.
#[test]
fn clients_by_certificate() {
    let place = Place::new();
    place.ca.sign("client");
    let other = Authority::new(&place.path("other"));
    other.sign("client");
    let ca = place.ca.path("ca.crt");
    let serving =
        place.serve(&format!("  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {ca}\n"));
    let ask = |authority: Option<&Authority>, version: &str| {
        let files = authority.map(|of| (of.path("client.crt"), of.path("client.key")));
        let mut args: Vec<&str> = version.split('=').collect();
        if let Some((cert, key)) = &files {
            args.extend(["--cert", cert, "--key", key]);
        }
        place.ask(&serving, "/healthz", &args)
    };
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        assert_eq!(ask(Some(&place.ca), version).unwrap().status, 200, "{version}");
        for (who, authority) in [("nobody", None), ("a stranger", Some(&other))] {
            let error = ask(authority, version).unwrap_err();
            assert!(error.contains("alert") || error.contains("reset"), "{version} {who}: {error}");
        }
    }
}

/// Check that replaced certificates count from the next connection a second later, and that half of a pair changes nothing.
#[test]
fn certificates_are_replaced() {
    let place = Place::new();
    let serving = place.serve("");
    let next = Authority::new(&place.path("next"));
    next.sign("server");
    let put = |name: &str| {
        fs::copy(next.path(name), place.path("new")).unwrap();
        fs::rename(place.path("new"), place.path(name)).unwrap();
    };
    put("server.key");
    let url = format!("https://{}/healthz", serving.tcp());
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1500) {
        assert_eq!(place.ask(&serving, "/healthz", &[]).unwrap().status, 200, "the pair before stays in use");
        thread::sleep(Duration::from_millis(200));
    }
    put("server.crt");
    let begun = Instant::now();
    while curl(&["--cacert", &next.path("ca.crt"), &url]).is_err() {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not shown");
        thread::sleep(Duration::from_millis(100));
    }
    let error = place.ask(&serving, "/healthz", &[]).unwrap_err();
    assert!(error.starts_with("curl ended with 60:"), "{error}");
    let served = serving.end();
    let said = |words: &str| served.stderr.matches(words).count();
    assert_eq!((said("the old certificates stay in use"), said("read again")), (1, 1), "{served:?}");
    assert!(!served.stderr.contains("PRIVATE"), "{served:?}");
}

/// Check that the headers of the file are in every answer, once, in place of our own.
#[test]
fn headers_of_the_file() {
    let place = Place::new();
    let policy = "default-src 'self'; frame-ancestors 'none'";
    let more = format!(
        "http_server_config:\n  headers:\n    Strict-Transport-Security: max-age=31536000\n    X-Frame-Options: sameorigin\n    \
         Content-Security-Policy: {policy}\n{}",
        users()
    );
    let serving = place.serve(&more);
    for (path, status) in [("/healthz", 200), ("/", 401), ("/metrics", 401)] {
        let answer = place.ask(&serving, path, &[]).unwrap();
        assert_eq!(answer.status, status, "{path}");
        for (name, value) in [
            ("strict-transport-security", "max-age=31536000"),
            ("x-frame-options", "sameorigin"),
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}: {answer:?}");
            assert_eq!(
                answer.head.to_ascii_lowercase().matches(&format!("\n{name}:")).count(),
                1,
                "{path}: {answer:?}"
            );
        }
    }
    let page = place.ask(&serving, "/", &["-u", "alice:se:cret"]).unwrap();
    assert_eq!(page.header("content-security-policy"), Some(policy));
}

//! TLS, passwords and certificates of clients by a web config file, asked with curl; and what is refused at the start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use aioinspect_tests::programs::{Output, run, run_aioinspect};
use aioinspect_tests::serving::Serving;
use tempfile::TempDir;

/// A directory with a certificate authority, which signs what is asked for.
struct Authority(TempDir);

impl Authority {
    fn new() -> Authority {
        let home = tempfile::Builder::new().prefix("aioinspect-test-").tempdir().unwrap();
        let authority = Authority(home);
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
        ]);
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn openssl(&self, args: &[&str]) {
        let made = run(Command::new("openssl").args(args).current_dir(self.0.path()));
        assert_eq!(made.code, 0, "openssl {args:?}: {made:?}");
    }

    /// A certificate NAME.crt with its key NAME.key, for a server on this host or for a client.
    fn sign(&self, name: &str) {
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let subject = format!("/CN={name}");
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            &subject,
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            &key,
            "-out",
            &request,
        ]);
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-copy_extensions",
            "copy",
            "-out",
            &certificate,
        ]);
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Asks with curl, which trusts this authority; code and body.
    fn curl(&self, serving: &Serving, path: &str, args: &[&str]) -> Output {
        let url = format!("https://{}{path}", serving.tcp());
        run(Command::new("curl")
            .args(["-sS", "--max-time", "30", "-w", "\n%{http_code}", "--cacert", "ca.crt"])
            .args(args)
            .arg(url)
            .current_dir(self.0.path()))
    }
}

fn status(output: &Output) -> &str {
    output.stdout.lines().last().unwrap_or_default()
}

const TLS: &str = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n";

/// Check passwords: none, a wrong one and an unknown user are refused, a right one is let in, again and quickly; the probes of health need none.
#[test]
fn passwords() {
    let authority = Authority::new();
    authority.sign("server");
    let hash = bcrypt::hash("s3cret: pass", 6).unwrap();
    let config = format!(
        "{TLS}basic_auth_users: {{prometheus: '{hash}'}}\nhttp_server_config: {{headers: {{X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=99}}}}\n"
    );
    let file = authority.write("web.yml", &config);
    let serving = Serving::start(&["--web-config", &file]).unwrap();
    let ask = |path: &str, args: &[&str]| authority.curl(&serving, path, args);
    let refused = ask("/metrics", &["-i"]);
    assert_eq!(status(&refused), "401", "{refused:?}");
    assert!(refused.stdout.to_ascii_lowercase().contains("www-authenticate: basic"), "{refused:?}");
    for wrong in ["prometheus:wrong", "nobody:s3cret: pass", "prometheus:", ":"] {
        assert_eq!(status(&ask("/", &["-u", wrong])), "401", "{wrong}");
    }
    for path in ["/", "/metrics", "/api/v1/contexts"] {
        assert_eq!(status(&ask(path, &["-u", "prometheus:s3cret: pass"])), "200", "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        assert_eq!(status(&ask(path, &[])), "200", "{path}");
    }
    let headers = ask("/healthz", &["-i"]).stdout.to_ascii_lowercase();
    assert!(
        headers.contains("x-frame-options: sameorigin")
            && headers.contains("strict-transport-security: max-age=99"),
        "{headers}"
    );
    let served = serving.end();
    assert_eq!(served.code, Some(0), "{served:?}");
    assert!(!served.stderr.contains(&hash[..10]), "{served:?}");
}

/// Check that only clients with a certificate of the authority are served where that is asked for, and that a certificate which is replaced
/// on disk is the one that is shown.
#[test]
fn certificates() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    authority.sign("server");
    authority.sign("client");
    stranger.sign("client");
    let config = "tls_server_config: {cert_file: server.crt, key_file: server.key, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}\n";
    let file = authority.write("web.yml", config);
    let serving = Serving::start(&["--web-config", &file]).unwrap();
    assert_ne!(authority.curl(&serving, "/healthz", &[]).code, 0);
    let of = |from: &Authority, name: &str| from.path(name).to_str().unwrap().to_owned();
    let (certificate, key) = (of(&stranger, "client.crt"), of(&stranger, "client.key"));
    assert_ne!(authority.curl(&serving, "/healthz", &["--cert", &certificate, "--key", &key]).code, 0);
    let good = ["--cert", "client.crt", "--key", "client.key"];
    assert_eq!(status(&authority.curl(&serving, "/healthz", &good)), "200");

    authority.sign("next");
    for part in ["key", "crt"] {
        fs::rename(authority.path(&format!("next.{part}")), authority.path(&format!("server.{part}")))
            .unwrap();
    }
    let begun = Instant::now();
    loop {
        let said = authority.curl(&serving, "/healthz", &[&good[..], &["-v"]].concat());
        assert_eq!(status(&said), "200", "{said:?}");
        if said.stderr.contains("CN=next") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{said:?}");
    }
}

/// Check that a config that cannot be served by is refused at the start, in words that tell no secret, and that nothing is bound then.
#[test]
fn refused_at_the_start() {
    let authority = Authority::new();
    authority.sign("server");
    authority.write("garbage.crt", "no certificate");
    let refused = |config: &str, says: &str| {
        let file = authority.write("web.yml", config);
        let output = run_aioinspect(&["serve", "--listen", "127.0.0.1:0", "--web-config", &file]);
        assert_eq!(output.code, 1, "{config}: {output:?}");
        assert!(output.stderr.contains(says), "{config}: {output:?}");
        assert!(!output.stderr.contains("serving on") && !output.stderr.contains("s3cret"), "{output:?}");
    };
    refused("tls_server_config: {cert_file: none.crt, key_file: server.key}", "none.crt");
    refused("tls_server_config: {cert_file: garbage.crt, key_file: server.key}", "garbage.crt");
    refused("tls_server_config: {cert_file: server.crt, key_file: ca.key}", "ca.key");
    refused("tls_server_confg: {}", "tls_server_confg");
    refused("basic_auth_users: {me: s3cret}", "me");
    refused("basic_auth_users: [s3cret", "web config");
    let none = run_aioinspect(&["serve", "--web-config", "/no/such/file"]);
    assert_eq!((none.code, none.stderr.contains("/no/such/file")), (1, true), "{none:?}");
}

/// Check that other hosts are let in only with TLS and a password, or by a word that says so.
#[test]
fn reachable_from_elsewhere() {
    let authority = Authority::new();
    authority.sign("server");
    let tls = authority.write("tls.yml", TLS);
    for args in [&[][..], &["--web-config", &tls]] {
        for address in ["0.0.0.0:0", "[::]:0", ":0"] {
            let output = run_aioinspect(&[&["serve", "--listen", address][..], args].concat());
            assert_eq!(output.code, 2, "{output:?}");
            assert!(
                output.stderr.contains("--web-config") && output.stderr.contains("--insecure"),
                "{output:?}"
            );
        }
    }
    let mut command = Command::new(aioinspect_tests::programs::bin("aioinspect"));
    command.args(["serve", "--listen", "0.0.0.0:0", "--insecure"]);
    let serving = Serving::of(command).unwrap();
    let port = serving.tcp().port();
    let asked = run(Command::new("curl").args([
        "-sS",
        &format!("http://127.0.0.1:{port}/healthz"),
        "-H",
        "Host: any.example",
    ]));
    assert_eq!(asked.stdout, "ok\n", "{asked:?}");
}

/// Check that on loopback a foreign name is refused, and one that was given is not.
#[test]
fn names() {
    let serving = Serving::start(&["--host", "box.example"]).unwrap();
    let ask = |host: &str| {
        let url = format!("http://{}/healthz", serving.tcp());
        run(Command::new("curl").args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
            "-H",
            &format!("Host: {host}"),
        ]))
        .stdout
    };
    assert_eq!((ask("box.example").as_str(), ask("evil.example").as_str()), ("200", "421"));
}

/// The files above are where the configuration says, relative to it.
#[test]
fn paths_are_relative_to_the_file() {
    let authority = Authority::new();
    authority.sign("server");
    let file = authority.write("web.yml", TLS);
    assert!(Path::new(&file).is_absolute());
    let serving = Serving::start(&["--web-config", &file]).unwrap();
    assert!(serving.addresses[0].starts_with("https://"), "{:?}", serving.addresses);
    assert_eq!(status(&authority.curl(&serving, "/healthz", &[])), "200");
}

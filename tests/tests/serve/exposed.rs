//! What is refused before anything listens: bad files, and other hosts without TLS and password. And by which names it may be asked for.

use std::fs;
use std::path::Path;

use aioinspect_tests::serving::{Served, Serving};
use tempfile::TempDir;

use crate::curl::Authority;

const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";

/// Starts a server with these arguments besides a unix socket, which must end with the code and this in its one message; nothing is left
/// that listens.
#[track_caller]
fn refuses(dir: &Path, args: &[&str], codes: &[i32], words: &[&str]) -> Served {
    let socket = dir.join("socket");
    let listen = format!("unix:{}", socket.display());
    let all = [&["--listen", &listen], args].concat();
    let served = match Serving::start(&all) {
        Err(served) => served,
        Ok(serving) => panic!("{args:?}: it serves on {:?}", serving.addresses),
    };
    assert!(served.code.is_some_and(|code| codes.contains(&code)), "{args:?}: {served:?}");
    for word in words {
        assert!(served.stderr.contains(word), "{args:?}: no {word:?} in {served:?}");
    }
    assert!(served.stderr.starts_with("aioinspect: ") && !served.stderr.contains("panicked"), "{served:?}");
    assert!(!socket.exists(), "{args:?}: the socket is left behind");
    served
}

/// Check that each bad file is named with what is wrong in it, and that nothing of it is shown.
#[test]
fn bad_files() {
    let dir = TempDir::new().unwrap();
    let ca = Authority::new(&dir.path().join("ca"));
    ca.sign("good");
    ca.sign("other");
    let path = |name: &str| ca.path(name);
    let tls = |cert: &str, key: &str| {
        format!("tls_server_config:\n  cert_file: {}\n  key_file: {}\n", path(cert), path(key))
    };
    fs::write(path("garbage.crt"), "MIIBsecretsecret\n").unwrap();
    fs::write(path("torn.crt"), "-----BEGIN CERTIFICATE-----\nMIIBsecret\n-----END CERTIFICATE-----\n")
        .unwrap();
    fs::write(path("torn.key"), "-----BEGIN PRIVATE KEY-----\nMIGHsecret\n").unwrap();
    fs::write(path("unclear.crt"), "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n")
        .unwrap();
    let good = tls("good.crt", "good.key");
    let table: Vec<(String, Vec<&str>)> = vec![
        (tls("good.crt", "absent.key"), vec!["absent.key: No such file"]),
        (tls("absent.crt", "good.key"), vec!["absent.crt: No such file"]),
        (tls("garbage.crt", "good.key"), vec!["garbage.crt: no PEM certificate in it"]),
        (tls("torn.crt", "good.key"), vec!["torn.crt: "]),
        (tls("unclear.crt", "good.key"), vec!["unclear.crt: "]),
        (tls("good.crt", "torn.key"), vec!["torn.key: damaged PEM text"]),
        (tls("good.crt", "good.crt"), vec!["good.crt: no PEM private key in it"]),
        (tls("good.crt", "other.key"), vec!["other.key: not the key of the certificate in", "good.crt"]),
        (format!("{good}  client_ca_file: {}\n", path("ca.crt")), vec!["client_ca_file", "client_auth_type"]),
        (
            format!(
                "{good}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: {}\n",
                path("garbage.crt")
            ),
            vec!["garbage.crt: no PEM certificate in it"],
        ),
        (format!("{good}  min_version: TLS10\n"), vec!["line 4", "TLS10", "TLS12"]),
        (format!("{good}  cert: secret\n"), vec!["line 4", "cert: PEM text", "cert_file"]),
        (format!("{good}surprise: secret\n"), vec!["line 4", "unknown key \"surprise\""]),
        (
            format!("{good}basic_auth_users:\n  alice: {HASH}secret\n"),
            vec!["line 5", "\"alice\"", "not a bcrypt hash"],
        ),
        (
            format!("{good}basic_auth_users:\n  alice: secret\n"),
            vec!["line 5", "\"alice\"", "not a bcrypt hash"],
        ),
        (format!("basic_auth_users:\n  alice: $2y$10${}\n", "z".repeat(53)), vec!["\"alice\"", "bcrypt"]),
        (format!("basic_auth_users:\n  alice: {HASH}\n  alice: {HASH}\n"), vec!["line 3", "twice"]),
        ("basic_auth_users: [secret]\n".to_owned(), vec!["line 1"]),
        ("{secret: [".to_owned(), vec!["not YAML"]),
        (
            "http_server_config:\n  headers:\n    X-Secret: secret\n".to_owned(),
            vec!["\"X-Secret\"", "X-Frame-Options"],
        ),
    ];
    let file = dir.path().join("web.yml");
    for (text, words) in table {
        fs::write(&file, &text).unwrap();
        let words = [&words[..], &["web.yml"]].concat();
        let served = refuses(dir.path(), &["--web-config", file.to_str().unwrap()], &[1, 2], &words);
        for secret in ["secret", "zzzz", "MII", "MIG", "abcdefghij", "-----"] {
            assert!(!served.stderr.contains(secret), "{text}: {served:?}");
        }
        assert_eq!(served.stderr.lines().count(), 1, "{text}: {served:?}");
    }
    let absent = dir.path().join("absent.yml");
    refuses(dir.path(), &["--web-config", absent.to_str().unwrap()], &[1], &["absent.yml", "No such file"]);
}

/// Check that other hosts are let in by TLS with users, or by `--insecure`, and by nothing less, wherever among the addresses they could.
#[test]
fn other_hosts() {
    let dir = TempDir::new().unwrap();
    let ca = Authority::new(&dir.path().join("ca"));
    ca.sign("server");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let tls = "tls_server_config:\n  cert_file: ca/server.crt\n  key_file: ca/server.key\n";
    let users = format!("basic_auth_users:\n  alice: {HASH}\n");
    let (only_tls, only_users) = (file("tls.yml", tls), file("users.yml", &users));
    let both = file("both.yml", &format!("{tls}{users}"));
    let ways = ["--web-config", "--insecure", "0.0.0.0:0"];
    refuses(dir.path(), &["--listen", "0.0.0.0:0"], &[2], &ways);
    refuses(dir.path(), &["--listen", ":0"], &[2], &["[::]:0", "--web-config", "--insecure"]);
    refuses(dir.path(), &["--listen", "0.0.0.0:0", "--web-config", &only_tls], &[2], &ways);
    refuses(dir.path(), &["--listen", "0.0.0.0:0", "--web-config", &only_users], &[2], &ways);
    for args in [&["--insecure"][..], &["--web-config", &both]] {
        let serving = Serving::start(&[&["--listen", "0.0.0.0:0"], args].concat()).unwrap();
        assert!(serving.addresses[1].contains("://0.0.0.0:"), "{:?}", serving.addresses);
    }
}

/// The status of an answer to who asks for the server by this name.
fn named(serving: &Serving, host: &str) -> u16 {
    serving
        .raw(format!("GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
        .status
}

/// Check that a server of this host answers to its own names alone, and to those that `--host` adds.
#[test]
fn names() {
    let serving = Serving::start(&[]).unwrap();
    for ours in ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:9827"] {
        assert_eq!(named(&serving, ours), 200, "{ours}");
    }
    for theirs in ["box.example", "localhost.evil.example", "evil.example:9827"] {
        assert_eq!(named(&serving, theirs), 421, "{theirs}");
    }
    let serving = Serving::start(&["--host", "Box.example", "--host", "db"]).unwrap();
    for (host, status) in [("box.example:80", 200), ("DB", 200), ("localhost", 200), ("evil.example", 421)] {
        assert_eq!(named(&serving, host), status, "{host}");
    }
    let serving = Serving::start(&["--listen", "0.0.0.0:0", "--insecure"]).unwrap();
    assert_eq!(named(&serving, "whatever.example"), 200, "nobody knows what the network calls it");
    let serving = Serving::start(&["--listen", "0.0.0.0:0", "--insecure", "--host", "box.example"]).unwrap();
    assert_eq!((named(&serving, "box.example"), named(&serving, "whatever.example")), (200, 421));
}

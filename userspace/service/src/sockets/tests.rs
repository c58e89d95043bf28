use std::io::{Read, Write};

use tempfile::TempDir;

use crate::sockets::*;

fn parse(text: &str) -> Result<Address, String> {
    text.parse()
}

/// Listens there, inside a runtime of its own that lasts as long as the test.
fn bind(runtime: &tokio::runtime::Runtime, address: &Address) -> io::Result<Listener> {
    let _inside = runtime.enter();
    Listener::bind(address)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap()
}

/// Check each form of an address, and that it is said again in the same way.
#[test]
fn addresses() {
    for (text, said, local) in [
        ("127.0.0.1:9827", "127.0.0.1:9827", true),
        ("127.8.0.1:1", "127.8.0.1:1", true),
        ("[::1]:9827", "[::1]:9827", true),
        ("[::ffff:127.0.0.1]:9827", "[::ffff:127.0.0.1]:9827", true),
        ("localhost:9827", "127.0.0.1:9827", true),
        ("0.0.0.0:80", "0.0.0.0:80", false),
        (":9827", "[::]:9827", false),
        ("[::]:9827", "[::]:9827", false),
        ("192.0.2.1:65535", "192.0.2.1:65535", false),
        ("unix:/run/a b/x.sock", "unix:/run/a b/x.sock", true),
    ] {
        let address = parse(text).unwrap();
        assert_eq!(address.to_string(), said);
        assert_eq!(address.is_loopback(), local, "{text}");
        assert_eq!(parse(said).unwrap(), address);
    }
}

/// Check that what is no address is told why.
#[test]
fn no_addresses() {
    for (text, says) in [
        ("", "not ADDRESS:PORT"),
        ("9827", "127.0.0.1:9827"),
        ("127.0.0.1", "not ADDRESS:PORT"),
        ("127.0.0.1:", "not a port"),
        ("127.0.0.1:99999", "not a port"),
        ("::1:9827", "[::1]:9827"),
        ("example.org:80", "the only name that is looked up is localhost"),
        ("127.0.0.256:80", "not an IP address"),
        ("unix:", "unix:/PATH"),
        ("unix:run/x", "unix:/PATH"),
        ("unix:/run/", "unix:/PATH"),
    ] {
        let told = parse(text).unwrap_err();
        assert!(told.contains(says), "{text:?}: {told}");
    }
    assert!(parse(&format!("unix:/{}", "x".repeat(107))).unwrap_err().contains("at most 107 bytes"));
    assert!(parse(&format!("unix:/{}", "x".repeat(106))).is_ok());
}

/// Check that the real port is told, and a taken one names the address.
#[test]
fn tcp_ports() {
    let runtime = runtime();
    let listener = bind(&runtime, &parse("127.0.0.1:0").unwrap()).unwrap();
    let address = listener.address().unwrap();
    assert_ne!(address, parse("127.0.0.1:0").unwrap());
    let told = bind(&runtime, &address).unwrap_err();
    assert_eq!(told.kind(), io::ErrorKind::AddrInUse);
    assert!(told.to_string().starts_with(&format!("{address}: ")), "{told}");
    // Every interface, with IPv6 or without.
    assert!(bind(&runtime, &parse(":0").unwrap()).is_ok());
}

/// Check that a unix socket answers, has its mode, refuses a second server, and goes with its listener.
#[test]
fn a_unix_socket_comes_and_goes() {
    let (runtime, dir) = (runtime(), TempDir::new().unwrap());
    let path = dir.path().join("s");
    let address = Address::Unix(path.clone());
    let listener = bind(&runtime, &address).unwrap();
    assert_eq!(listener.address().unwrap(), address);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, MODE);
    let told = bind(&runtime, &address).unwrap_err().to_string();
    assert!(told.contains("another server answers"), "{told}");
    let mut client = UnixStream::connect(&path).unwrap();
    client.write_all(b"x").unwrap();
    runtime.block_on(async {
        let Listener::Unix(listener, _) = &listener else { panic!("not unix") };
        // The first connection was that of the second server.
        let (_probe, _) = listener.accept().await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = stream.into_std().unwrap();
        stream.set_nonblocking(false).unwrap();
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        assert_eq!(&byte, b"x");
    });
    drop(listener);
    assert!(!path.exists());
}

/// Check that a socket left behind is replaced, and what is no socket never is.
#[test]
fn stale_sockets_are_replaced() {
    let (runtime, dir) = (runtime(), TempDir::new().unwrap());
    let path = dir.path().join("s");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    // A program that another test starts has this descriptor too, until it is the program.
    while UnixStream::connect(&path).is_ok() {
        std::thread::yield_now();
    }
    assert!(bind(&runtime, &Address::Unix(path.clone())).is_ok());
    for make in [
        |path: &Path| std::fs::write(path, "precious").unwrap(),
        |path: &Path| std::os::unix::fs::symlink("/nowhere", path).unwrap(),
        |path: &Path| std::fs::create_dir(path).unwrap(),
    ] {
        let path = dir.path().join("other");
        make(&path);
        let told = bind(&runtime, &Address::Unix(path.clone())).unwrap_err().to_string();
        assert!(told.contains("not a socket"), "{told}");
        std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path)).unwrap();
    }
    let told = bind(&runtime, &Address::Unix(dir.path().join("no/s"))).unwrap_err().to_string();
    assert!(told.contains("No such file"), "{told}");
}

/// Check that a socket file that another server put in place of ours stays.
#[test]
fn only_our_own_file_is_removed() {
    let (runtime, dir) = (runtime(), TempDir::new().unwrap());
    let path = dir.path().join("s");
    let ours = bind(&runtime, &Address::Unix(path.clone())).unwrap();
    std::fs::rename(&path, dir.path().join("moved")).unwrap();
    let _theirs = std::os::unix::net::UnixListener::bind(&path).unwrap();
    drop(ours);
    assert!(path.exists());
}

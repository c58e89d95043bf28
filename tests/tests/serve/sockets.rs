//! Unix sockets, several addresses, sockets that systemd hands over, and what it is told.

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;

use aioinspect_tests::programs::{bin, run};
use aioinspect_tests::serving::{PATIENCE, Served, Serving};
use rustix::process::Signal;

fn at(addresses: &[&str]) -> Result<Serving, Served> {
    let mut command = Command::new(bin("aioinspect"));
    command.arg("serve");
    for address in addresses {
        command.args(["--listen", address]);
    }
    Serving::of(command)
}

fn curl(socket: &Path) -> String {
    let asked =
        run(Command::new("curl").arg("-sS").arg("--unix-socket").arg(socket).arg("http://localhost/healthz"));
    asked.stdout
}

/// Check that a unix socket answers, to its owner and group alone, and that its file goes with the server, whatever asks it to end.
#[test]
fn unix_socket() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    let address = format!("unix:{}", path.display());
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let serving = at(&[&address, "127.0.0.1:0"]).unwrap();
        assert_eq!(serving.addresses.len(), 2, "{:?}", serving.addresses);
        assert_eq!(curl(&path), "ok\n");
        assert_eq!(serving.get("/healthz").text(), "ok\n");
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o660, "{mode:o}");
        let served = serving.end_by(signal);
        assert_eq!(served.code, Some(0), "{signal:?}: {served:?}");
        assert!(!path.exists(), "{signal:?}: the socket is left");
    }
}

/// Check what is in the way: a socket nobody answers at is replaced; one of a server, and anything that is no socket, is left alone.
#[test]
fn what_is_in_the_way() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("socket");
    let address = format!("unix:{}", path.display());
    drop(UnixListener::bind(&path).unwrap());
    let serving = at(&[&address]).unwrap();
    let second = at(&[&address]).unwrap_err();
    assert_eq!(second.code, Some(1), "{second:?}");
    assert!(second.stderr.contains("another server answers there"), "{second:?}");
    assert_eq!(curl(&path), "ok\n");
    drop(serving.end());
    fs::write(&path, "precious").unwrap();
    let refused = at(&[&address]).unwrap_err();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let refused = at(&[&taken.local_addr().unwrap().to_string()]).unwrap_err();
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("in use"), "{refused:?}");
}

/// Check that sockets of the service manager take the place of --listen, and that the manager hears of readiness and of the end.
#[test]
fn activated() {
    let home = tempfile::tempdir().unwrap();
    let manager = UnixDatagram::bind(home.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let given = TcpListener::bind("127.0.0.1:0").unwrap();
    let unix = home.path().join("socket");
    let other = UnixListener::bind(&unix).unwrap();
    let mut command = Command::new("sh");
    // The shell's own duplicates are not closed on exec, and its PID is the server's.
    let script = format!(
        "exec 3<&{} 4<&{}; LISTEN_PID=$$ LISTEN_FDS=2 exec '{}' serve --listen 127.0.0.1:1",
        given.as_raw_fd(),
        other.as_raw_fd(),
        bin("aioinspect").display()
    );
    command.args(["-c", &script]).env("NOTIFY_SOCKET", home.path().join("notify"));
    keep_open(&given);
    keep_open(&other);
    let serving = Serving::of(command).unwrap();
    assert_eq!(serving.tcp(), given.local_addr().unwrap());
    assert_eq!(serving.get("/healthz").text(), "ok\n");
    assert_eq!(curl(&unix), "ok\n");
    let mut told = String::new();
    let mut hear = |what: &str| {
        while !told.contains(what) {
            let mut buffer = [0; 1024];
            let read = manager.recv(&mut buffer).unwrap_or_else(|error| panic!("{what}: {error}: {told}"));
            told.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    };
    hear("STATUS=serving on ");
    hear("READY=1");
    let served = serving.end_by(Signal::TERM);
    assert_eq!(served.code, Some(0), "{served:?}");
    hear("STOPPING=1");
    // It is the manager's, not ours to remove.
    assert!(fs::symlink_metadata(&unix).unwrap().file_type().is_socket());
}

/// Lets a descriptor be inherited by programs that are started from here on.
fn keep_open(fd: impl AsFd) {
    rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty()).unwrap();
}

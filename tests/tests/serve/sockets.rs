//! Where it listens: unix sockets and their files, several addresses, what a service manager hands over and hears.
#![expect(unsafe_code, reason = "a child is given descriptors of certain numbers")]

use std::fs;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use aioinspect_tests::programs::bin;
use aioinspect_tests::serving::{PATIENCE, Served, Serving};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::curl::curl;

/// A server that listens on these alone.
fn serve(addresses: &[&str]) -> Result<Serving, Served> {
    let mut command = Command::new(bin("aioinspect"));
    command.arg("serve");
    for address in addresses {
        command.args(["--listen", address]);
    }
    Serving::of(command)
}

fn unix(path: &Path) -> String {
    format!("unix:{}", path.display())
}

/// What curl is answered by the socket of this path.
fn ask(path: &Path) -> Result<String, String> {
    curl(&["--unix-socket", path.to_str().unwrap(), "http://localhost/metrics"]).map(|answer| answer.text())
}

/// Check that a unix socket answers, is for its owner and group alone, and goes with the server, whichever signal ends that.
#[test]
fn a_unix_socket() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("socket");
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let serving = serve(&[&unix(&path)]).unwrap();
        assert_eq!(serving.addresses, [unix(&path)]);
        assert!(ask(&path).unwrap().contains("\naio_system_limit_events "));
        let metadata = fs::metadata(&path).unwrap();
        assert!(metadata.file_type().is_socket());
        assert_eq!(metadata.permissions().mode() & 0o7777, 0o660);
        let served = serving.end_by(signal);
        assert_eq!(served.code, Some(0), "{signal:?}: {served:?}");
        assert!(!path.exists(), "{signal:?}: its file is left behind");
    }
}

/// Check that a socket whose server is no more is replaced, and one whose server lives is not.
#[test]
fn stale_and_live() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("socket");
    let killed = serve(&[&unix(&path)]).unwrap().end_by(Signal::KILL);
    assert_eq!(killed.code, None);
    assert!(path.exists(), "who is killed cleans up nothing");
    let serving = serve(&[&unix(&path)]).unwrap();
    assert!(ask(&path).is_ok());
    let inode = fs::metadata(&path).unwrap().ino();
    let served = serve(&[&unix(&path)]).unwrap_err();
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("another server answers there"), "{served:?}");
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    assert!(ask(&path).is_ok(), "the first one serves on");
    serving.end();

    let other = UnixListener::bind(&path).unwrap();
    let served = serve(&[&unix(&path)]).unwrap_err();
    assert_eq!(served.code, Some(1), "{served:?}");
    drop(other);
    assert!(path.exists());
}

/// Check that nothing but a socket is ever replaced, and that no symbolic link is followed.
#[test]
fn other_files_stay() {
    let dir = TempDir::new().unwrap();
    let (file, link) = (dir.path().join("file"), dir.path().join("link"));
    fs::write(&file, "precious").unwrap();
    symlink(&file, &link).unwrap();
    fs::create_dir(dir.path().join("directory")).unwrap();
    for path in [&file, &link, &dir.path().join("directory")] {
        let served = serve(&[&unix(path)]).unwrap_err();
        assert_eq!(served.code, Some(1), "{served:?}");
        assert!(served.stderr.contains("exists and is not a socket"), "{served:?}");
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(fs::read_link(&link).unwrap(), file);
    let served = serve(&[&unix(&dir.path().join("absent/socket"))]).unwrap_err();
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("absent/socket") && served.stderr.contains("No such file"), "{served:?}");
}

/// Check that every address answers, that the files of all unix sockets go, also in different directories, and that one that cannot be had
/// stops it all.
#[test]
fn several() {
    let dir = TempDir::new().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::create_dir(dir.path().join("b")).unwrap();
    let (one, other) = (dir.path().join("a/socket"), dir.path().join("b/socket"));
    let serving = serve(&["127.0.0.1:0", &unix(&one), "127.0.0.1:0", &unix(&other)]).unwrap();
    assert_eq!(serving.addresses.len(), 4, "{:?}", serving.addresses);
    for address in serving.addresses.iter().filter(|address| address.starts_with("http://")) {
        assert_eq!(curl(&[&format!("{address}/healthz")]).unwrap().status, 200, "{address}");
    }
    assert_eq!((serving.addresses[1].clone(), serving.addresses[3].clone()), (unix(&one), unix(&other)));
    assert!(ask(&one).is_ok() && ask(&other).is_ok());
    let taken = serving.tcp().to_string();
    let third = dir.path().join("socket");
    let served = serve(&[&unix(&third), &taken]).unwrap_err();
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains(&taken) && served.stderr.contains("in use"), "{served:?}");
    assert!(!third.exists());
    assert_eq!(serving.end().code, Some(0));
    assert!(!one.exists() && !other.exists(), "{:?} {:?}", one.exists(), other.exists());
}

/// A server that is given these descriptors as systemd does: from 3 on, with the PID of who it starts.
fn activated(sockets: Vec<OwnedFd>, args: &[&str]) -> Result<Serving, Served> {
    // Out of the way of their places.
    let high = |socket: OwnedFd| rustix::io::fcntl_dupfd_cloexec(&socket, 100).unwrap();
    let sockets: Vec<OwnedFd> = sockets.into_iter().map(high).collect();
    let mut command = Command::new("sh");
    command.args(["-c", "LISTEN_PID=$$ exec \"$@\"", "sh"]).arg(bin("aioinspect")).arg("serve").args(args);
    command.env("LISTEN_FDS", sockets.len().to_string());
    let place = move || {
        for (target, socket) in (3..).zip(&sockets) {
            let target: RawFd = target;
            // SAFETY: numbers; whatever had that number in this child is closed by exec anyway.
            if unsafe { libc::dup2(socket.as_raw_fd(), target) } != target {
                return Err(std::io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(place) };
    Serving::of(command)
}

/// Check that the sockets of systemd are served in place of `--listen`, and that their files are left to it.
#[test]
fn activation() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("socket");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let given = vec![tcp.into(), UnixListener::bind(&path).unwrap().into()];
    let unused = dir.path().join("unused");
    let serving = activated(given, &["--listen", &unix(&unused)]).unwrap();
    assert_eq!(serving.addresses, [format!("http://{address}"), unix(&path)]);
    assert!(!unused.exists());
    assert_eq!(serving.get("/healthz").status, 200);
    assert!(ask(&path).is_ok());
    assert_eq!(serving.end_by(Signal::TERM).code, Some(0));
    assert!(path.exists(), "the file is the manager's");
}

/// Check that a socket which others can reach needs what `--listen` needs, and that what does not listen is refused.
#[test]
fn activation_is_no_way_around() {
    let open = || vec![TcpListener::bind("0.0.0.0:0").unwrap().into()];
    let served = activated(open(), &[]).unwrap_err();
    assert_eq!(served.code, Some(2), "{served:?}");
    assert!(served.stderr.contains("--web-config") && served.stderr.contains("--insecure"), "{served:?}");
    assert!(activated(open(), &["--insecure"]).is_ok());
    let datagrams = UnixDatagram::unbound().unwrap();
    let served = activated(vec![datagrams.into()], &[]).unwrap_err();
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("socket 0 of LISTEN_FDS"), "{served:?}");
}

/// Check what the service manager hears, and when: that it is ready once it answers, and that it stops before it has ended.
#[test]
fn notifications() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(PATIENCE)).unwrap();
    let heard = || {
        let mut buffer = [0; 1000];
        let length = manager.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let mut command = Command::new(bin("aioinspect"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", &path);
    let serving = Serving::of(command).unwrap();
    assert_eq!(heard(), format!("STATUS=serving on {}\n", serving.addresses[0]));
    assert_eq!(heard(), "READY=1\n");
    assert_eq!(serving.get("/readyz").status, 200);
    assert_eq!(serving.end_by(Signal::TERM).code, Some(0));
    assert_eq!(heard(), "STOPPING=1\n");
    let mut command = Command::new(bin("aioinspect"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("NOTIFY_SOCKET", dir.path().join("absent"));
    let served = Serving::of(command).unwrap_err();
    assert_eq!(served.code, Some(1), "{served:?}");
    assert!(served.stderr.contains("NOTIFY_SOCKET"), "{served:?}");
}

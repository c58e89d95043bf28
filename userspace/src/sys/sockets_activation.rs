//! Listening sockets that the service manager hands over: LISTEN_FDS of sd_listen_fds(3).

#![expect(unsafe_code, reason = "getsockopt(2) takes pointers")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use listenfd::ListenFd;

use super::sockets::Listener;

/// The sockets handed over, or `None` if there are none. Takes them out of the environment.
///
/// To be called once, inside a tokio runtime, while the process has one thread.
pub fn from_systemd() -> io::Result<Option<Vec<Listener>>> {
    taken(&mut ListenFd::from_env())
}

fn taken(given: &mut ListenFd) -> io::Result<Option<Vec<Listener>>> {
    let mut listeners = Vec::new();
    for index in 0..given.len() {
        let told = |error: &io::Error| {
            let says = format!(
                "socket {index} of LISTEN_FDS: {error} (a listening TCP or unix stream socket is needed: Accept=no)"
            );
            io::Error::new(io::ErrorKind::InvalidInput, says)
        };
        listeners.extend(one(given, index).map_err(|error| told(&error))?);
    }
    Ok(if listeners.is_empty() { None } else { Some(listeners) })
}

fn one(given: &mut ListenFd, index: usize) -> io::Result<Option<Listener>> {
    // What is of the wrong kind is left in its place for the next question.
    if let Ok(Some(socket)) = given.take_unix_listener(index) {
        must_listen(&socket)?;
        socket.set_nonblocking(true)?;
        // Its file is the manager's.
        return Ok(Some(Listener::Unix(tokio::net::UnixListener::from_std(socket)?, None)));
    }
    let Some(socket) = given.take_tcp_listener(index)? else { return Ok(None) };
    must_listen(&socket)?;
    socket.set_nonblocking(true)?;
    Ok(Some(Listener::Tcp(tokio::net::TcpListener::from_std(socket)?)))
}

fn must_listen(socket: &impl std::os::fd::AsFd) -> io::Result<()> {
    if accepts(socket.as_fd())? { Ok(()) } else { Err(io::Error::other("it does not listen")) }
}

fn accepts(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let mut value: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(size_of_val(&value)).map_err(io::Error::other)?;
    // SAFETY: the kernel writes at most `length` bytes of `value`, and `length`; both live.
    let answer = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ACCEPTCONN,
            (&raw mut value).cast(),
            &raw mut length,
        )
    };
    if answer == 0 { Ok(value != 0) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, OwnedFd};

    use super::*;

    /// Check that nothing handed over is nothing.
    #[test]
    fn nothing_is_given() {
        assert!(taken(&mut ListenFd::empty()).unwrap().is_none());
    }

    /// Check that a socket that listens is told from a connection.
    #[test]
    fn a_connection_does_not_listen() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(accepts(listener.as_fd()).unwrap());
        assert!(must_listen(&listener).is_ok());
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(must_listen(&one).unwrap_err().to_string().contains("does not listen"));
        let file = tempfile::tempfile().unwrap();
        assert!(accepts(file.as_fd()).is_err());
    }

    /// What [`what_is_given_is_taken`] hands over arrives here, in a process of its own: the environment is a process's.
    #[test]
    fn in_a_child() {
        let Ok(expected) = std::env::var("AIOINSPECT_TEST_SOCKET") else { return };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let _inside = runtime.enter();
        match from_systemd() {
            Ok(Some(listeners)) => {
                let said = listeners.iter().map(|one| one.address().unwrap().to_string());
                assert_eq!(said.collect::<Vec<_>>(), [expected]);
                assert!(listeners.iter().all(|one| !matches!(one, Listener::Unix(_, Some(_)))));
            }
            Ok(None) => panic!("nothing was taken"),
            Err(error) => assert_eq!(error.to_string(), expected),
        }
        assert!(from_systemd().unwrap().is_none(), "it is taken once");
    }

    /// Check that sockets of both kinds are taken, and that what does not listen is refused with its place.
    #[test]
    fn what_is_given_is_taken() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("s");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (pair, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let refused = "socket 0 of LISTEN_FDS: it does not listen \
            (a listening TCP or unix stream socket is needed: Accept=no)";
        for (socket, expected) in [
            (OwnedFd::from(tcp), address),
            (OwnedFd::from(unix), format!("unix:{}", path.display())),
            (OwnedFd::from(pair), refused.to_owned()),
        ] {
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "sys::sockets_activation::tests::in_a_child", "--test-threads=1"])
                .envs([("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0")])
                .env("AIOINSPECT_TEST_SOCKET", expected)
                .env_remove("LISTEN_PID")
                .stdin(socket)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && said.contains("1 passed"), "{said}");
        }
        assert!(path.exists(), "the file is the manager's");
    }
}

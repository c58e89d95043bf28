//! Listening sockets that the service manager hands over: LISTEN_FDS of sd_listen_fds(3).

use std::io;
use std::os::fd::AsFd;

use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

use crate::sockets::Listener;

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
                "socket {index} of LISTEN_FDS: {error} (it must be a listening TCP or unix stream socket: Accept=no)"
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

fn must_listen(socket: &impl AsFd) -> io::Result<()> {
    if socket_acceptconn(socket)? { Ok(()) } else { Err(io::Error::other("it does not listen")) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

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
        assert!(socket_acceptconn(listener.as_fd()).unwrap());
        assert!(must_listen(&listener).is_ok());
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(must_listen(&one).unwrap_err().to_string().contains("does not listen"));
        let file = tempfile::tempfile().unwrap();
        assert!(socket_acceptconn(file.as_fd()).is_err());
    }

    /// The address that a child of [`what_is_given_is_taken`] is to find, or the error.
    const EXPECTED: &str = "AIOINSPECT_TEST_SOCKET";

    /// What is handed over arrives here, in a process of its own: the environment is a process's.
    fn in_a_child(expected: String) {
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
        if let Ok(expected) = std::env::var(EXPECTED) {
            return in_a_child(expected);
        }
        let (_, module) = module_path!().split_once("::").unwrap();
        let this = format!("{module}::what_is_given_is_taken");
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("s");
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        let unix = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let (pair, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let refused = "socket 0 of LISTEN_FDS: it does not listen \
            (it must be a listening TCP or unix stream socket: Accept=no)";
        for (socket, expected) in [
            (OwnedFd::from(tcp), address),
            (OwnedFd::from(unix), format!("unix:{}", path.display())),
            (OwnedFd::from(pair), refused.to_owned()),
        ] {
            let child = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["--exact", &this, "--test-threads=1"])
                .envs([("LISTEN_FDS", "1"), ("LISTEN_FDS_FIRST_FD", "0")])
                .env(EXPECTED, expected)
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

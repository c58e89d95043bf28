//! What systemd is told: READY=1, STOPPING=1 and a line of status, as sd_notify(3) has it.
//!
//! sd-notify's own function opens a socket for each message. Ours is connected once and kept: after [`aioinspect_kernel::confine::confinement`] there are no new
//! sockets, and Landlock lets a connected one go on sending, be it to a path or to an abstract name (security/landlock/task.c:hook_unix_may_send).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use sd_notify::NotifyState;

const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// The way to the service manager; there may be none, then nothing is said.
#[derive(Debug, Default)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
}

impl Notifier {
    /// Connects to the socket of the environment, if it names one. The name stays there: the server starts no program that could find it.
    pub fn from_env() -> io::Result<Self> {
        let Some(name) = std::env::var_os(NOTIFY_SOCKET) else { return Ok(Self::default()) };
        Self::to(&name)
    }

    /// Connects to a socket: a path, or an abstract name after `@`.
    fn to(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that does not read must not stop us.
        socket.set_nonblocking(true)?;
        Ok(Self { socket: Some(socket) })
    }

    /// The service serves.
    pub fn ready(&self) -> io::Result<()> {
        self.say(&NotifyState::Ready)
    }

    /// The service is about to end.
    pub fn stopping(&self) -> io::Result<()> {
        self.say(&NotifyState::Stopping)
    }

    /// A line for `systemctl status`.
    pub fn status(&self, line: &str) -> io::Result<()> {
        // Each line of a message is a statement of its own.
        self.say(&NotifyState::Status(&line.replace(char::is_control, " ")))
    }

    fn say(&self, state: &NotifyState<'_>) -> io::Result<()> {
        let Some(socket) = &self.socket else { return Ok(()) };
        socket.send(format!("{state}\n").as_bytes()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    /// Check what is said, and that a status stays one statement.
    #[test]
    fn says_it_as_systemd_wants_it() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::to(path.as_os_str()).unwrap();
        notifier.ready().unwrap();
        assert_eq!(heard(&manager), "READY=1\n");
        notifier.status("3 contexts\nMAINPID=1").unwrap();
        assert_eq!(heard(&manager), "STATUS=3 contexts MAINPID=1\n");
        notifier.stopping().unwrap();
        assert_eq!(heard(&manager), "STOPPING=1\n");
    }

    /// Check abstract names, and that without a manager all is well.
    #[test]
    fn abstract_names_and_none() {
        let name = format!("aioinspect-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::to(OsStr::new(&format!("@{name}"))).unwrap().ready().unwrap();
        assert_eq!(heard(&manager), "READY=1\n");
        assert!(Notifier::default().ready().is_ok());
        assert!(Notifier::to(OsStr::new("/nonexistent/notify")).is_err());
    }
}

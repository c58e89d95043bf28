//! Where the server listens: TCP, a unix socket, or what systemd hands over.

pub mod activation;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;
/// Bytes of an answer that the kernel takes for a TCP client who does not read them, about; left to itself it takes megabytes, of a memory
/// that all of the host's connections share. Enough for any scrape at a time; a unix socket's default is about as much.
const SEND_BUFFER: u32 = 128 << 10;
/// Who may connect to a unix socket: its owner and its group.
const MODE: u32 = 0o660;
/// `sizeof(sun_path)` less the NUL.
const MAX_PATH: usize = 107;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    /// `127.0.0.1:9827`, `[::1]:9827`, `localhost:9827`, `:9827` for every interface, `unix:/path`.
    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            let hint = if text.parse::<u16>().is_ok() {
                format!(": 127.0.0.1:{text} or :{text}")
            } else {
                String::new()
            };
            return Err(format!("{text:?} is not ADDRESS:PORT{hint}"));
        };
        let port = port.parse().map_err(|_| format!("{port:?} in {text:?} is not a port (0 to 65535)"))?;
        let ip = match host {
            "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
            host if host.contains(':') => {
                return Err(format!("write an IPv6 address in brackets: [{host}]:{port}"));
            }
            host => {
                return Err(format!(
                    "{host:?} is not an IP address; the only name that is looked up is localhost"
                ));
            }
        };
        Ok(Self::Tcp(SocketAddr::new(ip, port)))
    }
}

fn unix(path: &str) -> Result<Address, String> {
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(format!("unix:{path} is not unix:/PATH"));
    }
    if path.len() > MAX_PATH || path.contains('\0') {
        return Err(format!(
            "the path of a unix socket has at most {MAX_PATH} bytes, this one has {}",
            path.len()
        ));
    }
    Ok(Address::Unix(PathBuf::from(path)))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// Whether only this host can reach it.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub enum Listener {
    /// A TCP socket.
    Tcp(TcpListener),
    /// A unix socket, and its file if it is ours to remove.
    Unix(UnixListener, Option<SocketFile>),
}

impl Listener {
    /// Listens there. To be called inside a tokio runtime.
    pub fn bind(address: &Address) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
        match address {
            Address::Tcp(address) => tcp(*address).map(Self::Tcp),
            Address::Unix(path) => unix_socket(path),
        }
        .map_err(named)
    }

    /// Where it listens: the port is the real one also if 0 was asked for.
    pub fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(listener, _) => {
                let address = listener.local_addr()?;
                Ok(Address::Unix(address.as_pathname().map(Path::to_owned).unwrap_or_default()))
            }
        }
    }
}

fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let listen = |address: SocketAddr| {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        // What is accepted inherits it.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    match listen(address) {
        // Every interface of a host without IPv6 is every interface of IPv4.
        Err(error)
            if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED)
                && matches!(error.raw_os_error(), Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)) =>
        {
            listen(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()))
        }
        other => other,
    }
}

fn unix_socket(path: &Path) -> io::Result<Listener> {
    make_way(path)?;
    let socket = UnixSocket::new_stream()?;
    socket.bind(path)?;
    let file = SocketFile::of(path)?;
    // Nobody can connect before it listens, so nobody can while the umask's mode is in force.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(MODE))?;
    Ok(Listener::Unix(socket.listen(BACKLOG)?, Some(file)))
}

/// Removes a socket that a server which is no more has left; leaves alone all else.
fn make_way(path: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    if !found.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "exists and is not a socket"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
        // A queue that is full belongs to a server too; so may what is no stream.
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there")),
        Err(error) => {
            let says =
                format!("a socket exists there, and it is not known whether a server answers: {error}");
            Err(io::Error::new(io::ErrorKind::AddrInUse, says))
        }
    }
}

/// The file of a unix socket, removed on drop if it still is the one we made.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    id: (u64, u64),
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        Ok(Self { path: path.to_owned(), id: id(path)? })
    }

    /// The directory it is in.
    pub fn directory(&self) -> Option<&Path> {
        self.path.parent()
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if id(&self.path).is_ok_and(|now| now == self.id) {
            // Who reads this is on the way out; a stale file is replaced at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn id(path: &Path) -> io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|of| (of.dev(), of.ino()))
}

#[cfg(test)]
mod tests;

//! Listening sockets, and the options of the connections they accept.

use std::fs;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use socket2::{Domain, SockAddr, Socket, TcpKeepalive, Type};

/// A socket that clients connect to. A unix socket's file goes with it.
#[derive(Debug)]
pub struct Listener {
    pub(super) socket: Arc<Socket>,
    file: Option<PathBuf>,
    closed: Arc<AtomicBool>,
}

/// Ends a [`Listener`] that a driver has, from any thread.
#[derive(Clone, Debug)]
pub struct ListenerHandle {
    socket: Weak<Socket>,
    closed: Arc<AtomicBool>,
}

/// Who may connect to a unix socket. `None` leaves what the process and its umask give.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnixAccess {
    /// Permission bits of the socket's file.
    pub mode: Option<u32>,
    /// Number of its group.
    pub group: Option<u32>,
}

impl Listener {
    /// Listens on a TCP address; port 0 lets the kernel choose one. An IPv6 wildcard takes IPv6
    /// only, so that both wildcards can be bound. The kernel cuts `backlog`, the clients that may
    /// wait to be accepted, at its own maximum.
    ///
    /// # Errors
    /// If the address is taken, not ours or not permitted.
    pub fn tcp(address: SocketAddr, backlog: u32) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        start(&socket, backlog)?;
        Ok(Self::new(socket, None))
    }

    /// Listens on a unix socket at `path`. A socket file that nobody listens on any more is
    /// replaced.
    ///
    /// # Errors
    /// If another process listens there, the path is something else than a socket, the folder is
    /// not writable, or the process may not give the socket to that group.
    pub fn unix(path: &Path, access: UnixAccess, backlog: u32) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        remove_stale(path, &address)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&address)?;
        let listener = Self::new(socket, Some(path.to_owned()));
        // Nobody can connect before listen(2), so there is no moment of wider permissions.
        if access.group.is_some() {
            std::os::unix::fs::chown(path, None, access.group)?;
        }
        if let Some(mode) = access.mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        start(&listener.socket, backlog)?;
        Ok(listener)
    }

    fn new(socket: Socket, file: Option<PathBuf>) -> Self {
        Self {
            socket: Arc::new(socket),
            file,
            closed: Arc::default(),
        }
    }

    /// The TCP address it listens on, with the port the kernel chose.
    #[must_use]
    pub fn tcp_address(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// The file of its unix socket.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// A handle that ends it after it has been given to a driver.
    #[must_use]
    pub fn handle(&self) -> ListenerHandle {
        ListenerHandle {
            socket: Arc::downgrade(&self.socket),
            closed: Arc::clone(&self.closed),
        }
    }

    /// Whether its handle has ended it.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl ListenerHandle {
    /// Accepts nobody from here on. The driver gives the socket back to the system when it is told
    /// to [drop what is closed](super::Driver::drop_closed).
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        if let Some(socket) = self.socket.upgrade() {
            // Where a system cannot shut a listener down, it ends as the driver drops it.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            // The file may have been removed by hand, which is as good.
            let _ = fs::remove_file(file);
        }
    }
}

fn start(socket: &Socket, backlog: u32) -> io::Result<()> {
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
}

/// Removes a socket file left behind by a process that died.
fn remove_stale(path: &Path, address: &SockAddr) -> io::Result<()> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if metadata.file_type().is_socket() && probe.connect(address).is_err_and(refused) {
        fs::remove_file(path)
    } else {
        Err(io::ErrorKind::AddrInUse.into())
    }
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A TCP client.
    Tcp(SocketAddr),
    /// A client on the same machine, by a unix socket.
    Unix,
}

impl Peer {
    /// Who is at the other end of `socket`.
    ///
    /// # Errors
    /// If the peer has already gone.
    pub fn of(socket: &Socket) -> io::Result<Self> {
        Ok(socket
            .peer_addr()?
            .as_socket()
            .map_or(Self::Unix, Self::Tcp))
    }
}

/// Sets the options of an accepted socket: no delay of small replies, and keepalive probes after
/// `keepalive` of silence (`None`: never). Does nothing to a unix socket.
///
/// # Errors
/// If the kernel refuses an option, such as a keepalive of zero.
pub fn tune(socket: &Socket, peer: Peer, keepalive: Option<Duration>) -> io::Result<()> {
    if peer == Peer::Unix {
        return Ok(());
    }
    socket.set_tcp_nodelay(true)?;
    match keepalive {
        Some(idle) => socket.set_tcp_keepalive(&probes(idle)),
        None => Ok(()),
    }
}

/// The first probe after `idle`, the connection given up after about as long again.
fn probes(idle: Duration) -> TcpKeepalive {
    const PROBES: u32 = 3;
    let interval = (idle / PROBES).max(Duration::from_secs(1));
    TcpKeepalive::new()
        .with_time(idle)
        .with_interval(interval)
        .with_retries(PROBES)
}

/// Spares the processor when accepting fails for want of descriptors or memory: the failed
/// `accept` is tried again after a number of turns, or when a turn was idle for long.
///
/// Counting turns needs no clock, and bounds the cost whatever the load: one call in 64 turns.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    turns_left: Option<u32>,
    reported: bool,
}

const BACKOFF_TURNS: u32 = 64;
const BACKOFF_WAIT: Duration = Duration::from_millis(100);

impl Backoff {
    /// Accepting has failed.
    pub(super) fn begin(&mut self, error: &io::Error) {
        self.turns_left = Some(BACKOFF_TURNS);
        if !std::mem::replace(&mut self.reported, true) {
            tracing::warn!("cannot accept a client: {error}; trying again");
        }
    }

    /// Accepting has worked: the next failure is news.
    pub(super) fn succeeded(&mut self) {
        self.reported = false;
    }

    /// The longest that the driver may wait.
    pub(super) fn limit(&self, timeout: Option<Duration>) -> Option<Duration> {
        match self.turns_left {
            Some(_) => Some(timeout.map_or(BACKOFF_WAIT, |t| t.min(BACKOFF_WAIT))),
            None => timeout,
        }
    }

    /// A turn has passed. True when it is time to accept again.
    pub(super) fn ends(&mut self, turn_was_idle: bool) -> bool {
        let Some(left) = self.turns_left else {
            return false;
        };
        let ends = turn_was_idle || left == 0;
        self.turns_left = if ends { None } else { Some(left - 1) };
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;
    use std::os::unix::net::UnixStream;

    const ONLY_MINE: UnixAccess = UnixAccess {
        mode: Some(0o600),
        group: None,
    };

    #[test]
    fn a_handle_ends_a_listener_at_once() {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), 16).unwrap();
        let address = listener.tcp_address().unwrap();
        let handle = listener.handle();
        TcpStream::connect(address).unwrap();
        handle.close();
        assert!(listener.is_closed());
        if cfg!(target_os = "linux") {
            assert!(TcpStream::connect(address).is_err());
            // The address is free although the socket is still there.
            Listener::tcp(address, 16).unwrap();
        }
        drop(listener);
        handle.close();
    }

    #[test]
    fn both_wildcards_can_be_bound_to_one_port() {
        let v4 = Listener::tcp("0.0.0.0:0".parse().unwrap(), 16).unwrap();
        let port = v4.tcp_address().unwrap().port();
        let v6 = Listener::tcp(format!("[::]:{port}").parse().unwrap(), 16);
        assert!(v6.is_ok() || !v6.unwrap_err().to_string().contains("in use"));
    }

    #[test]
    fn a_unix_socket_has_its_mode_and_goes_with_the_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kvik.sock");
        let listener = Listener::unix(&path, ONLY_MINE, 16).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        UnixStream::connect(&path).unwrap();
        drop(listener);
        assert!(!path.exists());
    }

    #[test]
    fn only_a_dead_socket_file_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kvik.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _live = Listener::unix(&path, UnixAccess::default(), 16).unwrap();
        let second = Listener::unix(&path, UnixAccess::default(), 16).unwrap_err();
        assert_eq!(second.kind(), io::ErrorKind::AddrInUse);
        let file = dir.path().join("data");
        fs::write(&file, "precious").unwrap();
        assert!(Listener::unix(&file, UnixAccess::default(), 16).is_err());
        assert!(file.exists());
    }

    #[test]
    fn backoff_bounds_waits_and_turns() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.limit(None), None);
        assert!(!backoff.ends(true));
        backoff.begin(&io::Error::from_raw_os_error(24));
        assert_eq!(backoff.limit(None), Some(BACKOFF_WAIT));
        let busy_turns = (0..).take_while(|_| !backoff.ends(false)).count();
        assert_eq!(busy_turns, BACKOFF_TURNS as usize);
        backoff.begin(&io::Error::from_raw_os_error(24));
        assert!(backoff.ends(true));
        assert_eq!(backoff.limit(None), None);
    }
}

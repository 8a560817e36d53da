//! The addresses a server listens on, and their change while it runs.
//!
//! An address is bound where the change is asked for, so CONFIG SET reports what the system refuses
//! and keeps the old value. The thread that accepts for all takes the new listeners over; the old
//! ones refuse clients from the moment in which the change succeeds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::{Config, Key};
use crate::door::{Door, DoorAddress, Place};
use crate::front::codec_settings;
use crate::net::{Listener, ListenerHandle, UnixAccess};

/// For how long an address that is taken is tried again at the start, and how often. The kernel
/// frees what a crashed server held a few milliseconds after its end.
const ATTEMPTS: u32 = 100;
const RETRY: Duration = Duration::from_millis(10);

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct ListenError {
    /// The address, as it was configured.
    pub address: String,
    /// The system's reason.
    pub error: io::Error,
}

/// The TCP addresses of `bind` and `port` of a running server.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    entrances: Mutex<Vec<Entrance>>,
}

/// One address, as it was asked for: the port may be 0.
#[derive(Debug)]
struct Entrance {
    address: SocketAddr,
    handle: ListenerHandle,
}

/// A door that clients can come to.
#[derive(Debug)]
pub(crate) struct OpenDoor {
    pub(crate) door: Door,
    pub(crate) listener: Listener,
}

impl OpenDoor {
    /// Whether clients of other machines can reach it.
    pub(crate) fn is_public(&self) -> bool {
        let address = self.listener.tcp_address();
        address.is_some_and(|address| !address.ip().is_loopback())
    }

    fn main(listener: Listener) -> Self {
        Self {
            door: Door::MAIN,
            listener,
        }
    }
}

/// The port of a node of a cluster, with the doors there.
#[derive(Debug)]
pub(crate) struct ClusterNode {
    pub(crate) port: u16,
    pub(crate) doors: Vec<OpenDoor>,
}

/// An address that `bind` and `port` ask for. An optional one may be missing on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wanted {
    address: SocketAddr,
    optional: bool,
}

impl Listening {
    /// Listens on all that is configured, TCP and unix; the listeners are to be given to a driver.
    ///
    /// # Errors
    /// If an address is not free, not ours or not permitted.
    pub(crate) fn start(config: &Config) -> Result<(Self, Vec<OpenDoor>), ListenError> {
        let (mut entrances, mut open) = (Vec::new(), Vec::new());
        let yields = config.bool(Key::YieldPort);
        for wanted in wanted(config)? {
            let bind = || bind(wanted, config);
            let listener = match insist(&wanted.address.to_string(), bind) {
                Ok(None) => continue,
                Err(refused) if yields && refused.error.kind() == io::ErrorKind::AddrInUse => {
                    tracing::warn!("{refused}; the server starts without it");
                    continue;
                }
                listener => listener?,
            };
            let Some(listener) = listener else { continue };
            entrances.push(Entrance::new(wanted.address, &listener));
            open.push(OpenDoor::main(listener));
        }
        if let Some(path) = config.path(Key::Unixsocket) {
            let access = unix_access(config)?;
            let bind = || Listener::unix(&path, access, backlog(config)).map(Some);
            let listener = insist(&path.display().to_string(), bind)?;
            open.extend(listener.map(OpenDoor::main));
        }
        for url in config.words(Key::Listen) {
            open.extend(open_door(&url, config)?);
        }
        let entrances = Mutex::new(entrances);
        Ok((Self { entrances }, open))
    }

    /// Listens at the ports of the nodes of a cluster: one port for each thread, at every address
    /// of `bind`.
    ///
    /// # Errors
    /// If there are not so many ports, or one of them cannot be had.
    pub(crate) fn start_nodes(
        config: &Config,
        threads: usize,
    ) -> Result<Vec<ClusterNode>, ListenError> {
        if !config.bool(Key::ClusterEnabled) {
            return Ok(Vec::new());
        }
        let base = first_node_port(config, threads)?;
        let node = |index: usize| {
            let (index, port) = (index as u16, base + index as u16);
            let mut doors = Vec::new();
            for wanted in addresses(config, port)? {
                let listener = insist(&wanted.address.to_string(), || bind(wanted, config))?;
                let door = Door {
                    node: Some(index),
                    ..Door::MAIN
                };
                doors.extend(listener.map(|listener| OpenDoor { door, listener }));
            }
            Ok(ClusterNode { port, doors })
        };
        (0..threads).map(node).collect()
    }

    /// Changes to the TCP addresses that are configured now. Each new listener is given to `add`,
    /// also those that take the old addresses again when the change fails.
    ///
    /// # Errors
    /// If one of them cannot be had; then the old ones are kept.
    pub(crate) fn change(
        &self,
        config: &Config,
        add: impl Fn(OpenDoor),
    ) -> Result<(), ListenError> {
        let wanted = wanted(config)?;
        let mut entrances = self.entrances.lock();
        let stays = |entrance: &Entrance| {
            wanted
                .iter()
                .any(|wanted| wanted.address == entrance.address)
        };
        let is_new = |wanted: &&Wanted| {
            entrances
                .iter()
                .all(|entrance| entrance.address != wanted.address)
        };
        let mut bound = Vec::new();
        let mut blocked = Vec::new();
        for new in wanted.iter().filter(is_new) {
            match bind(*new, config) {
                Ok(listener) => bound.extend(listener.map(|listener| (new.address, listener))),
                // One of the old addresses may overlap it, as `*` overlaps all others.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => blocked.push(*new),
                Err(error) => return Err(refused(new.address, error)),
            }
        }
        if bound.is_empty() && blocked.is_empty() && !entrances.iter().any(stays) {
            nothing_left(config)?;
        }
        let (kept, old): (Vec<_>, Vec<_>) = entrances.drain(..).partition(stays);
        *entrances = kept;
        old.iter().for_each(|entrance| entrance.handle.close());
        for new in blocked {
            match bind(new, config) {
                Ok(listener) => bound.extend(listener.map(|listener| (new.address, listener))),
                Err(error) => {
                    // Those that were bound for the change go first: they may overlap as well.
                    drop(bound);
                    reopen(&old, &mut entrances, config, add);
                    return Err(refused(new.address, error));
                }
            }
        }
        for (address, listener) in bound {
            entrances.push(Entrance::new(address, &listener));
            add(OpenDoor::main(listener));
        }
        Ok(())
    }
}

/// As in the banner: RESP needs no scheme.
impl std::fmt::Display for OpenDoor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.door.speech.name();
        if self.door.is_explicit {
            let socket = self.listener.path().map_or("", |_| "+unix");
            write!(f, "{name}{socket}://")?;
        }
        match (self.listener.tcp_address(), self.listener.path()) {
            (Some(address), _) => write!(f, "{address}"),
            (None, Some(path)) => write!(f, "{}", path.display()),
            (None, None) => f.write_str("nothing"),
        }
    }
}

impl Entrance {
    fn new(address: SocketAddr, listener: &Listener) -> Self {
        let handle = listener.handle();
        Self { address, handle }
    }
}

/// Takes addresses again that were closed for a change which then failed.
fn reopen(
    old: &[Entrance],
    entrances: &mut Vec<Entrance>,
    config: &Config,
    add: impl Fn(OpenDoor),
) {
    for entrance in old {
        match Listener::tcp(entrance.address, backlog(config)) {
            Ok(listener) => {
                entrances.push(Entrance::new(entrance.address, &listener));
                add(OpenDoor::main(listener));
            }
            Err(error) => tracing::error!("cannot listen on {} again: {error}", entrance.address),
        }
    }
}

/// Tries again for about a second while an address is in use.
#[expect(
    clippy::disallowed_methods,
    reason = "the starting thread waits for an address; no I/O thread runs yet"
)]
fn insist(
    address: &str,
    bind: impl Fn() -> io::Result<Option<Listener>>,
) -> Result<Option<Listener>, ListenError> {
    for attempt in 0..ATTEMPTS {
        match bind() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
            result => {
                return result.map_err(|error| refused(address, error));
            }
        }
        if attempt == 0 {
            tracing::warn!("{address} is in use; trying again for a second");
        }
        std::thread::sleep(RETRY);
    }
    bind().map_err(|error| refused(address, error))
}

fn refused(address: impl ToString, error: io::Error) -> ListenError {
    ListenError {
        address: address.to_string(),
        error,
    }
}

/// Opens a door that is asked for by its URL.
fn open_door(url: &str, config: &Config) -> Result<Option<OpenDoor>, ListenError> {
    let invalid =
        |reason: String| refused(url, io::Error::new(io::ErrorKind::InvalidInput, reason));
    let wanted = DoorAddress::parse(url).map_err(invalid)?;
    let reach = wanted
        .door
        .speech
        .reach(&codec_settings(config, &Arc::default()));
    if wanted.door.database as usize + reach as usize >= config.size(Key::Databases) {
        return Err(invalid("there is no such database".to_owned()));
    }
    let listener = match &wanted.place {
        Place::Tcp { host, port } => {
            let address = SocketAddr::new(ip_of(host, *port)?, *port);
            insist(url, || Listener::tcp(address, backlog(config)).map(Some))?
        }
        Place::Unix(path) => {
            let access = unix_access(config)?;
            if let Some(folder) = path.parent() {
                // Where it cannot be made, binding says why.
                let _ = std::fs::create_dir_all(folder);
            }
            insist(url, || {
                Listener::unix(path, access, backlog(config)).map(Some)
            })?
        }
    };
    let door = wanted.door;
    Ok(listener.map(|listener| OpenDoor { door, listener }))
}

/// Refuses a change that would leave no way to reach the server.
fn nothing_left(config: &Config) -> Result<(), ListenError> {
    if config.path(Key::Unixsocket).is_some() || !config.words(Key::Listen).is_empty() {
        return Ok(());
    }
    let reason = "no address is left and there is no unix socket";
    let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
    Err(refused("nothing", error))
}

fn backlog(config: &Config) -> u32 {
    u32::try_from(config.size(Key::TcpBacklog)).unwrap_or(u32::MAX)
}

/// The TCP addresses that `bind` and `port` ask for, each once.
fn wanted(config: &Config) -> Result<Vec<Wanted>, ListenError> {
    match config.int(Key::Port) as u16 {
        0 => Ok(Vec::new()),
        port => addresses(config, port),
    }
}

/// The port of the first of so many nodes.
fn first_node_port(config: &Config, threads: usize) -> Result<u16, ListenError> {
    let invalid = |reason: &str| {
        let error = io::Error::new(io::ErrorKind::InvalidInput, reason);
        refused("the ports of a cluster", error)
    };
    let base = match (config.size(Key::ClusterPortBase), config.size(Key::Port)) {
        (0, 0) => return Err(invalid("neither port nor cluster-port-base is set")),
        (0, port) => port + 1,
        (base, _) => base,
    };
    let is_possible = base + threads <= usize::from(u16::MAX) + 1;
    let first = u16::try_from(base).ok().filter(|_| is_possible);
    first.ok_or_else(|| invalid("each I/O thread needs one, and they would end beyond 65535"))
}

/// The addresses of `bind` with this port, each once.
fn addresses(config: &Config, port: u16) -> Result<Vec<Wanted>, ListenError> {
    let mut all: Vec<Wanted> = Vec::new();
    for word in config.words(Key::Bind) {
        let (optional, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word.as_str()),
        };
        let address = SocketAddr::new(ip_of(name, port)?, port);
        if all.iter().all(|wanted| wanted.address != address) {
            all.push(Wanted { address, optional });
        }
    }
    Ok(all)
}

/// The address of a host, by name, number or `*`.
fn ip_of(name: &str, port: u16) -> Result<IpAddr, ListenError> {
    match name {
        "*" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "::*" => Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        name => resolve(name).map_err(|error| refused(format!("{name}:{port}"), error)),
    }
}

/// A listener on an address; none if the address may be missing on this machine and is.
fn bind(wanted: Wanted, config: &Config) -> io::Result<Option<Listener>> {
    match Listener::tcp(wanted.address, backlog(config)) {
        Ok(listener) => Ok(Some(listener)),
        Err(error) if wanted.optional && is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn resolve(name: &str) -> io::Result<IpAddr> {
    let mut found = std::net::ToSocketAddrs::to_socket_addrs(&(name, 0))?;
    found
        .next()
        .map(|address| address.ip())
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Whether this machine has no such address, or not even its family.
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::EAFNOSUPPORT)
}

/// Who may connect to the unix socket.
fn unix_access(config: &Config) -> Result<UnixAccess, ListenError> {
    let mode = u32::try_from(config.int(Key::Unixsocketperm)).ok();
    let group = match config.text(Key::Unixsocketgroup) {
        name if name.is_empty() => None,
        name => Some(group_number(&name).ok_or_else(|| {
            let error = io::Error::new(io::ErrorKind::NotFound, "there is no such group");
            refused(format!("a unix socket of group '{name}'"), error)
        })?),
    };
    Ok(UnixAccess {
        mode: mode.filter(|mode| *mode > 0),
        group,
    })
}

/// The number of a group, by its name or as a number.
fn group_number(name: &str) -> Option<u32> {
    let groups = std::fs::read_to_string(Path::new("/etc/group")).unwrap_or_default();
    let named = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.or_else(|| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    fn config_of(args: &[&str]) -> Config {
        let args: Vec<_> = args.iter().map(std::ffi::OsString::from).collect();
        config::load(&args, [], &mut io::empty()).unwrap().config
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn bind_and_port_become_addresses() {
        let wanted = wanted(&config_of(&[
            "--port",
            "7",
            "--bind",
            "*",
            "-::*",
            "127.0.0.1",
        ]));
        let addresses: Vec<_> = wanted
            .unwrap()
            .iter()
            .map(|wanted| (wanted.address, wanted.optional))
            .collect();
        let expected = [
            (address("0.0.0.0:7"), false),
            (address("[::]:7"), true),
            (address("127.0.0.1:7"), false),
        ];
        assert_eq!(addresses, expected);
        let none = super::wanted(&config_of(&["--port", "0"])).unwrap();
        assert_eq!(none, []);
    }

    #[test]
    fn an_address_that_becomes_free_is_taken() {
        let taken = Listener::tcp(address("127.0.0.1:0"), 1).unwrap();
        let port = taken.tcp_address().unwrap().port().to_string();
        let config = config_of(&["--port", &port, "--bind", "127.0.0.1"]);
        let started = std::thread::scope(|scope| {
            let start = scope.spawn(|| Listening::start(&config).map(drop));
            std::thread::park_timeout(Duration::from_millis(50));
            drop(taken);
            start.join().unwrap()
        });
        assert!(started.is_ok(), "{started:?}");
    }

    #[test]
    fn a_unix_socket_that_becomes_free_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kvik.sock");
        let taken = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let path = path.to_str().unwrap();
        let config = config_of(&["--port", "0", "--unixsocket", path]);
        let started = std::thread::scope(|scope| {
            let start = scope.spawn(|| Listening::start(&config).map(drop));
            std::thread::park_timeout(Duration::from_millis(50));
            drop(taken);
            start.join().unwrap()
        });
        assert!(started.is_ok(), "{started:?}");
    }

    #[test]
    fn nodes_have_consecutive_ports() {
        let first = |args: &[&str], threads| {
            let config = config_of(args);
            first_node_port(&config, threads).map_err(|error| error.to_string())
        };
        assert_eq!(first(&["--port", "7000"], 8), Ok(7001));
        assert_eq!(
            first(&["--cluster-port-base", "9000", "--port", "0"], 8),
            Ok(9000)
        );
        assert_eq!(first(&["--port", "65533"], 2), Ok(65534));
        assert!(first(&["--port", "65533"], 3).is_err());
        assert!(first(&["--port", "0"], 1).is_err());
    }

    #[test]
    fn groups_are_found_by_name_or_number() {
        assert_eq!(group_number("root"), Some(0));
        assert_eq!(group_number("4711"), Some(4711));
        assert_eq!(group_number("no such group"), None);
    }
}

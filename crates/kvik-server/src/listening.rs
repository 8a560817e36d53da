//! The addresses a server listens on, and their change while it runs.
//!
//! An address is bound where the change is asked for, so CONFIG SET reports what the system refuses
//! and keeps the old value. The thread that accepts for all takes the new listeners over; the old
//! ones refuse clients from the moment in which the change succeeds.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use parking_lot::Mutex;

use crate::config::{Config, Key};
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

/// The TCP addresses of a running server.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    doors: Mutex<Vec<Door>>,
}

/// One address, as it was asked for: the port may be 0.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    handle: ListenerHandle,
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
    pub(crate) fn start(config: &Config) -> Result<(Self, Vec<Listener>), ListenError> {
        let (mut doors, mut listeners) = (Vec::new(), Vec::new());
        for wanted in wanted(config)? {
            let bind = || bind(wanted, config);
            let Some(listener) = insist(&wanted.address.to_string(), bind)? else {
                continue;
            };
            doors.push(Door::new(wanted.address, &listener));
            listeners.push(listener);
        }
        if let Some(path) = config.path(Key::Unixsocket) {
            let access = unix_access(config)?;
            let bind = || Listener::unix(&path, access, backlog(config)).map(Some);
            listeners.extend(insist(&path.display().to_string(), bind)?);
        }
        let doors = Mutex::new(doors);
        Ok((Self { doors }, listeners))
    }

    /// Changes to the TCP addresses that are configured now. Each new listener is given to `add`,
    /// also those that take the old addresses again when the change fails.
    ///
    /// # Errors
    /// If one of them cannot be had; then the old ones are kept.
    pub(crate) fn change(
        &self,
        config: &Config,
        add: impl Fn(Listener),
    ) -> Result<(), ListenError> {
        let wanted = wanted(config)?;
        let mut doors = self.doors.lock();
        let stays = |door: &Door| wanted.iter().any(|wanted| wanted.address == door.address);
        let is_new = |wanted: &&Wanted| doors.iter().all(|door| door.address != wanted.address);
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
        if bound.is_empty() && blocked.is_empty() && !doors.iter().any(stays) {
            nothing_left(config)?;
        }
        let (kept, old): (Vec<_>, Vec<_>) = doors.drain(..).partition(stays);
        *doors = kept;
        old.iter().for_each(|door| door.handle.close());
        for new in blocked {
            match bind(new, config) {
                Ok(listener) => bound.extend(listener.map(|listener| (new.address, listener))),
                Err(error) => {
                    // Those that were bound for the change go first: they may overlap as well.
                    drop(bound);
                    reopen(&old, &mut doors, config, add);
                    return Err(refused(new.address, error));
                }
            }
        }
        for (address, listener) in bound {
            doors.push(Door::new(address, &listener));
            add(listener);
        }
        Ok(())
    }
}

impl Door {
    fn new(address: SocketAddr, listener: &Listener) -> Self {
        let handle = listener.handle();
        Self { address, handle }
    }
}

/// Takes addresses again that were closed for a change which then failed.
fn reopen(old: &[Door], doors: &mut Vec<Door>, config: &Config, add: impl Fn(Listener)) {
    for door in old {
        match Listener::tcp(door.address, backlog(config)) {
            Ok(listener) => {
                doors.push(Door::new(door.address, &listener));
                add(listener);
            }
            Err(error) => tracing::error!("cannot listen on {} again: {error}", door.address),
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

/// Refuses a change that would leave no way to reach the server.
fn nothing_left(config: &Config) -> Result<(), ListenError> {
    if config.path(Key::Unixsocket).is_some() {
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
    let mut all: Vec<Wanted> = Vec::new();
    let port = config.int(Key::Port) as u16;
    if port == 0 {
        return Ok(all);
    }
    for word in config.words(Key::Bind) {
        let (optional, name) = match word.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, word.as_str()),
        };
        let ip = match name {
            "*" => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            "::*" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            name => resolve(name).map_err(|error| refused(format!("{name}:{port}"), error))?,
        };
        let address = SocketAddr::new(ip, port);
        if all.iter().all(|wanted| wanted.address != address) {
            all.push(Wanted { address, optional });
        }
    }
    Ok(all)
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
    fn groups_are_found_by_name_or_number() {
        assert_eq!(group_number("root"), Some(0));
        assert_eq!(group_number("4711"), Some(4711));
        assert_eq!(group_number("no such group"), None);
    }
}

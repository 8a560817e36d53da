//! Where a door is, as a URL says.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// The protocol that is spoken there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    Neks,
    Kiba,
    Nkv,
}

/// A door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) scheme: Scheme,
    pub(crate) address: DoorAddress,
    pub(crate) password: Option<String>,
}

/// Its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DoorAddress {
    /// Host and port.
    Tcp(String),
    Unix(PathBuf),
}

impl Place {
    /// The door of a URL; none for one of RESP.
    pub(crate) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (scheme, usual) = match scheme {
            "neks" => (Scheme::Neks, "127.0.0.1:9999"),
            "kiba" => (Scheme::Kiba, "127.0.0.1:6464"),
            "nkv" => (Scheme::Nkv, "127.0.0.1:4222"),
            "nkv+unix" => {
                let path = if rest.is_empty() {
                    "/tmp/nkv/nkv.sock"
                } else {
                    rest
                };
                return Some(Self::unix(Scheme::Nkv, path));
            }
            _ => return None,
        };
        // A user name is not asked for at any door, and the database is the door's affair.
        let (password, rest) = match rest.rsplit_once('@') {
            Some((user, rest)) => (user.rsplit(':').next(), rest),
            None => (None, rest),
        };
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = usual.split_once(':').unwrap_or_default();
        let address = match authority {
            "" => usual.to_owned(),
            _ if has_port(authority) => authority.to_owned(),
            _ => format!("{authority}:{port}"),
        };
        let address = match address.strip_prefix(':') {
            Some(port) => format!("{host}:{port}"),
            None => address,
        };
        let place = Self::tcp(scheme, address);
        Some(Self {
            password: password.map(str::to_owned),
            ..place
        })
    }

    /// The door at `host:port`.
    pub(crate) fn tcp(scheme: Scheme, address: impl Into<String>) -> Self {
        Self::at(scheme, DoorAddress::Tcp(address.into()))
    }

    /// The door at a unix socket.
    pub(crate) fn unix(scheme: Scheme, path: impl Into<PathBuf>) -> Self {
        Self::at(scheme, DoorAddress::Unix(path.into()))
    }

    fn at(scheme: Scheme, address: DoorAddress) -> Self {
        Self {
            scheme,
            address,
            password: None,
        }
    }

    /// Connects.
    pub(crate) fn connect(&self) -> io::Result<DoorStream> {
        match &self.address {
            DoorAddress::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(DoorStream::Tcp(stream))
            }
            DoorAddress::Unix(path) => Ok(DoorStream::Unix(UnixStream::connect(path)?)),
        }
    }
}

fn has_port(authority: &str) -> bool {
    authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.contains(']'))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            DoorAddress::Tcp(address) => f.write_str(address),
            DoorAddress::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A connection to a door.
#[derive(Debug)]
pub(crate) enum DoorStream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl DoorStream {
    /// How long a read waits at most; none for ever.
    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_read_timeout(timeout),
            Self::Unix(stream) => stream.set_read_timeout(timeout),
        }
    }

    /// Ends both directions.
    pub(crate) fn shut_down(&self) {
        // One that has ended already is as good.
        let _ = match self {
            Self::Tcp(stream) => stream.shutdown(std::net::Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(std::net::Shutdown::Both),
        };
    }

    /// The same connection, for another thread.
    pub(crate) fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(stream) => Self::Tcp(stream.try_clone()?),
            Self::Unix(stream) => Self::Unix(stream.try_clone()?),
        })
    }
}

impl Read for DoorStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for DoorStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(bytes),
            Self::Unix(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_url_leaves_out_is_usual() {
        let text = |url: &str| Place::parse(url).map(|place| place.to_string());
        assert_eq!(text("neks://").as_deref(), Some("127.0.0.1:9999"));
        assert_eq!(text("neks://db/3").as_deref(), Some("db:9999"));
        assert_eq!(text("kiba://db:7").as_deref(), Some("db:7"));
        assert_eq!(text("kiba://:7").as_deref(), Some("127.0.0.1:7"));
        assert_eq!(text("nkv://[::1]").as_deref(), Some("[::1]:4222"));
        assert_eq!(text("nkv+unix://").as_deref(), Some("/tmp/nkv/nkv.sock"));
        assert_eq!(text("redis://db"), None);
        let place = Place::parse("kiba://:se@cret@db").unwrap();
        assert_eq!(place.password.as_deref(), Some("se@cret"));
        assert_eq!(place.to_string(), "db:6464");
    }
}

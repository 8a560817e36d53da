//! Doors: the addresses at which clients come in, each with the codec that they speak there.
//!
//! A door is written as a URL: `resp://127.0.0.1:6379`, `neks://:9999/3`, `auto://*:7000`,
//! `nkv+unix:///tmp/nkv/nkv.sock?db=1`. The path of a TCP address, or `db`, is the number of the
//! database that its clients work on. Where there are namespaces, `namespaces=auto` has names split
//! that come through a door which does not speak RESP. `bind`, `port` and `unixsocket` are doors
//! for RESP that need not be written so, and so are the ports of a cluster's nodes.

use std::path::PathBuf;

use crate::codec::Speech;

/// How the clients of a door are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Door {
    /// The protocol of its clients.
    pub(crate) speech: Speech,
    /// The database they work on.
    pub(crate) database: u32,
    /// Its clients name namespaces, where there are any, as those of RESP always do.
    pub(crate) splits_names: bool,
    /// It was asked for by its address, so it also serves clients of other machines.
    pub(crate) is_explicit: bool,
    /// The node of a cluster whose port it is. The thread with this number serves its clients.
    pub(crate) node: Option<u16>,
}

impl Door {
    /// The door of `bind`, `port` and `unixsocket`.
    pub(crate) const MAIN: Self = Self {
        speech: Speech::Resp,
        database: 0,
        splits_names: true,
        is_explicit: false,
        node: None,
    };
}

/// A door and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DoorAddress {
    pub(crate) door: Door,
    pub(crate) place: Place,
}

/// An address, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl DoorAddress {
    /// Reads a door's URL.
    ///
    /// # Errors
    /// The fault in the URL, in one sentence.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| format!("'{url}' is no URL, such as resp://127.0.0.1:6379"))?;
        let (name, is_unix) = match scheme.strip_suffix("+unix") {
            Some(name) => (name, true),
            None => (scheme, false),
        };
        let speech = Speech::named(name)
            .ok_or_else(|| format!("'{name}' is none of {}", Speech::NAMES.join(", ")))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (place, path) = match is_unix {
            true => (unix_place(speech, rest)?, ""),
            false => {
                let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
                (tcp_place(speech, authority)?, path)
            }
        };
        let (mut database, mut splits_names) = (path, speech == Speech::Resp);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some(("db", number)) => database = number,
                Some(("namespaces", "auto")) => splits_names = true,
                _ => {
                    return Err(format!(
                        "'{option}' is neither db=NUMBER nor namespaces=auto"
                    ));
                }
            }
        }
        let database = match database {
            "" => 0,
            number => number
                .parse()
                .map_err(|_| format!("'{number}' is no number of a database"))?,
        };
        let door = Door {
            speech,
            database,
            splits_names,
            is_explicit: true,
            node: None,
        };
        Ok(Self { door, place })
    }
}

fn unix_place(speech: Speech, path: &str) -> Result<Place, String> {
    let path = match path {
        "" => speech
            .usual_socket()
            .ok_or("the path of the socket is missing")?,
        path => path,
    };
    Ok(Place::Unix(path.into()))
}

/// Host and port; what is missing is where the clients of such a door look for it.
fn tcp_place(speech: Speech, authority: &str) -> Result<Place, String> {
    let (usual_host, usual_port) = speech.usual_address();
    let split = match authority.rsplit_once(':') {
        // An IPv6 address has colons of its own, between brackets.
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let (host, port) = split;
    let port = match port {
        None | Some("") => usual_port,
        Some(port) => port.parse().map_err(|_| format!("'{port}' is no port"))?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host.is_empty() { usual_host } else { host };
    Ok(Place::Tcp {
        host: host.to_owned(),
        port,
    })
}

impl std::fmt::Display for DoorAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.door.speech.name();
        match &self.place {
            Place::Tcp { host, port } if host.contains(':') => {
                write!(f, "{name}://[{host}]:{port}")
            }
            Place::Tcp { host, port } => write!(f, "{name}://{host}:{port}"),
            Place::Unix(path) => write!(f, "{name}+unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(url: &str) -> (String, u16, u32) {
        let address = DoorAddress::parse(url).unwrap();
        match address.place {
            Place::Tcp { host, port } => (host, port, address.door.database),
            Place::Unix(path) => panic!("{path:?}"),
        }
    }

    #[test]
    fn what_an_address_leaves_out_is_usual() {
        assert_eq!(tcp("neks://"), ("0.0.0.0".into(), 9999, 0));
        assert_eq!(tcp("neks://127.0.0.1/3"), ("127.0.0.1".into(), 9999, 3));
        assert_eq!(tcp("resp://localhost:7?db=2"), ("localhost".into(), 7, 2));
        assert_eq!(tcp("auto://[::1]:0"), ("::1".into(), 0, 0));
        assert_eq!(tcp("resp://[::1]"), ("::1".into(), 6379, 0));
    }

    #[test]
    fn a_socket_has_a_path_and_may_have_a_database() {
        let address = DoorAddress::parse("resp+unix:///tmp/a.sock?db=4").unwrap();
        assert_eq!(address.place, Place::Unix("/tmp/a.sock".into()));
        assert_eq!(address.door.database, 4);
        assert_eq!(address.to_string(), "resp+unix:///tmp/a.sock");
    }

    #[test]
    fn names_are_split_where_the_door_says_so() {
        let splits = |url| DoorAddress::parse(url).unwrap().door.splits_names;
        assert!(splits("resp://"));
        assert!(!splits("neks://:9999/3"));
        assert!(!splits("auto://"));
        assert!(splits("neks://:9999/3?namespaces=auto"));
        assert!(splits("nkv+unix:///a?db=1&namespaces=auto"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in [
            "127.0.0.1:1",
            "http://x",
            "neks://x:port",
            "neks://x:70000",
            "neks://x/first",
            "neks+unix://",
            "neks://?namespaces=all",
            "neks://?3",
        ] {
            assert!(DoorAddress::parse(url).is_err(), "{url}");
        }
    }
}

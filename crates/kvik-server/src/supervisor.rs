//! Tells systemd how far the server is, so that a unit of `Type=notify` counts as started when
//! clients are served and not before.
//!
//! The protocol is a datagram of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names; a
//! name that begins with `@` is one of Linux's abstract namespace.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::config::{Config, Key};

/// Clients are served.
pub(crate) const READY: &str = "READY=1\nSTATUS=Ready to accept connections";
/// The server ends.
pub(crate) const STOPPING: &str = "STOPPING=1\nSTATUS=Saving and shutting down";

/// Whether somebody is told.
pub(crate) fn is_told(config: &Config) -> bool {
    matches!(config.choice(Key::Supervised), "systemd" | "auto") && socket().is_some()
}

/// Tells the supervisor, if there is one that wants to know.
pub(crate) fn tell(config: &Config, state: &str) {
    let Some(socket) = socket().filter(|_| is_told(config)) else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!("cannot tell systemd {state:?}: {error}");
    }
}

fn socket() -> Option<OsString> {
    std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty())
}

fn send(socket: &OsStr, state: &str) -> io::Result<()> {
    let sender = UnixDatagram::unbound()?;
    sender.send_to_addr(state.as_bytes(), &address(socket)?)?;
    Ok(())
}

fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(receiver: &UnixDatagram, socket: &OsStr) -> String {
        send(socket, READY).unwrap();
        let mut buffer = [0; 200];
        let count = receiver.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn sockets_have_paths_or_abstract_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(received(&receiver, path.as_os_str()), READY);
        #[cfg(target_os = "linux")]
        {
            let name = OsString::from(format!("@kvik-test-{}", std::process::id()));
            let receiver = UnixDatagram::bind_addr(&address(&name).unwrap()).unwrap();
            assert_eq!(received(&receiver, &name), READY);
        }
        assert!(send(OsStr::new("/nowhere/socket"), READY).is_err());
    }
}

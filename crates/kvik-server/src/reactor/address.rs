//! Addresses of a client as CLIENT LIST shows them.

use socket2::{SockAddr, Socket};

use crate::net::Peer;

/// The client's address and the one that it connected to: `ip:port`, for a unix socket the path of
/// the server's and `:0`, as the client's end has no name.
pub(super) fn addresses(socket: &Socket, peer: Peer) -> (String, String) {
    let local = socket.local_addr().ok();
    match peer {
        Peer::Tcp(address) => {
            let local = local.and_then(|local| local.as_socket());
            let local = local.map_or_else(|| ":0".to_owned(), |local| local.to_string());
            (address.to_string(), local)
        }
        Peer::Unix => {
            let path = local.as_ref().and_then(SockAddr::as_pathname);
            let path = path.map_or_else(String::new, |path| path.display().to_string());
            let text = format!("{path}:0");
            (text.clone(), text)
        }
    }
}

//! Addresses of a client as CLIENT LIST shows them.

use std::io;

use socket2::{SockAddr, Socket};

/// The client's address and the one that it connected to: `ip:port`, for a unix socket the path of
/// the server's and `:0`.
pub(super) fn addresses(socket: &Socket) -> (String, String) {
    (
        text(socket.peer_addr(), socket),
        text(socket.local_addr(), socket),
    )
}

fn text(address: io::Result<SockAddr>, socket: &Socket) -> String {
    if let Some(tcp) = address.ok().and_then(|address| address.as_socket()) {
        return tcp.to_string();
    }
    // The client's end of a unix socket has no name.
    let local = socket.local_addr().ok();
    let path = local.as_ref().and_then(SockAddr::as_pathname);
    let path = path.map_or_else(String::new, |path| path.display().to_string());
    format!("{path}:0")
}

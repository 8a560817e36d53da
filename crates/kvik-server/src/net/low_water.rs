//! The low-water mark of a socket: how many bytes must have come before the kernel says that some
//! have.
//!
//! A reader that is woken for each part of a large string spends more on being woken, and on
//! acknowledging the parts, than on copying them. While one is awaited the mark is raised, and its
//! parts gather in the kernel. The end of a stream, an error and a shortage of memory are reported
//! whatever the mark is, so nothing waits for bytes that cannot come.

use socket2::Socket;

/// So many missing bytes are worth two more system calls.
const LEAST: usize = 128 << 10;
/// The highest mark.
const MOST: usize = 1 << 20;
/// Where the mark is unless it is raised.
const NORMAL: usize = 1;

#[derive(Debug)]
pub(super) struct LowWater {
    mark: usize,
    /// Whether the kernel heeds it, once that was asked for.
    works: Option<bool>,
}

impl Default for LowWater {
    fn default() -> Self {
        Self {
            mark: NORMAL,
            works: None,
        }
    }
}

impl LowWater {
    /// Raises the mark to `missing` bytes, or as many as may gather, and back to normal if they are
    /// few. The kernel then says anew if so many are there.
    pub(super) fn raise(&mut self, socket: &Socket, missing: usize) {
        let works = *self.works.get_or_insert_with(|| works(socket));
        if works && missing >= LEAST {
            self.set(socket, missing.min(MOST));
        } else {
            self.lower(socket);
        }
    }

    /// Has every byte reported again.
    pub(super) fn lower(&mut self, socket: &Socket) {
        self.set(socket, NORMAL);
    }

    /// The mark if it is raised: what is there when the socket is readable, unless it has ended or
    /// memory is short.
    pub(super) fn raised(&self) -> Option<usize> {
        (self.mark > NORMAL).then_some(self.mark)
    }

    fn set(&mut self, socket: &Socket, mark: usize) {
        if mark != self.mark && set(socket, mark) {
            self.mark = mark;
        }
    }
}

/// Linux heeds the mark of TCP sockets, and looks again when it changes.
#[cfg(target_os = "linux")]
fn works(socket: &Socket) -> bool {
    use socket2::Domain;

    let domain = socket.domain();
    domain.is_ok_and(|domain| matches!(domain, Domain::IPV4 | Domain::IPV6))
}

#[cfg(not(target_os = "linux"))]
fn works(_: &Socket) -> bool {
    false
}

#[cfg(target_os = "linux")]
fn set(socket: &Socket, mark: usize) -> bool {
    use std::os::fd::AsRawFd;

    let mark = mark as libc::c_int;
    // SAFETY: the kernel reads an integer of the size it is told.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_RCVLOWAT,
            (&raw const mark).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn set(_: &Socket, _: usize) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};
    use std::time::Duration;

    use socket2::{Domain, Type};

    use super::*;

    #[test]
    fn the_mark_follows_what_is_missing() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let mut low_water = LowWater::default();
        let expected = |mark: usize| cfg!(target_os = "linux").then_some(mark);
        for (missing, raised) in [
            (LEAST - 1, None),
            (LEAST, expected(LEAST)),
            (MOST + 1, expected(MOST)),
            (1, None),
        ] {
            low_water.raise(&socket, missing);
            assert_eq!(low_water.raised(), raised, "{missing}");
        }
        low_water.raise(&socket, LEAST);
        low_water.lower(&socket);
        assert_eq!(low_water.raised(), None);
    }

    #[test]
    fn a_unix_socket_has_no_mark() {
        let (socket, _peer) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut low_water = LowWater::default();
        low_water.raise(&socket, MOST);
        assert_eq!(low_water.raised(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn what_is_less_than_the_mark_does_not_wake() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::from(listener.accept().unwrap().0);
        let mut low_water = LowWater::default();
        low_water.raise(&socket, LEAST);
        client.write_all(b"little").unwrap();
        assert!(!is_readable(&socket, Duration::from_millis(20)));
        low_water.lower(&socket);
        assert!(is_readable(&socket, Duration::from_secs(30)));
        low_water.raise(&socket, LEAST);
        drop(client);
        assert!(is_readable(&socket, Duration::from_secs(30)));
    }

    #[cfg(target_os = "linux")]
    fn is_readable(socket: &Socket, patience: Duration) -> bool {
        use ::mio::unix::SourceFd;
        use ::mio::{Events, Interest, Poll, Token};
        use std::os::fd::AsRawFd;

        let mut poll = Poll::new().unwrap();
        let fd = socket.as_raw_fd();
        poll.registry()
            .register(&mut SourceFd(&fd), Token(0), Interest::READABLE)
            .unwrap();
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(patience)).unwrap();
        !events.is_empty()
    }
}

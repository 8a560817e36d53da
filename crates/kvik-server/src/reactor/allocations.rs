//! A connection in the steady state costs no allocation, from the socket to the socket, on either
//! backend.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use allocation_counter::measure;
use kvik::Db;

use super::Reactor;
use super::inbox::Inbox;
use crate::config::{self, Config};
use crate::front::{Front, HIGH_WATER};
use crate::net::{self, Backend, Listener};

/// The requests that a client sends again and again, and the replies.
const REQUESTS: &str = "SET key 0123456789\r\nGET key\r\nEXISTS key\r\nEXPIRE key 100\r\nINCR number\r\nDEL number\r\n";
const REPLIES: &str = "+OK\r\n$10\r\n0123456789\r\n:1\r\n:1\r\n:1\r\n:1\r\n";

/// Allocations by which two starts may differ: a buffer may grow in one step or in two, and the
/// first start fills tables.
const SLACK: u64 = 20;

#[test]
fn more_commands_need_no_more_allocations() {
    for backend in [Backend::Mio, Backend::Uring] {
        match (serve(backend, 20), serve(backend, 1020)) {
            (Some(few), Some(many)) => {
                assert!(many <= few + SLACK, "{backend:?}: {few}, then {many}");
            }
            _ => println!("no server on {backend:?}"),
        }
    }
}

/// Allocations of an I/O thread that serves a client's pipelines, from its start to its end.
fn serve(backend: Backend, pipelines: usize) -> Option<u64> {
    let listener = Listener::tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), 1).unwrap();
    let address = listener.tcp_address().unwrap();
    let front = Arc::new(Front::new(Arc::new(settings())));
    thread::scope(|scope| {
        let thread = scope.spawn(|| io_thread(backend, listener, &front));
        let stream = TcpStream::connect(address).unwrap();
        let served = work(stream, pipelines);
        front.stop_all();
        let counted = thread.join().unwrap();
        assert_eq!(served, counted.is_some(), "{backend:?}");
        counted
    })
}

fn settings() -> Config {
    let args = ["--threads", "1"].map(OsString::from);
    config::load(&args, [], &mut std::io::empty())
        .unwrap()
        .config
}

fn io_thread(backend: Backend, listener: Listener, front: &Arc<Front>) -> Option<u64> {
    let options = net::Options {
        high_water: HIGH_WATER,
        ..net::Options::default()
    };
    let mut driver = net::open(backend, &options).ok()?;
    driver.listen(listener).unwrap();
    let inbox = Arc::new(Inbox::new(driver.waker()));
    front.open(vec![Arc::clone(&inbox)]);
    let db = Db::memory();
    let reactor = Reactor::new(0, Arc::clone(front), db, driver, inbox);
    let counted = measure(|| reactor.run().unwrap());
    Some(counted.count_total)
}

/// Sends pipelines of 16 times the requests and checks the replies. Says whether they came.
fn work(mut stream: TcpStream, pipelines: usize) -> bool {
    stream
        .set_read_timeout(Some(Duration::from_secs(30)))
        .unwrap();
    let (requests, expected) = (REQUESTS.repeat(16), REPLIES.repeat(16));
    let mut replies = vec![0; expected.len()];
    for _ in 0..pipelines {
        let sent = stream.write_all(requests.as_bytes());
        if sent.and_then(|()| stream.read_exact(&mut replies)).is_err() {
            return false;
        }
        assert_eq!(replies, expected.as_bytes());
    }
    true
}

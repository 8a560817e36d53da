//! The promises of a driver, tried on every backend that the machine has.
//!
//! The file is long because the promises are: each is a function that every backend runs. A promise
//! of one backend alone would be a difference that the reactor can see.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::{Domain, Type};

use super::*;

mod pieces;

/// Runs `test` on each backend.
fn on_each(test: impl Fn(Backend)) {
    for backend in [Backend::Mio, Backend::Uring] {
        match open(backend, &Options::default()) {
            Ok(driver) => {
                println!("{}", driver.name());
                drop(driver);
                test(backend);
            }
            Err(error) => println!("{backend:?} is not available here: {error}"),
        }
    }
}

/// No wait of a test lasts longer, unless something is lost.
const PATIENCE: Duration = Duration::from_secs(30);

/// An I/O thread that serves a listener until dropped.
struct Server {
    address: SocketAddr,
    waker: Waker,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(
        backend: Backend,
        behaviour: impl FnMut(&mut dyn Driver, Event) + Send + 'static,
    ) -> Self {
        Self::with(backend, Options::default(), behaviour)
    }

    fn with(
        backend: Backend,
        options: Options,
        mut behaviour: impl FnMut(&mut dyn Driver, Event) + Send + 'static,
    ) -> Self {
        let listener = Listener::tcp("127.0.0.1:0".parse().unwrap(), 4096).unwrap();
        let address = listener.tcp_address().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, (give_waker, get_waker)) = (stop.clone(), channel());
        let thread = thread::spawn(move || {
            let mut driver = open(backend, &options).unwrap();
            driver.listen(listener).unwrap();
            give_waker.send(driver.waker()).unwrap();
            while !stopped.load(Ordering::Acquire) {
                driver.wait(None).unwrap();
                while let Some(event) = driver.next_event() {
                    behaviour(&mut *driver, event);
                }
            }
        });
        Self {
            address,
            waker: get_waker.recv().unwrap(),
            stop,
            thread: Some(thread),
        }
    }

    fn connect(&self) -> TcpStream {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        // A small window, so that the server soon has to wait for a client that does not read.
        socket.set_recv_buffer_size(64 << 10).unwrap();
        socket.connect(&self.address.into()).unwrap();
        let client = TcpStream::from(socket);
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client.set_nodelay(true).unwrap();
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        self.waker.wake();
        let outcome = self.thread.take().unwrap().join();
        if !thread::panicking() {
            outcome.unwrap();
        }
    }
}

fn adopt(driver: &mut dyn Driver, socket: Socket) -> ConnId {
    let peer = Peer::of(&socket).unwrap();
    tune(&socket, peer, Some(Duration::from_secs(300))).unwrap();
    driver.adopt(socket).unwrap()
}

/// Sends back what comes, and takes no more from a client that does not read.
fn echo(driver: &mut dyn Driver, event: Event) {
    match event {
        Event::Accepted { socket, .. } => {
            let conn = adopt(driver, socket);
            driver.receive(conn, Vec::new(), 0);
        }
        Event::Received { conn, input } => {
            assert!(!input.is_empty());
            if driver.send(conn, input.into()) < Options::default().high_water {
                driver.receive(conn, Vec::new(), 0);
            }
        }
        Event::Drained { conn } => {
            assert_eq!(driver.unsent(conn), 0);
            driver.receive(conn, Vec::new(), 0);
        }
        Event::PeerFinished { conn } => driver.close_after_flush(conn),
        Event::ReceivedLarge { .. } => unreachable!("nobody asked for it"),
        Event::Closed { .. } | Event::Released { .. } | Event::Woken => {}
    }
}

/// Bytes in which every misplaced piece shows.
fn pattern(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

fn assert_same(got: &[u8], expected: &[u8]) {
    let common = got.iter().zip(expected).take_while(|(a, b)| a == b).count();
    assert!(
        got == expected,
        "{} of {} bytes, the first difference at {common}",
        got.len(),
        expected.len()
    );
}

fn read_exactly(client: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    client.read_exact(&mut bytes).unwrap();
    bytes
}

/// Sends `message` from another thread, then says that nothing more comes.
fn send_aside(client: &TcpStream, message: &[u8]) -> JoinHandle<()> {
    let (mut client, message) = (client.try_clone().unwrap(), message.to_vec());
    thread::spawn(move || {
        client.write_all(&message).unwrap();
        client.shutdown(Shutdown::Write).unwrap();
    })
}

/// Reads where the end is expected; a signal that comes between is no answer.
fn read_end(client: &mut impl Read) -> usize {
    loop {
        match client.read(&mut [0]) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            other => return other.unwrap(),
        }
    }
}

#[test]
fn single_bytes_come_back() {
    on_each(|backend| {
        let server = Server::start(backend, echo);
        let mut client = server.connect();
        for byte in pattern(500) {
            client.write_all(&[byte]).unwrap();
            assert_eq!(read_exactly(&mut client, 1), [byte]);
        }
    });
}

#[test]
fn eight_mebibytes_survive_a_slow_reader() {
    on_each(|backend| {
        let server = Server::start(backend, echo);
        let mut client = server.connect();
        let message = pattern(8 << 20);
        let sender = send_aside(&client, &message);
        let (mut got, mut part) = (Vec::new(), vec![0; 100_000]);
        loop {
            if got.len() < 1 << 20 {
                thread::park_timeout(Duration::from_millis(5));
            }
            match client.read(&mut part).unwrap() {
                0 => break,
                count => got.extend_from_slice(&part[..count]),
            }
        }
        assert_same(&got, &message);
        sender.join().unwrap();
    });
}

#[test]
fn ten_thousand_messages_in_one_go_keep_their_order() {
    on_each(|backend| {
        let server = Server::start(backend, echo);
        let mut client = server.connect();
        let message: Vec<u8> = (0..10_000)
            .flat_map(|n| format!("{n:05}\r\n").into_bytes())
            .collect();
        let sender = send_aside(&client, &message);
        assert_same(&read_exactly(&mut client, message.len()), &message);
        sender.join().unwrap();
    });
}

#[test]
fn many_small_sends_keep_their_order() {
    on_each(|backend| {
        let server = Server::start(backend, |driver, event| match event {
            Event::Received { conn, .. } => {
                for number in 0..50_000_u32 {
                    let mut output = driver.buffer();
                    assert!(output.is_empty());
                    output.extend_from_slice(&number.to_le_bytes());
                    driver.send(conn, output);
                }
                driver.close_after_flush(conn);
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        client.write_all(b"go").unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        let expected: Vec<u8> = (0..50_000_u32).flat_map(u32::to_le_bytes).collect();
        assert_same(&got, &expected);
    });
}

#[test]
fn idle_connections_do_not_disturb() {
    let _crowd = CROWD.lock();
    raise_descriptor_limit();
    on_each(|backend| {
        let server = Server::start(backend, echo);
        let mut clients: Vec<_> = (0..2000).map(|_| server.connect()).collect();
        for round in 0..3_u8 {
            for client in clients.iter_mut().skip(round as usize).step_by(97) {
                client.write_all(&[round; 10]).unwrap();
                assert_eq!(read_exactly(client, 10), [round; 10]);
            }
        }
    });
}

/// Held by tests that use up most of the descriptors.
static CROWD: Mutex<()> = Mutex::new(());

/// As many clients as the process may have, all speaking at once, on eight receive buffers.
#[test]
fn ten_thousand_clients_share_a_few_receive_buffers() {
    let _crowd = CROWD.lock();
    let clients = raise_descriptor_limit().saturating_sub(1000) / 2;
    on_each(|backend| {
        let options = Options {
            receive_buffers: 8,
            ..Options::default()
        };
        let server = Server::with(backend, options, echo);
        let mut clients: Vec<_> = (0..clients.min(10_000)).map(|_| server.connect()).collect();
        for round in 0..2_u32 {
            for (number, client) in clients.iter_mut().enumerate() {
                client
                    .write_all(&(number as u32 ^ round).to_le_bytes())
                    .unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                assert_eq!(
                    read_exactly(client, 4),
                    (number as u32 ^ round).to_le_bytes()
                );
            }
        }
    });
}

fn raise_descriptor_limit() -> usize {
    let limit = descriptor_limits();
    set_descriptor_limits(limit.rlim_max, limit.rlim_max);
    usize::try_from(limit.rlim_max).unwrap_or(usize::MAX)
}

fn descriptor_limits() -> libc::rlimit {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the call only writes `limit`, which outlives it.
    let failed = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    assert_eq!(failed, 0);
    limit
}

fn set_descriptor_limits(rlim_cur: libc::rlim_t, rlim_max: libc::rlim_t) {
    let limit = libc::rlimit { rlim_cur, rlim_max };
    // SAFETY: the call only reads `limit`, which outlives it.
    let failed = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
    assert_eq!(failed, 0);
}

/// More connections become readable between two turns than either backend takes in one: more
/// than the queues of an io_uring hold, requests and completions alike.
#[test]
fn a_turn_with_too_much_news_loses_none() {
    const CONNECTIONS: usize = 5000;
    let _crowd = CROWD.lock();
    assert!(
        raise_descriptor_limit() > 2 * CONNECTIONS + 500,
        "raise ulimit -n"
    );
    on_each(|backend| {
        let mut driver = open(backend, &Options::default()).unwrap();
        let mut peers = HashMap::new();
        for _ in 0..CONNECTIONS {
            let (here, there) = Socket::pair(Domain::UNIX, Type::STREAM, None).unwrap();
            let conn = driver.adopt(here).unwrap();
            driver.receive(conn, Vec::new(), 0);
            peers.insert(conn, there);
        }
        driver.wait(Some(Duration::ZERO)).unwrap();
        assert!(driver.next_event().is_none());
        for (conn, peer) in &peers {
            peer.send(&conn.index().to_le_bytes()).unwrap();
        }
        while !peers.is_empty() {
            driver.wait(Some(PATIENCE)).unwrap();
            let mut silent = true;
            while let Some(event) = driver.next_event() {
                let Event::Received { conn, input } = event else {
                    panic!("{event:?}");
                };
                assert_eq!(input, conn.index().to_le_bytes());
                assert!(peers.remove(&conn).is_some(), "received twice");
                driver.close(conn);
                silent = false;
            }
            assert!(
                !silent || peers.is_empty(),
                "{} connections lost",
                peers.len()
            );
        }
    });
}

/// Runs `name`, an ignored test, in a process of its own, whose limits it may change.
fn run_alone(name: &str) {
    let outcome = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&outcome.stdout);
    assert!(
        outcome.status.success() && output.contains("1 passed"),
        "{output}"
    );
}

#[test]
fn clients_wait_while_descriptors_are_short() {
    run_alone("net::tests::clients_wait_while_descriptors_are_short_alone");
}

#[test]
#[ignore = "changes the limits of the process; run by the test above"]
fn clients_wait_while_descriptors_are_short_alone() {
    set_descriptor_limits(100, descriptor_limits().rlim_max);
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |driver, event| {
            if let Event::Closed { .. } = event {
                tell.send(()).unwrap();
            }
            echo(driver, event);
        });
        let mut first = server.connect();
        first.write_all(b"1").unwrap();
        assert_eq!(read_exactly(&mut first, 1), b"1");
        let mut second = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
        // The kernel completes the connection, but the server has no descriptor for it.
        second.connect(&server.address.into()).unwrap();
        second.write_all(b"2").unwrap();
        second
            .set_read_timeout(Some(Duration::from_millis(150)))
            .unwrap();
        assert!(second.read(&mut [0; 1]).is_err());
        first.write_all(b"3").unwrap();
        assert_eq!(read_exactly(&mut first, 1), b"3");
        drop(hoard);
        second.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut got = [0; 1];
        second.read_exact(&mut got).unwrap();
        assert_eq!(got, *b"2");
        drop((first, second));
        told.recv_timeout(PATIENCE).unwrap();
    });
}

#[test]
fn what_came_before_the_end_is_answered() {
    on_each(|backend| {
        let server = Server::start(backend, echo);
        for length in [1, 6, 20_000, 300_000] {
            let mut client = server.connect();
            let message = pattern(length);
            let sender = send_aside(&client, &message);
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            assert_same(&got, &message);
            sender.join().unwrap();
        }
    });
}

#[test]
fn a_silent_client_that_leaves_is_reported_once() {
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |driver, event| {
            if let Event::PeerFinished { .. } | Event::Closed { .. } = event {
                tell.send(format!("{event:?}").replace(char::is_numeric, ""))
                    .unwrap();
            }
            echo(driver, event);
        });
        drop(server.connect());
        assert!(
            told.recv_timeout(PATIENCE)
                .unwrap()
                .starts_with("PeerFinished")
        );
        assert!(told.recv_timeout(PATIENCE).unwrap().contains("Flushed"));
        drop(server);
        assert!(told.recv().is_err());
    });
}

/// Reads messages of a four-byte length and as many bytes, and answers with the sum of them.
#[derive(Default)]
struct Summing {
    received: usize,
}

impl Summing {
    fn serve(&mut self, driver: &mut dyn Driver, event: Event) {
        let Event::Received { conn, mut input } = event else {
            return echo(driver, event);
        };
        self.received += 1;
        let mut missing = 0;
        while let Some((length, rest)) = input.split_first_chunk() {
            let length = u32::from_le_bytes(*length) as usize;
            if rest.len() < length {
                missing = length - rest.len();
                break;
            }
            let sum: u64 = rest[..length].iter().map(|byte| u64::from(*byte)).sum();
            driver.send(conn, sum.to_le_bytes().to_vec().into());
            input.drain(..4 + length);
        }
        driver.receive(conn, input, missing);
    }
}

#[test]
fn announced_values_arrive_whole() {
    on_each(|backend| {
        let mut summing = Summing::default();
        let server = Server::start(backend, move |driver, event| summing.serve(driver, event));
        let mut client = server.connect();
        for length in [0, 1, 5, 70_000, 8 << 20, 3, 1 << 20, 16_384, 2] {
            let message = pattern(length);
            let sum: u64 = message.iter().map(|byte| u64::from(*byte)).sum();
            client.write_all(&(length as u32).to_le_bytes()).unwrap();
            client.write_all(&message).unwrap();
            // The next command follows at once, or in pieces.
            client.write_all(&[1, 0, 0, 0]).unwrap();
            client.write_all(&[9]).unwrap();
            assert_eq!(read_exactly(&mut client, 8), sum.to_le_bytes());
            assert_eq!(read_exactly(&mut client, 8), 9_u64.to_le_bytes());
        }
    });
}

#[test]
fn a_value_that_never_comes_ends_with_its_client() {
    on_each(|backend| {
        let (tell, told) = channel();
        let mut summing = Summing::default();
        let server = Server::start(backend, move |driver, event| {
            if let Event::Closed { .. } = event {
                tell.send(()).unwrap();
            }
            summing.serve(driver, event);
        });
        for _ in 0..3 {
            let mut client = server.connect();
            client.write_all(&u32::MAX.to_le_bytes()).unwrap();
            client.write_all(&pattern(100_000)).unwrap();
            drop(client);
            told.recv_timeout(PATIENCE).unwrap();
        }
    });
}

/// Keeps what comes, until told to go on.
#[test]
fn a_kept_buffer_stops_the_peer() {
    on_each(|backend| {
        let message = pattern(16 << 20);
        let (tell, told) = channel();
        let mut kept = None;
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, input } if kept.is_none() => {
                tell.send(input.len()).unwrap();
                kept = Some((conn, input));
            }
            Event::Woken => {
                let (conn, input) = kept.clone().unwrap();
                driver.send(conn, input.into());
                driver.receive(conn, Vec::new(), 0);
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        let sender = send_aside(&client, &message);
        let first = told.recv_timeout(PATIENCE).unwrap();
        assert_eq!(
            told.recv_timeout(Duration::from_millis(100)),
            Err(RecvTimeoutError::Timeout)
        );
        assert!(first < message.len() && !sender.is_finished());
        server.waker.wake();
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert_same(&got, &message);
        sender.join().unwrap();
    });
}

#[test]
fn the_end_of_a_paused_client_is_seen_when_it_goes_on() {
    on_each(|backend| {
        let (tell, told) = channel();
        let mut kept = None;
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, input } if kept.is_none() => {
                tell.send(()).unwrap();
                kept = Some((conn, input));
            }
            Event::Woken => {
                if let Some((conn, input)) = kept.clone() {
                    driver.receive(conn, input, 0);
                }
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        client.write_all(b"first").unwrap();
        told.recv_timeout(PATIENCE).unwrap();
        client.write_all(b" second").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        thread::park_timeout(Duration::from_millis(20));
        server.waker.wake();
        let mut got = String::new();
        client.read_to_string(&mut got).unwrap();
        assert_eq!(got, "first second");
    });
}

#[test]
fn a_waker_interrupts_and_coalesces() {
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |_, event| {
            assert!(matches!(event, Event::Woken));
            let _ = tell.send(());
        });
        for _ in 0..100 {
            server.waker.wake();
            told.recv_timeout(PATIENCE).unwrap();
        }
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let waker = server.waker.clone();
                thread::spawn(move || (0..10_000).for_each(|_| waker.wake()))
            })
            .collect();
        callers
            .into_iter()
            .for_each(|caller| caller.join().unwrap());
        told.recv_timeout(PATIENCE).unwrap();
        drop(server);
        assert!(told.try_iter().count() < 40_000);
    });
}

#[test]
fn wait_ends_in_time_without_events() {
    on_each(|backend| {
        let mut driver = open(backend, &Options::default()).unwrap();
        for _ in 0..3 {
            driver.wait(Some(Duration::from_millis(2))).unwrap();
            assert!(driver.next_event().is_none());
        }
    });
}

#[test]
fn closing_with_data_in_flight_harms_nobody_else() {
    on_each(|backend| {
        let flood = pattern(4 << 20);
        let output = flood.clone();
        let mut ids = HashMap::new();
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, input } if input.starts_with(b"close") => {
                // The peer reads nothing and sends on; the kernel holds both directions.
                driver.send(conn, output.clone().into());
                driver.receive(conn, Vec::new(), 1 << 20);
                driver.close(conn);
                // From here on it is a stranger.
                assert_eq!(driver.send(conn, b"too late".to_vec().into()), 0);
                assert_eq!(driver.unsent(conn), 0);
                driver.receive(conn, Vec::new(), 0);
                driver.close_after_flush(conn);
                driver.close(conn);
                *ids.entry(conn).or_insert(0) += 1;
                assert_eq!(ids[&conn], 1, "an id was used twice");
            }
            Event::Closed { conn, .. } => assert!(!ids.contains_key(&conn)),
            event => echo(driver, event),
        });
        let mut bystander = server.connect();
        for _ in 0..30 {
            let mut client = server.connect();
            client.write_all(b"close").unwrap();
            // An error is what the client must expect here.
            let _ = client.write_all(&flood[..1 << 20]);
            let mut got = Vec::new();
            let _ = client.read_to_end(&mut got);
            assert_same(&got, &flood[..got.len()]);
            bystander.write_all(b"still here").unwrap();
            assert_eq!(read_exactly(&mut bystander, 10), b"still here");
        }
    });
}

#[test]
fn a_peer_that_resets_fails_the_output() {
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, .. } => {
                // The reset may come while this still writes, or later.
                driver.send(conn, vec![7; 16 << 20].into());
            }
            Event::Closed { conn, reason } => {
                assert_eq!(driver.unsent(conn), 0);
                tell.send(matches!(reason, CloseReason::Failed(_))).unwrap();
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        client.write_all(b"go").unwrap();
        read_exactly(&mut client, 100);
        // Closing with unread bytes resets the connection.
        drop(client);
        assert!(told.recv_timeout(PATIENCE).unwrap());
    });
}

#[test]
fn close_after_flush_sends_everything_first() {
    on_each(|backend| {
        let (tell, told) = channel();
        let message = pattern(16 << 20);
        let output = message.clone();
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, .. } => {
                driver.send(conn, output.clone().into());
                driver.close_after_flush(conn);
                driver.receive(conn, Vec::new(), 0);
            }
            Event::Closed { reason, .. } => {
                tell.send(matches!(reason, CloseReason::Flushed)).unwrap()
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        client.write_all(b"go").unwrap();
        thread::park_timeout(Duration::from_millis(20));
        assert!(told.try_recv().is_err());
        let mut got = Vec::new();
        client.read_to_end(&mut got).unwrap();
        assert_same(&got, &message);
        assert!(told.recv_timeout(PATIENCE).unwrap());
    });
}

#[test]
fn a_driver_that_ends_lets_go_of_its_connections() {
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, input } => {
                match input[0] {
                    b'0' => driver.receive(conn, Vec::new(), 0),
                    b'1' => driver.receive(conn, Vec::new(), 1 << 20),
                    b'2' => drop(driver.send(conn, vec![7; 16 << 20].into())),
                    _ => driver.close_after_flush(conn),
                }
                tell.send(()).unwrap();
            }
            event => echo(driver, event),
        });
        let address = server.address;
        let mut clients: Vec<_> = (0..40).map(|_| server.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.write_all(&[b'0' + number as u8 % 4]).unwrap();
            told.recv_timeout(PATIENCE).unwrap();
        }
        drop(server);
        for mut client in clients {
            let ended = client.read_to_end(&mut Vec::new());
            assert!(ended.is_ok_and(|count| count < 16 << 20));
        }
        assert!(TcpStream::connect(address).is_err());
    });
}

/// One thread accepts, another serves.
#[test]
fn a_socket_moves_to_another_thread() {
    on_each(|backend| {
        let (hand_over, handed): (Sender<Socket>, Receiver<Socket>) = channel();
        let worker = Server::start(backend, move |driver, event| match event {
            Event::Woken => {
                for socket in handed.try_iter() {
                    echo(
                        driver,
                        Event::Accepted {
                            listener: ListenerId(0),
                            socket,
                        },
                    );
                }
            }
            event => echo(driver, event),
        });
        let waker = worker.waker.clone();
        let acceptor = Server::start(backend, move |_, event| {
            if let Event::Accepted { socket, .. } = event {
                hand_over.send(socket).unwrap();
                waker.wake();
            }
        });
        let mut clients: Vec<_> = (0..50).map(|_| acceptor.connect()).collect();
        for client in &mut clients {
            client.write_all(b"hello").unwrap();
            assert_eq!(read_exactly(client, 5), b"hello");
        }
    });
}

/// The things that one thread leaves for the other: a socket and bytes received but not echoed.
type Handed = (Socket, Vec<u8>);

/// Echoes once, then gives the connection to the other thread.
struct Juggler {
    from: Receiver<Handed>,
    to: Sender<Handed>,
    other: Arc<std::sync::OnceLock<Waker>>,
}

impl Juggler {
    fn serve(&mut self, driver: &mut dyn Driver, event: Event) {
        match event {
            Event::Woken => {
                for (socket, input) in self.from.try_iter() {
                    let conn = adopt(driver, socket);
                    driver.send(conn, input.into());
                    driver.receive(conn, Vec::new(), 0);
                }
            }
            Event::Received { conn, input } => {
                driver.send(conn, input.into());
                driver.release(conn);
            }
            Event::Released { socket, input, .. } => {
                self.to.send((socket, input)).unwrap();
                self.other.get().unwrap().wake();
            }
            Event::PeerFinished { conn } => driver.close_after_flush(conn),
            event => echo(driver, event),
        }
    }
}

#[test]
fn a_connection_moves_between_threads_with_all_its_bytes() {
    on_each(|backend| {
        let ((to_left, at_left), (to_right, at_right)) = (channel(), channel());
        let (left_waker, right_waker) = (Arc::default(), Arc::default());
        let juggler = |from, to, other: &Arc<_>| {
            let other = Arc::clone(other);
            let mut juggler = Juggler { from, to, other };
            Server::start(backend, move |driver, event| juggler.serve(driver, event))
        };
        let left = juggler(at_left, to_right, &right_waker);
        let right = juggler(at_right, to_left, &left_waker);
        left_waker.set(left.waker.clone()).unwrap();
        right_waker.set(right.waker.clone()).unwrap();
        let message = pattern(1 << 20);
        let mut clients: Vec<_> = (0..20).map(|_| left.connect()).collect();
        let senders: Vec<_> = clients.iter().map(|c| send_aside(c, &message)).collect();
        for client in &mut clients {
            assert_same(&read_exactly(client, message.len()), &message);
            assert_eq!(read_end(client), 0);
        }
        senders
            .into_iter()
            .for_each(|sender| sender.join().unwrap());
    });
}

#[test]
fn a_value_on_its_way_is_whole_when_its_connection_is_released() {
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, input } => {
                driver.receive(conn, input, (1 << 20) - 1);
                driver.release(conn);
            }
            Event::Released { socket, input, .. } => tell.send((socket, input)).unwrap(),
            event => echo(driver, event),
        });
        let mut client = server.connect();
        let message = pattern(1 << 20);
        client.write_all(&message[..1]).unwrap();
        client.write_all(&message[1..]).unwrap();
        let (mut socket, mut got) = told.recv_timeout(PATIENCE).unwrap();
        socket.set_nonblocking(false).unwrap();
        let mut rest = vec![0; message.len() - got.len()];
        socket.read_exact(&mut rest).unwrap();
        got.append(&mut rest);
        assert_same(&got, &message);
    });
}

#[test]
fn a_connection_that_is_being_released_can_be_closed() {
    on_each(|backend| {
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, input } => {
                driver.receive(conn, Vec::new(), 0);
                driver.release(conn);
                match input[0] {
                    b'n' => driver.close(conn),
                    _ => driver.close_after_flush(conn),
                }
            }
            Event::Released { .. } => panic!("released although closed"),
            event => echo(driver, event),
        });
        for bytes in [b"now", b"end"] {
            let mut client = server.connect();
            client.write_all(bytes).unwrap();
            assert_eq!(read_end(&mut client), 0);
        }
    });
}

#[test]
fn unix_sockets_work_alike() {
    on_each(|backend| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kvik.sock");
        let mut driver = open(backend, &Options::default()).unwrap();
        let id = driver
            .listen(Listener::unix(&path, UnixAccess::default(), 16).unwrap())
            .unwrap();
        let client = thread::spawn(move || {
            let mut client = std::os::unix::net::UnixStream::connect(path).unwrap();
            client.write_all(&[7; 3]).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            let mut got = Vec::new();
            client.read_to_end(&mut got).unwrap();
            got
        });
        let mut closed = false;
        while !closed {
            driver.wait(Some(PATIENCE)).unwrap();
            while let Some(event) = driver.next_event() {
                if let Event::Accepted { listener, socket } = &event {
                    assert_eq!((*listener, Peer::of(socket).unwrap()), (id, Peer::Unix));
                }
                closed |= matches!(event, Event::Closed { .. });
                echo(&mut *driver, event);
            }
        }
        assert_eq!(client.join().unwrap(), [7; 3]);
    });
}

#[test]
fn unlisten_refuses_clients_and_keeps_connections() {
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |driver, event| match event {
            Event::Woken => {
                driver.unlisten();
                tell.send(()).unwrap();
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        client.write_all(b"a").unwrap();
        assert_eq!(read_exactly(&mut client, 1), b"a");
        server.waker.wake();
        told.recv_timeout(PATIENCE).unwrap();
        client.write_all(b"b").unwrap();
        assert_eq!(read_exactly(&mut client, 1), b"b");
        assert!(TcpStream::connect(server.address).is_err());
    });
}

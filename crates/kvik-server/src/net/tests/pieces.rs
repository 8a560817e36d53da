//! Output with pieces of ropes between its bytes, and input that is received into ropes.

use kvik_resp::Output;
use kvik_rope::{IncomingRope, Rope};

use super::*;

/// An output whose bytes and pieces take turns, and what it says.
fn patchwork(rope: &Rope, text: &[u8], parts: usize) -> (Output, Vec<u8>) {
    let (mut output, mut said) = (Output::new(), Vec::new());
    for part in 0..parts {
        let between = &text[part..part + part % 3 * 1000];
        output.extend_from_slice(between);
        said.extend_from_slice(between);
        let range = part * 777..rope.len() - part * 1234;
        output.push_rope(rope, range.clone());
        said.extend_from_slice(&text[range]);
    }
    (output, said)
}

#[test]
fn a_peer_that_reads_little_gets_every_byte_of_every_piece() {
    on_each(|backend| {
        let text = pattern(3 << 20);
        let rope = Rope::from(&text[..]);
        let (output, said) = patchwork(&rope, &text, 5);
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, .. } => {
                assert!(driver.send(conn, output.clone()) <= output.len());
                driver.send(conn, b"behind".to_vec().into());
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        client.write_all(b"go").unwrap();
        // A small window and a slow reader: the kernel takes a part of a list again and again.
        let (mut got, mut step) = (Vec::new(), 1);
        while got.len() < said.len() {
            let most = (said.len() - got.len()).min(step);
            got.extend(read_exactly(&mut client, most));
            step = step * 3 % 200_003;
            if step % 7 == 0 {
                thread::park_timeout(Duration::from_micros(100));
            }
        }
        assert_same(&got, &said);
        assert_eq!(read_exactly(&mut client, 6), b"behind");
    });
}

#[test]
fn a_rope_that_changes_does_not_change_what_is_being_sent() {
    on_each(|backend| {
        let text = pattern(6 << 20);
        let mut rope = Rope::from(&text[..]);
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, .. } => {
                let mut output = driver.buffer();
                output.push_rope(&rope, 0..rope.len());
                driver.send(conn, output);
                rope.write(0, &vec![0xAA; rope.len()]);
                rope = Rope::new();
            }
            event => echo(driver, event),
        });
        let mut client = server.connect();
        client.write_all(b"go").unwrap();
        thread::park_timeout(Duration::from_millis(20));
        let got = read_exactly(&mut client, text.len());
        assert_same(&got, &text);
    });
}

#[test]
fn pieces_count_as_unsent_and_are_let_go_of_when_a_connection_closes() {
    on_each(|backend| {
        let (tell, told) = channel();
        let rope = Rope::from(&pattern(8 << 20)[..]);
        let server = Server::start(backend, move |driver, event| match event {
            Event::Received { conn, .. } => {
                let mut output = driver.buffer();
                output.push_rope(&rope, 0..rope.len());
                let unsent = driver.send(conn, output);
                assert_eq!(driver.unsent(conn), unsent);
                tell.send(unsent).unwrap();
                driver.close(conn);
                assert_eq!(driver.unsent(conn), 0);
            }
            event => echo(driver, event),
        });
        for _ in 0..10 {
            let mut client = server.connect();
            client.write_all(b"go").unwrap();
            assert!(told.recv_timeout(PATIENCE).unwrap() > 1 << 20);
            // The driver has let go of the socket, so this ends.
            let _ = client.read_to_end(&mut Vec::new());
        }
    });
}

/// Answers a message of `len` bytes, received apart, and what follows it with their sum.
fn receive_apart_and_answer(len: usize) -> impl FnMut(&mut dyn Driver, Event) + Send + 'static {
    move |driver, event| match event {
        Event::Accepted { socket, .. } => {
            let conn = adopt(driver, socket);
            driver.receive_large(conn, IncomingRope::new(len), Vec::new());
        }
        Event::ReceivedLarge {
            conn,
            incoming,
            input,
        } => match incoming.rope() {
            Some(rope) => {
                let mut output = driver.buffer();
                output.push_rope(rope, 0..rope.len());
                output.extend_from_slice(&input);
                driver.send(conn, output);
                driver.receive(conn, Vec::new(), 0);
            }
            None => {
                assert!(input.is_empty(), "what follows comes last");
                driver.receive_large(conn, incoming, input);
            }
        },
        event => echo(driver, event),
    }
}

#[test]
fn a_large_string_is_received_and_what_follows_stays_apart() {
    on_each(|backend| {
        for len in [1, 20_000, 70_000, 3 << 20] {
            let server = Server::start(backend, receive_apart_and_answer(len));
            let mut client = server.connect();
            let message = pattern(len + 100_000);
            let sender = send_aside(&client, &message);
            let got = read_exactly(&mut client, message.len());
            assert_same(&got, &message);
            sender.join().unwrap();
        }
    });
}

#[test]
fn a_large_string_that_comes_in_small_parts_is_whole() {
    on_each(|backend| {
        const LEN: usize = 150_000;
        let server = Server::start(backend, receive_apart_and_answer(LEN));
        let mut client = server.connect();
        let message = pattern(LEN + 7);
        for part in message.chunks(3_111) {
            client.write_all(part).unwrap();
            thread::park_timeout(Duration::from_micros(200));
        }
        let got = read_exactly(&mut client, message.len());
        assert_same(&got, &message);
        // What comes next need not gather.
        client.write_all(b"!").unwrap();
        assert_eq!(read_exactly(&mut client, 1), b"!");
    });
}

#[test]
fn a_connection_may_end_while_a_large_string_comes() {
    on_each(|backend| {
        let (tell, told) = channel();
        let server = Server::start(backend, move |driver, event| match event {
            Event::Accepted { socket, .. } => {
                let conn = adopt(driver, socket);
                driver.receive_large(conn, IncomingRope::new(1 << 20), Vec::new());
            }
            Event::ReceivedLarge {
                conn,
                incoming,
                input,
            } => driver.receive_large(conn, incoming, input),
            Event::PeerFinished { conn } => {
                tell.send(()).unwrap();
                driver.close_after_flush(conn);
            }
            event => echo(driver, event),
        });
        for sent in [0, 1, 30_000, 500_000] {
            let mut client = server.connect();
            client.write_all(&pattern(sent)).unwrap();
            client.shutdown(Shutdown::Write).unwrap();
            told.recv_timeout(PATIENCE).unwrap();
            // The server lets go of it.
            assert_eq!(client.read(&mut [0]).unwrap(), 0);
        }
    });
}

//! What clients that mean harm, or speak something else, get at each door: an end, and nobody else
//! notices.

use super::on_doors;
use super::wire::RawWire;

/// Every door, by its index among the server's addresses.
const DOORS: [&str; 4] = [
    "neks://127.0.0.1:0",
    "kiba://127.0.0.1:0",
    "nkv://127.0.0.1:0",
    "auto://127.0.0.1:0",
];

fn on_all(check: impl Fn(&kvik_server::Server, usize)) {
    on_doors(&DOORS, &[], |server| {
        for door in 1..=DOORS.len() {
            check(server, door);
            assert!(
                server_answers(server),
                "after the attack on {}",
                DOORS[door - 1]
            );
        }
    });
}

fn server_answers(server: &kvik_server::Server) -> bool {
    let mut wire = RawWire::open(server, 0);
    wire.send(b"PING\r\n");
    wire.receive(7) == b"+PONG\r\n"
}

#[test]
fn http_is_not_served() {
    on_all(|server, door| {
        let mut wire = RawWire::open(server, door);
        wire.send(b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        wire.finish();
        wire.rest();
    });
}

#[test]
fn random_bytes_end_or_wait() {
    on_all(|server, door| {
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        for round in 0..40 {
            let mut wire = RawWire::open(server, door);
            let mut bytes = Vec::new();
            for _ in 0..50 + round * 20 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                bytes.push((state >> 24) as u8);
            }
            wire.send(&bytes);
            wire.finish();
            wire.rest();
        }
    });
}

#[test]
fn a_client_that_sends_slowly_holds_nobody_up() {
    on_all(|server, door| {
        let mut slow: Vec<_> = (0..20).map(|_| RawWire::open(server, door)).collect();
        for byte in [0u8, 0, 0, 0, 0, 0, 0, 9, 0x91] {
            slow.iter_mut().for_each(|wire| wire.send(&[byte]));
            assert!(server_answers(server));
        }
    });
}

use proptest::prelude::*;

use super::*;
use crate::codec::Request;
use crate::codec::tests::client;
use kvik_resp::{Args, Protocol, Reply, ReplyReader};

type Commands = Vec<(u8, Vec<Vec<u8>>)>;

fn words(args: Args<'_>) -> Vec<Vec<u8>> {
    args.iter().map(<[u8]>::to_vec).collect()
}

/// The commands of a stream whose input grows by `piece` bytes at a time, and whether it ends the
/// connection.
fn parse(stream: &[u8], piece: usize, limits: NeksLimits) -> (Commands, bool) {
    let mut neks = Neks::new(0, limits);
    let (mut commands, mut start, mut end) = (Vec::new(), 0, 0);
    while end < stream.len() {
        end = stream.len().min(end + piece);
        loop {
            let mut batch = CommandBatch::default();
            let progress = neks.parse(&stream[start..end], &mut batch);
            start += progress.consumed;
            let of = |request: &Request| (request.mark, words(batch.args(request)));
            commands.extend(batch.requests().iter().map(of));
            match progress.end {
                BatchEnd::Full => {}
                BatchEnd::Close => return (commands, true),
                _ => break,
            }
        }
    }
    (commands, false)
}

fn frame(payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u64).to_be_bytes()[..], payload].concat()
}

fn text(commands: &Commands) -> String {
    let line = |(_, words): &(u8, Vec<Vec<u8>>)| {
        let words = words.iter().map(|word| String::from_utf8_lossy(word));
        words.collect::<Vec<_>>().join(" ")
    };
    commands.iter().map(line).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_frame_becomes_commands_and_its_end() {
    let payload = b"\x93\x93\x01\xc4\x01a\xc4\x011\x92\x00\xc4\x01a\x92\x02\xc4\x01a";
    for piece in [1, 7, 1000] {
        let (commands, closes) = parse(&frame(payload), piece, NeksLimits::default());
        assert_eq!(text(&commands), "SET a 1; GET a; DEL a; ");
        assert!(!closes);
    }
}

#[test]
fn what_lies_in_one_another_is_one_transaction() {
    let inner = b"\x92\x03\x92\x92\x03\x91\x92\x00\xc4\x01a\x92\x02\xc4\x01b";
    let payload = [&b"\x93"[..], inner, b"\x92\x00\xc4\x01c\x92\x03\x90"].concat();
    let (commands, _) = parse(&frame(&payload), 1000, NeksLimits::default());
    let expected = "MULTI; GET a; DEL b; EXEC; GET c; MULTI; EXEC; ";
    assert_eq!(text(&commands), expected);
}

#[test]
fn requests_of_a_kind_in_a_row_are_one_command() {
    let set = |key: u8| [0x93, 1, 0xc4, 1, key, 0xc4, 1, b'v'];
    let get = |key: u8| [0x92, 0, 0xc4, 1, key];
    let delete = |key: u8| [0x92, 2, 0xc4, 1, key];
    let together = [
        &b"\x92\x03\x94"[..],
        &set(b'a'),
        &set(b'b'),
        &get(b'a'),
        &get(b'b'),
    ]
    .concat();
    let payload = [
        &b"\x98"[..],
        &set(b'a'),
        &set(b'b'),
        &get(b'a'),
        &get(b'b'),
        &delete(b'a'),
        &delete(b'b'),
        &together,
        &get(b'c'),
    ]
    .concat();
    let (commands, _) = parse(&frame(&payload), 1000, NeksLimits::default());
    assert_eq!(
        text(&commands),
        "MSET a v b v; MGET a b; DEL a b; MULTI; MSET a v b v; MGET a b; EXEC; GET c; "
    );
    // A row has an end, however many there are.
    let payload = [&b"\xdc\x00\xc8"[..], &get(b'k').repeat(200)].concat();
    let (commands, _) = parse(&frame(&payload), 1000, NeksLimits::default());
    let lens: Vec<_> = commands.iter().map(|(_, words)| words.len()).collect();
    assert_eq!(lens, [65, 65, 65, 9, 0]);
}

#[test]
fn a_bad_request_keeps_the_whole_frame_from_running() {
    let bad: [&[u8]; 4] = [
        b"\x92\x93\x01\xc4\x02mm\xc4\x011\x91\x07",
        b"\x91\x92\x00\xa2k1",
        b"\x91\x92\xcc\x00\xc4\x01a",
        b"\xdd\xff\xff\xff\xff\x92\x00\xc4\x01a",
    ];
    for payload in bad {
        let (commands, closes) = parse(&frame(payload), 1000, NeksLimits::default());
        assert!(commands.is_empty() && closes, "{payload:x?}");
    }
}

#[test]
fn leniences_are_for_those_who_set_them() {
    let limits = NeksLimits {
        lenient: true,
        ..NeksLimits::default()
    };
    let payload = b"\x92\x92\xcc\x00\xa2k1\x93\x01\xd9\x01a\xa1b";
    let (commands, closes) = parse(&frame(payload), 1000, limits);
    assert_eq!(text(&commands), "GET k1; SET a b; ");
    assert!(!closes);
}

#[test]
fn depth_costs_nothing() {
    const LEVELS: usize = 333_000;
    let mut payload = b"\x91".to_vec();
    payload.extend(b"\x92\x03\x91".repeat(LEVELS));
    payload.extend(b"\x92\x03\x90");
    let (commands, closes) = parse(
        &frame(&payload[..]),
        1 << 20,
        NeksLimits {
            max_frame: 1 << 20,
            ..NeksLimits::default()
        },
    );
    assert_eq!((text(&commands), closes), ("MULTI; EXEC; ".into(), false));
}

#[test]
fn a_reply_beyond_the_bound_ends_the_connection() {
    let mut neks = Neks::new(
        0,
        NeksLimits {
            max_reply: 10,
            ..NeksLimits::default()
        },
    );
    let (mut follow, mut out, mut batch) = (
        CommandBatch::default(),
        Output::new(),
        CommandBatch::default(),
    );
    neks.parse(&frame(b"\x91\x92\x00\xc4\x01a"), &mut batch);
    let mut written = Output::new();
    Reply::new(&mut written, Protocol::Resp2).bulk(b"longer than that");
    let answer = neks.answer(&mut Exchange {
        request: batch.requests()[0],
        client: &client(),
        args: batch.args(&batch.requests()[0]),
        notes: batch.notes(&batch.requests()[0]),
        reply: ReplyReader::new(&written),
        follow: &mut follow,
        out: &mut out,
    });
    assert_eq!((answer, out.len()), (Answer::Close, 0));
}

/// A request as the numbers say: on one of a few keys, or a list of some, or none at all.
fn request(numbers: &[u8]) -> Vec<u8> {
    match numbers {
        [verb, key, ..] if verb % 8 < 5 => match verb % 5 {
            0 | 1 => vec![0x92, 0, 0xc4, 1, *key],
            2 | 3 => vec![0x93, 1, 0xc4, 1, *key, 0xc5, 0, 1, *verb],
            _ => vec![0x92, 2, 0xc4, 0],
        },
        [verb, rest @ ..] if verb % 8 < 7 => {
            let members: Vec<_> = rest.chunks(3).take(15).map(request).collect();
            [
                &[0x92, 3, 0x90 | members.len() as u8][..],
                &members.concat(),
            ]
            .concat()
        }
        _ => b"\x91\x07".to_vec(),
    }
}

proptest! {
    /// A frame with something behind its list is too long for that, and is checked beforehand.
    #[test]
    fn a_frame_means_the_same_whether_it_is_checked_on_the_way_or_before(
        requests in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..12), 0..60),
        piece in 1usize..5000,
    ) {
        let requests: Vec<_> = requests.iter().map(|numbers| request(numbers)).collect();
        let count = (requests.len() as u16).to_be_bytes();
        let short = [&[0xdc, count[0], count[1]][..], &requests.concat()].concat();
        let long = [&short[..], &[0; SHORT_FRAME]].concat();
        let limits = NeksLimits::default();
        let expected = parse(&frame(&long).repeat(2), piece, limits);
        prop_assert_eq!(parse(&frame(&short).repeat(2), piece, limits), expected);
    }

    #[test]
    fn any_bytes_mean_the_same_however_they_are_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..5),
        piece in 1usize..20,
    ) {
        let stream: Vec<u8> = payloads.iter().flat_map(|payload| frame(payload)).collect();
        let limits = NeksLimits { lenient: true, ..NeksLimits::default() };
        prop_assert_eq!(parse(&stream, piece, limits), parse(&stream, stream.len().max(1), limits));
    }
}

use super::*;
use crate::codec::tests::client;
use kvik_resp::{Output, Protocol, Reply};

fn commands(kiba: &mut Kiba, input: &[u8], is_silent: bool) -> (Vec<String>, Progress) {
    let mut batch = CommandBatch::default();
    let tail = if is_silent { Tail::Silent } else { Tail::Open };
    let incoming = Incoming {
        input,
        tail,
        now_ms: 0,
    };
    let progress = kiba.parse(&incoming, &mut batch);
    let line = |request: &crate::codec::Request| {
        let words = batch
            .args(request)
            .iter()
            .chain(batch.notes(request).iter());
        let words: Vec<_> = words.map(String::from_utf8_lossy).collect();
        format!("{}: {}", request.database, words.join(" "))
    };
    (batch.requests().iter().map(line).collect(), progress)
}

fn kiba() -> Kiba {
    Kiba::new(0, KibaSettings::default())
}

#[test]
fn each_type_has_its_database() {
    let input = b"get a\nLPUSH l x\nSISMEMBER s m\nHGET h \"f 1\"\nPING\n";
    let (commands, progress) = commands(&mut Kiba::new(4, KibaSettings::default()), input, false);
    let expected = [
        "4: GET a",
        "5: LPUSH l x",
        "6: SISMEMBER s m",
        "7: HGET h f 1",
        "4: PING",
    ];
    assert_eq!(commands, expected);
    assert_eq!(
        (progress.consumed, progress.end),
        (input.len(), BatchEnd::Incomplete(0))
    );
}

#[test]
fn what_the_store_has_not_is_composed() {
    let (lines, _) = commands(&mut kiba(), b"SADD s m\nINCRBY n +05\nDEL k\n", false);
    let expected = [
        "2: MULTI",
        "2: SADD s m",
        "2: SCARD s",
        "2: EXEC",
        "0: GET n 5",
        "0: MULTI",
        "0: SELECT 0",
        "0: DEL k",
        "0: SELECT 1",
        "0: DEL k",
        "0: SELECT 2",
        "0: DEL k",
        "0: SELECT 3",
        "0: DEL k",
        "0: EXEC",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn errors_are_those_of_the_original() {
    let lines = b"FLY\nGET\nSET a\nINCRBY a b\nDECRBY a 1.5\nPING x\n";
    let (lines, _) = commands(&mut kiba(), lines, false);
    let expected = [
        "0: (error) Unrecognized operator",
        "0: (error) Unexpected number of arguments. Expected 1, got 0",
        "0: (error) Unexpected number of arguments. Expected 2, got 1",
        "0: (error) Value to increment by is a non-integer",
        "0: (error) Value to decrement by is a non-integer",
        "0: (error) Unexpected number of arguments. Expected 0, got 1",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn a_tail_waits_for_silence() {
    let mut kiba = kiba();
    let (none, progress) = commands(&mut kiba, b"PIN", false);
    assert_eq!(
        (none.len(), progress.end),
        (0, BatchEnd::Silence(SILENCE_MS))
    );
    let (lines, progress) = commands(&mut kiba, b"PING\0\0\0", true);
    assert_eq!((lines[0].as_str(), progress.consumed), ("0: PING", 7));
    assert_eq!(progress.end, BatchEnd::Incomplete(0));
}

#[test]
fn a_line_may_come_byte_by_byte() {
    let line = b"SET name \"FOO BAR\"\n";
    let mut kiba = kiba();
    for end in 1..line.len() {
        let (commands, progress) = commands(&mut kiba, &line[..end], false);
        assert_eq!((commands.len(), progress.consumed), (0, 0), "{end} bytes");
    }
    let (commands, progress) = commands(&mut kiba, line, false);
    assert_eq!(commands, ["0: SET name FOO BAR"]);
    assert_eq!(progress.consumed, line.len());
}

#[test]
fn ten_empty_lines_and_quit_end_the_connection() {
    let (lines, progress) = commands(&mut kiba(), &b"\n".repeat(12), false);
    assert_eq!((lines.len(), progress.end), (9, BatchEnd::Close));
    let (lines, progress) = commands(&mut kiba(), b"\n\nPING\n\nquit now\nPING\n", false);
    assert_eq!((lines.len(), progress.end), (4, BatchEnd::Close));
}

#[test]
fn a_command_that_never_ends_is_given_up() {
    let mut kiba = Kiba::new(
        0,
        KibaSettings {
            max_command: 10,
            ..KibaSettings::default()
        },
    );
    let (_, progress) = commands(&mut kiba, b"SET a \"long enough", false);
    assert_eq!(progress.end, BatchEnd::Close);
}

/// Answers a command with what `write` replies.
fn answered(line: &[u8], write: impl Fn(&mut Reply<'_>)) -> (Answer, Vec<u8>) {
    let (mut kiba, mut batch) = (kiba(), CommandBatch::default());
    let (tail, input) = (Tail::Open, line);
    kiba.parse(
        &Incoming {
            input,
            tail,
            now_ms: 0,
        },
        &mut batch,
    );
    let (mut written, mut out, mut follow) =
        (Output::new(), Output::new(), CommandBatch::default());
    write(&mut Reply::new(&mut written, Protocol::Resp2));
    let request = *batch.requests().last().unwrap();
    let answer = kiba.answer(&mut Exchange {
        request,
        client: &client(),
        args: batch.args(&request),
        notes: batch.notes(&request),
        reply: ReplyReader::new(&written),
        follow: &mut follow,
        out: &mut out,
    });
    (answer, out.into_bytes())
}

#[test]
fn replies_are_text_without_an_end() {
    let check = |line: &[u8], write: fn(&mut Reply<'_>), expected: &[u8]| {
        assert_eq!(answered(line, write), (Answer::Apart, expected.to_vec()));
    };
    check(b"PING\n", |reply| reply.simple("PONG"), b"PONG");
    check(b"GET a\n", |reply| reply.bulk(b"a \"b\""), b"\"a \"b\"\"");
    check(b"GET a\n", |reply| reply.null(), b"(nil)");
    check(b"LPUSH a b\n", |reply| reply.integer(3), b"(integer) 3");
    check(b"\n", |_| {}, b"\0");
    check(
        b"SMEMBERS s\n",
        |reply| reply.array(0),
        b"(empty list or set)",
    );
    let two = |reply: &mut Reply<'_>| {
        reply.array(2);
        reply.bulk(b"blue");
        reply.bulk(b"green");
    };
    check(b"SMEMBERS s\n", two, b"1) blue\n2) green");
    check(
        b"SADD s m\n",
        |reply| {
            reply.array(2);
            reply.integer(1);
            reply.integer(7);
        },
        b"(integer) 7",
    );
    check(
        b"INCR n\n",
        |reply| reply.bulk(b"9223372036854775807"),
        b"(error) Operation would cause integer to go out-of-bounds",
    );
    check(
        b"INCR n\n",
        |reply| reply.null(),
        b"(error) Specified key does not exist",
    );
    let (answer, out) = answered(b"INCR n\n", |reply| reply.bulk(b"+07"));
    assert_eq!((answer, out.len()), (Answer::Follow, 0));
}

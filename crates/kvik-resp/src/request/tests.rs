use proptest::collection;
use proptest::prelude::*;

use super::*;
use crate::encode_command;

/// The arguments of the command or line at the start of `input`, and how long it is.
fn parse(input: &[u8]) -> Result<(Vec<Vec<u8>>, usize), String> {
    let mut parser = RequestParser::new();
    let mut spans = Vec::new();
    match parser
        .parse(input, &Limits::default(), &mut spans)
        .map_err(|error| error.to_string())?
    {
        Parsed::Command { consumed } => Ok((
            Args::new(input, &spans)
                .iter()
                .map(<[u8]>::to_vec)
                .collect(),
            consumed,
        )),
        Parsed::Inline { consumed } => Ok((
            parser.inline_args().iter().map(<[u8]>::to_vec).collect(),
            consumed,
        )),
        Parsed::Incomplete { needed } => Err(format!("needs {needed}")),
    }
}

#[track_caller]
fn check(input: &[u8], args: &[&str], consumed: usize) {
    let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
    assert_eq!(parse(input), Ok((args, consumed)));
}

#[track_caller]
fn check_error(input: &[u8], expected: &str) {
    assert_eq!(
        parse(input),
        Err(format!("Protocol error: {expected}")),
        "{}",
        input.escape_ascii()
    );
}

#[test]
fn an_array_of_bulk_strings_is_a_command() {
    check(b"*1\r\n$4\r\nPING\r\nrest", &["PING"], 14);
    check(
        b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$11\r\n\r\n$1\r\nx\r\n*1\r\n",
        &["SET", "", "\r\n$1\r\nx\r\n*1"],
        37,
    );
}

#[test]
fn an_empty_or_negative_array_is_nothing_to_execute() {
    check(b"*0\r\nPING\r\n", &[], 4);
    check(b"*-1\r\n", &[], 5);
    check(b"*-9223372036854775808\r\n", &[], 23);
}

#[test]
fn a_line_is_a_command() {
    check(b"PING\r\nx", &["PING"], 6);
    check(b"SET a 'b c'\n", &["SET", "a", "b c"], 12);
    check(b"\r\n", &[], 2);
    check(b"\nPING\n", &[], 1);
    check(b"  \r\n", &[], 4);
}

#[test]
fn broken_headers_have_redis_texts() {
    check_error(b"*\r\n", "invalid multibulk length");
    check_error(b"*x\r\n", "invalid multibulk length");
    check_error(b"*01\r\n", "invalid multibulk length");
    check_error(b"*+1\r\n", "invalid multibulk length");
    check_error(b"* 1\r\n", "invalid multibulk length");
    check_error(b"*\n1\r\n", "invalid multibulk length");
    check_error(b"*2147483648\r\n", "invalid multibulk length");
    check_error(b"*99999999999999999999\r\n", "invalid multibulk length");
    check_error(b"*1\r\n$\r\n", "invalid bulk length");
    check_error(b"*1\r\n$-1\r\n", "invalid bulk length");
    check_error(b"*1\r\n$00\r\n", "invalid bulk length");
    check_error(b"*1\r\n$1e3\r\n", "invalid bulk length");
    check_error(b"*1\r\n$536870913\r\n", "invalid bulk length");
    check_error(b"*1\r\n$18446744073709551617\r\n", "invalid bulk length");
    check_error(
        b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n",
        "expected '$', got 'f'",
    );
    check_error(b"*1\r\n\r\n", "expected '$', got '\r'");
    check_error(b"*1\r\n\xff\r\n", "expected '$', got '\u{ff}'");
}

#[test]
fn line_ends_must_be_right() {
    for broken in [
        "*1\rX$4\r\nPING\r\n",
        "*1\r\n$4\rXPING\r\n",
        "*1\r\n$4\r\nPINGXX",
        "*1\r\n$4\r\nPING\rX",
    ] {
        check_error(broken.as_bytes(), "invalid CRLF in request");
    }
}

#[test]
fn a_line_must_end_and_have_balanced_quotes() {
    check_error(
        b"SET \"\"\"test-key\"\"\" test-value\r\n",
        "unbalanced quotes in request",
    );
    check_error(&[b'A'; 65537], "too big inline request");
    assert_eq!(parse(&[b'A'; 65536]), Err("needs 65537".to_owned()));
    let longest = [&[b'A'; 65536][..], b"\n"].concat();
    assert_eq!(parse(&longest).map(|parsed| parsed.1), Ok(65537));
    check_error(
        &[b"*", &[b'1'; 65536][..]].concat(),
        "too big mbulk count string",
    );
    check_error(
        &[b"*1\r\n$", &[b'1'; 65536][..]].concat(),
        "too big bulk count string",
    );
}

#[test]
fn an_unauthenticated_client_may_send_little() {
    let parse = |input: &[u8]| {
        RequestParser::new().parse(input, &Limits::unauthenticated(), &mut Vec::new())
    };
    assert!(matches!(parse(b"*10\r\n"), Ok(Parsed::Incomplete { .. })));
    assert_eq!(
        parse(b"*11\r\n"),
        Err(ProtocolError::UnauthenticatedMultibulkLength)
    );
    assert_eq!(
        parse(b"*2147483647\r\n"),
        Err(ProtocolError::UnauthenticatedMultibulkLength)
    );
    assert_eq!(
        parse(b"*2147483648\r\n"),
        Err(ProtocolError::InvalidMultibulkLength)
    );
    assert!(matches!(
        parse(b"*1\r\n$16384\r\n"),
        Ok(Parsed::Incomplete { needed: 16398 })
    ));
    assert_eq!(
        parse(b"*1\r\n$16385\r\n"),
        Err(ProtocolError::UnauthenticatedBulkLength)
    );
    assert_eq!(
        parse(b"*1\r\n$536870913\r\n"),
        Err(ProtocolError::InvalidBulkLength)
    );
}

#[test]
fn configured_limits_replace_the_default_ones() {
    let limits = Limits {
        max_bulk: 1 << 40,
        max_args: 2,
        ..Limits::default()
    };
    let parse = |input: &[u8]| RequestParser::new().parse(input, &limits, &mut Vec::new());
    assert_eq!(parse(b"*3\r\n"), Err(ProtocolError::InvalidMultibulkLength));
    assert!(matches!(
        parse(b"*1\r\n$4294967000\r\n"),
        Ok(Parsed::Incomplete { .. })
    ));
    let needed = u32::MAX as usize;
    assert_eq!(
        parse(b"*1\r\n$4294967276\r\n"),
        Ok(Parsed::Incomplete { needed })
    );
    assert_eq!(
        parse(b"*1\r\n$4294967277\r\n"),
        Err(ProtocolError::BigRequest)
    );
    assert_eq!(
        parse(b"*1\r\n$1099511627776\r\n"),
        Err(ProtocolError::BigRequest)
    );
}

#[test]
fn announced_sizes_are_hints_and_cost_no_memory() {
    let mut parser = RequestParser::new();
    let mut spans = Vec::new();
    let header = b"*2147483647\r\n$536870912\r\n";
    let parsed = parser.parse(header, &Limits::default(), &mut spans);
    assert_eq!(
        parsed,
        Ok(Parsed::Incomplete {
            needed: header.len() + 536_870_912 + 2
        })
    );
    assert_eq!((spans.capacity(), parser.spans.capacity()), (0, 0));
}

#[test]
fn an_unfinished_line_is_scanned_once() {
    for start in [&b"SET key value"[..], b"*100", b"*1\r\n$200"] {
        let mut parser = RequestParser::new();
        assert_eq!(
            parser.parse(start, &Limits::default(), &mut Vec::new()),
            Ok(Parsed::Incomplete {
                needed: start.len() + 1
            })
        );
        assert_eq!(parser.scanned, start.len());
    }
}

#[test]
fn a_finished_command_leaves_no_memory_behind() {
    let mut parser = RequestParser::new();
    let mut spans = Vec::new();
    let command = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
    let _ = parser.parse(&command[..20], &Limits::default(), &mut spans);
    assert!(spans.is_empty());
    assert_eq!(parser.spans.len(), 2);
    spans.reserve(8);
    assert!(matches!(
        parser.parse(command, &Limits::default(), &mut spans),
        Ok(Parsed::Command { consumed: 27 })
    ));
    assert_eq!(spans.len(), 3);
    assert_eq!(parser.spans.capacity(), 0);
}

#[test]
fn many_arguments_survive_many_pieces() {
    let mut stream = Vec::new();
    for count in [300, 1, 200] {
        let command: ArgsBuf = (0..count).map(|i: i32| i.to_string()).collect();
        encode_command(command.as_args(), &mut stream);
    }
    let whole = parse_in_pieces(&stream, std::iter::empty());
    assert_eq!(
        whole.0.iter().map(Vec::len).collect::<Vec<_>>(),
        [300, 1, 200]
    );
    for piece in [1, 2, 7, 400, 700] {
        let pieces = std::iter::repeat_n(piece, stream.len() / piece);
        assert_eq!(parse_in_pieces(&stream, pieces), whole);
    }
}

#[test]
fn a_pipeline_can_share_one_vector_of_spans() {
    let input = b"*1\r\n$4\r\nPING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*2\r\n$3\r\nGET\r\n$1\r\nl\r\n";
    let limits = Limits::default();
    let (mut parser, mut spans) = (RequestParser::new(), Vec::new());
    assert_eq!(
        parser.parse_append(input, &limits, &mut spans),
        Ok(Parsed::Command { consumed: 14 })
    );
    assert_eq!(
        parser.parse_append(&input[14..], &limits, &mut spans),
        Ok(Parsed::Command { consumed: 20 })
    );
    let cut = &input[34..input.len() - 4];
    assert!(matches!(
        parser.parse_append(cut, &limits, &mut spans),
        Ok(Parsed::Incomplete { .. })
    ));
    assert_eq!(spans.len(), 3);
    assert_eq!(&Args::new(&input[14..], &spans[1..])[1], b"k");
    assert_eq!(
        parser.parse_append(&input[34..], &limits, &mut spans),
        Ok(Parsed::Command { consumed: 20 })
    );
    assert_eq!(&Args::new(&input[34..], &spans[3..])[1], b"l");
}

/// Every command in `stream`, with the input growing by the given pieces; then the error, or how
/// much is left over.
fn parse_in_pieces(
    stream: &[u8],
    pieces: impl Iterator<Item = usize>,
) -> (Vec<Vec<Vec<u8>>>, Result<usize, String>) {
    let (mut parser, mut spans, mut commands) = (RequestParser::new(), Vec::new(), Vec::new());
    let limits = Limits {
        max_inline: 40,
        ..Limits::default()
    };
    let (mut start, mut end) = (0, 0);
    for piece in pieces.chain(std::iter::once(stream.len())) {
        end = stream.len().min(end + piece);
        loop {
            let input = &stream[start..end];
            let (args, consumed) = match parser.parse(input, &limits, &mut spans) {
                Ok(Parsed::Command { consumed }) => (Args::new(input, &spans), consumed),
                Ok(Parsed::Inline { consumed }) => (parser.inline_args(), consumed),
                Ok(Parsed::Incomplete { needed }) => {
                    assert!(needed > input.len(), "more is needed than there is");
                    break;
                }
                Err(error) => return (commands, Err(error.to_string())),
            };
            commands.push(args.iter().map(<[u8]>::to_vec).collect());
            start += consumed;
        }
    }
    (commands, Ok(stream.len() - start))
}

fn command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let arg = prop_oneof![
        4 => collection::vec(any::<u8>(), 0..12),
        1 => collection::vec(any::<u8>(), 90..130),
    ];
    collection::vec(arg, 1..6)
}

/// Something like a command, often broken.
fn almost_command() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        6 => command().prop_map(|args| {
            let mut encoded = Vec::new();
            encode_command(ArgsBuf::from_iter(args).as_args(), &mut encoded);
            encoded
        }),
        2 => "[ a-c'\"\\\\x0]{0,20}\r?\n".prop_map(String::into_bytes),
        1 => "[*$][-0-9x]{0,3}\r?\n?".prop_map(String::into_bytes),
        1 => "\\*(0|-1|-7)\r\n".prop_map(String::into_bytes),
        1 => collection::vec(any::<u8>(), 0..50),
    ]
}

proptest! {
    #[test]
    fn an_encoded_command_comes_back(args in command()) {
        let mut encoded = Vec::new();
        encode_command(args.iter().collect::<ArgsBuf>().as_args(), &mut encoded);
        prop_assert_eq!(parse(&encoded), Ok((args, encoded.len())));
    }

    #[test]
    fn a_stream_cut_at_any_byte_has_the_same_commands(stream in collection::vec(almost_command(), 1..5)) {
        let stream = stream.concat();
        let whole = parse_in_pieces(&stream, std::iter::empty());
        for cut in 0..=stream.len() {
            prop_assert_eq!(&parse_in_pieces(&stream, std::iter::once(cut)), &whole);
        }
    }

    #[test]
    fn a_stream_in_pieces_has_the_same_commands(
        stream in collection::vec(almost_command(), 1..8),
        pieces in collection::vec(1usize..9, 0..400),
    ) {
        let stream = stream.concat();
        let whole = parse_in_pieces(&stream, std::iter::empty());
        prop_assert_eq!(&parse_in_pieces(&stream, pieces.into_iter()), &whole);
        prop_assert_eq!(&parse_in_pieces(&stream, std::iter::repeat_n(1, stream.len())), &whole);
    }
}

/// Parses commands of which the large arguments are taken out of the stream as they begin.
fn parse_large(stream: &[u8], step: usize, least: usize) -> Result<Vec<Vec<Vec<u8>>>, String> {
    let (mut parser, mut commands) = (RequestParser::new(), Vec::new());
    let (mut input, mut large, mut rest) = (Vec::new(), Vec::<LargeArg>::new(), stream);
    loop {
        let mut spans = Vec::new();
        let parsed = parser.parse_with(&input, &large, &Limits::default(), &mut spans);
        match parsed.map_err(|error| error.to_string())? {
            Parsed::Command { consumed } => {
                let args = Args::with_large(&input, &spans, &large);
                commands.push(args.iter().map(<[u8]>::to_vec).collect());
                for (index, arg) in args.iter().enumerate() {
                    assert!(args.rope(index).is_none_or(|rope| *rope == *arg));
                }
                input.drain(..consumed);
                large.clear();
                continue;
            }
            Parsed::Inline { .. } => return Err("inline".into()),
            Parsed::Incomplete { .. } if rest.is_empty() => break,
            Parsed::Incomplete { .. } => {}
        }
        if let Some((at, len)) = parser.unfinished_argument()
            && len >= least
            && input.len() < at + len
            && large.last().is_none_or(|last| last.at != at)
        {
            let mut begun = LargeArg::new(at, len);
            begun.incoming.take(&input.split_off(at));
            large.push(begun);
        }
        let (part, later) = rest.split_at(step.min(rest.len()));
        rest = later;
        let taken = large.last_mut().map_or(0, |last| last.incoming.take(part));
        input.extend_from_slice(&part[taken..]);
        // Parsing again from the start leads to the same place.
        if step.is_multiple_of(2) {
            parser = RequestParser::new();
        }
    }
    Ok(commands)
}

proptest! {
    #[test]
    fn arguments_received_apart_are_the_same(
        commands in collection::vec(collection::vec(collection::vec(any::<u8>(), 0..60), 1..5), 1..6),
        step in 1usize..50,
        least in 1usize..40,
    ) {
        let mut stream = Vec::new();
        for command in &commands {
            encode_command(command.iter().collect::<ArgsBuf>().as_args(), &mut stream);
        }
        prop_assert_eq!(parse_large(&stream, step, least), Ok(commands));
    }
}

#[test]
fn what_follows_an_argument_received_apart_is_checked() {
    let stream = b"*2\r\n$3\r\nGET\r\n$5\r\nlargeXX";
    assert_eq!(
        parse_large(stream, 3, 5),
        Err("Protocol error: invalid CRLF in request".into())
    );
}

//! Whatever bytes a client sends: no panic, and the same commands however the network cuts them.
//!
//! The first two bytes choose the piece sizes and the limits, the others are the stream.

#![no_main]

use kvik_resp::{Args, ArgsBuf, Limits, Parsed, ProtocolError, RequestParser, encode_command};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let [piece, choice, stream @ ..] = data else {
        return;
    };
    let limits = limits(*choice);
    let whole = parse(stream, stream.len().max(1), &limits);
    assert_eq!(parse(stream, usize::from(*piece).max(1), &limits), whole);
    for args in &whole.0 {
        assert_encoding_comes_back(args);
    }
});

fn limits(choice: u8) -> Limits {
    let limits = if choice & 1 == 0 {
        Limits::default()
    } else {
        Limits::unauthenticated()
    };
    if choice & 2 == 0 {
        limits
    } else {
        Limits {
            max_inline: 30,
            max_args: 20,
            max_bulk: 20,
            ..limits
        }
    }
}

type Command = Vec<Vec<u8>>;

/// All commands of the stream while the input grows by `piece` bytes at a time, then the error or
/// what is left over.
fn parse(
    stream: &[u8],
    piece: usize,
    limits: &Limits,
) -> (Vec<Command>, Result<usize, ProtocolError>) {
    let (mut parser, mut spans, mut commands) = (RequestParser::new(), Vec::new(), Vec::new());
    let (mut start, mut end) = (0, 0);
    while end < stream.len() {
        end = stream.len().min(end + piece);
        loop {
            let input = &stream[start..end];
            let (args, consumed) = match parser.parse(input, limits, &mut spans) {
                Ok(Parsed::Command { consumed }) => (Args::new(input, &spans), consumed),
                Ok(Parsed::Inline { consumed }) => (parser.inline_args(), consumed),
                Ok(Parsed::Incomplete { needed }) => {
                    assert!(needed > input.len());
                    break;
                }
                Err(error) => return (commands, Err(error)),
            };
            commands.push(args.iter().map(<[u8]>::to_vec).collect());
            start += consumed;
        }
    }
    (commands, Ok(stream.len() - start))
}

fn assert_encoding_comes_back(args: &Command) {
    let mut encoded = Vec::new();
    encode_command(args.iter().collect::<ArgsBuf>().as_args(), &mut encoded);
    let mut spans = Vec::new();
    let parsed = RequestParser::new().parse(&encoded, &Limits::default(), &mut spans);
    assert_eq!(
        parsed,
        Ok(Parsed::Command {
            consumed: encoded.len()
        })
    );
    assert!(
        Args::new(&encoded, &spans)
            .iter()
            .eq(args.iter().map(Vec::as_slice))
    );
}

use super::*;

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

use super::*;
use proptest::prelude::*;

type Plain = (u64, Option<u64>, Vec<(u32, Vec<String>)>);

fn command(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text += &format!("${}\r\n{word}\r\n", word.len());
    }
    text
}

/// A source that gives few bytes at a time.
struct Slow<'a>(&'a [u8], usize);

impl Read for Slow<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let count = self.0.len().min(self.1).min(out.len());
        out[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

fn plain(unit: ReadUnit<'_>) -> Plain {
    let words = |args: Args<'_>| {
        let words = args
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned());
        words.collect()
    };
    let effects = unit
        .effects()
        .map(|(database, args)| (database, words(args)));
    (unit.end, unit.time_s, effects.collect())
}

/// All units, where the last one ended, and the error.
fn read(bytes: &[u8], piece: usize) -> (Vec<Plain>, u64, Option<String>) {
    let mut reader = UnitReader::new(Slow(bytes, piece), 0, 0);
    let mut units = Vec::new();
    loop {
        match reader.next_unit() {
            Ok(Some(unit)) => units.push(plain(unit)),
            Ok(None) => return (units, reader.valid(), None),
            Err(error) => return (units, reader.valid(), Some(error.to_string())),
        }
    }
}

fn error(text: &str) -> (u64, String) {
    let (_, valid, error) = read(text.as_bytes(), 7);
    let error = error.unwrap();
    let text = "Bad file format reading the append only file: ";
    (valid, error.strip_prefix(text).unwrap().to_owned())
}

#[test]
fn a_transaction_is_one_unit_and_select_is_state() {
    let text = [
        command(&["SELECT", "3"]),
        command(&["SET", "a", "1"]),
        command(&["MULTI"]),
        command(&["SET", "b", "2"]),
        command(&["SELECT", "0"]),
        command(&["DEL", "a"]),
        command(&["EXEC"]),
        command(&["DEL", "b"]),
    ]
    .concat();
    for piece in [1, 7, 10_000] {
        let (units, valid, error) = read(text.as_bytes(), piece);
        assert_eq!((valid, error), (text.len() as u64, None));
        let effects: Vec<Vec<u32>> = units
            .iter()
            .map(|unit| unit.2.iter().map(|effect| effect.0).collect())
            .collect();
        assert_eq!(effects, [vec![3], vec![3, 0], vec![0]]);
        assert_eq!(units[1].2[1].1, ["DEL", "a"]);
    }
}

#[test]
fn annotations_are_passed_over_and_their_time_is_told() {
    let set = command(&["SET", "a", "1"]);
    let text = format!("#TS:100\r\n{set}#other\r\n{set}#TS:107\r\n{set}");
    let (units, _, error) = read(text.as_bytes(), 3);
    assert_eq!(error, None);
    let times: Vec<_> = units.iter().map(|unit| unit.1).collect();
    assert_eq!(times, [Some(100), Some(100), Some(107)]);
}

#[test]
fn a_torn_file_is_valid_up_to_the_last_whole_unit() {
    let first = command(&["SET", "a", "1"]);
    let second = [
        command(&["MULTI"]),
        command(&["SELECT", "4"]),
        command(&["SET", "b", "2"]),
        command(&["EXEC"]),
    ]
    .concat();
    let whole = first.clone() + &second;
    for len in 0..whole.len() {
        let (units, valid, error) = read(&whole.as_bytes()[..len], 5);
        let whole_units = usize::from(len >= first.len());
        assert_eq!(units.len(), whole_units, "{len}");
        assert_eq!(valid, (whole_units * first.len()) as u64);
        let torn = len != 0 && len != first.len();
        assert_eq!(error.is_some(), torn, "{len}");
    }
}

#[test]
fn a_database_selected_in_a_torn_unit_does_not_count() {
    let text = command(&["MULTI"]) + &command(&["SELECT", "4"]);
    let mut reader = UnitReader::new(text.as_bytes(), 0, 2);
    assert!(matches!(reader.next_unit(), Err(ReadError::Torn)));
    assert_eq!((reader.database(), reader.valid()), (2, 0));
}

#[test]
fn bytes_that_are_no_command_are_found_where_they_are() {
    let set = command(&["SET", "a", "1"]);
    let len = set.len() as u64;
    for (tail, reason) in [
        ("\0\0\0", "expected '*', got '\\x00' at offset 27"),
        ("PING\r\n", "expected '*', got 'P' at offset 27"),
        ("*0\r\n", "a command without words at offset 27"),
        ("*1\r\n+a\r\n", "expected '$', got '+' at offset 27"),
        ("*1\r\n$4\r\nEXEC\r\n", "EXEC without MULTI at offset 27"),
        (
            "*2\r\n$6\r\nSELECT\r\n$1\r\nx\r\n",
            "SELECT of no database at offset 27",
        ),
    ] {
        assert_eq!(error(&(set.clone() + tail)), (len, reason.to_owned()));
    }
    let nested = command(&["MULTI"]) + &command(&["multi"]);
    assert_eq!(
        error(&nested),
        (0, "MULTI inside MULTI at offset 15".to_owned())
    );
}

#[test]
fn an_announced_length_takes_no_memory() {
    let text = b"*2\r\n$3\r\nSET\r\n$4000000000\r\nabc";
    let mut reader = UnitReader::new(&text[..], 0, 0);
    assert!(matches!(reader.next_unit(), Err(ReadError::Torn)));
    assert!(reader.buffer.capacity() < 1 << 20);
}

#[test]
fn a_large_unit_is_read_and_its_room_given_back() {
    let large = "x".repeat(9 << 20);
    let text = command(&["SET", "a", &large]) + &command(&["SET", "b", "1"]).repeat(40_000);
    let mut reader = UnitReader::new(text.as_bytes(), 0, 0);
    let unit = reader.next_unit().unwrap().unwrap();
    assert_eq!(unit.effects().next().unwrap().1[2].len(), large.len());
    let mut count = 0;
    while reader.next_unit().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 40_000);
    assert!(reader.buffer.len() <= KEPT_BYTES);
}

proptest! {
    #[test]
    fn bytes_never_make_it_panic_and_pieces_change_nothing(
        bytes in prop::collection::vec(prop_oneof![
            Just(&b"*1\r\n$5\r\nMULTI\r\n"[..]),
            Just(&b"*1\r\n$4\r\nEXEC\r\n"[..]),
            Just(&b"*2\r\n$6\r\nSELECT\r\n$1\r\n5\r\n"[..]),
            Just(&b"*2\r\n$3\r\nDEL\r\n$1\r\na\r\n"[..]),
            Just(&b"#TS:5\r\n"[..]), Just(&b"*"[..]), Just(&b"$3\r\n"[..]), Just(&b"\r\n"[..]),
        ], 0..12),
        piece in 1usize..40,
    ) {
        let bytes = bytes.concat();
        prop_assert_eq!(read(&bytes, piece), read(&bytes, 1 << 20));
    }

    #[test]
    fn what_is_valid_is_read_again_alike(bytes in prop::collection::vec(any::<u8>(), 0..60), cut in 0usize..200) {
        let mut text = command(&["MULTI"]) + &command(&["SET", "a", "b"]) + &command(&["EXEC"]);
        text = text.repeat(3);
        let mut file = text.into_bytes();
        file.truncate(cut);
        file.extend(&bytes);
        let (units, valid, _) = read(&file, 9);
        let again = read(&file[..valid as usize], 9);
        prop_assert_eq!(again, (units, valid, None));
    }
}

//! Whatever words a client sends: looking the command up, finding its keys and hinting at what may
//! follow never panic, and keys are words that were sent.
//!
//! Words end at a zero byte. A first byte of 255 stands for a name of the table, so that most calls
//! get past the lookup. Beside the real table the calls meet one whose rows have every irregular
//! form of keys.

#![no_main]

use std::sync::LazyLock;

use kvik_command::declare::{Command, Group, InvalidKeys, KeyFlags, KeySpec, Row, Table, table};
use kvik_command::{Ctx, Error};
use kvik_resp::{Args, ArgsBuf};
use libfuzzer_sys::fuzz_target;

static IRREGULAR: LazyLock<Table> =
    LazyLock::new(|| Table::build(irregular()).expect("well-formed"));

fuzz_target!(|data: &[u8]| {
    for table in [table(), &IRREGULAR] {
        let words = words(table, data);
        check(table, words.as_args());
    }
});

fn words(table: &Table, data: &[u8]) -> ArgsBuf {
    let (named, rest) = match data {
        [255, choice, rest @ ..] => (Some(choice), rest),
        _ => (None, data),
    };
    let mut words = ArgsBuf::new();
    if let Some(choice) = named {
        let commands = table.commands();
        let name = commands[usize::from(*choice) % commands.len()].name();
        words.extend(name.split(' '));
    }
    words.extend(rest.split(|byte| *byte == 0));
    words
}

fn check(table: &Table, args: Args<'_>) {
    let command = match table.resolve(args) {
        Ok(command) => command,
        Err(error) => {
            assert!(error.error(args).to_string().lines().count() == 1);
            return;
        }
    };
    let name = command.full_name().as_bytes();
    assert_eq!(table.find(name).map(Command::id), Some(command.id()));
    assert_eq!(table.lookup(args).is_ok(), command.accepts(args.len()));
    let _ = command.for_each_key(args, |at, _| assert!(at > 0 && at < args.len()));
    let _ = command.access_in(args, KeyFlags::VARIABLE);
    let _ = (command.hint(args), command.next_tokens(args));
}

/// Rows with the key forms and argument trees of the commands that have the strangest ones.
fn irregular() -> Vec<Row> {
    const MIGRATE: &[KeySpec] = &[
        KeySpec::range(3, 0, 1, KeyFlags::RW),
        KeySpec::after("KEYS", -2, KeyFlags::RW),
    ];
    const UNKNOWN: &[KeySpec] = &[KeySpec::unknown(KeyFlags::RO, "")];
    let row = |name, syntax| Command::new(name, syntax, nothing).group(Group::Generic);
    vec![
        row("EVAL", "script numkeys [key [key ...]] [arg [arg ...]]"),
        row(
            "MSETEX",
            "numkeys key value [key value ...] [NX|XX] [EX seconds|KEEPTTL]",
        ),
        row("BLPOP", "key [key ...] timeout:double"),
        row(
            "ZUNIONSTORE",
            "destination numkeys key [key ...] [WEIGHTS weight [weight ...]]",
        ),
        row(
            "XREAD",
            "[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]",
        ),
        row(
            "XADD",
            "key [<MAXLEN|MINID> [=|~] threshold [LIMIT count]] <*|id> field value [field value ...]",
        ),
        row(
            "GEORADIUS",
            "key longitude latitude [COUNT count [ANY]] [STORE storekey] [STOREDIST storekey]",
        ),
        row(
            "MIGRATE",
            "host port <key|\"\"> db timeout [AUTH2 username password] [KEYS key [key ...]]",
        )
        .key_specs(MIGRATE),
        row("SORT", "key [BY pattern] [GET pattern [GET pattern ...]]").key_specs(UNKNOWN),
        row("SECOND", "arg [arg ...]").find_keys(second),
        Command::container("BOX").group(Group::Server),
        row("BOX OPEN", "[key ...] <ON|OFF>"),
    ]
}

fn second(args: Args<'_>, visit: &mut dyn FnMut(usize, KeyFlags)) -> Result<(), InvalidKeys> {
    args.get(2).ok_or(InvalidKeys)?;
    visit(2, KeyFlags::RO);
    Ok(())
}

fn nothing(_: &mut Ctx<'_>) -> Result<(), Error> {
    Ok(())
}

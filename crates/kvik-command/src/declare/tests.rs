//! Rows as families declare them, against what Redis and Valkey say of the same commands.

use kvik_resp::ArgsBuf;

use super::*;

fn nothing(_: &mut crate::Ctx<'_>) -> Result<(), crate::Error> {
    Ok(())
}

fn row(name: &'static str, syntax: &'static str) -> Row {
    Command::new(name, syntax, nothing).group(Group::Generic)
}

fn table(rows: Vec<Row>) -> Table {
    Table::build(rows).expect("the rows are well-formed")
}

fn one(row: Row) -> Command {
    table(vec![row]).commands.remove(0)
}

fn words(line: &str) -> ArgsBuf {
    line.split(' ')
        .map(|word| if word == "''" { "" } else { word })
        .collect()
}

fn keys(command: &Command, line: &str) -> Result<Vec<usize>, InvalidKeys> {
    let mut found = Vec::new();
    command.for_each_key(words(line).as_args(), |at, _| found.push(at))?;
    Ok(found)
}

#[test]
fn every_row_compiles() {
    let rows = crate::family::commands();
    let errors: Vec<String> = Table::build(rows)
        .err()
        .map(|e| e.to_string())
        .into_iter()
        .collect();
    assert_eq!(errors, Vec::<String>::new());
}

#[test]
fn no_call_is_so_short_that_a_missing_word_is_a_key() {
    for command in crate::table().commands() {
        let mut line = command.full_name().replace('|', " ");
        for _ in 0..6 {
            let there = words(&line).len();
            let found = keys(command, &line).unwrap_or_default();
            assert!(found.iter().all(|&at| at < there), "{line}");
            line += " 1";
        }
    }
}

#[test]
fn arity_follows_from_the_syntax() {
    let cases = [
        ("key", 2),
        ("", 1),
        ("[message]", -1),
        (
            "key value [NX|XX|IFEQ comparison-value] [GET] [EX seconds|KEEPTTL]",
            -3,
        ),
        ("key [key ...]", -2),
        ("key value [key value ...]", -3),
        ("<LIB-NAME libname|LIB-VER libver>", 3),
        ("<ON|OFF>", 2),
        (
            "<ip:port|<ID client-id [client-id ...]|USER username> ...>",
            -2,
        ),
        (
            "key seconds [NX|XX|GT|LT] FIELDS numfields field [field ...]",
            -6,
        ),
        (
            "key <MAXLEN|MINID> [=|~] threshold:string [LIMIT count]",
            -4,
        ),
        ("script numkeys [key [key ...]] [arg [arg ...]]", -3),
        (
            "host port <key|\"\"> destination-db timeout [COPY] [KEYS key [key ...]]",
            -6,
        ),
    ];
    for (syntax, arity) in cases {
        assert_eq!(one(row("X", syntax)).arity(), arity, "{syntax}");
    }
}

#[test]
fn usage_lines_are_canonical() {
    let cases = [
        (
            "key value [NX|XX] [GET] [EX seconds|PX milliseconds]",
            "key value [NX|XX] [GET] [EX seconds|PX milliseconds]",
        ),
        ("data:<key value> [x]", "key value [x]"),
        ("key value [key value ...]", "key value [key value ...]"),
        ("[member ...]", "[member [member ...]]"),
        (
            "cursor:string [MATCH pattern] [TYPE type]",
            "cursor [MATCH pattern] [TYPE type]",
        ),
        (
            "[ADDR addr=ip:port] [TYPE client-type:<NORMAL|PUBSUB>]",
            "[ADDR ip:port] [TYPE <NORMAL|PUBSUB>]",
        ),
        (
            "[GET pattern [GET pattern ...]]",
            "[GET pattern [GET pattern ...]]",
        ),
        (
            "STREAMS key [key ...] id [id ...]",
            "STREAMS key [key ...] id [id ...]",
        ),
        ("<key|\"\">", "<key|\"\">"),
        ("[LIMIT offset count]", "[LIMIT offset count]"),
        ("<ID id|<A a|B b> ...>", "<ID id|<A a|B b> ...>"),
        ("[<A|B> ...]", "[<A|B> ...]"),
    ];
    for (syntax, usage) in cases {
        assert_eq!(one(row("X", syntax)).usage(Style::Plain), usage, "{syntax}");
    }
    let angled = one(row("X", "parameter [parameter ...] [KEEP seconds]")).usage(Style::Angled);
    assert_eq!(angled, "<parameter> [<parameter> ...] [KEEP <seconds>]");
}

#[test]
fn malformed_rows_are_reported_by_name() {
    for syntax in [
        "[key",
        "key]",
        "<a|>",
        "<a",
        "label: key",
        "... key",
        "[a|b ...",
        "a]",
    ] {
        let error = Table::build(vec![row("BAD", syntax)]).expect_err(syntax);
        assert_eq!(error.command, "BAD", "{syntax}");
    }
    let twice = Table::build(vec![row("A", ""), row("A", "")]).expect_err("declared twice");
    assert_eq!(
        twice.to_string(),
        "the row of A is wrong: it is declared twice"
    );
    assert!(Table::build(vec![row("A B", "")]).is_err(), "no container");
    assert!(
        Table::build(vec![Command::new("A", "", nothing)]).is_err(),
        "no group"
    );
    assert!(
        Table::build(vec![row("A", "key").access(&[KeyFlags::RO, KeyFlags::RO])]).is_err(),
        "one specification"
    );
}

#[test]
fn the_tree_names_and_types_its_arguments() {
    let set = one(row(
        "SET",
        "key value [NX|XX|IFEQ comparison-value] [GET] [EX seconds|EXAT unix-time-seconds|KEEPTTL]",
    ));
    let [key, value, condition, get, expiration] = set.arguments() else {
        panic!("five arguments")
    };
    assert_eq!((key.kind.name(), key.key_spec), ("key", Some(0)));
    assert_eq!((value.kind.name(), value.key_spec), ("string", None));
    assert_eq!(
        (
            condition.name.as_str(),
            condition.optional,
            condition.kind.name()
        ),
        ("condition", true, "oneof")
    );
    assert_eq!(
        (
            condition.parts()[2].name.as_str(),
            condition.parts()[2].token
        ),
        ("comparison-value", Some("IFEQ"))
    );
    assert_eq!(
        (get.name.as_str(), get.token, get.kind.name()),
        ("get", Some("GET"), "pure-token")
    );
    assert_eq!(
        (expiration.name.as_str(), expiration.parts()[1].kind.name()),
        ("expiration", "unix-time")
    );

    let scan = one(row(
        "X",
        "cursor [LIMIT offset count] [GET pattern [GET pattern ...]] [ID client-id [client-id ...]]",
    ));
    let [cursor, limit, get, id] = scan.arguments() else {
        panic!("four arguments")
    };
    assert_eq!(cursor.kind, Kind::Integer);
    assert_eq!(
        (limit.name.as_str(), limit.token, limit.parts().len()),
        ("limit", Some("LIMIT"), 2)
    );
    assert_eq!(get.repetition, Repetition::ManyWithToken);
    assert_eq!((id.repetition, id.optional), (Repetition::Many, true));
}

#[test]
fn key_positions_follow_from_the_syntax() {
    // syntax ; first, last, step (and + when there are more) ; a call ; the positions of its keys
    let cases = [
        "key ; 1 1 1 ; x k ; 1",
        "key [key ...] ; 1 -1 1 ; x a b c ; 1 2 3",
        "key value [key value ...] ; 1 -1 2 ; x a 1 b 2 ; 1 3",
        "key1 key2 [LEN] ; 1 2 1 ; x a b len ; 1 2",
        "source destination [DB destination-db] ; 1 2 1 ; x a b ; 1 2",
        "key [key ...] timeout:double ; 1 -2 1 ; x a b 0 ; 1 2",
        "destkey [sourcekey [sourcekey ...]] ; 1 -1 1 ; x d ; 1",
        "<AND|OR> destkey key [key ...] ; 2 -1 1 ; x and d a b ; 2 3 4",
        "numkeys key [key ...] <LEFT|RIGHT> ; 0 0 0 + ; x 2 a b left ; 2 3",
        "destination numkeys key [key ...] [AS x] ; 1 1 1 + ; x d 1 a as 2 ; 1 3",
        "script numkeys [key [key ...]] [arg [arg ...]] ; 0 0 0 + ; x s 1 k arg ; 3",
        "numkeys key value [key value ...] [NX|XX] ; 0 0 0 + ; x 2 a 1 b 2 nx ; 2 4",
        "[COUNT count] STREAMS key [key ...] id [id ...] ; 0 0 0 + ; x streams a b 0 0 ; 2 3",
        "key member [STORE storekey] ; 1 1 1 + ; x a m store d ; 1 4",
        "key member [STORE storekey] ; 1 1 1 + ; x a m ; 1",
        "[message] ; 0 0 0 ; x m ; ",
    ];
    for case in cases {
        let [syntax, range, call, found] = case.split(" ; ").collect::<Vec<_>>()[..] else {
            panic!("four parts: {case}")
        };
        let command = one(row("X", syntax).write());
        let LegacyRange { first, last, step } = command.range();
        let more = if command.flags().contains(Flags::MOVABLE_KEYS) {
            " +"
        } else {
            ""
        };
        assert_eq!(format!("{first} {last} {step}{more}"), range, "{case}");
        let positions = keys(&command, call).expect(case);
        let positions: Vec<String> = positions.iter().map(usize::to_string).collect();
        assert_eq!(positions.join(" "), found, "{case}");
    }
}

#[test]
fn calls_whose_keys_cannot_be_found_are_refused() {
    let eval = one(row("X", "script numkeys [key [key ...]] [arg [arg ...]]"));
    for call in [
        "x s 2 k",
        "x s -1",
        "x s x",
        "x s 99999999999999999999",
        "x s ''",
    ] {
        assert_eq!(keys(&eval, call), Err(InvalidKeys), "{call}");
    }
    assert_eq!(keys(&eval, "x s 0"), Ok(vec![]));
    let get = one(row("X", "key"));
    assert_eq!(keys(&get, "x"), Ok(vec![]));
    let read = one(row("X", "STREAMS key [key ...] id [id ...]"));
    assert_eq!(keys(&read, "x STREAMS"), Err(InvalidKeys));
    assert_eq!(keys(&read, "x other a b"), Ok(vec![]));
    let pop = one(row("X", "key [key ...] timeout"));
    assert_eq!(keys(&pop, "x"), Ok(vec![]));
    let from_the_end = KeySpec::after("KEYS", -2, KeyFlags::RO);
    assert_eq!(
        from_the_end
            .positions(words("x KEYS a KEYS b c").as_args())
            .map(Iterator::collect),
        Ok(vec![4usize])
    );
}

#[test]
fn what_happens_to_keys_follows_from_flags_and_names() {
    let access = |row: Row| -> Vec<String> {
        one(row)
            .specs()
            .iter()
            .map(|spec| spec.flags.names().collect::<Vec<_>>().join(" "))
            .collect()
    };
    assert_eq!(access(row("X", "key").readonly()), ["RO access"]);
    assert_eq!(access(row("X", "key seconds").write()), ["RW update"]);
    assert_eq!(access(row("X", "key [key ...]")), ["RO"]);
    assert_eq!(
        access(row("X", "destination key [key ...]").write()),
        ["OW update", "RO access"]
    );
    assert_eq!(
        access(row("X", "source destination").write()),
        ["RO access", "OW update"]
    );
    let rename = &[KeyFlags::RW_ACCESS_DELETE, KeyFlags::OW_UPDATE];
    assert_eq!(
        access(row("X", "key newkey").write().access(rename)),
        ["RW access delete", "OW update"]
    );
}

#[test]
fn categories_follow_from_flags_and_group() {
    let names = |row: Row| one(row).categories().names().collect::<Vec<_>>().join(" ");
    assert_eq!(
        names(row("X", "key").write().fast().group(Group::String)),
        "write string fast"
    );
    assert_eq!(
        names(row("X", "").admin().group(Group::Server)),
        "admin slow dangerous"
    );
    assert_eq!(
        names(row("X", "").readonly().group(Group::Scripting)),
        "slow scripting"
    );
    assert_eq!(
        names(row("X", "").readonly().also(Category::DANGEROUS)),
        "keyspace read slow dangerous"
    );
    assert_eq!(
        names(row("X", "").blocking().categories(Category::CONNECTION)),
        "slow blocking connection"
    );
    assert_eq!(
        names(Command::container("X").group(Group::Connection)),
        "slow"
    );
}

fn small_table() -> Table {
    table(vec![
        row("GET", "key").readonly(),
        row("CONFIG GET", "parameter [parameter ...]"),
        row("CONFIG RESETSTAT", ""),
        Command::container("CONFIG").group(Group::Server),
        row("COMMAND", "").arity(-1),
        row("COMMAND COUNT", ""),
    ])
}

fn answer(line: &str) -> String {
    let args = words(line);
    match small_table().lookup(args.as_args()) {
        Ok(command) => command.full_name().to_owned(),
        Err(error) => error.error(args.as_args()).to_string(),
    }
}

#[test]
fn lookup_ignores_case_and_finds_subcommands() {
    assert_eq!(answer("get k"), "get");
    assert_eq!(answer("GeT k"), "get");
    assert_eq!(answer("config GET x"), "config|get");
    assert_eq!(answer("COMMAND"), "command");
    assert_eq!(answer("command count"), "command|count");
    let table = small_table();
    assert_eq!(table.find(b"config|get").map(Command::id), Some(3));
    assert_eq!(table.find(b"CONFIG").map(Command::id), Some(1));
    assert!(
        table.find(b"config|nothing").is_none()
            && table.find(b"get|x").is_none()
            && table.find(b"").is_none()
    );
    let inside: Vec<_> = table
        .find(b"config")
        .into_iter()
        .flat_map(|config| table.subcommands(config))
        .map(Command::full_name)
        .collect();
    assert_eq!(inside, ["config|get", "config|resetstat"]);
    assert_eq!(
        table.top_level().map(Command::name).collect::<Vec<_>>(),
        ["GET", "CONFIG", "COMMAND"]
    );
}

#[test]
fn lookup_errors_are_those_of_redis() {
    assert_eq!(
        answer("foo a b"),
        "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
    );
    assert_eq!(
        answer("FOO"),
        "ERR unknown command 'FOO', with args beginning with: "
    );
    assert_eq!(
        answer("config x"),
        "ERR unknown subcommand 'x'. Try CONFIG HELP."
    );
    assert_eq!(
        answer("command x"),
        "ERR unknown subcommand 'x'. Try COMMAND HELP."
    );
    assert_eq!(
        answer("config"),
        "ERR wrong number of arguments for 'config' command"
    );
    assert_eq!(
        answer("config get"),
        "ERR wrong number of arguments for 'config|get' command"
    );
    assert_eq!(
        answer("get"),
        "ERR wrong number of arguments for 'get' command"
    );
    assert_eq!(
        answer("get a b"),
        "ERR wrong number of arguments for 'get' command"
    );
    assert_eq!(
        answer("a\r\nb"),
        "ERR unknown command 'a  b', with args beginning with: "
    );
}

#[test]
fn long_words_are_shortened_in_errors() {
    let long = "x".repeat(200);
    let shown = "x".repeat(128);
    assert_eq!(
        answer(&format!("{long} a")),
        format!("ERR unknown command '{shown}', with args beginning with: 'a' ")
    );
    assert_eq!(
        answer(&format!("f a {long} b")),
        format!(
            "ERR unknown command 'f', with args beginning with: 'a' '{}' ",
            "x".repeat(124)
        )
    );
    assert_eq!(
        answer(&format!("config {long}")),
        format!("ERR unknown subcommand '{shown}'. Try CONFIG HELP.")
    );
    assert!(answer(&"g".repeat(24)).starts_with("ERR unknown command"));
}

#[test]
fn the_markdown_page_has_a_line_per_command() {
    let page = table(vec![
        row("SET", "key [NX|XX]")
            .since("1.0.0")
            .complexity("O(1)")
            .about("Stores.")
            .deprecated("9.0.0", "PUT"),
        Command::container("CONFIG").group(Group::Server),
        row("CONFIG GET", ""),
    ])
    .markdown();
    let line = "| `SET key [NX\\|XX]` | 1.0.0 | O(1) | Stores. Deprecated since 9.0.0: PUT. |";
    assert!(page.contains(line), "{page}");
    assert!(page.contains("| `CONFIG GET` |") && !page.contains("| `CONFIG` |"));
    assert!(page.contains("\n## generic\n"));
}

#[test]
fn a_key_that_nothing_finds_is_refused() {
    let lost = [
        "key [COUNT count] key [key ...]",
        "key [key ...] [NX|XX]",
        "key [STORE storekey|STOREDIST storekey]",
        "[FROM source destination]",
        "name [LIMIT count] <key|ALL>",
    ];
    for syntax in lost {
        let error = Table::build(vec![row("X", syntax)]).expect_err(syntax);
        assert!(error.what.starts_with("nothing finds its key"), "{error}");
    }
    const SPECS: &[KeySpec] = &[KeySpec::range(1, 0, 1, KeyFlags::RO)];
    let declared = row("X", "key [STORE storekey|STOREDIST storekey]").key_specs(SPECS);
    assert_eq!(one(declared).specs(), SPECS);
}

//! The command line of the binary, as clap knows it.
//!
//! The server's own arguments are not parsed here: they follow redis-server's grammar (any number
//! of words after a directive), which is the configuration's business. They are declared from its
//! table all the same, for their help and for shell completion.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use clap_complete::Shell;
use kvik_server::config::{Effect, Key};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `kvik` with all its subcommands.
pub(crate) fn command() -> Command {
    Command::new("kvik")
        .version(VERSION)
        .about("A Redis-compatible key-value store: the server and its command line")
        .override_usage("kvik [CONFIG-FILE | -] [--DIRECTIVE VALUE...]\n       kvik <COMMAND>")
        .after_help("The server's directives: kvik server --help")
        .disable_version_flag(true)
        .arg(version().short_alias('V'))
        // A directive may stand without `server`; completion offers it, help shows it there.
        .args(directives().map(|directive| directive.hide(true)))
        .subcommand(server())
        .subcommand(cli())
        .subcommand(backup())
        .subcommand(bench())
        .subcommand(check())
        .subcommand(diff())
        .subcommand(import())
        .subcommand(export())
        .subcommand(restore())
        .subcommand(completions())
}

/// Writes the completion script for the shell that was named.
pub(crate) fn print_completions(matches: &ArgMatches) {
    if let Some(shell) = matches.get_one::<Shell>("shell") {
        clap_complete::generate(*shell, &mut command(), "kvik", &mut io::stdout());
    }
}

fn version() -> Arg {
    Arg::new("version")
        .short('v')
        .long("version")
        .action(ArgAction::Version)
        .help("Print the version")
}

fn server() -> Command {
    Command::new("server")
        .about("Run the server (also what happens without a command)")
        .override_usage("kvik server [CONFIG-FILE | -] [--DIRECTIVE VALUE...]")
        .next_help_heading("Directives")
        .args(directives())
        .after_help(
            "The same names stand in a redis.conf or kvik.toml, and in the environment as KVIK_NAME.\n\
             Further directives of Redis are accepted; they have no effect, or none yet.",
        )
}

/// The directives that do something.
fn directives() -> impl Iterator<Item = Arg> {
    let honoured = Key::ALL
        .iter()
        .map(|key| key.row())
        .filter(|row| row.effect == Effect::Honoured);
    honoured.map(|row| {
        // An empty default is no default worth telling.
        let help = match row.default {
            "" => row.about.to_owned(),
            default => format!("{} [default: {default}]", row.about),
        };
        Arg::new(row.name)
            .long(row.name)
            .value_name("VALUE")
            .help(help)
    })
}

fn backup() -> Command {
    Command::new("backup")
        .about("Have a running server copy its files, consistent with one another")
        .after_help(
            "The copy is a directory that `kvik --dir` opens and `kvik check` reads. To copy a server of another machine:\n\
             kvik import redis://HOST:PORT --dir DIR",
        )
        .disable_help_flag(true)
        .args(connection_arguments())
        .arg(
            Arg::new("name")
                .value_name("NAME")
                .required(true)
                .help("The directory for the copy, empty or new, below the server's backup-dir"),
        )
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print help"))
}

fn bench() -> Command {
    let number = |name: &'static str, value_name, range, default: &'static str, help| {
        value(name, value_name, help)
            .value_parser(value_parser!(u64).range(range))
            .default_value(default)
    };
    Command::new("bench")
        .about("Put load on a server and show its throughput, processor time and latency")
        .after_help(
            "It writes keys `bench:N` and leaves them there. Each connection is a thread that waits for its replies.\n\
             Latency is that of a batch. The processor time is the server's own, where its INFO tells.",
        )
        .disable_help_flag(true)
        .args(connection_arguments())
        .arg(
            value("vs", "HOST:PORT", "Load this server as well, in turns, and compare; a URL of a door, too").long("vs"),
        )
        .arg(
            value("test", "NAME", "What to send: get, set")
                .short('t')
                .value_delimiter(',')
                .default_value("set,get")
                .value_parser(crate::bench::Work::named),
        )
        .arg(number("connections", "NUMBER", 1..=1000, "50", "Connections").short('c'))
        .arg(number("pipeline", "NUMBER", 1..=10_000, "1", "Commands that a connection sends together").short('P'))
        .arg(number("value-bytes", "BYTES", 1..=1 << 20, "32", "Bytes of a value").short('d'))
        .arg(number("keys", "NUMBER", 1..=100_000_000, "100000", "Different keys").long("keys"))
        .arg(
            value("secs", "SECONDS", "Time for each load [default: 5]")
                .long("secs")
                .value_parser(parse_seconds),
        )
        .arg(
            value("rate", "NUMBER", "Commands due each second, all connections together; latency counts from when they are due")
                .long("rate")
                .value_parser(crate::bench::parse_rate),
        )
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print help"))
}

fn check() -> Command {
    Command::new("check")
        .about("Check the files of a database: snapshots, append-only files, whole directories")
        .after_help(
            "Prints what was found, where the first damage is, and which servers can load the files.\n\
             The exit status is 0 if all is sound or was repaired, 1 if not, 2 for wrong arguments.",
        )
        .arg(
            Arg::new("path")
                .value_name("FILE|DIR")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("A snapshot, an append-only file, a manifest, or a directory with these"),
        )
        .arg(flag(
            "repair",
            "Cut a log that ends badly behind its last whole unit; the bytes are kept beside it",
        ).long("repair"))
}

fn diff() -> Command {
    let server = |name: &'static str| {
        Arg::new(name)
            .value_name("URL")
            .required(true)
            .help("redis://[user:password@]host:port[/db]")
    };
    Command::new("diff")
        .about("Compare the keys of two servers, by type, contents and time to live")
        .after_help(
            "A line for each key that is not alike, and a count. The exit status is 0 if all are alike, 1 if not,\n\
             2 if that cannot be told.",
        )
        .arg(server("first"))
        .arg(server("second"))
        .arg(value("pattern", "GLOB", "Only keys that match").long("pattern"))
        .args(tls_arguments())
}

fn import() -> Command {
    Command::new("import")
        .about("Copy the data of another server, or of its files, into kvik")
        .after_help(
            "Keys of the same names are replaced. The source stays as it is; what cannot be read of it is reported.\n\
             A running server is copied with its times to live, the database that the URL names; the exit status\n\
             is 1 if a key is missing or incomplete.",
        )
        .disable_help_flag(true)
        .args(connection_arguments())
        .arg(
            Arg::new("source")
                .value_name("SOURCE")
                .required(true)
                .help("redis://[user:password@]host:port[/db] of a running server, lines of JSON (*.jsonl), store.kvs of Neks, a data directory of nkv or, behind the word kevy, of kevy"),
        )
        .arg(
            Arg::new("directory")
                .value_name("DIR")
                .help("The data directory, behind the word kevy"),
        )
        .arg(
            value("to", "URL", "The server that takes the keys: redis://[user:password@]host:port[/db]")
                .long("to")
                .conflicts_with_all(["host", "port", "socket", "url"]),
        )
        .arg(
            value("dir", "DIR", "Take the keys into the data directory of a server that does not run")
                .long("dir")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with_all(["host", "port", "socket", "url", "to"]),
        )
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print help"))
}

fn export() -> Command {
    Command::new("export")
        .about("Write the keys of a running server's database to a file")
        .after_help("One line of JSON for each key, which kvik import reads from a file called *.jsonl, or a snapshot for Neks,\nwhich holds strings only.")
        .disable_help_flag(true)
        .args(connection_arguments())
        .arg(
            Arg::new("neks")
                .long("neks")
                .value_name("FILE")
                .required_unless_present("json")
                .conflicts_with("json")
                .num_args(0..=1)
                .default_missing_value("store.kvs")
                .value_parser(value_parser!(PathBuf))
                .help("A snapshot for Neks [default: store.kvs]"),
        )
        .arg(
            value("json", "FILE", "A line of JSON for each key, of all types")
                .long("json")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(value("pattern", "GLOB", "Only keys that match, with --json").long("pattern"))
        .arg(
            Arg::new("help")
                .long("help")
                .action(ArgAction::Help)
                .help("Print help"),
        )
}

fn restore() -> Command {
    Command::new("restore")
        .about("Write the files of a database as it was at an earlier second into a new directory")
        .after_help(
            "It needs the log of that time: log-retention-bytes and log-retention-age say how much is kept.\n\
             The database may be open, and is not changed.",
        )
        .arg(
            Arg::new("from")
                .value_name("DIR")
                .required(true)
                .value_parser(value_parser!(PathBuf))
                .help("The directory of the database"),
        )
        .arg(
            value(
                "to",
                "TIME",
                "Seconds since 1970, or 2026-11-30T09:00:00Z (UTC)",
            )
            .long("to")
            .required(true)
            .value_parser(crate::restore::parse_time),
        )
        .arg(
            value("into", "DIR", "The directory for the restored files, empty or new")
                .long("into")
                .required(true)
                .value_parser(value_parser!(PathBuf)),
        )
}

fn completions() -> Command {
    Command::new("completions")
        .about("Print a completion script for your shell")
        .arg(
            Arg::new("shell")
                .required(true)
                .value_parser(value_parser!(Shell)),
        )
}

fn cli() -> Command {
    Command::new("cli")
        .about("Talk to a server: one command, a file of commands, or interactively")
        .version(VERSION)
        .after_help(CLI_EXAMPLES)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args(connection_arguments())
        .args(output_arguments())
        .args(run_arguments())
        .args(view_arguments())
        .arg(Arg::new("help").long("help").action(ArgAction::Help).help("Print help"))
        .arg(version())
        .arg(
            Arg::new("command")
                .value_name("COMMAND [ARGUMENT]")
                .help("The command to run; without it, commands are read from the terminal or from a pipe")
                .value_parser(value_parser!(OsString))
                .num_args(0..)
                .trailing_var_arg(true),
        )
}

fn connection_arguments() -> Vec<Arg> {
    let mut arguments = vec![
        value("host", "HOST", "Server's host name [default: 127.0.0.1]").short('h'),
        value("port", "PORT", "Server's port [default: 6379]")
            .short('p')
            .value_parser(value_parser!(u16)),
        value("socket", "PATH", "Server's unix socket")
            .short('s')
            .conflicts_with_all(["host", "port"]),
        value(
            "url",
            "URL",
            "redis:// or valkey://user:password@host:port/db, unix:///path?db=1, or a door: neks://, kiba://, nkv://host:port",
        )
        .short('u')
        .conflicts_with_all(["host", "port", "socket"]),
        value("user", "NAME", "Account to log in to").long("user"),
        value(
            "password",
            "PASSWORD",
            "Password; safer in the variable KVIKCLI_AUTH or REDISCLI_AUTH",
        )
        .short('a')
        .long("pass")
        .allow_hyphen_values(true),
        flag("no-auth-warning", "Accepted for redis-cli's sake")
            .long("no-auth-warning")
            .hide(true),
        value("db", "NUMBER", "Database")
            .short('n')
            .value_parser(value_parser!(u32)),
        flag("tls", "Speak TLS, as rediss:// does; of a build with the feature tls").long("tls"),
        flag("resp2", "Speak RESP2 [default for raw output]")
            .short('2')
            .conflicts_with("resp3"),
        flag("resp3", "Speak RESP3 [default otherwise]").short('3'),
    ];
    arguments.extend(tls_arguments());
    arguments
}

/// Whom to trust and who the client is, of all servers that are spoken to over TLS.
fn tls_arguments() -> [Arg; 4] {
    [
        file(
            "tls-authorities",
            "cacert",
            "The authorities to trust, in PEM [default: the system's]",
        ),
        file(
            "tls-certificate",
            "cert",
            "The client's certificate, in PEM",
        )
        .requires("tls-key"),
        file("tls-key", "key", "Its private key, in PEM").requires("tls-certificate"),
        value(
            "tls-name",
            "NAME",
            "The name that the server's certificate is for [default: the host]",
        )
        .long("sni"),
    ]
}

fn file(name: &'static str, long: &'static str, help: &'static str) -> Arg {
    value(name, "FILE", help)
        .long(long)
        .value_parser(value_parser!(PathBuf))
}

fn output_arguments() -> Vec<Arg> {
    vec![
        flag("json", "Print replies as JSON")
            .long("json")
            .conflicts_with_all(["raw", "no-raw"]),
        flag(
            "raw",
            "Print replies as they are [default unless to a terminal]",
        )
        .long("raw")
        .overrides_with("no-raw"),
        flag("no-raw", "Print replies for people, even into a pipe")
            .long("no-raw")
            .overrides_with("raw"),
        value(
            "delimiter",
            "TEXT",
            "Between the elements of a raw reply [default: \\n]",
        )
        .short('d')
        .allow_hyphen_values(true),
        value(
            "reply-delimiter",
            "TEXT",
            "After each raw reply [default: \\n]",
        )
        .short('D')
        .allow_hyphen_values(true),
        flag(
            "no-color",
            "No colours (NO_COLOR in the environment does the same)",
        )
        .long("no-color"),
    ]
}

fn run_arguments() -> Vec<Arg> {
    vec![
        value(
            "repeat",
            "TIMES",
            "Run the command so many times; -1 for ever",
        )
        .short('r')
        .allow_negative_numbers(true)
        .value_parser(value_parser!(i64)),
        value("interval", "SECONDS", "Wait so long between repetitions")
            .short('i')
            .value_parser(parse_seconds),
        flag(
            "stdin-argument",
            "Read the last argument from standard input",
        )
        .short('x'),
        flag("fail", "Exit with 1 when the server answers with an error").short('e'),
        value(
            "eval",
            "FILE",
            "Run the Lua script of a file: keys, a comma between blanks and arguments follow",
        )
        .long("eval")
        .value_parser(value_parser!(OsString)),
    ]
}

/// Views exclude each other.
fn view_arguments() -> Vec<Arg> {
    let names = || crate::cli::view::FLAGS.iter().map(|(name, _)| *name);
    let view = |(name, help): &(&'static str, &'static str)| {
        let others = names().filter(|other| other != name);
        flag(name, help).long(*name).conflicts_with_all(others)
    };
    let views = crate::cli::view::FLAGS.iter().map(view);
    let pattern = value(
        "pattern",
        "GLOB",
        "Keys that --scan and the searches for keys look at",
    );
    views.chain([pattern.long("pattern")]).collect()
}

fn value(name: &'static str, value_name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(value_name).help(help)
}

fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).action(ArgAction::SetTrue).help(help)
}

fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    // Refuses negative numbers, infinities and what no duration holds.
    std::time::Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

const CLI_EXAMPLES: &str = "Examples:
  kvik cli                            an interactive session
  kvik cli SET greeting hello
  kvik cli -x SET page < page.html    the last argument from a file
  kvik cli --eval add.lua k1 k2 , 5   a script with two keys and an argument
  kvik cli < commands.txt             one command per line
  kvik cli --json HGETALL user:1 | jq .name
  kvik cli top                        what goes on, every second; --once for one page
  kvik cli --bigkeys";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> ArgMatches {
        command().try_get_matches_from(arguments).unwrap()
    }

    #[test]
    fn the_declaration_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn options_end_where_the_command_begins() {
        let matches = parse(&[
            "kvik", "cli", "-h", "db", "-p", "7", "lpush", "list", "-1", "--raw", "-h",
        ]);
        let (_, cli) = matches.subcommand().unwrap();
        assert_eq!(cli.get_one::<String>("host").unwrap(), "db");
        assert_eq!(cli.get_one::<u16>("port"), Some(&7));
        assert!(!cli.get_flag("raw"));
        let words: Vec<_> = cli.get_many::<OsString>("command").unwrap().collect();
        assert_eq!(words, ["lpush", "list", "-1", "--raw", "-h"]);
    }

    #[test]
    fn the_help_knows_the_directives() {
        let help = server().render_help().to_string();
        assert!(help.contains("--port <VALUE>"), "{help}");
        assert!(help.contains("[default: 6379]"), "{help}");
    }

    #[test]
    fn an_interval_is_a_number_of_seconds() {
        assert_eq!(parse_seconds("0.25").unwrap().as_millis(), 250);
        assert!(parse_seconds("-1").is_err());
        assert!(parse_seconds("soon").is_err());
    }
}

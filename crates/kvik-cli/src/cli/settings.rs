//! The options of `kvik cli` and the environment, resolved.

use std::ffi::OsString;
use std::io::{self, IsTerminal, Read};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use anyhow::{anyhow, ensure};
use clap::ArgMatches;
use kvik_client::{DEFAULT_PORT, Endpoint, Options, Protocol};

use super::format::{Format, Theme};
use super::line::unescape;

/// Everything that does not change while the program runs.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) endpoint: Endpoint,
    pub(crate) options: Options,
    pub(crate) format: Format,
    /// Whether the terminal shows colours.
    pub(crate) colours: bool,
    /// How often the command is run; `None` for ever.
    pub(crate) repeat: Option<u64>,
    /// The same, where nothing said means for ever.
    pub(crate) lines: Option<u64>,
    pub(crate) interval: Duration,
    /// An error reply makes the exit status 1.
    pub(crate) fail: bool,
    /// The command to run; empty to read commands from standard input.
    pub(crate) command: Vec<Vec<u8>>,
}

impl Settings {
    pub(crate) fn from_matches(matches: &ArgMatches) -> anyhow::Result<Self> {
        let colours = wants_colours(matches);
        let format = choose_format(matches, colours);
        let protocol = choose_protocol(matches, &format);
        Ok(Self {
            endpoint: endpoint(matches)?,
            options: Options {
                protocol,
                ..options(matches)
            },
            format,
            colours,
            repeat: repeat(matches),
            lines: matches
                .get_one::<i64>("repeat")
                .and_then(|_| repeat(matches)),
            interval: matches
                .get_one::<Duration>("interval")
                .copied()
                .unwrap_or_default(),
            fail: matches.get_flag("fail"),
            command: command(matches)?,
        })
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a String> {
    matches.get_one::<String>(name)
}

pub(crate) fn endpoint(matches: &ArgMatches) -> anyhow::Result<Endpoint> {
    // clap refuses a URL beside a host, and a socket beside either.
    let mut endpoint: Endpoint = match (text(matches, "url"), text(matches, "socket")) {
        (Some(url), _) => url.parse()?,
        (None, Some(path)) => Endpoint::unix(path),
        (None, None) => Endpoint::tcp(
            text(matches, "host").map_or("127.0.0.1", String::as_str),
            matches.get_one("port").copied().unwrap_or(DEFAULT_PORT),
        ),
    };
    if let Some(user) = text(matches, "user") {
        endpoint.username = Some(user.clone());
    }
    endpoint.password = password(matches, endpoint.password.take());
    if let Some(db) = matches.get_one("db") {
        endpoint.db = *db;
    }
    if matches.get_flag("tls") {
        ensure!(
            cfg!(feature = "tls"),
            "this kvik is built without TLS: build it with the feature tls"
        );
        endpoint.tls = true;
    }
    Ok(endpoint)
}

/// The password. In this order: what is typed, the URL's, the environment's, which may be for
/// another server.
pub(super) fn password(matches: &ArgMatches, of_url: Option<String>) -> Option<String> {
    let typed = text(matches, "password").cloned();
    typed.or(of_url).or_else(password_from_environment)
}

/// How to connect, but for the protocol.
pub(crate) fn options(matches: &ArgMatches) -> Options {
    #[cfg(feature = "tls")]
    let tls = {
        let file = |name| matches.get_one::<std::path::PathBuf>(name).cloned();
        kvik_client::TlsOptions {
            authorities: file("tls-authorities"),
            identity: file("tls-certificate").zip(file("tls-key")),
            server_name: text(matches, "tls-name").cloned(),
        }
    };
    // Without the feature nothing connects that would ask for them.
    #[cfg(not(feature = "tls"))]
    let _ = matches;
    Options {
        #[cfg(feature = "tls")]
        tls,
        ..Options::default()
    }
}

fn password_from_environment() -> Option<String> {
    ["KVIKCLI_AUTH", "REDISCLI_AUTH"]
        .iter()
        .find_map(|name| std::env::var(name).ok())
}

fn wants_colours(matches: &ArgMatches) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !matches.get_flag("no-color") && !is_set("NO_COLOR") && !dumb
}

fn choose_format(matches: &ArgMatches, colours: bool) -> Format {
    // Of --raw and --no-raw clap keeps the last one, which beats the terminal.
    let for_people =
        matches.get_flag("no-raw") || io::stdout().is_terminal() && !matches.get_flag("raw");
    let delimiter = |name| text(matches, name).map_or(b"\n".to_vec(), |text| unescape(text));
    if matches.get_flag("json") {
        Format::Json
    } else if for_people {
        Format::Human(if colours {
            Theme::coloured()
        } else {
            Theme::plain()
        })
    } else {
        Format::Raw {
            between: delimiter("delimiter"),
            after: delimiter("reply-delimiter"),
        }
    }
}

/// Raw output stays RESP2 unless asked for otherwise: scripts expect a hash as lines of fields and
/// values in turn.
fn choose_protocol(matches: &ArgMatches, format: &Format) -> Protocol {
    // A hash in RESP3 prints as `field value` on one line.
    let raw = matches!(format, Format::Raw { .. });
    if matches.get_flag("resp2") || raw && !matches.get_flag("resp3") {
        Protocol::Resp2
    } else {
        Protocol::Resp3
    }
}

fn repeat(matches: &ArgMatches) -> Option<u64> {
    // -1 is no u64, and so becomes None: for ever.
    let times = matches.get_one::<i64>("repeat").copied().unwrap_or(1);
    u64::try_from(times).ok()
}

fn command(matches: &ArgMatches) -> anyhow::Result<Vec<Vec<u8>>> {
    let words = matches.get_many::<OsString>("command").unwrap_or_default();
    let mut command: Vec<Vec<u8>> = words.map(|word| word.as_bytes().to_vec()).collect();
    if let Some(file) = matches.get_one::<OsString>("eval") {
        let script = std::fs::read(file)
            .map_err(|error| anyhow!("could not read {}: {error}", file.display()))?;
        command = eval(script, command);
    }
    // Everything up to the end of the input is one argument, line ends included.
    if matches.get_flag("stdin-argument") && !command.is_empty() {
        let mut last = Vec::new();
        io::stdin()
            .read_to_end(&mut last)
            .map_err(|error| anyhow!("could not read standard input: {error}"))?;
        command.push(last);
    }
    Ok(command)
}

/// EVAL of a script, from its keys, a comma, and its arguments.
fn eval(script: Vec<u8>, mut words: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let comma = words.iter().position(|word| word == b",");
    let keys = comma.unwrap_or(words.len());
    if let Some(at) = comma {
        words.remove(at);
    }
    let begin = [b"EVAL".to_vec(), script, keys.to_string().into_bytes()];
    begin.into_iter().chain(words).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> anyhow::Result<Settings> {
        let arguments = ["kvik", "cli"].iter().chain(arguments);
        let matches = crate::arguments::command().try_get_matches_from(arguments)?;
        Settings::from_matches(matches.subcommand().unwrap().1)
    }

    #[test]
    fn options_beat_the_url() {
        let settings = settings(&["-u", "redis://ann:one@db:7/2", "-n", "3", "-a", "two"]).unwrap();
        let expected = Endpoint {
            username: Some("ann".into()),
            password: Some("two".into()),
            db: 3,
            ..Endpoint::tcp("db", 7)
        };
        assert_eq!(settings.endpoint, expected);
    }

    #[test]
    fn tls_is_asked_for() {
        let files = ["--cacert", "ca.pem", "--cert", "c.pem", "--key", "c.key"];
        let asked = settings(&[&["--tls", "--sni", "db"][..], &files[..]].concat());
        #[cfg(feature = "tls")]
        {
            let asked = asked.unwrap();
            assert!(asked.endpoint.tls);
            let expected = kvik_client::TlsOptions {
                authorities: Some("ca.pem".into()),
                identity: Some(("c.pem".into(), "c.key".into())),
                server_name: Some("db".into()),
            };
            assert_eq!(asked.options.tls, expected);
        }
        #[cfg(not(feature = "tls"))]
        assert!(asked.unwrap_err().to_string().contains("without TLS"));
        assert!(settings(&["--cert", "c.pem"]).is_err(), "it has no key");
    }

    #[test]
    fn raw_output_is_resp2_and_other_output_resp3() {
        let protocol = |arguments: &[&str]| settings(arguments).unwrap().options.protocol;
        assert_eq!(protocol(&["--raw"]), Protocol::Resp2);
        assert_eq!(protocol(&["--raw", "-3"]), Protocol::Resp3);
        assert_eq!(protocol(&["--no-raw"]), Protocol::Resp3);
        assert_eq!(protocol(&["--json"]), Protocol::Resp3);
        assert_eq!(protocol(&["--json", "-2"]), Protocol::Resp2);
    }

    #[test]
    fn a_script_comes_from_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("s.lua");
        std::fs::write(&file, "return 1\n").unwrap();
        let file = file.to_str().unwrap();
        let command = |words: &[&str]| {
            let arguments = [&["--eval", file], words].concat();
            let words = settings(&arguments).unwrap().command.into_iter();
            words
                .map(|word| String::from_utf8(word).unwrap())
                .collect::<Vec<_>>()
        };
        let eval = ["EVAL", "return 1\n"];
        assert_eq!(command(&[]), [&eval[..], &["0"]].concat());
        assert_eq!(
            command(&["a", "b", ",", "-5", ","]),
            [&eval[..], &["2", "a", "b", "-5", ","]].concat()
        );
        assert_eq!(command(&["a"]), [&eval[..], &["1", "a"]].concat());
        assert_eq!(command(&[",", "x"]), [&eval[..], &["0", "x"]].concat());
        assert!(settings(&["--eval", "/no/such/file"]).is_err());
    }

    #[test]
    fn a_negative_repetition_has_no_end() {
        assert_eq!(settings(&[]).unwrap().repeat, Some(1));
        assert_eq!(settings(&["-r", "3"]).unwrap().repeat, Some(3));
        assert_eq!(settings(&["-r", "-1"]).unwrap().repeat, None);
    }

    #[test]
    fn contradictions_are_refused() {
        for arguments in [
            &["-2", "-3"][..],
            &["-s", "/x", "-p", "1"],
            &["-u", "redis://h", "-h", "h"],
            &["--json", "--raw"],
        ] {
            assert!(settings(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn delimiters_know_escapes() {
        let format = settings(&["--raw", "-d", "\\t", "-D", "--"])
            .unwrap()
            .format;
        assert_eq!(
            format,
            Format::Raw {
                between: b"\t".to_vec(),
                after: b"--".to_vec()
            }
        );
    }
}

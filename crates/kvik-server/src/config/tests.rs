//! The table as a whole, and the ways into it.
//!
//! The file is long because each kind of value and each way in has cases of its own. They share the
//! few helpers at the top.

#[cfg(unix)]
mod redis;

use std::ffi::OsString;
use std::path::Path;

use proptest::prelude::*;

use super::file::Syntax;
use super::load::values_in;
use super::value::{Style, words};
use super::words::quote;
use super::*;

fn load_with(args: &[&str], env: &[(&str, &str)]) -> Result<Loaded, LoadError> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let env = env.iter().map(|(name, value)| (name.into(), value.into()));
    load(&args, env, &mut std::io::empty())
}

fn config_of(args: &[&str]) -> Config {
    load_with(args, &[]).unwrap().config
}

fn refusal(args: &[&str], env: &[(&str, &str)]) -> String {
    load_with(args, env).err().expect("a refusal").to_string()
}

fn get(config: &Config, name: &str) -> String {
    let found = config.get(&[name.as_bytes()]);
    assert_eq!(found.len(), 1, "{name}");
    String::from_utf8(found[0].1.clone()).unwrap()
}

fn set(config: &Config, pairs: &[(&str, &str)]) -> Result<(), String> {
    let pairs: Vec<(&[u8], &[u8])> = pairs
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
        .collect();
    config.set(&pairs, true).map_err(|error| error.to_string())
}

/// A directory with files, and the path of the first.
fn files(contents: &[(&str, &str)]) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in contents {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let first = directory.path().join(contents[0].0);
    (directory, first.to_str().unwrap().to_owned())
}

fn settable() -> impl Iterator<Item = Key> {
    let kept = [Access::Fixed, Access::FileOnly];
    Key::ALL
        .iter()
        .copied()
        .filter(move |key| !kept.contains(&key.row().access))
}

#[test]
fn the_directory_of_a_preset_is_made_only_if_it_is_used() {
    let home = tempfile::tempdir().unwrap();
    let chosen = home.path().join("chosen");
    std::fs::create_dir(&chosen).unwrap();
    let env = [("XDG_DATA_HOME", home.path().to_str().unwrap())];
    let dir = |args: &[&str]| {
        load_with(args, &env)
            .unwrap()
            .config
            .path(Key::Dir)
            .unwrap()
    };
    let other = dir(&["--nkv", "--dir", chosen.to_str().unwrap()]);
    assert_eq!(other, chosen.canonicalize().unwrap());
    let usual = home.path().join("nkv");
    assert!(!usual.exists());
    assert_eq!(dir(&["--nkv"]), usual.canonicalize().unwrap());
}

#[test]
fn names_are_unique_and_found() {
    let mut seen = std::collections::HashSet::new();
    for key in Key::ALL {
        for name in [Some(key.name()), key.row().alias].into_iter().flatten() {
            assert!(seen.insert(name), "{name} twice");
            assert_eq!(Key::named(name.to_uppercase().as_bytes()), Some(*key));
            assert_eq!(Key::named(name.replace('-', "_").as_bytes()), Some(*key));
        }
    }
    assert_eq!(Key::named(b"nonsense"), None);
}

#[test]
fn every_value_comes_back_through_set() {
    let config = config_of(&["--enable-protected-configs", "yes"]);
    for key in settable() {
        let before = config.value(key);
        let shown = config.text(key);
        set(&config, &[(key.name(), &shown)]).unwrap();
        assert_eq!(config.value(key), before, "{}", key.name());
    }
}

#[test]
fn every_default_comes_back_through_both_syntaxes() {
    let defaults = Config::with_defaults().unwrap();
    let (mut conf, mut toml) = (String::new(), String::new());
    for key in Key::ALL
        .iter()
        .filter(|key| key.row().access != Access::FileOnly)
    {
        let words = words(key.row().kind, &defaults.value(*key), Style::File);
        conf.push_str(key.name());
        let shown: Vec<String> = words
            .iter()
            .map(|word| String::from_utf8(word.clone()).unwrap())
            .collect();
        let none = [Vec::new()];
        let words = if words.is_empty() { &none[..] } else { &words };
        for word in words {
            conf.push(' ');
            quote(word, &mut conf);
        }
        conf.push('\n');
        toml.push_str(&match shown.as_slice() {
            [word] => format!("{} = {word:?}\n", key.name()),
            words => format!("{} = {words:?}\n", key.name().replace('-', "_")),
        });
    }
    let (_directory, conf) = files(&[("kvik.conf", &conf), ("kvik.toml", &toml)]);
    for file in [conf.clone(), conf.replace(".conf", ".toml")] {
        let loaded = load_with(&[&file], &[]).unwrap();
        assert_eq!(loaded.warnings, Vec::<String>::new());
        assert_eq!(*loaded.config.values.read(), *defaults.values.read());
        assert_eq!(loaded.config.without_effect(), []);
    }
}

#[test]
fn values_that_hold_without_effect_are_spelled_as_shown() {
    let (config, mut found) = (config_of(&[]), 0);
    for key in Key::ALL {
        let Some(value) = key.row().holds else {
            continue;
        };
        let config = config_of(&[&format!("--{}={value}", key.name())]);
        assert_eq!(
            (
                config.text(*key).as_str(),
                key.row().effect != Effect::Honoured
            ),
            (value, true)
        );
        assert_eq!(config.without_effect(), [], "{}", key.name());
        found += 1;
    }
    assert!(found > 0 && config.without_effect().is_empty());
}

#[test]
fn flags_win_over_environment_over_file_over_defaults() {
    let (_directory, file) = files(&[("a.conf", "port 1\ntimeout 1\nmaxclients 1\n")]);
    let env = [("KVIK_PORT", "2"), ("KVIK_TIMEOUT", "2"), ("PATH", "x")];
    let config = load_with(&[&file, "--port", "3"], &env).unwrap().config;
    assert_eq!(config.int(Key::Port), 3);
    assert_eq!(config.int(Key::Timeout), 2);
    assert_eq!(config.int(Key::Maxclients), 1);
    assert_eq!(config.int(Key::Databases), 16);
    assert!(config.file().unwrap().is_absolute());
}

#[test]
fn flags_take_the_words_that_follow() {
    let config = config_of(&[
        "--bind",
        "127.0.0.1",
        "-::1",
        "--port=6380",
        "--save",
        "",
        "--appendonly",
        "yes",
    ]);
    assert_eq!(config.words(Key::Bind), ["127.0.0.1", "-::1"]);
    assert_eq!(config.int(Key::Port), 6380);
    assert_eq!(config.save_rules(), []);
    assert!(config.bool(Key::Appendonly));
    assert_eq!(
        config_of(&["--bind", "10.0.0.1 ::1"]).words(Key::Bind),
        ["10.0.0.1", "::1"]
    );
    assert_eq!(
        config_of(&["--save", "10", "1", "--save", "20 2"]).save_rules(),
        [(10, 1), (20, 2)]
    );
    assert!(config_of(&["--appendonly"]).bool(Key::Appendonly));
}

#[test]
fn command_line_mistakes_are_refused() {
    assert_eq!(
        refusal(&["--bogus", "1"], &[]),
        "--bogus is not a directive of kvik"
    );
    assert_eq!(refusal(&["--port"], &[]), "--port needs a value");
    assert_eq!(
        refusal(&["--port=1", "-x"], &[]),
        "--port: cannot set port to '1 -x': wrong number of arguments"
    );
    assert_eq!(
        refusal(&["-", "x"], &[]),
        "'x' is not expected here: flags begin with --"
    );
    assert!(
        refusal(&["/does/not/exist.conf"], &[]).contains("/does/not/exist.conf cannot be read")
    );
}

#[test]
fn a_bad_value_names_its_source() {
    let reason = "argument must be between 0 and 65535 inclusive";
    assert_eq!(
        refusal(&["--port", "70000"], &[]),
        format!("--port: cannot set port to '70000': {reason}")
    );
    let env = [("KVIK_PORT", "70000")];
    assert_eq!(
        refusal(&[], &env),
        format!("KVIK_PORT: cannot set port to '70000': {reason}")
    );
    let (_directory, file) = files(&[
        ("a.conf", "# c\nport 70000\n"),
        ("b.toml", "[tls]\n\nport = 70000\n"),
    ]);
    assert_eq!(
        refusal(&[&file], &[]),
        format!("{file}:2: cannot set port to '70000': {reason}")
    );
    let file = file.replace("a.conf", "b.toml");
    assert_eq!(
        refusal(&[&file], &[]),
        format!("{file}:3: cannot set tls-port to '70000': {reason}")
    );
}

#[test]
fn a_bad_password_is_not_printed() {
    let shown = refusal(&["--requirepass", "two", "words"], &[]);
    assert_eq!(
        shown,
        "--requirepass: cannot set requirepass to '(hidden)': wrong number of arguments"
    );
}

#[test]
fn an_unknown_directive_refuses_to_start_wherever_it_stands() {
    let (_directory, file) = files(&[
        ("a.conf", "port 1\n\nrequirepas secret\n"),
        ("b.toml", "[x]\ny = 1\n"),
    ]);
    let unknown = "is not a directive of kvik";
    assert_eq!(
        refusal(&[&file], &[]),
        format!("{file}:3: 'requirepas' {unknown}; did you mean requirepass?")
    );
    let toml = file.replace("a.conf", "b.toml");
    assert_eq!(refusal(&[&toml], &[]), format!("{toml}:2: 'x-y' {unknown}"));
    assert_eq!(
        refusal(&[], &[("KVIK_REQUIRE_PAS", "secret")]),
        "KVIK_REQUIRE_PAS names no directive of kvik; did you mean requirepass?"
    );
    assert_eq!(
        refusal(&["--requirepas", "secret"], &[]),
        format!("--requirepas {unknown}; did you mean requirepass?")
    );
}

#[test]
fn what_other_servers_are_tuned_with_warns() {
    let (_directory, file) = files(&[("a.conf", "server-threads 4\nport 1\n")]);
    let env = [("KVIK_SERVICE_HOST", "10.0.0.1"), ("KVIK_TEST_REDIS", "x")];
    let loaded = load_with(&[&file], &env).unwrap();
    let expected = [
        format!("{file}:1: 'server-threads' is a directive of another server and has no effect"),
        "KVIK_SERVICE_HOST names no directive of kvik and has no effect".to_owned(),
        "KVIK_TEST_REDIS names no directive of kvik and has no effect".to_owned(),
    ];
    assert_eq!(loaded.warnings, expected);
    let (_directory, file) = files(&[("a.conf", "multi-master yes\n")]);
    assert!(refusal(&[&file], &[]).contains("'multi-master' is not a directive"));
}

#[test]
fn a_file_in_another_encoding_is_refused_and_line_ends_of_two_bytes_are_not() {
    let utf16 =
        |text: &str| -> Vec<u8> { text.encode_utf16().flat_map(u16::to_le_bytes).collect() };
    let refused: [(&[u8], &str); 6] = [
        (
            b"\xEF\xBB\xBFrequirepass x\n",
            ":1: the file begins with a byte order mark",
        ),
        (
            &[&b"\xFF\xFE"[..], &utf16("port 1\n")].concat(),
            ":1: the file is UTF-16",
        ),
        (b"\xFE\xFF\0p\0o", ":1: the file is UTF-16"),
        (
            &utf16("# comment\nrequirepass x\n"),
            ":1: the file has a zero byte",
        ),
        (b"port 1\nrequirepass \0\n", ":2: the file has a zero byte"),
        (
            b"# comment\rrequirepass x\r",
            ":1: a carriage return without a line feed",
        ),
    ];
    for name in ["a.conf", "a.toml"] {
        let (_directory, file) = files(&[(name, "")]);
        for (text, reason) in refused {
            std::fs::write(&file, text).unwrap();
            let refusal = refusal(&[&file], &[]);
            assert!(refusal.starts_with(&format!("{file}{reason}")), "{refusal}");
        }
    }
    let (_directory, file) = files(&[("a.conf", "# comment\r\nrequirepass x\r\nport 7\r\n")]);
    let config = config_of(&[&file]);
    assert_eq!(
        (config.bytes(Key::Requirepass), config.int(Key::Port)),
        (b"x".to_vec(), 7)
    );
}

#[test]
fn commands_that_would_keep_their_names_refuse_to_start() {
    let (_directory, file) = files(&[("a.conf", "rename-command FLUSHALL \"\"\n")]);
    assert!(refusal(&[&file], &[]).contains("commands keep their names"));
}

#[test]
fn malformed_files_name_the_line() {
    let (_directory, file) = files(&[
        ("a.conf", "port 1\nrequirepass \"x\n"),
        ("b.toml", "port = 1\nbind = [\n"),
    ]);
    assert_eq!(
        refusal(&[&file], &[]),
        format!("{file}:2: Unbalanced quotes in configuration line")
    );
    assert!(refusal(&[&file.replace("a.conf", "b.toml")], &[]).contains("b.toml:2: "));
}

#[test]
fn redis_conf_as_it_is_in_the_wild() {
    let text = "# comment\n\nPORT 7000\r\nbind 127.0.0.1 -::1\nsave 900 1\nsave 300 10\nmaxmemory 1gb\n\
                requirepass \"a b\\x00\"\nlogfile ''\nclient-output-buffer-limit replica 256mb 64mb 60\n\
                slave-read-only no\n";
    let (_directory, file) = files(&[("redis.conf", text)]);
    let loaded = load_with(&[&file], &[]).unwrap();
    let config = loaded.config;
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(config.int(Key::Port), 7000);
    assert_eq!(config.save_rules(), [(900, 1), (300, 10)]);
    assert_eq!(config.size(Key::Maxmemory), 1 << 30);
    assert_eq!(config.bytes(Key::Requirepass), b"a b\0");
    assert_eq!(config.path(Key::Logfile), None);
    assert!(!config.bool(Key::ReplicaReadOnly));
}

#[test]
fn toml_in_all_its_forms() {
    let text = "port = 0x1b58\nbind = ['127.0.0.1', '::1']\nsave = [[900, 1], [300, 10]]\nunixsocketperm = 0o755\n\
                maxmemory = '1gb'\nappendonly = true\ntls.port = 1\n[slowlog]\nlog_slower_than = -1\n\
                [client-output-buffer-limit]\nnormal = '1mb 0 0'\npubsub = [2048, '1kb', 3]\n";
    let (_directory, file) = files(&[("kvik.toml", text)]);
    let loaded = load_with(&[&file], &[]).unwrap();
    let config = loaded.config;
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(config.int(Key::Port), 7000);
    assert_eq!(config.words(Key::Bind), ["127.0.0.1", "::1"]);
    assert_eq!(config.save_rules(), [(900, 1), (300, 10)]);
    assert_eq!(config.int(Key::Unixsocketperm), 0o755);
    assert_eq!(config.int(Key::SlowlogLogSlowerThan), -1);
    let [normal, replica, pubsub] = config.output_buffer_limits();
    assert_eq!(
        (normal.hard_bytes, replica.hard_bytes),
        (1 << 20, 256 << 20)
    );
    assert_eq!(
        pubsub,
        BufferLimit {
            hard_bytes: 2048,
            soft_bytes: 1024,
            soft_seconds: 3
        }
    );
}

#[test]
fn syntax_is_told_by_extension_then_by_content() {
    let of = |path: &str, text: &str| Syntax::of(Some(Path::new(path)), text.as_bytes());
    assert_eq!(of("x.toml", "port 1"), Syntax::Toml);
    assert_eq!(of("x.conf", "port = 1"), Syntax::Conf);
    assert_eq!(of("x", "# c\n\nport = 1"), Syntax::Toml);
    assert_eq!(of("x", "[tls]\nport=1"), Syntax::Toml);
    assert_eq!(of("x", "requirepass a=b"), Syntax::Conf);
    assert_eq!(Syntax::of(None, b""), Syntax::Conf);
}

#[test]
fn standard_input_is_a_file_after_the_file() {
    let (_directory, file) = files(&[("a.conf", "port 1\ntimeout 5\n")]);
    let args = [file.as_str(), "-", "--hz", "20"].map(OsString::from);
    let config = load(&args, [], &mut &b"port 2\n"[..]).unwrap().config;
    assert_eq!(
        (
            config.int(Key::Port),
            config.int(Key::Timeout),
            config.int(Key::Hz)
        ),
        (2, 5, 20)
    );
}

#[test]
fn includes_nest_and_never_loop() {
    let (directory, file) = files(&[
        ("a.conf", ""),
        ("1.inc", "port 1\ntimeout 7\n"),
        ("2.inc", "port 2\n"),
    ]);
    let inside = |name: &str| directory.path().join(name).display().to_string();
    std::fs::write(
        &file,
        format!(
            "include {}\ntimeout 9\ninclude {}\n",
            inside("*.inc"),
            inside("no*thing")
        ),
    )
    .unwrap();
    let config = config_of(&[&file]);
    assert_eq!((config.int(Key::Port), config.int(Key::Timeout)), (2, 9));
    let config = config_of(&["--port", "5", "--include", &inside("1.inc")]);
    assert_eq!((config.int(Key::Port), config.int(Key::Timeout)), (1, 7));
    std::fs::write(&file, format!("include {file}\n")).unwrap();
    assert!(refusal(&[&file], &[]).ends_with("includes itself"));
    std::fs::write(&file, "include /does/not/exist\n").unwrap();
    assert!(refusal(&[&file], &[]).starts_with(&format!("{file}:1: ")));
}

#[test]
fn get_matches_globs_names_and_aliases() {
    let config = config_of(&[]);
    let names = |pattern: &str| {
        let mut names: Vec<String> = config
            .get(&[pattern.as_bytes()])
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        names.sort();
        names
    };
    assert_eq!(names("SLAVEOF"), ["SLAVEOF"]);
    assert_eq!(
        names("*-max-ziplist-entries"),
        ["hash-max-ziplist-entries", "zset-max-ziplist-entries"]
    );
    assert_eq!(
        names("MAXMEMORY-[ps][oa][lm]*"),
        ["maxmemory-policy", "maxmemory-samples"]
    );
    assert_eq!(names("nonsense"), [""; 0]);
    assert_eq!(names("rename-command"), [""; 0]);
    assert_eq!(config.get(&[b"port", b"p*t", b"port"]).len(), 1);
    let visible: usize = Key::ALL
        .iter()
        .filter(|key| key.row().access != Access::FileOnly)
        .map(|key| 1 + usize::from(key.row().alias.is_some()))
        .sum();
    assert_eq!(config.get(&[b"*"]).len(), visible);
}

#[test]
fn values_render_as_redis_does() {
    let config = config_of(&[
        "--maxmemory",
        "1gb",
        "--maxmemory-clients",
        "5%",
        "--unixsocketperm",
        "0700",
    ]);
    assert_eq!(get(&config, "maxmemory"), "1073741824");
    assert_eq!(get(&config, "maxmemory-clients"), "5%");
    assert_eq!(get(&config, "unixsocketperm"), "700");
    assert_eq!(get(&config, "save"), "3600 1 300 100 60 10000");
    assert_eq!(
        get(&config, "client-output-buffer-limit"),
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60"
    );
    set(
        &config,
        &[
            ("notify-keyspace-events", "KEA"),
            ("oom-score-adj", "relative"),
            ("shutdown-on-sigint", "now save"),
        ],
    )
    .unwrap();
    assert_eq!(get(&config, "notify-keyspace-events"), "AKE");
    assert_eq!(get(&config, "oom-score-adj"), "yes");
    assert_eq!(get(&config, "shutdown-on-sigint"), "save now");
    assert_eq!(get(&config, "threads"), "auto");
    assert!(Path::new(&get(&config, "dir")).is_absolute());
}

#[test]
fn set_is_all_or_nothing() {
    let config = config_of(&[]);
    set(&config, &[("timeout", "5"), ("maxmemory", "2mb")]).unwrap();
    assert_eq!(
        (get(&config, "timeout"), get(&config, "maxmemory")),
        ("5".into(), "2097152".into())
    );
    let error = set(&config, &[("timeout", "6"), ("maxmemory", "x")]).unwrap_err();
    assert_eq!(
        error,
        "ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value"
    );
    assert_eq!(config.int(Key::Timeout), 5);
}

#[test]
fn buffer_limits_change_one_class_at_a_time() {
    let config = config_of(&[]);
    set(&config, &[("client-output-buffer-limit", "pubsub 1mb 0 0")]).unwrap();
    let [_, replica, pubsub] = config.output_buffer_limits();
    assert_eq!(
        (replica.hard_bytes, pubsub.hard_bytes),
        (256 << 20, 1 << 20)
    );
}

#[test]
fn subscribers_hear_of_their_keys_and_may_refuse() {
    let config = config_of(&[]);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&heard);
    config.on_change(&[Key::Timeout, Key::Maxclients], move |config, keys| {
        log.lock().push((keys.to_vec(), config.int(Key::Timeout)));
        Ok(())
    });
    config.on_change(&[Key::Port], |_, _| {
        Err("Unable to listen on this port. Check server logs.".into())
    });
    set(&config, &[("timeout", "5"), ("hz", "11")]).unwrap();
    set(&config, &[("timeout", "5")]).unwrap();
    let error = set(&config, &[("timeout", "6"), ("port", "1")]).unwrap_err();
    assert_eq!(
        error,
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this port. Check server logs."
    );
    assert_eq!((config.int(Key::Timeout), config.int(Key::Port)), (5, 6379));
    let timeout = vec![Key::Timeout];
    assert_eq!(
        *heard.lock(),
        [(timeout.clone(), 5), (timeout.clone(), 6), (timeout, 5)]
    );
}

#[test]
fn protected_directives_follow_their_switch() {
    let refused =
        "ERR CONFIG SET failed (possibly related to argument 'dir') - can't set protected config";
    assert_eq!(set(&config_of(&[]), &[("dir", "/")]).unwrap_err(), refused);
    let config = config_of(&["--enable-protected-configs", "local"]);
    assert_eq!(
        config
            .set(&[(b"dir", b"/")], false)
            .unwrap_err()
            .to_string(),
        refused
    );
    config.set(&[(b"dir", b"/")], true).unwrap();
    assert_eq!(get(&config, "dir"), "/");
}

#[test]
fn what_has_no_effect_is_reported_unless_default() {
    let reported = config_of(&["--daemonize"]).without_effect()[0].to_string();
    assert!(reported.starts_with("daemonize 'yes' has no effect: kvik stays"));
    let config = config_of(&[
        "--appendonly",
        "yes",
        "--port",
        "1",
        "--io-threads",
        "4",
        "--save",
        "",
        "--primaryauth",
        "x",
    ]);
    let report: Vec<(&str, String)> = config
        .without_effect()
        .into_iter()
        .map(|row| (row.name, row.value))
        .collect();
    let expected = [("io-threads", "4"), ("primaryauth", "(hidden)")];
    assert_eq!(
        report,
        expected.map(|(name, value)| (name, value.to_owned()))
    );
}

#[test]
fn users_that_would_not_exist_refuse_to_start() {
    let (_directory, file) = files(&[("a.conf", "user default off\n")]);
    assert!(refusal(&[&file], &[]).contains("use requirepass"));
    assert!(refusal(&["--aclfile", "users.acl"], &[]).contains("use requirepass"));
}

#[test]
fn the_documentation_has_every_directive() {
    let page = markdown();
    for key in Key::ALL {
        assert!(
            page.contains(&format!("\n| `{}`", key.name())),
            "{}",
            key.name()
        );
    }
    let cells = |line: &str| line.replace("\\|", "").matches('|').count();
    assert!(
        page.lines()
            .filter(|line| line.starts_with('|'))
            .all(|line| cells(line) == 6)
    );
}

proptest! {
    #[test]
    fn any_text_loads_or_is_refused(text: Vec<u8>) {
        for syntax in [Syntax::Conf, Syntax::Toml] {
            let _ = values_in(&text, syntax, Path::new("x"));
        }
    }

    #[test]
    fn any_words_load_or_are_refused(
        lines in prop::collection::vec((prop::sample::select(Key::ALL), r#"([a-z0-9%"' .,:=-]|\[|\])*"#), 0..9),
    ) {
        let conf: String = lines.iter().map(|(key, words)| format!("{} {words}\n", key.name())).collect();
        let toml: String = lines.iter().map(|(key, words)| format!("{} = {words}\n", key.name())).collect();
        let _ = values_in(conf.as_bytes(), Syntax::Conf, Path::new("x"));
        let _ = values_in(toml.as_bytes(), Syntax::Toml, Path::new("x"));
    }
}

//! The views of `kvik cli`: `top` and the programs that redis-cli has inside, against kvik and,
//! where it is installed, redis-server. Where redis-cli is installed, it must print the same.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[allow(dead_code, reason = "each test uses a part")]
mod served;

use std::process::Command;

use served::{KVIK, REDIS, Served, kvik, text};

/// Runs a test against every server there is.
fn on_servers(more: &[&str], test: impl Fn(&Served)) {
    for program in [KVIK, REDIS] {
        if let Some(server) = Served::start(program, more) {
            for command in [
                &["MSET", "a", "1", "bb", "22", "ccc", "333"][..],
                &["RPUSH", "l", "1", "2", "3"],
                &["HSET", "h", "f", "v", "g", "w"],
                &["SADD", "s", "1", "2"],
                &["ZADD", "z", "1", "a"],
                &["XADD", "x", "1-1", "f", "v"],
            ] {
                assert!(server.call(command).as_error().is_none());
            }
            test(&server);
        }
    }
}

fn view(server: &Served, words: &[&str]) -> String {
    let port = server.port.to_string();
    let words = [&["cli", "-p", &port], words].concat();
    let output = kvik(&words, server.directory.path());
    assert!(
        output.status.success(),
        "{words:?}: {}",
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// The same from redis-cli, if it is there.
fn peer(server: &Served, words: &[&str]) -> Option<String> {
    let port = server.port.to_string();
    let output = Command::new("redis-cli")
        .args(["-p", &port])
        .args(words)
        .output();
    Some(text(&output.ok()?.stdout))
}

/// The lines behind a line, sorted: redis-cli lists types in an order of its own.
fn behind(text: &str, line: &str) -> Vec<String> {
    let (_, rest) = text.split_once(line).unwrap_or_else(|| panic!("{text}"));
    let mut lines: Vec<_> = rest.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn the_largest_keys_are_those_of_redis_cli() {
    on_servers(&[], |server| {
        for flag in ["--bigkeys", "--memkeys"] {
            let ours = view(server, &[flag]);
            assert!(ours.contains("Biggest   list found '\"l\"' has "), "{ours}");
            if let Some(theirs) = peer(server, &[flag]) {
                let summary = "-------- summary -------";
                assert_eq!(behind(&ours, summary), behind(&theirs, summary));
                let head = |text: &str| text.split("[00").next().unwrap().to_owned();
                assert_eq!(head(&ours), head(&theirs));
            }
        }
        let some = view(server, &["--bigkeys", "--pattern", "?"]);
        assert!(some.contains("Sampled 6 keys in the keyspace!"), "{some}");
    });
}

#[test]
fn hot_keys_are_counted_or_recorded() {
    on_servers(&["--maxmemory-policy", "allkeys-lfu"], |server| {
        for _ in 0..50 {
            server.call(&["GET", "bb"]);
        }
        let ours = view(server, &["--hotkeys"]);
        let hot = |text: &str| text.contains("keyname: \"bb\"");
        assert!(
            hot(&ours) && ours.contains("hot key found with counter: "),
            "{ours}"
        );
        if let Some(theirs) = peer(server, &["--hotkeys"]) {
            assert!(hot(&theirs), "{theirs}");
        }
    });
    on_servers(&[], |server| {
        let mut client = server.client();
        for _ in 0..2000 {
            client.call(&["GET", "bb"]).unwrap();
        }
        let port = server.port.to_string();
        let output = kvik(&["cli", "-p", &port, "--hotkeys"], server.directory.path());
        // Without counters only kvik knows.
        match server.call(&["HOTKEYS"]).as_error() {
            None => {
                let found = text(&output.stdout);
                assert!(
                    found.contains("calls per second\tkeyname: \"bb\""),
                    "{found}"
                );
            }
            Some(_) => {
                assert_eq!(output.status.code(), Some(1));
                assert!(text(&output.stderr).contains("LFU"));
            }
        }
    });
}

#[test]
fn keys_are_listed() {
    on_servers(&[], |server| {
        let mut keys: Vec<_> = view(server, &["--scan"])
            .lines()
            .map(str::to_owned)
            .collect();
        keys.sort();
        assert_eq!(keys, ["a", "bb", "ccc", "h", "l", "s", "x", "z"]);
        assert_eq!(view(server, &["--scan", "--pattern", "c*"]), "ccc\n");
    });
}

#[test]
fn figures_come_as_lines() {
    on_servers(&[], |server| {
        let stat = view(server, &["--stat", "-i", "0.01", "-r", "22"]);
        let lines: Vec<_> = stat.lines().collect();
        // Two headings of two lines among them.
        assert_eq!(lines.len(), 26, "{stat}");
        assert_eq!(lines[0], lines[22]);
        assert!(lines[2].starts_with("8          "), "{stat}");
        let fields: Vec<_> = lines[3].split_whitespace().collect();
        assert_eq!(fields[5], "(+1)", "{stat}");
    });
}

#[test]
fn latency_is_measured() {
    on_servers(&[], |server| {
        let line = view(server, &["--latency", "-i", "0.05"]);
        let numbers: Vec<f64> = line
            .split_whitespace()
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(numbers.len(), 4, "{line}");
        assert!(numbers[3] >= 1.0);
        let history = view(server, &["--latency-history", "-i", "0.05", "-r", "3"]);
        assert_eq!(history.lines().count(), 3, "{history}");
        let json = view(server, &["--latency", "-i", "0.05", "--json"]);
        assert!(json.starts_with("{\"min\": "), "{json}");
    });
}

#[test]
fn a_page_of_top_needs_no_terminal() {
    on_servers(&[], |server| {
        let page = view(server, &["top", "--once", "-i", "0.05"]);
        assert!(
            page.contains(&format!(" at 127.0.0.1:{}, up ", server.port)),
            "{page}"
        );
        for part in ["keys     8", "\nCOMMANDS", "\ninfo", "\nCLIENTS ("] {
            assert!(page.contains(part), "{part}\n{page}");
        }
        assert!(!page.contains('\x1b'), "{page}");
    });
    let more = ["--namespaces", "auto", "--stats-prefixes", "user:"];
    let server = Served::start(KVIK, &more).unwrap();
    server.call(&["MSET", "web/a", "1", "web/b", "2", "user:1", "3"]);
    let page = view(&server, &["top", "--once", "-i", "0.05"]);
    assert!(page.contains("NAMESPACES (2)"), "{page}");
    let web = page.lines().find(|line| line.starts_with("web ")).unwrap();
    assert_eq!(web.split_whitespace().nth(1), Some("2"), "{page}");
    assert!(
        page.lines().any(|line| line.starts_with("user: ")),
        "{page}"
    );
}

#[test]
fn a_benchmark_compares_two_servers() {
    let (one, other) = (
        Served::start(KVIK, &[]).unwrap(),
        Served::start(KVIK, &[]).unwrap(),
    );
    let (port, vs) = (one.port.to_string(), format!("127.0.0.1:{}", other.port));
    let run = |more: &[&str]| {
        let words = [
            "bench", "-p", &port, "--vs", &vs, "--secs", "0.1", "-c", "3", "-P", "4",
        ];
        let words = [&words[..], more].concat();
        let output = kvik(&words, one.directory.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let table = run(&["--keys", "500"]);
    let rows = |name: &str| table.lines().filter(|line| line.contains(name)).count();
    assert_eq!(
        (rows(" set "), rows(" get "), rows("  ratio")),
        (2, 2, 2),
        "{table}"
    );
    assert_eq!(one.call(&["DBSIZE"]).as_int(), Some(500));
    let paced = run(&["-t", "set", "--rate", "1000"]);
    assert!(paced.contains("1000 commands due each second"), "{paced}");
}

#[test]
fn a_benchmark_goes_through_every_door() {
    let ports = [(); 3].map(|()| served::free_port());
    let doors = ["neks", "kiba", "nkv"];
    let urls = [0, 1, 2].map(|at| format!("{}://127.0.0.1:{}", doors[at], ports[at]));
    let mut flags = vec!["--listen"];
    flags.extend(urls.iter().map(String::as_str));
    let server = Served::start(KVIK, &flags).unwrap();
    for url in &urls {
        let words = [
            "bench", "-u", url, "--secs", "0.1", "-c", "2", "--keys", "20",
        ];
        let output = kvik(&words, server.directory.path());
        let table = text(&output.stdout);
        assert!(output.status.success(), "{url}: {}", text(&output.stderr));
        for line in table.lines().filter(|line| line.contains("et  ")) {
            assert!(line.ends_with(" 0"), "{table}");
        }
    }
}

//! `kvik cli` as a script sees it: arguments, standard streams and exit status.
//!
//! Tests that need a server run against kvik itself and, where it is installed, against
//! redis-server.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use kvik_client::{Client, Endpoint, Options, Value};
use tempfile::TempDir;

#[path = "../../kvik-client/examples/pipeline.rs"]
mod pipeline;
#[path = "../../kvik-client/examples/transaction.rs"]
mod transaction;

/// A server on a unix socket in a directory of its own.
struct Server {
    process: Child,
    directory: TempDir,
}

/// Runs `test` against every server there is, started with more `arguments`.
fn on_servers(arguments: &[&str], test: impl Fn(&Server)) {
    for program in [env!("CARGO_BIN_EXE_kvik"), REDIS] {
        if let Some(server) = Server::start(program, arguments) {
            test(&server);
        }
    }
}

const REDIS: &str = "redis-server";

impl Server {
    /// Starts `program`, if it is installed.
    fn start(program: &str, arguments: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("socket");
        let process = Command::new(program)
            .args([
                "--port",
                "0",
                "--save",
                "",
                "--appendonly",
                "no",
                "--unixsocket",
            ])
            .arg(&socket)
            .args(arguments)
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .spawn();
        let Ok(process) = process else {
            eprintln!("{program} is not installed: skipped");
            return None;
        };
        wait_for(&socket);
        Some(Self { process, directory })
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    fn run(&self, arguments: &[&str]) -> Outcome {
        self.run_with(arguments, b"", &[])
    }

    /// The same for output that is no text.
    fn bytes(&self, arguments: &[&str], input: &[u8]) -> Output {
        let socket = self.socket();
        let connection = ["cli", "-s", socket.to_str().unwrap()];
        output(&[&connection, arguments].concat(), input, &[])
    }

    /// Runs the command line against this server with `input` and an environment.
    fn run_with(&self, arguments: &[&str], input: &[u8], environment: &[(&str, &str)]) -> Outcome {
        let socket = self.socket();
        let connection = ["cli", "-s", socket.to_str().unwrap()];
        run(&[&connection, arguments].concat(), input, environment)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process decides when the server is ready"
)]
fn wait_for(socket: &Path) {
    for _ in 0..500 {
        // A server that still looks for its files answers LOADING, one with a password NOAUTH.
        let client = Client::open(&Endpoint::unix(socket), &Options::default());
        let reply = client.and_then(|mut client| client.call(&["PING"]));
        let is_loading =
            |reply: &Value| matches!(reply, Value::Error(text) if text.starts_with("LOADING"));
        if reply.is_ok_and(|reply| !is_loading(&reply)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the server did not start");
}

#[derive(Debug, PartialEq)]
struct Outcome {
    stdout: String,
    stderr: String,
    status: i32,
}

fn run(arguments: &[&str], input: &[u8], environment: &[(&str, &str)]) -> Outcome {
    let output = output(arguments, input, environment);
    Outcome {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        status: output.status.code().unwrap(),
    }
}

fn output(arguments: &[&str], input: &[u8], environment: &[(&str, &str)]) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_kvik"))
        .args(arguments)
        .env_remove("REDISCLI_AUTH")
        .env_remove("KVIKCLI_AUTH")
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that reads no input may be gone already.
    let _ = process.stdin.take().unwrap().write_all(input);
    process.wait_with_output().unwrap()
}

fn success(stdout: &str) -> Outcome {
    Outcome {
        stdout: stdout.to_owned(),
        stderr: String::new(),
        status: 0,
    }
}

fn failure(stdout: &str, stderr: &str) -> Outcome {
    Outcome {
        stdout: stdout.to_owned(),
        stderr: stderr.to_owned(),
        status: 1,
    }
}

#[test]
fn replies_are_raw_in_a_pipe_and_formatted_on_demand() {
    on_servers(&[], |server| {
        assert_eq!(server.run(&["SET", "k", "a b"]), success("OK\n"));
        assert_eq!(server.run(&["get", "k"]), success("a b\n"));
        assert_eq!(server.run(&["get", "missing"]), success("\n"));
        assert_eq!(server.run(&["--no-raw", "get", "k"]), success("\"a b\"\n"));
        assert_eq!(
            server.run(&["--no-raw", "get", "missing"]),
            success("(nil)\n")
        );
        assert_eq!(server.run(&["--json", "get", "k"]), success("\"a b\"\n"));
        assert_eq!(server.run(&["-D", ";", "get", "k"]), success("a b;"));
    });
}

#[test]
fn a_hash_is_a_list_of_lines_or_a_map() {
    let Some(server) = Server::start(REDIS, &[]) else {
        return;
    };
    assert_eq!(
        server.run(&["HSET", "h", "f", "a b", "g", "2"]),
        success("2\n")
    );
    assert_eq!(server.run(&["hgetall", "h"]), success("f\na b\ng\n2\n"));
    assert_eq!(
        server.run(&["-d", ",", "hgetall", "h"]),
        success("f,a b,g,2\n")
    );
    assert_eq!(
        server.run(&["--no-raw", "hgetall", "h"]),
        success("1# \"f\" => \"a b\"\n2# \"g\" => \"2\"\n")
    );
    assert_eq!(
        server.run(&["--json", "hgetall", "h"]),
        success("{\"f\":\"a b\",\"g\":\"2\"}\n")
    );
    assert!(
        server
            .run(&["--no-raw", "-2", "info", "server"])
            .stdout
            .starts_with("# Server\r\n")
    );
}

const WRONG_ARITY: &str = "ERR wrong number of arguments for 'get' command";

#[test]
fn an_error_reply_fails_only_when_asked_to() {
    on_servers(&[], |server| {
        assert_eq!(server.run(&["get"]), success(&format!("{WRONG_ARITY}\n\n")));
        assert_eq!(
            server.run(&["-e", "get"]),
            failure("", &format!("{WRONG_ARITY}\n"))
        );
    });
}

#[test]
fn a_command_is_repeated_and_may_end_with_standard_input() {
    on_servers(&[], |server| {
        assert_eq!(
            server.run(&["-r", "3", "-i", "0.001", "echo", "x"]),
            success("x\nx\nx\n")
        );
        assert_eq!(
            server.run_with(&["-x", "set", "k"], b"a\nb", &[]),
            success("OK\n")
        );
        assert_eq!(
            server.run(&["--no-raw", "get", "k"]),
            success("\"a\\nb\"\n")
        );
    });
}

#[test]
fn lines_of_a_pipe_are_commands() {
    on_servers(&[], |server| {
        let input = b"set k 'a b'\n\n  get \"k\"\n2 echo n\nget k";
        assert_eq!(
            server.run_with(&[], input, &[]),
            success("OK\na b\nn\nn\na b\n")
        );
        let input = b"set k v\nget \"k\nget\nquit\nset k w\n";
        let outcome = server.run_with(&["-e"], input, &[]);
        assert_eq!(outcome.stdout, format!("OK\n{WRONG_ARITY}\n\n"));
        assert_eq!(
            outcome.stderr,
            format!(
                "line 2: unbalanced quotes\nfailed commands: 2; the first error reply on line 3: {WRONG_ARITY}\n"
            )
        );
        assert_eq!(outcome.status, 1);
        assert_eq!(server.run_with(&[], b"get\n", &[]).status, 0);
        assert_eq!(server.run(&["get", "k"]), success("v\n"));
    });
}

#[test]
fn many_lines_keep_their_order() {
    on_servers(&[], |server| {
        let input: String = (0..5000).map(|n| format!("echo {n}\n")).collect();
        let expected: String = (0..5000).map(|n| format!("{n}\n")).collect();
        assert_eq!(
            server.run_with(&[], input.as_bytes(), &[]),
            success(&expected)
        );
    });
}

#[test]
fn databases_and_accounts_are_chosen_on_the_way_in() {
    on_servers(&["--requirepass", "hunter2"], |server| {
        let no_auth = "NOAUTH Authentication required.\n\n";
        assert_eq!(server.run(&["get", "k"]), success(no_auth));
        assert_eq!(server.run(&["-a", "hunter2", "ping"]), success("PONG\n"));
        assert_eq!(
            server.run(&["--user", "default", "--pass", "hunter2", "ping"]),
            success("PONG\n")
        );
        let environment = [("REDISCLI_AUTH", "hunter2")];
        assert_eq!(
            server.run_with(&["-n", "3", "set", "k", "v"], b"", &environment),
            success("OK\n")
        );
        let url = format!("unix://:hunter2@{}?db=3", server.socket().display());
        assert_eq!(
            run(&["cli", "-u", &url, "get", "k"], b"", &[]),
            success("v\n")
        );
        let refused =
            "AUTH failed: WRONGPASS invalid username-password pair or user is disabled.\n";
        assert_eq!(server.run(&["-a", "wrong", "ping"]), failure("", refused));
        let beyond = server.run(&["-a", "hunter2", "-n", "99", "ping"]);
        assert_eq!(
            beyond,
            failure("", "SELECT failed: ERR DB index is out of range\n")
        );
    });
}

#[test]
fn a_needless_password_is_forgiven() {
    on_servers(&[], |server| {
        let outcome = server.run(&["-a", "x", "-n", "2", "ping"]);
        assert_eq!((outcome.stdout.as_str(), outcome.status), ("PONG\n", 0));
        assert_eq!(outcome.stderr, "Warning: the server asks for no password\n");
    });
}

#[test]
fn nobody_listening_is_a_failure_and_nonsense_a_usage_error() {
    let outcome = run(&["cli", "-s", "/nonexistent/socket", "ping"], b"", &[]);
    assert_eq!(outcome.status, 1);
    assert!(
        outcome
            .stderr
            .starts_with("could not connect to /nonexistent/socket: "),
        "{outcome:?}"
    );
    assert_eq!(run(&["cli", "--no-such-option"], b"", &[]).status, 2);
    assert_eq!(run(&["cli", "-u", "http://h"], b"", &[]).status, 2);
    let tls = run(&["cli", "-u", "rediss://h", "ping"], b"", &[]);
    assert_eq!(
        (tls.status, tls.stderr.as_str()),
        (2, "rediss:// needs TLS, which this client does not speak\n")
    );
}

#[test]
fn errors_keep_their_bytes() {
    let Some(server) = Server::start(REDIS, &[]) else {
        return;
    };
    let input = b"\"no\\xffsuch\" x\n";
    let error: &[u8] = b"ERR unknown command 'no\xffsuch', with args beginning with: 'x' ";
    let output = server.bytes(&[], input);
    assert_eq!(output.stdout, [error, b"\n\n"].concat());
    let summary = b"failed commands: 1; the first error reply on line 1: ";
    assert_eq!(output.stderr, [&summary[..], error, b"\n"].concat());
    let output = server.bytes(&["--no-raw"], input);
    assert_eq!(output.stdout, [b"(error) ", error, b"\n"].concat());
    let output = server.bytes(&["--json"], input);
    assert!(
        output.stdout.starts_with(b"{\"error\":{\"base64\":\"RVJS"),
        "{}",
        output.stdout.escape_ascii()
    );
}

#[test]
fn an_url_may_be_valkeys() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let commands = [
            ("*2\r\n$6\r\nSELECT\r\n$1\r\n3\r\n", "+OK\r\n"),
            ("*1\r\n$4\r\nping\r\n", "+PONG\r\n"),
        ];
        for (command, reply) in commands {
            let mut received = vec![0; command.len()];
            stream.read_exact(&mut received).unwrap();
            assert_eq!(String::from_utf8_lossy(&received), command);
            stream.write_all(reply.as_bytes()).unwrap();
        }
    });
    let url = format!("valkey://127.0.0.1:{port}/3");
    assert_eq!(
        run(&["cli", "-u", &url, "ping"], b"", &[]),
        success("PONG\n")
    );
    server.join().unwrap();
}

#[test]
fn help_and_completions_are_printed() {
    let help = run(&["cli", "--help"], b"", &[]);
    assert_eq!(help.status, 0);
    assert!(help.stdout.contains("-h <HOST>"), "{}", help.stdout);
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell], b"", &[]);
        assert_eq!((script.status, script.stderr.as_str()), (0, ""));
        assert!(
            script.stdout.contains("kvik") && script.stdout.contains("no-raw"),
            "{shell}"
        );
    }
    let version = run(&["--version"], b"", &[]);
    assert_eq!(
        version,
        success(&format!("kvik {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn the_examples_of_the_client_hold() {
    on_servers(&[], |server| {
        let url = format!("unix://{}", server.socket().display());
        assert_eq!(pipeline::run(&url).unwrap(), "Rome");
        let mut client = Client::connect(&url, &Options::default()).unwrap();
        let mut other = Client::connect(&url, &Options::default()).unwrap();
        let accounts = ["example:account:ann", "example:account:bob"];
        client
            .call(&["MSET", accounts[0], "100", accounts[1], "0"])
            .unwrap();
        // Somebody else takes money at the first attempt, so there has to be a second.
        let mut attempts = 0;
        let interfere = || {
            attempts += 1;
            if attempts == 1 {
                other.call(&["DECRBY", accounts[0], "50"]).unwrap();
            }
        };
        assert!(transaction::transfer(&mut client, 30, interfere).unwrap());
        assert_eq!(attempts, 2);
        assert!(!transaction::transfer(&mut client, 30, || {}).unwrap());
        let [first, second] = accounts;
        let balances = client.call(&["MGET", first, second]).unwrap();
        let balances: Vec<_> = balances
            .as_slice()
            .unwrap()
            .iter()
            .map(Value::as_int)
            .collect();
        assert_eq!(balances, [Some(20), Some(30)]);
    });
}

/// One key of each type, one that expires, and a transaction.
const DATA: &[&str] = &[
    "SET string value PX 100000000",
    "RPUSH list a b c",
    "SADD set a b 1",
    "SADD numbers 1 2 3",
    "ZADD zset 1 a 2.5 b",
    "HSET hash f v g w",
    "XADD stream * f v",
    "XGROUP CREATE stream group $",
    "SELECT 3",
    "MULTI",
    "SET a 1",
    "INCRBYFLOAT a 0.5",
    "EXEC",
];

#[test]
fn files_of_redis_are_checked() {
    let arguments = ["--appendonly", "yes", "--appendfsync", "always"];
    let Some(server) = Server::start(REDIS, &arguments) else {
        return;
    };
    let mut client = Client::open(&Endpoint::unix(server.socket()), &Options::default()).unwrap();
    for line in DATA {
        let words: Vec<&str> = line.split(' ').collect();
        let reply = client.call(&words).unwrap();
        assert_eq!(reply.as_error(), None, "{line}");
    }
    assert!(client.call(&["SAVE"]).unwrap().is_ok());
    let directory = server.directory.path().to_str().unwrap();
    let outcome = run(&["check", directory], b"", &[]);
    assert_eq!(
        (outcome.status, outcome.stderr.as_str()),
        (0, ""),
        "{}",
        outcome.stdout
    );
    for part in [
        "manifest of 1 base, 1 increment, 0 superseded files",
        "dump.rdb: snapshot of version 10 by Redis 7.0",
        "8 keys in 2 databases, 1 of them expire",
        "the checksum is right",
        "loads in: kvik, Redis 7.0 and later, Valkey 7.2 and later",
    ] {
        assert!(outcome.stdout.contains(part), "{part}: {}", outcome.stdout);
    }

    // The end of the last increment is torn off, as by a loss of power.
    let increment = format!("{directory}/appendonlydir/appendonly.aof.1.incr.aof");
    let whole = std::fs::read(&increment).unwrap();
    std::fs::write(&increment, &whole[..whole.len() - 3]).unwrap();
    let torn = run(&["check", directory], b"", &[]);
    assert_eq!(torn.status, 1);
    assert!(
        torn.stdout.contains("it ends inside a unit"),
        "{}",
        torn.stdout
    );
    assert_eq!(run(&["check", "--repair", directory], b"", &[]).status, 0);
    assert_eq!(run(&["check", directory], b"", &[]).status, 0);
    let theirs = Command::new("redis-check-aof").arg(&increment).output();
    assert!(theirs.is_ok_and(|output| output.status.success()));
}

#[test]
fn a_check_needs_a_path() {
    assert_eq!(run(&["check"], b"", &[]).status, 2);
    let missing = run(&["check", "/nonexistent"], b"", &[]);
    let reason = "/nonexistent: DAMAGED: No such file or directory (os error 2)\n";
    assert_eq!((missing.status, missing.stdout.as_str()), (1, reason));
}

//! The doors of the binary as a user sees them: presets, the command line towards each door, the
//! names of other programs, data that come and go, and agreement of all doors after a crash.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kvik_client::{Client, Endpoint, Options, Value};
use tempfile::TempDir;

const KVIK: &str = env!("CARGO_BIN_EXE_kvik");

/// A server with a door for each protocol, and its data in a directory.
struct Doors {
    process: Child,
    resp: u16,
    neks: u16,
    kiba: u16,
    nkv: u16,
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

impl Doors {
    fn open(directory: &Path, more: &[&str]) -> Self {
        // A port that was free may have been taken meanwhile, which ends the server.
        let tries = std::iter::repeat_with(|| Self::start(directory, more)).take(5);
        let mut started = tries.filter_map(|mut doors| doors.wait().then_some(doors));
        started.next().expect("the server comes up")
    }

    fn start(directory: &Path, more: &[&str]) -> Self {
        let [resp, neks, kiba, nkv] = [(); 4].map(|()| free_port());
        let urls = [("neks", neks), ("kiba", kiba), ("nkv", nkv)];
        let urls = urls.map(|(name, port)| format!("{name}://127.0.0.1:{port}"));
        let process = Command::new(KVIK)
            .args([
                "--port",
                &resp.to_string(),
                "--bind",
                "127.0.0.1",
                "--listen",
            ])
            .args(&urls)
            .args(more)
            .current_dir(directory)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            process,
            resp,
            neks,
            kiba,
            nkv,
        }
    }

    /// Waits until the server is ready; says whether it is and has not ended.
    #[expect(
        clippy::disallowed_methods,
        reason = "another process decides when it is ready"
    )]
    fn wait(&mut self) -> bool {
        for _ in 0..500 {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            let client = Client::open(&Endpoint::tcp("127.0.0.1", self.resp), &Options::default());
            let reply = client.and_then(|mut client| client.call(&["PING"]));
            match reply {
                Ok(Value::Simple(_)) => return true,
                // Whoever asks for a password has loaded its data.
                Ok(Value::Error(error)) if error.as_bytes().starts_with(b"NOAUTH") => return true,
                _ => {}
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn call(&self, command: &[&str]) -> Value {
        let endpoint = Endpoint::tcp("127.0.0.1", self.resp);
        let mut client = Client::open(&endpoint, &Options::default()).unwrap();
        client.call(command).unwrap()
    }

    /// What `kvik cli` prints for lines that are sent to a door.
    fn cli(&self, url: &str, lines: &str) -> String {
        run(Command::new(KVIK).args(["cli", "-u", url]), lines)
    }

    fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        std::mem::forget(self);
    }
}

impl Drop for Doors {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The standard output of a program that gets these lines.
fn run(command: &mut Command, lines: &str) -> String {
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    process
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    let output = process.wait_with_output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The binary under another name.
fn called(directory: &TempDir, name: &str) -> Command {
    let link = directory.path().join(name);
    let _ = std::os::unix::fs::symlink(KVIK, &link);
    Command::new(link)
}

#[test]
fn the_command_line_converses_with_every_door() {
    let directory = tempfile::tempdir().unwrap();
    let doors = Doors::open(directory.path(), &["--memory"]);
    let neks = format!("neks://127.0.0.1:{}", doors.neks);
    let lines =
        "set hello \"good bye\"\nGET hello\ndelete hello\nget hello\nfly\nquit\nget never\n";
    let help = "GET key | SET key value | DELETE key | QUIT";
    assert_eq!(
        doors.cli(&neks, lines),
        format!("OK\n\"good bye\"\nOK\n(nil)\n{help}\n")
    );
    let kiba = format!("kiba://127.0.0.1:{}", doors.kiba);
    let lines = "set name \"FOO BAR\"\nget name\nsadd colors red\nsmembers colors\n";
    assert_eq!(
        doors.cli(&kiba, lines),
        "OK\n\"FOO BAR\"\n(integer) 1\n1) red\n"
    );
    let nkv = format!("nkv://127.0.0.1:{}", doors.nkv);
    let lines = "put a.b one\nget a.b\nput a.c two\nget a.*\nlist a\ndelete a.b\nget a.b\n";
    assert_eq!(
        doors.cli(&nkv, lines),
        "OK\none\nOK\none two\na.b a.c\nOK\nFAILED\n"
    );
}

#[test]
fn the_command_line_streams_and_gives_passwords() {
    let directory = tempfile::tempdir().unwrap();
    let doors = Doors::open(directory.path(), &["--memory", "--requirepass", "se cret"]);
    let kiba = format!("kiba://:se cret@127.0.0.1:{}", doors.kiba);
    assert_eq!(doors.cli(&kiba, "SET a b\nGET a\n"), "OK\n\"b\"\n");
    let url = format!("nkv://127.0.0.1:{}", doors.nkv);
    assert_eq!(doors.cli(&url, "GET a\n"), "FAILED\n");
    let mut cli = Command::new(KVIK);
    cli.args(["cli", "-a", "se cret", "-u", &url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut process = cli.spawn().unwrap();
    let (mut input, output) = (
        process.stdin.take().unwrap(),
        process.stdout.take().unwrap(),
    );
    let mut output = std::io::BufReader::new(output);
    let mut next = || {
        let mut line = String::new();
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        line
    };
    // What comes is told although no line follows.
    input.write_all(b"subscribe t\n").unwrap();
    assert_eq!(next(), "HELLO\n");
    input.write_all(b"tie t.me here\n").unwrap();
    // The reply and the news come on connections of their own.
    let mut told = [next(), next()];
    told.sort();
    assert_eq!(told, ["OK\n", "UPDATE t.me here\n"]);
    let other = format!("nkv://:se cret@127.0.0.1:{}", doors.nkv);
    assert_eq!(doors.cli(&other, "cas t.me here there\n"), "OK\n");
    assert_eq!(next(), "UPDATE t.me there\n");
    drop(input);
    assert!(process.wait().unwrap().success());
}

#[test]
fn programs_of_old_find_their_lines() {
    let directory = tempfile::tempdir().unwrap();
    let doors = Doors::open(directory.path(), &["--memory"]);
    let port = doors.neks.to_string();
    let neks = |words: &[&str]| {
        let mut command = called(&directory, "NeksClient");
        run(command.args(["127.0.0.1", &port]).args(words), "")
    };
    assert_eq!(neks(&["--set", "hello", "good\"bye"]), "Set successful\n");
    let found = "Response received: [Found \"good\\\"bye\"]\n";
    assert_eq!(neks(&["--get", "hello", "+RTS", "-N2"]), found);
    assert_eq!(neks(&["--get", "none"]), "Response received: [NotFound]\n");
    assert_eq!(neks(&["--fly"]).lines().count(), 2);
    let load = neks(&["--test"]);
    assert!(load.ends_with("Test complete\n"), "{load}");

    let address = format!("127.0.0.1:{}", doors.kiba);
    let session = run(
        called(&directory, "kiba-cli").arg(&address),
        "set a b\nget a\nquit\n",
    );
    assert!(session.contains("Kiba CLI 0.1 (unstable)\n===========================\n"));
    let end = "kiba> OK\n\nkiba> \"b\"\n\nkiba> \n\n** Goodbye!\n";
    assert!(session.ends_with(end), "{session}");

    let address = format!("127.0.0.1:{}", doors.nkv);
    let lines = "PUT k v\nGET k\nGET\nFLY\nQUIT\n";
    let session = run(
        called(&directory, "nkv-client").args(["--addr", &address]),
        lines,
    );
    let lines: Vec<_> = session.lines().collect();
    assert!(
        lines[1].starts_with("Request took: ") && lines[2].ends_with(" OK"),
        "{session}"
    );
    assert!(lines[4].ends_with(" OK v"), "{session}");
    assert_eq!(lines[5..], ["GET requires a key", "Unknown command"]);
    let lines = "SUBSCRIBE k\nSUBSCRIBE k\nQUIT\n";
    let session = run(
        called(&directory, "nkv-client").args(["--addr", &address]),
        lines,
    );
    let ended = |status: &str| session.lines().filter(|it| it.ends_with(status)).count();
    assert_eq!((ended(" OK"), ended(" FAILED")), (1, 1), "{session}");
}

#[test]
fn data_of_neks_come_in_and_go_out() {
    let directory = tempfile::tempdir().unwrap();
    let doors = Doors::open(directory.path(), &["--memory"]);
    doors.call(&["MSET", "a", "1", "hello", "world", "", "empty"]);
    doors.call(&["RPUSH", "list", "x"]);
    let port = doors.resp.to_string();
    let file = directory.path().join("store.kvs");
    let export = ["export", "-p", &port, "--neks", file.to_str().unwrap()];
    let said = run(Command::new(KVIK).args(export), "");
    assert!(said.starts_with("exported 3 keys"), "{said}");
    doors.call(&["FLUSHALL"]);
    let import = ["import", "-p", &port, file.to_str().unwrap()];
    let said = run(Command::new(KVIK).args(import), "");
    assert!(said.starts_with("imported 3 keys"), "{said}");
    assert_eq!(
        doors.call(&["GET", "hello"]),
        Value::Bulk(b"world".to_vec())
    );

    // The server imports once, while it has no data of its own.
    let source = format!("neks:{}", file.display());
    // Emptying is not lost with the process.
    let flags = ["--import", &source, "--appendfsync", "always"];
    let second = tempfile::tempdir().unwrap();
    let server = Doors::open(second.path(), &flags);
    assert_eq!(server.call(&["DBSIZE"]), Value::Integer(3));
    server.call(&["FLUSHALL"]);
    server.kill();
    let server = Doors::open(second.path(), &flags);
    assert_eq!(server.call(&["DBSIZE"]), Value::Integer(0));
    assert!(file.exists());
}

#[test]
fn data_of_nkv_come_in() {
    let directory = tempfile::tempdir().unwrap();
    let digest = directory.path().join("nkv/digest/a");
    std::fs::create_dir_all(&digest).unwrap();
    std::fs::write(digest.join("b.json"), "value").unwrap();
    let source = format!("nkv:{}", directory.path().join("nkv").display());
    let doors = Doors::open(directory.path(), &["--memory", "--import", &source]);
    let nkv = format!("nkv://127.0.0.1:{}", doors.nkv);
    assert_eq!(doors.cli(&nkv, "GET a.*\n"), "value\n");
}

/// Writes through every door, then a crash: what was acknowledged is there behind all of them.
#[test]
fn all_doors_agree_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let flags = ["--appendonly", "yes", "--appendfsync", "always"];
    let doors = Doors::open(directory.path(), &flags);
    let ports = (doors.neks, doors.kiba, doors.nkv, doors.resp);
    let writers = [
        std::thread::spawn(move || {
            let mut wire = TcpStream::connect(("127.0.0.1", ports.0)).unwrap();
            for number in 0..200_u8 {
                let set = [
                    &b"\0\0\0\0\0\0\0\x0c\x91\x93\x01\xc4\x04nek"[..],
                    &[number],
                    b"\xc4\x01",
                    &[number],
                ];
                wire.write_all(&set.concat()).unwrap();
                wire.read_exact(&mut [0; 9]).unwrap();
            }
        }),
        std::thread::spawn(move || {
            let mut wire = TcpStream::connect(("127.0.0.1", ports.1)).unwrap();
            for number in 0..200 {
                wire.write_all(format!("SET kiba{number} {number}\n").as_bytes())
                    .unwrap();
                wire.read_exact(&mut [0; 2]).unwrap();
            }
        }),
        std::thread::spawn(move || {
            for number in 0..200 {
                let mut wire = TcpStream::connect(("127.0.0.1", ports.2)).unwrap();
                wire.write_all(format!("PUT 1 c nkv.{number} dg==\n").as_bytes())
                    .unwrap();
                let mut reply = String::new();
                wire.read_to_string(&mut reply).unwrap();
                assert_eq!(reply, "1 OK\n");
            }
        }),
        std::thread::spawn(move || {
            let endpoint = Endpoint::tcp("127.0.0.1", ports.3);
            let mut client = Client::open(&endpoint, &Options::default()).unwrap();
            for number in 0..200 {
                client
                    .call(&["SET", &format!("resp{number}"), "x"])
                    .unwrap();
            }
        }),
    ];
    for writer in writers {
        writer.join().unwrap();
    }
    doors.kill();
    let doors = Doors::open(directory.path(), &flags);
    assert_eq!(doors.call(&["DBSIZE"]), Value::Integer(800));
    assert_eq!(doors.call(&["GET", "nkv.199"]), Value::Bulk(b"v".to_vec()));
    let nkv = format!("nkv://127.0.0.1:{}", doors.nkv);
    assert_eq!(doors.cli(&nkv, "GET resp199\nGET kiba7\n"), "x\n7\n");
    let all = doors.cli(&nkv, "LIST nkv\n");
    assert_eq!(all.split_whitespace().count(), 200);
    let kiba = format!("kiba://127.0.0.1:{}", doors.kiba);
    assert_eq!(doors.cli(&kiba, "GET resp0\nGET nkv.0\n"), "\"x\"\n\"v\"\n");
    let neks = format!("neks://127.0.0.1:{}", doors.neks);
    assert_eq!(
        doors.cli(&neks, "GET kiba199\nGET resp1\n"),
        "\"199\"\n\"x\"\n"
    );
}

#[test]
fn servers_of_old_explain_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let neks = run(called(&directory, "NeksServer").arg("--help"), "");
    assert_eq!(neks.lines().count(), 2);
    let nkv = run(called(&directory, "nkv-server").args(["--foo", "x"]), "");
    assert!(nkv.starts_with("error: Unknown flag foo\n"), "{nkv}");
    let nkv = run(called(&directory, "nkv-client").arg("--foo"), "");
    assert!(nkv.starts_with("error: Unknown flag foo\n"), "{nkv}");
    for name in ["kiba", "kiba-cli", "nkv-server", "nkv-client", "NeksClient"] {
        let help = called(&directory, name).arg("--help").output().unwrap();
        assert!(help.status.success(), "{name}");
        assert!(help.stdout.starts_with(b"Usage: "), "{name}");
    }
    let help = run(Command::new(KVIK).args(["--neks", "--help"]), "");
    assert!(help.contains("--neks-max-frame"), "{help}");
    let missing = called(&directory, "kiba")
        .arg("/nonexistent/kiba.conf")
        .output()
        .unwrap();
    assert_eq!(missing.status.code(), Some(1));
}

/// The examples of the documentation, as far as there are programs to run them.
#[test]
fn examples_are_programs_that_work() {
    let directory = tempfile::tempdir().unwrap();
    let doors = Doors::open(directory.path(), &["--memory"]);
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/doors");
    let example = |name: &str| examples.join(name).into_os_string().into_string().unwrap();
    let (neks, nkv) = (doors.neks.to_string(), format!("127.0.0.1:{}", doors.nkv));

    let neks_example = ["python3", &example("neks.py"), "127.0.0.1", &neks];
    check_example(
        &neks_example,
        "[b'goodbye', None]\n[b'goodbye', b'again']\n[None]\n",
    );
    let heard = "HELLO\n2 OK\nUPDATE lamps.kitchen b24=\n3 OK b24=\n4 OK\nCLOSE lamps.kitchen\n";
    let binary = directory.path().join("nkv");
    let binary = binary.to_str().unwrap();
    if succeeds(&["rustc", "--edition=2024", "-o", binary, &example("nkv.rs")]) {
        check_example(&[binary, &nkv], heard);
    }
    // Where it has to be there, a test that finds none has failed: `KVIK_TEST_GO=1`.
    let is_required = std::env::var_os("KVIK_TEST_GO").is_some();
    if is_required || is_there("go") {
        check_example(&["go", "run", &example("nkv.go"), &nkv], heard);
    }
}

/// Whether there is a program with this name; says so if there is none.
fn is_there(program: &str) -> bool {
    let started = Command::new(program).arg("version").output();
    if let Err(error) = &started {
        eprintln!("no {program} here: {error}");
    }
    started.is_ok()
}

/// Whether a program is there and ends well.
fn succeeds(words: &[&str]) -> bool {
    let status = Command::new(words[0]).args(&words[1..]).status();
    match status {
        Ok(status) => {
            assert!(status.success(), "{words:?}");
            true
        }
        Err(error) => {
            eprintln!("no {} here: {error}", words[0]);
            false
        }
    }
}

#[track_caller]
fn check_example(words: &[&str], expected: &str) {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", words[0]));
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, expected, "{words:?}: {complaint}");
}

/// The preset finds the data of the original where it is told that they are.
#[test]
fn the_preset_of_nkv_imports_from_its_data_directory() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    std::fs::create_dir_all(data.join("digest/a")).unwrap();
    std::fs::write(data.join("digest/a/b.json"), "value").unwrap();
    let socket = format!("nkv+unix://{}/nkv.sock", directory.path().display());
    let flags = [
        "--nkv",
        "--dir",
        data.to_str().unwrap(),
        "--listen",
        &socket,
    ];
    let doors = Doors::open(directory.path(), &flags);
    assert_eq!(doors.cli(&socket, "GET a.*\n"), "value\n");
    assert_eq!(doors.call(&["GET", "a.b"]), Value::Bulk(b"value".to_vec()));
}

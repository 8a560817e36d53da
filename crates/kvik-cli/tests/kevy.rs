//! What a user of kevy finds: the preset and its start line, and the way of its files into kvik.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[allow(dead_code, reason = "each test uses a part")]
mod served;

use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use kvik_client::Value;
use served::{KVIK, Served, free_port, kvik, text, wait_for};

/// `kvik` under the name of kevy, with data in a folder and its standard error in a file there.
fn kevy(folder: &Path, flags: &[&str], variables: &[(&str, &str)]) -> Served {
    let (port, program) = (free_port(), folder.join("kevy"));
    if !program.exists() {
        symlink(KVIK, &program).unwrap();
    }
    let mut command = Command::new(program);
    command
        .args(flags)
        .env("KEVY_PORT", port.to_string())
        .env("KEVY_DIR", folder.join("data"))
        .envs(variables.iter().copied())
        .stderr(File::create(folder.join("errors")).unwrap());
    Served::run(command, port).unwrap()
}

fn errors(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("errors")).unwrap()
}

/// A directory as kevy 1.18 writes it with two shards: one has a snapshot, and a torn log.
fn write_source(dir: &Path) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("shards.meta"), "2\nkevyhash\n").unwrap();
    let snapshot = [
        b"KEVYSNAP\x04".as_slice(),
        b"\x01\x00\x01\0\0\0n\x02\0\0\x0041",
        b"\x03\x00\x01\0\0\0l\x02\0\0\0\x01\0\0\0a\x01\0\0\0b",
        b"\0",
    ];
    std::fs::write(dir.join("dump-0.rdb"), snapshot.concat()).unwrap();
    let log = "KEVYAOF1\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n*3\r\n$3\r\nSET\r\n$1\r\nx";
    std::fs::write(dir.join("aof-0.aof"), log).unwrap();
    let log = "KEVYAOF1\n*3\r\n$9\r\nPEXPIREAT\r\n$1\r\nh\r\n$13\r\n4102444800000\r\n";
    let hash = "*4\r\n$4\r\nHSET\r\n$1\r\nh\r\n$1\r\nf\r\n$1\r\nv\r\n";
    let log = log.replacen('\n', &format!("\n{hash}"), 1);
    std::fs::write(dir.join("aof-1.aof"), log).unwrap();
}

fn assert_imported(server: &Served) {
    assert_eq!(server.call(&["DBSIZE"]), Value::Integer(3));
    assert_eq!(server.call(&["GET", "n"]), Value::Bulk("42".into()));
    assert_eq!(server.call(&["LLEN", "l"]), Value::Integer(2));
    let moment = server.call(&["PEXPIRETIME", "h"]);
    assert_eq!(moment, Value::Integer(4_102_444_800_000));
}

#[test]
fn the_start_line_tells_the_facts() {
    let folder = tempfile::tempdir().unwrap();
    let server = kevy(folder.path(), &["--threads", "2", "--turbo"], &[]);
    let (port, data) = (server.port, folder.path().join("data"));
    let data = data.canonicalize().unwrap();
    let line = format!(
        "starting: 127.0.0.1:{port}, 2 shard(s), dir={}, aof=on (thread-per-core)",
        data.display()
    );
    let found = errors(folder.path());
    assert!(found.contains(&line), "{found} lacks {line}");
    assert!(found.contains("--turbo is unknown"), "{found}");
    server.call(&["SET", "k", "v"]);
    server.terminate();
    assert!(data.join("appendonlydir").exists());
}

#[test]
fn the_log_can_be_turned_off() {
    for (flags, variables) in [(&["--no-aof"][..], &[][..]), (&[], &[("KEVY_AOF", "0")])] {
        let folder = tempfile::tempdir().unwrap();
        let server = kevy(folder.path(), flags, variables);
        assert!(errors(folder.path()).contains("aof=off"));
        server.call(&["SET", "k", "v"]);
        server.terminate();
        assert!(!folder.path().join("data/appendonlydir").exists());
    }
}

#[test]
fn data_of_kevy_are_imported_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_source(&data);
    let server = kevy(folder.path(), &[], &[]);
    assert_imported(&server);
    wait_for("the count", || {
        errors(folder.path()).contains("imported 3 keys")
    });
    assert!(errors(folder.path()).contains("aof-0.aof: the last"));
    server.call(&["DEL", "l"]);
    server.terminate();
    assert!(data.join("aof-0.aof").exists() && data.join("dump-0.rdb").exists());
    let server = kevy(folder.path(), &[], &[]);
    assert_eq!(server.call(&["DBSIZE"]), Value::Integer(2));
}

#[test]
fn a_source_that_cannot_be_read_ends_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    write_source(&data);
    std::fs::remove_file(data.join("aof-1.aof")).unwrap();
    symlink("aof-1.aof", data.join("aof-1.aof")).unwrap();
    let run = kvik(
        &[
            "--kevy",
            "--port",
            "0",
            "--unixsocket",
            "s",
            "--dir",
            "data",
        ],
        folder.path(),
    );
    assert!(!run.status.success());
    assert!(
        text(&run.stderr).contains("aof-1.aof"),
        "{}",
        text(&run.stderr)
    );
}

#[test]
fn a_directory_goes_into_a_running_server_or_into_files() {
    let folder = tempfile::tempdir().unwrap();
    write_source(&folder.path().join("source"));
    let server = Served::start(KVIK, &[]).unwrap();
    // What is there is replaced, not added to.
    server.call(&["RPUSH", "l", "old"]);
    let run = kvik(
        &["import", "kevy", "source", "--to", &server.url()],
        folder.path(),
    );
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(text(&run.stdout), "imported 3 keys from source\n");
    assert!(
        text(&run.stderr).contains("aof-0.aof: the last"),
        "{}",
        text(&run.stderr)
    );
    assert_imported(&server);

    let run = kvik(&["import", "source", "--dir", "target"], folder.path());
    assert!(run.status.success(), "{}", text(&run.stderr));
    let port = free_port();
    let mut command = Command::new(KVIK);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(folder.path().join("target"));
    assert_imported(&Served::run(command, port).unwrap());

    let run = kvik(
        &["import", "kevy", "nothing", "--dir", "other"],
        folder.path(),
    );
    assert!(!run.status.success());
}

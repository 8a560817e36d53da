//! What packages rely on: the start under systemd, and files that the server takes.

#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test fail like the test"
)]

#[allow(dead_code, reason = "each test uses a part")]
mod served;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use kvik_client::Value;
use served::{KVIK, Served, free_port, kvik, text};

fn packaging(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn next(receiver: &UnixDatagram) -> String {
    let mut buffer = [0; 200];
    let count = receiver.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..count]).into_owned()
}

#[test]
fn systemd_is_told_of_the_start_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    let port = free_port();
    // As the unit starts it, with the packaged configuration.
    let unit = packaging("debian/kvik.service");
    assert!(unit.contains("Type=notify"));
    let start = unit
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart="));
    let words: Vec<_> = start.unwrap().split(' ').collect();
    assert_eq!(words[..2], ["/usr/bin/kvik", "/etc/kvik/kvik.toml"]);
    let config = packaging("debian/kvik.toml")
        .replace("/var/lib/kvik", &folder.path().display().to_string());
    let file = folder.path().join("kvik.toml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new(KVIK);
    command
        .arg(&file)
        .args(&words[2..])
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .env("NOTIFY_SOCKET", &socket);
    let server = Served::run(command, port).unwrap();
    assert!(next(&receiver).starts_with("READY=1\n"));
    let info = server.call(&["INFO", "server"]);
    assert!(
        info.as_str()
            .unwrap()
            .contains("process_supervised:systemd")
    );
    server.terminate();
    assert!(next(&receiver).starts_with("STOPPING=1\n"));
}

#[test]
fn nobody_is_told_who_is_not_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let receiver = UnixDatagram::bind(&socket).unwrap();
    receiver.set_nonblocking(true).unwrap();
    let port = free_port();
    let mut command = Command::new(KVIK);
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .arg("--memory")
        .env("NOTIFY_SOCKET", &socket);
    let server = Served::run(command, port).unwrap();
    server.terminate();
    assert!(receiver.recv(&mut [0; 9]).is_err());
}

#[test]
fn a_variable_chooses_a_preset() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(KVIK);
    command
        .env("KVIK_PRESET", "kevy")
        .env("KEVY_PORT", port.to_string())
        .env("KEVY_DIR", folder.path());
    let server = Served::run(command, port).unwrap();
    let found = server.call(&["CONFIG", "GET", "import"]);
    let expected = ["import", "kevy:"].map(|text| Value::Bulk(text.into()));
    assert_eq!(found.as_slice().unwrap(), expected);
}

#[test]
fn the_images_know_the_names_of_other_servers() {
    let image = packaging("Containerfile");
    for name in [
        "kevy",
        "kvns",
        "kiba",
        "nkv-server",
        "nkv-client",
        "NeksServer",
    ] {
        assert!(image.contains(name), "{name}");
    }
}

#[test]
fn a_backup_is_a_directory_to_start_from() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let start = |more: &[&str]| {
        let port = free_port();
        let mut command = Command::new(KVIK);
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--appendonly", "yes"])
            .args(more);
        Served::run(command, port).unwrap()
    };
    let data = path("data");
    std::fs::create_dir_all(&data).unwrap();
    let without = start(&["--dir", &data]);
    let port = without.port.to_string();
    let refused = kvik(&["backup", "-p", &port, "one"], folder.path());
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("backup-dir"));
    without.terminate();
    let backups = path("backups");
    std::fs::create_dir_all(&backups).unwrap();
    let server = start(&["--dir", &data, "--backup-dir", &backups]);
    assert!(server.call(&["SET", "k", "v"]).as_error().is_none());
    let port = server.port.to_string();
    let done = kvik(&["backup", "-p", &port, "one"], folder.path());
    let said = (text(&done.stdout), text(&done.stderr));
    assert!(
        done.status.success() && said.0.contains("backups/one"),
        "{said:?}"
    );
    assert!(server.call(&["SET", "k", "later"]).as_error().is_none());
    server.terminate();
    let copy = start(&["--dir", &format!("{backups}/one")]);
    assert_eq!(copy.call(&["GET", "k"]).as_str(), Some("v"));
}

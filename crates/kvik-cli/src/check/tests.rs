//! Files that are sound, damaged in every place, and repaired.

use std::fs;

use kvik_rdb::Crc64;
use tempfile::TempDir;

use super::*;

/// The report about a path, and whether all is sound.
fn check(path: &Path, repairs: bool) -> (String, bool) {
    let mut check = Check::new(&SystemDisk, repairs);
    check.path(path);
    let directory = path.parent().unwrap().display().to_string();
    let text = check.report.text().replace(&(directory + "/"), "");
    (text, check.report.is_sound())
}

/// A directory with these files.
fn directory(files: &[(&str, &[u8])]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = directory.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    directory
}

fn check_file(name: &str, bytes: &[u8]) -> (String, bool) {
    let directory = directory(&[(name, bytes)]);
    check(&directory.path().join(name), false)
}

/// A snapshot of these records.
fn snapshot(header: &[u8], records: &[u8]) -> Vec<u8> {
    let mut file = [header, records, b"\xff"].concat();
    let sum = Crc64::of(&file);
    file.extend(sum.to_le_bytes());
    file
}

/// A string, a list of two elements that expires, and a set in another database.
fn small_snapshot() -> Vec<u8> {
    let records = [
        &b"\xfa\x09redis-ver\x057.0.1\xfe\x00\xfb\x02\x01"[..],
        b"\x00\x01k\x01v",
        b"\xfc\x01\0\0\0\0\0\0\0\x01\x01l\x02\x01a\x01b",
        b"\xfe\x05\x02\x01s\x01\x01m",
    ];
    snapshot(b"REDIS0010", &records.concat())
}

fn commands(lines: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in lines {
        let words: kvik_resp::ArgsBuf = line.split(' ').collect();
        kvik_resp::encode_command(words.as_args(), &mut bytes);
    }
    bytes
}

#[test]
fn a_sound_snapshot_is_told_by_its_contents() {
    let (text, is_sound) = check_file("dump.rdb", &small_snapshot());
    assert_eq!(
        text,
        "dump.rdb: snapshot of version 10 by Redis 7.0.1, 70 bytes\n\
         \x20 3 keys in 2 databases, 1 of them expire\n\
         \x20 the checksum is right\n\
         \x20 loads in: kvik, Redis 7.0 and later, Valkey 7.2 and later\n"
    );
    assert!(is_sound);
}

#[test]
fn a_snapshot_cut_off_anywhere_is_damaged() {
    let whole = small_snapshot();
    for len in 1..whole.len() {
        let (text, is_sound) = check_file("dump.rdb", &whole[..len]);
        assert!(!is_sound, "{len}: {text}");
        assert!(text.contains("DAMAGED"), "{len}: {text}");
    }
}

#[test]
fn a_changed_byte_is_found_with_its_place() {
    let mut file = small_snapshot();
    let end = file.len() - 9;
    file[end - 1] ^= 1;
    let (text, _) = check_file("dump.rdb", &file);
    let reason = "dump.rdb: DAMAGED: RDB CRC error: the file says ";
    assert!(text.starts_with(reason), "{text}");
}

#[test]
fn faults_of_values_name_their_key() {
    let of = |records: &[u8]| check_file("dump.rdb", &snapshot(b"REDIS0010", records)).0;
    assert_eq!(
        of(b"\x00\x01k\x01v\x00\x01k\x01w"),
        "dump.rdb: DAMAGED: a key twice in one database, in key \"k\" of database 0, at offset 14\n"
    );
    assert_eq!(
        of(b"\xfe\x02\x02\x01s\x02\x01m\x01m"),
        "dump.rdb: DAMAGED: a contradictory value, or a member twice, in key \"s\" of database 2, \
         at offset 11\n"
    );
    assert_eq!(
        of(b"\x10\x01h\x03abc"),
        "dump.rdb: DAMAGED: a contradictory value, or a member twice, in key \"h\" of database 0, \
         at offset 9\n"
    );
    let text = of(b"\x05\x01z\x01\x01m\0\0\0\0\0\0\xf8\x7f");
    assert!(
        text.contains("score is not a number, in key \"z\" of database 0, at offset 9"),
        "{text}"
    );
    let text = of(b"\x63\x01k\x01v");
    assert!(text.contains("unknown type of value 99"), "{text}");
}

#[test]
fn keys_of_different_databases_may_have_one_name() {
    let records = b"\xfe\x00\x00\x01k\x01v\xfe\x01\x00\x01k\x01v\x01\x01e\x00";
    let (text, is_sound) = check_file("dump.rdb", &snapshot(b"REDIS0011", records));
    assert!(is_sound, "{text}");
    assert!(text.contains("2 keys in 2 databases"), "{text}");
    assert!(text.contains("1 empty collection,"), "{text}");
}

#[test]
fn only_kvik_loads_members_that_expire() {
    let records = b"\xc8\x01s\x01\x01m\x01\0\0\0\0\0\0\x01";
    let (text, is_sound) = check_file("dump.rdb", &snapshot(b"VALKEY080", records));
    assert!(is_sound, "{text}");
    let none = "type 200 (SetExpiring)";
    let servers = format!("no Redis ({none}), no Valkey ({none})");
    assert!(text.contains(&servers), "{text}");
}

#[test]
fn a_sound_append_only_file_tells_its_time() {
    let set = commands(&["SET k v KEEPTTL"]);
    let unit = commands(&[
        "MULTI",
        "SELECT 3",
        "DEL k",
        "HPEXPIREAT h 5 FIELDS 1 f",
        "EXEC",
    ]);
    let file = [b"#TS:0\r\n", &set[..], b"#TS:60\r\n", &unit].concat();
    let (text, is_sound) = check_file("a.aof", &file);
    assert_eq!(
        text,
        format!(
            "a.aof: 3 commands in 2 units, {} bytes, from 1970-01-01T00:00:00Z to \
             1970-01-01T00:01:00Z\n\
             \x20 loads in: kvik, Redis 7.4 and later, Valkey 9.0 and later\n",
            file.len()
        )
    );
    assert!(is_sound);
}

#[test]
fn an_option_may_need_a_newer_server_than_its_command() {
    let plain = commands(&["SET k v", "SET k v KEEPTTL"]);
    let dated = [&plain[..], &commands(&["SET k v PXAT 5"])].concat();
    for (file, redis) in [(plain, "Redis 1.0"), (dated, "Redis 6.2")] {
        let (text, _) = check_file("a.aof", &file);
        assert!(text.contains(redis), "{text}");
    }
}

#[test]
fn a_torn_file_is_cut_behind_its_last_whole_unit() {
    let first = commands(&["SELECT 0", "SET a 1"]);
    let unit = commands(&["MULTI", "SET b 2", "SET c 3", "EXEC"]);
    for torn in 1..unit.len() {
        let file = [&first[..], &unit[..torn]].concat();
        let directory = directory(&[("a.aof", &file)]);
        let path = directory.path().join("a.aof");
        let (text, is_sound) = check(&path, false);
        assert!(!is_sound, "{text}");
        let place = format!(
            "ends at offset {}, {torn} bytes before the end",
            first.len()
        );
        assert!(text.contains(&place), "{text}");
        assert_eq!(fs::read(&path).unwrap(), file);

        let (text, is_sound) = check(&path, true);
        assert!(is_sound, "{text}");
        assert_eq!(fs::read(&path).unwrap(), first);
        let kept = format!("a.aof.{}.dropped", first.len());
        assert!(text.contains(&kept), "{text}");
        assert_eq!(
            fs::read(directory.path().join(kept)).unwrap(),
            &unit[..torn]
        );
        assert!(check(&path, false).1);
    }
}

#[test]
fn garbage_is_found_and_cut_off() {
    let first = commands(&["SET a 1"]);
    let file = [&first[..], b"\0\0garbage"].concat();
    let (text, _) = check_file("a.aof", &file);
    assert!(
        text.contains("expected '*', got '\\x00' at offset 27"),
        "{text}"
    );
}

#[test]
fn commands_that_no_server_can_run_are_not_cut_off() {
    for (line, reason) in [
        (
            "NOSUCH a",
            "unknown command 'NOSUCH', in the unit at offset 27",
        ),
        (
            "SET a",
            "wrong number of arguments for 'SET', in the unit at offset 27",
        ),
    ] {
        let file = commands(&["SET a 1", line]);
        let directory = directory(&[("a.aof", &file)]);
        let path = directory.path().join("a.aof");
        let (text, is_sound) = check(&path, true);
        assert!(!is_sound && text.contains(reason), "{text}");
        assert_eq!(fs::read(&path).unwrap(), file);
    }
}

#[test]
fn commands_may_follow_a_snapshot() {
    let file = [&small_snapshot()[..], &commands(&["DEL k"])].concat();
    let (text, is_sound) = check_file("a.aof", &file);
    assert!(is_sound, "{text}");
    assert!(text.contains("3 keys in 2 databases"), "{text}");
    assert!(text.contains("1 command in 1 unit, 20 bytes"), "{text}");
    let torn = &file[..file.len() - 1];
    let (text, _) = check_file("a.aof", torn);
    assert!(
        text.contains("the last whole unit ends at offset 70, 19 bytes"),
        "{text}"
    );
}

const MANIFEST: &str = "file a.1.base.rdb seq 1 type b\n\
    file a.1.incr.aof seq 1 type i\n\
    file a.2.incr.aof seq 2 type i\n";

fn log(first: &[u8], last: &[u8], manifest: &str) -> TempDir {
    directory(&[
        ("appendonlydir/a.1.base.rdb", &small_snapshot()),
        ("appendonlydir/a.1.incr.aof", first),
        ("appendonlydir/a.2.incr.aof", last),
        ("appendonlydir/a.manifest", manifest.as_bytes()),
        ("dump.rdb", &small_snapshot()),
        ("notes.txt", b"something else"),
    ])
}

#[test]
fn a_directory_is_its_manifest_and_what_lies_beside_it() {
    let set = commands(&["SET a 1"]);
    let directory = log(&set, b"", MANIFEST);
    let (text, is_sound) = check(directory.path(), false);
    assert!(is_sound, "{text}");
    for part in [
        "a.manifest: manifest of 1 base, 2 increments, 0 superseded files",
        "a.1.base.rdb: snapshot of version 10",
        "a.1.incr.aof: 1 command in 1 unit",
        "a.2.incr.aof: 0 commands in 0 units",
        "loads in: kvik, Redis 7.0 and later, Valkey 7.2 and later",
        "dump.rdb: snapshot of version 10",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let inner = directory.path().join("appendonlydir");
    assert!(check(&inner, false).1);
    assert!(check(&inner.join("a.manifest"), false).1);
}

#[test]
fn only_the_last_file_of_a_log_is_cut() {
    let (set, torn) = (commands(&["SET a 1"]), &commands(&["SET b 1"])[..9]);
    let directory = log(&set, torn, MANIFEST);
    assert!(!check(directory.path(), false).1);
    assert!(check(directory.path(), true).1);
    assert!(check(directory.path(), false).1);

    let directory = log(torn, &set, MANIFEST);
    let (text, is_sound) = check(directory.path(), true);
    assert!(!is_sound);
    let reason = "a.2.incr.aof follows, so the file cannot be cut there";
    assert!(text.contains(reason), "{text}");
    let path = directory.path().join("appendonlydir/a.1.incr.aof");
    assert_eq!(fs::read(path).unwrap(), torn);
}

#[test]
fn manifests_and_files_have_to_agree() {
    let set = commands(&["SET a 1"]);
    let directory = log(&set, &set, "file a.1.incr.aof seq 1 type i\n");
    let (text, is_sound) = check(directory.path(), false);
    assert!(is_sound);
    assert!(text.contains("a.2.incr.aof: not in the manifest"), "{text}");

    let missing = MANIFEST.to_owned() + "file a.3.incr.aof seq 3 type i\n";
    let (text, is_sound) = check(log(&set, &set, &missing).path(), false);
    assert!(
        !is_sound && text.contains("a.3.incr.aof: DAMAGED: No such file"),
        "{text}"
    );

    let placed = "file a.1.incr.aof seq 1 type i startoffset 100\n\
        file a.2.incr.aof seq 2 type i startoffset 128\n";
    let (text, is_sound) = check(log(&set, &set, placed).path(), false);
    let reason = "a.1.incr.aof: DAMAGED: 27 bytes long; by the manifest it has 28";
    assert!(!is_sound && text.contains(reason), "{text}");

    let newer = "file a.1.incr.aof seq 1 type i kvik 99\n";
    let (text, is_sound) = check(log(&set, &set, newer).path(), false);
    let reason = "a.manifest: DAMAGED: format 99 is that of a later version of kvik";
    assert!(!is_sound && text.contains(reason), "{text}");

    let (text, is_sound) = check(log(&set, &set, "nonsense\n").path(), false);
    let reason = "a.manifest: DAMAGED: Invalid AOF manifest file format";
    assert!(!is_sound && text.contains(reason), "{text}");
}

#[test]
fn a_log_without_its_manifest_is_damaged() {
    let directory = directory(&[("appendonlydir/a.1.incr.aof", &commands(&["SET a 1"]))]);
    let (text, is_sound) = check(directory.path(), false);
    assert!(!is_sound, "{text}");
    assert!(
        text.contains("appendonly.aof.manifest: DAMAGED: No such file"),
        "{text}"
    );
}

#[test]
fn paths_without_a_database_are_refused() {
    let directory = directory(&[("notes.txt", b"something else")]);
    let (text, is_sound) = check(directory.path(), false);
    assert!(
        !is_sound && text.contains("there is no file of a database"),
        "{text}"
    );
    let (text, is_sound) = check(&directory.path().join("notes.txt"), false);
    assert!(
        !is_sound && text.contains("neither a snapshot nor"),
        "{text}"
    );
    assert!(!check(&directory.path().join("missing"), false).1);
}

#[test]
fn a_directory_in_use_is_left_alone() {
    let torn = &commands(&["SET b 1"])[..9];
    let directory = log(torn, torn, "file a.2.incr.aof seq 2 type i\n");
    let lock = directory.path().join("kvik.lock");
    let held = SystemDisk.lock(&lock).unwrap();
    let (text, is_sound) = check(directory.path(), true);
    assert!(
        is_sound && text.contains("a server has the directory open"),
        "{text}"
    );
    let path = directory.path().join("appendonlydir/a.2.incr.aof");
    assert_eq!(fs::read(&path).unwrap(), torn);
    drop(held);
    assert!(check(directory.path(), true).1);
    assert_eq!(fs::read(&path).unwrap(), b"");
}

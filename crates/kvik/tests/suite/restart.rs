//! Whatever the transcripts do to a store, a restart from its log and a reload from a snapshot
//! bring back.
//!
//! Each case of `tests/commands` is played into a store with files, whose replies do not matter
//! here. Then the store is opened anew, and once more loaded from a snapshot. The clock stands
//! still meanwhile, so no key expires in between.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvik::{Clock, Connection, Db, Options, Value};
use kvik_command::declare::Flags;
use kvik_command::table;
use kvik_resp::{ArgsBuf, split_line};

/// What ends the session or the store, or has others wait.
const LEFT_OUT: [&str; 12] = [
    "SHUTDOWN",
    "QUIT",
    "CLIENT",
    "MONITOR",
    "SAVE",
    "BGSAVE",
    "BGREWRITEAOF",
    "CONFIG",
    "WAIT",
    "WAITAOF",
    "FEED",
    "DELPREFIX",
];

/// The jobs of the first go on in the background, so there is no moment to compare. The others need
/// an engine for scripts, and a store with namespaces.
const NOT_PLAYED: [&str; 3] = ["DELPREFIX", "FUNCTION", "NAMESPACE"];

/// A store with files, its directory and its clock.
struct Place {
    dir: tempfile::TempDir,
    now: Arc<AtomicU64>,
}

impl Place {
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().expect("a directory"),
            now: Arc::new(AtomicU64::new(1_700_000_000_000_000)),
        }
    }

    fn open(&self, has_namespaces: bool) -> Db {
        let clock = Clock::Manual(Arc::clone(&self.now));
        let options = Options::from(self.dir.path()).stripes(16).clock(clock);
        let options = match has_namespaces {
            true => options.namespaces(),
            false => options,
        };
        Db::open(options).expect("the files are ours")
    }
}

fn digest(db: &Db) -> Value {
    db.run(&["DEBUG", "DIGEST"])
}

/// The words of a line such as `2> SET k v`, and the client that sends them.
fn call(line: &str) -> Option<(usize, ArgsBuf)> {
    let (client, words) = line.split_once("> ")?;
    let client = if client.is_empty() {
        1
    } else {
        client.parse().ok()?
    };
    let mut args = ArgsBuf::default();
    split_line(words.as_bytes(), &mut args).ok()?;
    Some((client, args))
}

/// Plays a case, and notes which commands have succeeded.
fn play(place: &Place, db: &Db, lines: &[&str], done: &mut BTreeSet<&'static str>) {
    let mut clients: Vec<Connection> = Vec::new();
    for line in lines {
        if let Some(wait) = line.strip_prefix("! wait ") {
            let ms: u64 = wait.trim_end_matches("ms").parse().unwrap_or(0);
            place.now.fetch_add(ms * 1000, Ordering::AcqRel);
        }
        let Some((client, args)) = call(line) else {
            continue;
        };
        let words: Vec<&[u8]> = args.as_args().iter().collect();
        let name = String::from_utf8_lossy(words.first().unwrap_or(&&b""[..])).to_uppercase();
        let second = words.get(1).map(|word| word.to_ascii_uppercase());
        let is_debug = name == "DEBUG" && second.as_deref() != Some(b"POPULATE");
        // What these begin goes on in the background.
        let is_begun =
            name == "NAMESPACE" && matches!(second.as_deref(), Some(b"DROP" | b"POLICY"));
        if LEFT_OUT.contains(&name.as_str()) || is_debug || is_begun {
            continue;
        }
        while clients.len() < client {
            let mut client = db.connect();
            client.let_wait(false);
            clients.push(client);
        }
        let reply = clients[client - 1].run(&words);
        if let Ok(command) = table().resolve(args.as_args())
            && reply.as_error().is_none()
        {
            done.insert(command.name());
        }
    }
}

fn check(name: &str, lines: &[&str], has_namespaces: bool, done: &mut BTreeSet<&'static str>) {
    let place = Place::new();
    let db = place.open(has_namespaces);
    play(&place, &db, lines, done);
    let before = digest(&db);
    let reload = db.run(&["DEBUG", "RELOAD"]);
    assert!(reload.is_ok(), "{name}: {reload:?}");
    assert_eq!(digest(&db), before, "{name}: from the snapshot");
    drop(db);
    let db = place.open(has_namespaces);
    assert_eq!(digest(&db), before, "{name}: from the log");
}

/// Checks every case of a folder, and returns the commands that have succeeded.
fn check_folder(folder: &str, has_namespaces: bool) -> BTreeSet<&'static str> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    let folder = tests.join(folder);
    let mut done = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("the folder of transcripts") {
        let path = entry.expect("an entry of it").path();
        if path.extension().is_none_or(|it| it != "txt") {
            continue;
        }
        let text = fs::read_to_string(&path).expect("a transcript");
        let file = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        for case in text.split("\n== ").skip(1) {
            let lines: Vec<&str> = case.lines().collect();
            let name = format!("{file}: {}", lines[0]);
            check(&name, &lines[1..], has_namespaces, &mut done);
        }
    }
    done
}

#[test]
fn namespaces_survive() {
    let done = check_folder("namespaces", true);
    let flush = done.iter().find(|name| name.starts_with("NAMESPACE"));
    assert!(flush.is_some(), "{done:?}");
}

#[test]
fn every_write_command_survives() {
    let done = check_folder("commands", false);
    let writes = table().commands().iter();
    let writes = writes.filter(|it| it.flags().contains(Flags::WRITE) && !it.is_container());
    let missing: Vec<_> = writes
        .map(|it| it.name())
        .filter(|name| !done.contains(name))
        .filter(|name| !NOT_PLAYED.iter().any(|other| name.starts_with(other)))
        .collect();
    assert!(missing.is_empty(), "no transcript runs {missing:?}");
}

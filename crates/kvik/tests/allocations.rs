//! Small commands allocate nothing once what they need is there: the promise behind "arguments are
//! slices of the input, replies are written into the output, entries live in the arena".
//!
//! Allocations are counted per thread, so the upkeep thread does not disturb. It is a test program
//! of its own because the counting allocator is that of the whole program.

use std::sync::Arc;

use allocation_counter::measure;
use kvik::effects::{EffectLog, Lsn, Unit};
use kvik::{Db, Executor, Options, Outcome, Patience, Session};
use kvik_command::client::Origin;
use kvik_resp::{Args, Limits, Output, Parsed, RequestParser, Span};

/// More than are prefetched at once, in more stripes than one.
const KEYS: usize = 200;

/// Takes effects and keeps nothing.
struct Forget;

impl EffectLog for Forget {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        let bytes = unit.len() as u64;
        unit.clear();
        Lsn::new(bytes)
    }
}

/// A client's requests as they arrive, and what a thread of a server needs to run them.
struct Client {
    executor: Executor,
    session: Session,
    requests: Vec<u8>,
    spans: Vec<Span>,
    out: Output,
}

impl Client {
    /// A client that sends these commands for one key after the other.
    fn of(db: &Db, commands: impl Fn(usize) -> String) -> Self {
        let lines = (0..KEYS).map(commands).collect::<String>();
        Self {
            executor: db.executor(Patience::Spin),
            session: db.session(Origin::embedded()),
            requests: lines.lines().flat_map(encode).collect(),
            spans: Vec::new(),
            out: Output::new(),
        }
    }

    /// Runs all requests one by one, parsed where they lie.
    fn run(&mut self) {
        self.out.clear();
        self.executor.refresh();
        let mut parser = RequestParser::new();
        let mut at = 0;
        while at < self.requests.len() {
            self.spans.clear();
            let rest = &self.requests[at..];
            at += parse(&mut parser, rest, &mut self.spans);
            let args = Args::new(rest, &self.spans);
            let (executor, session) = (&mut self.executor, &mut self.session);
            until_done(|| executor.execute(session, args, &mut self.out));
        }
    }

    /// The same as one pipeline: all are parsed, prepared and fetched before the first one runs.
    fn run_ahead(&mut self, commands: &mut Vec<(usize, usize, usize, kvik::Prepared)>) {
        self.out.clear();
        self.spans.clear();
        commands.clear();
        self.executor.refresh();
        let mut parser = RequestParser::new();
        let mut at = 0;
        while at < self.requests.len() {
            let (first, rest) = (self.spans.len(), &self.requests[at..]);
            let len = parse(&mut parser, rest, &mut self.spans);
            let prepared = self.executor.prepare(Args::new(rest, &self.spans[first..]));
            commands.push((at, first, self.spans.len(), prepared));
            at += len;
        }
        let all = commands.iter().map(|&(.., prepared)| prepared);
        self.executor.prefetch(&self.session, all);
        for &(at, first, end, prepared) in &*commands {
            let args = Args::new(&self.requests[at..], &self.spans[first..end]);
            let (executor, session, out) = (&mut self.executor, &mut self.session, &mut self.out);
            until_done(|| executor.execute_prepared(session, prepared, args, out));
        }
    }
}

/// Offers a command again while the upkeep thread has its stripe.
fn until_done(mut offer: impl FnMut() -> Outcome) {
    while offer() != Outcome::Done {
        std::thread::yield_now();
    }
}

fn encode(line: &str) -> Vec<u8> {
    let words: Vec<&str> = line.split(' ').collect();
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    request.into_bytes()
}

fn parse(parser: &mut RequestParser, rest: &[u8], spans: &mut Vec<Span>) -> usize {
    match parser.parse_append(rest, &Limits::default(), spans) {
        Ok(Parsed::Command { consumed }) => consumed,
        other => panic!("{other:?}"),
    }
}

fn stores() -> [Db; 2] {
    let logged = Options::default().threads(2).effect_log(Arc::new(Forget));
    let stores = [
        Db::in_memory(Options::default().threads(2)),
        Db::in_memory(logged),
    ];
    for db in &stores {
        // What takes long on a busy machine is noted, and that is an allocation.
        let slower_than_us = &db.engine().settings.slowlog_slower_than_us;
        slower_than_us.store(-1, std::sync::atomic::Ordering::Relaxed);
    }
    stores
}

/// Runs the commands until everything has its size, then counts.
fn assert_allocates_nothing(what: &str, commands: impl Fn(usize) -> String) {
    for db in stores() {
        let mut client = Client::of(&db, &commands);
        (0..4).for_each(|_| client.run());
        let counted = measure(|| (0..10).for_each(|_| client.run()));
        let replies = client.out.into_bytes();
        let failed = replies.windows(4).any(|bytes| bytes == b"-ERR");
        assert!(!failed, "{what}: a reply is an error");
        assert_eq!(counted.count_total, 0, "{what}");
    }
}

#[test]
fn single_commands_allocate_nothing() {
    assert_allocates_nothing("SET", |n| format!("SET key:{n:012} {n:032}\n"));
    assert_allocates_nothing("GET of what is not there", |n| format!("GET key:{n}\n"));
    assert_allocates_nothing("INCR", |n| format!("INCR counter:{n}\n"));
}

#[test]
fn keys_come_and_go_without_allocating() {
    assert_allocates_nothing("all", |n| {
        let key = format!("key:{n:012}");
        format!(
            "SET {key} {n:032}\nGET {key}\nEXISTS {key}\nEXPIRE {key} 100\nSET {key} {n} EX 50\nINCR {key}\nGET {key}\n\
             DEL {key}\nEXISTS {key}\nINCR {key}\nDEL {key}\n"
        )
    });
}

#[test]
fn a_pipeline_allocates_nothing() {
    for db in stores() {
        let mut client = Client::of(&db, |n| {
            format!(
                "SET key:{n} {n:032}\nGET key:{n}\nEXPIRE key:{n} 100\nINCR n:{n}\nEXISTS n:{n}\nDEL n:{n}\n"
            )
        });
        let mut commands = Vec::new();
        (0..4).for_each(|_| client.run_ahead(&mut commands));
        let counted = measure(|| (0..10).for_each(|_| client.run_ahead(&mut commands)));
        assert_eq!(counted.count_total, 0);
    }
}

//! The store in this process, with a mirror that follows its effects.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kvik::effects::{EffectLog, Lsn, Unit};
use kvik::{Clock, Db, Ending, Executor, Options, Outcome, Patience, Session, Value};
use kvik_command::client::Origin;
use kvik_command::mail::{Mailbox, Message};
use kvik_resp::{Args, ArgsBuf, Output, Protocol, ReplyDecoder};
use parking_lot::Mutex;

use super::{Connection, Identity, Product, Received, Reply, Target};

/// A store and its mirror.
pub(crate) struct MemoryTarget {
    db: Db,
    mirror: Arc<Mirror>,
    clock: Clock,
    identity: Identity,
}

impl MemoryTarget {
    pub(crate) fn new(options: Options, protocol: u8, clock: Clock, variant: &str) -> Self {
        let mirror = Arc::new(Mirror::new(options.clone().clock(clock.clone())));
        let log: Arc<dyn EffectLog> = Arc::clone(&mirror) as _;
        let db = Db::in_memory(
            options
                .clock(clock.clone())
                .effect_log(log)
                .scripts(kvik_script::LuaEngine::shared()),
        );
        let version = env!("CARGO_PKG_VERSION").parse().expect("a version");
        let variant = format!(" in process{variant}");
        let identity = Identity {
            product: Product::Kvik,
            version,
            protocol,
            is_scripted: false,
            socket: false,
            variant,
        };
        Self {
            db,
            mirror,
            clock,
            identity,
        }
    }
}

impl Target for MemoryTarget {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn connect(&self) -> Result<Box<dyn Connection>, String> {
        let mailbox = Arc::new(Pigeonhole::default());
        let origin = Origin {
            mailbox: Arc::clone(&mailbox) as _,
            ..Origin::embedded()
        };
        let mut session = self.db.session(origin);
        if self.identity.protocol == 3 {
            session.speak(Protocol::Resp3);
        }
        Ok(Box::new(MemoryConnection {
            executor: self.db.executor(Patience::Spin),
            session,
            mailbox,
            blocked_until_ms: None,
            pending: VecDeque::new(),
            written: Vec::new(),
            decoder: ReplyDecoder::new(),
        }))
    }

    fn wait(&self, time: Duration) {
        match &self.clock {
            Clock::System | Clock::Host(_) => std::thread::sleep(time),
            Clock::Manual(now) => {
                now.fetch_add(time.as_micros() as u64, std::sync::atomic::Ordering::AcqRel);
            }
        }
    }

    fn check(&self) -> Result<(), String> {
        self.mirror.check(&self.db)
    }
}

/// Messages for a session that have come.
#[derive(Default)]
struct Pigeonhole(Mutex<VecDeque<Message>>);

impl Mailbox for Pigeonhole {
    fn deliver(&self, message: Message) {
        self.0.lock().push_back(message);
    }
}

/// A session; commands that cannot run yet wait in line.
struct MemoryConnection {
    executor: Executor,
    session: Session,
    mailbox: Arc<Pigeonhole>,
    /// Until when a command is blocked.
    blocked_until_ms: Option<u64>,
    pending: VecDeque<ArgsBuf>,
    written: Vec<u8>,
    decoder: ReplyDecoder,
}

impl MemoryConnection {
    fn run_pending(&mut self) {
        self.executor.refresh();
        while self.blocked_until_ms.is_none()
            && let Some(command) = self.pending.front()
        {
            let mut output = Output::new();
            let outcome = self
                .executor
                .execute(&mut self.session, command.as_args(), &mut output);
            self.written.append(&mut output.into_bytes());
            match outcome {
                Outcome::Done => {
                    self.pending.pop_front();
                    self.read_mail();
                }
                Outcome::Blocked(until_ms) => {
                    self.pending.pop_front();
                    self.blocked_until_ms = Some(until_ms);
                }
                Outcome::Busy | Outcome::Begun | Outcome::LogFull | Outcome::Paused(_) => return,
            }
        }
    }

    /// Writes what has come between two replies, and ends the wait of a blocked command.
    fn read_mail(&mut self) {
        self.executor.refresh();
        let now_ms = self.executor.now_us() / 1000;
        let (session, mut output) = (&mut self.session, Output::new());
        let mut is_over = self
            .blocked_until_ms
            .is_some_and(|until_ms| until_ms <= now_ms);
        for message in self.mailbox.0.lock().drain(..) {
            match message {
                Message::Push(push) => push.write(session.protocol, &mut output),
                Message::Reply(answer) => {
                    self.executor.answer_wait(session, answer, &mut output);
                    self.blocked_until_ms = None;
                }
                Message::Retry | Message::Kill => {}
            }
        }
        is_over |= session.wait_ending().is_some();
        // A command that has been answered waits no more, and nothing happens here.
        if is_over && (self.executor).end_wait(session, Ending::TimedOut, &mut output) {
            self.blocked_until_ms = None;
        }
        self.written.append(&mut output.into_bytes());
    }

    fn decode(&mut self) -> Result<Option<Reply>, String> {
        let decoded = self
            .decoder
            .decode(&self.written)
            .map_err(|error| error.to_string())?;
        let Some((value, len)) = decoded else {
            return Ok(None);
        };
        let null_array = self.written.starts_with(b"*-1");
        self.written.drain(..len);
        Ok(Some(Reply { value, null_array }))
    }
}

impl Connection for MemoryConnection {
    fn send(&mut self, command: Args<'_>) -> Result<(), String> {
        self.pending.push_back(command.into());
        self.run_pending();
        Ok(())
    }

    fn receive(&mut self, patience: Duration) -> Result<Received, String> {
        let deadline = Instant::now() + patience;
        loop {
            self.read_mail();
            if let Some(reply) = self.decode()? {
                return Ok(Received::Reply(reply));
            }
            if self.session.close || self.session.client.is_killed() {
                self.executor.end(&mut self.session);
                return Ok(Received::Closed);
            }
            if Instant::now() >= deadline {
                return Ok(Received::Nothing);
            }
            if self.pending.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            } else {
                std::thread::yield_now();
            }
            self.run_pending();
        }
    }
}

impl Drop for MemoryConnection {
    fn drop(&mut self) {
        self.executor.end(&mut self.session);
    }
}

/// A second store that is told only the effects of the first. Whatever changes without an effect tells them apart.
struct Mirror {
    follower: Db,
    failures: Mutex<Vec<Vec<Value>>>,
}

impl Mirror {
    fn new(options: Options) -> Self {
        let options = options.scripts(kvik_script::LuaEngine::shared());
        let follower = Db::in_memory(options.follower());
        Self {
            follower,
            failures: Mutex::default(),
        }
    }

    /// Whether both hold the same keys, values and expiries, now that no command is running.
    fn check(&self, db: &Db) -> Result<(), String> {
        let failures = std::mem::take(&mut *self.failures.lock());
        if !failures.is_empty() {
            return Err(format!("the mirror could not follow: {failures:?}"));
        }
        (0..16).try_for_each(|number| self.check_database(db, number))
    }

    fn check_database(&self, db: &Db, number: u32) -> Result<(), String> {
        let (original, mirrored) = (
            Contents::of(db, number),
            Contents::of(&self.follower, number),
        );
        // A key may have expired between the two looks; then the next ones agree.
        if original == mirrored || Contents::of(db, number) == Contents::of(&self.follower, number)
        {
            return Ok(());
        }
        Err(format!(
            "database {number} and its mirror differ:\n    {original:?}\n    {mirrored:?}"
        ))
    }
}

impl EffectLog for Mirror {
    fn append(&self, unit: &mut Unit, _now_ms: u64) -> Lsn {
        if let Err(failure) = self.follower.follow(unit) {
            self.failures.lock().push(failure);
        }
        unit.clear();
        Lsn::ZERO
    }
}

/// Everything a database holds.
#[derive(Debug, PartialEq)]
struct Contents {
    /// Counts expired keys as well, as long as they take up room.
    keys: Option<i64>,
    /// Values and expiries of those that can be seen.
    visible: BTreeMap<Vec<u8>, (Value, Value)>,
}

impl Contents {
    fn of(db: &Db, number: u32) -> Self {
        let mut session = db.connect();
        session.run(&["SELECT", &number.to_string()]);
        let keys = session.run(&["KEYS", "*"]);
        let keys: Vec<_> = keys
            .as_slice()
            .unwrap_or_default()
            .iter()
            .filter_map(Value::as_bytes)
            .collect();
        let entry = |key: &&[u8]| {
            let value = value_of(&mut session, key);
            (key.to_vec(), (value, session.run(&[b"PEXPIRETIME", *key])))
        };
        let visible = keys.iter().map(entry).collect();
        Self {
            keys: session.run(&["DBSIZE"]).as_int(),
            visible,
        }
    }
}

/// All there is to a value, in an order that does not depend on how it came about.
fn value_of(session: &mut kvik::Connection, key: &[u8]) -> Value {
    session.run(&["HELLO", "3"]);
    let kind = session.run(&[b"TYPE", key]);
    let command: &[&[u8]] = match kind.as_bytes() {
        Some(b"list") => &[b"LRANGE", key, b"0", b"-1"],
        Some(b"hash") => return hash_of(session, key),
        Some(b"set") => &[b"SMEMBERS", key],
        Some(b"zset") => &[b"ZRANGE", key, b"0", b"-1", b"WITHSCORES"],
        Some(b"array") => &[b"ARSCAN", key, b"0", b"18446744073709551614"],
        Some(b"stream") => &[b"XINFO", b"STREAM", key, b"FULL", b"COUNT", b"0"],
        _ => &[b"GET", key],
    };
    match session.run(command) {
        Value::Map(pairs) if kind.as_bytes() == Some(b"stream") => {
            without_own_facts(Value::Map(pairs))
        }
        Value::Set(mut members) => {
            members.sort_by_cached_key(|member| format!("{member:?}"));
            Value::Set(members)
        }
        value => value,
    }
}

/// What XINFO says of a stream without what each store has for itself: when a consumer was last seen and active, which no
/// effect says, and in how many nodes the entries are, which follows from settings.
fn without_own_facts(info: Value) -> Value {
    const OWN: [&[u8]; 4] = [
        b"seen-time",
        b"active-time",
        b"radix-tree-keys",
        b"radix-tree-nodes",
    ];
    let shared = |pair: &(Value, Value)| pair.0.as_bytes().is_none_or(|name| !OWN.contains(&name));
    match info {
        Value::Map(pairs) => Value::Map(
            pairs
                .into_iter()
                .filter(shared)
                .map(|(name, value)| (name, without_own_facts(value)))
                .collect(),
        ),
        Value::Array(values) => Value::Array(values.into_iter().map(without_own_facts).collect()),
        value => value,
    }
}

/// The fields of a hash in order: name, value and expiry of each.
fn hash_of(session: &mut kvik::Connection, key: &[u8]) -> Value {
    let Value::Map(mut pairs) = session.run(&[b"HGETALL", key]) else {
        return Value::Null;
    };
    pairs.sort_by_cached_key(|pair| format!("{pair:?}"));
    let field = |(name, value): (Value, Value)| {
        let words: [&[u8]; 5] = [b"HPEXPIRETIME", key, b"FIELDS", b"1", name.as_bytes()?];
        let expiry = session.run(&words);
        Some(Value::Array(vec![name, value, expiry]))
    };
    Value::Array(pairs.into_iter().filter_map(field).collect())
}

//! The commands that the model knows, as values: to generate, to send, to judge.

use kvik_resp::{ArgsBuf, Value};

use crate::target::Connection;

pub(crate) type Bytes = Vec<u8>;

/// One command, or several as a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Get(Bytes),
    Set {
        key: Bytes,
        value: Bytes,
        when: When,
        get: bool,
        expiry: Expiry,
    },
    GetEx(Bytes, Expiry),
    GetDel(Bytes),
    MGet(Vec<Bytes>),
    MSet(Vec<(Bytes, Bytes)>),
    MSetNx(Vec<(Bytes, Bytes)>),
    Append(Bytes, Bytes),
    SetRange(Bytes, usize, Bytes),
    GetRange(Bytes, i64, i64),
    IncrBy(Bytes, i64),
    Del(Vec<Bytes>),
    Exists(Vec<Bytes>),
    Rename(Bytes, Bytes),
    RenameNx(Bytes, Bytes),
    Copy {
        from: Bytes,
        to: Bytes,
        replace: bool,
    },
    Move(Bytes, usize),
    ExpireAt(Bytes, i64, TtlCondition),
    Persist(Bytes),
    ExpireTime(Bytes),
    /// KEYS of everything; its reply is to be sorted before it is compared.
    Keys,
    Select(usize),
    SwapDb(usize, usize),
    FlushDb,
    Transaction(Vec<Self>),
}

/// On what SET depends.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum When {
    Always,
    Missing,
    Existing,
    Equal(Bytes),
}

/// What becomes of the expiry; times are milliseconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Expiry {
    Clear,
    Keep,
    At(i64),
}

/// On what EXPIRE depends: NX, XX, GT, LT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TtlCondition {
    Always,
    Missing,
    Existing,
    Later,
    Earlier,
}

impl Call {
    /// A SET without options.
    pub(crate) fn set(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Self {
        let (key, value) = (key.into(), value.into());
        Self::Set {
            key,
            value,
            when: When::Always,
            get: false,
            expiry: Expiry::Clear,
        }
    }

    /// Runs it on a connection and returns its reply, of KEYS in order.
    pub(crate) fn run(&self, connection: &mut dyn Connection) -> Result<Value, String> {
        let Self::Transaction(calls) = self else {
            return Ok(self.in_order(connection.ask(self.words().as_args())?));
        };
        connection.ask_words(&["MULTI"])?;
        for call in calls {
            connection.ask(call.words().as_args())?;
        }
        Ok(match connection.ask_words(&["EXEC"])? {
            Value::Array(replies) => Value::Array(
                calls
                    .iter()
                    .zip(replies)
                    .map(|(call, reply)| call.in_order(reply))
                    .collect(),
            ),
            refused => refused,
        })
    }

    fn in_order(&self, reply: Value) -> Value {
        match (self, reply) {
            (Self::Keys, Value::Array(mut keys)) => {
                keys.sort_by(|one, other| one.as_bytes().cmp(&other.as_bytes()));
                Value::Array(keys)
            }
            (_, reply) => reply,
        }
    }

    /// The words to send, of one command that is no transaction.
    fn words(&self) -> ArgsBuf {
        let mut words = ArgsBuf::new();
        let mut say = |list: &[&[u8]]| words.extend(list);
        match self {
            Self::Get(key) => say(&[b"GET", key]),
            Self::Set {
                key,
                value,
                when,
                get,
                expiry,
            } => set_words(key, value, when, *get, expiry, &mut say),
            Self::GetEx(key, Expiry::Keep) => say(&[b"GETEX", key]),
            Self::GetEx(key, Expiry::Clear) => say(&[b"GETEX", key, b"PERSIST"]),
            Self::GetEx(key, Expiry::At(at)) => say(&[b"GETEX", key, b"PXAT", &digits(*at)]),
            Self::GetDel(key) => say(&[b"GETDEL", key]),
            Self::MGet(keys) => list_words(b"MGET", keys, &mut say),
            Self::MSet(pairs) => pair_words(b"MSET", pairs, &mut say),
            Self::MSetNx(pairs) => pair_words(b"MSETNX", pairs, &mut say),
            Self::Append(key, suffix) => say(&[b"APPEND", key, suffix]),
            Self::SetRange(key, at, patch) => say(&[b"SETRANGE", key, &digits(*at), patch]),
            Self::GetRange(key, start, end) => {
                say(&[b"GETRANGE", key, &digits(*start), &digits(*end)])
            }
            Self::IncrBy(key, by) => say(&[b"INCRBY", key, &digits(*by)]),
            Self::Del(keys) => list_words(b"DEL", keys, &mut say),
            Self::Exists(keys) => list_words(b"EXISTS", keys, &mut say),
            Self::Rename(from, to) => say(&[b"RENAME", from, to]),
            Self::RenameNx(from, to) => say(&[b"RENAMENX", from, to]),
            Self::Copy {
                from,
                to,
                replace: false,
            } => say(&[b"COPY", from, to]),
            Self::Copy {
                from,
                to,
                replace: true,
            } => say(&[b"COPY", from, to, b"REPLACE"]),
            Self::Move(key, database) => say(&[b"MOVE", key, &digits(*database)]),
            Self::ExpireAt(key, at, condition) => {
                say(&[b"PEXPIREAT", key, &digits(*at)]);
                say(condition.words());
            }
            Self::Persist(key) => say(&[b"PERSIST", key]),
            Self::ExpireTime(key) => say(&[b"PEXPIRETIME", key]),
            Self::Keys => say(&[b"KEYS", b"*"]),
            Self::Select(database) => say(&[b"SELECT", &digits(*database)]),
            Self::SwapDb(one, other) => say(&[b"SWAPDB", &digits(*one), &digits(*other)]),
            Self::FlushDb => say(&[b"FLUSHDB"]),
            Self::Transaction(_) => unreachable!("a transaction is several commands"),
        }
        words
    }
}

impl TtlCondition {
    fn words(self) -> &'static [&'static [u8]] {
        match self {
            Self::Always => &[],
            Self::Missing => &[b"NX"],
            Self::Existing => &[b"XX"],
            Self::Later => &[b"GT"],
            Self::Earlier => &[b"LT"],
        }
    }
}

fn set_words(
    key: &[u8],
    value: &[u8],
    when: &When,
    get: bool,
    expiry: &Expiry,
    say: &mut impl FnMut(&[&[u8]]),
) {
    say(&[b"SET", key, value]);
    match when {
        When::Always => {}
        When::Missing => say(&[b"NX"]),
        When::Existing => say(&[b"XX"]),
        When::Equal(to) => say(&[b"IFEQ", to]),
    }
    if get {
        say(&[b"GET"]);
    }
    match expiry {
        Expiry::Clear => {}
        Expiry::Keep => say(&[b"KEEPTTL"]),
        Expiry::At(at) => say(&[b"PXAT", &digits(*at)]),
    }
}

fn list_words(name: &[u8], keys: &[Bytes], say: &mut impl FnMut(&[&[u8]])) {
    say(&[name]);
    keys.iter().for_each(|key| say(&[key]));
}

fn pair_words(name: &[u8], pairs: &[(Bytes, Bytes)], say: &mut impl FnMut(&[&[u8]])) {
    say(&[name]);
    pairs.iter().for_each(|(key, value)| say(&[key, value]));
}

fn digits(number: impl ToString) -> Bytes {
    number.to_string().into_bytes()
}

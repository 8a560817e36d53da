//! The state that the server keeps for a connection, learned from commands and their replies.
//!
//! The prompt shows it, and a new connection is made like the last one: database, protocol, account
//! and the settings of `CLIENT` are restored by its account and settings. A WATCH and an open
//! transaction cannot be restored, because somebody may have changed the keys since. They are
//! *lost*: from then on [`State::admit`] refuses the commands of that transaction up to its EXEC or
//! DISCARD, as none of them may run outside of it or without its guard.

use kvik_client::{Protocol, Value};

/// A command as it was sent.
pub(super) type Words = Vec<Vec<u8>>;

/// The state of one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct State {
    pub(super) db: u32,
    pub(super) protocol: Protocol,
    transaction: Transaction,
    watch: Watch,
    /// At most one command of each kind, the newest, in the order in which the kinds were first
    /// used.
    settings: Vec<(SettingKind, Words)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Transaction {
    /// There is none.
    Closed,
    /// From MULTI on; with the commands that the server has queued.
    Open(Vec<Words>),
    /// It was open when the connection ended, or it begins under a WATCH that was lost.
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// No key is watched.
    Idle,
    /// Keys are watched.
    Active,
    /// Keys were watched when the connection ended.
    Lost,
}

/// The subject of a setting: a later command of the same kind replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum SettingKind {
    /// The account.
    Account,
    /// A command, or a command and its subcommand.
    Named(Vec<u8>),
}

/// The parts of a connection's state that ended with it and cannot be restored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) watch: bool,
    pub(super) transaction: bool,
}

/// Why a command must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// MULTI after a WATCH that was lost.
    Unguarded,
    /// A command of a transaction that was lost.
    Queued,
    /// The EXEC or DISCARD of a transaction that was lost.
    Ended,
}

impl State {
    /// A new connection to a database.
    pub(super) fn new(db: u32, protocol: Protocol) -> Self {
        Self {
            db,
            protocol,
            transaction: Transaction::Closed,
            watch: Watch::Idle,
            settings: Vec::new(),
        }
    }

    /// Whether commands are queued by the server.
    pub(super) fn is_in_transaction(&self) -> bool {
        matches!(self.transaction, Transaction::Open(_))
    }

    /// `(TX)` and its like, for the prompt.
    pub(super) fn transaction_mark(&self) -> &'static str {
        match self.transaction {
            Transaction::Closed => "",
            Transaction::Open(_) => "(TX)",
            Transaction::Lost => "(TX lost)",
        }
    }

    /// Notes that the connection has ended, and returns what ended with it. A part that was lost
    /// before is not lost again.
    pub(super) fn lose_connection(&mut self) -> Loss {
        let loss = Loss {
            watch: self.watch == Watch::Active,
            transaction: self.is_in_transaction(),
        };
        if loss.watch {
            self.watch = Watch::Lost;
        }
        if loss.transaction {
            self.transaction = Transaction::Lost;
        }
        loss
    }

    /// An EXEC was sent and its reply lost: what there is to know about the transaction is not
    /// here.
    pub(super) fn forget_transaction(&mut self) {
        self.transaction = Transaction::Closed;
        self.watch = Watch::Idle;
    }

    /// Whether a command may be sent, after what was lost.
    pub(super) fn admit(&mut self, command: &[&[u8]]) -> Result<(), Refusal> {
        let name = upper(command, 0);
        match (&self.transaction, name.as_slice()) {
            (Transaction::Lost, b"EXEC" | b"DISCARD") => {
                self.forget_transaction();
                Err(Refusal::Ended)
            }
            // Who begins anew has seen that the first attempt is over.
            (Transaction::Lost, b"MULTI" | b"WATCH" | b"RESET") => {
                self.forget_transaction();
                Ok(())
            }
            (Transaction::Lost, _) => Err(Refusal::Queued),
            (_, b"MULTI") if self.watch == Watch::Lost => {
                self.transaction = Transaction::Lost;
                Err(Refusal::Unguarded)
            }
            _ => Ok(()),
        }
    }

    /// Learns from a command and its reply.
    pub(super) fn follow(&mut self, command: &[&[u8]], reply: &Value) {
        // A queued command has changed nothing yet; EXEC tells what became of it.
        if let Transaction::Open(queued) = &mut self.transaction
            && matches!(reply.plain(), Value::Simple(status) if *status == "QUEUED")
        {
            queued.push(owned(command));
            return;
        }
        let name = upper(command, 0);
        let args = command.get(1..).unwrap_or_default();
        match name.as_slice() {
            b"EXEC" => self.executed(reply),
            b"DISCARD" => self.discarded(reply),
            _ if reply.as_error().is_some() => {}
            b"RESET" => self.reset(),
            b"HELLO" => self.greeted(args),
            // All others answer with OK when they have taken effect.
            _ if !reply.is_ok() => {}
            b"MULTI" => self.transaction = Transaction::Open(Vec::new()),
            b"WATCH" => self.watch = Watch::Active,
            b"UNWATCH" => self.watch = Watch::Idle,
            b"SELECT" => self.selected(args),
            b"AUTH" => self.set(SettingKind::Account, owned(command)),
            _ => self.configured(name, command),
        }
    }

    /// Remembers the account that the user named before there was a connection.
    pub(super) fn log_in(&mut self, user: Option<&str>, password: &str) {
        let words = ["AUTH"].into_iter().chain(user).chain([password]);
        let words = words.map(|word| word.as_bytes().to_vec());
        self.set(SettingKind::Account, words.collect());
    }

    /// The command that logs in to the account of this connection, if it has one.
    pub(super) fn account(&self) -> Vec<Words> {
        self.commands(|kind| *kind == SettingKind::Account)
    }

    /// The commands after which a new connection is like the last one, besides its account, its
    /// protocol and its database.
    pub(super) fn settings(&self) -> Vec<Words> {
        self.commands(|kind| *kind != SettingKind::Account)
    }

    fn commands(&self, is_wanted: impl Fn(&SettingKind) -> bool) -> Vec<Words> {
        let wanted = self.settings.iter().filter(|(kind, _)| is_wanted(kind));
        wanted.map(|(_, words)| words.clone()).collect()
    }

    /// The server refuses a command that a new connection should repeat.
    pub(super) fn forget_setting(&mut self, words: &Words) {
        self.settings.retain(|(_, known)| known != words);
    }

    /// EXEC ends the transaction whatever it answers. Only an array says that the commands ran.
    fn executed(&mut self, reply: &Value) {
        let transaction = std::mem::replace(&mut self.transaction, Transaction::Closed);
        self.watch = Watch::Idle;
        if let Transaction::Open(queued) = transaction
            && let Some(replies) = reply.as_slice()
        {
            // The transaction is closed already, so none of them is taken for queued again.
            for (command, reply) in queued.iter().zip(replies) {
                let command: Vec<&[u8]> = command.iter().map(Vec::as_slice).collect();
                self.follow(&command, reply);
            }
        }
    }

    /// A DISCARD with arguments is refused and leaves the transaction open; without MULTI there is
    /// none, whatever was believed.
    fn discarded(&mut self, reply: &Value) {
        let is_stray = |text: &[u8]| text.ends_with(b"DISCARD without MULTI");
        if reply.is_ok()
            || reply
                .as_error()
                .is_some_and(|error| is_stray(error.as_bytes()))
        {
            self.forget_transaction();
        }
    }

    /// RESET makes the connection a new one. The account is kept for the next connection, which the
    /// server would otherwise refuse.
    fn reset(&mut self) {
        self.settings
            .retain(|(kind, _)| *kind == SettingKind::Account);
        *self = Self {
            settings: std::mem::take(&mut self.settings),
            ..Self::new(0, Protocol::Resp2)
        };
    }

    /// `HELLO [version [AUTH user password] [SETNAME name]]`
    fn greeted(&mut self, args: &[&[u8]]) {
        match args.first() {
            Some(&b"2") => self.protocol = Protocol::Resp2,
            Some(&b"3") => self.protocol = Protocol::Resp3,
            _ => return,
        }
        // In any order; the server has accepted them, so whatever else stands here is of no
        // interest.
        let mut options = &args[1..];
        loop {
            options = match (upper(options, 0).as_slice(), options) {
                (b"AUTH", [_, user, password, rest @ ..]) => {
                    self.set(SettingKind::Account, owned(&[b"AUTH", *user, *password]));
                    rest
                }
                (b"SETNAME", [_, name, rest @ ..]) => {
                    let command: [&[u8]; 3] = [b"CLIENT", b"SETNAME", name];
                    self.configured(b"CLIENT".to_vec(), &command);
                    rest
                }
                _ => return,
            };
        }
    }

    fn selected(&mut self, args: &[&[u8]]) {
        let number = args.first().and_then(|word| str::from_utf8(word).ok());
        if let Some(db) = number.and_then(|text| text.parse().ok()) {
            self.db = db;
        }
    }

    /// Remembers a command that sets something of the connection until it ends.
    fn configured(&mut self, name: Vec<u8>, command: &[&[u8]]) {
        let second = upper(command, 1);
        let kind = match (name.as_slice(), second.as_slice()) {
            // Each attribute is a setting of its own.
            (b"CLIENT", b"SETINFO") => [b"SETINFO ", upper(command, 2).as_slice()].concat(),
            (b"CLIENT", b"SETNAME" | b"NO-EVICT" | b"NO-TOUCH" | b"TRACKING" | b"CAPA") => second,
            (b"NAMESPACE", b"USE") => name,
            // One undoes the other.
            (b"READONLY" | b"READWRITE", _) => b"READONLY".to_vec(),
            _ => return,
        };
        self.set(SettingKind::Named(kind), owned(command));
    }

    fn set(&mut self, kind: SettingKind, words: Words) {
        match self.settings.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, known)) => *known = words,
            None => self.settings.push((kind, words)),
        }
    }
}

impl Loss {
    /// `its WATCH and its transaction`; empty when nothing is lost.
    pub(super) fn names(self) -> &'static str {
        match (self.watch, self.transaction) {
            (false, false) => "",
            (true, false) => "its WATCH",
            (false, true) => "its transaction",
            (true, true) => "its WATCH and its transaction",
        }
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unguarded => {
                "not sent: WATCH was lost with its connection; WATCH the keys again, or UNWATCH"
            }
            Self::Queued => {
                "not sent: its transaction is lost; EXEC or DISCARD ends it, MULTI begins anew"
            }
            Self::Ended => "not sent: the transaction was lost, none of its commands was executed",
        })
    }
}

fn upper(command: &[&[u8]], index: usize) -> Vec<u8> {
    command
        .get(index)
        .map(|word| word.to_ascii_uppercase())
        .unwrap_or_default()
}

fn owned(command: &[&[u8]]) -> Words {
    command.iter().map(|word| word.to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Follower(State);

    impl Follower {
        fn new() -> Self {
            Self(State::new(0, Protocol::Resp3))
        }

        fn follow(&mut self, line: &str, reply: Value) -> &mut Self {
            self.0.follow(&words(line), &reply);
            self
        }

        fn ok(&mut self, line: &str) -> &mut Self {
            self.follow(line, status("OK"))
        }

        fn queued(&mut self, line: &str) -> &mut Self {
            self.follow(line, status("QUEUED"))
        }

        fn admit(&mut self, line: &str) -> Result<(), Refusal> {
            self.0.admit(&words(line))
        }

        fn restoring(&self) -> Vec<String> {
            let commands = self.0.account().into_iter().chain(self.0.settings());
            let line = |words: &Words| String::from_utf8(words.join(&b' ')).unwrap();
            commands.map(|words| line(&words)).collect()
        }
    }

    fn words(line: &str) -> Vec<&[u8]> {
        line.split(' ').map(str::as_bytes).collect()
    }

    fn status(text: &str) -> Value {
        Value::Simple(text.into())
    }

    fn error(text: &str) -> Value {
        Value::Error(text.into())
    }

    #[test]
    fn a_queued_select_acts_with_exec() {
        let mut state = Follower::new();
        state.ok("MULTI").queued("SELECT 5").queued("SELECT x");
        assert_eq!((state.0.db, state.0.transaction_mark()), (0, "(TX)"));
        let replies = vec![status("OK"), error("ERR invalid DB index")];
        state.follow("exec", Value::Array(replies));
        assert_eq!((state.0.db, state.0.transaction_mark()), (5, ""));
    }

    #[test]
    fn a_transaction_that_did_not_run_changes_nothing() {
        for end in [Value::Null, error("EXECABORT ...")] {
            let mut state = Follower::new();
            state.ok("MULTI").queued("SELECT 5").follow("EXEC", end);
            assert_eq!((state.0.db, state.0.transaction_mark()), (0, ""));
        }
        let mut state = Follower::new();
        state.ok("MULTI").queued("SELECT 5").ok("DISCARD");
        assert_eq!((state.0.db, state.0.transaction_mark()), (0, ""));
        state
            .ok("MULTI")
            .follow("DISCARD x", error("ERR wrong number of arguments"));
        assert_eq!(state.0.transaction_mark(), "(TX)");
        state.follow("DISCARD", error("ERR DISCARD without MULTI"));
        assert_eq!(state.0.transaction_mark(), "");
    }

    #[test]
    fn settings_are_restored_once_each_and_the_account_first() {
        let mut state = Follower::new();
        state.ok("CLIENT SETNAME a").ok("client setname b");
        state
            .ok("CLIENT SETINFO LIB-NAME x")
            .ok("CLIENT SETINFO lib-ver 1");
        state
            .ok("CLIENT NO-EVICT on")
            .ok("READONLY")
            .ok("READWRITE");
        state.ok("AUTH ann one").ok("AUTH two");
        state.follow("AUTH wrong", error("WRONGPASS"));
        state.ok("SET k v");
        let expected = [
            "AUTH two",
            "client setname b",
            "CLIENT SETINFO LIB-NAME x",
            "CLIENT SETINFO lib-ver 1",
            "CLIENT NO-EVICT on",
            "READWRITE",
        ];
        assert_eq!(state.restoring(), expected);
    }

    #[test]
    fn a_password_that_is_no_text_is_restored() {
        let mut state = State::new(0, Protocol::Resp2);
        state.follow(&[b"AUTH", b"\xff"], &status("OK"));
        assert_eq!(state.account(), [[b"AUTH".to_vec(), vec![0xff]]]);
    }

    #[test]
    fn hello_sets_protocol_account_and_name() {
        let mut state = Follower::new();
        state.follow("HELLO 2 AUTH ann pw setname me", Value::Array(Vec::new()));
        assert_eq!(state.0.protocol, Protocol::Resp2);
        assert_eq!(state.restoring(), ["AUTH ann pw", "CLIENT SETNAME me"]);
        state.follow("HELLO 3", error("NOPROTO"));
        assert_eq!(state.0.protocol, Protocol::Resp2);
    }

    #[test]
    fn reset_leaves_the_account_only() {
        let mut state = Follower::new();
        state.ok("SELECT 3").ok("AUTH pw").ok("CLIENT SETNAME a");
        state
            .ok("WATCH k")
            .ok("MULTI")
            .follow("RESET", status("RESET"));
        assert_eq!(state.restoring(), ["AUTH pw"]);
        assert_eq!((state.0.db, state.0.protocol), (0, Protocol::Resp2));
        assert_eq!(state.0.lose_connection(), Loss::default());
    }

    #[test]
    fn nothing_of_a_lost_transaction_is_sent() {
        let mut state = Follower::new();
        state.ok("MULTI").queued("SET a 1");
        let loss = state.0.lose_connection();
        assert_eq!(loss.names(), "its transaction");
        assert_eq!(state.admit("SET b 2"), Err(Refusal::Queued));
        assert_eq!(state.0.transaction_mark(), "(TX lost)");
        assert_eq!(state.admit("exec"), Err(Refusal::Ended));
        assert_eq!(state.admit("SET b 2"), Ok(()));
        assert_eq!(state.0.lose_connection(), Loss::default());
    }

    #[test]
    fn no_transaction_begins_without_the_watch_it_counts_on() {
        let mut state = Follower::new();
        state.ok("WATCH x");
        assert_eq!(state.0.lose_connection().names(), "its WATCH");
        assert_eq!(state.admit("GET x"), Ok(()));
        assert_eq!(state.admit("MULTI"), Err(Refusal::Unguarded));
        assert_eq!(state.admit("SET x 1"), Err(Refusal::Queued));
        assert_eq!(state.admit("EXEC"), Err(Refusal::Ended));
        assert_eq!(state.admit("MULTI"), Ok(()));
    }

    #[test]
    fn who_begins_anew_may() {
        let mut state = Follower::new();
        for line in ["MULTI", "WATCH x", "RESET"] {
            state.ok("WATCH x").ok("MULTI");
            assert_eq!(
                state.0.lose_connection().names(),
                "its WATCH and its transaction"
            );
            assert_eq!(state.admit(line), Ok(()), "{line}");
            state.ok("UNWATCH");
        }
        state.ok("WATCH x");
        state.0.lose_connection();
        state.ok("UNWATCH");
        assert_eq!(state.admit("MULTI"), Ok(()));
    }
}

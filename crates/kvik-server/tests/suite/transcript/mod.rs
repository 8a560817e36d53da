//! Transcripts: sessions written down in `tests/commands/*.txt`, played against a
//! [`Target`](crate::target::Target).
//!
//! `lex` and `pattern` read one line, `parse` a file, `matching` compares a reply with a pattern,
//! `play` runs the cases.

mod lex;
mod matching;
mod parse;
mod pattern;
mod play;

use std::time::Duration;

use crate::target::{Product, Version};
use pattern::Pattern;
pub(crate) use play::{
    Exception, play_all, play_alone, play_except, play_folder, sent_commands, told_cases,
};

/// One `== name` section: starts from an empty keyspace and a fresh session.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    line: usize,
    needs: Vec<Need>,
    steps: Vec<Step>,
}

/// A marker: what a target must be for the case to make sense there.
#[derive(Clone, Debug)]
enum Need {
    /// `@requires redis>=7.2 valkey>=8`: at least one of them; kvik always qualifies.
    Version(Vec<(Product, Version)>),
    /// `@only kvik`, `@only socket`, `@only resp3`, `@only kvik,redis`
    Only(String),
}

#[derive(Debug)]
struct Step {
    line: usize,
    /// 0 for steps that concern none.
    connection: u32,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Send(Vec<Word>),
    /// The same behind another command whose reply is still to come.
    SendBehind(Vec<Word>),
    /// The same again and again, until the reply is the one expected next.
    SendUntil(Vec<Word>),
    Expect(Expected),
    Wait(Duration),
}

#[derive(Debug)]
enum Word {
    Bytes(Vec<u8>),
    Variable(String),
}

/// What is expected in either protocol; `resp3` only where it differs.
#[derive(Debug)]
struct Expected {
    any: Written,
    resp3: Option<Written>,
}

/// A pattern and how it was written.
#[derive(Debug)]
struct Written {
    text: String,
    pattern: Pattern,
}

impl Expected {
    fn in_protocol(&self, protocol: u8) -> &Written {
        self.resp3
            .as_ref()
            .filter(|_| protocol == 3)
            .unwrap_or(&self.any)
    }
}

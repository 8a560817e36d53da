//! Commands that are gathered first: pipelines and transactions.
//!
//! Each method returns a [`Queued`] that knows the type of its reply, and with which the reply is
//! taken from the [`Replies`] of them all.

use std::marker::PhantomData;

use kvik_resp::{ArgsBuf, Value};

use crate::ClientError;
use crate::from_reply::FromReply;
use crate::store::Store;
use crate::words::Words;

/// The place of a reply that is still to come.
#[derive(Debug)]
pub struct Queued<T> {
    index: usize,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Queued<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Queued<T> {}

/// The replies to gathered commands.
#[derive(Debug)]
pub struct Replies {
    replies: Vec<Value>,
}

impl Replies {
    /// Takes a reply; what is taken again is null.
    ///
    /// # Errors
    /// [`ClientError::Reply`] if the command was refused, [`ClientError::Unexpected`] if the reply
    /// is of another type.
    pub fn take<T: FromReply>(&mut self, queued: Queued<T>) -> Result<T, ClientError> {
        let reply = self.replies.get_mut(queued.index);
        let reply = reply.map_or(Value::Null, |reply| std::mem::replace(reply, Value::Null));
        T::from_reply(reply)
    }

    /// All replies, in the order of the commands.
    pub fn into_values(self) -> Vec<Value> {
        self.replies
    }
}

/// Commands that are sent at once. Others may come between any two of them.
///
/// ```
/// # use kvik_client::Store;
/// let mut client = Store::open("mem://")?;
/// let mut pipeline = client.pipeline();
/// let visits = pipeline.incr("visits");
/// let names = pipeline.mget(&["ann", "bob"]);
/// let mut replies = pipeline.run()?;
/// assert_eq!(replies.take(visits)?, 1);
/// assert_eq!(replies.take(names)?, [None, None]);
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Pipeline<'a> {
    client: &'a mut Store,
    commands: Vec<ArgsBuf>,
}

impl<'a> Pipeline<'a> {
    pub(crate) fn new(client: &'a mut Store) -> Self {
        let commands = Vec::new();
        Self { client, commands }
    }

    pub(crate) fn push<T>(&mut self, fill: impl FnOnce(&mut ArgsBuf)) -> Queued<T> {
        queue(&mut self.commands, 0, fill)
    }

    /// Any command, whose reply is read as a type.
    pub fn query<T: FromReply>(&mut self, words: impl Words) -> Queued<T> {
        self.push(|to| words.add_to(to))
    }

    /// Runs the commands in their order.
    ///
    /// # Errors
    /// If the connection is lost; which of them were executed is unknown then. The error of a
    /// command comes when its reply is [taken](Replies::take).
    pub fn run(self) -> Result<Replies, ClientError> {
        let replies = self.client.run_all(&self.commands)?;
        Ok(Replies { replies })
    }
}

/// Commands that are executed as one: others see all of their effects or none. Dropped without
/// [`Self::exec`] nothing has been sent.
///
/// ```
/// # use kvik_client::Store;
/// let mut client = Store::open("mem://")?;
/// client.set("from", "10")?;
/// let mut transfer = client.transaction();
/// let left = transfer.incr_by("from", -3);
/// let got = transfer.incr_by("to", 3);
/// let mut replies = transfer.exec()?.expect("nothing was watched");
/// assert_eq!((replies.take(left)?, replies.take(got)?), (7, 3));
/// # Ok::<(), kvik_client::ClientError>(())
/// ```
#[derive(Debug)]
pub struct Transaction<'a> {
    client: &'a mut Store,
    /// MULTI, and the commands behind it.
    commands: Vec<ArgsBuf>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(client: &'a mut Store) -> Self {
        let commands = vec![["MULTI"].into_iter().collect()];
        Self { client, commands }
    }

    pub(crate) fn push<T>(&mut self, fill: impl FnOnce(&mut ArgsBuf)) -> Queued<T> {
        queue(&mut self.commands, 1, fill)
    }

    /// Any command, whose reply is read as a type.
    pub fn query<T: FromReply>(&mut self, words: impl Words) -> Queued<T> {
        self.push(|to| words.add_to(to))
    }

    /// Executes them. `None` if a key has changed that was [watched](Store::watch): nothing has
    /// happened then. The watch has ended in either case.
    ///
    /// # Errors
    /// [`ClientError::Reply`] if a command could not be queued, so that none was executed. If the
    /// connection is lost it is unknown whether they were. The error of a command comes when its
    /// reply is [taken](Replies::take); the others have been executed all the same.
    pub fn exec(mut self) -> Result<Option<Replies>, ClientError> {
        self.commands.push(["EXEC"].into_iter().collect());
        let mut replies = self.client.run_all(&self.commands)?;
        self.client.note_executed();
        let executed = replies.pop().unwrap_or(Value::Null);
        let replies = Option::<Vec<Value>>::from_reply(executed)?;
        Ok(replies.map(|replies| Replies { replies }))
    }
}

/// Appends a command, whose place among the replies does not count the first `before`.
fn queue<T>(
    commands: &mut Vec<ArgsBuf>,
    before: usize,
    fill: impl FnOnce(&mut ArgsBuf),
) -> Queued<T> {
    let mut words = ArgsBuf::new();
    fill(&mut words);
    commands.push(words);
    Queued {
        index: commands.len() - 1 - before,
        of: PhantomData,
    }
}

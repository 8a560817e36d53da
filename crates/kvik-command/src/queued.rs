//! The commands that a client has queued since MULTI, checked, in their order.
//!
//! Their words lie behind each other in a few chunks, which a thread uses again for its next
//! transaction: a queue that owned the words of each command by themselves would spend more time
//! on memory than on commands.

use std::mem;

use kvik_resp::{Args, ArgsBuf};
use kvik_store::KeyHash;

use crate::declare::{Command, Locking};

/// Bytes of words after which another chunk begins. A command lies in one chunk.
const CHUNK: usize = 64 << 10;

/// Commands for which an empty queue keeps room.
const KEPT_COMMANDS: usize = 256;

/// A command that waits for EXEC.
#[derive(Clone, Copy, Debug)]
pub struct Queued<'a> {
    /// The command.
    pub command: &'static Command,
    /// Its words, name included.
    pub args: Args<'a>,
    /// Which word is its only key, and the hash of that, if that is known.
    pub hash: Option<(usize, KeyHash)>,
}

/// Queued commands.
#[derive(Debug, Default)]
pub struct CommandQueue {
    places: Vec<Place>,
    chunks: Vec<ArgsBuf>,
    bytes: usize,
    has_scripts: bool,
    has_preparations: bool,
}

/// The place of a command's words.
#[derive(Clone, Copy, Debug)]
struct Place {
    command: &'static Command,
    chunk: u32,
    first: u32,
    count: u32,
    hash: Option<(usize, KeyHash)>,
}

impl CommandQueue {
    /// Appends a command, whose words are copied.
    pub fn push(&mut self, queued: Queued<'_>) {
        let Queued {
            command,
            args,
            hash,
        } = queued;
        let bytes = args.iter().map(<[u8]>::len).sum::<usize>();
        // The words in one buffer must stay below 4 GiB, which those of one command do.
        let is_full = |chunk: &ArgsBuf| !chunk.is_empty() && chunk.byte_len() + bytes > CHUNK;
        if self.chunks.last().is_none_or(is_full) {
            self.chunks.push(ArgsBuf::new());
        }
        let at = self.chunks.len() - 1;
        let chunk = &mut self.chunks[at];
        self.places.push(Place {
            command,
            chunk: at as u32,
            first: chunk.len() as u32,
            count: args.len() as u32,
            hash,
        });
        chunk.extend(args);
        self.bytes += bytes;
        self.has_scripts |= command.locking() == Locking::Script;
        self.has_preparations |= command.preparation().is_some();
    }

    /// Number of commands.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Bytes of all words.
    pub fn byte_len(&self) -> usize {
        self.bytes
    }

    /// Whether scripts are among them.
    pub fn has_scripts(&self) -> bool {
        self.has_scripts
    }

    /// Whether there is work to be done before one of them runs.
    pub fn has_preparations(&self) -> bool {
        self.has_preparations
    }

    /// The commands in their order.
    pub fn iter(&self) -> QueueIter<'_> {
        QueueIter {
            places: self.places.iter(),
            chunks: &self.chunks,
        }
    }

    /// The commands from `start` on, `count` at most.
    pub fn part(&self, start: usize, count: usize) -> QueueIter<'_> {
        let end = self.len().min(start.saturating_add(count));
        QueueIter {
            places: self.places.get(start..end).unwrap_or_default().iter(),
            chunks: &self.chunks,
        }
    }

    /// An empty queue in the memory of this one, unless it has got large.
    pub fn emptied(mut self) -> Self {
        let is_large = self.chunks.len() > 1 || self.places.capacity() > KEPT_COMMANDS;
        if is_large || self.bytes > CHUNK {
            return Self::default();
        }
        self.places.clear();
        self.chunks.iter_mut().for_each(ArgsBuf::clear);
        Self {
            places: mem::take(&mut self.places),
            chunks: mem::take(&mut self.chunks),
            ..Self::default()
        }
    }
}

impl<'a> IntoIterator for &'a CommandQueue {
    type Item = Queued<'a>;
    type IntoIter = QueueIter<'a>;

    fn into_iter(self) -> QueueIter<'a> {
        self.iter()
    }
}

/// Iterator over queued commands.
#[derive(Clone, Debug)]
pub struct QueueIter<'a> {
    places: std::slice::Iter<'a, Place>,
    chunks: &'a [ArgsBuf],
}

impl<'a> Iterator for QueueIter<'a> {
    type Item = Queued<'a>;

    #[inline]
    fn next(&mut self) -> Option<Queued<'a>> {
        let place = self.places.next()?;
        let first = place.first as usize;
        let words = self.chunks[place.chunk as usize].as_args();
        Some(Queued {
            command: place.command,
            args: words.slice(first..first + place.count as usize),
            hash: place.hash,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.places.size_hint()
    }
}

impl ExactSizeIterator for QueueIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table;

    fn push(queue: &mut CommandQueue, words: &[&[u8]]) {
        let words: ArgsBuf = words.iter().collect();
        let args = words.as_args();
        let command = table().resolve(args).expect("a known command");
        queue.push(Queued {
            command,
            args,
            hash: None,
        });
    }

    fn words(queue: &CommandQueue) -> Vec<Vec<Vec<u8>>> {
        let words = |queued: Queued<'_>| queued.args.iter().map(<[u8]>::to_vec).collect();
        queue.iter().map(words).collect()
    }

    #[test]
    fn commands_come_back_in_their_order_from_all_chunks() {
        let large = vec![b'x'; CHUNK - 100];
        let mut queue = CommandQueue::default();
        let pushed: [&[&[u8]]; 5] = [
            &[b"GET", b"a"],
            &[b"SET", b"b", &large],
            &[b"SET", b"", b""],
            &[b"SET", b"c", &large],
            &[b"PING"],
        ];
        for words in pushed {
            push(&mut queue, words);
        }
        assert_eq!(queue.chunks.len(), 2);
        assert_eq!(words(&queue), pushed);
        assert_eq!(
            queue.byte_len(),
            4 + 4 + large.len() + 3 + 4 + large.len() + 4
        );
        let part: Vec<_> = queue.part(3, 9).map(|it| it.command.name()).collect();
        assert_eq!(part, ["SET", "PING"]);
        assert_eq!(queue.part(5, 1).len(), 0);
    }

    #[test]
    fn an_emptied_queue_keeps_little_memory() {
        let mut queue = CommandQueue::default();
        push(&mut queue, &[b"GET", b"a"]);
        queue = queue.emptied();
        assert!(queue.is_empty() && queue.byte_len() == 0 && queue.places.capacity() > 0);
        push(&mut queue, &[b"GET", b"b"]);
        assert_eq!(words(&queue), [[b"GET".to_vec(), b"b".to_vec()]]);
        push(&mut queue, &[b"SET", b"a", &vec![0; CHUNK]]);
        assert_eq!(queue.emptied().places.capacity(), 0);
        let mut queue = CommandQueue::default();
        for _ in 0..=KEPT_COMMANDS {
            push(&mut queue, &[b"PING"]);
        }
        assert_eq!(queue.emptied().places.capacity(), 0);
    }
}

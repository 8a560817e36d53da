//! Replies with many values: what lies under a key, a part after the other, so that nobody waits
//! for a long one; and the look through keys that the tree does not know yet.

use kvik_resp::{Output, ReplyToken};

use super::form::{self, Status};
use super::tree::Name;
use super::{NAMES, Nkv, PART, SCAN};
use crate::codec::batch::{Answer, Exchange};

/// Keys read at once for a reply with many values.
const CHUNK: usize = 128;
/// Keys asked for at once while the tree is completed.
const SCANNED: &[u8] = b"1000";

/// A reply with many values, as far as it is.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    names: Vec<(Name, u64)>,
    done: usize,
    hits: usize,
    body: Output,
}

impl Nkv {
    /// Begins with a reply of many values; what a part of it may have written before is void.
    pub(super) fn begin_gathering(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        if self.tree.is_incomplete() {
            return self.begin_scan(exchange);
        }
        let key = &exchange.notes[1];
        let prefix = match exchange.request.mark {
            NAMES => Some(key).filter(|key| !key.is_empty() && *key != b"*"),
            _ => before_wildcard(key),
        };
        self.gathering = Gathering {
            names: self.tree.under(prefix),
            ..Gathering::default()
        };
        self.go_on_gathering(exchange.request.mark, exchange)
    }

    /// Asks for the next part, or ends the reply. `purpose` is what is gathered.
    fn go_on_gathering(&mut self, purpose: u8, exchange: &mut Exchange<'_>) -> Answer {
        let id = &exchange.notes[0];
        let gathering = &mut self.gathering;
        if gathering.body.len() > self.max_reply {
            return Answer::Close;
        }
        if gathering.done < gathering.names.len() {
            // A part at a time: the stripes of all keys at once would keep others waiting.
            let end = gathering.names.len().min(gathering.done + CHUNK);
            let mut words: Vec<&[u8]> = vec![b"MGET"];
            words.extend(
                gathering.names[gathering.done..end]
                    .iter()
                    .map(|(name, _)| &**name),
            );
            let notes: [&[u8]; 2] = [id, &[purpose]];
            exchange
                .follow
                .push_noting(PART, self.database, &words, &notes);
            return Answer::Follow;
        }
        let Gathering { hits, body, .. } = std::mem::take(gathering);
        match hits {
            0 => self.form.write_nothing(id, exchange.out),
            _ => self.form.write_gathered(id, body, exchange.out),
        }
        Answer::Done
    }

    /// Takes a part of the values. A key without one is not in the tree any more.
    pub(super) fn gather(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let purpose = exchange.notes[1][0];
        let (reply, gathering) = (&mut exchange.reply, &mut self.gathering);
        let Some(ReplyToken::Array(len)) = reply.next() else {
            self.gathering = Gathering::default();
            self.form
                .write_status(&exchange.notes[0], Status::Failed, exchange.out);
            return Answer::Done;
        };
        for _ in 0..len {
            let Some((name, change)) = gathering.names.get(gathering.done) else {
                break;
            };
            gathering.done += 1;
            match reply.next() {
                Some(ReplyToken::String(len)) => {
                    let value = reply.string(len);
                    let is_name = purpose == NAMES;
                    if !is_name || form::is_sendable(name) {
                        let item = if is_name { &**name } else { &value };
                        self.form
                            .gather(item, is_name, gathering.hits, &mut gathering.body);
                        gathering.hits += 1;
                    }
                }
                // It has expired or was never a string. A change that came meanwhile keeps the
                // name.
                _ => self.tree.forget(name, *change),
            }
        }
        self.go_on_gathering(purpose, exchange)
    }

    /// Looks for keys that the tree does not know, a part of them, before the request runs.
    pub(super) fn begin_scan(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        // The cursor of an earlier request goes on, unless it was for other keys.
        let state = self.tree.incarnation();
        let scan = self.scan.take().filter(|(of, _)| *of == state);
        let (_, cursor) = self
            .scan
            .insert(scan.unwrap_or_else(|| (state, b"0".to_vec())));
        let words: [&[u8]; 4] = [b"SCAN", cursor, b"COUNT", SCANNED];
        let id = exchange.notes.get(0);
        let notes: &[&[u8]] = id.as_slice();
        exchange
            .follow
            .push_noting(SCAN, self.database, &words, notes);
        Answer::Follow
    }

    /// Takes keys for the tree. The request begins anew, when others have had their turn.
    pub(super) fn scan(&mut self, exchange: &mut Exchange<'_>) -> Answer {
        let reply = &mut exchange.reply;
        let (head, cursor) = (reply.next(), reply.next());
        let (Some(ReplyToken::Array(2)), Some(ReplyToken::String(len))) = (head, cursor) else {
            // Who is only to be told something has made no request that could fail.
            let Some(id) = exchange.notes.get(0) else {
                return Answer::Close;
            };
            self.form.write_status(id, Status::Failed, exchange.out);
            return Answer::Done;
        };
        let next = reply.string(len).into_owned();
        if let Some(ReplyToken::Array(len)) = reply.next() {
            for _ in 0..len {
                if let Some(ReplyToken::String(len)) = reply.next() {
                    self.tree.add(&reply.string(len));
                }
            }
        }
        if let Some((state, cursor)) = &mut self.scan {
            if next == b"0" {
                self.tree.complete(*state);
                self.scan = None;
            } else {
                *cursor = next;
            }
        }
        Answer::Again
    }
}

/// The key whose descendants a wildcard means; none for all keys.
pub(super) fn before_wildcard(key: &[u8]) -> Option<&[u8]> {
    let mut end = 0;
    for segment in key.split(|byte| *byte == b'.') {
        if segment == b"*" {
            break;
        }
        end += segment.len() + 1;
    }
    (end > 0).then(|| &key[..end - 1])
}

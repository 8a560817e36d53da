//! Messages of channels, from the outlet of a thread to its connections.
//!
//! Publishers leave a message once for each thread ([`kvik_command::pubsub::Outlet`]). The thread
//! takes all that have come since its last look and goes through them in order. Messages in a row
//! for the same listeners are encoded as one block, which is copied to each of them, or shared if
//! it is large; a connection is sent all of a batch in one piece.
//!
//! Cost of a delivery: its share of a copy of the block, and of one send for each connection and
//! batch.

use std::sync::Arc;

use kvik_command::pubsub::Delivery;
use kvik_resp::{BY_REFERENCE_BYTES, Output, Protocol};
use kvik_rope::Rope;

use super::connection::{Connection, News, State};
use super::connections::Connections;
use super::service::{Fate, Service};
use crate::net::ConnId;

/// Connections that are given messages before they are sent.
const UNSENT: usize = 64;

/// The batch in progress, and room for the next ones.
#[derive(Default)]
pub(super) struct FanOut {
    batch: Vec<Delivery>,
    /// Connections with news.
    told: Vec<ConnId>,
    /// Those that were cut off.
    gone: Vec<ConnId>,
}

impl FanOut {
    /// Hands out what has come. Returns the connections that are gone now: their owner takes them
    /// out.
    pub(super) fn run(
        &mut self,
        service: &mut Service,
        connections: &mut Connections,
    ) -> Vec<ConnId> {
        let mut batch = std::mem::take(&mut self.batch);
        let mut number = service.inbox.outlet.take(&mut batch);
        for run in batch.chunk_by(|one, other| Arc::ptr_eq(&one.places, &other.places)) {
            self.hand_out(run, number, service, connections);
            number += run.len() as u64;
        }
        self.send(service, connections);
        batch.clear();
        self.batch = batch;
        std::mem::take(&mut self.gone)
    }

    /// Hands messages out, the first of which has this number, which all have the same listeners.
    fn hand_out(
        &mut self,
        run: &[Delivery],
        number: u64,
        service: &mut Service,
        connections: &mut Connections,
    ) {
        let mut block = Block::new(run);
        for &place in run[0].places.iter() {
            let id = ConnId::at_place(place);
            let Some(connection) = connections.get_mut(id) else {
                continue;
            };
            if connection.hear(&mut block, number) {
                self.told.push(id);
            }
            if self.told.len() >= UNSENT {
                self.send(service, connections);
            }
        }
    }

    fn send(&mut self, service: &mut Service, connections: &mut Connections) {
        for id in self.told.drain(..) {
            let Some(connection) = connections.get_mut(id) else {
                continue;
            };
            let News { output, lsn } = std::mem::take(&mut connection.news);
            if service.send_news(connection, output, lsn) == Fate::Gone {
                self.gone.push(id);
            }
        }
    }
}

impl Connection {
    /// Takes the messages of a block, the first of which has this number, as far as they have not
    /// been written yet. Says whether these are its first news of the batch.
    fn hear(&mut self, block: &mut Block<'_>, number: u64) -> bool {
        let heard = self.session.heard.saturating_sub(number) as usize;
        let Some(unheard @ [_, ..]) = block.run.get(heard..) else {
            return false;
        };
        match self.state {
            State::Closing => return false,
            // The driver takes nothing more; they are written where the connection arrives.
            State::Leaving => {
                let pushes = unheard.iter().map(|delivery| delivery.push.clone());
                self.pushes.extend(pushes);
                return false;
            }
            _ => {}
        }
        let is_first = self.news.output.is_empty();
        self.news.lsn = self.news.lsn.max(block.lsn);
        let protocol = self.session.protocol;
        if heard == 0 {
            block.write(protocol, &mut self.news.output);
        } else {
            write_each(unheard, protocol, &mut self.news.output);
        }
        is_first
    }
}

/// Messages in a row, encoded when they are first wanted in a protocol.
struct Block<'a> {
    run: &'a [Delivery],
    encoded: [Option<Output>; 2],
    lsn: u64,
}

impl<'a> Block<'a> {
    fn new(run: &'a [Delivery]) -> Self {
        let lsns = run.iter().map(|delivery| delivery.push.lsn());
        Self {
            run,
            encoded: [None, None],
            lsn: lsns.max().unwrap_or(0),
        }
    }

    fn write(&mut self, protocol: Protocol, out: &mut Output) {
        let is_single = self.run.len() == 1 && self.run[0].push.len() < BY_REFERENCE_BYTES;
        if is_single || self.run[0].places.len() == 1 {
            return write_each(self.run, protocol, out);
        }
        let encoded = match protocol {
            Protocol::Resp2 => &mut self.encoded[0],
            Protocol::Resp3 => &mut self.encoded[1],
        };
        let encoded = encoded.get_or_insert_with(|| share(self.run, protocol));
        out.append_copy(encoded);
    }
}

/// Encodes messages. Many bytes are shared by all who get a copy.
fn share(run: &[Delivery], protocol: Protocol) -> Output {
    let len = run.iter().map(|delivery| delivery.push.len()).sum();
    let mut encoded = Output::from(Vec::with_capacity(len));
    write_each(run, protocol, &mut encoded);
    if encoded.len() < BY_REFERENCE_BYTES {
        return encoded;
    }
    let rope = Rope::from(&encoded.into_bytes()[..]);
    let mut shared = Output::new();
    shared.push_rope(&rope, 0..rope.len());
    shared
}

fn write_each(run: &[Delivery], protocol: Protocol, out: &mut Output) {
    for delivery in run {
        delivery.push.write(protocol, out);
    }
}

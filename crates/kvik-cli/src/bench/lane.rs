//! A connection of the load: batches of commands, in the protocol of a door.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::ops::RangeInclusive;

use anyhow::{anyhow, bail};
use kvik_client::{Client, Store, Value};

use super::subject::Subject;
use super::work::Work;
use crate::door::neks::{NeksLink, Requests};
use crate::door::{Place, Scheme};

/// The outcome of a batch.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    pub(super) errors: u64,
    /// One of them.
    pub(super) error: Option<String>,
}

/// Sends commands and waits for their replies.
pub(super) trait Lane: Send {
    /// A batch of the same command for some keys.
    fn exchange(&mut self, work: Work, keys: &[String], value: &str) -> anyhow::Result<Exchange>;

    /// Whether a key is one that this connection is to ask for.
    fn serves(&self, _key: &str) -> bool {
        true
    }
}

/// Opens the connection with this number.
pub(super) fn open(subject: &Subject, number: u64) -> anyhow::Result<Box<dyn Lane>> {
    Ok(match subject {
        Subject::Resp(endpoint, options) => Box::new(RespLane(Client::open(endpoint, options)?)),
        Subject::Cluster(url, options) => {
            Box::new(ClusterLane::open(Store::open_with(url, options)?, number)?)
        }
        Subject::Door(place) => match place.scheme {
            Scheme::Neks => Box::new(NeksLane(NeksLink::open(place)?)),
            Scheme::Kiba => Box::new(LineLane::kiba(place)?),
            Scheme::Nkv => Box::new(LineLane::nkv(place)?),
        },
    })
}

struct RespLane(Client);

impl Lane for RespLane {
    fn exchange(&mut self, work: Work, keys: &[String], value: &str) -> anyhow::Result<Exchange> {
        let replies = match work {
            Work::Get => {
                let command = |key| ["GET", key];
                let commands: Vec<_> = keys.iter().map(String::as_str).map(command).collect();
                self.0.pipeline(&commands)?
            }
            Work::Set => {
                let command = |key| ["SET", key, value];
                let commands: Vec<_> = keys.iter().map(String::as_str).map(command).collect();
                self.0.pipeline(&commands)?
            }
        };
        Ok(counted(&replies))
    }
}

/// Counts the errors among replies.
fn counted(replies: &[Value]) -> Exchange {
    let mut exchange = Exchange::default();
    for error in replies.iter().filter_map(|reply| reply.as_error()) {
        exchange.errors += 1;
        exchange.error.get_or_insert_with(|| error.to_string());
    }
    exchange
}

/// A connection to one node, of whose keys its batches are made: one of several nodes' keys would
/// be as many small batches.
struct ClusterLane {
    store: Store,
    /// The slots of the node.
    slots: Vec<RangeInclusive<i64>>,
}

impl ClusterLane {
    /// The connections have the nodes in turn.
    fn open(mut store: Store, number: u64) -> anyhow::Result<Self> {
        let reply = store.call(&["CLUSTER", "SLOTS"])?;
        let mut nodes: BTreeMap<(Vec<u8>, i64), Vec<RangeInclusive<i64>>> = BTreeMap::new();
        for run in reply.as_slice().unwrap_or_default() {
            if let Some([first, last, node, ..]) = run.as_slice()
                && let (Some(first), Some(last)) = (first.as_int(), last.as_int())
                && let Some([host, port, ..]) = node.as_slice()
            {
                let host = host.as_bytes().unwrap_or_default().to_vec();
                let node = (host, port.as_int().unwrap_or_default());
                nodes.entry(node).or_default().push(first..=last);
            }
        }
        let nth = number % (nodes.len() as u64).max(1);
        let slots = nodes.into_values().nth(nth as usize).unwrap_or_default();
        Ok(Self { store, slots })
    }
}

impl Lane for ClusterLane {
    fn serves(&self, key: &str) -> bool {
        let slot = i64::from(kvik::key_slot(key.as_bytes()));
        self.slots.iter().any(|run| run.contains(&slot))
    }

    fn exchange(&mut self, work: Work, keys: &[String], value: &str) -> anyhow::Result<Exchange> {
        let mut pipeline = self.store.pipeline();
        for key in keys {
            match work {
                Work::Get => {
                    pipeline.get(key);
                }
                Work::Set => {
                    pipeline.set(key, value);
                }
            }
        }
        Ok(counted(&pipeline.run()?.into_values()))
    }
}

/// A batch is one frame.
struct NeksLane(NeksLink);

impl Lane for NeksLane {
    fn exchange(&mut self, work: Work, keys: &[String], value: &str) -> anyhow::Result<Exchange> {
        let mut requests = Requests::default();
        for key in keys {
            match work {
                Work::Get => requests.get(key.as_bytes()),
                Work::Set => requests.set(key.as_bytes(), value.as_bytes()),
            };
        }
        self.0
            .ask(&requests.frame())
            .map_err(|error| anyhow!("{error}"))?;
        Ok(Exchange::default())
    }
}

/// A protocol of lines, a command at a time.
struct LineLane {
    place: Place,
    /// The connection, where it stays open from one command to the next.
    stream: Option<Box<dyn Duplex>>,
    reply: Vec<u8>,
}

trait Duplex: Read + Write + Send {}
impl<T: Read + Write + Send> Duplex for T {}

impl LineLane {
    fn kiba(place: &Place) -> anyhow::Result<Self> {
        Ok(Self {
            place: place.clone(),
            stream: Some(Box::new(place.connect()?)),
            reply: vec![0; 64 << 10],
        })
    }

    /// The clients of nkv connect anew for each command.
    fn nkv(place: &Place) -> anyhow::Result<Self> {
        place.connect()?;
        Ok(Self {
            place: place.clone(),
            stream: None,
            reply: vec![0; 64 << 10],
        })
    }

    fn line(&self, work: Work, key: &str, value: &str) -> String {
        use base64::Engine;
        let encoded = || base64::engine::general_purpose::STANDARD.encode(value);
        match (self.place.scheme, work) {
            (Scheme::Nkv, Work::Get) => format!("GET 1 bench {key}\n"),
            (Scheme::Nkv, Work::Set) => format!("PUT 1 bench {key} {}\n", encoded()),
            (_, Work::Get) => format!("GET {key}\n"),
            (_, Work::Set) => format!("SET {key} {value}\n"),
        }
    }

    /// Sends a line. A reply has no mark of its end in these protocols; a short one comes at once.
    fn ask(&mut self, line: &str) -> anyhow::Result<usize> {
        let mut fresh: Box<dyn Duplex>;
        let stream = match &mut self.stream {
            Some(stream) => stream,
            None => {
                fresh = Box::new(self.place.connect()?);
                &mut fresh
            }
        };
        stream.write_all(line.as_bytes())?;
        match stream.read(&mut self.reply)? {
            0 => bail!("the server closed the connection"),
            len => Ok(len),
        }
    }
}

impl Lane for LineLane {
    fn exchange(&mut self, work: Work, keys: &[String], value: &str) -> anyhow::Result<Exchange> {
        let mut exchange = Exchange::default();
        for key in keys {
            let len = self.ask(&self.line(work, key, value))?;
            let reply = String::from_utf8_lossy(&self.reply[..len]);
            let failed = match self.place.scheme {
                Scheme::Nkv => !reply.contains(" OK"),
                _ => reply.to_ascii_lowercase().contains("error"),
            };
            if failed {
                exchange.errors += 1;
                exchange
                    .error
                    .get_or_insert_with(|| reply.trim().to_owned());
            }
        }
        Ok(exchange)
    }
}

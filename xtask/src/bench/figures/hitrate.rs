//! Hit rates of a cache: a client asks for keys and writes those that are missing, and the server's
//! memory holds a fifth of them.
//!
//! The traces have the shapes that the literature tells policies apart by: keys of a Zipf
//! distribution, a loop over more keys than fit, a Zipf distribution with a scan through keys that
//! never come again, and one whose popular keys change four times.

use anyhow::{Context, ensure};
use kvik_client::Client;

use super::{Reading, Subject};

const KEYS: usize = 50_000;
/// The part of the keys that fits.
const FITTING: f64 = 0.2;
/// Requests of a trace, for each key.
const REQUESTS_PER_KEY: usize = 6;
const VALUE_BYTES: usize = 200;
/// The exponent of the distribution.
const SKEW: f64 = 1.0;
/// How often the popular keys change.
const SHIFTS: usize = 4;

const POLICIES: [&str; 3] = ["allkeys-lru", "allkeys-lfu", "s3fifo"];

/// Draws the next key of a trace, of so many steps.
type Draw = fn(&mut Trace, usize) -> u64;

const TRACES: [(&str, Draw); 4] = [
    ("zipf", Trace::zipf),
    ("loop", Trace::round),
    ("scan", Trace::scan),
    ("shift", Trace::shift),
];

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let keys = subject.scaled(KEYS);
    let mut readings = Vec::new();
    for policy in POLICIES {
        if policy == "s3fifo" && !subject.program.is_kvik {
            continue;
        }
        for (name, next) in TRACES {
            let hits = play(subject, policy, keys, next)?;
            readings.push(Reading {
                name: "hit rate",
                case: format!("{name} {policy}"),
                keys,
                value_bytes: VALUE_BYTES,
                value: hits,
                unit: "%",
            });
        }
    }
    Ok(readings)
}

/// The hit rate of a trace in percent, without its first sixth, in which the memory fills.
fn play(
    subject: &Subject<'_>,
    policy: &str,
    keys: usize,
    next: fn(&mut Trace, usize) -> u64,
) -> anyhow::Result<f64> {
    let extra: &[&str] = match subject.program.is_kvik {
        true => &["--memory"],
        false => &["--save", ""],
    };
    let server = subject.start(extra)?;
    let mut client = server.client()?;
    limit(&mut client, keys)?;
    set(&mut client, "maxmemory-policy", policy)?;
    let value = "x".repeat(VALUE_BYTES);
    let mut trace = Trace::new(keys);
    let requests = keys * REQUESTS_PER_KEY;
    let (mut hits, mut counted) = (0usize, 0usize);
    for request in 0..requests {
        let key = format!("key:{:012}", next(&mut trace, request));
        let is_hit = !client.call(&["GET", &key])?.is_null();
        if !is_hit {
            let reply = client.call(&["SET", &key, &value])?;
            ensure!(reply.is_ok(), "SET was refused: {reply:?}");
        }
        if request > requests / 6 {
            hits += usize::from(is_hit);
            counted += 1;
        }
    }
    Ok(hits as f64 * 100.0 / counted.max(1) as f64)
}

/// Limits the memory to what the fitting part of the keys takes.
fn limit(client: &mut Client, keys: usize) -> anyhow::Result<()> {
    let value = "x".repeat(VALUE_BYTES);
    for key in 0..(keys as f64 * FITTING) as usize {
        client.call(&["SET", &format!("key:{key:012}"), &value])?;
    }
    let info = client.call(&["INFO", "memory"])?;
    let info = String::from_utf8_lossy(info.as_bytes().unwrap_or_default());
    let used = info
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    let used = used.context("INFO says how much memory is used")?;
    let used = used.trim().to_owned();
    set(client, "maxmemory", &used)?;
    client.call(&["FLUSHALL"])?;
    Ok(())
}

fn set(client: &mut Client, name: &str, value: &str) -> anyhow::Result<()> {
    let reply = client.call(&["CONFIG", "SET", name, value])?;
    ensure!(reply.is_ok(), "{name} was refused: {reply:?}");
    Ok(())
}

/// The state from which a trace draws its keys; the same ones in each run.
struct Trace {
    keys: usize,
    /// How likely the key is one of the first, second... most popular.
    sums: Vec<f64>,
    random: u64,
}

impl Trace {
    fn new(keys: usize) -> Self {
        let mut sum = 0.0;
        let weights = (1..=keys).map(|rank| (rank as f64).powf(-SKEW));
        let sums = weights.map(|weight| {
            sum += weight;
            sum
        });
        Self {
            keys,
            sums: sums.collect(),
            random: 1,
        }
    }

    /// A number below 1.
    fn fraction(&mut self) -> f64 {
        self.random = self
            .random
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A key by its popularity, the most popular being 0.
    fn rank(&mut self) -> u64 {
        let all = self.sums.last().copied().unwrap_or(1.0);
        let drawn = self.fraction() * all;
        self.sums.partition_point(|&sum| sum < drawn) as u64
    }

    fn zipf(&mut self, _request: usize) -> u64 {
        self.rank()
    }

    /// A loop over half as many keys again as fit.
    fn round(&mut self, request: usize) -> u64 {
        let len = (self.keys as f64 * FITTING * 1.5) as usize;
        (request % len.max(1)) as u64
    }

    /// Every second request is for a key that never comes again.
    fn scan(&mut self, request: usize) -> u64 {
        match request % 2 {
            0 => self.rank(),
            _ => (self.keys + request) as u64,
        }
    }

    fn shift(&mut self, request: usize) -> u64 {
        let phase = request * SHIFTS / (self.keys * REQUESTS_PER_KEY);
        let moved = phase * self.keys / SHIFTS;
        (self.rank() + moved as u64) % self.keys as u64
    }
}

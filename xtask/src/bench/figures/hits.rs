//! Hit rates of all eviction policies, in this process: a store whose clock goes on by a
//! millisecond with each request, and whose memory holds a fifth of the keys. Only what policies
//! draw by chance differs from run to run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kvik::{Clock, Db, EvictionPolicy, Options};

use super::Reading;
use super::trace::{Draw, FITTING, REQUESTS_PER_KEY, TRACES, Trace};

const KEYS: usize = 20_000;
const VALUE: [u8; 200] = [b'x'; 200];
/// Some time, in microseconds since the epoch; and how far a request brings the clock.
const START_US: u64 = 1_800_000_000_000_000;
const STEP_US: u64 = 1000;
const SEED: u64 = 1;
/// Requests from one time when the store does what is due to the next.
const TICK: usize = 100;
/// Stripes as a server with two threads has them.
const STRIPES: usize = 32;

/// A policy of the whole store, or of a namespace in it.
struct Contender {
    name: String,
    policy: EvictionPolicy,
    of_namespace: Option<&'static str>,
}

pub(super) fn measure(scale: f64) -> Vec<Reading> {
    let keys = ((KEYS as f64 * scale) as usize).max(1);
    let limit = bytes_of((keys as f64 * FITTING) as usize);
    let mut readings = Vec::new();
    for contender in contenders() {
        for (name, draw) in TRACES {
            readings.push(Reading {
                name: "hits",
                case: format!("{name} {}", contender.name),
                keys,
                value_bytes: VALUE.len(),
                value: play(&contender, limit, keys, draw),
                unit: "%",
            });
        }
    }
    readings
}

fn contenders() -> Vec<Contender> {
    let all = EvictionPolicy::ALL.into_iter();
    let evicting = all.filter(|(policy, _)| policy.order().is_some());
    let of_store = evicting.map(|(policy, name)| Contender {
        name: name.to_owned(),
        policy,
        of_namespace: None,
    });
    let of_namespaces = ["lfu", "mfu"].map(|name| Contender {
        name: format!("namespace {name}"),
        policy: EvictionPolicy::AllkeysLru,
        of_namespace: Some(name),
    });
    of_store.chain(of_namespaces).collect()
}

/// The memory that so many keys take.
fn bytes_of(keys: usize) -> u64 {
    let db = Db::in_memory(Options::default().stripes(STRIPES).seed(SEED));
    for key in 0..keys as u64 {
        db.run(&[&b"SET"[..], &name_of(key), &VALUE]);
    }
    db.engine().totals.memory().held
}

fn name_of(key: u64) -> Vec<u8> {
    format!("key:{key:012}").into_bytes()
}

/// The hit rate of a trace in percent, without its first sixth, in which the memory fills.
fn play(contender: &Contender, limit: u64, keys: usize, draw: Draw) -> f64 {
    let now = Arc::new(AtomicU64::new(START_US));
    // A thread that freed and evicted beside the requests would do so at other times in each run.
    let mut options = Options::default()
        .without_threads()
        .stripes(STRIPES)
        .seed(SEED)
        .clock(Clock::Manual(Arc::clone(&now)))
        .max_memory(limit, contender.policy);
    if contender.of_namespace.is_some() {
        options = options.namespaces();
    }
    let db = Db::in_memory(options);
    if let Some(policy) = contender.of_namespace {
        db.run(&["NAMESPACE", "POLICY", "default", policy]);
    }
    let mut trace = Trace::new(keys);
    let requests = keys * REQUESTS_PER_KEY;
    let (mut hits, mut counted) = (0usize, 0usize);
    for request in 0..requests {
        let key = name_of(draw(&mut trace, request));
        now.fetch_add(STEP_US, Ordering::Release);
        if request % TICK == 0 {
            db.tick();
        }
        let is_hit = !db.run(&[&b"GET"[..], &key]).is_null();
        if !is_hit {
            let mut words: Vec<&[u8]> = vec![&b"SET"[..], &key, &VALUE];
            // The policies of keys that expire get such, all with the same time to live.
            if contender.policy.is_volatile() {
                words.extend([&b"EX"[..], b"1000000"]);
            }
            db.run(&words);
        }
        if request > requests / 6 {
            hits += usize::from(is_hit);
            counted += 1;
        }
    }
    hits as f64 * 100.0 / counted.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_differ_by_chance_only() {
        let keys = 400;
        let limit = bytes_of((keys as f64 * FITTING) as usize);
        for contender in contenders() {
            let once = play(&contender, limit, keys, TRACES[0].1);
            assert!(once > 1.0 && once < 100.0, "{}: {once}", contender.name);
            let again = play(&contender, limit, keys, TRACES[0].1);
            let name = &contender.name;
            assert!((once - again).abs() < 15.0, "{name}: {once} {again}");
        }
    }
}

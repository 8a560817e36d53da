//! Bytes and nanoseconds per key, on one thread, through the public API: `cargo bench -p
//! kvik-store`.
//!
//! Each configuration runs in a process of its own, so that its resident memory is its own. Prints
//! CSV; the last columns are the longest single insertion while the store grew and what deleting an
//! expired key costs.
//!
//! With arguments `keys value_bytes ttl` it measures that one configuration.

#![allow(clippy::print_stdout, reason = "it prints its results")]
#![allow(clippy::disallowed_methods, reason = "it measures time")]

use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use kvik_store::{
    Expiry, Guard, Key, KeyHash, KeyspaceId, Layout, NewString, NoEffects, Stripe, StripeView,
    Stripes,
};

const STRIPES: usize = 32;
const NOW: u64 = 1_700_000_000_000;
const LOOKUPS: usize = 4_000_000;
const KEYSPACE: KeyspaceId = KeyspaceId(0);

struct Store {
    layout: Layout,
    stripes: All,
    views: Vec<StripeView>,
}

struct All(Vec<Stripe>);

impl Stripes for All {
    fn stripe(&mut self, index: usize) -> &mut Stripe {
        &mut self.0[index]
    }

    fn held(&self, index: usize) -> &Stripe {
        &self.0[index]
    }
}

type Name = [u8; 16];

fn key(n: usize) -> Name {
    let mut key = *b"key:000000000000";
    let (mut at, mut n) = (16, n);
    while n > 0 {
        at -= 1;
        key[at] = b'0' + (n % 10) as u8;
        n /= 10;
    }
    key
}

/// Pseudo-random numbers below `below`.
fn numbers(below: usize) -> impl Iterator<Item = usize> {
    let mut state = 88_172_645_463_325_252_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((u128::from(state) * below as u128) >> 64) as usize
    })
}

impl Store {
    fn new() -> Self {
        let layout = Layout::new(STRIPES, 42);
        let stripes: Vec<_> = (0..layout.stripes()).map(|_| Stripe::new()).collect();
        let views = stripes.iter().map(Stripe::view).collect();
        let stripes = All(stripes);
        Self {
            layout,
            stripes,
            views,
        }
    }

    fn guard<'g>(&'g mut self, effects: &'g mut NoEffects) -> Guard<'g> {
        Guard::new(&mut self.stripes, &self.layout, effects, NOW)
    }

    fn set(&mut self, key: &Name, hash: KeyHash, value: &[u8], expiry: Expiry) {
        let mut effects = NoEffects;
        let mut guard = self.guard(&mut effects);
        let entry = guard.entry(Key::hashed(key, hash));
        entry.set(NewString::Bytes(value), expiry);
    }

    fn get(&mut self, key: &Name, hash: KeyHash) {
        let mut effects = NoEffects;
        let mut guard = self.guard(&mut effects);
        let view = guard.read(Key::hashed(key, hash));
        black_box(view.map(|view| view.value()));
    }

    fn fetch(&self, hashes: &[KeyHash]) {
        let begin = |&hash: &KeyHash| {
            let view = &self.views[self.layout.stripe_of(hash)];
            view.prefetch_bucket(&self.layout, KEYSPACE, hash)
        };
        let mut lookups = [None; 64];
        lookups
            .iter_mut()
            .zip(hashes)
            .for_each(|(lookup, hash)| *lookup = begin(hash));
        for lookup in lookups.iter().take(hashes.len()).flatten() {
            lookup.prefetch_entry();
        }
    }

    /// Nanoseconds per operation on random keys, `batch` at a time; a batch of one is not fetched
    /// beforehand.
    fn time(
        &mut self,
        keys: usize,
        batch: usize,
        mut run: impl FnMut(&mut Self, &Name, KeyHash),
    ) -> f64 {
        let wanted: Vec<Name> = numbers(keys).take(LOOKUPS).map(key).collect();
        let mut hashes = Vec::with_capacity(batch);
        let start = Instant::now();
        for batched in wanted.chunks(batch) {
            hashes.clear();
            hashes.extend(batched.iter().map(|key| self.layout.hash(key)));
            if batch > 1 {
                self.fetch(&hashes);
            }
            for (key, &hash) in batched.iter().zip(&hashes) {
                run(self, key, hash);
            }
        }
        nanoseconds(start.elapsed(), LOOKUPS)
    }

    /// Inserts all keys and returns the longest that one took.
    fn fill(&mut self, keys: usize, value: &[u8], expiry: impl Fn(usize) -> Expiry) -> Duration {
        let mut longest = Duration::ZERO;
        let mut last = Instant::now();
        for n in 0..keys {
            let key = key(n);
            let hash = self.layout.hash(&key);
            self.set(&key, hash, value, expiry(n));
            let now = Instant::now();
            longest = longest.max(now - last);
            last = now;
        }
        longest
    }

    /// Nanoseconds per key to find and delete those that have expired, a stripe after the other.
    fn expire(&mut self, until: u64) -> f64 {
        let (mut effects, mut gone) = (NoEffects, 0);
        let start = Instant::now();
        for now in (NOW..until).step_by(1000) {
            let mut guard = Guard::new(&mut self.stripes, &self.layout, &mut effects, now);
            for index in 0..STRIPES {
                loop {
                    let expired = guard.expire_due(index, 64);
                    gone += expired.keys;
                    if !expired.more {
                        break;
                    }
                }
            }
        }
        nanoseconds(start.elapsed(), gone)
    }
}

fn nanoseconds(elapsed: Duration, count: usize) -> f64 {
    elapsed.as_nanos() as f64 / count.max(1) as f64
}

fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split(' ')
        .nth(1)
        .and_then(|n| n.parse::<usize>().ok());
    pages.unwrap_or(0) * 4096
}

fn measure(keys: usize, value_bytes: usize, ttl: bool) {
    let value = vec![b'v'; value_bytes];
    let expiry = |n: usize| {
        if ttl {
            Expiry::At(NOW + 1_000_000 + n as u64 % 100_000)
        } else {
            Expiry::Clear
        }
    };
    let before = resident();
    let mut store = Store::new();
    let start = Instant::now();
    let longest = store.fill(keys, &value, expiry);
    let fill = nanoseconds(start.elapsed(), keys);
    let grown = resident() - before;
    let counted: usize = store.stripes.0.iter().map(Stripe::bytes).sum();
    let kept: usize = store.stripes.0.iter().map(Stripe::resident_bytes).sum();
    let per_key = |bytes: usize| bytes as f64 / keys as f64;
    let gets = [1, 16, 64].map(|batch| store.time(keys, batch, Store::get));
    let sets = [1, 16, 64].map(|batch| {
        store.time(keys, batch, |store, key, hash| {
            store.set(key, hash, &value, Expiry::Keep);
        })
    });
    let expire = ttl.then(|| store.expire(NOW + 1_200_000));
    println!(
        "{keys},{value_bytes},{ttl},{:.1},{:.1},{:.1},{fill:.0},{:.0},{:.0},{:.0},{:.0},{:.0},{:.0},{},{:.0}",
        per_key(grown),
        per_key(counted),
        per_key(kept),
        gets[0],
        gets[1],
        gets[2],
        sets[0],
        sets[1],
        sets[2],
        longest.as_micros(),
        expire.unwrap_or(0.0)
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [keys, value_bytes, ttl] = &arguments[..] {
        let number = |text: &str| text.parse().expect("a number");
        measure(number(keys), number(value_bytes), ttl == "true");
        return;
    }
    println!(
        "keys,value_bytes,ttl,resident,counted,kept,fill_ns,get_ns,get16_ns,get64_ns,set_ns,set16_ns,set64_ns,longest_us,expire_ns"
    );
    let program = std::env::current_exe().expect("the system knows what it runs");
    for (keys, value_bytes, ttl) in [
        ("10000", "32", "false"),
        ("1000000", "32", "false"),
        ("1000000", "32", "true"),
        ("1000000", "100", "false"),
        ("5000000", "32", "false"),
    ] {
        let status = Command::new(&program)
            .args([keys, value_bytes, ttl])
            .status();
        assert!(status.is_ok_and(|status| status.success()));
    }
}

//! Traces of requests to a cache, of the shapes that the literature tells eviction policies apart
//! by: keys of a Zipf distribution, a loop over more keys than fit, a Zipf distribution with a scan
//! through keys that never come again, and one whose popular keys change four times.

/// The part of the keys that fits into the cache.
pub(super) const FITTING: f64 = 0.2;
/// Requests of a trace, for each key.
pub(super) const REQUESTS_PER_KEY: usize = 6;
/// The exponent of the distribution.
const SKEW: f64 = 1.0;
/// How often the popular keys change.
const SHIFTS: usize = 4;

/// Draws the key of a request, given its number.
pub(super) type Draw = fn(&mut Trace, usize) -> u64;

pub(super) const TRACES: [(&str, Draw); 4] = [
    ("zipf", Trace::zipf),
    ("loop", Trace::round),
    ("scan", Trace::scan),
    ("shift", Trace::shift),
];

/// The state from which a trace draws its keys; the same ones in each run.
pub(super) struct Trace {
    keys: usize,
    /// How likely the key is one of the first, second... most popular.
    sums: Vec<f64>,
    random: u64,
}

impl Trace {
    pub(super) fn new(keys: usize) -> Self {
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

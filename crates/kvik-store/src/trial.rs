//! A store for tests: a few stripes with limits and a clock of their own, which remembers the
//! effects that it is to tell.

use crate::{
    EffectSink, Encoding, Guard, KeyspaceId, Layout, Limits, Mode, Stripe, Stripes, UnixMs,
};

/// A small store for tests: some stripes, and the effects of what was done.
pub(crate) struct Store {
    pub(crate) layout: Layout,
    pub(crate) stripes: All,
    pub(crate) limits: Limits,
    pub(crate) now: UnixMs,
    pub(crate) mode: Mode,
    told: Told,
}

/// Stripes that nobody else can hold.
pub(crate) struct All(pub(crate) Vec<Stripe>);

impl Stripes for All {
    fn stripe(&mut self, index: usize) -> &mut Stripe {
        &mut self.0[index]
    }

    fn held(&self, index: usize) -> &Stripe {
        &self.0[index]
    }
}

/// The words of an effect.
pub(crate) type Words = Vec<Vec<u8>>;

/// Effects as they are told.
#[derive(Default)]
struct Told {
    wanted: bool,
    open: Words,
    effects: Vec<Words>,
}

impl EffectSink for Told {
    fn wanted(&self) -> bool {
        self.wanted
    }

    fn begin(&mut self, _: KeyspaceId) {
        assert!(self.open.is_empty(), "the effect before has ended");
    }

    fn word(&mut self, word: &[u8]) {
        self.open.push(word.to_vec());
    }

    fn rope(&mut self, rope: &kvik_rope::Rope) {
        self.open.push(rope.to_vec());
    }

    fn end(&mut self) {
        self.effects.push(std::mem::take(&mut self.open));
    }
}

impl Store {
    /// A store of so many stripes, which tells no effects.
    pub(crate) fn new(stripes: usize) -> Self {
        Self {
            layout: Layout::new(stripes, 9),
            stripes: All((0..stripes).map(|_| Stripe::new()).collect()),
            limits: Limits::new(),
            now: 1000,
            mode: Mode::Primary,
            told: Told::default(),
        }
    }

    /// The same, which tells effects.
    pub(crate) fn telling(mut self) -> Self {
        self.told.wanted = true;
        self
    }

    pub(crate) fn run<R>(&mut self, run: impl FnOnce(&mut Guard<'_>) -> R) -> R {
        let guard = Guard::new(&mut self.stripes, &self.layout, &mut self.told, self.now);
        run(&mut guard.mode(self.mode).limits(&self.limits))
    }

    /// The effects since the last call.
    pub(crate) fn take_effects(&mut self) -> Vec<Words> {
        std::mem::take(&mut self.told.effects)
    }

    /// The same as text, words apart from each other by blanks.
    pub(crate) fn effects_as_text(&mut self) -> Vec<String> {
        let text = |words: Words| {
            let words = words.iter().map(|word| word.escape_ascii().to_string());
            words.collect::<Vec<_>>().join(" ")
        };
        self.take_effects().into_iter().map(text).collect()
    }

    /// Sets or clears when a key expires, if it is there.
    pub(crate) fn expire(&mut self, key: &[u8], at: Option<UnixMs>) {
        self.run(|guard| {
            let there = guard.entry(key).occupied();
            there.into_iter().for_each(|mut there| there.set_expiry(at));
        });
    }

    /// Deletes what has expired, frees what nothing leads to, and closes up.
    pub(crate) fn upkeep(&mut self) {
        for index in 0..self.stripes.0.len() {
            while self.run(|guard| guard.expire_due(index, 8)).more {}
            let stripe = &mut self.stripes.0[index];
            while stripe.reclaim(16) {}
            while stripe.compact(1) {}
        }
    }

    /// Bytes of all entries and what belongs to them.
    pub(crate) fn live_bytes(&self) -> usize {
        let heaps = self.stripes.0.iter().map(|stripe| &stripe.heap);
        heaps.map(|heap| heap.live_bytes()).sum()
    }

    /// Bytes that all keys account for, one by one; the same as [`live_bytes`](Self::live_bytes)
    /// when nothing is left to free.
    pub(crate) fn accounted_bytes(&mut self) -> usize {
        let mut bytes = 0;
        self.run(|guard| guard.for_each(|view| bytes += view.bytes()));
        bytes
    }

    /// All that can be seen of a key but its members. Of bytes that are not all in its entry, how
    /// many there are can depend on how the value came about.
    pub(crate) fn outline(&mut self, key: &[u8]) -> Option<(Encoding, usize, Option<UnixMs>)> {
        self.run(|guard| {
            let view = guard.peek(key)?;
            Some((view.encoding(), view.bytes().min(4096), view.expire_at()))
        })
    }
}

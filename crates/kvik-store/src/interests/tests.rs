//! Lines keep their order, and changes are recorded once and in order.

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

const HERE: KeyspaceId = KeyspaceId(0);
const THERE: KeyspaceId = KeyspaceId(1);

#[derive(Debug)]
struct Client {
    turn: u64,
    wanted: Wanted,
    reaches: Vec<u16>,
}

impl Waiter for Client {
    fn turn(&self) -> u64 {
        self.turn
    }

    fn wanted(&self) -> Wanted {
        self.wanted
    }

    fn reaches(&self) -> &[u16] {
        &self.reaches
    }
}

fn client(wanted: Wanted) -> Arc<dyn Waiter> {
    Arc::new(Client {
        turn: next_turn(),
        wanted,
        reaches: Vec::new(),
    })
}

fn turns(interests: &Interests, key: &[u8], wanted: Wanted) -> Vec<u64> {
    let mut turns = vec![0];
    while let Some(next) = interests.waiter_after(HERE, key, wanted, turns[turns.len() - 1]) {
        turns.push(next.turn());
    }
    turns.split_off(1)
}

#[test]
fn a_line_is_first_come_first_served_for_each_wish() {
    let mut interests = Interests::default();
    let [one, two, three] = [Wanted::List, Wanted::Zset, Wanted::List].map(client);
    for waiter in [&one, &two, &three, &three] {
        interests.wait(HERE, b"k", waiter);
    }
    let lists = turns(&interests, b"k", Wanted::List);
    assert_eq!(lists, [one.turn(), three.turn()], "nobody stands twice");
    let change = interests.end_wait(HERE, b"k", &*one);
    assert_eq!(change, Some(LineChange::default()));
    interests.end_wait(HERE, b"k", &*three);
    assert_eq!(turns(&interests, b"k", Wanted::Zset), [two.turn()]);
    assert!(
        interests
            .end_wait(HERE, b"k", &*two)
            .is_some_and(|change| change.key)
    );
    assert!(interests.is_empty());
}

#[test]
fn the_first_and_the_last_of_a_line_are_counted() {
    let mut interests = Interests::default();
    let [stream, group] = [Wanted::Stream, Wanted::Group].map(client);
    let both = |key, no_key| Some(LineChange { key, no_key });
    assert_eq!(interests.wait(HERE, b"k", &stream), both(true, false));
    assert_eq!(interests.wait(HERE, b"k", &group), both(false, true));
    assert_eq!(interests.end_wait(HERE, b"k", &*group), both(false, true));
    assert_eq!(interests.end_wait(HERE, b"k", &*group), None);
    assert_eq!(interests.end_wait(HERE, b"k", &*stream), both(true, false));
}

#[test]
fn a_key_is_ready_once_until_it_is_taken() {
    let mut interests = Interests::default();
    for key in [&b"a"[..], b"b"] {
        interests.wait(HERE, key, &client(Wanted::List));
    }
    interests.mark_changed(THERE, b"a");
    assert!(!interests.has_news(), "it is another key");
    for key in [&b"b"[..], b"a", b"b"] {
        interests.mark_changed(HERE, key);
    }
    let taken = |interests: &mut Interests| interests.take_ready().map(|ready| ready.key);
    assert_eq!(taken(&mut interests).as_deref(), Some(&b"b"[..]));
    interests.mark_changed(HERE, b"b");
    assert_eq!(taken(&mut interests).as_deref(), Some(&b"a"[..]));
    assert_eq!(taken(&mut interests).as_deref(), Some(&b"b"[..]));
    assert_eq!((taken(&mut interests), interests.has_news()), (None, false));
}

#[test]
fn a_tracked_key_is_reported_once() {
    let mut interests = Interests::default();
    let all_alive = |_| true;
    let change = interests.track(HERE, b"a", 7, all_alive);
    assert_eq!((change.keys, change.items), (1, 1));
    assert_eq!(interests.track(HERE, b"a", 7, all_alive).items, 0);
    assert_eq!(interests.track(HERE, b"a", 8, all_alive).keys, 0);
    for key in [&b"b"[..], b"a", b"a"] {
        interests.mark_changed(HERE, key);
    }
    assert!(interests.has_news());
    let changed = interests.take_changed();
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (&*changed[0].key, &*changed[0].trackers),
        (&b"a"[..], &[7, 8][..])
    );
    assert!(interests.is_empty() && !interests.has_news());
}

#[test]
fn tracked_keys_make_room_for_others() {
    let mut interests = Interests::default();
    let token = Arc::default();
    for number in 0..40_u8 {
        interests.watch(HERE, &[number, 1], &token);
        interests.track(THERE, &[number], 1, |_| true);
    }
    let mut gone = std::collections::HashSet::new();
    for random in 0..30 {
        assert!(interests.evict_tracked(random * 0x9E37_79B9));
    }
    for changed in interests.take_changed() {
        assert!(changed.is_evicted && changed.keyspace == THERE);
        assert!(gone.insert(changed.key), "each is reported once");
    }
    assert_eq!(interests.forget_tracked().keys, 10);
    assert!(!interests.evict_tracked(1) && !interests.has_news());
    assert!(!interests.is_empty(), "watches stay");
}

#[test]
fn clients_that_are_gone_do_not_add_up() {
    let mut interests = Interests::default();
    let (mut items, mut gone) = (0, 0);
    for client in 0..1000 {
        let change = interests.track(HERE, b"a", client, |other| other + 3 > client);
        (items, gone) = (items + change.items, gone + change.gone);
    }
    interests.mark_changed(HERE, b"a");
    let left = interests.take_changed()[0].trackers.len();
    assert!(left < 20, "{left} are left");
    assert_eq!(items - gone, left);
}

#[test]
fn reaches_are_those_of_the_key() {
    let mut interests = Interests::default();
    let reaching: Arc<dyn Waiter> = Arc::new(Client {
        turn: next_turn(),
        wanted: Wanted::List,
        reaches: vec![7],
    });
    interests.wait(THERE, b"a", &reaching);
    interests.wait(HERE, b"b", &client(Wanted::List));
    let reaches = |interests: &Interests, key| {
        let mut stripes = Vec::new();
        interests.add_reaches(Some(key), &mut stripes);
        stripes
    };
    assert!(interests.is_reaching());
    assert_eq!(reaches(&interests, b"a"), [7]);
    assert!(reaches(&interests, b"b").is_empty());
    interests.end_wait(THERE, b"a", &*reaching);
    assert!(!interests.is_reaching());
}

/// Something that happens to one of a few waiters or keys.
#[derive(Clone, Debug)]
enum Event {
    Wait { key: u8, wanted: Wanted },
    End { which: usize },
    Change { key: u8 },
    Take,
}

fn event() -> impl Strategy<Value = Event> {
    let wanted = prop::sample::select(vec![Wanted::List, Wanted::Zset, Wanted::Group]);
    prop_oneof![
        (0..3u8, wanted).prop_map(|(key, wanted)| Event::Wait { key, wanted }),
        (0..20usize).prop_map(|which| Event::End { which }),
        (0..3u8).prop_map(|key| Event::Change { key }),
        Just(Event::Take),
    ]
}

proptest! {
    /// A list of those who wait, and the keys that are ready, are all there is to it.
    #[test]
    fn interests_are_lists(events in prop::collection::vec(event(), 0..60)) {
        let mut interests = Interests::default();
        let mut waiting: Vec<(u8, Arc<dyn Waiter>)> = Vec::new();
        let mut ready: Vec<u8> = Vec::new();
        for event in events {
            match event {
                Event::Wait { key, wanted } => {
                    let waiter = client(wanted);
                    let change = interests.wait(HERE, &[key], &waiter).unwrap_or_default();
                    prop_assert_eq!(change.key, waiting.iter().all(|(at, _)| *at != key));
                    waiting.push((key, waiter));
                }
                Event::End { which } => {
                    if which < waiting.len() {
                        let (key, waiter) = waiting.remove(which);
                        let change = interests.end_wait(HERE, &[key], &*waiter).unwrap_or_default();
                        prop_assert_eq!(change.key, waiting.iter().all(|(at, _)| *at != key));
                        if change.key {
                            ready.retain(|at| *at != key);
                        }
                    }
                }
                Event::Change { key } => {
                    interests.mark_changed(HERE, &[key]);
                    if waiting.iter().any(|(at, _)| *at == key) && !ready.contains(&key) {
                        ready.push(key);
                    }
                }
                Event::Take => {
                    let taken = interests.take_ready().map(|it| it.key[0]);
                    prop_assert_eq!(taken, (!ready.is_empty()).then(|| ready.remove(0)));
                }
            }
            for key in 0..3 {
                for wanted in [Wanted::List, Wanted::Zset, Wanted::Group] {
                    let of = |(at, it): &&(u8, Arc<dyn Waiter>)| *at == key && it.wanted() == wanted;
                    let expected: Vec<_> = waiting.iter().filter(of).map(|(_, it)| it.turn()).collect();
                    prop_assert_eq!(turns(&interests, &[key], wanted), expected);
                }
            }
            let keys: HashSet<u8> = waiting.iter().map(|(key, _)| *key).collect();
            prop_assert_eq!(interests.active, keys.len());
        }
    }
}

//! Random sequences of commands and passing time: kvik must answer as the model does.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use kvik::{Clock, Options};
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Bytes, Call, DATABASES, Expiry, Model, TtlCondition, When};
use crate::target::{MemoryTarget, Target};

/// When the clock starts, in milliseconds since the epoch.
const START: i64 = 1_700_000_000_000;
/// How far from the start expiries lie, and how far a sequence may get.
const SPAN: i64 = 3000;

#[derive(Clone, Debug)]
enum Step {
    Run(Call),
    Wait(i64),
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_is_answered_as_the_model_answers(steps in vec(step(), 1..60)) {
        for stripes in [1, 2, 8] {
            follow(&steps, stripes)?;
        }
    }
}

/// Plays the steps on a store and on the model, and at the end looks at everything there is.
fn follow(steps: &[Step], stripes: usize) -> Result<(), TestCaseError> {
    let clock = Clock::Manual(Arc::new(AtomicU64::new(START as u64 * 1000)));
    let options = Options::default().stripes(stripes);
    let target = MemoryTarget::new(options, 3, clock, &format!(" with {stripes} stripes"));
    let mut connection = target.connect().map_err(TestCaseError::fail)?;
    let (mut model, mut now) = (Model::default(), START);
    for step in steps.iter().cloned().chain(inspection()) {
        match step {
            Step::Wait(ms) => {
                target.wait(Duration::from_millis(ms as u64));
                now += ms;
            }
            Step::Run(command) => {
                let expected = model.apply(now, &command);
                let actual = command.run(&mut *connection).map_err(TestCaseError::fail)?;
                prop_assert_eq!(
                    actual,
                    expected,
                    "{:?} with {} stripes at +{}",
                    command,
                    stripes,
                    now - START
                );
            }
        }
    }
    target.check().map_err(TestCaseError::fail)
}

/// Reads all keys, values and expiries.
fn inspection() -> impl Iterator<Item = Step> {
    (0..DATABASES).flat_map(|database| {
        let keys = (0..KEYS).flat_map(|number| {
            let key = key_named(number);
            [Call::Get(key.clone()), Call::ExpireTime(key)]
        });
        [Call::Select(database), Call::Keys]
            .into_iter()
            .chain(keys)
            .map(Step::Run)
    })
}

const KEYS: u8 = 5;

fn key_named(number: u8) -> Bytes {
    vec![b'a' + number]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => single().prop_map(Step::Run),
        1 => vec(single(), 0..5).prop_map(|calls| Step::Run(Call::Transaction(calls))),
        1 => (1..SPAN / 10).prop_map(Step::Wait),
    ]
}

fn single() -> impl Strategy<Value = Call> {
    prop_oneof![6 => on_one_key(), 4 => on_several_keys(), 1 => on_databases()]
}

fn on_one_key() -> impl Strategy<Value = Call> {
    prop_oneof![
        key().prop_map(Call::Get),
        (key(), value(), when(), any::<bool>(), expiry()).prop_map(
            |(key, value, when, get, expiry)| {
                Call::Set {
                    key,
                    value,
                    when,
                    get,
                    expiry,
                }
            }
        ),
        (key(), expiry()).prop_map(|(key, expiry)| Call::GetEx(key, expiry)),
        key().prop_map(Call::GetDel),
        (key(), value()).prop_map(|(key, value)| Call::Append(key, value)),
        (key(), 0..40_usize, value()).prop_map(|(key, at, patch)| Call::SetRange(key, at, patch)),
        (key(), -50..50_i64, -50..50_i64)
            .prop_map(|(key, start, end)| Call::GetRange(key, start, end)),
        (key(), increment()).prop_map(|(key, by)| Call::IncrBy(key, by)),
        (key(), time(), condition())
            .prop_map(|(key, at, condition)| Call::ExpireAt(key, at, condition)),
        key().prop_map(Call::Persist),
        key().prop_map(Call::ExpireTime),
    ]
}

fn on_several_keys() -> impl Strategy<Value = Call> {
    prop_oneof![
        vec(key(), 1..4).prop_map(Call::MGet),
        vec((key(), value()), 1..4).prop_map(Call::MSet),
        vec((key(), value()), 1..4).prop_map(Call::MSetNx),
        vec(key(), 1..4).prop_map(Call::Del),
        vec(key(), 1..4).prop_map(Call::Exists),
        (key(), key()).prop_map(|(from, to)| Call::Rename(from, to)),
        (key(), key()).prop_map(|(from, to)| Call::RenameNx(from, to)),
        (key(), key(), any::<bool>()).prop_map(|(from, to, replace)| Call::Copy {
            from,
            to,
            replace
        }),
        Just(Call::Keys),
    ]
}

fn on_databases() -> impl Strategy<Value = Call> {
    let database = || 0..DATABASES;
    prop_oneof![
        3 => database().prop_map(Call::Select),
        3 => (key(), database()).prop_map(|(key, database)| Call::Move(key, database)),
        1 => (database(), database()).prop_map(|(one, other)| Call::SwapDb(one, other)),
        1 => Just(Call::FlushDb),
    ]
}

fn key() -> impl Strategy<Value = Bytes> {
    (0..KEYS).prop_map(key_named)
}

/// Numbers, things that look like numbers, and bytes of lengths at which representations change.
fn value() -> impl Strategy<Value = Bytes> {
    let text = |text: &'static str| Just(text.as_bytes().to_vec());
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string().into_bytes()),
        (-20..20_i64).prop_map(|number| number.to_string().into_bytes()),
        prop_oneof![
            text(""),
            text("01"),
            text("-0"),
            text("+1"),
            text("9223372036854775808")
        ],
        vec(any::<u8>(), 0..12),
        prop_oneof![Just(44_usize), Just(45), Just(64), Just(5000)].prop_map(|len| vec![b'x'; len]),
    ]
}

fn increment() -> impl Strategy<Value = i64> {
    prop_oneof![3 => -20..20_i64, 1 => any::<i64>()]
}

fn time() -> impl Strategy<Value = i64> {
    START - 10..START + SPAN
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Clear),
        Just(Expiry::Keep),
        time().prop_map(Expiry::At)
    ]
}

fn when() -> impl Strategy<Value = When> {
    prop_oneof![
        3 => Just(When::Always),
        1 => Just(When::Missing),
        1 => Just(When::Existing),
        1 => value().prop_map(When::Equal),
    ]
}

fn condition() -> impl Strategy<Value = TtlCondition> {
    prop_oneof![
        Just(TtlCondition::Always),
        Just(TtlCondition::Missing),
        Just(TtlCondition::Existing),
        Just(TtlCondition::Later),
        Just(TtlCondition::Earlier),
    ]
}

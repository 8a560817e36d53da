//! Bytes for an element of collections of middling size: what resident memory grew by.
//!
//! Elements are added one at a time, to many keys in random order, as programs do: that shows what
//! a collection reserves while it grows, and what it leaves behind when it changes its form.

use std::thread;
use std::time::Duration;

use super::{Reading, Subject};
use crate::bench::load::{Blocking, encode};
use crate::bench::workload::Random;

const KINDS: &[&str] = &["hash", "list", "set", "zset", "stream"];
const SIZES: &[usize] = &[20, 100, 150, 300, 1000];
/// Elements of all collections of a case together.
const ELEMENTS: usize = 200_000;
const VALUE: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
/// In which a server gives back what it needs no more.
const REST: Duration = Duration::from_secs(3);
/// Commands sent before their replies are awaited.
const BATCH: usize = 200;

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    let mut readings = Vec::new();
    for kind in KINDS {
        for &size in SIZES {
            readings.push(measure_case(subject, kind, size)?);
        }
    }
    Ok(readings)
}

fn measure_case(subject: &Subject<'_>, kind: &str, size: usize) -> anyhow::Result<Reading> {
    let server = subject.start(&[])?;
    let mut client = Blocking::connect(&server)?;
    client.ask(&["PING"])?;
    thread::sleep(REST);
    let before = server.resident()?;
    let keys = (subject.scaled(ELEMENTS) / size).max(1);
    let mut steps: Vec<(usize, usize)> = (0..keys)
        .flat_map(|key| (0..size).map(move |element| (key, element)))
        .collect();
    shuffle(&mut steps);
    for steps in steps.chunks(BATCH) {
        let mut commands = Vec::new();
        for &(key, element) in steps {
            add(kind, key, element, &mut commands);
        }
        client.exchange(&commands, steps.len())?;
    }
    thread::sleep(REST);
    let grown = server.resident()?.saturating_sub(before);
    Ok(Reading {
        name: "element",
        case: format!("{kind} of {size}"),
        keys,
        value_bytes: VALUE.len(),
        value: grown as f64 / steps.len() as f64,
        unit: "B",
    })
}

/// The command that adds an element.
fn add(kind: &str, key: usize, element: usize, commands: &mut Vec<u8>) {
    let (key, score) = (format!("key:{key:08}"), element.to_string());
    // Names of 16 bytes, in no order.
    let member = format!("m:{:014}", element * 7919 % 1_000_000_000);
    let words: &[&str] = match kind {
        "hash" => &["HSET", &key, &member, VALUE],
        "list" => &["LPUSH", &key, VALUE],
        "set" => &["SADD", &key, &member],
        "zset" => &["ZADD", &key, &score, &member],
        _ => &["XADD", &key, "*", "f", VALUE],
    };
    encode(words, commands);
}

fn shuffle<T>(items: &mut [T]) {
    let mut random = Random::new(1);
    for at in (1..items.len()).rev() {
        items.swap(at, random.below(at + 1));
    }
}

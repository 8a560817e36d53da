//! How long clients wait whose keys have nothing to do with a stripe that is held for 100 ms again
//! and again.
//!
//! Each client has one key. Which keys share the held stripe is found out first: their clients do
//! not answer while it is held, and are left out, as waiting is all that they can do. One of them
//! stays, to show that it is served afterwards.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::{Reading, Subject};
use crate::bench::load::Blocking;
use crate::server::Server;

const CLIENTS: usize = 64;
const HELD_KEY: &str = "held";
const HOLD: Duration = Duration::from_millis(100);
const HOLDS: usize = 20;
/// Enough for a hold to begin.
const MOMENT: Duration = Duration::from_millis(20);

pub(super) fn measure(subject: &Subject<'_>) -> anyhow::Result<Vec<Reading>> {
    if !subject.program.is_kvik {
        println!("{} cannot hold a stripe", subject.program.name);
        return Ok(Vec::new());
    }
    let mut readings = Vec::new();
    for (backend, arguments) in subject.backends() {
        let extra = [arguments, &["--enable-debug-command", "local"][..]].concat();
        let server = subject.start(&extra)?;
        readings.extend(hold(&server)?.readings(backend));
    }
    Ok(readings)
}

/// Latencies in microseconds.
struct Waits {
    /// Of the others while nothing is held: what the machine and its neighbours do to them.
    before: Vec<f64>,
    others: Vec<f64>,
    held: Vec<f64>,
}

impl Waits {
    fn readings(mut self, backend: &str) -> Vec<Reading> {
        self.before.sort_by(f64::total_cmp);
        self.others.sort_by(f64::total_cmp);
        self.held.sort_by(f64::total_cmp);
        let at = |of: &[f64], share: f64| of[((of.len() - 1) as f64 * share) as usize] / 1000.0;
        let reading = |name, value| Reading {
            name,
            case: backend.to_owned(),
            keys: CLIENTS,
            value_bytes: 1,
            value,
            unit: "ms",
        };
        vec![
            reading("p50 before", at(&self.before, 0.5)),
            reading("p99 before", at(&self.before, 0.99)),
            reading("others' p50", at(&self.others, 0.5)),
            reading("others' p99", at(&self.others, 0.99)),
            reading("others' longest", at(&self.others, 1.0)),
            reading("held client's p50", at(&self.held, 0.5)),
        ]
    }
}

fn hold(server: &Server) -> anyhow::Result<Waits> {
    let mut control = Blocking::connect(server)?;
    control.ask(&["SET", HELD_KEY, "v"])?;
    let mut others = unconcerned(server, &mut control)?;
    let mut held = Blocking::connect(server)?;
    let mut waits = Waits {
        before: Vec::new(),
        others: Vec::new(),
        held: Vec::new(),
    };
    for _ in 0..HOLDS {
        let began = Instant::now();
        ask_all(&mut others, began + HOLD, &mut waits.before)?;
    }
    for _ in 0..HOLDS {
        begin_hold(&mut control, HOLD)?;
        let began = Instant::now();
        held.send(&["GET", HELD_KEY])?;
        ask_all(&mut others, began + HOLD - MOMENT, &mut waits.others)?;
        held.receive(1)?;
        waits.held.push(micros(began));
    }
    Ok(waits)
}

/// Has one client after the other ask for its key until a time, and notes how long each waited.
fn ask_all(
    clients: &mut [(Blocking, String)],
    until: Instant,
    waits_us: &mut Vec<f64>,
) -> anyhow::Result<()> {
    while Instant::now() < until {
        for (client, key) in &mut *clients {
            let sent = Instant::now();
            client.ask(&["GET", key])?;
            waits_us.push(micros(sent));
        }
    }
    Ok(())
}

/// Clients whose keys live in other stripes than the held one, with their keys.
fn unconcerned(server: &Server, control: &mut Blocking) -> anyhow::Result<Vec<(Blocking, String)>> {
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let (mut client, key) = (Blocking::connect(server)?, format!("key:{number}"));
        client.ask(&["SET", &key, "v"])?;
        clients.push((client, key));
    }
    begin_hold(control, HOLD)?;
    for (client, key) in &mut clients {
        client.send(&["GET", key])?;
    }
    thread::sleep(HOLD / 2);
    let mut others = Vec::new();
    for (mut client, key) in clients {
        if client.has_reply()? {
            client.receive(1)?;
            others.push((client, key));
        }
    }
    ensure!(!others.is_empty(), "every key waits for the held stripe");
    thread::sleep(HOLD);
    Ok(others)
}

fn begin_hold(control: &mut Blocking, duration: Duration) -> anyhow::Result<()> {
    let seconds = duration.as_secs_f64().to_string();
    control
        .ask(&["DEBUG", "HOLD", HELD_KEY, &seconds])
        .context("DEBUG HOLD")?;
    thread::sleep(MOMENT / 4);
    Ok(())
}

fn micros(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}

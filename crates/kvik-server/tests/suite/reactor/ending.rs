//! How connections end: killed, idle, finished by their client, or with the server.

use std::net::Shutdown;
use std::thread;

use kvik_resp::Value;
use kvik_server::Server;

use super::{
    at_once, bulk, clog, field, ok, on_each, open, pong, set_large, until, until_at_least,
    while_held,
};
use crate::target::Wire;

#[test]
fn a_killed_client_is_gone_whatever_it_waits_for() {
    on_each(&[1, 2, 8], &[], |server| {
        let mut control = open(&server);
        kill_reading(&server, &mut control);
        kill_paused(&server, &mut control);
        kill_clogged(&server, &mut control);
        kill_busy(&server, &mut control);
        until("one client", || server.db().engine().clients.len() == 1);
        assert_eq!(control.ask("EXISTS counter"), Value::Integer(0));
    });
}

fn kill_reading(server: &Server, control: &mut Wire) {
    let mut reading = open(server);
    let id = reading.id();
    kill(control, id);
    assert_eq!(reading.reply(), None);
}

fn kill_paused(server: &Server, control: &mut Wire) {
    assert_eq!(control.ask("CLIENT PAUSE 100000 WRITE"), ok());
    let mut paused = open(server);
    let id = paused.id();
    paused.send(b"ECHO read\r\nINCR counter\r\n");
    assert_eq!(paused.reply(), Some(bulk("read")));
    kill(control, id);
    assert_eq!(paused.reply(), None);
    assert_eq!(control.ask("CLIENT UNPAUSE"), ok());
}

fn kill_clogged(server: &Server, control: &mut Wire) {
    set_large(control);
    let (mut clogged, id) = clog(server, control);
    clogged.send(b"INCR counter\r\n");
    kill(control, id);
    // What the kernel had taken already still comes.
    while clogged.reply().is_some() {}
}

fn kill_busy(server: &Server, control: &mut Wire) {
    while_held(server.db(), || {
        let mut busy = open(server);
        let id = busy.id();
        busy.send(b"ECHO read\r\nINCR counter\r\n");
        assert_eq!(busy.reply(), Some(bulk("read")));
        kill(control, id);
        assert_eq!(busy.reply(), None);
    });
}

fn kill(control: &mut Wire, id: i64) {
    let kill = format!("CLIENT KILL ID {id}");
    assert_eq!(control.ask(&kill), Value::Integer(1));
    assert_eq!(field(control, id, "id"), None);
    assert_eq!(control.ask(&kill), Value::Integer(0), "gone already");
}

#[test]
fn an_idle_client_is_sent_off_and_no_other() {
    at_once(&["--timeout", "1"], |server| {
        let (mut idle, mut active) = (open(&server), open(&server));
        assert_eq!(idle.ask("PING"), pong());
        let id = idle.id();
        until("the end of the idle client", || {
            field(&mut active, id, "id").is_none()
        });
        assert_eq!(idle.reply(), None);
        assert_eq!(active.ask("PING"), pong());
    });
}

#[test]
fn a_client_that_has_finished_gets_every_reply() {
    on_each(&[1, 2], &[], |server| {
        finish_while_busy(&server);
        finish_while_clogged(&server);
    });
}

fn finish_while_busy(server: &Server) {
    let mut wire = open(server);
    while_held(server.db(), || {
        wire.send(&b"INCR counter\r\n".repeat(100));
        finish(&wire);
    });
    for number in 1..=100 {
        assert_eq!(wire.reply(), Some(Value::Integer(number)));
    }
    assert_eq!(wire.reply(), None);
}

fn finish_while_clogged(server: &Server) {
    let mut control = open(server);
    set_large(&mut control);
    let (mut wire, _) = clog(server, &mut control);
    wire.send(b"ECHO end\r\n");
    finish(&wire);
    let mut last = None;
    while let Some(reply) = wire.reply() {
        last = Some(reply);
    }
    assert_eq!(last, Some(bulk("end")));
}

fn finish(wire: &Wire) {
    wire.stream
        .shutdown(Shutdown::Write)
        .expect("a socket that is open");
}

/// Also where a stripe is taken.
#[test]
fn a_server_that_stops_runs_what_it_has_received() {
    on_each(&[1, 2, 8], &[], |server| {
        let db = server.db().clone();
        let (mut control, mut busy) = (open(&server), open(&server));
        let id = busy.id();
        let stopping = while_held(&db, || {
            busy.send(&b"INCR counter\r\n".repeat(100));
            until_at_least(&mut control, id, "qbuf", 1400);
            let stopping = thread::spawn(move || drop(server));
            assert_eq!(control.reply(), None, "the server is stopping");
            stopping
        });
        for number in 1..=100 {
            assert_eq!(busy.reply(), Some(Value::Integer(number)));
        }
        assert_eq!(busy.reply(), None);
        stopping.join().expect("an orderly end");
    });
}

#[test]
fn a_server_that_stops_answers_what_it_has_run() {
    on_each(&[1, 2, 8], &[], |server| {
        let (db, mut wire) = (server.db().clone(), open(&server));
        wire.send(&b"INCR counter\r\n".repeat(20_000));
        assert_eq!(wire.reply(), Some(Value::Integer(1)));
        let stopping = thread::spawn(move || drop(server));
        let rest = std::iter::from_fn(|| wire.reply()).count();
        stopping.join().expect("an orderly end");
        let answered = (rest + 1).to_string();
        assert_eq!(db.run(&["GET", "counter"]), bulk(answered));
    });
}

/// What a pause holds back is not run, and does not hold up the end.
#[test]
fn a_server_that_stops_leaves_what_is_paused() {
    on_each(&[1, 2], &[], |server| {
        let (db, mut wire) = (server.db().clone(), open(&server));
        assert_eq!(wire.ask("CLIENT PAUSE 100000 WRITE"), ok());
        wire.send(b"ECHO read\r\nINCR counter\r\n");
        assert_eq!(wire.reply(), Some(bulk("read")));
        drop(server);
        assert_eq!(wire.reply(), None);
        assert_eq!(db.run(&["EXISTS", "counter"]), Value::Integer(0));
    });
}

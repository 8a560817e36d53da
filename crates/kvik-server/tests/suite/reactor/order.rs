//! A client's commands run in order and once, whatever they have to wait for.

use kvik_resp::Value;
use kvik_server::Server;

use super::{bulk, ok, on_each, open, pong, while_held};
use crate::target::Wire;

/// More than is parsed ahead at once.
const COUNT: i64 = 100;

#[test]
fn across_stripes_that_are_taken() {
    on_each(&[1, 2, 8], &[], |server| {
        let (mut working, mut other) = (open(&server), open(&server));
        while_held(server.db(), || {
            count(&mut working);
            assert_eq!(working.reply(), Some(bulk("0")), "what needs no key");
            for _ in 0..20 {
                assert_eq!(other.ask("PING"), pong());
            }
        });
        check_rest(&mut working);
        assert_eq!(other.ask("GET counter"), bulk(COUNT.to_string()));
    });
}

/// The same with every stripe, as other clients may hold them.
#[test]
fn across_a_command_that_takes_its_time() {
    on_each(&[2, 8], &[], |server| {
        let (mut sleeping, mut working) = (open(&server), open(&server));
        let mut others: Vec<Wire> = (0..8).map(|_| open(&server)).collect();
        sleeping.send(b"DEBUG SLEEP 0.1\r\n");
        count(&mut working);
        for other in &mut others {
            assert_eq!(other.ask("PING"), pong());
        }
        assert_eq!(working.reply(), Some(bulk("0")));
        check_rest(&mut working);
        assert_eq!(sleeping.reply(), Some(ok()));
    });
}

/// The same with one stripe: clients of other keys are served in the meantime, whatever thread they
/// are on.
#[test]
fn across_a_stripe_that_is_held() {
    on_each(&[1, 2, 8], &[], |server| {
        let (mut working, mut control) = (open(&server), open(&server));
        assert_eq!(control.ask("DEBUG HOLD counter 0.1"), ok());
        count(&mut working);
        assert_eq!(working.reply(), Some(bulk("0")));
        for _ in 0..4 {
            assert_eq!(open(&server).ask("PING"), pong());
        }
        check_rest(&mut working);
        assert_eq!(control.ask("GET counter"), bulk(COUNT.to_string()));
    });
}

#[test]
fn across_a_pause_of_all() {
    on_each(&[1, 2, 8], &[], |server| {
        let (mut working, mut other) = (open(&server), open(&server));
        assert_eq!(other.ask("CLIENT PAUSE 30 ALL"), ok());
        count(&mut working);
        other.send(b"PING\r\n");
        assert_eq!(working.reply(), Some(bulk("0")));
        check_rest(&mut working);
        assert_eq!(other.reply(), Some(pong()));
    });
}

/// The pause begins amid commands that are parsed already.
#[test]
fn across_pauses_of_its_own() {
    on_each(&[1, 2], &[], |server| {
        let mut working = open(&server);
        let paused = "INCR counter\r\nCLIENT PAUSE 10 ALL\r\nINCR counter\r\n".repeat(5);
        working.send(paused.as_bytes());
        for round in 0..5 {
            assert_eq!(working.reply(), Some(Value::Integer(2 * round + 1)));
            assert_eq!(working.reply(), Some(ok()));
            assert_eq!(working.reply(), Some(Value::Integer(2 * round + 2)));
        }
    });
}

#[test]
fn across_a_pause_of_writes() {
    on_each(&[1, 2, 8], &[], |server| {
        let (mut working, mut control) = (open(&server), open(&server));
        assert_eq!(control.ask("CLIENT PAUSE 100000 WRITE"), ok());
        count(&mut working);
        assert_eq!(working.reply(), Some(bulk("0")), "what writes nothing");
        assert_eq!(control.ask("EXISTS counter"), Value::Integer(0));
        assert_eq!(control.ask("CLIENT UNPAUSE"), ok());
        check_rest(&mut working);
        assert_eq!(control.ask("GET counter"), bulk(COUNT.to_string()));
    });
}

#[test]
fn across_a_pause_of_writes_in_a_transaction() {
    on_each(&[1, 2, 8], &[], |server| {
        exec_waits(&server);
        queueing_waits(&server);
    });
}

/// Queued before the pause, executed after it.
fn exec_waits(server: &Server) {
    let (mut working, mut control) = (open(server), open(server));
    assert_eq!(working.ask("MULTI"), ok());
    assert_eq!(
        working.ask("INCR exec"),
        Value::Simple("QUEUED".into()),
        "before the pause"
    );
    assert_eq!(control.ask("CLIENT PAUSE 100000 WRITE"), ok());
    working.send(b"GET exec\r\nEXEC\r\nINCR exec\r\nECHO end\r\n");
    assert_eq!(working.reply(), Some(Value::Simple("QUEUED".into())));
    assert_eq!(control.ask("EXISTS exec"), Value::Integer(0));
    assert_eq!(control.ask("CLIENT UNPAUSE"), ok());
    let executed = Value::Array(vec![Value::Integer(1), bulk("1")]);
    assert_eq!(working.reply(), Some(executed));
    assert_eq!(working.reply(), Some(Value::Integer(2)));
    assert_eq!(working.reply(), Some(bulk("end")));
}

/// Everything after the pause has begun.
fn queueing_waits(server: &Server) {
    let (mut working, mut control) = (open(server), open(server));
    assert_eq!(control.ask("CLIENT PAUSE 100000 WRITE"), ok());
    working.send(b"MULTI\r\nINCR all\r\nINCR all\r\nEXEC\r\nGET all\r\n");
    assert_eq!(working.reply(), Some(ok()));
    assert_eq!(control.ask("EXISTS all"), Value::Integer(0));
    assert_eq!(control.ask("CLIENT UNPAUSE"), ok());
    for _ in 0..2 {
        assert_eq!(working.reply(), Some(Value::Simple("QUEUED".into())));
    }
    let executed = Value::Array(vec![Value::Integer(1), Value::Integer(2)]);
    assert_eq!(working.reply(), Some(executed));
    assert_eq!(working.reply(), Some(bulk("2")));
}

/// Sends one pipeline: numbers to be echoed, each followed by a step of the counter.
fn count(working: &mut Wire) {
    let step = |number| format!("*2\r\n$4\r\nECHO\r\n${}\r\n{number}\r\n", digits(number));
    let steps = (0..COUNT).map(|number| step(number) + "*2\r\n$4\r\nINCR\r\n$7\r\ncounter\r\n");
    working.send(steps.collect::<String>().as_bytes());
}

fn digits(number: i64) -> usize {
    number.to_string().len()
}

/// Checks the replies to [`count`] from the second one on.
fn check_rest(working: &mut Wire) {
    assert_eq!(working.reply(), Some(Value::Integer(1)));
    for number in 1..COUNT {
        assert_eq!(working.reply(), Some(bulk(number.to_string())));
        assert_eq!(working.reply(), Some(Value::Integer(number + 1)));
    }
    assert_eq!(working.ask("ECHO last"), bulk("last"));
}

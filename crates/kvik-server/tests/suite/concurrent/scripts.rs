//! Scripts beside scripts, transactions and commands: each happens as if it were alone.

use crate::target::{Connection, Target};

use super::{CLIENTS, all_at_once};

const ACCOUNTS: u64 = 12;
const TRANSFERS: u64 = 150;

/// Moves an amount between two accounts whose names it makes up.
const TRANSFER: &str = "
    local from, to, amount = 'account:' .. ARGV[1], 'account:' .. ARGV[2], tonumber(ARGV[3])
    for _, step in ipairs({ { from, -amount }, { to, amount } }) do
        redis.call('INCRBY', step[1], step[2])
    end
    return redis.call('GET', from)";
/// The sum of all accounts.
const SUM: &str = "
    local sum = 0
    for at = 0, ARGV[1] - 1 do sum = sum + (redis.call('GET', 'account:' .. at) or 0) end
    return sum";
/// Moves one between the two accounts that it declares.
const SWAP: &str = "redis.call('DECR', KEYS[1]) return redis.call('INCR', KEYS[2])";

fn ask(connection: &mut dyn Connection, words: &[&str]) -> kvik_resp::Value {
    connection.ask_words(words).expect("a reply")
}

/// Money that scripts move is never seen twice or missing, by scripts, transactions or MGET.
pub(super) fn scripts_see_no_mixture(target: &dyn Target) {
    let mut connection = target.connect().expect("a connection");
    ask(&mut *connection, &["FLUSHALL"]);
    let total = all_at_once(target, |number, connection| {
        let mut random = kvik_command::Random::new(number);
        for _ in 0..TRANSFERS {
            let mut account = || random.below(ACCOUNTS).to_string();
            let (from, to) = (account(), account());
            match random.below(4) {
                0 => {
                    ask(connection, &["EVAL", TRANSFER, "0", &from, &to, "5"]);
                }
                1 => {
                    let keys = [from, to].map(|it| format!("account:{it}"));
                    ask(connection, &["EVAL", SWAP, "2", &keys[0], &keys[1]]);
                }
                2 => {
                    let count = ACCOUNTS.to_string();
                    let sum = ask(connection, &["EVAL", SUM, "0", &count]);
                    assert_eq!(sum.as_int(), Some(0), "client {number}");
                }
                _ => check_from_outside(connection, number),
            }
        }
    });
    assert_eq!(total.len() as u64, CLIENTS);
    check_from_outside(&mut *connection, CLIENTS);
}

fn check_from_outside(connection: &mut dyn Connection, number: u64) {
    let names: Vec<_> = (0..ACCOUNTS).map(|at| format!("account:{at}")).collect();
    let mut words = vec!["MGET"];
    words.extend(names.iter().map(String::as_str));
    let values = ask(connection, &words);
    let amount = |value: &kvik_resp::Value| -> i64 {
        value
            .as_str()
            .map_or(0, |text| text.parse().expect("a number"))
    };
    let values = values.as_slice().expect("an array");
    assert_eq!(values.iter().map(amount).sum::<i64>(), 0, "client {number}");
}

//! Which words of a command are keys, for whoever sends commands to where their keys are.

use kvik_command::table;
use kvik_resp::Args;

/// The positions of the keys among the words of a command, its name included. Channels of shards
/// count as keys, as they have a slot like them. Empty for a command that is not known, takes no
/// keys, or is malformed.
///
/// ```
/// let words: kvik_resp::ArgsBuf = ["ZUNIONSTORE", "sum", "2", "a", "b"].into_iter().collect();
/// assert_eq!(kvik::key_positions(words.as_args()), [1, 3, 4]);
/// ```
pub fn key_positions(words: Args<'_>) -> Vec<usize> {
    let mut found = Vec::new();
    let Ok(command) = table().lookup(words) else {
        return found;
    };
    if command.has_keys() {
        if command.for_each_key(words, |at, _| found.push(at)).is_err() {
            found.clear();
        }
        return found;
    }
    for spec in command.specs() {
        found.extend(spec.positions(words).into_iter().flatten());
    }
    found
}

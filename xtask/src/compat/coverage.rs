//! Which commands of the newest Redis and Valkey kvik has: the page `docs/compatibility.md`.
//!
//! `theirs.txt` lists their commands, `lacking.txt` gives the reason for each that kvik lacks. A
//! command without an answer, a reason that concerns nothing and a command of a real server that
//! the list does not know are errors of `cargo x compat`.

use std::collections::BTreeSet;

use kvik_command::declare::table;

/// A command of another server.
struct TheirCommand {
    /// As COMMAND LIST has it, in small letters.
    name: &'static str,
    /// The version of each server that brought it, or a dash.
    redis: &'static str,
    valkey: &'static str,
}

/// Why kvik lacks commands.
struct Reason {
    /// A name, or the start of names.
    pattern: &'static str,
    text: &'static str,
}

impl Reason {
    fn covers(&self, name: &str) -> bool {
        match self.pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => self.pattern == name,
        }
    }
}

/// The lines of a file that are neither comments nor blank, cut at ` | `.
fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| line.split(" | ").map(str::trim).collect())
}

fn theirs() -> Vec<TheirCommand> {
    let commands = rows(include_str!("theirs.txt"));
    commands
        .filter_map(|row| match row[..] {
            [name, redis, valkey] => Some(TheirCommand {
                name,
                redis,
                valkey,
            }),
            _ => None,
        })
        .collect()
}

fn reasons() -> Vec<Reason> {
    let reasons = rows(include_str!("lacking.txt"));
    reasons
        .filter_map(|row| match row[..] {
            [pattern, text] => Some(Reason { pattern, text }),
            _ => None,
        })
        .collect()
}

/// The names of kvik's commands, as COMMAND LIST has them.
fn ours() -> BTreeSet<String> {
    let commands = table().commands().iter();
    commands.map(|it| it.full_name().to_owned()).collect()
}

/// What is wrong with the two files. `known` are commands that a real server has.
pub(crate) fn faults(known: &[String]) -> Vec<String> {
    let (theirs, reasons, ours) = (theirs(), reasons(), ours());
    let lacks = |name: &str| !ours.contains(name);
    let mut faults = Vec::new();
    for command in theirs.iter().filter(|it| lacks(it.name)) {
        if !reasons.iter().any(|reason| reason.covers(command.name)) {
            faults.push(format!(
                "lacking.txt does not say why {} is lacking",
                command.name
            ));
        }
    }
    for reason in &reasons {
        let mut lacking = theirs.iter().filter(|it| lacks(it.name));
        if !lacking.any(|it| reason.covers(it.name)) {
            faults.push(format!("lacking.txt: {} is not lacking", reason.pattern));
        }
    }
    let is_listed = |name: &String| theirs.iter().any(|it| it.name == name.to_lowercase());
    let unlisted = known.iter().filter(|name| !is_listed(name));
    faults.extend(unlisted.map(|name| format!("theirs.txt does not list {name}")));
    faults
}

/// The page.
pub(crate) fn page() -> String {
    let (theirs, reasons, ours) = (theirs(), reasons(), ours());
    let there = theirs.iter().filter(|it| ours.contains(it.name)).count();
    let mut page = format!(
        "# Commands of Redis 8.12 and Valkey 9.1\n\n\
         kvik has {there} of {} commands. What it has behaves as there, with the same errors; `cargo x compat` compares \
         arguments, flags and keys with a real server's. The columns say with which version a command came.\n\n\
         | command | Redis | Valkey | kvik |\n|---|---|---|---|\n",
        theirs.len(),
    );
    for command in &theirs {
        let answer = match ours.contains(command.name) {
            true => "yes".to_owned(),
            false => {
                let reason = reasons.iter().find(|reason| reason.covers(command.name));
                format!("no: {}", reason.map_or("not yet", |reason| reason.text))
            }
        };
        let name = command.name.to_uppercase().replace('|', " ");
        let (redis, valkey) = (command.redis, command.valkey);
        page += &format!("| `{name}` | {redis} | {valkey} | {answer} |\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_of_theirs_has_an_answer() {
        assert_eq!(faults(&[]), Vec::<String>::new());
    }
}

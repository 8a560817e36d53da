//! `help`, `help COMMAND`, `help @group`: the command table as a manual.

use std::io::{self, Write};

use kvik_command::declare::{Command, Style as UsageStyle, table};
use nu_ansi_term::{Color, Style};

/// Writes the page about `topic`: a command, a `@group`, or nothing for an introduction.
pub(super) fn write(topic: &[&[u8]], colours: bool, out: &mut impl Write) -> io::Result<()> {
    let page = match topic {
        [] => INTRODUCTION.into(),
        [group] if group.starts_with(b"@") => group_page(&group[1..], Pen { colours }),
        words => command_page(words, Pen { colours }),
    };
    out.write_all(&page)
}

const INTRODUCTION: &str = "\
Type a command to run it: SET greeting \"hello world\"
  help COMMAND       what a command does and takes: help set, help config get
  help @GROUP        the commands of a group: help @string
  Tab                complete a command, a subcommand or an option
  Ctrl-R             search the history
  Ctrl-C             drop the line, or stop waiting for a reply
  Ctrl-D, quit       leave
";

#[derive(Clone, Copy)]
struct Pen {
    colours: bool,
}

impl Pen {
    fn paint(self, style: Style, text: &str) -> String {
        if self.colours {
            style.paint(text).to_string()
        } else {
            text.to_owned()
        }
    }

    /// `GET key`: the name stands out.
    fn usage(self, command: &Command) -> String {
        let name = self.paint(Style::new().bold(), command.name());
        let arguments = command.usage(UsageStyle::Plain);
        let blank = if arguments.is_empty() { "" } else { " " };
        format!(
            "{name}{blank}{}",
            self.paint(Color::DarkGray.normal(), &arguments)
        )
    }

    fn field(self, name: &str, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        format!(
            "  {} {text}\n",
            self.paint(Color::Yellow.normal(), &format!("{name}:"))
        )
    }
}

fn group_page(group: &[u8], pen: Pen) -> Vec<u8> {
    let group = group.to_ascii_lowercase();
    let mut page = String::new();
    for command in table()
        .commands()
        .iter()
        .filter(|command| !command.is_container())
    {
        if command.group().name().as_bytes() == group {
            page.push_str(&format!(
                "{}\n{}",
                pen.usage(command),
                pen.field("summary", command.summary())
            ));
        }
    }
    if page.is_empty() {
        let rest = format!("'. There are: {}.\n", groups());
        [b"There is no group '", group.as_slice(), rest.as_bytes()].concat()
    } else {
        page.into()
    }
}

fn groups() -> String {
    let mut groups: Vec<&str> = table()
        .commands()
        .iter()
        .map(|command| command.group().name())
        .collect();
    groups.sort_unstable();
    groups.dedup();
    groups.join(", ")
}

fn command_page(words: &[&[u8]], pen: Pen) -> Vec<u8> {
    match table().find(&words.join(&b'|')) {
        Some(command) => {
            let page = pen.usage(command) + "\n" + &details(command, pen);
            (page + &subcommands(command, pen)).into()
        }
        None => [
            b"There is no command '",
            words.join(&b' ').as_slice(),
            b"'.\n",
        ]
        .concat(),
    }
}

fn details(command: &Command, pen: Pen) -> String {
    let deprecation = command.deprecation().map(|deprecation| {
        format!(
            "since {}, use {}",
            deprecation.since, deprecation.replaced_by
        )
    });
    [
        pen.field("summary", command.summary()),
        pen.field("since", command.since()),
        pen.field("group", command.group().name()),
        pen.field("complexity", command.complexity()),
        pen.field("deprecated", &deprecation.unwrap_or_default()),
    ]
    .concat()
}

fn subcommands(container: &Command, pen: Pen) -> String {
    table()
        .subcommands(container)
        .map(|command| format!("  {}\n", pen.usage(command)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help(topic: &[&[u8]]) -> String {
        let mut page = Vec::new();
        write(topic, false, &mut page).unwrap();
        String::from_utf8(page).unwrap()
    }

    #[test]
    fn what_is_unknown_is_said_to_be() {
        assert_eq!(help(&[b"no", b"such"]), "There is no command 'no such'.\n");
        assert!(help(&[b"@nothing"]).starts_with("There is no group 'nothing'."));
        assert_eq!(help(&[]), INTRODUCTION);
        let mut page = Vec::new();
        write(&[b"\xff"], false, &mut page).unwrap();
        assert_eq!(page, b"There is no command '\xff'.\n");
    }
}

//! docs/commands.md, rendered from the table.

use std::fmt::Write;

use super::argument::Style;
use super::command::Command;
use super::table::Table;

impl Table {
    /// The reference of all commands as a Markdown page: a table per group.
    pub fn markdown(&self) -> String {
        let mut commands: Vec<&Command> = self
            .commands()
            .iter()
            .filter(|command| command.handler().is_some())
            .collect();
        commands.sort_by_key(|command| (command.group(), command.name()));
        let mut page = String::from(
            "# Commands\n\nRendered from the command table; `COMMAND DOCS` says the same.\n",
        );
        for of_group in commands.chunk_by(|a, b| a.group() == b.group()) {
            page.push_str(&section(of_group));
        }
        page
    }
}

fn section(commands: &[&Command]) -> String {
    let title = commands
        .first()
        .map_or("", |command| command.group().name());
    let mut text =
        format!("\n## {title}\n\n| command | since | running time | |\n|---|---|---|---|\n");
    for command in commands {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{}", line(command));
    }
    text
}

fn line(command: &Command) -> String {
    let usage = command.usage(Style::Plain).replace('|', "\\|");
    let call = format!("{} {usage}", command.name());
    let obsolete = command.deprecation().map_or(String::new(), |it| {
        format!(" Deprecated since {}: {}.", it.since, it.replaced_by)
    });
    format!(
        "| `{}` | {} | {} | {}{obsolete} |",
        call.trim_end(),
        command.since(),
        command.complexity(),
        command.summary()
    )
}

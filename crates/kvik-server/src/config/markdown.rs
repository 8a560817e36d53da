//! The table as documentation.

use std::fmt::Write;

use super::row::{Access, Effect, Kind, Row};
use super::table::GROUPS;

const INTRODUCTION: &str = "\
# Configuration

Every directive can be given as a flag (`--port 6380`), as an environment variable (`KVIK_PORT=6380`), in a
`kvik.toml` (`port = 6380`) or in a `redis.conf` (`port 6380`). Flags win over the environment, the environment over the
file, the file over the defaults. `--kevy`, `--kvns`, `--kiba`, `--nkv` and `--neks`, or `KVIK_PRESET=kevy` and so on, choose other
defaults. The first argument that is not a flag is the file; `-` reads one from standard
input. Directives marked *fixed* are set at the start only, the others by `CONFIG SET` as well; *protected*
ones as `enable-protected-configs` allows. *effect* says whether a directive does what it says: one that does not yet is
accepted and shown at the start, and `CONFIG SET` refuses it; one that kvik has no use for is accepted and changes
nothing.
";

/// The contents of `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (group, keys) in GROUPS {
        page.push_str(&format!(
            "\n## {group}\n\n| directive | value | default | effect | meaning |\n|---|---|---|---|---|\n"
        ));
        for key in *keys {
            write_row(&mut page, key.row());
        }
    }
    page
}

fn write_row(page: &mut String, row: &Row) {
    let default = if row.default.is_empty() {
        "\"\""
    } else {
        row.default
    };
    let effect = match row.effect {
        Effect::Honoured => "yes".to_owned(),
        Effect::Pending(reason) => format!("not yet: {reason}"),
        Effect::Ignored(reason) | Effect::Unavailable(reason) => format!("no: {reason}"),
    };
    let cells = [
        names(row),
        accepts(row.kind),
        format!("`{default}`"),
        effect,
        row.about.to_owned(),
    ];
    let line = cells.map(|cell| cell.replace('|', "\\|")).join(" | ");
    writeln!(page, "| {line} |").expect("writing to a string cannot fail");
}

fn names(row: &Row) -> String {
    let alias = row
        .alias
        .map(|alias| format!(", `{alias}`"))
        .unwrap_or_default();
    let access = match row.access {
        Access::Fixed => " (fixed)",
        Access::Protected => " (protected)",
        Access::FileOnly => " (not in CONFIG)",
        Access::Open | Access::Secret => "",
    };
    format!("`{}`{alias}{access}", row.name)
}

fn accepts(kind: Kind) -> String {
    match kind {
        Kind::Bool => "`yes`, `no`".to_owned(),
        Kind::Int(min, max) if max >= i64::from(i32::MAX) => format!("integer from {min}"),
        Kind::Int(min, max) => format!("{min} to {max}"),
        Kind::Memory(0, _) => "memory".to_owned(),
        Kind::Memory(min, _) => format!("memory from {min}"),
        Kind::MemoryOrPercent => "memory or percentage".to_owned(),
        Kind::Octal(max) => format!("octal mode to {max:o}"),
        Kind::AutoOr(max) => format!("`auto`, 1 to {max}"),
        Kind::Choice(names) | Kind::Flags(names) => {
            format!("`{}`", names.join("`, `").replace('|', "`, `"))
        }
        Kind::Text => "text".to_owned(),
        Kind::Dir => "directory".to_owned(),
        Kind::Words => "words".to_owned(),
        Kind::Integers(count, min, max) => format!("{count} integers from {min} to {max}"),
        Kind::Percentiles => "percentages".to_owned(),
        Kind::Save => "`seconds changes` pairs".to_owned(),
        Kind::BufferLimits => "`class hard soft seconds`".to_owned(),
        Kind::Events => "letters of `Ag$lshzxeKEtmdn`".to_owned(),
        Kind::HostPort => "`host port` or `no one`".to_owned(),
        Kind::Pairs => "`old new`".to_owned(),
        Kind::Doors => "URLs".to_owned(),
    }
}

//! The page of `top`: a head with figures of the whole, and a table each for namespaces, prefixes,
//! commands and clients, the busiest first.

use std::collections::HashMap;

use kvik_client::Value;

use super::super::info::{Info, part};
use super::super::shown::human;
use super::look::Look;

/// Longest name of a row.
const NAME: usize = 28;

/// A table: its heading, its columns' names, and rows of as many cells.
struct Table {
    title: String,
    columns: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

/// Draws a page from two looks; tables have so many rows at most.
pub(super) fn draw(address: &str, before: &Look, now: &Look, rows: usize) -> String {
    let elapsed_s = (now.at - before.at).as_secs_f64().max(0.001);
    let tables = [
        namespaces(&before.namespaces, &now.namespaces, elapsed_s),
        prefixes(&before.prefixes, &now.prefixes, elapsed_s),
        commands(&before.info, &now.info, elapsed_s),
        clients(&before.clients, &now.clients, elapsed_s),
    ];
    let mut page = head(address, &before.info, &now.info, elapsed_s);
    for table in tables.iter().filter(|table| !table.rows.is_empty()) {
        page.push('\n');
        page.push_str(&table.draw(rows));
    }
    page
}

fn head(address: &str, before: &Info, now: &Info, elapsed_s: f64) -> String {
    let rate = |name: &str| {
        let grown = now.number(name).saturating_sub(before.number(name));
        per_second(grown, elapsed_s)
    };
    let (name, version) = match (now.text("kvik_version"), now.text("valkey_version")) {
        ("", "") => ("redis", now.text("redis_version")),
        ("", version) => ("valkey", version),
        (version, _) => ("kvik", version),
    };
    let grown = |name: &str| now.number(name).saturating_sub(before.number(name));
    let (hits, misses) = (grown("keyspace_hits"), grown("keyspace_misses"));
    let memory = now.number("used_memory");
    let limit = match now.number("maxmemory") {
        0 => String::new(),
        limit => format!(" of {}", human(limit)),
    };
    let network = |name: &str| human((grown(name) as f64 / elapsed_s) as u64);
    format!(
        "{name} {version} at {address}, up {}, {}\n\
         clients  {} ({} blocked)  commands {}/s  hits {}\n\
         keys     {}  expired {}/s  evicted {}/s\n\
         memory   {}{limit}, resident {}  network {}/s in, {}/s out\n",
        duration(now.number("uptime_in_seconds")),
        now.text("role"),
        now.number("connected_clients"),
        now.number("blocked_clients"),
        rate("total_commands_processed"),
        percent(hits, hits + misses),
        now.keys(),
        rate("expired_keys"),
        rate("evicted_keys"),
        human(memory),
        human(now.number("used_memory_rss")),
        network("total_net_input_bytes"),
        network("total_net_output_bytes"),
    )
}

fn namespaces(before: &Value, now: &Value, elapsed_s: f64) -> Table {
    let known: HashMap<_, _> = rows_of(before, "name")
        .map(|(name, row)| (name, number(row, "keys")))
        .collect();
    let mut found: Vec<_> = rows_of(now, "name").collect();
    found.sort_by_key(|(name, row)| (u64::MAX - number(row, "bytes"), *name));
    let count = found.len();
    let row = |(name, row): (&[u8], &Value)| {
        let keys = number(row, "keys");
        let before = known.get(name).copied().unwrap_or(0);
        vec![
            shown(name),
            keys.to_string(),
            change_per_second(before, keys, elapsed_s),
            human(number(row, "bytes")),
            quota(row, "keys", |keys| keys.to_string()),
            quota(row, "bytes", human),
            number(row, "clients").to_string(),
        ]
    };
    Table {
        title: format!("NAMESPACES ({count})"),
        columns: vec![
            "keys", "change/s", "bytes", "of keys", "of bytes", "clients",
        ],
        rows: found.into_iter().map(row).collect(),
    }
}

fn prefixes(before: &Value, now: &Value, elapsed_s: f64) -> Table {
    let known: HashMap<_, _> = rows_of(before, "prefix").collect();
    let row = |(prefix, row): (&[u8], &Value)| {
        let grown = |name: &str| {
            let before = known.get(prefix).map_or(0, |row| number(row, name));
            number(row, name).saturating_sub(before)
        };
        let (hits, misses) = (grown("hits"), grown("misses"));
        vec![
            shown(prefix),
            number(row, "keys").to_string(),
            human(number(row, "bytes")),
            per_second(hits, elapsed_s),
            per_second(misses, elapsed_s),
            percent(hits, hits + misses),
            per_second(grown("expired"), elapsed_s),
            per_second(grown("evicted"), elapsed_s),
        ]
    };
    Table {
        title: "PREFIXES".to_owned(),
        columns: vec![
            "keys",
            "bytes",
            "hits/s",
            "misses/s",
            "hits",
            "expired/s",
            "evicted/s",
        ],
        rows: rows_of(now, "prefix").map(row).collect(),
    }
}

fn commands(before: &Info, now: &Info, elapsed_s: f64) -> Table {
    let known: HashMap<_, _> = before.below("cmdstat_").collect();
    let mut found: Vec<(&str, u64, u64, u64)> = Vec::new();
    for (name, value) in now.below("cmdstat_") {
        let grown = |field: &str| {
            let before = known.get(name).map_or(0, |value| part(value, field));
            part(value, field).saturating_sub(before)
        };
        let failed = grown("failed_calls") + grown("rejected_calls");
        if grown("calls") + failed > 0 {
            found.push((name, grown("calls"), grown("usec"), failed));
        }
    }
    found.sort_by_key(|(name, _, us, _)| (u64::MAX - us, *name));
    let all_us: u64 = found.iter().map(|(_, _, us, _)| us).sum();
    let row = |(name, calls, us, failed): (&str, u64, u64, u64)| {
        vec![
            name.to_owned(),
            per_second(calls, elapsed_s),
            format!("{:.2}", us as f64 / calls.max(1) as f64),
            percent(us, all_us),
            per_second(failed, elapsed_s),
        ]
    };
    Table {
        title: "COMMANDS".to_owned(),
        columns: vec!["calls/s", "us each", "of time", "failed/s"],
        rows: found.into_iter().map(row).collect(),
    }
}

fn clients(before: &str, now: &str, elapsed_s: f64) -> Table {
    let commands = |line: &ClientLine<'_>| line.number("tot-cmds");
    let known: HashMap<_, _> = lines(before)
        .map(|line| (line.text("id").to_owned(), commands(&line)))
        .collect();
    let mut found: Vec<_> = lines(now)
        .map(|line| {
            let before = known.get(line.text("id")).copied().unwrap_or(0);
            (commands(&line).saturating_sub(before), line)
        })
        .collect();
    found.sort_by_key(|(grown, line)| (u64::MAX - grown, line.number("id")));
    let count = found.len();
    let row = |(grown, line): (u64, ClientLine<'_>)| {
        let name = match line.text("name") {
            "" => line.text("addr").to_owned(),
            name => format!("{name} {}", line.text("addr")),
        };
        vec![
            shown(name.as_bytes()),
            per_second(grown, elapsed_s),
            line.text("cmd").to_owned(),
            line.text("db").to_owned(),
            duration(line.number("age")),
            duration(line.number("idle")),
            human(line.number("tot-mem")),
        ]
    };
    Table {
        title: format!("CLIENTS ({count})"),
        columns: vec!["calls/s", "last", "db", "age", "idle", "memory"],
        rows: found.into_iter().map(row).collect(),
    }
}

/// A line of CLIENT LIST.
struct ClientLine<'a>(HashMap<&'a str, &'a str>);

impl<'a> ClientLine<'a> {
    fn text(&self, name: &str) -> &'a str {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }
}

fn lines(list: &str) -> impl Iterator<Item = ClientLine<'_>> {
    let fields = |line| str::split(line, ' ').filter_map(|field: &str| field.split_once('='));
    list.lines()
        .filter(|line| !line.is_empty())
        .map(move |line| ClientLine(fields(line).collect()))
}

/// The maps of a reply by the field that names them; none if it is an error.
fn rows_of<'a>(reply: &'a Value, name: &str) -> impl Iterator<Item = (&'a [u8], &'a Value)> {
    let rows = reply.as_slice().unwrap_or_default().iter();
    rows.filter_map(move |row| Some((row.get(name)?.as_bytes()?, row)))
}

fn number(row: &Value, name: &str) -> u64 {
    let number = row.get(name).and_then(Value::as_int);
    number.map_or(0, |number| u64::try_from(number).unwrap_or(0))
}

fn quota(row: &Value, name: &str, show: impl Fn(u64) -> String) -> String {
    match number(row, &format!("quota-{name}")) {
        0 => "-".to_owned(),
        limit => show(limit),
    }
}

/// A name that leaves the table in order, whatever its bytes are.
fn shown(name: &[u8]) -> String {
    let text = name.escape_ascii().to_string();
    if text.len() <= NAME {
        return text;
    }
    // Escaped text is ASCII.
    format!("{}~", &text[..NAME - 1])
}

fn per_second(count: u64, elapsed_s: f64) -> String {
    rounded(count as f64 / elapsed_s)
}

fn change_per_second(before: u64, now: u64, elapsed_s: f64) -> String {
    let change = now as f64 - before as f64;
    match change {
        0.0 => "0".to_owned(),
        change if change > 0.0 => format!("+{}", rounded(change / elapsed_s)),
        change => format!("-{}", rounded(-change / elapsed_s)),
    }
}

fn rounded(rate: f64) -> String {
    match rate {
        rate if rate >= 10.0 || rate == 0.0 => format!("{rate:.0}"),
        rate => format!("{rate:.1}"),
    }
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        whole => format!("{:.1} %", 100.0 * part as f64 / whole as f64),
    }
}

fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, minutes) => format!("{minutes}m{:02}s", seconds % 60),
        (0, hours, minutes) => format!("{hours}h{:02}m", minutes % 60),
        (days, hours, _) => format!("{days}d{:02}h", hours % 24),
    }
}

impl Table {
    /// The first column is as wide as a name may be and stands on the left, numbers on the right.
    fn draw(&self, most: usize) -> String {
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|at| {
                let cells = self.rows.iter().take(most).map(|row| row[at + 1].len());
                cells.chain([self.columns[at].len()]).max().unwrap_or(0)
            })
            .collect();
        let line = |name: &str, cells: &mut dyn Iterator<Item = &str>| {
            let mut line = format!("{name:<NAME$}");
            for (cell, width) in cells.zip(&widths) {
                line.push_str(&format!("  {cell:>width$}"));
            }
            line + "\n"
        };
        let mut text = line(&self.title, &mut self.columns.iter().copied());
        for row in self.rows.iter().take(most) {
            text.push_str(&line(&row[0], &mut row[1..].iter().map(String::as_str)));
        }
        if let Some(more) = self.rows.len().checked_sub(most).filter(|more| *more > 0) {
            text.push_str(&format!("  and {more} more\n"));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::super::super::clock::now;
    use super::*;

    fn map(pairs: &[(&str, i64)], name: (&str, &str)) -> Value {
        let bulk = |text: &str| Value::Bulk(text.as_bytes().to_vec());
        let named = [(bulk(name.0), bulk(name.1))];
        let numbers = pairs
            .iter()
            .map(|(name, number)| (bulk(name), Value::Integer(*number)));
        Value::Map(named.into_iter().chain(numbers).collect())
    }

    fn look(at: Instant, calls: u64, keys: i64) -> Look {
        let info = format!(
            "kvik_version:1.0\nuptime_in_seconds:90061\nrole:master\nconnected_clients:2\n\
             total_commands_processed:{calls}\nkeyspace_hits:{calls}\nkeyspace_misses:0\n\
             used_memory:1536\nmaxmemory:3072\n\
             cmdstat_get:calls={calls},usec={},usec_per_call=1,rejected_calls=0,failed_calls=0\n\
             cmdstat_idle:calls=3,usec=1000,rejected_calls=0,failed_calls=0\n",
            2 * calls
        );
        let namespace = |name, keys| map(&[("keys", keys), ("bytes", keys * 1024)], ("name", name));
        Look {
            at,
            info: Info::from(info.as_str()),
            namespaces: Value::Array(vec![namespace("a\n", 1), namespace("b", keys)]),
            prefixes: Value::Array(vec![map(
                &[("keys", 3), ("hits", calls as i64), ("misses", 0)],
                ("prefix", "user:"),
            )]),
            clients: format!(
                "id=7 addr=h:1 name=web age=61 idle=0 db=0 cmd=get tot-cmds={calls}\n"
            ),
        }
    }

    #[test]
    fn a_page_shows_what_changed_between_two_looks() {
        let begun = now();
        let (before, now) = (
            look(begun, 100, 5),
            look(begun + Duration::from_secs(2), 300, 9),
        );
        let page = draw("h:6379", &before, &now, 10);
        for line in [
            "kvik 1.0 at h:6379, up 1d01h, master",
            "clients  2 (0 blocked)  commands 100/s  hits 100.0 %",
            "memory   1.50K of 3.00K, resident 0B  network 0B/s in, 0B/s out",
        ] {
            assert!(page.lines().any(|it| it == line), "{line}\n{page}");
        }
        let row = |name: &str| -> Vec<&str> {
            let line = page.lines().find(|line| line.starts_with(name));
            line.unwrap_or_else(|| panic!("{name}\n{page}"))
                .split_whitespace()
                .collect()
        };
        assert_eq!(row("b "), ["b", "9", "+2.0", "9.00K", "-", "-", "0"]);
        assert_eq!(row("a\\n"), ["a\\n", "1", "0", "1.00K", "-", "-", "0"]);
        assert_eq!(row("get"), ["get", "100", "2.00", "100.0", "%", "0"]);
        assert!(
            !page.lines().any(|line| line.starts_with("idle ")),
            "a command that did not run\n{page}"
        );
        assert_eq!(row("user:")[3..5], ["100", "0"]);
        assert_eq!(
            row("web"),
            ["web", "h:1", "100", "get", "0", "1m01s", "0s", "0B"]
        );
        // The largest namespace comes first.
        assert!(page.find("\nb ").unwrap() < page.find("\na\\n").unwrap());
    }

    #[test]
    fn a_server_without_tables_shows_the_rest() {
        let begun = now();
        let mut before = look(begun, 1, 1);
        let error = Value::Error("ERR unknown command".into());
        before.namespaces = error.clone();
        before.prefixes = error;
        let now = Look {
            at: begun + Duration::from_secs(1),
            info: before.info.clone(),
            namespaces: before.namespaces.clone(),
            prefixes: before.prefixes.clone(),
            clients: String::new(),
        };
        let page = draw("h", &before, &now, 10);
        assert_eq!(page.lines().count(), 4, "{page}");
    }

    #[test]
    fn a_table_tells_how_many_rows_it_leaves_out() {
        let table = Table {
            title: "T".into(),
            columns: vec!["n"],
            rows: (0..5).map(|n| vec![n.to_string(), n.to_string()]).collect(),
        };
        assert!(table.draw(2).ends_with("  and 3 more\n"));
        assert!(!table.draw(5).contains("more"));
        assert_eq!(shown(&[b'x'; 100]).len(), NAME);
    }
}

//! `--stat`: a line of figures at a time.

use std::io::{self, Write};
use std::time::Duration;

use kvik_client::Client;

use super::clock::pause;
use super::info::Info;
use super::shown::human;

/// Lines between two headings.
const LINES: u64 = 20;

const HEADING: &str = "\
------- data ------ --------------------- load -------------------- - child -
keys       mem      clients blocked requests            connections          
";

/// Prints lines at an interval, a second unless it is said, so many or for ever.
pub(super) fn show(
    client: &mut Client,
    interval: Duration,
    lines: Option<u64>,
) -> anyhow::Result<()> {
    let interval = match interval {
        Duration::ZERO => Duration::from_secs(1),
        interval => interval,
    };
    let mut requests = None;
    for number in 0.. {
        let info = Info::ask(client, &[])?;
        let mut out = io::stdout().lock();
        if number % LINES == 0 {
            write!(out, "{HEADING}")?;
        }
        writeln!(out, "{}", line(&info, requests))?;
        out.flush()?;
        requests = Some(info.number("total_commands_processed"));
        if lines.is_some_and(|lines| number + 1 >= lines) {
            break;
        }
        pause(interval);
    }
    Ok(())
}

/// A line, given how many requests there were at the last one.
fn line(info: &Info, before: Option<u64>) -> String {
    let requests = info.number("total_commands_processed");
    let more = requests.saturating_sub(before.unwrap_or(requests));
    let is_saving = info.number("rdb_bgsave_in_progress") > 0;
    let is_rewriting = info.number("aof_rewrite_in_progress") > 0;
    let task = match (info.number("loading") > 0, is_saving, is_rewriting) {
        (true, ..) => "LOAD",
        (_, true, true) => "SAVE+AOF",
        (_, true, false) => "SAVE",
        (_, false, true) => "AOF",
        _ => "",
    };
    format!(
        "{:<11}{:<8} {:<8}{:<8}{:<19} {:<12}{task}",
        info.keys(),
        human(info.number("used_memory")),
        info.number("connected_clients"),
        info.number("blocked_clients"),
        format!("{requests} (+{more})"),
        info.number("total_connections_received"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stands_below_its_heading() {
        let info = Info::from(
            "used_memory:1536\nconnected_clients:2\nblocked_clients:0\n\
             total_commands_processed:30\ntotal_connections_received:9\n\
             rdb_bgsave_in_progress:1\ndb0:keys=7,expires=0\n",
        );
        assert_eq!(
            line(&info, Some(20)),
            "7          1.50K    2       0       30 (+10)            9           SAVE"
        );
        assert!(line(&info, None).contains("30 (+0)"));
    }
}

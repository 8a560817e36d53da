//! `kvik cli top`: what goes on in a server, as a page of text that is drawn anew every second.
//!
//! Rates come from two looks at the server's own counters, so nothing is traced and a page costs
//! the server a few commands. The tables of namespaces and prefixes are kvik's; of another server
//! the rest is shown. On a terminal a page takes the place of the one before; elsewhere pages
//! follow each other. It reads no input: who has seen enough interrupts it.

mod look;
mod page;

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use anyhow::{anyhow, bail};
use kvik_client::Client;

use super::clock::pause;
use crate::cli::settings::Settings;
use look::look;

const USAGE: &str = "kvik cli [OPTIONS] top [--once] [-i SECONDS] [-n ROWS]";

/// The settings that its own words give.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TopOptions {
    once: bool,
    interval: Duration,
    /// Most rows of a table.
    rows: usize,
}

/// Shows pages, or one.
pub(super) fn run(words: &[&str], mut client: Client, settings: &Settings) -> anyhow::Result<()> {
    let options = read(words, settings.interval)?;
    let address = settings.endpoint.address.to_string();
    let replaces = io::stdout().is_terminal() && !options.once;
    let mut before = look(&mut client)?;
    loop {
        pause(options.interval);
        let now = look(&mut client)?;
        let page = page::draw(&address, &before, &now, options.rows);
        let mut out = io::stdout().lock();
        if replaces {
            // Home, then the page over what is there, and the rest cleared: no flicker.
            let lines = page.replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{lines}\x1b[J")?;
        } else {
            writeln!(out, "{page}")?;
        }
        out.flush()?;
        if options.once {
            return Ok(());
        }
        before = now;
    }
}

fn read(words: &[&str], interval: Duration) -> anyhow::Result<TopOptions> {
    let mut options = TopOptions {
        once: false,
        interval: match interval {
            Duration::ZERO => Duration::from_secs(1),
            interval => interval,
        },
        rows: 10,
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| anyhow!("{word} needs a value"));
        match *word {
            "--once" => options.once = true,
            "-i" => {
                let seconds = value()?.parse::<f64>();
                let interval = seconds.map(Duration::try_from_secs_f64);
                options.interval = interval.map_err(|_| anyhow!("-i takes seconds"))??;
            }
            "-n" => options.rows = value()?.parse().map_err(|_| anyhow!("-n takes a number"))?,
            _ => bail!("'{word}' is not expected here: {USAGE}"),
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_words_are_read() {
        let read = |words: &[&str]| read(words, Duration::ZERO);
        let expected = TopOptions {
            once: true,
            interval: Duration::from_millis(500),
            rows: 3,
        };
        assert_eq!(read(&["-i", "0.5", "--once", "-n", "3"]).unwrap(), expected);
        assert_eq!(read(&[]).unwrap().interval, Duration::from_secs(1));
        for words in [
            &["-i"][..],
            &["-i", "x"],
            &["-i", "-1"],
            &["-n", "x"],
            &["y"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}

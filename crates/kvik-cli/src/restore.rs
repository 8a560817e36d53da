//! `kvik restore`: the files of a database as it was at an earlier second.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use kvik_log::{LogOptions, Restored, SystemDisk};

/// Runs the subcommand.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    let path = |name| matches.get_one::<PathBuf>(name).expect("it is required");
    let at_s = *matches.get_one::<u64>("to").expect("it is required");
    // What is restored gets its id when it is opened.
    let from = LogOptions::new(path("from"), [0; 20]);
    match kvik_log::restore(&SystemDisk, &from, path("into"), at_s) {
        Ok(restored) => {
            tell(&restored, path("into"));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("kvik restore: {error}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stdout, reason = "the output of the command")]
fn tell(restored: &Restored, into: &std::path::Path) {
    let base = restored.base.as_deref().unwrap_or("no base");
    let time = restored.time_s.map_or_else(String::new, |time_s| {
        format!(", the last of them in second {time_s}")
    });
    let (into, units) = (into.display(), restored.units);
    println!("restored into {into}: {base} and {units} units behind it{time}");
}

/// A time in seconds since 1970: as a number, or as a date and a time of day in UTC.
pub(crate) fn parse_time(text: &str) -> Result<u64, String> {
    const FORM: &str = "a number of seconds, or a time like 2026-11-30T09:00:00Z";
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let text = text.strip_suffix('Z').unwrap_or(text);
    let (date, time) = text.split_once(['T', ' ']).ok_or(FORM)?;
    let numbers = |text: &str, separator: char| -> Option<[u64; 3]> {
        let numbers: Result<Vec<u64>, _> = text.split(separator).map(str::parse).collect();
        numbers.ok()?.try_into().ok()
    };
    let [year, month, day] = numbers(date, '-').ok_or(FORM)?;
    let [hour, minute, second] = numbers(time, ':').ok_or(FORM)?;
    let is_date = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day);
    if !is_date || hour > 23 || minute > 59 || second > 59 {
        return Err("there is no such time".to_owned());
    }
    let years = (1970..year).map(|year| (1..=12).map(|month| days_of(year, month)).sum::<u64>());
    let months = (1..month).map(|month| days_of(year, month));
    let days = years.sum::<u64>() + months.sum::<u64>() + day - 1;
    Ok(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn days_of(year: u64, month: u64) -> u64 {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_numbers_or_dates() {
        assert_eq!(parse_time("1767225600"), Ok(1_767_225_600));
        assert_eq!(parse_time("1970-01-01T00:00:01Z"), Ok(1));
        assert_eq!(parse_time("2026-01-01 00:00:00"), Ok(1_767_225_600));
        assert_eq!(parse_time("2024-02-29T12:00:00Z"), Ok(1_709_208_000));
        for text in [
            "",
            "now",
            "2026-01-01",
            "2025-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
        ] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }
}

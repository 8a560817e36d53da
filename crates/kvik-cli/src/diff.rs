//! `kvik diff`: which keys two servers do not have alike.
//!
//! Keys are compared by contents and time to live, whatever their encoding is. What changes while
//! they are read may be told as a difference.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use anyhow::Context;
use clap::ArgMatches;
use kvik_client::Client;

use crate::cli::settings::options;
use crate::cli::view::keyspace::Keyspace;
use crate::copy::{Item, Progress, ask};
use crate::transfer::without_password;

/// Times to live that differ by less are taken for the same: they are read one after the other.
const TOLERANCE_MS: u64 = 2000;

/// Exit status when something could not be compared.
const FAILED: u8 = 2;

/// How a key is on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Same,
    OnlyFirst,
    OnlySecond,
    OtherType,
    OtherValue,
    OtherExpiry,
}

/// Runs `kvik diff`: 0 if all keys are alike, 1 if not, 2 if that cannot be told.
pub(crate) fn run(matches: &ArgMatches) -> ExitCode {
    match try_run(matches) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(FAILED)
        }
    }
}

fn try_run(matches: &ArgMatches) -> anyhow::Result<bool> {
    let open = |name: &str| -> anyhow::Result<Client> {
        let url = matches.get_one::<String>(name).map_or("", String::as_str);
        Client::connect(url, &options(matches))
            .with_context(|| format!("cannot connect to {}", without_password(url)))
    };
    let (mut first, mut second) = (open("first")?, open("second")?);
    let pattern = matches.get_one::<String>("pattern").map(String::as_str);
    let mut out = BufWriter::new(io::stdout().lock());
    let mut progress = Progress::new("compared");
    progress.expect(
        ask(&mut first, &[b"DBSIZE"])?
            .as_int()
            .and_then(|it| it.try_into().ok()),
    );
    let (mut same, mut different) = (0, 0);
    let mut keyspace = Keyspace::new(pattern, std::time::Duration::ZERO);
    while let Some(keys) = keyspace.page(&mut first)? {
        for key in keys {
            match compare(&mut first, &mut second, &key)? {
                // Gone from both since.
                None => {}
                Some(Comparison::Same) => same += 1,
                Some(verdict) => {
                    different += 1;
                    tell(&mut out, &key, verdict)?;
                }
            }
        }
        progress.show(same + different);
    }
    let mut keyspace = Keyspace::new(pattern, std::time::Duration::ZERO);
    while let Some(keys) = keyspace.page(&mut second)? {
        for key in keys {
            if ask(&mut first, &[b"EXISTS", &key])?.as_int() == Some(0) {
                different += 1;
                tell(&mut out, &key, Comparison::OnlySecond)?;
            }
        }
    }
    progress.finish();
    writeln!(out, "{same} keys are alike, {different} are not")?;
    out.flush()?;
    Ok(different == 0)
}

fn compare(
    first: &mut Client,
    second: &mut Client,
    key: &[u8],
) -> anyhow::Result<Option<Comparison>> {
    let one = Item::read(first, key).with_context(|| key.escape_ascii().to_string())?;
    let other = Item::read(second, key).with_context(|| key.escape_ascii().to_string())?;
    Ok(verdict(one.as_ref(), other.as_ref()))
}

fn verdict(one: Option<&Item>, other: Option<&Item>) -> Option<Comparison> {
    let (one, other) = match (one, other) {
        (None, None) => return None,
        (Some(_), None) => return Some(Comparison::OnlyFirst),
        (None, Some(_)) => return Some(Comparison::OnlySecond),
        (Some(one), Some(other)) => (one, other),
    };
    let is_close = match (one.ttl_ms, other.ttl_ms) {
        (Some(one), Some(other)) => one.abs_diff(other) < TOLERANCE_MS,
        (one, other) => one == other,
    };
    Some(if one.contents.kind() != other.contents.kind() {
        Comparison::OtherType
    } else if one.contents != other.contents {
        Comparison::OtherValue
    } else if !is_close {
        Comparison::OtherExpiry
    } else {
        Comparison::Same
    })
}

fn tell(out: &mut impl Write, key: &[u8], verdict: Comparison) -> io::Result<()> {
    let word = match verdict {
        Comparison::Same => "same",
        Comparison::OnlyFirst => "only first",
        Comparison::OnlySecond => "only second",
        Comparison::OtherType => "type",
        Comparison::OtherValue => "value",
        Comparison::OtherExpiry => "expiry",
    };
    writeln!(out, "{word}\t{}", key.escape_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copy::contents::Contents;

    #[test]
    fn keys_are_compared_by_type_value_and_expiry() {
        let item = |text: &str, ttl_ms| Item {
            contents: Contents::Text(text.into()),
            ttl_ms,
        };
        let list = Item {
            contents: Contents::List(vec![b"a".to_vec()]),
            ttl_ms: None,
        };
        let a = item("a", None);
        let verdict = |other: &Item| verdict(Some(&a), Some(other));
        assert_eq!(verdict(&a.clone()), Some(Comparison::Same));
        assert_eq!(verdict(&item("b", None)), Some(Comparison::OtherValue));
        assert_eq!(verdict(&item("a", Some(9))), Some(Comparison::OtherExpiry));
        assert_eq!(verdict(&list), Some(Comparison::OtherType));
        assert_eq!(super::verdict(Some(&a), None), Some(Comparison::OnlyFirst));
        assert_eq!(super::verdict(None, None), None);
        let (one, other) = (item("a", Some(10_000)), item("a", Some(9000)));
        assert_eq!(
            super::verdict(Some(&one), Some(&other)),
            Some(Comparison::Same)
        );
    }
}

//! INFO, read.

use anyhow::bail;
use kvik_client::Client;

/// The lines of INFO.
#[derive(Clone, Debug, Default)]
pub(super) struct Info(String);

impl Info {
    /// Asks for some sections; none is the default ones.
    pub(super) fn ask(client: &mut Client, sections: &[&str]) -> anyhow::Result<Self> {
        let reply = client.call(&[&["INFO"], sections].concat())?;
        if let Some(error) = reply.as_error() {
            bail!("ERROR: {error}");
        }
        let text = reply.as_bytes().unwrap_or_default();
        Ok(Self(String::from_utf8_lossy(text).into_owned()))
    }

    /// Names and values.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .lines()
            .filter_map(|line| line.trim_end().split_once(':'))
    }

    /// The value of a field; empty if there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields()
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }

    /// A number; 0 if there is none.
    pub(super) fn number(&self, name: &str) -> u64 {
        self.text(name).parse().unwrap_or(0)
    }

    /// The names behind a prefix, with their values.
    pub(super) fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.fields()
            .filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value)))
    }

    /// Keys of all databases.
    pub(super) fn keys(&self) -> u64 {
        let databases = self
            .below("db")
            .filter(|(number, _)| number.parse::<u32>().is_ok());
        databases.map(|(_, value)| part(value, "keys")).sum()
    }
}

/// A number of a value such as `calls=1,usec=2`; 0 if it is not there.
pub(super) fn part(value: &str, name: &str) -> u64 {
    let mut parts = value.split(',').filter_map(|part| part.split_once('='));
    parts
        .find(|(known, _)| *known == name)
        .and_then(|(_, number)| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
impl From<&str> for Info {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name() {
        let info = Info::from(
            "# Keyspace\r\nused_memory:12\r\ndb0:keys=3,expires=1\r\ndb12:keys=4\r\ndbx:keys=9\r\n",
        );
        assert_eq!(info.number("used_memory"), 12);
        assert_eq!(info.text("other"), "");
        assert_eq!(info.keys(), 7);
        assert_eq!(part("calls=5,usec=x", "usec"), 0);
    }
}

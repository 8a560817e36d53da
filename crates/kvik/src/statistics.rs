//! The figures of INFO, by name.

use std::collections::BTreeMap;

use crate::db::Db;

/// The figures of a store at one moment, by the names that INFO gives them.
///
/// ```
/// let db = kvik::Db::memory();
/// db.set(b"k", b"v")?;
/// let statistics = db.statistics();
/// assert_eq!(statistics.keys(), 1);
/// assert!(statistics.number("used_memory").is_some_and(|bytes| bytes > 0));
/// assert_eq!(statistics.text("role"), Some("master"));
/// # Ok::<_, kvik::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    fields: BTreeMap<Box<str>, Box<str>>,
}

impl Statistics {
    /// Reads the reply to INFO.
    #[must_use]
    pub fn from_info(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self {
            fields: fields
                .map(|(name, value)| (name.into(), value.trim_end().into()))
                .collect(),
        }
    }

    /// A figure as INFO writes it.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).map(|value| &**value)
    }

    /// A figure that is a number; its fraction is cut off.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.text(name)?;
        let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
        whole.parse().ok()
    }

    /// Keys of all databases.
    pub fn keys(&self) -> u64 {
        self.of_databases("keys=")
    }

    /// Keys of all databases that expire.
    pub fn expiring_keys(&self) -> u64 {
        self.of_databases("expires=")
    }

    /// All figures, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (&**name, &**value))
    }

    /// The sum of a figure of the databases, as in `db0:keys=1,expires=0`.
    fn of_databases(&self, name: &str) -> u64 {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let databases = self.fields.iter();
        let databases =
            databases.filter(|(name, _)| name.strip_prefix("db").is_some_and(is_number));
        databases
            .flat_map(|(_, value)| value.split(','))
            .filter_map(|figure| figure.strip_prefix(name)?.parse::<u64>().ok())
            .sum()
    }
}

impl Db {
    /// All figures of the store, as INFO has them. O(metrics)
    pub fn statistics(&self) -> Statistics {
        let info = self.run(&["INFO", "everything"]);
        Statistics::from_info(info.as_str().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_read_by_name() {
        let text = "# Memory\r\nused_memory:1024\r\nratio:1.75\r\n\r\n# Keyspace\r\n\
                    db0:keys=3,expires=1,avg_ttl=5\r\ndb12:keys=4,expires=0\r\ndbx:keys=9\r\n";
        let read = Statistics::from_info(text);
        assert_eq!(read.number("used_memory"), Some(1024));
        assert_eq!(
            (read.number("ratio"), read.text("ratio")),
            (Some(1), Some("1.75"))
        );
        assert_eq!((read.keys(), read.expiring_keys()), (7, 1));
        assert_eq!(read.number("none"), None);
        assert_eq!(read.iter().count(), 5);
    }
}

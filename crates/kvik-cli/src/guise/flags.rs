//! Flags as the programs of nkv read them: what follows one and is none itself is its value.

/// The flags of a command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    given: Vec<(String, Option<String>)>,
    /// An address without a flag, as in earlier eras.
    pub(super) place: Option<String>,
}

impl Flags {
    /// Reads words, with flags of these names.
    pub(super) fn read(words: &[String], known: &[&str]) -> Result<Self, String> {
        let mut flags = Self::default();
        let mut words = words.iter().peekable();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                flags.place = Some(word.clone()).filter(|word| word.contains(':'));
                continue;
            };
            if flags.has(name) {
                return Err(format!("Duplicate flag {name}"));
            }
            if !known.contains(&name) {
                return Err(format!("Unknown flag {name}"));
            }
            let value = words.next_if(|word| !word.starts_with("--")).cloned();
            flags.given.push((name.to_owned(), value));
        }
        Ok(flags)
    }

    /// Whether a flag is given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.iter().any(|(given, _)| given == name)
    }

    /// The value of a flag that is given with one.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.given.iter().find(|(given, _)| given == name)?;
        value.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(text: &str) -> Result<Flags, String> {
        let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
        Flags::read(&words, &["addr", "dir", "logs", "level"])
    }

    #[test]
    fn a_flag_takes_what_follows_it() {
        let read = flags("--addr /tmp/a.sock --dir d --logs l --level").unwrap();
        assert_eq!(read.value("addr"), Some("/tmp/a.sock"));
        assert_eq!(read.value("dir"), Some("d"));
        assert!(read.has("level"));
        assert_eq!(read.value("level"), None);
        let place = flags("127.0.0.1:4222").unwrap().place;
        assert_eq!(place.as_deref(), Some("127.0.0.1:4222"));
        assert_eq!(flags("--foo"), Err("Unknown flag foo".into()));
        assert_eq!(flags("--addr=x"), Err("Unknown flag addr=x".into()));
        assert_eq!(flags("--dir a --dir b"), Err("Duplicate flag dir".into()));
    }
}

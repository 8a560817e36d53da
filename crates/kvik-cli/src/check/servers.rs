//! Which servers can load a file: the newest thing in it decides.
//!
//! Redis and Valkey have gone separate ways since 7.2, so each has a version of its own here. Redis
//! refuses the header of a Valkey file; Valkey from 9.0 on refuses headers of Redis 7.4 and later,
//! unless it was told to try (`rdb-version-check relaxed`). Both refuse types and commands that
//! they do not know, and name them.

use kvik_command::declare::table;
use kvik_rdb::ObjectType;

/// A version of a server: major and minor number.
type Version = (u16, u16);

/// The oldest versions that can load something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Servers {
    redis: Least,
    valkey: Least,
}

/// The oldest version of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Least {
    /// From this version on.
    From(Version),
    /// No version, because of this.
    Never(String),
}

impl Default for Least {
    fn default() -> Self {
        Self::From((0, 0))
    }
}

/// Since Redis 7.0 a log consists of several files.
const MANIFEST: Version = (7, 0);

/// The first version of Valkey.
const FIRST_VALKEY: Version = (7, 2);

/// Commands of logs that came after Redis 7.2, with the versions of Redis and Valkey that have
/// them. Those of the same family have the same version, so a beginning stands for all of them.
const NEWER: &[(&str, Option<Version>, Option<Version>)] = &[
    ("HEXPIRE", Some((7, 4)), Some((9, 0))),
    ("HPEXPIRE", Some((7, 4)), Some((9, 0))),
    ("HPERSIST", Some((7, 4)), Some((9, 0))),
    ("HGETDEL", Some((8, 0)), Some((9, 1))),
    ("HGETEX", Some((8, 0)), Some((9, 0))),
    ("HSETEX", Some((8, 0)), Some((9, 0))),
    ("XACKDEL", Some((8, 2)), None),
    ("XDELEX", Some((8, 2)), None),
    ("DELEX", Some((8, 4)), None),
    ("MSETEX", Some((8, 4)), Some((9, 1))),
    ("DELIFEQ", None, Some((9, 0))),
    ("SPEXPIREAT", Some((8, 12)), None),
];

impl Servers {
    /// Every file of a log with a manifest.
    pub(super) fn with_manifest() -> Self {
        Self {
            redis: Least::From(MANIFEST),
            valkey: Least::From(FIRST_VALKEY),
        }
    }

    /// A snapshot with this version in its header.
    pub(super) fn of_header(version: u16) -> Self {
        let mut servers = Self::default();
        servers.need_header(version);
        servers
    }

    /// Both files are needed.
    pub(super) fn and(&mut self, other: &Self) {
        self.redis.raise(&other.redis);
        self.valkey.raise(&other.valkey);
    }

    fn need(&mut self, what: &str, redis: Option<Version>, valkey: Option<Version>) {
        let least = |version: Option<Version>| {
            version.map_or_else(|| Least::Never(what.to_owned()), Least::From)
        };
        self.redis.raise(&least(redis));
        self.valkey.raise(&least(valkey));
    }

    fn need_header(&mut self, version: u16) {
        let (redis, valkey) = match version {
            ..=6 => (Some((2, 6)), Some(FIRST_VALKEY)),
            7 => (Some((3, 2)), Some(FIRST_VALKEY)),
            8 => (Some((4, 0)), Some(FIRST_VALKEY)),
            9 => (Some((5, 0)), Some(FIRST_VALKEY)),
            10 => (Some((7, 0)), Some(FIRST_VALKEY)),
            11 => (Some((7, 2)), Some(FIRST_VALKEY)),
            12 => (Some((7, 4)), None),
            13 => (Some((8, 6)), None),
            14 => (Some((8, 8)), None),
            15 => (Some((8, 10)), None),
            16..80 => (Some((8, 12)), None),
            80 => (None, Some((9, 0))),
            81.. => (None, Some((9, 1))),
        };
        self.need(&format!("version {version} of the format"), redis, valkey);
    }

    /// A value of this type.
    pub(super) fn need_type(&mut self, object: ObjectType) {
        let what = || format!("type {} ({object:?})", object.code());
        match object {
            ObjectType::SetExpiring | ObjectType::SortedSetExpiring => {
                self.need(&what(), None, None);
            }
            ObjectType::HashExpiringValkey => self.need(&what(), None, Some((9, 0))),
            ObjectType::HashExpiringCandidate
            | ObjectType::HashListpackExpiringCandidate
            | ObjectType::HashExpiring
            | ObjectType::HashListpackExpiring => self.need(&what(), Some((7, 4)), None),
            ObjectType::Stream4 => self.need(&what(), Some((8, 6)), None),
            ObjectType::Stream5 | ObjectType::Array => self.need(&what(), Some((8, 8)), None),
            ObjectType::HashShaped | ObjectType::HashShapedListpack => {
                self.need(&what(), Some((8, 10)), None);
            }
            ObjectType::Bitmap => self.need(&what(), Some((8, 12)), None),
            // All older types need no more than the header that they came with.
            _ => match object.version() {
                11 => self.need(&what(), Some((7, 2)), Some(FIRST_VALKEY)),
                _ => self.valkey.raise(&Least::From(FIRST_VALKEY)),
            },
        }
    }

    /// A library of functions.
    pub(super) fn need_function(&mut self) {
        self.need("functions", Some((7, 0)), Some(FIRST_VALKEY));
    }

    /// Data of a module, which kvik passes over.
    pub(super) fn need_module(&mut self) {
        let what = "data of a module that it does not have";
        self.need(what, Some((4, 0)), Some(FIRST_VALKEY));
    }

    /// A command of an append-only file.
    pub(super) fn need_command(&mut self, words: kvik_resp::Args<'_>) {
        let name = words.get(0).unwrap_or_default().to_ascii_uppercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        if let Some((_, redis, valkey)) = NEWER.iter().find(|row| name.starts_with(row.0)) {
            return self.need(&name, *redis, *valkey);
        }
        let Some(command) = table().find(name.as_bytes()) else {
            return;
        };
        // SET with an absolute time, as logs have it, is younger than SET.
        let is_dated_set = name == "SET" && is_dated(words);
        let redis = match version(command.since()) {
            _ if is_dated_set => Some((6, 2)),
            // Commands that only kvik has carry kvik's own version.
            Some((0, _)) | None => None,
            since => since,
        };
        let valkey = redis.map(|_| FIRST_VALKEY);
        self.need(&name, redis, valkey);
    }

    /// `kvik, Redis 7.0 and later, Valkey 7.2 and later`, and why not where there is none.
    pub(super) fn text(&self) -> String {
        let (redis, valkey) = (self.redis.text("Redis"), self.valkey.text("Valkey"));
        format!("loads in: kvik, {redis}, {valkey}")
    }
}

impl Least {
    fn raise(&mut self, other: &Self) {
        match (&*self, other) {
            (Self::Never(_), _) => {}
            (Self::From(own), Self::From(others)) if own >= others => {}
            _ => *self = other.clone(),
        }
    }

    fn text(&self, server: &str) -> String {
        match self {
            Self::From((0, 0)) => format!("{server} of any version"),
            Self::From((major, minor)) => format!("{server} {major}.{minor} and later"),
            Self::Never(what) => format!("no {server} ({what})"),
        }
    }
}

/// Whether the options of a command with key and value set an absolute time.
pub(super) fn is_dated(words: kvik_resp::Args<'_>) -> bool {
    let is_option =
        |word: &[u8]| word.eq_ignore_ascii_case(b"PXAT") || word.eq_ignore_ascii_case(b"EXAT");
    words.tail(3).iter().any(is_option)
}

/// `6.2.0` as (6, 2).
fn version(text: &str) -> Option<Version> {
    let mut numbers = text.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_commands(lines: &[&str]) -> String {
        let mut servers = Servers::default();
        for line in lines {
            let words: kvik_resp::ArgsBuf = line.split(' ').collect();
            servers.need_command(words.as_args());
        }
        servers.text()
    }

    #[test]
    fn the_newest_command_decides() {
        assert_eq!(
            of_commands(&["SET k v", "LMOVE a b LEFT RIGHT", "DEL k"]),
            "loads in: kvik, Redis 6.2 and later, Valkey 7.2 and later"
        );
        assert_eq!(
            of_commands(&["SET k v PXAT 5"]),
            "loads in: kvik, Redis 6.2 and later, Valkey 7.2 and later"
        );
        assert_eq!(
            of_commands(&["HPEXPIREAT h 5 FIELDS 1 f", "SET k v"]),
            "loads in: kvik, Redis 7.4 and later, Valkey 9.0 and later"
        );
        assert_eq!(
            of_commands(&["SPEXPIREAT s 5 MEMBERS 1 m"]),
            "loads in: kvik, Redis 8.12 and later, no Valkey (SPEXPIREAT)"
        );
        assert_eq!(
            of_commands(&["PEXPIREMEMBERAT z m 5"]),
            "loads in: kvik, no Redis (PEXPIREMEMBERAT), no Valkey (PEXPIREMEMBERAT)"
        );
    }

    #[test]
    fn a_header_belongs_to_one_of_the_two() {
        assert_eq!(
            Servers::of_header(10).text(),
            "loads in: kvik, Redis 7.0 and later, Valkey 7.2 and later"
        );
        assert_eq!(
            Servers::of_header(12).text(),
            "loads in: kvik, Redis 7.4 and later, no Valkey (version 12 of the format)"
        );
        assert_eq!(
            Servers::of_header(80).text(),
            "loads in: kvik, no Redis (version 80 of the format), Valkey 9.0 and later"
        );
    }

    #[test]
    fn a_type_may_need_more_than_the_header() {
        let mut servers = Servers::of_header(10);
        servers.need_type(ObjectType::SetListpack);
        servers.need_function();
        assert_eq!(
            servers.text(),
            "loads in: kvik, Redis 7.2 and later, Valkey 7.2 and later"
        );
        servers.need_type(ObjectType::SortedSetExpiring);
        let none = "type 201 (SortedSetExpiring)";
        assert_eq!(
            servers.text(),
            format!("loads in: kvik, no Redis ({none}), no Valkey ({none})")
        );
    }
}

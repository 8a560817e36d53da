//! Which clients CLIENT LIST shows and CLIENT KILL closes.
//!
//! An option names a trait; `NOT-` before it asks for clients without the trait. All options hold
//! together. Of an option that is given twice the last one counts, but all ids do.

use std::mem::discriminant;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use kvik_resp::parse_i64;

use super::line::{capabilities, flags};
use crate::client::{Client, ClientType, Clients};
use crate::{Ctx, Error, ErrorText};

/// The flags that Valkey knows, of which some exist here.
const KNOWN_FLAGS: &[u8] = b"bcdeirtuxABEIMNOPRSTU";
/// The capabilities that it knows.
const KNOWN_CAPABILITIES: &[u8] = b"r";

/// The conditions of a call.
pub(super) struct Filter {
    traits: Vec<Wanted>,
    idle_s: Option<u64>,
    age_s: Option<u64>,
    skip_me: bool,
}

/// A trait that clients must have, or must not.
struct Wanted {
    negated: bool,
    of: Trait,
}

/// Something that can be said of a client.
enum Trait {
    Id(Vec<u64>),
    Class(Class),
    User(Vec<u8>),
    Address(Vec<u8>),
    LocalAddress(Vec<u8>),
    Ip(Vec<u8>),
    Name(Vec<u8>),
    LibName(Vec<u8>),
    LibVersion(Vec<u8>),
    Database(u64),
    /// All of these flags are set.
    Flags(Vec<u8>),
    Capabilities(Vec<u8>),
}

/// A value of the `TYPE` option.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Normal,
    PubSub,
    /// A kind of connection that exists in Redis and of which there is none here.
    Other,
}

impl Filter {
    /// The client at an address, which may be the caller.
    pub(super) fn address(address: &[u8]) -> Self {
        Self {
            traits: vec![Wanted {
                negated: false,
                of: Trait::Address(address.to_vec()),
            }],
            idle_s: None,
            age_s: None,
            skip_me: false,
        }
    }

    /// Reads the options behind the subcommand.
    ///
    /// # Errors
    /// As Valkey has them.
    pub(super) fn parse(ctx: &Ctx<'_>, skip_me: bool) -> Result<Self, Error> {
        let mut filter = Self {
            traits: Vec::new(),
            idle_s: None,
            age_s: None,
            skip_me,
        };
        let mut at = 2;
        while at < ctx.args.len() {
            at += filter.take(ctx, at)?;
        }
        Ok(filter)
    }

    /// Takes the option at a position and says how many words it is.
    fn take(&mut self, ctx: &Ctx<'_>, at: usize) -> Result<usize, Error> {
        let value = ctx.args.get(at + 1).ok_or(Error::SYNTAX)?;
        let option = ctx.args[at].to_ascii_lowercase();
        match (option.as_slice(), value.to_ascii_lowercase().as_slice()) {
            (b"idle", _) => self.idle_s = Some(positive("idle", value)?),
            (b"maxage", _) => self.age_s = Some(positive("maxage", value)?),
            (b"skipme", b"yes") => self.skip_me = true,
            (b"skipme", b"no") => self.skip_me = false,
            (option, _) => {
                // Valkey has a negation of every trait, which is independent of the trait itself.
                let positive = option.strip_prefix(b"not-");
                let (of, words) = Trait::parse(ctx, positive.unwrap_or(option), at)?;
                self.want(Wanted {
                    negated: positive.is_some(),
                    of,
                });
                return Ok(words);
            }
        }
        Ok(2)
    }

    fn want(&mut self, new: Wanted) {
        let same = |old: &&mut Wanted| {
            old.negated == new.negated && discriminant(&old.of) == discriminant(&new.of)
        };
        match self.traits.iter_mut().find(same) {
            None => self.traits.push(new),
            Some(old) => match (&mut old.of, new.of) {
                // Ids add up; any other option replaces its former value.
                (Trait::Id(ids), Trait::Id(more)) => ids.extend(more),
                (old, new) => *old = new,
            },
        }
    }

    /// The clients that the filter lets through: the oldest first, but named ones in the order in
    /// which they were named, as in Redis.
    pub(super) fn choose(&self, clients: &Clients, me: u64, now_ms: u64) -> Vec<Arc<Client>> {
        let named = self.traits.iter().find_map(|wanted| match &wanted.of {
            Trait::Id(ids) if !wanted.negated => Some(ids),
            _ => None,
        });
        // Ids are looked up directly, so that CLIENT KILL ID does not walk all clients.
        let mut chosen = match named {
            Some(ids) => ids.iter().filter_map(|&id| clients.get(id)).collect(),
            None => clients.all(),
        };
        chosen.retain(|client| self.accepts(client, me, now_ms));
        chosen
    }

    fn accepts(&self, client: &Client, me: u64, now_ms: u64) -> bool {
        let since_s = |ms: u64| now_ms.saturating_sub(ms) / 1000;
        let idle_s = since_s(client.active_ms.load(Relaxed));
        self.age_s
            .is_none_or(|age_s| since_s(client.connected_ms) >= age_s)
            && self.idle_s.is_none_or(|wanted_s| idle_s >= wanted_s)
            && !(self.skip_me && client.id == me)
            && self
                .traits
                .iter()
                .all(|wanted| wanted.of.holds(client) != wanted.negated)
    }
}

impl Trait {
    /// Reads the option at a position, which has this name, and says how many words it is.
    fn parse(ctx: &Ctx<'_>, name: &[u8], at: usize) -> Result<(Self, usize), Error> {
        let value = &ctx.args[at + 1];
        let text = value.to_vec();
        let of = match name {
            b"id" => {
                let ids = ids(ctx, at + 1)?;
                let words = 1 + ids.len();
                return Ok((Self::Id(ids), words));
            }
            b"type" => Self::Class(Class::parse(value)?),
            b"user" if value == b"default" => Self::User(text),
            b"user" => return Err(Error::quoting(&[b"No such user '", value, b"'"])),
            b"addr" => Self::Address(text),
            b"laddr" => Self::LocalAddress(text),
            b"ip" => Self::Ip(text),
            b"name" => Self::Name(text),
            b"lib-name" => Self::LibName(text),
            b"lib-ver" => Self::LibVersion(text),
            b"db" => Self::Database(database(ctx, at)?),
            b"flags" => Self::Flags(letters(ctx, at, "flags", KNOWN_FLAGS)?),
            b"capa" => Self::Capabilities(letters(ctx, at, "capa", KNOWN_CAPABILITIES)?),
            _ => return Err(Error::SYNTAX),
        };
        Ok((of, 2))
    }

    fn holds(&self, client: &Client) -> bool {
        let has_all = |letters: &[u8], wanted: &[u8]| wanted.iter().all(|it| letters.contains(it));
        match self {
            Self::Id(ids) => ids.contains(&client.id),
            Self::Class(class) => class.accepts(client),
            Self::User(user) => *user == client.names().user.as_bytes(),
            Self::Address(address) => *address == client.addr.as_bytes(),
            Self::LocalAddress(address) => *address == client.local_addr.as_bytes(),
            Self::Ip(ip) => *ip == ip_of(&client.addr).as_bytes(),
            Self::Name(name) => !name.is_empty() && *name == client.names().name,
            Self::LibName(name) => !name.is_empty() && *name == client.names().lib_name,
            Self::LibVersion(version) => !version.is_empty() && *version == client.names().lib_ver,
            Self::Database(db) => *db == client.db.load(Relaxed),
            Self::Flags(wanted) => has_all(flags(client).as_bytes(), wanted),
            Self::Capabilities(wanted) => has_all(capabilities(client).as_bytes(), wanted),
        }
    }
}

impl Class {
    fn parse(word: &[u8]) -> Result<Self, Error> {
        match word.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"pubsub" => Ok(Self::PubSub),
            b"master" | b"primary" | b"slave" | b"replica" => Ok(Self::Other),
            _ => Err(Error::quoting(&[b"Unknown client type '", word, b"'"])),
        }
    }

    fn accepts(self, client: &Client) -> bool {
        match client.client_type() {
            ClientType::Normal => self == Self::Normal,
            ClientType::PubSub => self == Self::PubSub,
        }
    }
}

/// The numbers from a word on: as many as there are, for what is no number is the next option.
fn ids(ctx: &Ctx<'_>, from: usize) -> Result<Vec<u64>, Error> {
    let words = ctx.args.tail(from).iter();
    let id = |number: i64| {
        let id = u64::try_from(number).ok().filter(|id| *id > 0);
        id.ok_or(Error::text("client-id should be greater than 0"))
    };
    words.map_while(parse_i64).map(id).collect()
}

/// A number of seconds.
fn positive(option: &str, word: &[u8]) -> Result<u64, Error> {
    let seconds = parse_i64(word)
        .ok_or_else(|| Error::new(format!("{option} is not an integer or out of range")))?;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    seconds.ok_or_else(|| Error::new(format!("{option} should be greater than 0")))
}

/// The number of a database that exists, behind the option at a position.
fn database(ctx: &Ctx<'_>, at: usize) -> Result<u64, Error> {
    let option = &ctx.args[at].to_ascii_uppercase();
    let refused = |text: &str| Error::quoting(&[option, text.as_bytes()]);
    let number = parse_i64(&ctx.args[at + 1]);
    let number = number.ok_or_else(|| refused(" is not an integer or out of range"))?;
    let databases = ctx.engine.settings.databases.load(Relaxed);
    let last = databases.saturating_sub(1);
    u64::try_from(number)
        .ok()
        .filter(|&number| number <= last)
        .ok_or_else(|| refused(&format!(" number should be between 0 and {last}")))
}

/// The letters behind the option at a position, all of them known.
fn letters(ctx: &Ctx<'_>, at: usize, what: &str, known: &[u8]) -> Result<Vec<u8>, Error> {
    let letters = &ctx.args[at + 1];
    if letters.iter().all(|letter| known.contains(letter)) {
        return Ok(letters.to_vec());
    }
    let option = ctx.args[at].to_ascii_uppercase();
    let filter = if option.starts_with(b"NOT-") {
        option
    } else {
        b"provided".to_vec()
    };
    Err(Error::Err(ErrorText::quoting(&[
        b"Unknown ",
        what.as_bytes(),
        b" found in the ",
        &filter,
        b" filter: ",
        letters,
    ])))
}

/// The host part of an address, without the brackets of IPv6.
fn ip_of(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ip_of_an_address_is_its_host() {
        assert_eq!(ip_of("127.0.0.1:5000"), "127.0.0.1");
        assert_eq!(ip_of("[::1]:5000"), "::1");
        assert_eq!(ip_of("/tmp/socket:0"), "/tmp/socket");
    }
}

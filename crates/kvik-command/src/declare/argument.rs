//! The argument tree of a command, as COMMAND DOCS describes it.
//!
//! Made by [`super::syntax`] from a row's syntax string. Nothing here parses client input: the tree
//! is read when the table is built (arity, keys), by COMMAND DOCS, and by the interactive client.

use std::fmt::Write;

/// One argument, or one group of arguments.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its name, as in `seconds`.
    pub name: String,
    /// The text that usage lines print for it; the name unless the row says otherwise.
    pub display: String,
    /// Its type.
    pub kind: Kind,
    /// The literal word that goes before it, or that it is.
    pub token: Option<&'static str>,
    /// May be left out.
    pub optional: bool,
    /// May be repeated.
    pub repetition: Repetition,
    /// Which of the command's key specifications finds it, for a key.
    pub key_spec: Option<usize>,
}

/// The type of an argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// Any bytes.
    String,
    /// A signed 64-bit number.
    Integer,
    /// A floating-point number.
    Double,
    /// The name of a key.
    Key,
    /// A glob pattern.
    Pattern,
    /// A point in time: seconds or milliseconds since 1970.
    UnixTime,
    /// Only its token.
    PureToken,
    /// Exactly one of these.
    OneOf(Vec<Argument>),
    /// These, in this order.
    Block(Vec<Argument>),
}

/// How often an argument may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// Once.
    Once,
    /// Once or more; a token is written only before the first.
    Many,
    /// Once or more; the token is written before each.
    ManyWithToken,
}

impl Kind {
    /// The type's name in COMMAND DOCS.
    pub fn name(&self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Double => "double",
            Self::Key => "key",
            Self::Pattern => "pattern",
            Self::UnixTime => "unix-time",
            Self::PureToken => "pure-token",
            Self::OneOf(_) => "oneof",
            Self::Block(_) => "block",
        }
    }

    /// The scalar type called `name`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let scalars = [
            Self::String,
            Self::Integer,
            Self::Double,
            Self::Key,
            Self::Pattern,
            Self::UnixTime,
        ];
        scalars.into_iter().find(|kind| kind.name() == name)
    }

    /// The type an argument of this name has unless the row says otherwise. A trailing number is
    /// ignored: `key1` is typed as `key`.
    pub(super) fn of(name: &str) -> Self {
        match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "key" | "newkey" | "source" | "destination" | "destkey" | "sourcekey" | "storekey"
            | "src" | "dst" => Self::Key,
            "seconds" | "milliseconds" | "count" | "offset" | "start" | "end" | "stop"
            | "cursor" | "index" | "db" | "destination-db" | "numkeys" | "timeout" | "ttl"
            | "increment" | "decrement" | "client-id" | "port" | "protover" | "frequency"
            | "bit" | "len" | "rank" | "limit" | "numreplicas" | "numlocal" | "numfields"
            | "min-match-len" | "maxage" | "idle" | "version" | "weight" | "slot" => Self::Integer,
            "score" | "longitude" | "latitude" | "radius" | "width" | "height" => Self::Double,
            "pattern" => Self::Pattern,
            "unix-time-seconds" | "unix-time-milliseconds" => Self::UnixTime,
            _ => Self::String,
        }
    }
}

/// How many words something takes: at least `min`, and exactly that when `fixed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Length {
    pub(super) min: usize,
    pub(super) fixed: bool,
}

impl Length {
    pub(super) fn of(arguments: &[Argument]) -> Self {
        let nothing = Self {
            min: 0,
            fixed: true,
        };
        arguments
            .iter()
            .map(Argument::length)
            .fold(nothing, |sum, next| Self {
                min: sum.min + next.min,
                fixed: sum.fixed && next.fixed,
            })
    }

    fn of_one_of(alternatives: &[Argument]) -> Self {
        let lengths = || alternatives.iter().map(Argument::length);
        let min = lengths().map(|length| length.min).min().unwrap_or(0);
        Self {
            min,
            fixed: lengths().all(|length| length == Self { min, fixed: true }),
        }
    }
}

impl Argument {
    /// The arguments inside a group; none for a scalar.
    pub fn parts(&self) -> &[Self] {
        match &self.kind {
            Kind::OneOf(parts) | Kind::Block(parts) => parts,
            _ => &[],
        }
    }

    /// The words this argument takes.
    pub(super) fn length(&self) -> Length {
        let body = match &self.kind {
            Kind::PureToken => Length {
                min: 0,
                fixed: true,
            },
            Kind::OneOf(alternatives) => Length::of_one_of(alternatives),
            Kind::Block(parts) => Length::of(parts),
            _ => Length {
                min: 1,
                fixed: true,
            },
        };
        if self.optional {
            return Length {
                min: 0,
                fixed: false,
            };
        }
        let token = usize::from(self.token.is_some());
        Length {
            min: body.min + token,
            fixed: body.fixed && self.repetition == Repetition::Once,
        }
    }

    /// Appends this argument as a usage line shows it.
    pub(super) fn write_usage(&self, out: &mut String, style: Style) {
        let choice = matches!(self.kind, Kind::OneOf(_)) && self.token.is_none();
        let repeated = self.repetition != Repetition::Once;
        let (open, close) = match (self.optional, choice, repeated) {
            (true, true, true) => ("[<", "> ...]"),
            (true, _, _) => ("[", "]"),
            (false, true, true) => ("<", "> ..."),
            (false, true, false) => ("<", ">"),
            (false, false, _) => ("", ""),
        };
        out.push_str(open);
        self.write_once(out, style, true);
        if repeated && !choice {
            out.push_str(" [");
            self.write_once(out, style, self.repetition == Repetition::ManyWithToken);
            out.push_str(" ...]");
        }
        out.push_str(close);
    }

    fn write_once(&self, out: &mut String, style: Style, with_token: bool) {
        if let Some(token) = self.token.filter(|_| with_token) {
            out.push_str(if token.is_empty() { "\"\"" } else { token });
            if self.kind != Kind::PureToken {
                out.push(' ');
            }
        }
        let nested = self.token.is_some() && matches!(self.kind, Kind::OneOf(_));
        match &self.kind {
            Kind::PureToken => {}
            Kind::OneOf(parts) if nested => {
                out.push('<');
                write_joined(out, parts, "|", style);
                out.push('>');
            }
            Kind::OneOf(parts) => write_joined(out, parts, "|", style),
            Kind::Block(parts) => write_joined(out, parts, " ", style),
            _ => style.write_name(out, &self.display),
        }
    }
}

/// How a usage line prints the name of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `key value`, as in the documentation and in hints.
    Plain,
    /// `<key> <value>`, as HELP subcommands print it.
    Angled,
}

impl Style {
    fn write_name(self, out: &mut String, name: &str) {
        // Writing to a String cannot fail.
        let _ = match self {
            Self::Plain => write!(out, "{name}"),
            Self::Angled => write!(out, "<{name}>"),
        };
    }
}

/// The usage line of these arguments, as in `key value [NX|XX]`.
pub fn usage(arguments: &[Argument], style: Style) -> String {
    let mut line = String::new();
    write_joined(&mut line, arguments, " ", style);
    line
}

fn write_joined(out: &mut String, arguments: &[Argument], separator: &str, style: Style) {
    for (i, argument) in arguments.iter().enumerate() {
        if i > 0 {
            out.push_str(separator);
        }
        argument.write_usage(out, style);
    }
}

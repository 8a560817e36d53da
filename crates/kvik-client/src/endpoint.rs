//! The address of a server, the account and the database there, as a URL says them.
//!
//! `redis://[user[:password]@]host[:port][/db]`, the same with `valkey://`, `kvik://`, `kevy://`
//! and `tcp://`, and `unix:///path/to.sock?db=1` (`redis+unix://` as well; a user may stand before
//! the path). As in redis-cli and redis-py, a lone `secret@` or `:secret@` is a password. User,
//! password and path may be percent-encoded. `rediss://`, `valkeys://` and `kviks://` are the same
//! over TLS, where the crate is built with the feature `tls`.
//!
//! `redis+cluster://host:port,host:port`, also with the other schemes of TCP, names nodes of a
//! cluster.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The port of a server when none is named.
pub const DEFAULT_PORT: u16 = 6379;

/// A server, the account to use there and the database to select.
///
/// ```
/// use kvik_client::{Address, Endpoint};
///
/// let endpoint: Endpoint = "valkey://ann:secret@db.example:7000/2".parse()?;
/// assert_eq!(endpoint.address, Address::Tcp("db.example".into(), 7000));
/// assert_eq!(endpoint.username.as_deref(), Some("ann"));
/// assert_eq!(endpoint.db, 2);
/// # Ok::<(), kvik_client::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Where the server listens.
    pub address: Address,
    /// The account; `None` is the `default` user.
    pub username: Option<String>,
    /// The password; `None` sends no AUTH.
    pub password: Option<String>,
    /// The database to select.
    pub db: u32,
    /// Speak TLS there; without the feature `tls` nothing can connect then.
    pub tls: bool,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name or IP address (without brackets), and a port.
    Tcp(String, u16),
    /// The path of a unix socket.
    Unix(PathBuf),
}

impl Default for Address {
    fn default() -> Self {
        Self::Tcp("127.0.0.1".to_owned(), DEFAULT_PORT)
    }
}

/// As the prompt and messages show it: `host:port`, `[::1]:port` or the socket's path.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl Endpoint {
    /// The TCP endpoint `host:port`: default user, no password, database 0.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Self {
            address: Address::Tcp(host.into(), port),
            ..Self::default()
        }
    }

    /// The endpoint of the unix socket at `path`: default user, no password, database 0.
    pub fn unix(path: impl AsRef<Path>) -> Self {
        Self {
            address: Address::Unix(path.as_ref().to_owned()),
            ..Self::default()
        }
    }
}

/// Why a text is no URL of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// None of the schemes that this client speaks.
    #[error("unknown URL scheme '{0}': use redis://, valkey://, kvik:// or unix://")]
    Scheme(String),
    /// This scheme, such as `rediss`, asks for TLS, without which the crate is built.
    #[error("{0}:// needs TLS, which this client does not speak")]
    Tls(String),
    /// The host is missing, or its brackets do not match.
    #[error("no valid host in the URL")]
    Host,
    /// The socket's path is missing.
    #[error("no socket path in the URL")]
    Path,
    /// The port is not a number from 0 to 65535.
    #[error("invalid port '{0}' in the URL")]
    Port(String),
    /// The database is not a number.
    #[error("invalid database number '{0}' in the URL")]
    Db(String),
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("invalid percent-encoding in '{0}'")]
    Encoding(String),
    /// Something after `?` that we do not know.
    #[error("unknown URL parameter '{0}'")]
    Parameter(String),
}

impl FromStr for Endpoint {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        match scheme {
            "unix" | "redis+unix" => unix_endpoint(rest),
            _ => tcp_endpoint(scheme, rest),
        }
    }
}

/// Whether clients of a scheme speak TLS.
fn is_secured(scheme: &str) -> Result<bool, UrlError> {
    match scheme {
        "redis" | "valkey" | "kvik" | "kevy" | "tcp" => Ok(false),
        "rediss" | "valkeys" | "kviks" if cfg!(feature = "tls") => Ok(true),
        "rediss" | "valkeys" | "kviks" => Err(UrlError::Tls(scheme.to_owned())),
        _ => Err(UrlError::Scheme(scheme.to_owned())),
    }
}

/// The nodes of a cluster that a URL names; `None` if its scheme is not one of a cluster.
pub(crate) fn cluster_nodes(url: &str) -> Option<Result<Vec<Endpoint>, UrlError>> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.strip_suffix("+cluster")?;
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let (credentials, hosts) = split_credentials(authority);
    let credentials = credentials.map_or_else(String::new, |it| format!("{it}@"));
    let nodes = hosts.split(',');
    let nodes = nodes.map(|host| tcp_endpoint(scheme, &format!("{credentials}{host}{path}")));
    Some(nodes.collect())
}

fn tcp_endpoint(scheme: &str, rest: &str) -> Result<Endpoint, UrlError> {
    let is_secured = is_secured(scheme)?;
    let (rest, query) = split_query(rest);
    // A password with a slash in it must encode it, as in every URL.
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (credentials, host_port) = split_credentials(authority);
    let (username, password) = parse_credentials(credentials)?;
    let mut db = if path.is_empty() { 0 } else { parse_db(path)? };
    if let Some(query) = query {
        db = parse_query(query)?;
    }
    Ok(Endpoint {
        address: parse_host_port(host_port)?,
        username,
        password,
        db,
        tls: is_secured,
    })
}

fn unix_endpoint(rest: &str) -> Result<Endpoint, UrlError> {
    let (rest, query) = split_query(rest);
    let (credentials, path) = match rest.find('/') {
        // An `@` behind the first slash belongs to the path.
        Some(0) => (None, rest),
        _ => split_credentials(rest),
    };
    let (username, password) = parse_credentials(credentials)?;
    let path = percent_decode(path)?;
    if path.is_empty() {
        return Err(UrlError::Path);
    }
    let db = query.map_or(Ok(0), parse_query)?;
    Ok(Endpoint {
        address: Address::Unix(path.into()),
        username,
        password,
        db,
        tls: false,
    })
}

fn split_query(rest: &str) -> (&str, Option<&str>) {
    match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    }
}

/// Cuts at the last `@`, so that an unencoded one in a password does no harm.
fn split_credentials(authority: &str) -> (Option<&str>, &str) {
    match authority.rsplit_once('@') {
        Some((credentials, rest)) => (Some(credentials), rest),
        None => (None, authority),
    }
}

fn parse_credentials(
    credentials: Option<&str>,
) -> Result<(Option<String>, Option<String>), UrlError> {
    let Some(credentials) = credentials else {
        return Ok((None, None));
    };
    // Without a colon it is a password, as redis-cli and redis-py have it.
    let (username, password) = credentials.split_once(':').unwrap_or(("", credentials));
    let non_empty = |text: String| Some(text).filter(|text| !text.is_empty());
    Ok((
        non_empty(percent_decode(username)?),
        non_empty(percent_decode(password)?),
    ))
}

fn parse_host_port(text: &str) -> Result<Address, UrlError> {
    // An IPv6 address stands in brackets, as its colons would look like a port.
    let (host, port) = match text.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']').ok_or(UrlError::Host)?,
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    if host.is_empty() {
        return Err(UrlError::Host);
    }
    let port = match port.strip_prefix(':') {
        Some(digits) => digits
            .parse()
            .map_err(|_| UrlError::Port(digits.to_owned()))?,
        None if port.is_empty() => DEFAULT_PORT,
        None => return Err(UrlError::Host),
    };
    Ok(Address::Tcp(host.to_owned(), port))
}

fn parse_query(query: &str) -> Result<u32, UrlError> {
    match query.split_once('=') {
        Some(("db", db)) => parse_db(db),
        _ => Err(UrlError::Parameter(query.to_owned())),
    }
}

fn parse_db(text: &str) -> Result<u32, UrlError> {
    text.parse().map_err(|_| UrlError::Db(text.to_owned()))
}

pub(crate) fn percent_decode(text: &str) -> Result<String, UrlError> {
    let invalid = || UrlError::Encoding(text.to_owned());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2).ok_or_else(invalid)?;
        let [high, low] = [digits[0], digits[1]].map(|digit| char::from(digit).to_digit(16));
        let (high, low) = high.zip(low).ok_or_else(invalid)?;
        bytes.push((high * 16 + low) as u8);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Endpoint, UrlError> {
        url.parse()
    }

    fn endpoint(address: Address, username: &str, password: &str, db: u32) -> Endpoint {
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Endpoint {
            address,
            username: some(username),
            password: some(password),
            db,
            ..Endpoint::default()
        }
    }

    #[test]
    fn tcp_urls_name_host_port_account_and_database() {
        let tcp = |host: &str, port| Address::Tcp(host.to_owned(), port);
        for (url, expected) in [
            (
                "redis://localhost",
                endpoint(tcp("localhost", 6379), "", "", 0),
            ),
            (
                "kvik://db.example:7000/",
                endpoint(tcp("db.example", 7000), "", "", 0),
            ),
            ("redis://h:1/3", endpoint(tcp("h", 1), "", "", 3)),
            (
                "valkey://ann:pw@h:1/3",
                endpoint(tcp("h", 1), "ann", "pw", 3),
            ),
            ("redis://h/0?db=4", endpoint(tcp("h", 6379), "", "", 4)),
            (
                "redis://ann:s%40%3A@h:1",
                endpoint(tcp("h", 1), "ann", "s@:", 0),
            ),
            (
                "redis://ann:p@ss@h:1",
                endpoint(tcp("h", 1), "ann", "p@ss", 0),
            ),
            (
                "redis://secret@h",
                endpoint(tcp("h", 6379), "", "secret", 0),
            ),
            (
                "redis://:secret@h",
                endpoint(tcp("h", 6379), "", "secret", 0),
            ),
            ("redis://[::1]:7/2", endpoint(tcp("::1", 7), "", "", 2)),
            ("redis://[::1]", endpoint(tcp("::1", 6379), "", "", 0)),
        ] {
            assert_eq!(parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn unix_urls_name_a_path() {
        let unix = |path: &str| Address::Unix(path.into());
        for (url, expected) in [
            (
                "unix:///run/kvik.sock",
                endpoint(unix("/run/kvik.sock"), "", "", 0),
            ),
            (
                "unix:///run/a%20b.sock?db=2",
                endpoint(unix("/run/a b.sock"), "", "", 2),
            ),
            (
                "redis+unix://ann:pw@/run/k.sock",
                endpoint(unix("/run/k.sock"), "ann", "pw", 0),
            ),
            (
                "unix:///run/k@host.sock",
                endpoint(unix("/run/k@host.sock"), "", "", 0),
            ),
        ] {
            assert_eq!(parse(url), Ok(expected), "{url}");
        }
    }

    #[test]
    fn cluster_urls_name_nodes() {
        let nodes = |url: &str| cluster_nodes(url);
        let tcp = |port| Address::Tcp("h".to_owned(), port);
        assert_eq!(
            nodes("redis+cluster://ann:pw@h:1,h:2"),
            Some(Ok(vec![
                endpoint(tcp(1), "ann", "pw", 0),
                endpoint(tcp(2), "ann", "pw", 0)
            ]))
        );
        assert_eq!(
            nodes("kvik+cluster://h"),
            Some(Ok(vec![endpoint(tcp(6379), "", "", 0)]))
        );
        assert_eq!(nodes("redis://h"), None);
        assert_eq!(nodes("redis+cluster://"), Some(Err(UrlError::Host)));
        let unix = UrlError::Scheme("unix".into());
        assert_eq!(nodes("unix+cluster:///s"), Some(Err(unix)));
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (url, expected) in [
            ("http://h", UrlError::Scheme("http".into())),
            ("localhost:6379", UrlError::Scheme("".into())),
            ("redis://", UrlError::Host),
            ("redis://[::1", UrlError::Host),
            ("redis://[::1]x", UrlError::Host),
            ("redis://h:65536", UrlError::Port("65536".into())),
            ("redis://h:x", UrlError::Port("x".into())),
            ("redis://h/one", UrlError::Db("one".into())),
            (
                "redis://h/1?timeout=3",
                UrlError::Parameter("timeout=3".into()),
            ),
            ("redis://%zz@h", UrlError::Encoding("%zz".into())),
            ("redis://%a@h", UrlError::Encoding("%a".into())),
            ("redis://%ff@h", UrlError::Encoding("%ff".into())),
            ("unix://", UrlError::Path),
        ] {
            assert_eq!(parse(url), Err(expected), "{url}");
        }
    }

    #[test]
    fn some_schemes_ask_for_tls() {
        for scheme in ["rediss", "valkeys", "kviks"] {
            let parsed = parse(&format!("{scheme}://h:1"));
            #[cfg(feature = "tls")]
            assert!(parsed.is_ok_and(|endpoint| endpoint.tls));
            #[cfg(not(feature = "tls"))]
            assert_eq!(parsed, Err(UrlError::Tls(scheme.into())));
        }
    }

    #[test]
    fn addresses_print_as_they_are_dialled() {
        assert_eq!(Address::default().to_string(), "127.0.0.1:6379");
        assert_eq!(Endpoint::tcp("::1", 7).address.to_string(), "[::1]:7");
        assert_eq!(
            Endpoint::unix("/run/k.sock").address.to_string(),
            "/run/k.sock"
        );
    }
}

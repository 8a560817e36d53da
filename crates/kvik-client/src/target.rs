//! Where a store is, as a URL says it: in this process, in files, or behind a socket.
//!
//! | URL | store |
//! |---|---|
//! | `mem://` | a fresh one in memory, which nobody else sees |
//! | `mem://name` | the one of that name in this process, in memory while somebody has it open |
//! | `file:///path`, `file://./path` | the one with files there, shared in this process |
//! | `redis://`, `tcp://`, `unix://` and their like | a server's: [`Endpoint`] |
//! | `redis+cluster://host:port,host:port` | a cluster's, of which some nodes are named |

use std::path::PathBuf;
use std::str::FromStr;

use crate::endpoint::{Endpoint, UrlError, cluster_nodes, percent_decode};

/// A store, as a URL names it.
///
/// ```
/// use kvik_client::Target;
///
/// assert_eq!("mem://cache".parse(), Ok(Target::Memory(Some("cache".into()))));
/// assert_eq!("file:///var/lib/app".parse(), Ok(Target::Files("/var/lib/app".into())));
/// assert!(matches!("unix:///run/kvik.sock".parse(), Ok(Target::Server(_))));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// In memory: a fresh store, or the one of this name.
    Memory(Option<String>),
    /// In the files of a directory.
    Files(PathBuf),
    /// Behind a socket.
    Server(Endpoint),
    /// Behind the sockets of a cluster, of which these nodes are known.
    Cluster(Vec<Endpoint>),
}

impl FromStr for Target {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        match url.split_once("://") {
            Some(("mem", "")) => Ok(Self::Memory(None)),
            Some(("mem", name)) => Ok(Self::Memory(Some(percent_decode(name)?))),
            Some(("file", "")) => Err(UrlError::Path),
            Some(("file", path)) => Ok(Self::Files(percent_decode(path)?.into())),
            _ => match cluster_nodes(url) {
                Some(nodes) => nodes.map(Self::Cluster),
                None => url.parse().map(Self::Server),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_in_this_process_have_urls_of_their_own() {
        let parse = |url: &str| url.parse::<Target>();
        assert_eq!(parse("mem://"), Ok(Target::Memory(None)));
        assert_eq!(parse("mem://a%20b"), Ok(Target::Memory(Some("a b".into()))));
        assert_eq!(parse("file://./rel"), Ok(Target::Files("./rel".into())));
        assert_eq!(parse("file://"), Err(UrlError::Path));
        assert!(matches!(parse("kevy://h:6004/2"), Ok(Target::Server(_))));
        assert!(matches!(
            parse("kvik+cluster://h:1"),
            Ok(Target::Cluster(_))
        ));
        assert_eq!(parse("http://h"), Err(UrlError::Scheme("http".into())));
    }
}

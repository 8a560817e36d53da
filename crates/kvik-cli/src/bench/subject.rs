//! A server that load is put on, by a URL of RESP or of a door.

use kvik_client::{Client, Endpoint, Options, Store, Value};

use crate::door::Place;

/// A server, and the way to it.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Resp(Box<Endpoint>, Options),
    /// Nodes, by a URL that names one of them.
    Cluster(String, Options),
    Door(Place),
}

impl Subject {
    /// Reads `host:port` or a URL.
    pub(super) fn parse(text: &str, options: Options) -> anyhow::Result<Self> {
        if let Some(place) = Place::parse(text) {
            return Ok(Self::Door(place));
        }
        if is_cluster(text) {
            return Ok(Self::Cluster(text.to_owned(), options));
        }
        let url = match text.contains("://") {
            true => text.to_owned(),
            false => format!("redis://{text}"),
        };
        Ok(Self::Resp(Box::new(url.parse()?), options))
    }

    /// Processor time that the server has used, in microseconds, if it tells.
    pub(super) fn cpu_us(&self) -> Option<f64> {
        let info = self.info()?;
        let seconds = |name| {
            let line = info
                .as_str()?
                .lines()
                .find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<f64>().ok()
        };
        Some((seconds("used_cpu_user:")? + seconds("used_cpu_sys:")?) * 1e6)
    }
}

impl Subject {
    /// What INFO tells of the whole server. The nodes of another cluster than kvik's are several.
    fn info(&self) -> Option<Value> {
        const CPU: [&str; 3] = ["INFO", "server", "cpu"];
        match self {
            Self::Resp(endpoint, options) => Client::open(endpoint, options).ok()?.call(&CPU).ok(),
            Self::Cluster(url, options) => {
                let info = Store::open_with(url, options).ok()?.call(&CPU).ok()?;
                let is_one = info.as_str()?.contains("kvik_version:");
                is_one.then_some(info)
            }
            Self::Door(_) => None,
        }
    }
}

/// Whether a URL names the nodes of a cluster.
pub(super) fn is_cluster(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.ends_with("+cluster"))
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Cluster(url, _) => f.write_str(url),
            Self::Resp(endpoint, _) => endpoint.address.fmt(f),
            Self::Door(place) => place.fmt(f),
        }
    }
}

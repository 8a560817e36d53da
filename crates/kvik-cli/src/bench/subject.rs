//! A server that load is put on, by a URL of RESP or of a door.

use kvik_client::{Client, Endpoint, Options};

use crate::door::Place;

/// A server, and the way to it.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    Resp(Endpoint),
    Door(Place),
}

impl Subject {
    /// Reads `host:port` or a URL.
    pub(super) fn parse(text: &str) -> anyhow::Result<Self> {
        if let Some(place) = Place::parse(text) {
            return Ok(Self::Door(place));
        }
        let url = match text.contains("://") {
            true => text.to_owned(),
            false => format!("redis://{text}"),
        };
        Ok(Self::Resp(url.parse()?))
    }

    /// Processor time that the server has used, in microseconds, if it tells.
    pub(super) fn cpu_us(&self) -> Option<f64> {
        let Self::Resp(endpoint) = self else {
            return None;
        };
        let mut client = Client::open(endpoint, &Options::default()).ok()?;
        let info = client.call(&["INFO", "cpu"]).ok()?;
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

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resp(endpoint) => endpoint.address.fmt(f),
            Self::Door(place) => place.fmt(f),
        }
    }
}

//! The preset of kvns: its port, its namespaces, and the 18 variables by which it is configured.
//!
//! The variables take the place of defaults, so files, `KVIK_*` variables and flags win over them.
//! A value that makes no sense counts as none, as it does there; only a policy of eviction that
//! nobody knows refuses to start, since keys would stay or go against its user's will.

use std::ffi::OsString;
use std::io::Read;
use std::path::Path;

use kvik_command::namespace_quotas::{Quota, QuotaMap, policy_name, policy_named, write_quotas};

use super::error::LoadError;
use super::preset::Preset;
use super::table::Key;

/// Its limit of memory when nobody sets one, and when that of the machine is not known.
const MEMORY_LIMIT: u64 = 1 << 30;
/// Seconds between snapshots.
const PERSIST_INTERVAL_S: u64 = 300;
/// The least part of the limit from which keys are evicted.
const LEAST_THRESHOLD: f64 = 0.01;
/// Words of a request.
const MAX_ARGS: u64 = 1024;
/// Longest word of a request.
const MAX_BULK_LEN: u64 = 16 << 20;
/// Longest line of a request.
const MAX_INLINE_LEN: u64 = 64 << 10;

/// Its variables. Those in the second list have lost their meaning.
const USED: [&str; 15] = [
    "KVNS_LOG",
    "KVNS_HOST",
    "KVNS_PORT",
    "KVNS_MEMORY_LIMIT",
    "KVNS_METRICS_HOST",
    "KVNS_METRICS_PORT",
    "KVNS_PERSIST_PATH",
    "KVNS_PERSIST_INTERVAL",
    "KVNS_EVICTION_POLICY",
    "KVNS_EVICTION_THRESHOLD",
    "KVNS_NS_EVICTION",
    "KVNS_MAX_CLIENTS",
    "KVNS_MAX_RESP_ARGS",
    "KVNS_MAX_RESP_BULK_LEN",
    "KVNS_MAX_RESP_INLINE_LEN",
];
const UNUSED: [&str; 3] = [
    "KVNS_SHARED_VALUES",
    "KVNS_SHARDED_MODE",
    "KVNS_SHARD_COUNT",
];

/// The preset, by the environment and the bytes of memory that the process may use; 0 if unknown.
///
/// # Errors
/// If a policy is unknown, or a file that is none of kvik's lies where snapshots are to be.
pub(super) fn preset(
    environment: &[(OsString, OsString)],
    machine_bytes: u64,
) -> Result<Preset, LoadError> {
    let variables = Variables(environment);
    let mut preset = Preset::default();
    preset.set(Key::Namespaces, "auto");
    network(&variables, &mut preset);
    limits(&variables, &mut preset);
    eviction(&variables, machine_bytes, &mut preset)?;
    files(&variables, &mut preset)?;
    if let Some(level) = variables.text("KVNS_LOG").and_then(level) {
        preset.set(Key::Loglevel, level);
    }
    variables.note_others(&mut preset);
    Ok(preset)
}

/// The environment.
struct Variables<'a>(&'a [(OsString, OsString)]);

impl Variables<'_> {
    /// The value of a variable, if it is one of text.
    fn text(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name)?;
        found.1.to_str()
    }

    /// A number, if it is one.
    fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// A number above 0, or what it is otherwise.
    fn positive(&self, name: &str, otherwise: u64) -> u64 {
        self.number(name)
            .filter(|number| *number > 0)
            .unwrap_or(otherwise)
    }

    fn port(&self, name: &str, otherwise: u16) -> u16 {
        self.text(name)
            .and_then(|text| text.parse().ok())
            .unwrap_or(otherwise)
    }

    /// Notes those that are set in vain.
    fn note_others(&self, preset: &mut Preset) {
        let names = self.0.iter().filter_map(|(name, _)| name.to_str());
        let ours = names.filter(|name| name.starts_with("KVNS_"));
        let (unused, unknown): (Vec<_>, Vec<_>) = ours
            .filter(|name| !USED.contains(name))
            .partition(|name| UNUSED.contains(name));
        if !unused.is_empty() {
            preset.notes.push(format!(
                "{} change nothing: all commands run on all threads, and a snapshot copies no \
                 values",
                unused.join(", ")
            ));
        }
        for name in unknown {
            let note = format!("{name} is no variable of kvns and has no effect");
            preset.notes.push(note);
        }
    }
}

/// Addresses. Other machines are served, as kvns serves them.
fn network(variables: &Variables<'_>, preset: &mut Preset) {
    let host = variables.text("KVNS_HOST").unwrap_or("0.0.0.0");
    let port = variables.port("KVNS_PORT", 6480);
    preset.set(Key::ProtectedMode, "no");
    preset.set(Key::Bind, host);
    preset.set(Key::Port, &port.to_string());
    if port == 0 {
        // There the system chooses one; here port 0 is none.
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        preset.set(Key::Listen, &format!("resp://{host}:0"));
    }
    let metrics_host = variables.text("KVNS_METRICS_HOST").unwrap_or("0.0.0.0");
    let metrics_port = variables.port("KVNS_METRICS_PORT", 9090);
    preset.set(Key::MetricsBind, metrics_host);
    preset.set(Key::MetricsPort, &metrics_port.to_string());
}

/// Limits of clients and their requests.
fn limits(variables: &Variables<'_>, preset: &mut Preset) {
    let mut set = |key, name, otherwise, most: u64| {
        let value = variables.positive(name, otherwise).min(most);
        preset.set(key, &value.to_string());
    };
    set(Key::Maxclients, "KVNS_MAX_CLIENTS", 10_000, u32::MAX.into());
    set(
        Key::RequestMaxArgs,
        "KVNS_MAX_RESP_ARGS",
        MAX_ARGS,
        i32::MAX as u64,
    );
    set(
        Key::RequestMaxBulkLen,
        "KVNS_MAX_RESP_BULK_LEN",
        MAX_BULK_LEN,
        i64::MAX as u64,
    );
    // The header of a request is a line as well, so none below 64 bytes is of use.
    let inline = variables.positive("KVNS_MAX_RESP_INLINE_LEN", MAX_INLINE_LEN);
    let inline = inline.clamp(64, 1 << 30);
    preset.set(Key::RequestMaxInlineLen, &inline.to_string());
}

/// The limit of memory and what makes room at it.
fn eviction(
    variables: &Variables<'_>,
    machine_bytes: u64,
    preset: &mut Preset,
) -> Result<(), LoadError> {
    let limit = memory_limit(variables.number("KVNS_MEMORY_LIMIT"), machine_bytes);
    preset.set(Key::MaxmemoryPayload, &limit.to_string());
    let name = variables.text("KVNS_EVICTION_POLICY").unwrap_or("none");
    let policy = policy(name).ok_or_else(|| unknown_policy("KVNS_EVICTION_POLICY", name))?;
    preset.set(Key::NamespacePolicy, policy);
    let threshold = variables.text("KVNS_EVICTION_THRESHOLD");
    if let Some(threshold) = threshold.and_then(|text| text.parse::<f64>().ok()) {
        // There any number is taken; one outside means what the nearest one inside does.
        let threshold = match threshold > LEAST_THRESHOLD {
            true => threshold.min(1.0),
            false => LEAST_THRESHOLD,
        };
        preset.set(Key::EvictionThreshold, &threshold.to_string());
    }
    if let Some(list) = variables.text("KVNS_NS_EVICTION") {
        preset.set(Key::NamespaceQuotas, &write_quotas(&policies(list)?));
    }
    Ok(())
}

/// The bytes that its limit comes to: at most 70 % of the machine's memory, and that if it is 0.
fn memory_limit(limit: Option<u64>, machine_bytes: u64) -> u64 {
    let most = machine_bytes / 100 * 70;
    match limit {
        None => MEMORY_LIMIT,
        Some(0) if most == 0 => MEMORY_LIMIT,
        Some(0) => most,
        Some(limit) if most == 0 => limit,
        Some(limit) => limit.min(most),
    }
}

/// The usual name of a policy that has one of the names of both eras of kvns.
fn policy(name: &str) -> Option<&'static str> {
    let known = policy_named(name.trim().as_bytes()).map(policy_name);
    // kvik has one more, which kvns would not know.
    known.filter(|known| *known != "inherit")
}

fn unknown_policy(variable: &str, name: &str) -> LoadError {
    LoadError(format!(
        "invalid {variable} {name:?}; expected one of: none, lfu (lru), mfu (mru), ear"
    ))
}

/// The entries of `ns:policy,ns:policy`.
fn policies(list: &str) -> Result<QuotaMap, LoadError> {
    let mut quotas = QuotaMap::new();
    for pair in list.split(',').filter(|pair| !pair.trim().is_empty()) {
        let (namespace, name) = pair.split_once(':').unwrap_or((pair, ""));
        let (namespace, name) = (namespace.trim(), name.trim());
        let policy = policy(name).ok_or_else(|| {
            let variable = format!("KVNS_NS_EVICTION for the namespace {namespace:?}:");
            unknown_policy(&variable, name)
        })?;
        let quota = Quota {
            policy: policy_named(policy.as_bytes()),
            ..Quota::default()
        };
        quotas.insert(namespace.as_bytes().to_vec(), quota);
    }
    Ok(quotas)
}

/// A snapshot at an interval and at the end, if there is a path for it; otherwise nothing is kept.
fn files(variables: &Variables<'_>, preset: &mut Preset) -> Result<(), LoadError> {
    preset.set(Key::Memory, "yes");
    let Some(path) = variables.text("KVNS_PERSIST_PATH") else {
        return Ok(());
    };
    let path = Path::new(path);
    let refuse = |reason: String| {
        let path = path.display();
        LoadError(format!("KVNS_PERSIST_PATH {path}: {reason}"))
    };
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
        return Err(refuse("it names no file".to_owned()));
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder)
        .map_err(|error| refuse(format!("its folder cannot be made: {error}")))?;
    if is_foreign(path).map_err(|error| refuse(error.to_string()))? {
        return Err(refuse(ARCHIVE.to_owned()));
    }
    let mut interval_s = variables.number("KVNS_PERSIST_INTERVAL");
    if interval_s == Some(0) {
        let note = format!("KVNS_PERSIST_INTERVAL 0 is no interval: {PERSIST_INTERVAL_S} is used");
        preset.notes.push(note);
        interval_s = None;
    }
    let interval_s = interval_s.unwrap_or(PERSIST_INTERVAL_S);
    let interval_s = interval_s.min(i32::MAX as u64);
    preset.set(Key::Dir, &folder.display().to_string());
    preset.set(Key::Dbfilename, name);
    preset.set(Key::Save, &format!("{interval_s} 1"));
    preset.set(Key::Appendonly, "no");
    preset.set(Key::Memory, "no");
    Ok(())
}

const ARCHIVE: &str = "this file is no snapshot of kvik. If kvns has written it, start kvns with it \
                       once more, and `kvik import redis://HOST:6480` copies its keys into a \
                       running kvik; or move the file away. It has not been changed";

/// Whether a file begins as no snapshot does. The archives of kvns have no mark of their own.
fn is_foreign(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    match std::fs::File::open(path) {
        Ok(file) => file.take(6).read_to_end(&mut start)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    Ok(!start.starts_with(b"REDIS") && !start.starts_with(b"VALKEY"))
}

/// The level of a filter such as `debug` or `warn,kvns=debug`; that of kvns counts. None if the
/// filter makes no sense.
fn level(filter: &str) -> Option<&'static str> {
    let (mut general, mut own) = (None, None);
    for part in filter.split(',').map(str::trim).filter(|it| !it.is_empty()) {
        match part.split_once('=') {
            Some((target, name)) => {
                let level = level_named(name)?;
                if target == "kvns" || target.starts_with("kvns::") {
                    own = Some(level);
                }
            }
            // A target alone shows all of it.
            None if part == "kvns" => own = Some("debug"),
            None => general = Some(level_named(part)?),
        }
    }
    // Where only others are named, errors are shown.
    own.or(general).or(Some("warning"))
}

fn level_named(name: &str) -> Option<&'static str> {
    Some(match name.to_ascii_lowercase().as_str() {
        "trace" => "debug",
        "debug" => "verbose",
        "info" => "notice",
        "warn" | "error" => "warning",
        "off" => "nothing",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;

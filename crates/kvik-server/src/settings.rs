//! Carries the configuration to those who act on it, at the start and whenever it changes.
//!
//! Most directives are read where they act each time ([`Config::int`]). The others arrive here:
//! those that commands obey are copied into their settings, as the rows of the table say, and the
//! parts of the server that keep a value of their own are told.

use std::sync::{Arc, Weak};

use kvik::Db;
use kvik_command::persistence::Task;

use crate::config::{Config, Effect, Key};
use crate::front::Front;
use crate::listening::Listening;
use crate::log::LogControl;
use crate::net;

/// Applies the configuration to a store, now and later.
pub(crate) fn obey(config: &Config, db: &Db) {
    let keys = keys(|key| key.row().is_obeyed_by_commands());
    config.copy_to(&db.engine().settings, &keys);
    db.memory_settings_changed();
    db.import_mode_changed();
    let db = db.clone();
    config.on_change(&keys, move |config, changed| {
        config.copy_to(&db.engine().settings, changed);
        db.file_settings_changed();
        let is_limit = |key: &Key| {
            matches!(
                key,
                Key::Maxmemory
                    | Key::MaxmemoryPayload
                    | Key::EvictionThreshold
                    | Key::NamespaceQuotas
                    | Key::NamespacePolicy
            )
        };
        if changed.iter().any(is_limit) {
            db.memory_settings_changed();
        }
        if changed.contains(&Key::ImportMode) {
            db.import_mode_changed();
        }
        if changed.contains(&Key::Appendonly) {
            let task = Task::SetLog(config.bool(Key::Appendonly));
            let begun = db.engine().persistence().begin(task);
            begun.map_err(|error| error.to_string())?;
        }
        Ok(())
    });
}

/// Has the I/O threads look at their clients when the limits for these change.
pub(crate) fn tell_threads(config: &Config, front: &Arc<Front>) {
    let front: Weak<Front> = Arc::downgrade(front);
    config.on_change(
        &[
            Key::Timeout,
            Key::ClientOutputBufferLimit,
            Key::Maxmemory,
            Key::MaxmemoryClients,
        ],
        move |_, _| {
            if let Some(front) = front.upgrade() {
                front.attend_all();
            }
            Ok(())
        },
    );
}

/// Listens elsewhere when the addresses change; what the system refuses keeps the old value.
pub(crate) fn relisten(config: &Config, front: &Arc<Front>, listening: Listening) {
    let front: Weak<Front> = Arc::downgrade(front);
    config.on_change(&[Key::Port, Key::Bind], move |config, changed| {
        let Some(front) = front.upgrade() else {
            return Ok(());
        };
        let result = listening.change(config, |listener| front.listen(listener));
        front.attend_listeners();
        result.map_err(|refused| {
            tracing::warn!("{refused}");
            let reason = match changed {
                [Key::Port, ..] => "Unable to listen on this port. Check server logs.",
                _ => "Failed to bind to specified addresses.",
            };
            reason.to_owned()
        })
    });
}

/// Refuses more clients than the system has open files for.
pub(crate) fn raise_file_limit(config: &Config) {
    config.on_change(&[Key::Maxclients], |config, _| {
        let wanted = files_for(config);
        match net::limits::raise_open_files(wanted) {
            Ok(limit) if limit < wanted => {
                let most = limit.saturating_sub(OTHER_FILES);
                Err(format!(
                    "The operating system is not able to handle the specified number of clients, \
                     try with {most}"
                ))
            }
            // Who cannot learn the limit cannot say that it is too low.
            _ => Ok(()),
        }
    });
}

/// Open files beside those of clients.
const OTHER_FILES: u64 = 64;

/// Open files that are needed for all clients.
pub(crate) fn files_for(config: &Config) -> u64 {
    config.size(Key::Maxclients) as u64 + OTHER_FILES
}

/// Refuses to change what would change nothing yet: a client that is told OK relies on it. A value
/// that holds all the same is accepted.
pub(crate) fn refuse_pending(config: &Config) {
    let keys = keys(|key| matches!(key.row().effect, Effect::Pending(_)));
    config.on_change(&keys, |config, changed| {
        let refusal = changed.iter().find_map(|key| config.in_vain(*key));
        match refusal {
            Some(in_vain) => Err(format!("it has no effect yet: {}", in_vain.reason)),
            None => Ok(()),
        }
    });
}

/// Applies level and format of the log, now and later.
pub(crate) fn obey_log(config: &Config, log: LogControl) {
    config.on_change(&[Key::Loglevel, Key::LogFormat], move |config, _| {
        log.change(config)
    });
}

fn keys(which: impl Fn(Key) -> bool) -> Vec<Key> {
    Key::ALL.iter().copied().filter(|key| which(*key)).collect()
}

#[cfg(test)]
mod tests {
    use kvik_command::Settings;

    use super::*;
    use crate::config::Access;

    /// A store that is no server lets everybody use DEBUG, as nobody else reaches it, and has no
    /// files unless it is opened with a directory.
    const OTHER_IN_A_SERVER: [&str; 4] = ["enable-debug-command", "appendonly", "save", "dir"];

    fn settings_of(config: &Config) -> Settings {
        let settings = Settings::default();
        config.copy_to(&settings, Key::ALL);
        settings
    }

    #[test]
    fn an_embedded_store_has_the_same_defaults() {
        let config = Config::with_defaults().unwrap();
        let settings = Settings::default();
        let same = keys(|key| !OTHER_IN_A_SERVER.contains(&key.name()));
        config.copy_to(&settings, &same);
        assert_eq!(
            format!("{settings:?}"),
            format!("{:?}", Settings::default())
        );
    }

    #[test]
    fn every_change_of_what_commands_obey_arrives() {
        let config = Config::with_defaults().unwrap();
        let before = format!("{:?}", settings_of(&config));
        let mut tried = 0;
        for key in keys(|key| key.row().is_obeyed_by_commands()) {
            if matches!(key.row().access, Access::Fixed | Access::Protected) {
                continue;
            }
            let default = config.text(key);
            let other = other_value(&config, key);
            let set = |value: &str| config.set(&[(key.name().as_bytes(), value.as_bytes())], true);
            set(&other).unwrap();
            let after = format!("{:?}", settings_of(&config));
            assert_ne!(after, before, "{} {other}", key.name());
            set(&default).unwrap();
            assert_eq!(format!("{:?}", settings_of(&config)), before);
            tried += 1;
        }
        assert!(tried > 15, "only {tried}");
    }

    /// A value that is accepted and not the present one.
    fn other_value(config: &Config, key: Key) -> String {
        let now = config.text(key);
        let probes = [
            "no",
            "yes",
            "7",
            "1048577",
            "allkeys-lfu",
            "secret",
            "7 1",
            "KEA",
            "web:keys=7",
            "none",
            "all",
            "0.5",
        ];
        let is_other = |probe: &&&str| {
            let accepted = config.set(&[(key.name().as_bytes(), probe.as_bytes())], true);
            accepted.is_ok() && config.text(key) != now
        };
        (*probes.iter().find(is_other).unwrap()).to_owned()
    }
}

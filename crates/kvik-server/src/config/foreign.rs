//! Directives that are none of kvik's: which of them may stand in a file all the same, and what a
//! misspelt one may have meant.
//!
//! A file that kvik does not understand must not open the server to everybody: `requirepas secret`
//! is a server without a password. So an unknown directive refuses to start. Files of Redis, Valkey
//! and KeyDB hold directives, however, that have no meaning for kvik, and these only warn.

use super::table::Key;

/// Directives of other servers without which nothing is lost: they tune what kvik has not. Those
/// that would change what clients see, or who may connect, are not among them.
const HARMLESS: &[&str] = &[
    // KeyDB's threads.
    "server-threads",
    "server-thread-affinity",
    "min-clients-per-thread",
    "active-client-balancing",
    "time-thread-priority",
    "async-commands",
    "multithread-load-enabled",
    "prefetch-enabled",
    "enable-motd",
    "scratch-file-path",
    "overload-protect-percent",
    "overload-ignorelist",
    "semi-ordered-set-bucket-size",
    "force-backlog-disk-reserve",
    "repl-backlog-disk-reserve",
    // Redis of other ages.
    "glueoutputbuf",
    "hash-max-zipmap-entries",
    "hash-max-zipmap-value",
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "lua-replicate-commands",
    "gopher-enabled",
    "vm-enabled",
    "vm-swap-file",
    "vm-max-memory",
    "vm-page-size",
    "vm-pages",
    "vm-max-threads",
    "lookahead",
    "vset-force-single-threaded-execution",
    "cluster-compatibility-sample-ratio",
    "replica-full-sync-buffer-limit",
    "repl-rdb-channel",
    "key-memory-histograms",
    "slot-migration-log-max-len",
    // What only tests of those servers use.
    "client-default-resp",
    "debug-context",
    "enable-debug-assert",
    "key-load-delay",
    "loading-process-events-interval-bytes",
    "req-res-logfile",
    "use-exit-on-panic",
    "watchdog-period",
    "cluster-ping-interval",
];

/// Beginnings of directives that belong to modules of Redis 8, of which kvik has none.
const MODULES: &[&str] = &["search-", "ts-", "bf-", "cf-"];

/// Spelling errors up to which a directive is taken for meant.
const CLOSE: usize = 2;

/// Whether a directive of another server may be passed over.
pub(super) fn is_harmless(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('_', "-");
    HARMLESS.contains(&name.as_str()) || MODULES.iter().any(|module| name.starts_with(module))
}

/// The directive that is spelled almost like this.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let spellings = Key::ALL
        .iter()
        .flat_map(|key| [Some(key.name()), key.row().alias]);
    let distances = spellings
        .flatten()
        .map(|known| (distance(&name, known), known));
    // A short word is close to too many others.
    let most = CLOSE.min(name.len() / 3);
    let close = distances.filter(|(distance, _)| *distance <= most);
    close.min().map(|(_, known)| known)
}

/// The message about an unknown directive.
pub(super) fn unknown(name: &str) -> String {
    match meant(name) {
        Some(known) => format!("is not a directive of kvik; did you mean {known}?"),
        None => "is not a directive of kvik".to_owned(),
    }
}

/// Letters to insert, remove or replace to make one word of the other (Levenshtein). Takes time for
/// the product of their lengths, which a long word is spared.
fn distance(one: &str, other: &str) -> usize {
    if one.len().abs_diff(other.len()) > CLOSE {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (index, letter) in one.bytes().enumerate() {
        // The entry above and to the left, which the loop has overwritten already.
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (at, known) in other.bytes().enumerate() {
            let replaced = diagonal + usize::from(letter != known);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_letters() {
        for (one, other, expected) in [
            ("", "", 0),
            ("port", "port", 0),
            ("port", "prt", 1),
            ("port", "sport", 1),
            ("bind", "band", 1),
            ("save", "vase", 2),
        ] {
            assert_eq!(distance(one, other), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_misspelt_directive_is_recognized() {
        assert_eq!(meant("requirepas"), Some("requirepass"));
        assert_eq!(meant("REQUIRE_PASS"), Some("requirepass"));
        assert_eq!(meant("masterauht"), Some("masterauth"));
        assert_eq!(meant("something-else"), None);
        assert_eq!(meant("x"), None);
    }

    #[test]
    fn harmless_is_what_kvik_does_not_know() {
        assert!(is_harmless("SERVER_THREADS") && is_harmless("search-threads"));
        for name in ["active-replica", "multi-master", "loadmodule", "requirepas"] {
            assert!(!is_harmless(name), "{name}");
        }
        for name in HARMLESS {
            assert_eq!(Key::named(name.as_bytes()), None, "{name}");
        }
    }
}

//! The layer rule, read from the manifests: arrows between crates point down only.

use anyhow::Context;
use toml::{Table, Value};

use super::Finding;

/// A crate, the kvik crates that it may depend on, and the foreign ones that its layer forbids
/// unless it may use them.
struct Layer {
    name: &'static str,
    may_use: &'static [&'static str],
    never: &'static [&'static str],
}

/// What opens sockets, logs or parses arguments: not for a library that others embed.
const ABOVE_THE_LIBRARY: &[&str] = &[
    "clap",
    "io-uring",
    "libc",
    "mio",
    "rustls",
    "signal-hook",
    "socket2",
    "tokio",
    "toml",
    "tracing",
];

/// From the bottom up. A new crate gets its row when it is made.
const LAYERS: &[Layer] = &[
    Layer {
        name: "kvik-float",
        may_use: &[],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-rdb",
        may_use: &["kvik-float"],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-rope",
        may_use: &[],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-resp",
        may_use: &["kvik-float", "kvik-rope"],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-log",
        may_use: &["kvik-resp", "kvik-rope"],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-store",
        // It asks the system for memory and gives it back.
        may_use: &["kvik-float", "kvik-rope", "libc"],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-command",
        may_use: &["kvik-rdb", "kvik-resp", "kvik-rope", "kvik-store"],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik",
        may_use: &[
            "kvik-command",
            "kvik-log",
            "kvik-rdb",
            "kvik-resp",
            "kvik-rope",
            "kvik-store",
        ],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-script",
        may_use: &["kvik-command", "kvik-resp"],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-client",
        may_use: &["kvik", "kvik-resp"],
        never: &["mio", "tokio", "tracing"],
    },
    Layer {
        name: "kvik-ffi",
        may_use: &["kvik", "kvik-resp", "kvik-script"],
        never: ABOVE_THE_LIBRARY,
    },
    Layer {
        name: "kvik-server",
        may_use: &[
            "kvik",
            "kvik-command",
            "kvik-log",
            "kvik-resp",
            "kvik-rope",
            "kvik-script",
        ],
        never: &["clap", "tokio"],
    },
    Layer {
        name: "kvik-cli",
        may_use: &[
            "kvik",
            "kvik-client",
            "kvik-command",
            "kvik-log",
            "kvik-rdb",
            "kvik-resp",
            "kvik-server",
        ],
        never: &["tokio"],
    },
];

/// Checks one manifest below `crates/`; the others (the root, xtask, fuzz) stand outside the
/// layers.
pub(super) fn check(path: &str, text: &str, findings: &mut Vec<Finding>) -> anyhow::Result<()> {
    if !path.starts_with("crates/") {
        return Ok(());
    }
    let manifest: Table = toml::from_str(text).with_context(|| path.to_owned())?;
    let name = manifest["package"]["name"]
        .as_str()
        .context("a package has a name")?;
    let Some(layer) = LAYERS.iter().find(|layer| layer.name == name) else {
        findings.push(Finding::new(
            path,
            0,
            format!("{name} has no row in the layer table (xtask/src/tidy/layers.rs)"),
        ));
        return Ok(());
    };
    if manifest
        .get("lints")
        .and_then(|lints| lints.get("workspace"))
        .and_then(Value::as_bool)
        != Some(true)
    {
        findings.push(Finding::new(path, 0, "[lints] workspace = true is missing"));
    }
    for (dependency, value) in dependencies(&manifest) {
        if value.get("workspace").and_then(Value::as_bool) != Some(true) {
            let rule = format!(
                "{dependency}: its version belongs into the root Cargo.toml (workspace = true here)"
            );
            findings.push(Finding::new(path, 0, rule));
        }
        let ours = dependency == "kvik" || dependency.starts_with("kvik-");
        if ours && !layer.may_use.contains(&dependency) {
            findings.push(Finding::new(
                path,
                0,
                format!("{name} must not depend on {dependency}: arrows point down only"),
            ));
        }
        if layer.never.contains(&dependency) && !layer.may_use.contains(&dependency) {
            findings.push(Finding::new(
                path,
                0,
                format!("{name} must not depend on {dependency}: it belongs to a layer above"),
            ));
        }
    }
    Ok(())
}

/// Normal and build dependencies, for every target. What only tests use may point anywhere.
fn dependencies(manifest: &Table) -> Vec<(&str, &Value)> {
    let targets = manifest
        .get("target")
        .and_then(Value::as_table)
        .into_iter()
        .flat_map(Table::values);
    let roots = targets.filter_map(Value::as_table).chain([manifest]);
    roots
        .flat_map(|root| {
            ["dependencies", "build-dependencies"]
                .into_iter()
                .filter_map(|key| root.get(key))
        })
        .filter_map(Value::as_table)
        .flat_map(|table| table.iter().map(|(name, value)| (name.as_str(), value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(name: &str, dependencies: &str) -> Vec<String> {
        let manifest =
            format!("[package]\nname = \"{name}\"\n[lints]\nworkspace = true\n{dependencies}");
        let mut findings = Vec::new();
        check("crates/x/Cargo.toml", &manifest, &mut findings).unwrap();
        findings.into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn downward_arrows_pass() {
        assert!(
            rules(
                "kvik-command",
                "[dependencies]\nkvik-store.workspace = true\n"
            )
            .is_empty()
        );
        assert!(
            rules(
                "kvik-store",
                "[dev-dependencies]\nproptest.workspace = true\n"
            )
            .is_empty()
        );
    }

    #[test]
    fn an_upward_or_sideways_arrow_is_found() {
        let up = rules("kvik-store", "[dependencies]\nkvik.workspace = true\n");
        assert_eq!(
            up,
            ["kvik-store must not depend on kvik: arrows point down only"]
        );
        let sideways = rules(
            "kvik-resp",
            "[target.'cfg(unix)'.dependencies]\nkvik-store.workspace = true\n",
        );
        assert_eq!(sideways.len(), 1);
    }

    #[test]
    fn a_reactor_below_the_server_is_found() {
        let rules = rules("kvik", "[dependencies]\nmio.workspace = true\n");
        assert_eq!(
            rules,
            ["kvik must not depend on mio: it belongs to a layer above"]
        );
    }

    #[test]
    fn a_version_outside_the_root_is_found() {
        assert_eq!(rules("kvik", "[dependencies]\nitoa = \"1\"\n").len(), 1);
    }

    #[test]
    fn an_unknown_crate_is_found() {
        assert_eq!(rules("kvik-extra", "").len(), 1);
    }
}

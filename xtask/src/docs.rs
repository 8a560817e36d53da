//! `cargo x docs`: the pages of `docs/` that are a view of a table in the code.
//!
//! They are committed, so that a reader finds them without building anything; `--check` keeps them
//! true.

use std::fs;

use anyhow::{Context, bail};
use kvik_command::metric::{METRICS, MetricKind, Section};

use crate::{cargo, packaging};

/// A page and the table that it shows.
type Page = (&'static str, fn() -> anyhow::Result<String>);

const PAGES: &[Page] = &[
    ("crates/kvik-ffi/include/kvik.h", crate::header::page),
    ("docs/commands.md", || Ok(kvik_command::table().markdown())),
    ("docs/compatibility.md", || {
        Ok(crate::compat::coverage::page())
    }),
    ("docs/configuration.md", || {
        Ok(kvik_server::config::markdown())
    }),
    ("docs/metrics.md", || Ok(metrics())),
    ("packaging/grafana-dashboard.json", || {
        Ok(packaging::dashboard())
    }),
    (
        "packaging/prometheus-alerts.yml",
        || Ok(packaging::alerts()),
    ),
];

/// Writes every page that is out of date, or with `check` refuses to find one.
pub(crate) fn write(check: bool) -> anyhow::Result<()> {
    for (name, markdown) in PAGES {
        let path = cargo::root().join(name);
        let page = markdown().context(*name)?;
        if fs::read_to_string(&path).is_ok_and(|text| text == page) {
            continue;
        }
        if check {
            bail!("{name} is out of date: cargo x docs writes it");
        }
        fs::create_dir_all(path.parent().expect("a page lies in a folder"))?;
        fs::write(&path, page).context(*name)?;
        println!("wrote {name}");
    }
    Ok(())
}

fn metrics() -> String {
    let mut page = String::from(
        "# Metrics\n\n`INFO` shows them, section by section; `INFO all` shows every section. Numbers are on the page for \
         Prometheus as well, which `metrics-port` serves.\n",
    );
    for section in Section::ALL {
        let rows = METRICS.iter().filter(|metric| metric.section == section);
        let rows: String = rows
            .map(|metric| {
                let exported = match metric.kind {
                    MetricKind::Text => String::new(),
                    _ => format!("`{}`", metric.exported_name()),
                };
                format!("| `{}` | {exported} | {} |\n", metric.name, metric.about)
            })
            .collect();
        if !rows.is_empty() {
            page += &format!(
                "\n## {}\n\n| name | for Prometheus | meaning |\n|---|---|---|\n{rows}",
                section.title()
            );
        }
    }
    page
}

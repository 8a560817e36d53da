//! The metrics as a page for Prometheus: its text format, version 0.0.4, which OpenMetrics scrapers
//! read as well.
//!
//! Every row of the [table](crate::metric) that is a number appears as `kvik_` with its name, a
//! counter with `_total` behind. What INFO shows by command, error and database has labels. Times
//! of commands are true histograms: the buckets are powers of two of a microsecond.
//!
//! The seven names that begin with `kvns_` are those of the kvns server, so that its boards and
//! alerts stay; its summary of command times has the histogram's buckets beside its quantiles.

use std::borrow::Cow;
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;

use kvik_store::{KeyspaceId, NamespaceSizes};

use crate::declare::table;
use crate::engine::Engine;
use crate::histogram::Histogram;
use crate::metric::{Look, METRICS, Metric, MetricKind};

/// The quantiles of the kvns server's summary.
const QUANTILES: [f64; 7] = [0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0];
/// Upper bounds of a histogram's buckets, as powers of two of a microsecond: up to 8.4 seconds.
const BUCKET_POWERS: std::ops::RangeInclusive<u32> = 0..=23;
/// Families with a sample for each namespace, and bytes of such a sample beside its labels.
const SPACE_FAMILIES: usize = 5;
const SPACE_SAMPLE_BYTES: usize = 40;

/// The page as of now; `now_us` is the time in microseconds since the epoch.
pub fn exposition(engine: &Engine, now_us: u64) -> String {
    let look = Look::new(engine, now_us);
    let mut page = MetricsPage::default();
    for metric in METRICS {
        if let Some(value) = metric.number(&look) {
            page.family(&metric.exported_name(), metric.kind, metric.about);
            page.sample(&metric.exported_name(), &[], value);
        }
    }
    page.info(&look);
    page.databases(&look);
    page.commands(&look);
    page.errors(&look);
    page.namespaces(&look);
    page.0
}

/// The text so far.
#[derive(Default)]
struct MetricsPage(String);

impl MetricsPage {
    fn family(&mut self, name: &str, kind: MetricKind, about: &str) {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge | MetricKind::Text => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let about = about.replace('\\', "\\\\").replace('\n', " ");
        let _ = write!(self.0, "# HELP {name} {about}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.0 += name;
        self.0 += &label_set(labels);
        let _ = writeln!(self.0, " {value}");
    }

    /// Writes the figures that are texts, as labels of a figure that is always 1.
    fn info(&mut self, look: &Look<'_>) {
        const NAMES: [&str; 5] = ["kvik_version", "redis_version", "os", "redis_mode", "role"];

        let rows = METRICS.iter().filter(|metric| NAMES.contains(&metric.name));
        let labels: Vec<_> = rows
            .filter_map(|metric| Some((metric.name, metric.read(look)?)))
            .collect();
        let labels: Vec<_> = labels.iter().map(|(name, text)| (*name, &**text)).collect();
        self.family("kvik_info", MetricKind::Gauge, "The server; always 1.");
        self.sample("kvik_info", &labels, 1.0);
    }

    fn databases(&mut self, look: &Look<'_>) {
        let all = 0..look.engine.settings.databases.load(Relaxed) as u32;
        let sizes = all.map(|db| (db, look.engine.totals.keyspace(KeyspaceId(db))));
        let used: Vec<_> = sizes
            .filter(|(db, sizes)| *db == 0 || sizes.keys > 0)
            .map(|(db, sizes)| (format!("db{db}"), sizes))
            .collect();
        let gauge = MetricKind::Gauge;
        self.family("kvik_db_keys", gauge, "Keys of a database.");
        for (db, sizes) in &used {
            self.sample("kvik_db_keys", &[("db", db)], sizes.keys as f64);
        }
        self.family(
            "kvik_db_keys_expiring",
            gauge,
            "Keys of a database that expire.",
        );
        for (db, sizes) in &used {
            self.sample(
                "kvik_db_keys_expiring",
                &[("db", db)],
                sizes.volatile as f64,
            );
        }
        self.family(
            "kvik_db_bytes",
            gauge,
            "Bytes of a database: keys, values and tables.",
        );
        for (db, sizes) in &used {
            self.sample("kvik_db_bytes", &[("db", db)], sizes.bytes() as f64);
        }
    }

    fn commands(&mut self, look: &Look<'_>) {
        let sums = look.engine.stats.commands();
        let called = table().commands().iter().zip(sums);
        let called: Vec<_> = called
            .filter(|(_, sums)| sums.calls > 0 || sums.rejected > 0)
            .map(|(command, sums)| (command.full_name(), sums))
            .collect();
        let counter = MetricKind::Counter;
        self.family("kvik_command_calls_total", counter, "Calls of a command.");
        for (name, sums) in &called {
            self.sample(
                "kvik_command_calls_total",
                &[("command", name)],
                sums.calls as f64,
            );
        }
        self.family(
            "kvik_command_failures_total",
            counter,
            "Calls that failed, or were refused.",
        );
        for (name, sums) in &called {
            for (reason, count) in [("failed", sums.failed), ("refused", sums.rejected)] {
                let labels = [("command", &**name), ("reason", reason)];
                self.sample("kvik_command_failures_total", &labels, count as f64);
            }
        }
        let histogram = MetricKind::Histogram;
        let about = "Time that a command took, without the time it waited to be run.";
        self.family("kvik_command_duration_seconds", histogram, about);
        for (id, times) in look.engine.stats.histograms() {
            let command = &table().commands()[id];
            let nanos = look.engine.stats.nanos_of(id);
            let labels = [("command", command.full_name())];
            self.histogram("kvik_command_duration_seconds", &labels, &times, nanos);
        }
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], times: &Histogram, nanos: u64) {
        let bucket = format!("{name}_bucket");
        let steps = times.cumulative_us();
        for power in BUCKET_POWERS {
            let at_most_us = 1u64 << power;
            // The steps are finer than the buckets: each bucket takes the last step within it.
            let below = steps.iter().rev().find(|&&(us, _)| us <= at_most_us);
            let bound = format!("{}", at_most_us as f64 / 1e6);
            let count = below.map_or(0, |step| step.1) as f64;
            let labelled = [labels, &[("le", bound.as_str())]].concat();
            self.sample(&bucket, &labelled, count);
        }
        let labelled = [labels, &[("le", "+Inf")]].concat();
        self.sample(&bucket, &labelled, times.calls() as f64);
        self.sample(&format!("{name}_sum"), labels, nanos as f64 / 1e9);
        self.sample(&format!("{name}_count"), labels, times.calls() as f64);
    }

    fn errors(&mut self, look: &Look<'_>) {
        let about = "Error replies by their code.";
        self.family(
            "kvik_error_replies_by_code_total",
            MetricKind::Counter,
            about,
        );
        for (code, count) in look.engine.stats.error_codes() {
            self.sample(
                "kvik_error_replies_by_code_total",
                &[("code", &code)],
                count as f64,
            );
        }
    }

    /// The figures of the kvns server under their names.
    fn namespaces(&mut self, look: &Look<'_>) {
        let all = look.engine.namespace_sizes();
        // A label that is always the same is of no use.
        let tells_databases = all.iter().any(|it| it.database > 0);
        // With thousands of namespaces these are nearly all of the page, so the labels are written
        // out once for all families.
        let labelled = all.into_iter().map(|it| {
            let (space, database) = (name_label(&it.name), it.database.to_string());
            let labels = [("namespace", &*space), ("database", &*database)];
            (label_set(&labels[..1 + usize::from(tells_databases)]), it)
        });
        let spaces: Vec<_> = labelled.collect();
        let label_bytes: usize = spaces.iter().map(|(labels, _)| labels.len()).sum();
        self.0
            .reserve(SPACE_FAMILIES * (label_bytes + SPACE_SAMPLE_BYTES * spaces.len()));
        let each = |page: &mut Self, name: &str, of: fn(&NamespaceSizes) -> u64| {
            let mut digits = itoa::Buffer::new();
            for (labels, sizes) in &spaces {
                page.0 += name;
                page.0 += labels;
                page.0.push(' ');
                page.0 += digits.format(of(sizes));
                page.0.push('\n');
            }
        };
        let (gauge, counter) = (MetricKind::Gauge, MetricKind::Counter);
        self.family("kvns_keys_total", gauge, "Number of keys in a namespace.");
        each(self, "kvns_keys_total", |it| it.keys);
        let name = "kvns_memory_used_bytes";
        let about =
            "Bytes of the names and values of a namespace, as maxmemory-payload counts them.";
        self.family(name, gauge, about);
        each(self, name, |it| it.payload);
        let name = "kvns_memory_used_bytes_total";
        let total: u64 = spaces.iter().map(|(_, it)| it.payload).sum();
        self.family(name, gauge, "Bytes of all namespaces together.");
        self.sample(name, &[], total as f64);
        let name = "kvns_memory_limit_bytes";
        let settings = &look.engine.settings;
        let limits = [&settings.maxmemory_payload, &settings.maxmemory];
        let limits = limits.map(|limit| limit.load(Relaxed));
        let limit = limits.into_iter().find(|&limit| limit > 0).unwrap_or(0);
        self.family(name, gauge, "The memory limit in bytes; 0 is none.");
        self.sample(name, &[], limit as f64);
        let name = "kvns_evictions_total";
        let about = "Keys of a namespace that were deleted to make room.";
        self.family(name, counter, about);
        each(self, name, |it| it.evicted);
        let name = "kvns_ear_evictions_total";
        let about = "Keys that were deleted because they had been read.";
        self.family(name, counter, about);
        let swept: u64 = spaces.iter().map(|(_, it)| it.swept).sum();
        self.sample(name, &[], swept as f64);
        each(self, name, |it| it.swept);
        let name = "kvik_namespace_bytes";
        let about = "Bytes that the entries and tables of a namespace take.";
        self.family(name, gauge, about);
        each(self, name, |it| it.bytes);
        self.set_times(look);
    }

    /// The time of SET, with quantiles beside the buckets.
    fn set_times(&mut self, look: &Look<'_>) {
        let name = "kvns_command_duration_seconds";
        self.family(name, MetricKind::Histogram, "Time that SET took.");
        let set = table().commands().iter().find(|it| it.full_name() == "set");
        let Some(id) = set.map(|command| usize::from(command.id())) else {
            return;
        };
        let times = look.engine.stats.histograms();
        let times = times.into_iter().find(|(of, _)| *of == id);
        let times = times.map_or_else(Histogram::default, |(_, times)| times);
        // A summary and a histogram under one name, which no client library would write: the boards
        // of kvns ask for both.
        for quantile in QUANTILES {
            let bound = quantile.to_string();
            let labels = [("command", "set"), ("quantile", &bound)];
            self.sample(name, &labels, times.percentile_us(quantile * 100.0) / 1e6);
        }
        let nanos = look.engine.stats.nanos_of(id);
        self.histogram(name, &[("command", "set")], &times, nanos);
    }
}

/// Labels as they follow a name; nothing if there are none.
fn label_set(labels: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (at, (label, value)) in labels.iter().enumerate() {
        let before = if at == 0 { '{' } else { ',' };
        let _ = write!(text, "{before}{label}=\"{}\"", escaped(value));
    }
    if !labels.is_empty() {
        text.push('}');
    }
    text
}

/// The name of a namespace as the value of a label, which is text: bytes that are none are written
/// as `\\xff`.
fn name_label(name: &[u8]) -> String {
    match std::str::from_utf8(name) {
        Ok(name) => name.to_owned(),
        Err(_) => name.escape_ascii().to_string(),
    }
}

fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return text.into();
    }
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n").into()
}

impl Metric {
    /// Its name on the page.
    pub fn exported_name(&self) -> String {
        match self.kind {
            MetricKind::Counter => {
                let name = self.name.strip_prefix("total_").unwrap_or(self.name);
                format!("kvik_{}_total", name.trim_end_matches("_total"))
            }
            _ => {
                let name = self.name.trim_start_matches("kvik_");
                format!("kvik_{}", name.replace('-', "_"))
            }
        }
    }

    /// Its value, if it is a number. A status is 1 while all is well.
    pub fn number(&self, look: &Look<'_>) -> Option<f64> {
        if self.kind == MetricKind::Text {
            return None;
        }
        let text = self.read(look)?;
        match &*text {
            // A status is a figure as well, so that an alert can be set on it.
            "ok" => Some(1.0),
            "err" => Some(0.0),
            text => text.trim_end_matches('%').parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn page() -> String {
        let engine = Engine::new(0, 1);
        let thread = engine.stats.thread(table().commands().len());
        let set = table().commands().iter();
        let set = set.into_iter().find(|it| it.full_name() == "set");
        let counters = &thread.commands[usize::from(set.unwrap().id())];
        counters.calls.add(3);
        counters.nanos.add(12_000);
        counters.record_times(4000, 3);
        engine.stats.count_error("WRONGTYPE");
        exposition(&engine, 5_000_000)
    }

    /// The name of a sample, without labels.
    fn name_of(line: &str) -> &str {
        line.split(['{', ' ']).next().unwrap()
    }

    #[test]
    fn each_sample_follows_the_head_of_its_family() {
        let (page, mut families) = (page(), BTreeSet::new());
        let mut family = "";
        for line in page.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                family = rest.split(' ').next().unwrap();
                assert!(families.insert(family.to_owned()), "{family} twice");
            } else if !line.starts_with('#') {
                let name = name_of(line);
                let part = name.strip_prefix(family);
                let is_part =
                    part.is_some_and(|it| ["", "_bucket", "_sum", "_count"].contains(&it));
                assert!(is_part, "{line} under {family}");
                let value = line.rsplit(' ').next().unwrap();
                assert!(value.parse::<f64>().is_ok(), "{line}");
            }
        }
        for name in [
            "kvns_keys_total",
            "kvns_memory_used_bytes",
            "kvns_memory_used_bytes_total",
            "kvns_memory_limit_bytes",
            "kvns_command_duration_seconds",
            "kvns_evictions_total",
            "kvns_ear_evictions_total",
            "kvik_used_memory",
            "kvik_commands_processed_total",
        ] {
            assert!(families.contains(name), "{name}");
        }
    }

    #[test]
    fn buckets_only_grow_and_end_with_the_count() {
        let page = page();
        let of_set: Vec<f64> = page
            .lines()
            .filter(|line| line.starts_with("kvik_command_duration_seconds_bucket{command=\"set\""))
            .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
            .collect();
        assert_eq!(of_set.len(), BUCKET_POWERS.count() + 1);
        assert!(of_set.is_sorted());
        assert_eq!(of_set.last(), Some(&3.0));
        assert!(page.contains("kvik_command_duration_seconds_sum{command=\"set\"} 0.000012\n"));
        assert!(page.contains("kvik_error_replies_by_code_total{code=\"WRONGTYPE\"} 1\n"));
    }

    #[test]
    fn labels_are_escaped() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}

//! A Grafana board and alert rules for Prometheus, from the table of metrics.

use std::fmt::Write;

use kvik_command::metric::{METRICS, Metric, MetricKind, Section};
use serde_json::{Value, json};

/// A condition on which somebody should be told.
struct Alert {
    name: &'static str,
    /// The metric that it watches, which stands for `{}` in the expression.
    metric: &'static str,
    expr: &'static str,
    minutes: u32,
    severity: &'static str,
    summary: &'static str,
}

const ALERTS: &[Alert] = &[
    Alert {
        name: "KvikLogFailed",
        metric: "aof_last_write_status",
        expr: "{} == 0",
        minutes: 0,
        severity: "critical",
        summary: "The log cannot be written: writes are refused.",
    },
    Alert {
        name: "KvikSnapshotFailed",
        metric: "rdb_last_bgsave_status",
        expr: "{} == 0",
        minutes: 5,
        severity: "critical",
        summary: "The last snapshot failed.",
    },
    Alert {
        name: "KvikMemoryNearlyFull",
        metric: "used_memory",
        expr: "{} > 0.95 * kvik_maxmemory and kvik_maxmemory > 0",
        minutes: 10,
        severity: "warning",
        summary: "More than 95 % of maxmemory is in use.",
    },
    Alert {
        name: "KvikEvictionBehind",
        metric: "current_eviction_exceeded_time",
        expr: "{} > 1000",
        minutes: 1,
        severity: "warning",
        summary: "More memory is used than maxmemory allows, and eviction does not keep up.",
    },
    Alert {
        name: "KvikEvicting",
        metric: "evicted_keys",
        expr: "rate({}[5m]) > 100",
        minutes: 10,
        severity: "info",
        summary: "Keys are deleted to make room.",
    },
    Alert {
        name: "KvikExpiryLate",
        metric: "expiry_lag_ms",
        expr: "{} > 1000",
        minutes: 5,
        severity: "warning",
        summary: "Keys are deleted more than a second after their time.",
    },
    Alert {
        name: "KvikSyncSlow",
        metric: "aof_delayed_fsync",
        expr: "rate({}[5m]) > 0",
        minutes: 5,
        severity: "warning",
        summary: "Writers wait because the disk is too slow.",
    },
    Alert {
        name: "KvikConnectionsRefused",
        metric: "rejected_connections",
        expr: "rate({}[5m]) > 0",
        minutes: 1,
        severity: "warning",
        summary: "Connections are refused: maxclients is reached, or protected mode is on.",
    },
    Alert {
        name: "KvikSlowReaders",
        metric: "client_output_buffer_limit_disconnections",
        expr: "rate({}[5m]) > 0",
        minutes: 5,
        severity: "info",
        summary: "Clients are closed because they do not read their replies.",
    },
    Alert {
        name: "KvikRestarted",
        metric: "uptime_in_seconds",
        expr: "{} < 300",
        minutes: 0,
        severity: "info",
        summary: "The server has been started in the last five minutes.",
    },
];

/// Columns of the board's grid, and those of a panel.
const COLUMNS: usize = 24;
const PANEL: (usize, usize) = (8, 7);

fn exported(name: &str) -> String {
    let found = METRICS.iter().find(|metric| metric.name == name);
    found
        .expect("an alert watches a metric of the table")
        .exported_name()
}

/// `packaging/prometheus-alerts.yml`.
pub(crate) fn alerts() -> String {
    let mut text = String::from(
        "# Written by cargo x docs from xtask/src/packaging.rs and the table of metrics.\n\
         groups:\n  - name: kvik\n    rules:\n",
    );
    let _ = write!(
        text,
        "      - alert: KvikDown\n        expr: up{{job=\"kvik\"}} == 0\n        for: 1m\n        \
         labels:\n          severity: critical\n        annotations:\n          summary: \"The \
         server does not answer.\"\n",
    );
    for alert in ALERTS {
        let expr = alert.expr.replace("{}", &exported(alert.metric));
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {expr}\n        for: {}m\n        labels:\n          \
             severity: {}\n        annotations:\n          summary: \"{}\"\n",
            alert.name, alert.minutes, alert.severity, alert.summary
        );
    }
    text
}

/// `packaging/grafana-dashboard.json`.
pub(crate) fn dashboard() -> String {
    let mut board = Board::default();
    board.row("Commands");
    let name = "kvik_command_calls_total";
    board.panel(
        "Calls per second",
        "",
        "ops",
        &format!("sum by (command) (rate({name}[$__rate_interval]))"),
    );
    let name = "kvik_command_duration_seconds_bucket";
    let p99 =
        format!("histogram_quantile(0.99, sum by (le, command) (rate({name}[$__rate_interval])))");
    board.panel("99th percentile", "", "s", &p99);
    let name = "kvik_error_replies_by_code_total";
    board.panel(
        "Errors per second",
        "",
        "ops",
        &format!("sum by (code) (rate({name}[$__rate_interval]))"),
    );
    board.row("Databases");
    board.panel("Keys", "", "short", "kvik_db_keys");
    board.panel("Keys that expire", "", "short", "kvik_db_keys_expiring");
    board.panel("Bytes", "", "bytes", "kvik_db_bytes");
    for section in Section::ALL {
        let metrics = METRICS.iter().filter(|it| it.section == section);
        let mut numbers = metrics.filter(|it| it.kind != MetricKind::Text).peekable();
        if numbers.peek().is_some() {
            board.row(section.title());
        }
        for metric in numbers {
            board.metric(metric);
        }
    }
    let mut text = serde_json::to_string_pretty(&board.finish()).expect("a tree of texts");
    text.push('\n');
    text
}

#[derive(Default)]
struct Board {
    panels: Vec<Value>,
    x: usize,
    y: usize,
}

impl Board {
    fn row(&mut self, title: &str) {
        self.break_line();
        let place = json!({"h": 1, "w": COLUMNS, "x": 0, "y": self.y});
        self.add(json!({"type": "row", "title": title, "gridPos": place, "collapsed": false}));
        self.y += 1;
    }

    fn metric(&mut self, metric: &Metric) {
        let name = metric.exported_name();
        let unit = match metric.name {
            name if name.contains("memory") || name.contains("bytes") => "bytes",
            name if name.ends_with("_ms") => "ms",
            name if name.ends_with("_sec") || name.ends_with("seconds") => "s",
            _ => "short",
        };
        match metric.kind {
            MetricKind::Counter => {
                let expr = format!("rate({name}[$__rate_interval])");
                self.panel(metric.name, metric.about, unit, &expr);
            }
            _ => self.panel(metric.name, metric.about, unit, &name),
        }
    }

    fn panel(&mut self, title: &str, about: &str, unit: &str, expr: &str) {
        let (width, height) = PANEL;
        if self.x + width > COLUMNS {
            self.break_line();
        }
        let place = json!({"h": height, "w": width, "x": self.x, "y": self.y});
        self.x += width;
        self.add(json!({
            "type": "timeseries",
            "title": title,
            "description": about,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
            "gridPos": place,
            "targets": [{"expr": expr, "refId": "A"}],
        }));
    }

    fn break_line(&mut self) {
        if self.x > 0 {
            self.x = 0;
            self.y += PANEL.1;
        }
    }

    fn add(&mut self, mut panel: Value) {
        panel["id"] = json!(self.panels.len() + 1);
        self.panels.push(panel);
    }

    fn finish(self) -> Value {
        json!({
            "title": "kvik",
            "uid": "kvik",
            "tags": ["kvik"],
            "schemaVersion": 39,
            "refresh": "10s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": [{
                "name": "datasource",
                "type": "datasource",
                "query": "prometheus",
            }]},
            "panels": self.panels,
        })
    }
}

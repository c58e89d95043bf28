//! The table of docs/metrics.md: which metrics and labels there are.

use std::collections::BTreeSet;

use super::promql;
use super::shipped::recorded;
use crate::blessed::text_of;

/// The labels that `owner` stands for in the table.
const OWNER: [&str; 7] = ["runtime", "container_id", "pod_uid", "unit", "cgroup", "comm", "pid"];

/// What others than the exporter give: Prometheus itself and kube-state-metrics.
const FOREIGN_METRICS: [&str; 3] = ["up", "ALERTS", "kube_pod_info"];
const FOREIGN_LABELS: [&str; 8] =
    ["__name__", "job", "instance", "le", "alertname", "alertstate", "host", "cluster"];

/// Names that an expression may use.
#[derive(Debug)]
pub(super) struct Known {
    /// Metrics of the table, as they are called there.
    pub exported: BTreeSet<String>,
    /// Those and what is made of them: recorded series, the series of histograms, and what others export.
    pub metrics: BTreeSet<String>,
    pub labels: BTreeSet<String>,
}

impl Known {
    /// Reads the table.
    pub(super) fn read() -> Known {
        let text = text_of("docs/metrics.md");
        let table = text.split("| metric | type | labels |").nth(1).unwrap();
        let (mut exported, mut metrics, mut labels) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for row in table.lines().skip(2).take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [_, name, kind, of, ..] = cells.as_slice() else { panic!("{row}") };
            let name = name.trim_matches('`');
            assert!(exported.insert(name.to_owned()), "{name} is twice in the table");
            match *kind {
                "gauge" => assert!(!name.ends_with("_total"), "{row}"),
                "counter" => assert!(name.ends_with("_total"), "{row}"),
                "histogram" => {
                    metrics.extend(["bucket", "count", "sum"].map(|suffix| format!("{name}_{suffix}")));
                }
                other => panic!("{name}: what is a {other:?}?"),
            }
            labels.extend(
                of.split('`').skip(1).step_by(2).filter(|label| *label != "owner").map(str::to_owned),
            );
        }
        metrics.extend(exported.iter().cloned().chain(recorded()));
        metrics.extend(FOREIGN_METRICS.map(str::to_owned));
        labels.extend(OWNER.iter().chain(&FOREIGN_LABELS).map(|label| (*label).to_owned()));
        Known { exported, metrics, labels }
    }

    /// What an expression names and nobody exports, a line for each.
    pub(super) fn lacks(&self, place: &str, expr: &str) -> Vec<String> {
        let names = promql::names(expr);
        let metrics =
            names.metrics.difference(&self.metrics).map(|name| format!("{place}: no metric {name}: {expr}"));
        metrics
            .chain(
                names.labels.difference(&self.labels).map(|name| format!("{place}: no label {name}: {expr}")),
            )
            .collect()
    }
}

//! The list of metrics and its document: one holds the other.

use aioinspect_render::metrics_list::{ALL, OWNER};

use crate::blessed::text_of;

/// Check that docs/metrics.md has a line for each metric, with its kind and labels, and none for another.
#[test]
fn the_document_is_the_list() {
    let document = text_of("docs/metrics.md");
    let rows: Vec<Vec<String>> = document
        .lines()
        .filter(|line| line.starts_with("| `aio") || line.starts_with("| `process_"))
        .map(|line| line.split('|').skip(1).map(|cell| cell.trim().replace('`', "")).collect())
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| &*row[0]).collect();
    for metric in ALL {
        let row = rows.iter().find(|row| row[0] == metric.name);
        let row = row.unwrap_or_else(|| panic!("docs/metrics.md has no line for {}", metric.name));
        assert_eq!(row[1], metric.kind.word(), "{}", metric.name);
        let mut labels: Vec<&str> =
            row[2].split([',', ' ']).filter(|label| !label.is_empty() && *label != "-").collect();
        if labels.first() == Some(&"owner") {
            labels.splice(..1, OWNER.iter().copied());
        }
        assert_eq!(labels, metric.labels, "{}", metric.name);
    }
    assert_eq!(names.len(), ALL.len(), "{names:?}");
}

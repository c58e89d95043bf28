//! What each panel of the dashboard would draw: every query of it, asked as Grafana asks it.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::driver::{Prometheus, encoded};
use super::shipped::filled;

/// One query of a panel.
#[derive(Clone, Debug)]
pub struct Query {
    /// The panel's title.
    pub panel: String,
    /// The expression, with all instances chosen.
    pub expr: String,
    /// For the value of now, not for a line over time.
    is_instant: bool,
}

/// A panel that has nothing to draw in a situation, and why.
pub type Empty = (&'static str, &'static str);

/// How long the line is that is asked for, in seconds.
const RANGE_S: u64 = 120;

impl Query {
    /// How many points there are to draw: numbers, since a line of NaN is none. What Prometheus says if it takes offence.
    pub fn points(&self, prometheus: &Prometheus) -> Result<usize, String> {
        let expr = encoded(&self.expr);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let data = prometheus.try_ask(&if self.is_instant {
            format!("/api/v1/query?query={expr}")
        } else {
            format!("/api/v1/query_range?query={expr}&start={}&end={now}&step=1", now - RANGE_S)
        })?;
        let series = data["result"].as_array().ok_or_else(|| format!("no result: {data}"))?;
        let of = |one: &Value| match one["values"].as_array() {
            Some(values) => values.iter().filter(|value| is_number(value)).count(),
            None => usize::from(is_number(&one["value"])),
        };
        Ok(series.iter().map(of).sum())
    }
}

/// Whether a pair of time and value has a value that can be drawn.
fn is_number(pair: &Value) -> bool {
    pair[1].as_str().and_then(|value| value.parse::<f64>().ok()).is_some_and(f64::is_finite)
}

/// Every query of every panel, those of folded rows as well.
pub fn queries(board: &Value) -> Vec<Query> {
    let top = board["panels"].as_array().unwrap().iter();
    let panels =
        top.flat_map(|panel| [panel].into_iter().chain(panel["panels"].as_array().into_iter().flatten()));
    let of = |panel: &Value| {
        let title = panel["title"].as_str().unwrap().to_owned();
        let targets = panel["targets"].as_array().cloned().unwrap_or_default();
        targets.into_iter().map(move |target| Query {
            panel: title.clone(),
            expr: filled(target["expr"].as_str().unwrap()),
            is_instant: target["instant"] == true,
        })
    };
    panels.flat_map(of).collect()
}

/// Waits until every query has points, but for those of the panels that must be empty, which must have none. `stir` is called before each look.
///
/// # Panics
/// If one stays empty for half a minute, if Prometheus takes offence at one, or if one has points that must have none.
pub fn all_draw(prometheus: &Prometheus, board: &Value, empty: &[Empty], mut stir: impl FnMut()) {
    let (mut open, nothing): (Vec<Query>, Vec<Query>) =
        queries(board).into_iter().partition(|query| !empty.iter().any(|(panel, _)| *panel == query.panel));
    let points = |query: &Query| {
        query.points(prometheus).unwrap_or_else(|why| panic!("{}: {}: {why}", query.panel, query.expr))
    };
    let (all, begun) = (open.len(), std::time::Instant::now());
    assert!(all > 30, "only {all} queries found");
    while !open.is_empty() {
        stir();
        open.retain(|query| points(query) == 0);
        assert!(begun.elapsed().as_secs() < 30, "nothing to draw: {open:#?}");
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    for (panel, why) in empty {
        let of: Vec<&Query> = nothing.iter().filter(|query| query.panel == *panel).collect();
        assert!(!of.is_empty(), "the dashboard has no panel {panel:?}");
        for query in of {
            assert_eq!(points(query), 0, "{panel}: there is something to draw, though {why}: {}", query.expr);
        }
    }
    println!("{all} queries of panels drawn after {:?}, {} panels empty", begun.elapsed(), empty.len());
}

/// Check that the check can fail: on an expression that is none, and on one without an answer.
pub fn can_fail(prometheus: &Prometheus) {
    for is_instant in [false, true] {
        let query = |expr: &str| Query { panel: "none".to_owned(), expr: expr.to_owned(), is_instant };
        let why = query("sum((").points(prometheus).unwrap_err();
        assert!(why.contains("parse error"), "{why}");
        assert_eq!(query("aio_no_such_metric").points(prometheus), Ok(0));
        assert_eq!(query("0 / (aio_system_limit_events * 0)").points(prometheus), Ok(0));
        assert!(query("aio_system_limit_events").points(prometheus).unwrap() > 0);
    }
}

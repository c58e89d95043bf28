//! The one list of metrics: documents, rules, dashboard and tests are held against it.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, from the start of the exporter.
    Counter,
    /// How often a duration fell into which range.
    Histogram,
}

impl MetricKind {
    /// The word of the exposition format.
    pub fn word(self) -> &'static str {
        match self {
            MetricKind::Gauge => "gauge",
            MetricKind::Counter => "counter",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with `_total` for counters.
    pub name: &'static str,
    /// Gauge, counter or histogram.
    pub kind: MetricKind,
    /// Its labels besides `pid`, which comes with the owner's where each process is told apart.
    pub labels: &'static [&'static str],
    /// One line for who reads it in the exposition.
    pub help: &'static str,
}

/// The labels of an owner. Empty ones are left out of a series.
pub const OWNER: &[&str] = &["runtime", "container_id", "pod_uid", "unit", "cgroup", "comm"];
const OWNER_ERRNO: &[&str] = &["runtime", "container_id", "pod_uid", "unit", "cgroup", "comm", "errno"];
const OWNER_NAMES: &[&str] = &[
    "runtime",
    "container_id",
    "pod_uid",
    "unit",
    "cgroup",
    "comm",
    "pod",
    "namespace",
    "container",
    "image",
];

macro_rules! metrics {
    ($($id:ident = $name:literal, $kind:ident, $labels:expr, $help:literal;)*) => {
        $(#[doc = $help] pub const $id: Metric = Metric { name: $name, kind: MetricKind::$kind, labels: $labels, help: $help };)*

        /// All of them, in the order in which they are exported.
        pub const ALL: &[Metric] = &[$($id,)*];
    };
}

metrics! {
    RESERVED = "aio_system_reserved_events", Gauge, &[], "fs.aio-nr: slots that all contexts of the host have reserved; may exceed the limit.";
    LIMIT = "aio_system_limit_events", Gauge, &[], "fs.aio-max-nr: how many slots can be reserved.";
    UNATTRIBUTED = "aio_system_unattributed_events", Gauge, &[], "Reserved slots that belong to no context that was found: contexts in other PID namespaces, or created or destroyed just now.";
    CONTEXTS = "aio_contexts", Gauge, OWNER, "Live AIO contexts.";
    OWNER_RESERVED = "aio_reserved_events", Gauge, OWNER, "Slots that the contexts reserve: the sum of max_reqs.";
    RING_SLOTS = "aio_ring_slots", Gauge, OWNER, "Ring entries: the sum of nr_events. Not slots of fs.aio-nr.";
    RING_MEMORY = "aio_ring_memory_bytes", Gauge, OWNER, "Memory of the rings, in bytes.";
    IN_FLIGHT = "aio_inflight_requests", Gauge, OWNER, "Requests in flight: submitted and not completed.";
    UNREAPED = "aio_unreaped_completions", Gauge, OWNER, "Completions in the rings that the process has not reaped.";
    MAX_FILL = "aio_context_max_fill_ratio", Gauge, OWNER, "How full the fullest ring is: requests in flight and unreaped completions per usable ring entry, 0 to 1.";
    STRANDED = "aio_stranded_credits", Gauge, OWNER, "Requests that io_submit would accept only on some CPUs, in contexts where it now fails on other CPUs.";
    GHOSTS = "aio_ghost_rings", Gauge, OWNER, "Rings that are mapped without a context, as a fork inherits them.";
    DYING = "aio_dying_contexts", Gauge, OWNER, "Contexts that io_destroy, exit or exec removed from the kernel's table and whose requests it still waits for.";
    DYING_OLDEST = "aio_dying_oldest_seconds", Gauge, OWNER, "How long the oldest dying context has been waited for, in seconds.";
    OWNER_INFO = "aio_owner_info", Gauge, OWNER_NAMES, "Names of an owner, if the container's OCI bundle could be read; always 1.";
    SETUP_CALLS = "aio_setup_calls_total", Counter, &["result"], "Calls of io_setup by result: ok or the errno.";
    SETUP_FAILURES = "aio_setup_failures_total", Counter, OWNER_ERRNO, "Calls of io_setup that failed.";
    REJECTED = "aio_setup_rejected_events_total", Counter, &[], "Slots requested by calls of io_setup that failed with EAGAIN.";
    DESTROY_DURATION = "aio_destroy_duration_seconds", Histogram, &[], "How long io_destroy took: it waits for requests in flight.";
    SUBMIT_CALLS = "aio_submit_calls_total", Counter, OWNER, "Calls of io_submit (with --collect submit).";
    SUBMIT_ERRORS = "aio_submit_errors_total", Counter, OWNER_ERRNO, "Calls of io_submit that failed (with --collect submit).";
    SUBMIT_SHORT = "aio_submit_short_total", Counter, OWNER, "Calls of io_submit that accepted fewer requests than they were given (with --collect submit).";
    BUILD_INFO = "aioinspect_build_info", Gauge, &["version"], "Version of the exporter; always 1.";
    SCAN_DURATION = "aioinspect_scan_duration_seconds", Gauge, &[], "How long it took to read all contexts of the host for this scrape, in seconds.";
    LOST_EVENTS = "aioinspect_lost_events_total", Counter, &[], "Calls that the exporter missed: its counters lack them, its gauges do not.";
    DROPPED_SERIES = "aioinspect_dropped_series", Gauge, &[], "Series that are missing because their owners are beyond --max-owners; they are summed as comm=\"other\".";
    PROBE_ATTACHED = "aioinspect_probe_attached", Gauge, &["probe"], "Where in the kernel the calls are observed; 1 for each attached probe.";
    START_TIME = "process_start_time_seconds", Gauge, &[], "When the exporter started, in seconds since 1970.";
    RESIDENT = "process_resident_memory_bytes", Gauge, &[], "Resident memory of the exporter.";
    CPU = "process_cpu_seconds_total", Counter, &[], "CPU time of the exporter, user and system.";
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check Prometheus' rules for names: what promtool would complain about.
    #[test]
    fn names_follow_the_conventions() {
        for (place, metric) in ALL.iter().enumerate() {
            assert!(
                metric.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{}",
                metric.name
            );
            assert_eq!(
                metric.kind == MetricKind::Counter,
                metric.name.ends_with("_total"),
                "{}",
                metric.name
            );
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
            assert!(ALL.iter().skip(place + 1).all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}

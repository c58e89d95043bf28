//! The one list of metrics: documents, rules, dashboard and tests are held against it.

/// What kind of number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It goes up and down.
    Gauge,
    /// It only goes up, from the start of the exporter.
    Counter,
    /// How often a duration fell into which range.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Gauge => "gauge",
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, with `_total` for counters.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Its labels besides `pid`, which comes with the owner's where each process is told apart.
    pub labels: &'static [&'static str],
    /// One line for who reads it in the exposition.
    pub help: &'static str,
}

/// The labels of an owner. Empty ones are left out of a series.
pub const OWNER: &[&str] = &["runtime", "container_id", "pod_uid", "unit", "comm"];
const OWNER_ERRNO: &[&str] = &["runtime", "container_id", "pod_uid", "unit", "comm", "errno"];
const OWNER_NAMES: &[&str] =
    &["runtime", "container_id", "pod_uid", "unit", "comm", "pod", "namespace", "container", "image"];

macro_rules! metrics {
    ($($id:ident = $name:literal, $kind:ident, $labels:expr, $help:literal;)*) => {
        $(#[doc = $help] pub const $id: Metric = Metric { name: $name, kind: Kind::$kind, labels: $labels, help: $help };)*

        /// All of them, in the order in which they are exported.
        pub const ALL: &[Metric] = &[$($id,)*];
    };
}

metrics! {
    RESERVED = "aio_system_reserved_events", Gauge, &[], "fs.aio-nr: slots that all contexts of the host hold; it may exceed the limit.";
    LIMIT = "aio_system_limit_events", Gauge, &[], "fs.aio-max-nr: slots there are.";
    UNATTRIBUTED = "aio_system_unattributed_events", Gauge, &[], "Slots that no context found accounts for: contexts in other PID namespaces, or coming or going.";
    CONTEXTS = "aio_contexts", Gauge, OWNER, "AIO contexts.";
    OWNER_RESERVED = "aio_reserved_events", Gauge, OWNER, "Sum of max_reqs: what the contexts cost of fs.aio-max-nr.";
    RING_SLOTS = "aio_ring_slots", Gauge, OWNER, "Slots of the completion rings (nr_events).";
    RING_MEMORY = "aio_ring_memory_bytes", Gauge, OWNER, "Bytes of the completion rings.";
    IN_FLIGHT = "aio_inflight_requests", Gauge, OWNER, "Requests submitted and not completed.";
    UNREAPED = "aio_unreaped_completions", Gauge, OWNER, "Completions in the rings that nobody reaped.";
    MAX_FILL = "aio_context_max_fill_ratio", Gauge, OWNER, "The fullest ring: in flight and unreaped by usable slots, 0 to 1.";
    STRANDED = "aio_stranded_credits", Gauge, OWNER, "Requests that io_submit could take on some CPUs only, in contexts where it fails now on others.";
    GHOSTS = "aio_ghost_rings", Gauge, OWNER, "Rings mapped without a context: what a fork inherits.";
    DYING = "aio_dying_contexts", Gauge, OWNER, "Contexts that io_destroy, exit or exec has taken out of the table, and whose requests it waits for.";
    DYING_OLDEST = "aio_dying_oldest_seconds", Gauge, OWNER, "For how long the oldest of them has been waited for.";
    OWNER_INFO = "aio_owner_info", Gauge, OWNER_NAMES, "Names of an owner, where the container's OCI bundle could be read; always 1.";
    SETUP_CALLS = "aio_setup_calls_total", Counter, &["result"], "Calls of io_setup by how they ended: ok or the errno.";
    SETUP_FAILURES = "aio_setup_failures_total", Counter, OWNER_ERRNO, "Calls of io_setup that failed.";
    REJECTED = "aio_setup_rejected_events_total", Counter, &[], "Slots asked for by calls of io_setup that failed with EAGAIN.";
    DESTROY_DURATION = "aio_destroy_duration_seconds", Histogram, &[], "How long io_destroy took: it waits for requests in flight.";
    SUBMIT_CALLS = "aio_submit_calls_total", Counter, OWNER, "Calls of io_submit (with --collect submit).";
    SUBMIT_ERRORS = "aio_submit_errors_total", Counter, OWNER_ERRNO, "Calls of io_submit that failed (with --collect submit).";
    SUBMIT_SHORT = "aio_submit_short_total", Counter, OWNER, "Calls of io_submit that took fewer requests than they were given (with --collect submit).";
    BUILD_INFO = "aioinspect_build_info", Gauge, &["version"], "The exporter; always 1.";
    SCAN_DURATION = "aioinspect_scan_duration_seconds", Gauge, &[], "How long reading every context of the host took for this scrape.";
    LOST_EVENTS = "aioinspect_lost_events_total", Counter, &[], "Events the exporter did not see: its counters miss them, its gauges do not.";
    DROPPED_SERIES = "aioinspect_dropped_series", Gauge, &[], "Series that are missing because their owners are beyond the limit and summed as comm=\"other\".";
    PROBE_ATTACHED = "aioinspect_probe_attached", Gauge, &["probe"], "Where in the kernel the calls are seen; 1 for the probe in use.";
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
            assert_eq!(metric.kind == Kind::Counter, metric.name.ends_with("_total"), "{}", metric.name);
            assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{}", metric.name);
            assert!(ALL.iter().skip(place + 1).all(|other| other.name != metric.name), "{}", metric.name);
        }
    }
}

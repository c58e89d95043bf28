//! Metrics for Prometheus, from one picture and the counts so far: written at the scrape, so that series end with their owner.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, GaugeValueEncoder, MetricEncoder,
    NoLabelSet, prometheus_protobuf, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::{CounterWithExemplar, Exemplar};
use prometheus_client::metrics::histogram::{Histogram, NativeHistogramConfig};
use prometheus_client::registry::Registry;

use crate::escape::escaped;
use crate::fields::{Field, float};
use crate::metrics_list::{self as list, Metric, MetricKind};
use aioinspect_model::call_counts::CallCounts;
use aioinspect_model::container_names::Names;
use aioinspect_model::errno;
use aioinspect_model::owner_sums::{OwnerLabels, OwnerSums};
use aioinspect_model::picture::SystemView;
use aioinspect_model::submit_counts::SubmitSums;

/// Bounds of the classic histogram of io_destroy, seconds: an idle context takes some tens of milliseconds (RCU), one with requests in
/// flight as long as they do.
const DESTROY_BOUNDS: [f64; 10] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0, 100.0];
/// Buckets of the native one at most: 2^(1/8) apart, from a microsecond to days.
const NATIVE_BUCKETS: usize = 160;

/// How long calls of io_destroy took. A copy counts on with the original.
pub fn destroy_durations() -> Histogram {
    let native = NativeHistogramConfig::with_schema(3).max_buckets(NATIVE_BUCKETS);
    Histogram::new_classic_and_native(DESTROY_BOUNDS, native)
}

/// What the exporter is and costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Exporter {
    /// The hook in use; `None`: nothing is attached.
    pub probe: Option<&'static str>,
    /// What the last reading of the host took, nanoseconds.
    pub scan_ns: u64,
    /// When it started, seconds since 1970.
    pub started: f64,
    /// Resident memory, bytes.
    pub resident: u64,
    /// CPU time so far, seconds.
    pub cpu: f64,
}

/// Everything one scrape shows.
#[derive(Clone, Debug)]
pub struct Exposition {
    /// The host's sums.
    pub system: SystemView,
    /// What the contexts of each owner come to.
    pub owners: OwnerSums,
    /// Names of those owners that have any.
    pub names: Vec<(OwnerLabels, Names)>,
    /// Calls of io_setup and their failures, since the exporter started.
    pub call_counts: CallCounts,
    /// How long calls of io_destroy took.
    pub destroys: Histogram,
    /// Calls of io_submit, where they are counted.
    pub submits: Option<SubmitSums>,
    /// The exporter itself.
    pub exporter: Exporter,
}

/// The formats, as content negotiation names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' text format 0.0.4.
    Text,
    /// OpenMetrics 1.0: the same with exemplars.
    OpenMetrics,
    /// Prometheus' protobuf: the one with native histograms.
    Protobuf,
}

impl Format {
    /// The best of those that an Accept header takes: by its q-values, and among equal ones the richest; text if it takes none.
    pub fn negotiated(accept: &str) -> Format {
        let mut best = (Format::Text, 0.0);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<String> = parts.map(str::to_ascii_lowercase).collect();
            let has = |wanted: &str| parameters.iter().any(|parameter| parameter == wanted);
            let format = match &*media {
                "application/vnd.google.protobuf"
                    if has("proto=io.prometheus.client.metricfamily") && has("encoding=delimited") =>
                {
                    Format::Protobuf
                }
                "application/openmetrics-text"
                    if has("version=1.0.0") || !parameters.iter().any(|one| one.starts_with("version=")) =>
                {
                    Format::OpenMetrics
                }
                "text/plain" | "text/*" | "*/*" => Format::Text,
                _ => continue,
            };
            let q = parameters.iter().find_map(|one| one.strip_prefix("q=")?.parse::<f64>().ok());
            let q = q.unwrap_or(1.0);
            if q > best.1 {
                best = (format, q);
            }
        }
        best.0
    }

    /// For the header Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Format::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }
}

/// Writes it all.
pub fn render(exposition: Arc<Exposition>, format: Format) -> Result<Vec<u8>, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Collected(exposition)));
    match format {
        Format::Text => {
            let mut text = String::with_capacity(1 << 14);
            prometheus_text::encode(&mut text, &registry)?;
            Ok(text.into_bytes())
        }
        Format::OpenMetrics => {
            let mut text = String::with_capacity(1 << 14);
            text::encode(&mut text, &registry)?;
            Ok(text.into_bytes())
        }
        Format::Protobuf => prometheus_protobuf::encode_to_vec(&registry).map_err(|_| fmt::Error),
    }
}

#[derive(Debug)]
struct Collected(Arc<Exposition>);

type Labels<'a> = Vec<(&'static str, Cow<'a, str>)>;

impl Collector for Collected {
    fn encode(&self, mut out: DescriptorEncoder<'_>) -> fmt::Result {
        self.host(&mut out)?;
        self.owners(&mut out)?;
        self.names(&mut out)?;
        self.calls(&mut out)?;
        self.submits(&mut out)?;
        self.exporter(&mut out)
    }
}

impl Collected {
    fn host(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let system = &self.0.system;
        one_gauge(out, list::RESERVED, &system.aio_nr)?;
        one_gauge(out, list::LIMIT, &system.aio_max_nr)?;
        match system.unattributed {
            Some(slots) => one_gauge(out, list::UNATTRIBUTED, &slots),
            None => Ok(()),
        }
    }

    /// What the table of fields sums by owner. What is not known is no series, never 0.
    fn owners(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for metric in list::ALL {
            let Some(field) = Field::ALL.iter().find(|field| field.row().metric == Some(*metric)) else {
                continue;
            };
            let mut family = describe(out, *metric)?;
            for (owner, sums) in &self.0.owners.owners {
                if let Some(value) = field.measured(sums) {
                    family.encode_family(&labels(owner))?.encode_gauge(&Number(value))?;
                }
            }
        }
        Ok(())
    }

    fn names(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let mut family = describe(out, list::OWNER_INFO)?;
        for (key, names) in &self.0.names {
            let mut labels = labels(key);
            let more = [
                ("pod", &names.pod),
                ("namespace", &names.namespace),
                ("container", &names.container),
                ("image", &names.image),
            ];
            labels.extend(more.into_iter().filter(|(_, value)| !value.is_empty()).map(label));
            family.encode_family(&labels)?.encode_gauge(&1_u64)?;
        }
        Ok(())
    }

    fn calls(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let call_counts = &self.0.call_counts;
        let mut family = describe(out, list::SETUP_CALLS)?;
        for (result, count) in call_counts.calls() {
            count_of(&mut family, &vec![("result", Cow::Borrowed(result))], &count)?;
        }
        let mut family = describe(out, list::SETUP_FAILURES)?;
        for ((key, errno), failures) in &call_counts.failures {
            let mut labels = labels(key);
            labels.push(("errno", errno::name(*errno)));
            let counter = CounterWithExemplar::<Labels<'_>>::default();
            counter.inc_by(failures.count.saturating_sub(1), None, None);
            let pid = vec![("pid", Cow::Owned(failures.pid.to_string()))];
            let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_nanos(failures.unix_ns));
            counter.inc_by(failures.count.min(1), Some(pid), at);
            counter.encode(family.encode_family(&labels)?)?;
        }
        one_count(out, list::REJECTED, &call_counts.rejected_events)?;
        self.0.destroys.encode(describe(out, list::DESTROY_DURATION)?)
    }

    fn submits(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(submits) = &self.0.submits else { return Ok(()) };
        let mut family = describe(out, list::SUBMIT_CALLS)?;
        for (key, counts) in &submits.owners {
            count_of(&mut family, &labels(key), &counts.calls)?;
        }
        let mut family = describe(out, list::SUBMIT_ERRORS)?;
        for ((key, errno), count) in &submits.errors {
            let mut labels = labels(key);
            labels.push(("errno", errno::name(*errno)));
            count_of(&mut family, &labels, count)?;
        }
        let mut family = describe(out, list::SUBMIT_SHORT)?;
        for (key, counts) in &submits.owners {
            count_of(&mut family, &labels(key), &counts.short)?;
        }
        Ok(())
    }

    fn exporter(&self, out: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let exporter = &self.0.exporter;
        let version = vec![("version", Cow::Borrowed(env!("CARGO_PKG_VERSION")))];
        describe(out, list::BUILD_INFO)?.encode_family(&version)?.encode_gauge(&1_u64)?;
        one_gauge(out, list::SCAN_DURATION, &(float(exporter.scan_ns) / 1e9))?;
        one_count(out, list::LOST_EVENTS, &self.0.call_counts.lost)?;
        one_gauge(out, list::DROPPED_SERIES, &self.dropped())?;
        let mut family = describe(out, list::PROBE_ATTACHED)?;
        if let Some(probe) = exporter.probe {
            family.encode_family(&vec![("probe", Cow::Borrowed(probe))])?.encode_gauge(&1_u64)?;
        }
        one_gauge(out, list::START_TIME, &exporter.started)?;
        one_gauge(out, list::RESIDENT, &exporter.resident)?;
        one_count(out, list::CPU, &exporter.cpu)
    }

    /// Of every metric by owner, the series there would be without a limit: gauges, of the owners that are summed with the others now; counters,
    /// of all that ever were.
    fn dropped(&self) -> u64 {
        let of_all = |one: &&Metric| {
            one.kind == MetricKind::Gauge && one.labels == list::OWNER && **one != list::DYING_OLDEST
        };
        let gauges = list::ALL.iter().filter(of_all).count();
        let owners = &self.0.owners;
        let of_gauges = owners.folded.saturating_mul(gauges).saturating_add(owners.folded_dying);
        let of_submits = self.0.submits.as_ref().map_or(0, SubmitSums::missing);
        let missing = of_gauges.saturating_add(self.0.call_counts.missing()).saturating_add(of_submits);
        u64::try_from(missing).unwrap_or(u64::MAX)
    }
}

/// A number that is written without a fraction where it has none.
#[derive(Debug)]
struct Number(f64);

impl EncodeGaugeValue for Number {
    fn encode(&self, encoder: &mut GaugeValueEncoder<'_>) -> fmt::Result {
        // Up to here every whole number is a double.
        const WHOLE: f64 = 9_007_199_254_740_992.0;
        if self.0.fract() == 0.0 && self.0.abs() <= WHOLE {
            #[expect(clippy::cast_possible_truncation, reason = "it is whole, and in range")]
            return EncodeGaugeValue::encode(&(self.0 as i64), encoder);
        }
        EncodeGaugeValue::encode(&self.0, encoder)
    }
}

/// The labels of an owner; empty ones are none to Prometheus.
fn labels(key: &OwnerLabels) -> Labels<'_> {
    let owner = &key.owner;
    let parts = [
        ("runtime", &owner.runtime),
        ("container_id", &owner.container),
        ("pod_uid", &owner.pod),
        ("unit", &owner.unit),
        ("cgroup", &owner.cgroup),
    ];
    let mut labels: Labels<'_> =
        parts.into_iter().filter(|(_, value)| !value.is_empty()).map(label).collect();
    labels.push(("comm", escaped(&key.comm)));
    labels.extend(key.pid.map(|pid| ("pid", Cow::Owned(pid.to_string()))));
    labels
}

fn label<'a>((name, value): (&'static str, &'a String)) -> (&'static str, Cow<'a, str>) {
    (name, escaped(value.as_bytes()))
}

fn describe<'e>(out: &'e mut DescriptorEncoder<'_>, metric: Metric) -> Result<MetricEncoder<'e>, fmt::Error> {
    let kind = match metric.kind {
        MetricKind::Gauge => MetricType::Gauge,
        MetricKind::Counter => MetricType::Counter,
        MetricKind::Histogram => MetricType::Histogram,
    };
    // The formats add the suffix where they want it.
    let name = metric.name.strip_suffix("_total").unwrap_or(metric.name);
    out.encode_descriptor(name, metric.help, None, kind)
}

fn one_gauge(out: &mut DescriptorEncoder<'_>, metric: Metric, value: &impl EncodeGaugeValue) -> fmt::Result {
    describe(out, metric)?.encode_gauge(value)
}

fn one_count(
    out: &mut DescriptorEncoder<'_>,
    metric: Metric,
    value: &impl EncodeCounterValue,
) -> fmt::Result {
    describe(out, metric)?.encode_counter(value, None::<&Exemplar<NoLabelSet, f64>>)
}

fn count_of(
    family: &mut MetricEncoder<'_>,
    labels: &Labels<'_>,
    value: &impl EncodeCounterValue,
) -> fmt::Result {
    family.encode_family(labels)?.encode_counter(value, None::<&Exemplar<NoLabelSet, f64>>)
}

#[cfg(test)]
mod tests;

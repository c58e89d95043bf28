//! Between the watch and the server: counts what happens, and makes a reading of the host when one is asked for.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant as Moment, sleep_until};

use crate::commands::watch::submit_failures::is_end;
use aioinspect_kernel::host::clock;
use aioinspect_kernel::host::containers::Containers;
use aioinspect_kernel::host::own_usage::own_usage;
use aioinspect_kernel::proc::files::{ProcDir, cgroup_of};
use aioinspect_kernel::trace::submits::Submits;
use aioinspect_model::call_counts::CallCounts;
use aioinspect_model::container_names::Names;
use aioinspect_model::event::{Event, Timed, WatchStatus};
use aioinspect_model::owner::owner;
use aioinspect_model::owner_sums::{OwnerLabels, by_labels};
use aioinspect_model::picture::{Owner, Picture};
use aioinspect_model::submit_counts::{SubmitCount, SubmitSums, Submitter};
use aioinspect_model::units::Pid;
use aioinspect_render::metrics::{Exporter, Exposition, destroy_durations};
use aioinspect_render::owner_name::holders;
use aioinspect_service::http::{Ask, Reading, Site};

use prometheus_client::metrics::histogram::Histogram;

/// How often what is reserved is read for the history: two small files.
const SAMPLE_EVERY: Duration = Duration::from_secs(5);
/// Between two looks at the owners for the history, where nobody asks: where what is reserved changed, at each sample, so that a number that
/// climbs has its owners; else now and then.
const LOOK_LEAST_NS: u64 = 4_000_000_000;
const LOOK_MOST_NS: u64 = 60_000_000_000;
/// When owners are summed again in pictures that others asked for, where as much is reserved as before.
const SUM_AGAIN_NS: u64 = 10_000_000_000;
/// Questions that one reading answers at most.
const TOGETHER: usize = 4096;

/// What is published, and how.
#[derive(Clone, Debug)]
pub(super) struct PublisherOptions {
    /// Owners that have series of their own.
    pub max_owners: usize,
    /// Whether each process is told apart.
    pub per_process: bool,
    /// Where bundles of containers are looked for.
    pub host_root: PathBuf,
}

/// What processes had done at the last reading, and whose they were: who ends before the next one cannot be asked any more.
type Counted = HashMap<Submitter, (SubmitCount, Owner)>;

/// Answers questions for the state of the host, and counts what happens between them.
pub(super) struct Publisher {
    options: PublisherOptions,
    site: Arc<Site>,
    questions: Receiver<Ask>,
    call_counts: CallCounts,
    destroys: Histogram,
    containers: Containers,
    submits: Option<(Submits, SubmitSums, Counted)>,
    started: f64,
    /// Readings are not taken sooner than this: half of the time is for others, however many ask.
    not_before: Moment,
    /// When the next sample for the history is due.
    sample_at: Moment,
}

impl Publisher {
    /// Counts from now on. `submits`: the counts of io_submit, if they are wanted.
    pub(super) fn new(
        options: PublisherOptions,
        site: Arc<Site>,
        questions: Receiver<Ask>,
        submits: Option<Submits>,
    ) -> Self {
        let seconds = Duration::from_nanos(clock::unix_now()).as_secs_f64();
        let sums = SubmitSums::new(options.max_owners);
        Self {
            call_counts: CallCounts::new(options.max_owners, options.per_process),
            containers: Containers::below(options.host_root.clone()),
            options,
            site,
            questions,
            destroys: destroy_durations(),
            submits: submits.map(|submits| (submits, sums, HashMap::new())),
            started: seconds,
            not_before: Moment::now(),
            sample_at: Moment::now(),
        }
    }

    /// Counts what happened, and tells those who follow.
    pub(super) fn happened(&mut self, events: &[Timed]) {
        self.site.stir();
        for timed in events {
            if let Event::Destroy { took_ns, .. } = &timed.event {
                self.destroys.observe(Duration::from_nanos(*took_ns).as_secs_f64());
            }
            self.call_counts.count(timed);
            if let Event::SetupFailed { .. } = &timed.event {
                self.site.history().failed(timed.unix_ns);
            }
        }
        self.site.log.add(events);
    }

    /// The counts of io_submit, if they are wanted.
    pub(super) fn submit_counts(&mut self) -> Option<&mut Submits> {
        self.submits.as_mut().map(|(submits, ..)| submits)
    }

    /// Whether somebody follows the events.
    pub(super) fn is_followed(&self) -> bool {
        self.site.log.is_followed()
    }

    /// Waits until somebody asks for a reading. Nothing is lost if the wait is given up.
    pub(super) async fn asked(&mut self) -> Vec<Ask> {
        sleep_until(self.not_before).await;
        let mut asks = Vec::new();
        self.questions.recv_many(&mut asks, TOGETHER).await;
        if asks.is_empty() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
        asks
    }

    /// When the next sample for the history is due.
    pub(super) fn sample_at(&self) -> Moment {
        self.sample_at
    }

    /// Adds to the history how much is reserved of what limit, if that could be read. Returns whether it wants a picture as well: it has not seen one for a
    /// while, or something changed since; but not while those who ask take as much time as they may.
    pub(super) fn sample(&mut self, slots: Option<(u64, u64)>) -> bool {
        let now = Moment::now();
        self.sample_at = now + SAMPLE_EVERY;
        let Some((reserved, limit)) = slots else { return false };
        let unix_ns = clock::unix_now();
        let mut history = self.site.history();
        history.observe(unix_ns, reserved, limit);
        history.wants_look(unix_ns, reserved, LOOK_LEAST_NS, LOOK_MOST_NS) && self.not_before <= now
    }

    /// Adds a picture to the history, whoever it was taken for. Owners are summed again only where something changed since, or that is
    /// a while ago: the screen takes many pictures.
    pub(super) fn saw(&mut self, picture: &Picture, taken_unix_ns: u64) {
        let (reserved, limit) = (picture.system.aio_nr, picture.system.aio_max_nr);
        let mut history = self.site.history();
        if history.wants_look(taken_unix_ns, reserved, 0, SUM_AGAIN_NS) {
            history.look(taken_unix_ns, reserved, limit, holders(picture));
        } else {
            history.observe(taken_unix_ns, reserved, limit);
        }
    }

    /// Answers all who asked with one reading; `began`: when it was begun to be taken.
    pub(super) fn answer(
        &mut self,
        asks: Vec<Ask>,
        taken: Result<(Picture, WatchStatus), String>,
        began: Moment,
    ) {
        if let Ok((picture, status)) = &taken {
            self.saw(picture, status.taken_unix_ns);
        }
        let reading = taken.map(|(picture, status)| Arc::new(self.reading(picture, status)));
        for ask in asks {
            // Whoever asked may have gone.
            let _ = ask.send(reading.clone());
        }
        let now = Moment::now();
        self.not_before = now + now.duration_since(began);
    }

    fn reading(&mut self, picture: Picture, status: WatchStatus) -> Reading {
        self.site.stir();
        let owners = by_labels(&picture, self.options.per_process, self.options.max_owners);
        let mut called = |(labels, _): &(OwnerLabels, _)| -> Option<(OwnerLabels, Names)> {
            let found = self.containers.names(&labels.owner.container);
            (!found.is_empty()).then(|| (labels.clone(), found))
        };
        let names = owners.owners.iter().filter_map(&mut called).collect();
        let usage = own_usage();
        let submits = self.submits(&picture);
        let exposition = Exposition {
            system: picture.system.clone(),
            owners,
            names,
            call_counts: self.call_counts.clone(),
            destroys: self.destroys.clone(),
            submits,
            exporter: Exporter {
                probe: Some(status.hook),
                scan_ns: status.scan_ns,
                started: self.started,
                resident: usage.resident,
                cpu: usage.cpu_seconds,
            },
        };
        Reading::new(picture, Arc::new(exposition), status, self.site.log.failures())
    }

    /// Adds what was submitted since the last reading to the owners of those who did. The kernel's counts are of processes; one that has
    /// ended is taken out of them. Whose it is the kernel told at its last call; where it did not, it is asked for while it lives.
    fn submits(&mut self, picture: &Picture) -> Option<SubmitSums> {
        let (submits, sums, before) = self.submits.as_mut()?;
        // What cannot be read now is read the next time: the counts only grow.
        if let Ok(counts) = submits.read() {
            let owners: HashMap<Pid, &Owner> =
                picture.contexts.iter().map(|context| (context.pid, &*context.owner)).collect();
            let mut ended = Vec::new();
            for count in counts {
                let who = count.submitter();
                let (last, known) = before.get(&who).map(|(last, known)| (last, known)).unzip();
                if last != Some(&count) {
                    let told = count.owner.as_deref().or_else(|| owners.get(&count.pid).copied());
                    let found = told.cloned();
                    let found = found.or_else(|| read_owner(count.pid)).or_else(|| known.cloned());
                    let owner = found.unwrap_or_default();
                    let pid = self.options.per_process.then_some(count.pid);
                    let labels = OwnerLabels { owner: owner.clone(), comm: count.comm.clone(), pid };
                    sums.add(labels, &count, last);
                    before.insert(who, (count, owner));
                } else if ProcDir::open(who.pid).is_err_and(|error| is_end(&error)) {
                    ended.push(who);
                }
            }
            // What could not be let go of in the kernel is still counted there: it must be remembered here.
            if submits.forget(&ended).is_ok() {
                for who in &ended {
                    before.remove(who);
                }
            }
        }
        Some(sums.clone())
    }
}

fn read_owner(pid: Pid) -> Option<Owner> {
    Some(owner(&cgroup_of(pid).ok()?))
}

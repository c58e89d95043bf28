//! Where the handlers get what they tell: a reading of the host, taken because they ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::http::events::EventLog;
use aioinspect_kernel::host::clock;
use aioinspect_model::event::{Timed, WatchStatus};
use aioinspect_model::history::History;
use aioinspect_model::picture::Picture;
use aioinspect_render::json;
use aioinspect_render::listing::List;
use aioinspect_render::metrics::Exposition;

/// For how long an answer is waited for. A census takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions that may wait; they are all answered by one reading.
const QUESTIONS: usize = 4096;
/// For how long the watcher may be silent before it is said not to be ready: it stirs ten times a second.
const SILENCE_NS: u64 = 10_000_000_000;

/// One reading of the host, and what is made of it.
#[derive(Debug)]
pub struct Reading {
    /// Contexts with findings.
    pub picture: Picture,
    /// The same, summed, with the counts.
    pub exposition: Arc<Exposition>,
    /// How the watch is doing.
    pub status: WatchStatus,
    /// The last failed calls of io_setup, newest first.
    pub failures: Vec<Timed>,
    json: OnceLock<Bytes>,
}

impl Reading {
    /// A reading whose JSON is made when somebody asks for it.
    pub fn new(
        picture: Picture,
        exposition: Arc<Exposition>,
        status: WatchStatus,
        failures: Vec<Timed>,
    ) -> Self {
        Self { picture, exposition, status, failures, json: OnceLock::new() }
    }

    /// The JSON of `list -J`, made once for all who asked for this reading.
    pub fn json(&self) -> Bytes {
        let made = || {
            let mut text = Vec::new();
            // Writing to a Vec cannot fail.
            let _ = json::write(&mut text, &List::from(&self.picture));
            text.shrink_to_fit();
            Bytes::from(text)
        };
        self.json.get_or_init(made).clone()
    }
}

/// Somebody who waits for a reading; an error is why there is none.
pub type Ask = oneshot::Sender<Result<Arc<Reading>, String>>;

/// What the handlers share.
#[derive(Debug)]
pub struct Site {
    asks: mpsc::Sender<Ask>,
    /// What happened lately.
    pub log: EventLog,
    history: Mutex<History>,
    stirred: AtomicU64,
}

impl Site {
    /// A site, and the end at which its questions come out.
    pub fn new() -> (Arc<Self>, mpsc::Receiver<Ask>) {
        let (asks, questions) = mpsc::channel(QUESTIONS);
        let site = Self {
            asks,
            log: EventLog::new(clock::unix_now()),
            history: Mutex::default(),
            stirred: AtomicU64::new(clock::now().0),
        };
        (Arc::new(site), questions)
    }

    /// What was reserved over the last hours. It is locked while it is held: not to be held while something is waited for.
    pub fn history(&self) -> MutexGuard<'_, History> {
        // Each change is whole before the next begins.
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that the watcher is alive.
    pub fn stir(&self) {
        self.stirred.store(clock::now().0, Ordering::Relaxed);
    }

    /// Whether it has been lately.
    pub fn is_ready(&self) -> bool {
        clock::now().0.saturating_sub(self.stirred.load(Ordering::Relaxed)) < SILENCE_NS
    }

    /// A reading that is taken after this question was asked; or why there is none.
    pub async fn reading(&self) -> Result<Arc<Reading>, String> {
        let (answer, answered) = oneshot::channel();
        self.asks.try_send(answer).map_err(|_| "too many questions at once".to_owned())?;
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(reading)) => reading,
            Ok(Err(_)) => Err("the watch has ended".to_owned()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        }
    }
}

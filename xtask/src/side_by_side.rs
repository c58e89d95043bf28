//! Jobs at the same time whose output is told one after the other, as if they had not been.

use std::num::NonZero;
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::command::say;

/// As many jobs as this machine has CPUs.
pub(crate) fn at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs a job for each of `of`, so many at a time, and says what each says: the first one's lines as they come, those of the others when
/// those before them have ended. The results are in the order of `of`.
pub(crate) fn run<T: Sync, R: Send>(
    of: &[T],
    at_once: usize,
    job: impl Fn(&T, &mut dyn FnMut(&str)) -> R + Sync,
) -> Vec<R> {
    tell(of, at_once, job, say)
}

fn tell<T: Sync, R: Send>(
    of: &[T],
    at_once: usize,
    job: impl Fn(&T, &mut dyn FnMut(&str)) -> R + Sync,
    mut say: impl FnMut(&str),
) -> Vec<R> {
    let (senders, receivers): (Vec<_>, Vec<_>) = of.iter().map(|_| mpsc::channel::<Said<R>>()).unzip();
    // One that has ended makes room for the next, whichever is told at that time.
    let waiting = Mutex::new(of.iter().zip(senders));
    let next = || waiting.lock().ok()?.next();
    let work = || {
        while let Some((one, send)) = next() {
            let result = job(one, &mut |line| drop(send.send(Said::Line(line.to_owned()))));
            drop(send.send(Said::Result(result)));
        }
    };
    thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, of.len().max(1)) {
            scope.spawn(work);
        }
        let mut results = Vec::new();
        for said in receivers.into_iter().flatten() {
            match said {
                Said::Line(line) => say(&line),
                Said::Result(result) => results.push(result),
            }
        }
        results
    })
}

/// What comes from a job.
enum Said<R> {
    Line(String),
    Result(R),
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Check that jobs do run at the same time, and that neither lines nor results are mixed.
    #[test]
    fn keeps_the_order() {
        let both = Barrier::new(2);
        let job = |name: &char, say: &mut dyn FnMut(&str)| {
            for nth in 0..3 {
                both.wait();
                say(&format!("{name}{nth}"));
            }
            *name
        };
        let mut said = Vec::new();
        let results = tell(&['a', 'b', 'c', 'd'], 2, job, |line| said.push(line.to_owned()));
        assert_eq!(results, ['a', 'b', 'c', 'd']);
        let expected = ["a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2", "d0", "d1", "d2"];
        assert_eq!(said, expected);
    }

    /// Check that a long job holds none of those behind it back.
    #[test]
    fn leaves_no_place_empty() {
        let others = AtomicUsize::new(0);
        let job = |name: &char, _: &mut dyn FnMut(&str)| {
            if *name == 'a' {
                while others.load(Ordering::Relaxed) < 3 {
                    thread::yield_now();
                }
            } else {
                others.fetch_add(1, Ordering::Relaxed);
            }
        };
        assert_eq!(tell(&['a', 'b', 'c', 'd'], 2, job, |_| ()).len(), 4);
        assert!(tell(&[], 2, job, |_| ()).is_empty());
    }
}

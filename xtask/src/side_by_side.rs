//! Jobs at the same time whose output is told one after the other, as if they had not been.

use std::num::NonZero;
use std::sync::{Mutex, RwLock, mpsc};
use std::thread;

use crate::command::say;

/// As many jobs as this machine has CPUs.
pub(crate) fn at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Where a job runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among so many others as there are CPUs.
    Shared,
    /// Beside those, from the start: it waits more than it works.
    Beside,
    /// When no other does.
    Alone,
}

/// Runs a job for each of `of`, so many of the shared ones at a time, and says what each says: the first one's lines as they come, those of
/// the others when those before them have ended. The results are in the order of `of`.
pub(crate) fn run<T: Sync, R: Send>(
    of: &[T],
    at_once: usize,
    place: impl Fn(&T) -> Place + Sync,
    job: impl Fn(&T, &mut dyn FnMut(&str)) -> R + Sync,
) -> Vec<R> {
    tell(of, at_once, place, job, say)
}

fn tell<T: Sync, R: Send>(
    of: &[T],
    at_once: usize,
    place: impl Fn(&T) -> Place + Sync,
    job: impl Fn(&T, &mut dyn FnMut(&str)) -> R + Sync,
    mut say: impl FnMut(&str),
) -> Vec<R> {
    let (senders, receivers): (Vec<_>, Vec<_>) = of.iter().map(|_| mpsc::channel::<Said<R>>()).unzip();
    let (beside, queue): (Vec<_>, Vec<_>) =
        of.iter().zip(senders).partition(|&(one, _)| place(one) == Place::Beside);
    let workers = at_once.clamp(1, queue.len().max(1));
    // One that has ended makes room for the next, whichever is told at that time.
    let waiting = Mutex::new(queue.into_iter());
    let next = || waiting.lock().ok()?.next();
    // One that is alone waits until no other runs, and holds those back that come meanwhile.
    let others = RwLock::new(());
    let one = |(one, send): (&T, mpsc::Sender<Said<R>>)| {
        let (_among, _alone) = if place(one) == Place::Alone {
            (None, Some(others.write()))
        } else {
            (Some(others.read()), None)
        };
        let result = job(one, &mut |line| drop(send.send(Said::Line(line.to_owned()))));
        drop(send.send(Said::Result(result)));
    };
    let (one, next) = (&one, &next);
    thread::scope(|scope| {
        for own in beside {
            scope.spawn(move || one(own));
        }
        for _ in 0..workers {
            scope.spawn(move || std::iter::from_fn(next).for_each(one));
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
    use std::time::Duration;

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
        let results =
            tell(&['a', 'b', 'c', 'd'], 2, |_| Place::Shared, job, |line| said.push(line.to_owned()));
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
        assert_eq!(tell(&['a', 'b', 'c', 'd'], 2, |_| Place::Shared, job, |_| ()).len(), 4);
        assert!(tell(&[], 2, |_| Place::Shared, job, |_| ()).is_empty());
    }

    /// Check that nothing runs beside a job that is to be alone, and that the others do run at the same time.
    #[test]
    fn leaves_some_alone() {
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let job = |name: &char, _: &mut dyn FnMut(&str)| {
            let beside = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(beside, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(50));
            let still = running.fetch_sub(1, Ordering::SeqCst);
            (*name, beside.max(still))
        };
        let place = |name: &char| if name.is_uppercase() { Place::Alone } else { Place::Shared };
        let results = tell(&['a', 'b', 'C', 'd', 'e'], 2, place, job, |_| ());
        assert_eq!(results.iter().find(|(name, _)| *name == 'C'), Some(&('C', 1)));
        assert_eq!(most.into_inner(), 2);
    }

    /// Check that one beside the others takes none of their places, wherever it stands, and that its result keeps its own.
    #[test]
    fn leaves_the_others_their_places() {
        let all = Barrier::new(3);
        let job = |name: &char, _: &mut dyn FnMut(&str)| {
            all.wait();
            *name
        };
        let place = |name: &char| if name.is_uppercase() { Place::Beside } else { Place::Shared };
        assert_eq!(tell(&['a', 'B', 'c'], 2, place, job, |_| ()), ['a', 'B', 'c']);
    }
}

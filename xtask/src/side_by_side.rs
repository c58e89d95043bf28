//! Jobs at the same time whose output is told one after the other, as if they had not been.

use std::num::NonZero;
use std::sync::mpsc;
use std::thread;

use crate::command::say;

/// As many jobs as this machine has CPUs.
pub fn at_once() -> usize {
    thread::available_parallelism().map_or(1, NonZero::get)
}

/// Runs a job for each of `of`, so many at a time, and says what each says: the first one's lines as they come, those of the others when
/// those before them have ended. The results are in the order of `of`.
pub fn run<T: Sync, R: Send>(
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
    let job = &job;
    let mut results = Vec::new();
    for some in of.chunks(at_once.max(1)) {
        thread::scope(|scope| {
            let start = |one| {
                let (send, lines) = mpsc::channel::<String>();
                let running = scope.spawn(move || job(one, &mut |line| drop(send.send(line.to_owned()))));
                (lines, running)
            };
            let started: Vec<_> = some.iter().map(start).collect();
            for (lines, running) in started {
                for line in lines {
                    say(&line);
                }
                match running.join() {
                    Ok(result) => results.push(result),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
        });
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

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
}

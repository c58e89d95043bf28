//! What became of a target, in the words of the table.

use std::thread;
use std::time::Duration;

use aioinspect_tests::criu::{Net, Round, Scripts};

use crate::bed::{Bed, PATIENCE, hook};
use crate::document::{Table, row};

/// How often requests are looked for again that CRIU alone did not lose.
const TRIES: usize = 5;

/// What a case does before the dump, and what it sees after the restore.
pub(crate) struct Case<'a> {
    /// Its name in the table; the test's own is for skips.
    pub(crate) name: &'a str,
    pub(crate) test: &'a str,
    pub(crate) needs_disk: bool,
    pub(crate) prepare: &'a dyn Fn(&mut Bed),
    /// Words for what is there after the restore.
    pub(crate) look: &'a dyn Fn(&mut Bed) -> String,
}

/// What was seen, and how long the target was held.
pub(crate) struct Seen {
    pub(crate) words: String,
    pub(crate) dump: Round,
}

impl Case<'_> {
    /// Runs it without the hook and with it, and compares its row; what was seen, of both. `None` where it cannot run.
    pub(crate) fn run(&self) -> Option<[Seen; 2]> {
        let alone = self.alone()?;
        let hooked = self.seen(&hook())?;
        let pause = |us: u64| format!("{}.{} ms", us / 1000, us % 1000 / 100);
        row(Table::Cases, &[self.name, &alone.words, &hooked.words]);
        if hooked.dump.code == 0 && alone.dump.code == 0 {
            let drain = hooked.dump.took("network-lock").map_or(0, |took| took.as_micros());
            let drain = pause(u64::try_from(drain).unwrap());
            row(
                Table::Pauses,
                &[self.name, &pause(alone.dump.frozen_us), &pause(hooked.dump.frozen_us), &drain],
            );
        }
        Some([alone, hooked])
    }

    /// Without the hook. On a busy machine requests can be over before CRIU stops the target: that shows nothing, and is tried again.
    fn alone(&self) -> Option<Seen> {
        let mut seen = self.seen(&Scripts::none())?;
        for _ in 0..TRIES {
            if !self.needs_disk || !seen.words.starts_with("all reaped") {
                break;
            }
            seen = self.seen(&Scripts::none())?;
        }
        Some(seen)
    }

    fn seen(&self, scripts: &Scripts) -> Option<Seen> {
        let new = if self.needs_disk { Bed::with_disk } else { Bed::new };
        let mut bed = new(self.test, Net::Own)?;
        (self.prepare)(&mut bed);
        let before = bed.reserved();
        let dump = bed.home.dump(bed.target.inner, scripts, &[]);
        let words = self.words(&mut bed, scripts, before, &dump);
        Some(Seen { words, dump })
    }

    fn words(&self, bed: &mut Bed, scripts: &Scripts, before: u64, dump: &Round) -> String {
        if dump.code != 0 {
            // One that CRIU has spoilt dies of it only when it runs again.
            thread::sleep(Duration::from_millis(300));
            return match bed.target.pid() {
                Some(_) => format!("refused, the target runs on: {}", (self.look)(bed)),
                None => "the dump fails and **the target dies**".to_owned(),
            };
        }
        let restore = bed.restore(scripts);
        if restore.code != 0 {
            return "dumped; **cannot be restored**".to_owned();
        }
        let after = bed.reserved();
        let reserved = match after.cmp(&before) {
            std::cmp::Ordering::Equal => "aio-nr as before",
            std::cmp::Ordering::Greater => "aio-nr **grows**",
            std::cmp::Ordering::Less => "aio-nr shrinks",
        };
        format!("{}; {reserved}", (self.look)(bed))
    }
}

/// Words for disk requests of the first context.
pub(crate) fn reaped(bed: &mut Bed, count: u64) -> String {
    reaped_of(bed, 0, count)
}

/// Words for disk requests of a context.
pub(crate) fn reaped_of(bed: &mut Bed, handle: u32, count: u64) -> String {
    if let Some(disk) = &bed.disk {
        disk.fast();
    }
    match bed.target.reap_disk(handle, PATIENCE) {
        (right, 0, 0) if right == count => "all reaped, all right".to_owned(),
        (right, 0, missing) if right + missing == count => "some **never come**".to_owned(),
        (right, wrong, missing) => format!("{right} right, {wrong} wrong, {missing} missing of {count}"),
    }
}

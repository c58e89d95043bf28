//! The looks at the host that `doctor` judges: one, or several over a time, which show what grows.

use std::thread::sleep;
use std::time::Duration;

use aioinspect_kernel::host::clock;
use aioinspect_kernel::look::evidence_source::{Source, SourceError};
use aioinspect_model::event::Holder;
use aioinspect_model::groups::Grouping;
use aioinspect_model::headroom::free;
use aioinspect_model::holders::holders;
use aioinspect_model::host_verdict::{Compared, OwnersAt, compare};
use aioinspect_model::owner_growth::{OwnerGrowth, Sample};
use aioinspect_model::picture::Picture;
use aioinspect_model::reconcile::{reconcile, reconcile_with};
use aioinspect_model::trend::Trends;

/// What the looks showed.
pub(super) struct Looked {
    /// The last picture.
    pub(super) picture: Picture,
    /// Who has more than at the first; `None`: there was one look.
    pub(super) compared: Option<Compared>,
}

/// Looks once.
pub(super) fn once(source: &mut dyn Source) -> Result<Looked, SourceError> {
    Ok(Looked { picture: reconcile(&source.host(true)?), compared: None })
}

/// Looks for a time. Of what could not be seen, the source keeps what concerns the last look.
pub(super) fn over(source: &mut dyn Source, time: Duration) -> Result<Looked, SourceError> {
    let (mut trends, mut growth) = (Trends::default(), OwnerGrowth::after(time));
    let every = growth.look_every_ns().max(50_000_000);
    let mut first: Option<(Sample, Vec<Holder>)> = None;
    let mut looks = 0_u32;
    loop {
        drop(source.notes());
        let began_look = clock::now();
        let evidence = source.host(true)?;
        // What it shows is of its end: a look may take long.
        let (at, unix_ns) = (clock::now(), clock::unix_now());
        looks = looks.saturating_add(1);
        trends.observe(&evidence);
        let picture = reconcile_with(&evidence, &trends);
        let owners = holders(&picture, Grouping::Owner);
        growth.observe(at, unix_ns, &owners, free(picture.system.aio_nr, picture.system.aio_max_nr));
        let now = Sample { at, unix_ns, ..Sample::default() };
        let (began, before) = first.get_or_insert_with(|| (now, owners.clone()));
        if u128::from(at.0.saturating_sub(began.at.0)) >= time.as_nanos() {
            let first = OwnersAt { at: *began, owners: before };
            let compared = compare(first, OwnersAt { at: now, owners: &owners }, growth.growing(), looks);
            return Ok(Looked { picture, compared: Some(compared) });
        }
        let next = began_look.0.saturating_add(every);
        sleep(Duration::from_nanos(next.saturating_sub(clock::now().0)));
    }
}

#[cfg(test)]
mod tests {
    use aioinspect_kernel::look::evidence_source::Ask;
    use aioinspect_kernel::proc::group::Group;
    use aioinspect_model::evidence::Evidence;
    use aioinspect_model::specimen;

    use super::*;

    /// A host that says something at each look.
    #[derive(Default)]
    struct Talking {
        looks: usize,
        notes: Vec<String>,
    }

    impl Source for Talking {
        fn host(&mut self, _: bool) -> Result<Evidence, SourceError> {
            self.looks += 1;
            self.notes.push(format!("look {}", self.looks));
            Ok(specimen::idle())
        }

        fn process(&mut self, _: &Ask) -> Result<Evidence, SourceError> {
            unreachable!("the host is asked for")
        }

        fn group(&mut self, _: &Group, _: &Ask) -> Result<Evidence, SourceError> {
            unreachable!("the host is asked for")
        }

        fn notes(&mut self) -> Vec<String> {
            std::mem::take(&mut self.notes)
        }
    }

    /// Check that what could not be seen is told once, however many looks there were, and that their number is told.
    #[test]
    fn notes_of_the_last_look() {
        let mut source = Talking::default();
        let looked = over(&mut source, Duration::from_millis(300)).unwrap();
        assert!(source.looks > 2, "{}", source.looks);
        assert_eq!(source.notes(), [format!("look {}", source.looks)]);
        assert_eq!(looked.compared.unwrap().looks as usize, source.looks);
    }
}

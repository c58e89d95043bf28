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

/// Looks for a time.
pub(super) fn over(source: &mut dyn Source, time: Duration) -> Result<Looked, SourceError> {
    let (mut trends, mut growth) = (Trends::default(), OwnerGrowth::after(time));
    let every = growth.look_every_ns().max(50_000_000);
    let mut first: Option<(Sample, Vec<Holder>)> = None;
    loop {
        let (at, unix_ns) = (clock::now(), clock::unix_now());
        let evidence = source.host(true)?;
        trends.observe(&evidence);
        let picture = reconcile_with(&evidence, &trends);
        let owners = holders(&picture, Grouping::Owner);
        growth.observe(at, unix_ns, &owners, free(picture.system.aio_nr, picture.system.aio_max_nr));
        let now = Sample { at, unix_ns, ..Sample::default() };
        let (began, before) = first.get_or_insert_with(|| (now, owners.clone()));
        if u128::from(at.0.saturating_sub(began.at.0)) >= time.as_nanos() {
            let first = OwnersAt { at: *began, owners: before };
            let compared = compare(first, OwnersAt { at: now, owners: &owners }, growth.growing());
            return Ok(Looked { picture, compared: Some(compared) });
        }
        let next = at.0.saturating_add(every);
        sleep(Duration::from_nanos(next.saturating_sub(clock::now().0)));
    }
}

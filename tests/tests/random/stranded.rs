//! Credits of one CPU that another lacks: what is said of them, and whether io_submit does as was said.

use aioinspect_model::picture::{Outlook, Stranded};
use rustix::io::Errno;

use crate::expected::{self, Strand};
use crate::round::Driven;

/// Whether that is what a context's outlook says.
pub fn is_told(outlook: Option<&Outlook>, wanted: &Strand) -> bool {
    let Strand { from, to, credits, .. } = *wanted;
    let all = Stranded { cpu: to, credits, online: Some(true) };
    outlook.is_some_and(|Outlook { fails_on, stranded }| {
        let listed = if credits > 0 { vec![all] } else { Vec::new() };
        fails_on.contains(from) && fails_on.contains(to) == (credits == 0) && *stranded == listed
    })
}

/// Submits to each such context of a fixture: nothing on the one CPU, as much as was said and no more on the other. To be done last: the truth is
/// another afterwards.
pub fn try_all(driven: &mut Driven) {
    let wanted: Vec<Strand> =
        expected::contexts(&driven.truth).iter().filter_map(|context| context.strand).collect();
    for Strand { handle, from, to, credits } in wanted {
        let mut submitted = |cpu: u32| {
            let line = format!("poll #{handle} 100000 {cpu}");
            let again = Errno::AGAIN.raw_os_error();
            match driven.fixture.try_run(&line) {
                Ok(answer) if answer["errno"] == again => answer["submitted"].as_u64(),
                Err(failure) if failure.errno == again => Some(0),
                other => panic!("{line}: {other:?}: {}", driven.story()),
            }
        };
        let found = [from, to, from].map(&mut submitted);
        assert_eq!(found, [Some(0), Some(u64::from(credits)), Some(0)], "#{handle}: {}", driven.story());
    }
}

//! What is taken out of a recorded evidence before it is kept: other people's processes, and what tells one machine from another.
//!
//! | what | becomes |
//! |---|---|
//! | address spaces of processes that are not of the scene | nothing; those that stay are numbered again |
//! | `aio_nr` | the sum of max_reqs over the fixtures of the scene, as if they were alone on the host |
//! | `kernel_release` | its first three numbers |
//! | the text of `/proc/PID/cgroup` | nothing, or what the recipe says |
//! | the path of `aio-fixture` among the mappings | `/usr/local/bin/aio-fixture` |
//!
//! Everything else is as it was read: PIDs, addresses, counters, instants.

use aioinspect_model::evidence::{AddressSpace, Evidence};
use aioinspect_model::units::MmId;

use super::Scene;
use crate::programs::bin;

/// Where the captures say that the fixture lies.
const FIXTURE: &[u8] = b"/usr/local/bin/aio-fixture";

/// The evidence as it is kept.
pub fn neutral(mut evidence: Evidence, scene: &mut Scene) -> anyhow::Result<Evidence> {
    let mut own = Vec::new();
    let mut aio_nr = 0_u64;
    for fixture in &mut scene.fixtures {
        let truth = fixture.truth();
        own.push(truth.pid);
        own.extend(truth.children.iter().map(|child| child.pid));
        aio_nr = aio_nr.saturating_add(truth.aio_nr);
    }
    evidence.spaces.retain(|space| space.processes.iter().all(|process| own.contains(&process.pid.0)));
    evidence.system.aio_nr = aio_nr;
    evidence.system.kernel_release = numbers(&evidence.system.kernel_release);
    let path = bin("aio-fixture");
    for (ordinal, space) in evidence.spaces.iter_mut().enumerate() {
        space.mm = MmId(u32::try_from(ordinal)?);
        for process in &mut space.processes {
            let kept = scene.cgroups.iter().find(|(pid, _)| *pid == process.pid.0);
            process.cgroup = kept.map(|(_, text)| text.as_bytes().to_vec());
        }
        rename(space, path.as_os_str().as_encoded_bytes());
    }
    Ok(evidence)
}

fn rename(space: &mut AddressSpace, path: &[u8]) {
    for vma in space.image.iter_mut().flat_map(|facts| &mut facts.vmas) {
        if vma.name == path {
            vma.name = FIXTURE.to_vec();
        }
    }
}

/// `6.18.44-flavour` as `6.18.44`.
fn numbers(release: &str) -> String {
    release.split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default().to_owned()
}

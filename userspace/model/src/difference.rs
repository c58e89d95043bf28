//! What differs between two looks at the same processes, or between two sets of their images: context by context.

use std::collections::HashMap;
use std::hash::Hash;

use crate::evidence::Evidence;
use crate::finding::Finding;
use crate::image::MmImage;
use crate::picture::{ContextView, GhostView};
use crate::reconcile::reconcile;
use crate::units::{ContextId, Pid};

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Nothing: it is not known.
    Unknown,
    /// A number.
    Number(u64),
    /// A word of ours, or a name from outside as raw bytes.
    Name(Vec<u8>),
    /// Codes of findings.
    Codes(Vec<&'static str>),
}

impl<T: Into<u64>> From<Option<T>> for Said {
    fn from(number: Option<T>) -> Self {
        number.map_or(Said::Unknown, |number| Said::Number(number.into()))
    }
}

/// A context, or a ring without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    /// Its process: of several that share the memory the lowest; of an image the PID in its name.
    pub pid: Pid,
    /// That PID in the process's own PID namespace, which a restore in a container keeps; as `pid` where it is not known.
    pub own_pid: Pid,
    /// Name of the process; empty of an image.
    pub comm: Vec<u8>,
    /// Its address.
    pub context: ContextId,
    /// What is known of it, by the names of the JSON.
    pub fields: Vec<(&'static str, Said)>,
    /// What it reserves of fs.aio-max-nr: max_reqs, or the nr_req of an image; `None`: not known.
    pub slots: Option<u64>,
}

/// A ring that is on both sides and differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// As it was.
    pub before: Ring,
    /// As it is.
    pub after: Ring,
    /// What differs: name, before, after.
    pub fields: Vec<(&'static str, Said, Said)>,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Difference {
    /// How many are the same.
    pub same: usize,
    /// On the first side only.
    pub gone: Vec<Ring>,
    /// On the second side only.
    pub made: Vec<Ring>,
    /// On both sides.
    pub changed: Vec<Changed>,
    /// What all of the first side reserve; `None`: not known of every one.
    pub slots_before: Option<u64>,
    /// The same of the second side.
    pub slots_after: Option<u64>,
}

impl Difference {
    /// Whether there is none.
    pub fn is_none(&self) -> bool {
        self.gone.is_empty() && self.made.is_empty() && self.changed.is_empty()
    }
}

/// Compares two sides. Fields that only one side's kind of file has are not compared.
///
/// A ring is found again by PID and address; where the PIDs are others, as after a restore, by the PID in the process's own namespace, and at
/// last by name and address where these are there once.
pub fn difference(before: Vec<Ring>, after: Vec<Ring>) -> Difference {
    let sum = |rings: &[Ring]| rings.iter().try_fold(0_u64, |sum, ring| sum.checked_add(ring.slots?));
    let mut found =
        Difference { slots_before: sum(&before), slots_after: sum(&after), ..Difference::default() };
    let (mut before, mut after): (Vec<_>, Vec<_>) =
        (before.into_iter().map(Some).collect(), after.into_iter().map(Some).collect());
    let mut pairs = Vec::new();
    // Several may have one address, as dying contexts that cannot be named: then the first is the first.
    pair(&mut before, &mut after, &mut pairs, Twins::InOrder, |ring| (ring.pid, ring.context));
    let own = |ring: &Ring| (ring.own_pid, ring.context, ring.comm.clone());
    pair(&mut before, &mut after, &mut pairs, Twins::Stay, own);
    pair(&mut before, &mut after, &mut pairs, Twins::Stay, |ring| (ring.context, ring.comm.clone()));
    pairs.sort_by_key(|(before, _): &(Ring, Ring)| (before.pid, before.context));
    for (before, after) in pairs {
        let fields = changes(&before, &after);
        if fields.is_empty() {
            found.same += 1;
        } else {
            found.changed.push(Changed { before, after, fields });
        }
    }
    found.gone = before.into_iter().flatten().collect();
    found.made = after.into_iter().flatten().collect();
    found
}

/// What becomes of rings with the same key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Twins {
    /// They are paired in their order.
    InOrder,
    /// They are not paired.
    Stay,
}

/// Takes the rings whose key is on both sides.
fn pair<K: Clone + Eq + Hash>(
    before: &mut [Option<Ring>],
    after: &mut [Option<Ring>],
    pairs: &mut Vec<(Ring, Ring)>,
    twins: Twins,
    key: impl Fn(&Ring) -> K,
) {
    let place = |side: &[Option<Ring>]| {
        let mut seen: HashMap<K, usize> = HashMap::new();
        let mut places: HashMap<(K, usize), Option<usize>> = HashMap::new();
        for (index, ring) in side.iter().enumerate() {
            let Some(ring) = ring else { continue };
            let count = seen.entry(key(ring)).or_default();
            let key = (key(ring), if twins == Twins::InOrder { *count } else { 0 });
            *count += 1;
            places.entry(key).and_modify(|place| *place = None).or_insert(Some(index));
        }
        places
    };
    let (there, here) = (place(after), place(before));
    for (key, index) in here {
        let (Some(index), Some(Some(other))) = (index, there.get(&key)) else { continue };
        let (Some(one), Some(other)) = (before.get_mut(index), after.get_mut(*other)) else { continue };
        if let (Some(one), Some(other)) = (one.take(), other.take()) {
            pairs.push((one, other));
        }
    }
}

fn changes(before: &Ring, after: &Ring) -> Vec<(&'static str, Said, Said)> {
    let mut changes = Vec::new();
    if before.pid != after.pid {
        let pid = |ring: &Ring| Said::Number(ring.pid.0.into());
        changes.push(("pid", pid(before), pid(after)));
    }
    for (name, was) in &before.fields {
        let is = after.fields.iter().find(|(other, _)| other == name);
        if let Some((_, is)) = is.filter(|(_, is)| is != was) {
            changes.push((*name, was.clone(), is.clone()));
        }
    }
    changes
}

/// The contexts and ghosts of an evidence.
pub fn rings_of_evidence(evidence: &Evidence) -> Vec<Ring> {
    let picture = reconcile(evidence);
    let own_pid = |pid: Pid| {
        let mut processes = evidence.spaces.iter().flat_map(|space| &space.processes);
        let process = processes.find(|process| process.pid == pid);
        process.and_then(|process| process.ns_pids.last()).map_or(pid, |own| Pid(*own))
    };
    let contexts = picture.contexts.iter().map(|view| of_context(view, own_pid(view.pid)));
    let ghosts = picture.ghosts.iter().map(|ghost| of_ghost(ghost, own_pid(ghost.pid)));
    contexts.chain(ghosts).collect()
}

fn of_context(view: &ContextView, own_pid: Pid) -> Ring {
    let codes = view.findings.iter().copied().map(Finding::code).collect();
    let fields = vec![
        ("is", Said::Name(b"context".to_vec())),
        ("comm", Said::Name(view.comm.to_vec())),
        ("max_reqs", view.max_reqs.into()),
        ("nr_events", view.nr_events.into()),
        ("ring_len", view.ring_len.into()),
        ("in_flight", view.in_flight.into()),
        ("unreaped", view.unreaped.into()),
        ("findings", Said::Codes(codes)),
    ];
    let slots = if view.is_dying() { Some(0) } else { view.max_reqs.map(u64::from) };
    Ring { pid: view.pid, own_pid, comm: view.comm.to_vec(), context: view.context, fields, slots }
}

fn of_ghost(ghost: &GhostView, own_pid: Pid) -> Ring {
    let fields = vec![
        ("is", Said::Name(b"ghost".to_vec())),
        ("comm", Said::Name(ghost.comm.to_vec())),
        ("ring_len", Said::Number(ghost.ring_len)),
    ];
    let comm = ghost.comm.to_vec();
    Ring { pid: ghost.pid, own_pid, comm, context: ghost.address, fields, slots: Some(0) }
}

/// The contexts of an image, and its rings without an entry in `aios`.
pub fn rings_of_image(pid: Pid, image: &MmImage) -> Vec<Ring> {
    let ring = |is: &str, context, fields: [(&'static str, Said); 2], slots| {
        let fields = std::iter::once(("is", Said::Name(is.into()))).chain(fields).collect();
        Ring { pid, own_pid: pid, comm: Vec::new(), context, fields, slots: Some(slots) }
    };
    let contexts = image.aios.iter().map(|aio| {
        let fields =
            [("nr_req", Said::Number(aio.nr_req.into())), ("ring_len", Said::Number(aio.ring_len.into()))];
        ring("context", aio.id, fields, aio.nr_req.into())
    });
    let has_entry = |start: u64| image.aios.iter().any(|aio| aio.id.0 == start);
    let ghosts = image.vmas.iter().filter(|vma| vma.is_ring && !has_entry(vma.start)).map(|vma| {
        let len = Said::Number(vma.end.saturating_sub(vma.start));
        ring("ghost", ContextId(vma.start), [("nr_req", Said::Unknown), ("ring_len", len)], 0)
    });
    contexts.chain(ghosts).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{AioRing, ImageVma};
    use crate::specimen::{self, AT};

    fn diff(before: &Evidence, after: &Evidence) -> Difference {
        difference(rings_of_evidence(before), rings_of_evidence(after))
    }

    fn changed(difference: &Difference) -> Vec<&'static str> {
        difference.changed.iter().flat_map(|changed| changed.fields.iter().map(|(name, ..)| *name)).collect()
    }

    /// Check that nothing differs from itself, and what does by its fields.
    #[test]
    fn of_evidence() {
        let idle = specimen::idle();
        let same = diff(&idle, &idle);
        assert_eq!((same.is_none(), same.same, same.slots_after), (true, 1, Some(128)));
        let mut busy = idle.clone();
        specimen::spoil(&mut busy, |kioctx| {
            (kioctx.reqs_available, kioctx.percpu_refs) = (Some(380), Some(3));
        });
        let found = diff(&idle, &busy);
        assert_eq!(changed(&found), ["in_flight", "findings"]);
        assert_eq!(found.changed[0].fields[0], ("in_flight", Said::Number(0), Said::Number(2)));
        let mut none = idle.clone();
        let look = specimen::last(&mut none);
        look.before.as_mut().unwrap().contexts.clear();
        let ghost = diff(&idle, &none);
        assert_eq!((changed(&ghost), ghost.slots_after), (vec!["is"], Some(0)));
        specimen::last(&mut none).mappings.clear();
        assert_eq!((diff(&idle, &none).gone.len(), diff(&none, &idle).made.len()), (1, 1));
    }

    /// Check that a process is found again under another PID: by its own PID, or by its name where that is there once.
    #[test]
    fn after_a_restore() {
        let mut before = specimen::idle();
        before.spaces[0].processes[0].ns_pids = vec![100, 1];
        let mut after = specimen::idle();
        after.spaces[0].processes[0].pid = Pid(200);
        let by_name = diff(&before, &after);
        assert_eq!((changed(&by_name), by_name.gone.len(), by_name.made.len()), (vec!["pid"], 0, 0));
        let mut twice = after.clone();
        let mut second = twice.spaces[0].clone();
        (second.mm, second.processes[0].pid) = (crate::units::MmId(2), Pid(300));
        second.processes[0].ns_pids = vec![300, 1];
        twice.spaces.push(second);
        let by_own = diff(&before, &twice);
        assert_eq!((by_own.changed[0].after.pid, by_own.made[0].pid), (Pid(300), Pid(200)));
        twice.spaces[1].processes[0].ns_pids.clear();
        let neither = diff(&before, &twice);
        assert_eq!((neither.gone.len(), neither.made.len(), neither.changed.len()), (1, 2, 0));
    }

    /// Check that contexts which nothing tells apart are no difference of a look from itself.
    #[test]
    fn twins() {
        let mut rings = rings_of_evidence(&specimen::idle());
        rings.push(Ring { fields: Vec::new(), ..rings[0].clone() });
        assert_eq!(difference(rings.clone(), rings.clone()).same, 2);
        let one_less = difference(rings.clone(), rings[..1].to_vec());
        assert_eq!((one_less.same, one_less.gone.len()), (1, 1));
    }

    /// Check images with each other, and an image with evidence, where only what both have is compared.
    #[test]
    fn of_images() {
        let ring = |nr_req| AioRing { id: ContextId(AT), nr_req, ring_len: 12288 };
        let image = |aios: Vec<AioRing>| {
            let vma = ImageVma { start: AT, end: AT + 12288, is_ring: true, ..ImageVma::default() };
            rings_of_image(Pid(100), &MmImage { aios, vmas: vec![vma], ..MmImage::default() })
        };
        let found = difference(image(vec![ring(190)]), image(vec![ring(128)]));
        assert_eq!((changed(&found), found.slots_before), (vec!["nr_req"], Some(190)));
        assert_eq!(changed(&difference(image(vec![ring(190)]), image(vec![]))), ["is", "nr_req"]);
        let mixed = difference(image(vec![ring(190)]), rings_of_evidence(&specimen::idle()));
        assert_eq!((mixed.same, mixed.slots_after), (1, Some(128)));
    }
}

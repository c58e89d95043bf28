//! What is built for the suites, on each architecture that they run on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use anyhow::Result;

use crate::architecture::Architecture;
use crate::build::{self, Built};
use crate::catalogue::Catalogue;
use crate::command::note;
use crate::ebpf::Objects;
use crate::kernel::list::Listed;
use crate::{setup, vm};

/// Everything for this machine, and for another architecture what its machines run.
pub(super) struct Builds {
    /// This machine's.
    pub here: Built,
    foreign: BTreeMap<Architecture, Foreign>,
}

/// What is built for another architecture when the first of its machines is about to start, for that may never be.
struct Foreign {
    objects: Result<Objects, String>,
    suites: Vec<String>,
    built: OnceLock<Result<Built, String>>,
}

impl Builds {
    /// Builds everything for this machine. Only with another architecture of the chosen kernels may something go wrong.
    pub(super) fn begin(
        objects: &Objects,
        chosen: &[Listed],
        catalogue: &Catalogue,
        whole: bool,
    ) -> Result<Self> {
        let mut foreign = BTreeMap::new();
        for architecture in chosen.iter().filter_map(|listed| Some(listed.source.as_ref()?.architecture)) {
            if !architecture.is_here() {
                foreign.entry(architecture).or_insert_with(|| Foreign {
                    objects: setup::for_machines(architecture).map_err(|error| cannot(architecture, &error)),
                    suites: suites_of(architecture, chosen, catalogue, whole),
                    built: OnceLock::new(),
                });
            }
        }
        Ok(Self { here: build::everything(objects, &catalogue.suites)?, foreign })
    }

    /// What is built for an architecture, now if it has not been, or why it cannot be.
    pub(super) fn of(&self, architecture: Architecture) -> Result<&Built, String> {
        if architecture.is_here() {
            return Ok(&self.here);
        }
        let foreign = self.foreign.get(&architecture);
        let foreign = foreign.ok_or_else(|| format!("nothing is built for {}", architecture.name()))?;
        let built = foreign.built.get_or_init(|| {
            let objects = foreign.objects.as_ref().map_err(String::clone)?;
            build::for_machines(objects, &foreign.suites).map_err(|error| cannot(architecture, &error))
        });
        built.as_ref().map_err(String::clone)
    }
}

fn cannot(architecture: Architecture, error: &anyhow::Error) -> String {
    let why = format!("cannot build for {}: {error:#}", architecture.name());
    note(&why);
    why
}

/// The suites that run in the chosen machines of an architecture, each once.
fn suites_of(
    architecture: Architecture,
    chosen: &[Listed],
    catalogue: &Catalogue,
    whole: bool,
) -> Vec<String> {
    let of_it = |listed: &&Listed| listed.source.as_ref().is_some_and(|of| of.architecture == architecture);
    // What is wrong with a line of the list its machine says.
    let runs = |listed: &Listed| vm::runs(listed, catalogue, whole).unwrap_or_default();
    let names = chosen.iter().filter(of_it).flat_map(runs).map(|(suite, _)| suite);
    names.collect::<BTreeSet<_>>().into_iter().collect()
}

//! Names of containers, from the bundles that their runtimes keep; each is read once and remembered for a while.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use crate::host::clock;
use aioinspect_model::container_names::{Names, bundles};
use aioinspect_model::units::Instant;
use aioinspect_parse::oci::names_in;

/// More than a bundle's configuration ever is.
const MAX_BYTES: u64 = 4 << 20;
/// Containers that are remembered at most.
const MOST: usize = 4096;
/// For how long a container without a readable bundle is not looked for again: it may be about to appear.
const AGAIN_NS: u64 = 60_000_000_000;

/// The containers of this host.
#[derive(Debug)]
pub struct Containers {
    root: PathBuf,
    known: HashMap<String, (Names, Instant)>,
}

impl Containers {
    /// Below this root of the host, usually `/`.
    pub fn below(root: PathBuf) -> Self {
        Self { root, known: HashMap::new() }
    }

    /// The names of a container; none if no bundle of it can be read.
    pub fn names(&mut self, id: &str) -> Names {
        if id.is_empty() {
            return Names::default();
        }
        let now = clock::now();
        let fresh =
            |(names, at): &&(Names, Instant)| !names.is_empty() || now.0.saturating_sub(at.0) < AGAIN_NS;
        if let Some((names, _)) = self.known.get(id).filter(fresh) {
            return names.clone();
        }
        if self.known.len() >= MOST {
            self.known.clear();
        }
        let names = bundles(id).iter().find_map(|path| self.read(path)).unwrap_or_default();
        self.known.insert(id.to_owned(), (names.clone(), now));
        names
    }

    fn read(&self, path: &str) -> Option<Names> {
        let mut bytes = Vec::new();
        let file = File::open(self.root.join(path)).ok()?;
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        file.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
        Some(names_in(&bytes)).filter(|names| !names.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a bundle is found below the root, and remembered when it is gone.
    #[test]
    fn finds_and_remembers() {
        let root = tempfile::tempdir().unwrap();
        let bundle = root.path().join("run/containerd/io.containerd.runtime.v2.task/k8s.io/c1");
        std::fs::create_dir_all(&bundle).unwrap();
        let config = br#"{"annotations":{"io.kubernetes.cri.sandbox-name":"db-0"}}"#;
        std::fs::write(bundle.join("config.json"), config).unwrap();
        let mut containers = Containers::below(root.path().to_owned());
        assert_eq!(containers.names("c1").pod, "db-0");
        std::fs::remove_dir_all(&bundle).unwrap();
        assert_eq!(containers.names("c1").pod, "db-0");
        assert!(containers.names("c2").is_empty() && containers.names("").is_empty());
        assert!(containers.names("../c1").is_empty());
    }
}

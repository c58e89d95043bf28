//! Names of containers, from the files that their runtimes keep; each is read once and remembered for a while. Nothing is asked of a runtime.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::host::clock;
use aioinspect_model::container_names::{Names, STORAGE_LISTS, bundles, docker_config, is_plain};
use aioinspect_model::units::Instant;
use aioinspect_parse::oci::names_in;
use aioinspect_parse::{docker, podman};

/// More than a bundle's configuration ever is.
const MAX_BYTES: u64 = 4 << 20;
/// The same of a list of containers.
const MAX_LIST_BYTES: u64 = 16 << 20;
/// Containers that are remembered at most.
const MOST: usize = 4096;
/// For how long a container without a readable bundle is not looked for again: it may be about to appear.
const AGAIN_NS: u64 = 60_000_000_000;

/// The containers of this host.
#[derive(Debug)]
pub struct Containers {
    root: PathBuf,
    known: HashMap<String, (Names, Instant)>,
    /// What the lists of Podman's storage say, and when they were read: they may be long.
    listed: Option<(HashMap<String, Names>, Instant)>,
}

impl Containers {
    /// Below this root of the host, usually `/`.
    pub fn below(root: PathBuf) -> Self {
        Self { root, known: HashMap::new(), listed: None }
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
        let names = self.find(id, now);
        self.known.insert(id.to_owned(), (names.clone(), now));
        names
    }

    /// The bundle of a pod's container says all there is to say. Of others it knows no more than the name of their host, so that Docker and
    /// Podman are believed first.
    fn find(&mut self, id: &str, now: Instant) -> Names {
        let bundle = bundles(id).iter().find_map(|path| self.bundle(path)).unwrap_or_default();
        if !bundle.pod.is_empty() {
            return bundle;
        }
        let by_docker = docker_config(id).and_then(|path| self.read(&path, MAX_BYTES));
        let names = by_docker.map(|bytes| docker::names_in(&bytes)).unwrap_or_default();
        let names = if names.is_empty() && self.is_stored(id) { self.listed(id, now) } else { names };
        names.or(bundle)
    }

    /// What Podman's lists say of it: read once for all, and again only after a while. Of two that name it the first is believed.
    fn listed(&mut self, id: &str, now: Instant) -> Names {
        let is_fresh = |at: Instant| now.0.saturating_sub(at.0) < AGAIN_NS;
        if !self.listed.as_ref().is_some_and(|(_, at)| is_fresh(*at)) {
            let mut all = HashMap::new();
            for list in STORAGE_LISTS.iter().rev().filter_map(|list| self.read(list, MAX_LIST_BYTES)) {
                all.extend(podman::names_by_id(&list));
            }
            self.listed = Some((all, now));
        }
        self.listed.as_ref().and_then(|(all, _)| all.get(id).cloned()).unwrap_or_default()
    }

    /// Whether Podman or CRI-O has a directory for it: their list may be long.
    fn is_stored(&self, id: &str) -> bool {
        let [list, _] = STORAGE_LISTS;
        is_plain(id) && self.root.join(list).with_file_name(id).is_dir()
    }

    fn bundle(&self, path: &str) -> Option<Names> {
        Some(names_in(&self.read(path, MAX_BYTES)?)).filter(|names| !names.is_empty())
    }

    /// A file of no more than so many bytes; one that is a link, or no file, is none.
    fn read(&self, path: &str, max: u64) -> Option<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(self.root.join(path), flags, Mode::empty()).ok()?);
        if !file.metadata().ok()?.is_file() {
            return None;
        }
        let mut bytes = Vec::new();
        file.take(max).read_to_end(&mut bytes).ok()?;
        Some(bytes)
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

    /// A root with these files.
    fn root_with(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    /// Check what is said by Docker's and Podman's own files, beside bundles that know only a host's name, and that a pod's bundle needs no other.
    #[test]
    fn other_files_than_bundles() {
        let storage = "var/lib/containers/storage/overlay-containers";
        let root = root_with(&[
            (
                "var/lib/docker/containers/d1/config.v2.json",
                r#"{"Name":"/web","Config":{"Image":"nginx:1"}}"#,
            ),
            ("run/docker/runtime-runc/moby/d1/config.json", r#"{"hostname":"www"}"#),
            (
                &format!("{storage}/containers.json"),
                r#"[{"id":"p1","metadata":"{\"image-name\":\"pg:16\",\"name\":\"db\"}"},{"id":"p3","names":["x"]}]"#,
            ),
            (
                &format!("{storage}/p1/userdata/config.json"),
                r#"{"hostname":"p1host","annotations":{"org.opencontainers.image.ref.name":"y"}}"#,
            ),
            (&format!("{storage}/volatile-containers.json"), r#"[{"id":"p2","names":["job"]}]"#),
            (&format!("{storage}/p2/userdata/x"), ""),
        ]);
        let mut containers = Containers::below(root.path().to_owned());
        let mut of = |id: &str| {
            let names = containers.names(id);
            (names.container, names.image)
        };
        let both = |container: &str, image: &str| (container.to_owned(), image.to_owned());
        assert_eq!(of("d1"), both("web", "nginx:1"));
        assert_eq!(of("p1"), both("db", "pg:16"));
        assert_eq!(of("p2"), both("job", ""));
        assert_eq!(of("p3"), both("", ""), "it has no directory");
    }

    /// Check that a link, a pipe and a directory in the place of a file are not read.
    #[test]
    fn only_files() {
        let root = root_with(&[
            ("secret", r#"{"Name":"/stolen"}"#),
            ("var/lib/docker/containers/dir/config.v2.json/x", ""),
        ]);
        let containers = root.path().join("var/lib/docker/containers");
        for id in ["link", "pipe"] {
            std::fs::create_dir(containers.join(id)).unwrap();
        }
        let file = |id: &str| containers.join(id).join("config.v2.json");
        std::os::unix::fs::symlink(root.path().join("secret"), file("link")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, file("pipe"), rustix::fs::FileType::Fifo, Mode::from(0o600), 0)
            .unwrap();
        let mut names = Containers::below(root.path().to_owned());
        for id in ["link", "pipe", "dir"] {
            assert!(names.names(id).is_empty(), "{id}");
        }
    }
}

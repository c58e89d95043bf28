//! What people call a container, as its OCI bundle says.

/// Names of a container. Empty strings: not said.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Names {
    /// Name of the Kubernetes pod it is part of.
    pub pod: String,
    /// Kubernetes namespace of that pod.
    pub namespace: String,
    /// The container within the pod, or the container's own name.
    pub container: String,
    /// The image it was made from.
    pub image: String,
}

impl Names {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same, with what it does not say from another that speaks of the same container.
    #[must_use]
    pub fn or(self, other: Names) -> Names {
        let or = |one: String, other: String| if one.is_empty() { other } else { one };
        Names {
            pod: or(self.pod, other.pod),
            namespace: or(self.namespace, other.namespace),
            container: or(self.container, other.container),
            image: or(self.image, other.image),
        }
    }

    /// The pod as people and kubectl call it, with its namespace, for there may be one of the name in each: `shop/db-0`. Empty: not said.
    pub fn pod(&self) -> String {
        if self.namespace.is_empty() || self.pod.is_empty() {
            return self.pod.clone();
        }
        format!("{}/{}", self.namespace, self.pod)
    }
}

/// Whether an id can be part of a path: ids come from paths that processes may be in a position to choose.
pub fn is_plain(id: &str) -> bool {
    // Nothing but digits, letters and what stands between them.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !id.is_empty() && id.len() <= 128 && id.bytes().all(is_plain)
}

/// Where Docker keeps what it knows of a container of this id, below the root of the host, unless its data was moved elsewhere.
pub fn docker_config(id: &str) -> Option<String> {
    is_plain(id).then(|| format!("var/lib/docker/containers/{id}/config.v2.json"))
}

/// Where Podman and CRI-O keep the list of their containers, below the root of the host; beside it a directory for each of them.
pub const STORAGE_LISTS: [&str; 2] = [
    "var/lib/containers/storage/overlay-containers/containers.json",
    "var/lib/containers/storage/overlay-containers/volatile-containers.json",
];

/// Where runtimes keep the bundle (`config.json`) of a container of this id, below the root of the host. containerd keeps one for each
/// namespace (the kubelet's is `k8s.io`, Docker's `moby`, nerdctl's `default`); CRI-O and Podman share their storage.
pub fn bundles(id: &str) -> Vec<String> {
    if !is_plain(id) {
        return Vec::new();
    }
    let containerd = ["k8s.io", "moby", "default"].into_iter().flat_map(|namespace| {
        ["run/containerd", "run/docker/containerd/daemon", "run/k3s/containerd"]
            .map(|base| format!("{base}/io.containerd.runtime.v2.task/{namespace}/{id}/config.json"))
    });
    let storage = ["run/containers", "var/lib/containers"]
        .map(|base| format!("{base}/storage/overlay-containers/{id}/userdata/config.json"));
    let docker = format!("run/docker/runtime-runc/moby/{id}/config.json");
    containerd.chain(storage).chain([docker]).collect()
}

/// The directories that all of [`bundles`], [`docker_config`] and [`STORAGE_LISTS`] are in.
pub const BUNDLE_ROOTS: [&str; 7] = [
    "var/lib/docker/containers",
    "run/containerd/io.containerd.runtime.v2.task",
    "run/docker",
    "run/k3s/containerd/io.containerd.runtime.v2.task",
    "run/containers/storage/overlay-containers",
    "var/lib/containers/storage/overlay-containers",
    "run/docker/containerd/daemon/io.containerd.runtime.v2.task",
];

/// Reads the names off a bundle's annotations, which `get` looks up: containerd's CRI plugin, then CRI-O, then Podman and others.
pub fn names(get: impl Fn(&str) -> Option<String>) -> Names {
    let first = |keys: &[&str]| keys.iter().find_map(|key| get(key)).unwrap_or_default();
    Names {
        pod: first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
        namespace: first(&[
            "io.kubernetes.cri.sandbox-namespace",
            "io.kubernetes.pod.namespace",
            "nerdctl/namespace",
        ]),
        container: first(&[
            "io.kubernetes.cri.container-name",
            "io.kubernetes.container.name",
            "io.kubernetes.cri-o.ContainerName",
            "nerdctl/name",
            "io.podman.annotations.container-name",
        ]),
        image: first(&[
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.ImageName",
            "nerdctl/image",
            "org.opencontainers.image.ref.name",
            "io.podman.annotations.image",
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that an id cannot lead out of the directories of bundles.
    #[test]
    fn ids_are_plain() {
        for id in ["", "..", "../../etc", "a/b", "a.b", "a\0", "ü", &"a".repeat(129)] {
            assert_eq!(bundles(id), Vec::<String>::new(), "{id:?}");
            assert_eq!(docker_config(id), None, "{id:?}");
        }
        let mut paths = bundles("abc-1_2");
        paths.extend(docker_config("abc-1_2"));
        paths.extend(STORAGE_LISTS.map(str::to_owned));
        assert!(
            paths.contains(&"run/containerd/io.containerd.runtime.v2.task/k8s.io/abc-1_2/config.json".into())
        );
        assert!(paths.iter().all(|path| BUNDLE_ROOTS.iter().any(|root| path.starts_with(root))), "{paths:?}");
    }

    /// Check the annotations of containerd and CRI-O, and that without any there are no names.
    #[test]
    fn annotations() {
        let of = |pairs: &[(&str, &str)]| {
            names(|key| pairs.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned()))
        };
        let containerd = of(&[
            ("io.kubernetes.cri.sandbox-name", "db-0"),
            ("io.kubernetes.cri.sandbox-namespace", "shop"),
            ("io.kubernetes.cri.container-name", "mysql"),
            ("io.kubernetes.cri.image-name", "docker.io/library/mysql:8"),
        ]);
        let crio = of(&[
            ("io.kubernetes.pod.name", "db-0"),
            ("io.kubernetes.pod.namespace", "shop"),
            ("io.kubernetes.container.name", "mysql"),
            ("io.kubernetes.cri-o.ImageName", "docker.io/library/mysql:8"),
        ]);
        assert_eq!(containerd, crio);
        assert_eq!((&*crio.pod, &*crio.container, &*crio.pod()), ("db-0", "mysql", "shop/db-0"));
        assert_eq!(Names { namespace: String::new(), ..crio.clone() }.pod(), "db-0");
        assert_eq!(Names { pod: String::new(), ..crio }.pod(), "");
        assert!(of(&[("x", "y")]).is_empty());
    }
}

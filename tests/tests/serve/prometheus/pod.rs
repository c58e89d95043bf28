//! What looks like a container of Kubernetes from outside: a control group with the names that the kubelet and containerd give, and
//! containerd's bundle below a root of its own. A process of the test moves into it.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

/// The container's id.
pub const CONTAINER: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
/// The pod's.
pub const POD: &str = "0a1b2c3d-0001-4002-8003-00000000abcd";

/// The control groups, innermost first, and the root of the bundle. Dropping it removes them: processes must be gone before.
#[derive(Debug)]
pub struct Pod {
    groups: Vec<PathBuf>,
    root: TempDir,
}

impl Pod {
    pub fn new() -> Pod {
        let root = tempfile::Builder::new().prefix("aioinspect-test-").tempdir().unwrap();
        let bundle = root.path().join("run/containerd/io.containerd.runtime.v2.task/k8s.io").join(CONTAINER);
        fs::create_dir_all(&bundle).unwrap();
        let annotations = json!({
            "io.kubernetes.cri.sandbox-name": "db-0",
            "io.kubernetes.cri.sandbox-namespace": "shop",
            "io.kubernetes.cri.container-name": "mysql",
            "io.kubernetes.cri.image-name": "mysql:8",
        });
        let config = json!({"ociVersion": "1.1.0", "annotations": annotations});
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        let mut pod = Pod { groups: Vec::new(), root };
        let mut path = hierarchy();
        for name in [
            format!("aioinspect-test-{}", std::process::id()),
            format!("kubepods-pod{}.slice", POD.replace('-', "_")),
            scope(),
        ] {
            path.push(name);
            fs::create_dir(&path)
                .unwrap_or_else(|error| panic!("no control group {}: {error}", path.display()));
            pod.groups.insert(0, path.clone());
        }
        pod
    }

    /// For `--host-root`.
    pub fn root(&self) -> &str {
        self.root.path().to_str().unwrap()
    }

    /// Moves a process into the container.
    pub fn admit(&self, pid: u32) {
        let file = self.groups[0].join("cgroup.procs");
        fs::write(&file, pid.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let begun = Instant::now();
        for group in &self.groups {
            // A process that has just ended may still hold it.
            while group.exists() && fs::remove_dir(group).is_err() && begun.elapsed().as_secs() < 10 {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// The container's scope, which is its unit as well.
pub fn scope() -> String {
    format!("cri-containerd-{CONTAINER}.scope")
}

/// Where the one hierarchy of version 2 is mounted.
fn hierarchy() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let of = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (words.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(words[1]))
    };
    mounts
        .lines()
        .find_map(of)
        .unwrap_or_else(|| panic!("no cgroup2 is mounted, and the test needs a control group"))
}

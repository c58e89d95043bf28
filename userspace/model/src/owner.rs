//! Who runs a process, from the text of `/proc/PID/cgroup`: the paths that systemd, Docker, containerd, CRI-O, Podman,
//! the kubelet and LXC give their control groups.
//!
//! ```text
//! 0::/system.slice/mariadb.service                       cgroup v2
//! 12:pids:/kubepods/burstable/pod<UID>/<CONTAINER>       cgroup v1, a line for each hierarchy
//! ```

use crate::picture::Owner;

/// A part of an owner: the name it has in JSON, and where it is.
pub type Part = (&'static str, fn(&Owner) -> &String);

/// Of what an owner is named, the first that there is. The unit is the user session's scope where that is all there
/// is; where the path follows no known layout, it is the name itself. The page's script is handed the same list.
pub const WORKLOAD: [Part; 4] = [
    ("pod", |owner| &owner.pod),
    ("container", |owner| &owner.container),
    ("unit", |owner| &owner.unit),
    ("cgroup", |owner| &owner.cgroup),
];

/// Characters that tell a container's id from others, as `docker ps` shows it.
pub const SHORT_ID: usize = 12;

impl Owner {
    /// The workload a process belongs to: its pod, else its container, else its systemd unit, else the path of its
    /// control group; empty only if that is not known. This is the column OWNER of every output.
    pub fn workload(&self) -> &str {
        self.named_by().map_or("", |(_, name)| name)
    }

    /// The same, with the part that it is: what tells workloads apart. `None`: nothing names it.
    pub fn named_by(&self) -> Option<(&'static str, &str)> {
        let parts = WORKLOAD.iter().map(|(key, part)| (*key, part(self).as_str()));
        parts.into_iter().find(|(_, name)| !name.is_empty())
    }

    /// What two processes of one workload have in common; a part in which they differ (the containers of a pod) is empty.
    #[must_use]
    pub fn common(&self, other: &Owner) -> Owner {
        let same = |part: fn(&Owner) -> &String| {
            if part(self) == part(other) { part(self).clone() } else { String::new() }
        };
        Owner {
            runtime: same(|owner| &owner.runtime),
            unit: same(|owner| &owner.unit),
            container: same(|owner| &owner.container),
            pod: same(|owner| &owner.pod),
            cgroup: same(|owner| &owner.cgroup),
        }
    }

    /// The same within a sentence: an id of 64 digits is cut to its first [`SHORT_ID`].
    pub fn short_workload(&self) -> &str {
        let name = self.workload();
        name.get(..SHORT_ID).filter(|_| is_id(name)).unwrap_or(name)
    }
}

/// A line of `/proc/PID/cgroup` (kernel/cgroup/cgroup.c:proc_cgroup_show): one for each hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Membership<'a> {
    /// Number of the hierarchy; `0` is cgroup v2.
    pub hierarchy: &'a str,
    /// Its controllers, with commas between them; empty on v2.
    pub controllers: &'a str,
    /// The control group, from the root of the reader's cgroup namespace.
    pub path: &'a str,
}

/// Reads the lines; what is none is passed over.
pub fn memberships(text: &str) -> impl Iterator<Item = Membership<'_>> {
    text.lines().filter_map(|line| {
        let (hierarchy, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some(Membership { hierarchy, controllers, path: path.strip_suffix(" (deleted)").unwrap_or(path) })
    })
}

/// Reads off what the paths say; what they do not say stays empty.
pub fn owner(cgroup: &[u8]) -> Owner {
    let text = String::from_utf8_lossy(cgroup);
    // The unit is systemd's word: its own hierarchy is 0 on v2, and named on v1. On v1 the others may be coarser.
    let rank = |(id, controllers): (&str, &str)| match (id, controllers) {
        ("0", "") => 0,
        (_, "name=systemd") => 1,
        _ => 2,
    };
    let mut lines: Vec<(u8, &str)> =
        memberships(&text).map(|of| (rank((of.hierarchy, of.controllers)), of.path)).collect();
    lines.sort_by_key(|(rank, _)| *rank);
    let first =
        |read: fn(&str) -> Option<String>| lines.iter().find_map(|(_, path)| read(path)).unwrap_or_default();
    let (runtime, container) = lines.iter().find_map(|(_, path)| container(path)).unwrap_or_default();
    let (unit, pod) = (first(unit), first(pod));
    let is_named = !(unit.is_empty() && container.is_empty() && pod.is_empty());
    // Of several hierarchies, one that holds the process in a group of its own says more than a root.
    let unnamed = || {
        let paths = || lines.iter().map(|(_, path)| *path).filter(|path| path.starts_with('/'));
        paths().find(|path| *path != "/").or_else(|| paths().next()).unwrap_or_default().to_owned()
    };
    let cgroup = if is_named { String::new() } else { unnamed() };
    Owner { runtime: runtime.to_owned(), unit, container, pod, cgroup }
}

/// The parts of a path, outermost first, without systemd's protection of names that the kernel would take for its own.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != "..")
        .map(|part| part.strip_prefix('_').unwrap_or(part))
}

/// The innermost unit that holds processes; failing that, the innermost slice that is not the root's.
fn unit(path: &str) -> Option<String> {
    let kinds = [".service", ".scope", ".socket", ".mount", ".swap"];
    let of = |ends: &[&str]| {
        parts(path).rfind(|part| ends.iter().any(|end| part.len() > end.len() && part.ends_with(end)))
    };
    of(&kinds).or_else(|| of(&[".slice"])).map(unescape)
}

/// Who runs the container, and its id, or its name where the manager knows it by name.
fn container(path: &str) -> Option<(&'static str, String)> {
    let mut before = "";
    let mut found = None;
    for part in parts(path) {
        if let Some(container) = container_part(before, part) {
            found = Some(container);
        }
        before = part;
    }
    found
}

/// What stands before the id in the name of a scope or directory, and who writes it so.
const PREFIXES: [(&str, &str); 7] = [
    ("docker-", "docker"),
    ("cri-containerd-", "containerd"),
    ("containerd-", "containerd"),
    ("nerdctl-", "containerd"),
    ("crio-", "cri-o"),
    ("libpod-payload-", "podman"),
    ("libpod-", "podman"),
];

/// One part of a path, with the part that holds it.
fn container_part(before: &str, part: &str) -> Option<(&'static str, String)> {
    let scope = part.strip_suffix(".scope").unwrap_or(part);
    // conmon watches a container from outside: it is not of it.
    if scope.contains("conmon-") {
        return None;
    }
    for (prefix, runtime) in PREFIXES {
        if let Some(id) = scope.strip_prefix(prefix).filter(|id| is_id(id)) {
            return Some((runtime, id.to_owned()));
        }
    }
    if let Some(name) = scope.strip_prefix("lxc.payload.") {
        return Some(("lxc", name.to_owned()));
    }
    if matches!(before, "lxc" | "lxc.payload") {
        return Some(("lxc", part.to_owned()));
    }
    if let Some(name) = part.strip_suffix(".scope").and_then(|name| name.strip_prefix("machine-"))
        && before == "machine.slice"
    {
        return Some(("machined", unescape(name)));
    }
    if let Some(name) = part.strip_prefix("systemd-nspawn@").and_then(|name| name.strip_suffix(".service")) {
        return Some(("nspawn", unescape(name)));
    }
    // A bare id: Docker, the kubelet, containerd's namespaces and ECS under cgroupfs. Podman's pods have such ids too.
    let id = scope.rsplit(':').next().filter(|id| is_id(id))?;
    (before != "libpod_parent").then(|| (bare_runtime(before, scope), id.to_owned()))
}

/// Who runs a container that is known by its bare id: a word before it (`slice:cri-containerd:id`), or the directory it is in.
/// Under the kubelet's the path does not tell which runtime it is.
fn bare_runtime(before: &str, scope: &str) -> &'static str {
    let mut words = scope.rsplit(':').skip(1);
    let named = |word: &str| {
        PREFIXES.iter().find(|(prefix, _)| prefix.trim_end_matches('-') == word).map(|(_, runtime)| *runtime)
    };
    if let Some(runtime) = words.next().and_then(named) {
        return runtime;
    }
    match before {
        "docker" => "docker",
        _ if before.strip_prefix("pod").is_some_and(is_uid) => "kubepods",
        "default" | "k8s.io" | "moby" => "containerd",
        _ => "",
    }
}

/// The pod's UID, with the dashes that a slice's name cannot hold; for Podman, the pod's id.
fn pod(path: &str) -> Option<String> {
    parts(path).rev().find_map(|part| {
        // containerd may leave systemd's `slice:runtime:id` unsplit.
        let part = part.split(':').next().unwrap_or(part);
        let slice = part.strip_suffix(".slice");
        if let Some(id) =
            slice.and_then(|name| name.strip_prefix("machine-libpod_pod_")).filter(|id| is_id(id))
        {
            return Some(id.to_owned());
        }
        if slice.is_none() && path.contains("/libpod_parent/") && is_id(part) {
            return Some(part.to_owned());
        }
        // kubepods-burstable-pod1234_5678.slice, or pod1234-5678 under the cgroupfs driver
        let name = match slice {
            Some(name) if name.contains("kubepods") => name.rsplit_once("-pod").map(|(_, uid)| uid)?,
            Some(_) => return None,
            None => part.strip_prefix("pod")?,
        };
        is_uid(name).then(|| name.replace('_', "-"))
    })
}

/// 64 hexadecimal digits.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A UUID with dashes or underscores, or the 32 digits the kubelet makes up for a static pod.
fn is_uid(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_hexdigit).count();
    let marks = text.bytes().filter(|byte| matches!(byte, b'-' | b'_')).count();
    digits == 32 && digits + marks == text.len() && matches!(marks, 0 | 4)
}

/// systemd's `\x2d` back into the byte it stands for (systemd.unit(5), "String escaping"); anything else stays.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = tail.strip_prefix(b"x").and_then(|hex| {
            let (pair, tail) = hex.split_first_chunk::<2>()?;
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            Some((u8::try_from(high? * 16 + low?).ok()?, tail))
        });
        let (byte, after) = escaped.filter(|_| *first == b'\\').unwrap_or((*first, tail));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0";
    const UID: &str = "0a1b2c3d-0001-4002-8003-00000000abcd";

    /// Check each manager's paths: the text, then unit, container and pod.
    #[test]
    fn managers() {
        let flat = UID.replace('-', "_");
        let scope = |runtime: &str| format!("{runtime}-{ID}.scope");
        let burst = format!("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{flat}.slice");
        let table: Vec<(String, String, &str, &str)> = vec![
            ("0::/\n".into(), String::new(), "", ""),
            ("0::/init.scope\n".into(), "init.scope".into(), "", ""),
            ("0::/system.slice/mariadb.service\n".into(), "mariadb.service".into(), "", ""),
            ("0::/system.slice/a\\x2db@1.service".into(), "a-b@1.service".into(), "", ""),
            ("0::/system.slice/_cpu.service".into(), "cpu.service".into(), "", ""),
            ("0::/system.slice/gone.service (deleted)".into(), "gone.service".into(), "", ""),
            ("0::/user.slice/user-1000.slice/session-3.scope".into(), "session-3.scope".into(), "", ""),
            ("0::/user.slice/user-1000.slice".into(), "user-1000.slice".into(), "", ""),
            (
                "0::/user.slice/user-1000.slice/user@1000.service/app.slice/db.service".into(),
                "db.service".into(),
                "",
                "",
            ),
            (format!("0::/docker/{ID}"), String::new(), ID, ""),
            (format!("0::/../../{}", scope("docker")), scope("docker"), ID, ""),
            (format!("0::/system.slice/{}", scope("docker")), scope("docker"), ID, ""),
            (format!("0::/system.slice/{}/init.scope", scope("docker")), "init.scope".into(), ID, ""),
            (format!("0::{burst}/{}", scope("cri-containerd")), scope("cri-containerd"), ID, UID),
            (format!("0::{burst}/{}", scope("crio")), scope("crio"), ID, UID),
            (format!("0::{burst}/crio-conmon-{ID}.scope"), scope("crio-conmon"), "", UID),
            (format!("0::/kubelet.slice/kubelet{burst}/{}", scope("crio")), scope("crio"), ID, UID),
            (format!("0::/kubepods/besteffort/pod{UID}/{ID}"), String::new(), ID, UID),
            (format!("0::/kubepods/pod{UID}/crio-{ID}"), String::new(), ID, UID),
            (format!("0::/kubepods/podffffffffffffffffffffffffffffffff/{ID}"), String::new(), ID, "f"),
            (
                format!("0::/system.slice/containerd.service/kubepods-pod{flat}.slice:cri-containerd:{ID}"),
                "containerd.service".into(),
                ID,
                UID,
            ),
            (format!("0::/machine.slice/{}/container", scope("libpod")), scope("libpod"), ID, ""),
            (
                format!("0::/machine.slice/machine-libpod_pod_{ID}.slice/{}", scope("libpod")),
                scope("libpod"),
                ID,
                ID,
            ),
            (format!("0::/libpod_parent/{ID}/libpod-{ID}"), String::new(), ID, ID),
            (format!("0::/machine.slice/{}", scope("libpod-conmon")), scope("libpod-conmon"), "", ""),
            ("0::/lxc.payload.web1/system.slice/ssh.service".into(), "ssh.service".into(), "web1", ""),
            ("0::/lxc.monitor.web1".into(), String::new(), "", ""),
            ("4:cpu:/lxc/web1\n1:name=systemd:/lxc/web1\n".into(), String::new(), "web1", ""),
            (
                "0::/machine.slice/machine-deb\\x2d12.scope".into(),
                "machine-deb-12.scope".into(),
                "deb-12",
                "",
            ),
            (
                "0::/machine.slice/systemd-nspawn@deb.service/payload/system.slice/cron.service".into(),
                "cron.service".into(),
                "deb",
                "",
            ),
            (format!("0::/default/{ID}"), String::new(), ID, ""),
            (format!("0::/ecs/0123/{ID}"), String::new(), ID, ""),
            (
                format!("12:pids:/docker/{ID}\n1:name=systemd:/system.slice/docker.service\n"),
                "docker.service".into(),
                ID,
                "",
            ),
            (
                "9:memory:/user.slice\n1:name=systemd:/system.slice/x.service\n0::/\n".into(),
                "x.service".into(),
                "",
                "",
            ),
        ];
        for (text, unit, container, pod) in table {
            let pod = if pod == "f" { "f".repeat(32) } else { pod.to_owned() };
            let found = owner(text.as_bytes());
            assert_eq!((found.unit, &*found.container, found.pod), (unit, container, pod), "{text}");
            assert!(!container.is_empty() || found.runtime.is_empty(), "{text}");
            assert!(!owner(text.as_bytes()).workload().is_empty(), "{text}: no owner");
        }
    }

    /// Check who is said to run a container: the word in its path, and nothing where the path does not tell.
    #[test]
    fn runtimes() {
        let table = [
            (format!("0::/system.slice/docker-{ID}.scope"), "docker"),
            (format!("0::/docker/{ID}"), "docker"),
            (format!("0::/../../docker-{ID}.scope/init.scope"), "docker"),
            (format!("0::/kubepods.slice/kubepods-pod{UID}.slice/cri-containerd-{ID}.scope"), "containerd"),
            (
                format!("0::/system.slice/containerd.service/kubepods-x.slice:cri-containerd:{ID}"),
                "containerd",
            ),
            (format!("0::/default/{ID}"), "containerd"),
            (format!("0::/machine.slice/nerdctl-{ID}.scope"), "containerd"),
            (format!("0::/kubepods/pod{UID}/crio-{ID}"), "cri-o"),
            (format!("0::/kubepods/besteffort/pod{UID}/{ID}"), "kubepods"),
            (format!("0::/machine.slice/libpod-{ID}.scope/container"), "podman"),
            (format!("0::/libpod_parent/{ID}/libpod-{ID}"), "podman"),
            ("4:cpu:/lxc/web1\n".to_owned(), "lxc"),
            ("0::/lxc.payload.web1/system.slice/ssh.service".to_owned(), "lxc"),
            ("0::/machine.slice/machine-deb\\x2d12.scope".to_owned(), "machined"),
            ("0::/machine.slice/systemd-nspawn@deb.service/payload".to_owned(), "nspawn"),
            (format!("0::/ecs/0123/{ID}"), ""),
            ("0::/system.slice/mariadb.service".to_owned(), ""),
            (format!("0::/machine.slice/libpod-conmon-{ID}.scope"), ""),
        ];
        for (text, runtime) in table {
            assert_eq!(owner(text.as_bytes()).runtime, runtime, "{text}");
        }
    }

    /// Check which part of an owner names it, and that only ids are cut.
    #[test]
    fn workloads() {
        let of = |cgroup: String| {
            let owner = owner(cgroup.as_bytes());
            (owner.workload().to_owned(), owner.short_workload().to_owned())
        };
        let both = |name: &str| (name.to_owned(), name.to_owned());
        assert_eq!(of(format!("0::/kubepods/besteffort/pod{UID}/{ID}")), both(UID));
        assert_eq!(
            of(format!("0::/system.slice/docker-{ID}.scope")),
            (ID.to_owned(), "0f1e2d3c4b5a".to_owned())
        );
        assert_eq!(of("0::/lxc.payload.a-container-by-name".into()), both("a-container-by-name"));
        assert_eq!(of("0::/system.slice/mariadb.service".into()), both("mariadb.service"));
        assert_eq!(of("0::/user.slice/user-1000.slice/session-3.scope".into()), both("session-3.scope"));
        assert_eq!(of("0::/t1\n".into()), both("/t1"));
        assert_eq!(of("0::/a/b (deleted)\n".into()), both("/a/b"));
        assert_eq!(of("0::/../t1".into()), both("/../t1"));
        assert_eq!(of("9:memory:/t1\n1:name=systemd:/\n0::/\n".into()), both("/t1"));
        assert_eq!(of("9:memory:/\n0::/\n".into()), both("/"));
        assert_eq!(of(String::new()), both(""));
    }

    /// Check that names that only look alike say nothing but the path, and that what is no path says nothing.
    #[test]
    fn look_alikes() {
        for text in [
            "0::/podman",
            "0::/docker/short",
            "0::/docker-notanid.scope.d",
            "0::/.service",
            "0::/podcast/pod-of-whales",
        ] {
            let cgroup = text.strip_prefix("0::").unwrap().to_owned();
            assert_eq!(owner(text.as_bytes()), Owner { cgroup, ..Owner::default() }, "{text}");
        }
        for text in ["no colons", "1:x", "", "0::", "0::relative"] {
            assert_eq!(owner(text.as_bytes()), Owner::default(), "{text}");
        }
        assert_eq!(owner(b"0::/a\\x2.service").unit, "a\\x2.service");
        assert_eq!(owner(b"0::/a\\xfe.service").unit, "a\u{fffd}.service");
    }

    proptest! {
        /// Check that no text makes it panic.
        #[test]
        fn any_text(bytes: Vec<u8>, path in "(0::|1:name=systemd:)(/[-_.:a-f0-9x\\\\podslice]{0,20}){0,5}") {
            let _ = (owner(&bytes), owner(path.as_bytes()));
        }
    }
}

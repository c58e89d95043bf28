//! The control groups of a process as the programs tell them, in the words of its `/proc/PID/cgroup`, which may be gone.

use std::cmp::Reverse;

/// One control group: the number of its hierarchy, and its names from the root's child down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupPath {
    /// As the first number of a line of `/proc/PID/cgroup`.
    pub hierarchy: u32,
    /// Empty: the root.
    pub names: Vec<Vec<u8>>,
}

/// The text of `/proc/PID/cgroup`, for `aioinspect_model::owner::owner`: hierarchies as the kernel lists them, the last mounted first.
///
/// `roots`: the root of the reader's cgroup namespace, to which paths are relative. `own`: `/proc/self/cgroup`, which says what each hierarchy
/// controls; one that it does not list is not shown.
pub fn as_proc_has_it(paths: &[CgroupPath], roots: &[CgroupPath], own: &[u8]) -> Vec<u8> {
    let mut paths: Vec<&CgroupPath> = paths.iter().collect();
    paths.sort_by_key(|path| Reverse(path.hierarchy));
    let mut text = Vec::new();
    for path in paths {
        let Some(head) = head_of(path.hierarchy, own) else { continue };
        let root = roots.iter().find(|root| root.hierarchy == path.hierarchy);
        text.extend_from_slice(head);
        text.extend(relative(&path.names, root.map_or(&[], |root| &root.names)));
        text.push(b'\n');
    }
    text
}

/// `4:memory:` of the line of that hierarchy.
fn head_of(hierarchy: u32, own: &[u8]) -> Option<&[u8]> {
    own.split(|byte| *byte == b'\n').find_map(|line| {
        let mut colons = line.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
        let (first, second) = (colons.next()?, colons.next()?);
        let number = std::str::from_utf8(line.get(..first)?).ok()?;
        (number.parse() == Ok(hierarchy)).then(|| line.get(..=second)).flatten()
    })
}

/// The path from one group to another (fs/kernfs/dir.c:kernfs_path_from_node): `/..` for each step up, then the names down.
fn relative(to: &[Vec<u8>], from: &[Vec<u8>]) -> Vec<u8> {
    let common = to.iter().zip(from).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n(&b".."[..], from.len().saturating_sub(common));
    let down = to.iter().skip(common).map(Vec::as_slice);
    let mut path: Vec<u8> = up.chain(down).flat_map(|name| [b"/", name].concat()).collect();
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(hierarchy: u32, text: &str) -> CgroupPath {
        let names = text.split('/').filter(|name| !name.is_empty());
        CgroupPath { hierarchy, names: names.map(|name| name.as_bytes().to_vec()).collect() }
    }

    /// Check the paths from each root to each group, as the kernel writes them.
    #[test]
    fn relative_paths() {
        for (to, from, expected) in [
            ("/", "/", "/"),
            ("/a/b", "/", "/a/b"),
            ("/a/b", "/a/b", "/"),
            ("/a/b/c", "/a/b", "/c"),
            ("/a", "/a/b", "/.."),
            ("/a/c", "/a/b", "/../c"),
            ("/x/y", "/a/b", "/../../x/y"),
            ("/ab", "/a", "/../ab"),
        ] {
            let said = relative(&path(0, to).names, &path(0, from).names);
            assert_eq!(String::from_utf8(said).unwrap(), expected, "{from} to {to}");
        }
    }

    /// Check the text where v1 and v2 are mounted: its order, what each hierarchy controls, and that one that is not listed is left out.
    #[test]
    fn hybrid() {
        let own = b"11:pids:/\n4:memory:/x\n1:name=systemd:/\n0::/\n";
        let paths = [path(0, "/"), path(4, "/docker/c1"), path(9, "/hidden"), path(11, "/a:b")];
        let roots = [path(4, "/docker")];
        let said = as_proc_has_it(&paths, &roots, own);
        assert_eq!(String::from_utf8(said).unwrap(), "11:pids:/a:b\n4:memory:/c1\n0::/\n");
        assert!(as_proc_has_it(&paths, &roots, b"").is_empty());
        assert!(as_proc_has_it(&paths, &[], b"x\n:::\n4\n").is_empty());
    }
}

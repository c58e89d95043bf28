//! `amend` and `diff`: wrong arguments, full and read-only file systems, and being killed. No image is ever half.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use aioinspect_proto::image;
use aioinspect_proto::schema::criu::AioRingEntry;
use aioinspect_proto::splice::replace_aios;
use aioinspect_tests::prng::Prng;
use aioinspect_tests::programs::{Output, bin, run_aioinspect};

use crate::refused::{accepts, can, refused, refuses};
use crate::sandbox::{names_in, read_only, with_mounts};

/// Images of one process each, as CRIU writes them, and as they are to be.
struct Images {
    evidence: PathBuf,
    images: Vec<(String, Vec<u8>, Vec<u8>)>,
}

fn images() -> Images {
    let evidence = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/dump.evidence");
    let dir = tempfile::tempdir().unwrap();
    accepts(&["dump", "--from", evidence.to_str().unwrap(), "-D", dir.path().to_str().unwrap()]);
    let name = names_in(dir.path()).into_iter().find(|name| name.ends_with(".img")).unwrap();
    let exact = fs::read(dir.path().join(&name)).unwrap();
    let aios = image::decode(&exact).unwrap().aios.into_iter();
    let guessed = aios.map(|aio| AioRingEntry { nr_req: ((aio.ring_len - 32) / 32 - 2) / 2, ..aio });
    let criu = replace_aios(&exact, &guessed.collect::<Vec<_>>()).unwrap();
    assert_ne!(criu, exact);
    Images { evidence, images: vec![(name, criu, exact)] }
}

impl Images {
    fn put(&self, dir: &Path) {
        for (name, criu, _) in &self.images {
            fs::write(dir.join(name), criu).unwrap();
        }
    }

    fn amend(&self, dir: &Path) -> Output {
        run_aioinspect(&["amend", dir.to_str().unwrap(), "--evidence", self.evidence.to_str().unwrap()])
    }

    fn are(&self, dir: &Path, exact: bool) -> bool {
        self.images.iter().all(|(name, criu, amended)| {
            fs::read(dir.join(name)).unwrap() == *if exact { amended } else { criu }
        })
    }
}

/// Check that a missing, an unknown and a surplus argument are usage errors, and what is no directory or no file an error.
#[test]
fn wrong_arguments() {
    refuses(&["amend"], 2, &["DIR", "--help"]);
    refuses(&["amend", "/", "/"], 2, &["'/'", "--help"]);
    refuses(&["amend", "/", "--restore-on", "cpus=0"], 2, &["cpus=N[,free=M]"]);
    refuses(&["amend", "/no/such/directory"], 1, &["no directory /no/such/directory"]);
    refuses(&["amend", "/dev/null"], 1, &["no directory /dev/null"]);
    let dir = tempfile::tempdir().unwrap();
    refuses(&["amend", dir.path().to_str().unwrap()], 1, &["no evidence in", "--evidence"]);
}

/// Check that a file system without room changes no image and keeps no draft.
#[test]
fn full() {
    if !can("full") {
        return;
    }
    let images = images();
    let (output, names, same) = with_mounts(&[(c"tmpfs", c"/mnt", c"size=64k")], || {
        let dir = Path::new("/mnt");
        images.put(dir);
        // Whatever is left is taken.
        let _ = fs::write(dir.join("ballast"), vec![1; 65536]);
        (images.amend(dir), names_in(dir).len(), images.are(dir, false))
    });
    refused(&output, 1, &["no space left to write /mnt/", "no file was changed"]);
    assert!(same);
    assert_eq!(names, images.images.len() + 1);
}

/// Check that a read-only file system is named, and that a dry run works there.
#[test]
fn read_only_file_system() {
    if !can("read_only_file_system") {
        return;
    }
    let images = images();
    let (output, dry) = with_mounts(&[(c"tmpfs", c"/mnt", c"")], || {
        images.put(Path::new("/mnt"));
        read_only(c"/mnt");
        let evidence = images.evidence.to_str().unwrap();
        let dry = run_aioinspect(&["amend", "/mnt", "--dry-run", "--evidence", evidence]);
        (images.amend(Path::new("/mnt")), dry)
    });
    refused(&output, 1, &["cannot write into directory /mnt", "no file was changed"]);
    assert_eq!(dry.code, 0, "{dry:?}");
}

/// Check that SIGKILL at any instant leaves each image old or new, and that the next run finishes it and leaves nothing else.
#[test]
fn killed() {
    let images = images();
    let dir = tempfile::tempdir().unwrap();
    let mut random = Prng::new(0x5eed);
    let (mut old, mut new) = (0, 0);
    for round in 0..200 {
        images.put(dir.path());
        let mut child = Command::new(bin("aioinspect"))
            .args(["amend", dir.path().to_str().unwrap(), "--evidence", images.evidence.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(random.between(0, 8000).into()));
        child.kill().unwrap();
        child.wait().unwrap();
        match (images.are(dir.path(), false), images.are(dir.path(), true)) {
            (true, false) => old += 1,
            (false, true) => new += 1,
            half => panic!("round {round}: {half:?}"),
        }
        let again = images.amend(dir.path());
        assert_eq!(again.code, 0, "round {round}: {again:?}");
        assert!(images.are(dir.path(), true), "round {round}");
    }
    println!("killed: {old} times old, {new} times new");
    images.put(dir.path());
    accepts(&["amend", dir.path().to_str().unwrap(), "--evidence", images.evidence.to_str().unwrap()]);
    assert_eq!(names_in(dir.path()).len(), images.images.len());
}

//! `amend`: images as CRIU writes them, beside evidence of their processes, word for word.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use aioinspect_proto::image;
use aioinspect_proto::schema::criu::AioRingEntry;
use aioinspect_proto::splice::replace_aios;
use tempfile::TempDir;

use crate::blessed::{Comparison, captures};
use crate::session::{Said, Session, aioinspect};

/// CRIU's VMA_AREA_AIORING.
const AIORING: u32 = 1 << 13;

/// A directory with an image and its evidence for each capture.
struct Images {
    dir: TempDir,
    /// Of each image: its path, as `dump` writes it, as CRIU writes it.
    images: Vec<(PathBuf, Vec<u8>, Vec<u8>)>,
}

/// Makes images as CRIU would write them: an entry for each ring that is mapped, by its own estimate.
fn images(names: &[&str]) -> Images {
    let dir = tempfile::tempdir().unwrap();
    let mut images: Vec<(PathBuf, Vec<u8>, Vec<u8>)> = Vec::new();
    for name in names {
        let evidence = captures().join(format!("{name}.evidence")).display().to_string();
        let into = dir.path().to_str().unwrap();
        assert_eq!(aioinspect(&["dump", "--from", &evidence, "-D", into]).code, 0, "{name}");
        let is_new = |path: &PathBuf| {
            path.extension().is_some_and(|of| of == "img") && images.iter().all(|(old, ..)| old != path)
        };
        let mut files = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
        let path = files.find(is_new).unwrap();
        let exact = fs::read(&path).unwrap();
        let entry = image::decode(&exact).unwrap();
        let rings = entry.vmas.iter().filter(|vma| vma.status & AIORING != 0).map(|vma| {
            let ring_len = u32::try_from(vma.end - vma.start).unwrap();
            AioRingEntry { id: vma.start, nr_req: ((ring_len - 32) / 32 - 2) / 2, ring_len }
        });
        let criu = replace_aios(&exact, &rings.collect::<Vec<_>>()).unwrap();
        assert_ne!(criu, exact, "{name}");
        fs::write(&path, &criu).unwrap();
        images.push((path, exact, criu));
    }
    Images { dir, images }
}

impl Images {
    fn path(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }

    fn are_exact(&self) -> bool {
        self.images.iter().all(|(path, exact, _)| fs::read(path).unwrap() == *exact)
    }

    fn are_criu_s(&self) -> bool {
        self.images.iter().all(|(path, _, criu)| fs::read(path).unwrap() == *criu)
    }

    fn names(&self) -> Vec<String> {
        let names = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> =
            names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs it and checks that it is refused with nothing changed.
    fn refuses(&self, options: &[&str], code: u8) -> Said {
        let (before, said) = (self.names(), aioinspect(&[&["amend", self.path()], options].concat()));
        assert_eq!((said.code, &*said.stdout), (code, ""), "{said:?}");
        assert!(self.are_criu_s() && self.names() == before, "{said:?}");
        said
    }
}

/// Check that amending gives byte for byte what `dump` writes, for a process and for one with ghosts, that a dry run writes nothing, and that
/// a second time nothing is to be done.
#[test]
fn images_of_criu_become_exact() {
    let images = images(&["dump", "dump-ghost"]);
    let before = images.names();
    let mut session = Session::hiding(&[(images.dir.path(), "DIR")]);
    session.run(&["check", images.path(), "--restore-on", "cpus=2"]);
    session.run(&["amend", images.path(), "--dry-run"]);
    session.run(&["amend", images.path(), "--dry-run", "-J"]);
    session.run(&["amend", images.path(), "--dry-run", "--restore-on", "cpus=12,free=65536"]);
    assert!(images.are_criu_s());
    let (first, ..) = &images.images[0];
    fs::set_permissions(first, fs::Permissions::from_mode(0o640)).unwrap();
    session.run(&["amend", images.path()]);
    assert!(images.are_exact());
    assert_eq!(fs::metadata(first).unwrap().permissions().mode() & 0o7777, 0o640);
    session.run(&["amend", images.path()]);
    session.run(&["amend", images.path(), "-J"]);
    session.run(&["check", images.path(), "--restore-on", "cpus=2"]);
    assert_eq!(images.names(), before);
    assert!(images.are_exact());
    let mut texts = Comparison::default();
    texts.compare(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/amend.txt"), &session.text);
    texts.done();
}

/// Check that a run which was killed between two images is finished by the next one.
#[test]
fn half_is_finished() {
    let images = images(&["dump", "dump-ghost"]);
    let (first, exact, _) = &images.images[0];
    fs::write(first, exact).unwrap();
    fs::write(images.dir.path().join(".aioinspect-draft-0000000000000001"), "half").unwrap();
    assert_eq!(aioinspect(&["amend", images.path()]).code, 0);
    assert!(images.are_exact());
    assert_eq!(images.names().len(), 4);
}

/// Check everything that is refused, by exit code and words, and that no image changes then.
#[test]
fn what_does_not_match_changes_nothing() {
    let images = images(&["dump", "dump-ghost"]);
    let at = |name: &str| captures().join(format!("{name}.evidence")).display().to_string();
    let of_one = images.refuses(&["--evidence", &at("dump")], 5);
    assert!(of_one.stderr.contains("the evidence has no process"), "{of_one:?}");
    let too_many = images.refuses(&["--restore-on", "cpus=512"], 5);
    assert!(too_many.stderr.contains("cannot be made on 512 possible CPUs"), "{too_many:?}");
    let too_few = images.refuses(&["--restore-on", "cpus=2,free=1"], 5);
    assert!(too_few.stderr.contains("1 are free"), "{too_few:?}");
    let missing = images.refuses(&["--evidence", "/no/such/file"], 1);
    assert!(missing.stderr.contains("no file /no/such/file"), "{missing:?}");
    let no_evidence = images.refuses(&["--evidence", images.images[0].0.to_str().unwrap()], 1);
    assert!(no_evidence.stderr.contains("not an evidence file"), "{no_evidence:?}");

    // An image that is a link, also to a good one, is not followed.
    let elsewhere = tempfile::tempdir().unwrap();
    let (link, good) = (images.dir.path().join("mm-1.img"), elsewhere.path().join("mm-1.img"));
    fs::write(&good, &images.images[0].2).unwrap();
    symlink(&good, &link).unwrap();
    let linked = images.refuses(&[], 1);
    assert!(linked.stderr.contains("links are not followed"), "{linked:?}");
    fs::remove_file(&link).unwrap();
    fs::write(&link, "garbage").unwrap();
    let garbage = images.refuses(&[], 1);
    assert!(garbage.stderr.contains("mm-1.img: not a CRIU image"), "{garbage:?}");
}

/// Check that evidence of requests in flight amends nothing.
#[test]
fn in_flight_changes_nothing() {
    let evidence = crate::captures::capture("in-flight-polls");
    let target = evidence.target.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let sample = fs::read(crate::blessed::root().join("proto/tests/fixtures/criu-4.2-mm-1-ctx.img")).unwrap();
    let path = dir.path().join(format!("mm-{target}.img"));
    fs::write(&path, &sample).unwrap();
    let from = captures().join("in-flight-polls.evidence").display().to_string();
    let said = aioinspect(&["amend", dir.path().to_str().unwrap(), "--evidence", &from]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(
        said.stderr.contains("is not idle: ") && said.stderr.contains("7 requests in flight"),
        "{said:?}"
    );
    assert_eq!(fs::read(&path).unwrap(), sample);
}

/// Check what is said where there is nothing to amend, or nothing to amend it by.
#[test]
fn places_without_images() {
    let dir = tempfile::tempdir().unwrap();
    let (path, from) = (dir.path().to_str().unwrap(), captures().join("dump.evidence").display().to_string());
    let says = |args: &[&str], code, words: &str| {
        let said = aioinspect(args);
        assert_eq!((said.code, &*said.stdout), (code, ""), "{said:?}");
        assert!(said.stderr.contains(words), "{said:?}");
    };
    says(&["amend", path], 1, "no evidence in");
    says(&["amend", path, "--evidence", &from], 1, "no mm-*.img in");
    fs::write(dir.path().join("pagemap-1.img"), "").unwrap();
    says(&["amend", path, "--evidence", &from], 1, "it holds the pages of a pre-dump");
    says(&["amend", "/no/such/directory"], 1, "no directory /no/such/directory");
    says(&["amend", &from], 1, "no directory");
}

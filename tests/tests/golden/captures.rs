//! Every capture through every verb.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use aioinspect_formats::{Document, document_from_bytes, evidence_from_bytes, evidence_to_bytes};
use aioinspect_model::evidence::{CensusSource, Evidence};
use aioinspect_model::finding::Finding;
use aioinspect_model::reconcile::reconcile;
use aioinspect_model::units::Pid;
use aioinspect_model::verdict::{DumpVerdict, Policy, judge_dump};
use aioinspect_tests::record::{RECIPES, said};

use crate::blessed::{Comparison, captures, is_blessing, text_of};
use crate::session::{Session, aioinspect};

const OUTPUTS: [&str; 5] = ["list", "check", "show", "dump", "headroom"];

fn path_of(name: &str) -> PathBuf {
    captures().join(format!("{name}.evidence"))
}

pub(crate) fn capture(name: &str) -> Evidence {
    let path = path_of(name);
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    evidence_from_bytes(&bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The processes that `check` and `dump` can be asked about: `None` where the evidence knows whom it is about.
fn asked(evidence: &Evidence) -> Vec<Option<String>> {
    let spaces = evidence.spaces.iter().filter_map(|space| space.processes.first());
    match (evidence.target, evidence.spaces.len()) {
        (Some(_), _) | (None, 0 | 1) => vec![None],
        (None, _) => [None].into_iter().chain(spaces.map(|process| Some(process.pid.to_string()))).collect(),
    }
}

fn session() -> Session {
    Session::hiding(&[(captures().join("").as_path(), "")])
}

/// Runs `verb` for each process that can be asked about, with each set of options.
fn judged(session: &mut Session, verb: &str, name: &str, options: &[&[&str]]) {
    let (evidence, path) = (capture(name), path_of(name));
    for pid in asked(&evidence) {
        for options in options {
            let pid = pid.as_deref().into_iter();
            let from = ["--from", path.to_str().unwrap()];
            let args: Vec<&str> =
                [verb].into_iter().chain(pid).chain(from).chain(options.iter().copied()).collect();
            session.run(&args);
        }
    }
}

/// Options that allow more are tried where there is one process.
fn is_of_one(evidence: &Evidence) -> bool {
    evidence.spaces.len() == 1
}

fn waits(evidence: &Evidence) -> bool {
    said(evidence).1.contains(&Finding::Unreaped)
}

/// Check that `list` says of each capture what it said when that was last read by a person.
#[test]
fn list() {
    let mut all = Comparison::default();
    for recipe in RECIPES {
        let (mut session, path) = (session(), path_of(recipe.name));
        let from = path.to_str().unwrap();
        session.run(&["list", "--from", from]);
        session.run(&["list", "-J", "--from", from]);
        if recipe.name == "host" {
            session.run(&[
                "list",
                "-o",
                "+OWNER,UNIT,POD,FREE,HEAD,TAIL,RING_LEN,MAPPED,START",
                "--from",
                from,
            ]);
            session.run(&["list", "-Q", "IN_FLIGHT > 0 or COMM =~ \"^wr\"", "-H", "--from", from]);
            session.run(&["list", "--by", "owner", "--from", from]);
            session.run(&["list", "--by", "user", "-o", "+NR_EVENTS", "--from", from]);
            session.run(&[
                "list",
                "--by",
                "comm",
                "-H",
                "-Q",
                "MAX_REQS > 100",
                "-o",
                "COMM,SHARE",
                "--from",
                from,
            ]);
            session.run(&["list", "--by", "comm", "-J", "-Q", "MAX_REQS < 0", "--from", from]);
            session.run(&["list", "--by", "comm", "-J", "--from", from]);
        }
        all.compare(&captures().join(format!("{}.list.txt", recipe.name)), &session.text);
    }
    all.done();
}

/// Check the same of `check`.
#[test]
fn check() {
    let mut all = Comparison::default();
    for recipe in RECIPES {
        let mut session = session();
        let options: &[&[&str]] = if waits(&capture(recipe.name)) {
            &[&[], &["--allow-unreaped"], &["-J"]]
        } else {
            &[&[], &["-J"]]
        };
        judged(&mut session, "check", recipe.name, options);
        all.compare(&captures().join(format!("{}.check.txt", recipe.name)), &session.text);
    }
    all.done();
}

/// Check the same of `headroom`: with room, without, and where there can never be enough.
#[test]
fn headroom() {
    let mut all = Comparison::default();
    for recipe in RECIPES {
        let (mut session, path) = (session(), path_of(recipe.name));
        let from = path.to_str().unwrap();
        let system = capture(recipe.name).system;
        session.run(&["headroom", "--from", from]);
        session.run(&["headroom", "-J", "--need", "1", "--from", from]);
        if recipe.name == "host" {
            let free = system.aio_max_nr - system.aio_nr;
            for need in [free, free + 1, system.aio_max_nr + 1] {
                session.run(&["headroom", "--need", &need.to_string(), "--from", from]);
            }
        }
        all.compare(&captures().join(format!("{}.headroom.txt", recipe.name)), &session.text);
    }
    all.done();
}

/// Check the same of `show`.
#[test]
fn show() {
    let mut all = Comparison::default();
    for recipe in RECIPES {
        let (mut session, path) = (session(), path_of(recipe.name));
        session.run(&["show", path.to_str().unwrap()]);
        session.run(&["show", "-J", path.to_str().unwrap()]);
        all.compare(&captures().join(format!("{}.show.txt", recipe.name)), &session.text);
    }
    all.done();
}

/// Check the same of `dump`, and that what it writes is an image of exactly the contexts that were judged idle, and the capture itself.
#[test]
fn dump() {
    let mut all = Comparison::default();
    let mut images = 0;
    for recipe in RECIPES {
        let (evidence, path) = (capture(recipe.name), path_of(recipe.name));
        let mut text = String::new();
        let mut ways: Vec<(Vec<&str>, Policy)> = vec![(vec![], Policy { image: true, ..Policy::default() })];
        if is_of_one(&evidence) && waits(&evidence) {
            ways.push((
                vec!["--allow-unreaped"],
                Policy { allow_unreaped: true, unverified: false, image: true },
            ));
        }
        if is_of_one(&evidence) && (evidence.source == CensusSource::Proc || !evidence.lacks.is_empty()) {
            ways.push((
                vec!["--unverified"],
                Policy { allow_unreaped: false, unverified: true, image: true },
            ));
        }
        for (pid, (options, policy)) in
            asked(&evidence).iter().flat_map(|pid| ways.iter().map(move |way| (pid, way)))
        {
            let dir = tempfile::tempdir().unwrap();
            let mut session = Session::hiding(&[(dir.path(), "DIR"), (captures().join("").as_path(), "")]);
            let ends = ["--from", path.to_str().unwrap(), "-D", dir.path().to_str().unwrap()];
            let args: Vec<&str> = ["dump"]
                .into_iter()
                .chain(pid.as_deref())
                .chain(options.iter().copied())
                .chain(ends)
                .collect();
            let wrote = session.run(&args).code == 0;
            let target = evidence.target.unwrap_or_default();
            let image = dir.path().join(format!("mm-{target}.img"));
            assert_eq!(wrote, image.exists(), "{args:?}");
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), if wrote { 2 } else { 0 }, "{args:?}");
            if wrote {
                session.run(&["show", image.to_str().unwrap()]);
                is_image_of(&fs::read(&image).unwrap(), &evidence, target, *policy);
                let kept = fs::read(dir.path().join(format!("aioinspect-{target}.evidence"))).unwrap();
                assert_eq!(kept, fs::read(&path).unwrap(), "{args:?}: the evidence was changed");
                images += 1;
            }
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&session.text);
        }
        all.compare(&captures().join(format!("{}.dump.txt", recipe.name)), &text);
    }
    assert!(images >= 4, "only {images} captures could be dumped");
    all.done();
}

fn is_image_of(bytes: &[u8], evidence: &Evidence, target: Pid, policy: Policy) {
    let Ok(Document::Image(image, _)) = document_from_bytes(bytes) else { panic!("not an image") };
    let picture = reconcile(evidence);
    let DumpVerdict::Idle { contexts, .. } = judge_dump(evidence, &picture, target, &policy) else {
        panic!("not idle")
    };
    let judged: Vec<_> = contexts.iter().map(|index| &picture.contexts[*index]).collect();
    let named: Vec<_> = image.aios.iter().map(|aio| aio.id).collect();
    assert_eq!(named, judged.iter().map(|view| view.context).collect::<Vec<_>>());
    for (aio, view) in image.aios.iter().zip(&judged) {
        assert_eq!(Some(u64::from(aio.ring_len)), view.ring_len);
        assert!(view.max_reqs.is_none_or(|max_reqs| aio.nr_req >= max_reqs));
    }
    let facts = evidence.spaces[0].image.as_ref().unwrap();
    assert_eq!(
        image.vmas.iter().filter(|vma| vma.is_ring).count(),
        facts.vmas.iter().filter(|vma| vma.is_ring).count()
    );
    assert_eq!(image.exe_file_id, 0);
}

/// Check that each capture is what its recipe says, is small and encodes to the same bytes, that README.md describes it,
/// and that no file is missing or left over.
#[test]
fn are_complete() {
    let readme = text_of("tests/captures/README.md");
    let mut expected = BTreeSet::from(["README.md".to_owned()]);
    for recipe in RECIPES {
        let name = recipe.name;
        expected.insert(format!("{name}.evidence"));
        expected.extend(OUTPUTS.map(|output| format!("{name}.{output}.txt")));
        let (evidence, bytes) = (capture(name), fs::read(path_of(name)).unwrap());
        assert_eq!(said(&evidence), (recipe.expect.verdict, recipe.expect.findings.to_vec()), "{name}");
        assert!(bytes.len() < 16 << 10, "{name} has {} bytes", bytes.len());
        assert!(evidence_to_bytes(&evidence).unwrap() == bytes, "{name} does not encode to itself");
        assert!(
            readme.contains(&format!("| `{name}` | {} |", recipe.about)),
            "README.md does not describe {name}"
        );
    }
    let files = fs::read_dir(captures()).unwrap().map(|entry| entry.unwrap().file_name());
    let files: BTreeSet<String> = files.map(|name| name.into_string().unwrap()).collect();
    assert_eq!(files.difference(&expected).collect::<Vec<_>>(), Vec::<&String>::new(), "left over");
    // While texts are written anew, other tests are at it.
    if !is_blessing() {
        assert_eq!(expected.difference(&files).collect::<Vec<_>>(), Vec::<&String>::new(), "missing");
    }
}

/// Check that each finding is shown to a user by `list` or `check` of some capture.
#[test]
fn show_every_finding() {
    let texts: Vec<String> = RECIPES
        .iter()
        .flat_map(|recipe| {
            ["list", "check"].map(|output| text_of(&format!("tests/captures/{}.{output}.txt", recipe.name)))
        })
        .collect();
    for finding in Finding::ALL {
        let code = format!("\"{}\"", finding.code());
        let line = format!("{}: ", finding.code());
        let shown =
            |text: &String| text.contains(&code) || text.lines().any(|l| l.trim_start().starts_with(&line));
        assert!(texts.iter().any(shown), "no capture shows {finding}");
    }
}

/// Check that without a verb the options are those of list, in a replay too.
#[test]
fn list_needs_no_verb() {
    let path = path_of("host");
    let from = ["--from", path.to_str().unwrap()];
    assert_eq!(aioinspect(&from), aioinspect(&[&["list"], &from[..]].concat()));
    assert_eq!(
        aioinspect(&[&["-J"], &from[..]].concat()),
        aioinspect(&[&["list", "-J"], &from[..]].concat())
    );
}

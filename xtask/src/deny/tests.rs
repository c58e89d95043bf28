//! Each rule broken once, by metadata made by hand.

use serde_json::{Value, json};

use crate::deny::*;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Rules with one row of each kind.
const RULES: &str = r#"
[graph]
targets = []
[advisories]
yanked = "deny"
[licenses]
include-dev = true
allow = ["MIT"]
exceptions = [{ crate = "driver", allow = ["MPL-2.0"] }]
[bans]
multiple-versions = "deny"
multiple-versions-include-dev = true
wildcards = "deny"
allow-wildcard-paths = true
deny = [
    { crate = "bad@1", reason = "there is a better one" },
    { crate = "driver", wrappers = ["tests"], reason = "for tests" },
]
skip = [{ crate = "twice@0.1", reason = "old has not moved on" }]
skip-tree = [{ crate = "driver", reason = "for tests" }]
[sources]
unknown-registry = "deny"
unknown-git = "deny"
allow-registry = ["https://github.com/rust-lang/crates.io-index"]
allow-git = []
"#;

/// A package of the graph.
#[derive(Clone)]
struct Made {
    name: &'static str,
    version: &'static str,
    licence: Option<&'static str>,
    source: Option<&'static str>,
    /// The packages it uses, as `name version`, and the kind of use as cargo says it.
    uses: Vec<(&'static str, Option<&'static str>)>,
    /// What it asks for without saying a version, and whether by path.
    wildcards: Vec<(&'static str, bool)>,
}

fn member(name: &'static str, uses: Vec<(&'static str, Option<&'static str>)>) -> Made {
    Made { name, version: "0.0.0", licence: Some("MIT"), source: None, uses, wildcards: Vec::new() }
}

fn package(name: &'static str, version: &'static str) -> Made {
    Made { version, source: Some(CRATES_IO), ..member(name, Vec::new()) }
}

/// A program with a library, and tests that drive it.
fn good() -> Vec<Made> {
    vec![
        member("aioinspect", vec![("lib 1.2.0", None), ("twice 0.2.0", None), ("tests 0.0.0", Some("dev"))]),
        member("tests", vec![("driver 3.0.0", None), ("aioinspect 0.0.0", None)]),
        package("lib", "1.2.0"),
        package("twice", "0.2.0"),
        Made { uses: vec![("twice 0.1.7", None), ("lib 0.9.0", None)], ..package("driver", "3.0.0") },
        package("twice", "0.1.7"),
        package("lib", "0.9.0"),
    ]
    .into_iter()
    .map(|made| if made.name == "driver" { Made { licence: Some("MPL-2.0"), ..made } } else { made })
    .collect()
}

fn metadata(packages: &[Made]) -> Metadata {
    let id = |made: &Made| format!("{} {}", made.name, made.version);
    let dependency = |(name, by_path): &(&str, bool)| {
        json!({
            "name": name, "source": null, "req": "*", "kind": null, "optional": false,
            "uses_default_features": true, "features": [], "target": null, "rename": null, "registry": null,
            "path": by_path.then_some("/w/there"),
        })
    };
    let described: Vec<Value> = packages
        .iter()
        .map(|made| {
            json!({
                "name": made.name, "version": made.version, "id": id(made), "source": made.source,
                "license": made.licence, "license_file": null, "description": null, "targets": [],
                "features": {}, "manifest_path": "/w/Cargo.toml",
                "publish": made.source.is_none().then_some(Vec::<String>::new()),
                "dependencies": made.wildcards.iter().map(dependency).collect::<Vec<_>>(),
            })
        })
        .collect();
    let nodes: Vec<Value> = packages
        .iter()
        .map(|made| {
            let deps = made.uses.iter().map(|(used, kind)| {
                json!({ "name": used, "pkg": used, "dep_kinds": [{ "kind": kind, "target": null }] })
            });
            let dependencies: Vec<&str> = made.uses.iter().map(|(used, _)| *used).collect();
            let deps: Vec<Value> = deps.collect();
            json!({ "id": id(made), "deps": deps, "dependencies": dependencies, "features": [] })
        })
        .collect();
    let members: Vec<String> = packages.iter().filter(|one| one.source.is_none()).map(id).collect();
    serde_json::from_value(json!({
        "packages": described, "workspace_members": members, "workspace_root": "/w", "version": 1,
        "target_directory": "/w/target", "resolve": { "nodes": nodes, "root": null },
    }))
    .unwrap()
}

fn problems(packages: &[Made]) -> Vec<String> {
    problems_by(RULES, packages)
}

fn problems_by(rules: &str, packages: &[Made]) -> Vec<String> {
    Graph::of(&metadata(packages)).unwrap().problems(&Rules::parse(rules).unwrap()).unwrap()
}

/// The good ones, and one more that the program uses.
fn with(made: Made) -> Vec<Made> {
    let mut all = good();
    let id: &'static str = format!("{} {}", made.name, made.version).leak();
    all[0].uses.push((id, None));
    all.push(made);
    all
}

/// Check that what keeps every rule passes, and what counts as shipped.
#[test]
fn nothing_wrong() {
    assert_eq!(problems(&good()), Vec::<String>::new());
    let shipped = Graph::of(&metadata(&good())).unwrap().shipped;
    let shipped: Vec<&str> = shipped.iter().map(|id| id.repr.as_str()).collect();
    assert_eq!(shipped, ["aioinspect 0.0.0", "lib 1.2.0", "twice 0.2.0"]);
}

/// Check licences: copyleft, both of two, one of two, none, nonsense, and one with a slash as of old.
#[test]
fn licences() {
    let of = |licence| problems(&with(Made { licence, ..package("more", "1.0.0") }));
    assert_eq!(
        of(Some("GPL-3.0-only")),
        ["more 1.0.0: its licence, GPL-3.0-only, is not allowed (used by aioinspect)"]
    );
    assert_eq!(of(Some("MIT AND GPL-2.0-only")).len(), 1);
    assert_eq!(of(Some("MIT OR GPL-2.0-only")), Vec::<String>::new());
    assert_eq!(of(Some("Apache-2.0/MIT")), Vec::<String>::new());
    assert_eq!(of(None), ["more 1.0.0 names no licence"]);
    assert!(
        of(Some("do what you like"))[0].starts_with("more 1.0.0: no licence expression: do what you like")
    );
}

/// Check that an exception does not hold for what is shipped, and that it says so.
#[test]
fn no_exception_is_shipped() {
    let mut all = good();
    all[0].uses.push(("driver 3.0.0", Some("build")));
    let problems = problems(&all);
    assert!(
        problems.contains(&"driver 3.0.0 is shipped: no exception holds for it".to_owned()),
        "{problems:?}"
    );
    assert!(problems.iter().any(|one| one.starts_with("driver 3.0.0: its licence, MPL-2.0")), "{problems:?}");
    assert!(
        problems.contains(&"driver 3.0.0 is banned: for tests (used by aioinspect, tests)".to_owned()),
        "{problems:?}"
    );
    // What is below it is shipped now as well: its tree is skipped no more.
    assert!(problems.contains(&"lib: versions 0.9.0 and 1.2.0 at once".to_owned()), "{problems:?}");
}

/// Check that a banned package is met in the version that is banned, and no other.
#[test]
fn bans() {
    assert_eq!(
        problems(&with(package("bad", "1.4.2"))),
        ["bad 1.4.2 is banned: there is a better one (used by aioinspect)"]
    );
    assert_eq!(problems(&with(package("bad", "2.0.0"))), Vec::<String>::new());
}

/// Check two versions of one package, whichever is newer, and that tests are no excuse.
#[test]
fn versions() {
    assert_eq!(problems(&with(package("lib", "2.0.0"))), ["lib: versions 1.2.0 and 2.0.0 at once"]);
    let mut all = good();
    all[1].uses.push(("lib 2.0.0", Some("dev")));
    all.push(package("lib", "2.0.0"));
    assert_eq!(problems(&all), ["lib: versions 1.2.0 and 2.0.0 at once"]);
}

/// Check sources: another registry, git, and a path that is not of the workspace.
#[test]
fn sources() {
    let of = |source| problems(&with(Made { source: Some(source), ..package("more", "1.0.0") }));
    for source in
        ["git+https://github.com/x/more?branch=main#0123", "registry+https://example.org/index", "?"]
    {
        assert_eq!(of(source), [format!("more 1.0.0 comes from {source}, which is not allowed")]);
    }
    let allowed = RULES.replace("allow-git = []", r#"allow-git = ["https://github.com/x/more"]"#);
    let git =
        Made { source: Some("git+https://github.com/x/more?branch=main#0123"), ..package("more", "1.0.0") };
    assert_eq!(problems_by(&allowed, &with(git)), Vec::<String>::new());
    let mut metadata = metadata(&good());
    metadata.workspace_members.retain(|id| id.repr != "tests 0.0.0");
    let problems = Graph::of(&metadata).unwrap().problems(&Rules::parse(RULES).unwrap()).unwrap();
    assert_eq!(problems, ["tests 0.0.0 comes from a path outside of this workspace"]);
}

/// Check that any version is taken of nothing but a package of this workspace.
#[test]
fn wildcards() {
    let mut all = good();
    all[0].wildcards = vec![("tests", true), ("lib", false)];
    assert_eq!(problems(&all), ["aioinspect 0.0.0 takes any version of lib"]);
    let published = Made { wildcards: vec![("lib", true)], ..package("more", "1.0.0") };
    assert_eq!(problems(&with(published)), ["more 1.0.0 takes any version of lib"]);
}

/// Check that rules that match nothing are errors, so that the file stays true.
#[test]
fn rules_that_match_nothing() {
    let mut all = good();
    all.retain(|made| !["driver", "twice"].contains(&made.name));
    all[0].uses.retain(|(used, _)| *used != "twice 0.2.0");
    all[1].uses.clear();
    let rules = RULES.replace(r#"allow = ["MIT"]"#, r#"allow = ["MIT", "Zlib"]"#);
    assert_eq!(
        problems_by(&rules, &all),
        [
            "[licenses] allow: no package is under Zlib: remove it",
            "[licenses] exceptions: there is no driver: remove it",
            "[bans] skip-tree: there is no driver: remove it",
            "lib: versions 0.9.0 and 1.2.0 at once",
            "[bans] skip: there is no twice: remove it",
        ]
    );
    let mut all = good();
    all.retain(|made| (made.name, made.version) != ("twice", "0.2.0"));
    all[0].uses.retain(|(used, _)| *used != "twice 0.2.0");
    assert_eq!(problems(&all), ["[bans] skip: there is but one twice: remove it"]);
}

/// Check that a file which asks for less, or for what this check does not know, is refused.
#[test]
fn other_rules() {
    for (from, to) in [
        ("wildcards = \"deny\"", "wildcards = \"warn\""),
        ("allow-git = []", "allow-git = []\nprivate = []"),
        ("[licenses]", "[licenses]\nclarify = []"),
        ("reason = \"old has not moved on\"", "reason = \"\""),
        ("\ninclude-dev = true", "\ninclude-dev = false"),
        ("versions-include-dev = true", "versions-include-dev = false"),
        ("twice@0.1", "twice@"),
        ("[advisories]", "[output]"),
    ] {
        assert!(RULES.contains(from), "{from}");
        assert!(Rules::parse(&RULES.replace(from, to)).is_err(), "{to}");
    }
    let rules = Rules::parse(&RULES.replace(r#"["MIT"]"#, r#"["Nonsense"]"#)).unwrap();
    let error = Graph::of(&metadata(&good())).unwrap().problems(&rules).unwrap_err();
    assert!(error.to_string().starts_with("no licence: Nonsense"), "{error}");
}

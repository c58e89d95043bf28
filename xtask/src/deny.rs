//! Licences, bans and sources of the dependency graph, by the rules of `deny.toml`.
//!
//! The file is cargo-deny's, and so is what it means. cargo-deny takes long to build, so a check that needs nothing but cargo's metadata
//! reads the same file. It is stricter in two ways: what is let pass for tests (`exceptions`, `skip-tree`) does not hold for what is
//! shipped, and a rule that matches nothing any more is an error. Advisories are left to cargo-deny: their database must be fetched.

mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result, bail};
use cargo_metadata::semver::VersionReq;
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId};
use spdx::{Expression, Licensee, ParseMode};

use crate::command::note;
use crate::deny::rules::{Rules, Spec};
use crate::{build, paths};

/// The package that is shipped.
const SHIPPED: &str = "aioinspect";

/// Holds the graph against `deny.toml`. Needs no network once the packages are there.
pub(crate) fn deny() -> Result<()> {
    let file = paths::root().join("deny.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let rules = Rules::parse(&text).with_context(|| format!("cannot use {}", file.display()))?;
    let cargo = build::cargo().arguments(["metadata", "--locked", "--format-version", "1"]);
    let metadata =
        cargo.arguments(rules.graph.targets.iter().flat_map(|target| ["--filter-platform", target]));
    let metadata = metadata.ask().context("`cargo metadata --locked` failed: run it to see why")?;
    let graph = Graph::of(&MetadataCommand::parse(metadata)?)?;
    let problems = graph.problems(&rules)?;
    if !problems.is_empty() {
        bail!("deny.toml does not allow this:\n  {}", problems.join("\n  "));
    }
    let (all, shipped) = (graph.packages.len(), graph.shipped.len());
    note(&format!("licences, bans and sources: {all} packages, {shipped} of them shipped"));
    Ok(())
}

/// The packages that are built for any purpose, and who uses whom.
struct Graph {
    packages: BTreeMap<PackageId, Package>,
    /// What each package uses, and whether only its tests do.
    uses: BTreeMap<PackageId, Vec<(PackageId, bool)>>,
    members: BTreeSet<PackageId>,
    /// What [`SHIPPED`] uses, itself included: also what only builds it, such as macros, since parts of those end up in it.
    shipped: BTreeSet<PackageId>,
}

impl Graph {
    fn of(metadata: &Metadata) -> Result<Self> {
        let resolve = metadata.resolve.as_ref().context("cargo says nothing about dependencies")?;
        let uses: BTreeMap<PackageId, Vec<(PackageId, bool)>> = resolve
            .nodes
            .iter()
            .map(|node| {
                let deps = node.deps.iter().map(|dep| {
                    let for_tests = dep.dep_kinds.iter().all(|how| how.kind == DependencyKind::Development);
                    (dep.pkg.clone(), for_tests)
                });
                (node.id.clone(), deps.collect())
            })
            .collect();
        let packages = metadata.packages.iter().filter(|package| uses.contains_key(&package.id));
        let packages = packages.map(|package| (package.id.clone(), package.clone())).collect();
        let members = metadata.workspace_members.iter().cloned().collect();
        let mut graph = Self { packages, uses, members, shipped: BTreeSet::new() };
        let program =
            graph.packages.values().find(|one| *one.name == SHIPPED && graph.members.contains(&one.id));
        let program = program.with_context(|| format!("no package {SHIPPED}"))?.id.clone();
        graph.shipped = graph.below(program, false);
        Ok(graph)
    }

    /// What a package uses, whatever that uses, and the package itself.
    fn below(&self, package: PackageId, with_tests: bool) -> BTreeSet<PackageId> {
        let (mut met, mut left) = (BTreeSet::new(), vec![package]);
        while let Some(next) = left.pop() {
            let used = self.uses.get(&next).into_iter().flatten();
            if met.insert(next) {
                left.extend(used.filter(|(_, for_tests)| with_tests || !for_tests).map(|(id, _)| id.clone()));
            }
        }
        met
    }

    fn named<'a>(&'a self, spec: &'a Spec) -> impl Iterator<Item = &'a Package> {
        self.packages.values().filter(|package| spec.is(package))
    }

    /// What breaks a rule, a line each; an error if a rule cannot be read.
    fn problems(&self, rules: &Rules) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        self.licences(rules, &mut problems)?;
        self.bans(rules, &mut problems);
        self.wildcards(rules, &mut problems);
        self.versions(rules, &mut problems);
        self.sources(rules, &mut problems);
        Ok(problems)
    }

    fn licences(&self, rules: &Rules, problems: &mut Vec<String>) -> Result<()> {
        let read = |names: &[String]| -> Result<Vec<Licensee>> {
            let names = names.iter().map(|name| {
                Licensee::parse(name).map_err(|error| anyhow::anyhow!("no licence: {name}: {}", error.reason))
            });
            names.collect()
        };
        let usual = read(&rules.licenses.allow)?;
        let mut asked_for = Vec::new();
        for package in self.packages.values() {
            let title = title(package);
            let Some(text) = &package.license else {
                problems.push(format!("{title} names no licence"));
                continue;
            };
            let expression = match Expression::parse_mode(text, ParseMode::LAX) {
                Ok(expression) => expression,
                Err(error) => {
                    problems.push(format!("{title}: no licence expression: {text}: {}", error.reason));
                    continue;
                }
            };
            asked_for.extend(expression.requirements().map(|one| one.req.clone()));
            let mut allowed = usual.clone();
            // Of two exceptions for one package both hold, as for cargo-deny.
            for exception in rules.licenses.exceptions.iter().filter(|one| one.package.is(package)) {
                if self.shipped.contains(&package.id) {
                    problems.push(format!("{title} is shipped: no exception holds for it"));
                } else {
                    allowed.extend(read(&exception.allow)?);
                }
            }
            if !expression.evaluate(|asked| allowed.iter().any(|licence| licence.satisfies(asked))) {
                let users = self.users(package).join(", ");
                problems.push(format!("{title}: its licence, {text}, is not allowed (used by {users})"));
            }
        }
        for (name, licence) in rules.licenses.allow.iter().zip(&usual) {
            if !asked_for.iter().any(|asked| licence.satisfies(asked)) {
                problems.push(format!("[licenses] allow: no package is under {name}: remove it"));
            }
        }
        for exception in &rules.licenses.exceptions {
            self.must_match("[licenses] exceptions", &exception.package, problems);
        }
        Ok(())
    }

    fn bans(&self, rules: &Rules, problems: &mut Vec<String>) {
        for ban in &rules.bans.deny {
            for package in self.named(&ban.package) {
                let users = self.users(package);
                if ban.wrappers.is_empty() || users.iter().any(|user| !ban.wrappers.contains(user)) {
                    let (title, users) = (title(package), users.join(", "));
                    problems.push(format!("{title} is banned: {} (used by {users})", ban.reason));
                }
            }
        }
    }

    /// Packages that take any version of another one. By path there is but one, where that is allowed.
    fn wildcards(&self, rules: &Rules, problems: &mut Vec<String>) {
        for package in self.packages.values() {
            // Only what is not published may do so: elsewhere the path is not there.
            let is_private = package.publish.as_ref().is_some_and(Vec::is_empty);
            for dependency in package.dependencies.iter().filter(|one| one.req == VersionReq::STAR) {
                let by_path = dependency.path.is_some() && is_private;
                if !(by_path && rules.bans.allow_wildcard_paths) {
                    problems.push(format!("{} takes any version of {}", title(package), dependency.name));
                }
            }
        }
    }

    fn versions(&self, rules: &Rules, problems: &mut Vec<String>) {
        let skip = &rules.bans.skip;
        let is_skipped = |package: &&Package| skip.iter().any(|one| one.package.is(package));
        let mut trees = BTreeSet::new();
        for tree in &rules.bans.skip_tree {
            self.must_match("[bans] skip-tree", &tree.package, problems);
            trees.extend(self.named(&tree.package).flat_map(|top| self.below(top.id.clone(), true)));
        }
        let shipped = self.packages.values().filter(|package| self.shipped.contains(&package.id));
        let others = self.packages.values().filter(|package| !trees.contains(&package.id));
        let mut at_once = doubled(shipped.filter(|package| !is_skipped(package)));
        at_once.extend(doubled(others.filter(|package| !is_skipped(package))));
        problems
            .extend(at_once.iter().map(|(name, versions)| format!("{name}: versions {versions} at once")));
        for one in skip {
            self.must_match("[bans] skip", &one.package, problems);
            let versions = self.packages.values().filter(|package| *package.name == one.package.name);
            if versions.count() == 1 {
                problems.push(format!("[bans] skip: there is but one {}: remove it", one.package.name));
            }
        }
    }

    fn sources(&self, rules: &Rules, problems: &mut Vec<String>) {
        for package in self.packages.values() {
            let title = title(package);
            let Some(source) = &package.source else {
                if !self.members.contains(&package.id) {
                    problems.push(format!("{title} comes from a path outside of this workspace"));
                }
                continue;
            };
            let (kind, url) = source.repr.split_once('+').unwrap_or(("unknown", &source.repr));
            let allowed = match kind {
                "registry" => &rules.sources.allow_registry,
                "git" => &rules.sources.allow_git,
                _ => &Vec::new(),
            };
            // What is asked of a git repository, and the commit, stand behind its address.
            let address = url.split(['?', '#']).next().unwrap_or(url);
            if !allowed.iter().any(|one| one == address) {
                problems.push(format!("{title} comes from {}, which is not allowed", source.repr));
            }
        }
    }

    fn must_match(&self, rule: &str, spec: &Spec, problems: &mut Vec<String>) {
        if self.named(spec).next().is_none() {
            problems.push(format!("{rule}: there is no {}: remove it", spec.name));
        }
    }

    /// The names of those that use a package themselves.
    fn users(&self, package: &Package) -> Vec<String> {
        let uses = self.uses.iter().filter(|(_, used)| used.iter().any(|(id, _)| *id == package.id));
        let names: BTreeSet<String> =
            uses.filter_map(|(id, _)| self.packages.get(id)).map(|user| user.name.to_string()).collect();
        names.into_iter().collect()
    }
}

/// The names of which there is more than one version, and the versions.
fn doubled<'a>(packages: impl Iterator<Item = &'a Package>) -> BTreeMap<String, String> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages {
        versions.entry(package.name.to_string()).or_default().insert(package.version.to_string());
    }
    versions.retain(|_, versions| versions.len() > 1);
    let text = |versions: BTreeSet<String>| versions.into_iter().collect::<Vec<_>>().join(" and ");
    versions.into_iter().map(|(name, versions)| (name, text(versions))).collect()
}

fn title(package: &Package) -> String {
    format!("{} {}", package.name, package.version)
}

#[cfg(test)]
mod tests;

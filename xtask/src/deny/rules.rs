//! `deny.toml`: the part of cargo-deny's format that this project uses. A key that is not known here is an error.

use anyhow::{Context, Result, bail};
use cargo_metadata::Package;
use cargo_metadata::semver::{Op, VersionReq};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// All sections of the file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rules {
    pub graph: GraphRules,
    pub licenses: LicenceRules,
    pub bans: BanRules,
    pub sources: SourceRules,
    /// cargo-deny's alone: their database must be fetched.
    #[serde(rename = "advisories")]
    _advisories: IgnoredAny,
}

/// `[graph]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GraphRules {
    /// Target triples: what is used for none of them is left out.
    pub targets: Vec<String>,
}

/// `[licenses]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct LicenceRules {
    /// This check always looks at what only tests use.
    include_dev: bool,
    /// SPDX identifiers.
    pub allow: Vec<String>,
    pub exceptions: Vec<Exception>,
}

/// Licences that one package may have besides.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exception {
    #[serde(rename = "crate")]
    pub package: Spec,
    pub allow: Vec<String>,
}

/// `[bans]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct BanRules {
    #[serde(rename = "multiple-versions")]
    _multiple_versions: Deny,
    /// This check always counts what only tests use.
    multiple_versions_include_dev: bool,
    #[serde(rename = "wildcards")]
    _wildcards: Deny,
    pub allow_wildcard_paths: bool,
    pub deny: Vec<Ban>,
    pub skip: Vec<Skip>,
    pub skip_tree: Vec<Skip>,
}

/// A package that must not be there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ban {
    #[serde(rename = "crate")]
    pub package: Spec,
    /// The only packages that may use it; empty: none may.
    #[serde(default)]
    pub wrappers: Vec<String>,
    pub reason: String,
}

/// A version that may be there beside another one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Skip {
    #[serde(rename = "crate")]
    pub package: Spec,
    pub reason: String,
}

/// `[sources]`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(super) struct SourceRules {
    #[serde(rename = "unknown-registry")]
    _unknown_registry: Deny,
    #[serde(rename = "unknown-git")]
    _unknown_git: Deny,
    /// Addresses, as cargo names them.
    pub allow_registry: Vec<String>,
    pub allow_git: Vec<String>,
}

/// How bad it is: nothing weaker than this is taken, for this check would not know what to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Deny {
    Deny,
}

/// `name`, or `name@version`, where as much of the version is given as matters: `@1` is each 1.x.y.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Spec {
    pub name: String,
    version: VersionReq,
}

impl Rules {
    /// Reads the file.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let rules: Self = toml::from_str(text)?;
        let bans = &rules.bans;
        let reasons = bans.skip.iter().chain(&bans.skip_tree).map(|one| (&one.package, &one.reason));
        let reasons = reasons.chain(bans.deny.iter().map(|one| (&one.package, &one.reason)));
        for (package, reason) in reasons {
            if reason.is_empty() {
                bail!("{} has no reason", package.name);
            }
        }
        if !(rules.licenses.include_dev && bans.multiple_versions_include_dev) {
            bail!("include-dev is not true, but this check always looks at what only tests use");
        }
        Ok(rules)
    }
}

impl Spec {
    /// Whether it is that package.
    pub(super) fn is(&self, package: &Package) -> bool {
        *package.name == self.name && self.version.matches(&package.version)
    }
}

impl TryFrom<String> for Spec {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        let Some((name, version)) = text.split_once('@') else {
            return Ok(Self { name: text, version: VersionReq::STAR });
        };
        let mut version: VersionReq = version.parse().with_context(|| format!("{text} has no version"))?;
        for part in &mut version.comparators {
            part.op = Op::Exact;
        }
        Ok(Self { name: name.to_owned(), version })
    }
}

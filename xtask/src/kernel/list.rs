//! The list of kernels and passes, `.ci/kernels.txt`; the format is told there.

use std::fs;

use anyhow::{Context, Result, bail};

use crate::architecture::Architecture;
use crate::paths;

/// One kernel of the list, or one pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// What it is called in results and on the command line.
    pub name: String,
    /// Where its kernel comes from; none for the one this machine runs.
    pub source: Option<Source>,
    /// What is particular about it.
    pub terms: Terms,
}

/// Where Debian has a kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The kernel's name in the list, which passes on it share.
    pub kernel: String,
    /// Debian's suite, as in a list of sources.
    pub suite: String,
    /// The meta package.
    pub package: String,
    /// Of the machine: the package's name tells it.
    pub architecture: Architecture,
}

/// Under which conditions the suites run, and which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Words for the kernel's command line.
    pub boot: Vec<String>,
    /// Of the machine; none: as much as is usual.
    pub memory_mib: Option<u32>,
    /// Of the machine, each emulated by a thread of its own where that works; none: as many as is usual, which share one.
    pub cpus: Option<u32>,
    /// Whether it runs only where it is named.
    pub by_name: bool,
    /// Lines for vm-init that come before the suites.
    pub plan: Vec<String>,
    /// Sequences of the random-state suites; none: as many as is usual.
    pub sequences: Option<u32>,
    /// The suites, each with its words for libtest; none: all that run in virtual machines.
    pub runs: Vec<(String, Vec<String>)>,
}

/// Reads `.ci/kernels.txt`.
pub(crate) fn read() -> Result<Vec<Listed>> {
    let file = paths::root().join(".ci/kernels.txt");
    parse(&fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?)
}

/// The one of this name.
pub(crate) fn find(listed: &[Listed], name: &str) -> Result<Listed> {
    let found = listed.iter().find(|one| one.name == name).cloned();
    found.with_context(|| {
        let names: Vec<&str> = listed.iter().map(|one| one.name.as_str()).collect();
        format!("no kernel or pass {name} in .ci/kernels.txt; there are {}", names.join(", "))
    })
}

/// What the list's text says.
pub(crate) fn parse(text: &str) -> Result<Vec<Listed>> {
    let mut list: Vec<Listed> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim_end();
        let words: Vec<&str> = line.split_whitespace().collect();
        let wrong = || format!("cannot read `{line}` in .ci/kernels.txt");
        if words.is_empty() {
            continue;
        }
        if line.starts_with([' ', '\t']) {
            let above = list.last_mut().with_context(wrong)?;
            above.terms.add(&words).with_context(wrong)?;
            continue;
        }
        let named = head(&list, &words).with_context(wrong)?;
        if list.iter().any(|one| one.name == named.name) {
            bail!("{} is twice in .ci/kernels.txt", named.name);
        }
        list.push(named);
    }
    Ok(list)
}

/// A line that is not indented.
fn head(list: &[Listed], words: &[&str]) -> Result<Listed> {
    let (name, source) = match words {
        ["native"] => ("native", None),
        [name, "on", kernel] => (*name, Some(find(list, kernel)?.source.context("no package to boot")?)),
        [name, suite, package] => {
            let architecture = Architecture::of_package(package)
                .with_context(|| format!("the name of {package} tells no architecture"))?;
            let [kernel, suite, package] = [name, suite, package].map(|word| (*word).to_owned());
            (*name, Some(Source { kernel, suite, package, architecture }))
        }
        _ => bail!("neither `native`, nor a name, a suite and a package, nor a name, `on` and a kernel"),
    };
    Ok(Listed { name: name.to_owned(), source, terms: Terms::default() })
}

impl Terms {
    fn add(&mut self, words: &[&str]) -> Result<()> {
        let owned = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        match words {
            ["boot", words @ ..] => self.boot.extend(owned(words)),
            ["by-name"] => self.by_name = true,
            ["memory", mib] => self.memory_mib = Some(mib.parse().context("not a number of MiB")?),
            ["cpus", number] => self.cpus = Some(number.parse().context("not a number")?),
            ["sequences", number] => self.sequences = Some(number.parse().context("not a number")?),
            ["sysctl" | "proc" | "cgroup", _] => self.plan.push(words.join(" ")),
            ["run", suite, words @ ..] => self.runs.push(((*suite).to_owned(), owned(words))),
            _ => bail!("unknown, or not of this form"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "# kernels\n6.1 bookworm linux-image-cloud-amd64 # oldest\n\nnative\nlocked on 6.1\n\
        \tboot lockdown=integrity quiet\n  memory 2048\n  cpus 4\n  by-name\n  sysctl a.b=1\n  sequences 20\n  run live --skip slow\n";

    /// Check that kernels, passes and what belongs to them are read, comments apart.
    #[test]
    fn reads_the_list() {
        let list = parse(LIST).unwrap();
        let names: Vec<&str> = list.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["6.1", "native", "locked"]);
        let source = Source {
            kernel: "6.1".to_owned(),
            suite: "bookworm".to_owned(),
            package: "linux-image-cloud-amd64".to_owned(),
            architecture: Architecture::X86_64,
        };
        assert_eq!((list[0].source.as_ref(), &list[0].terms), (Some(&source), &Terms::default()));
        assert_eq!((list[1].source.as_ref(), list[2].source.as_ref()), (None, Some(&source)));
        let terms = Terms {
            boot: vec!["lockdown=integrity".to_owned(), "quiet".to_owned()],
            memory_mib: Some(2048),
            cpus: Some(4),
            by_name: true,
            plan: vec!["sysctl a.b=1".to_owned()],
            sequences: Some(20),
            runs: vec![("live".to_owned(), vec!["--skip".to_owned(), "slow".to_owned()])],
        };
        assert_eq!(list[2].terms, terms);
    }

    /// Check that each wrong line is refused and named.
    #[test]
    fn refuses_what_it_cannot_read() {
        for wrong in [
            "6.1",
            "a b c d",
            "a b linux-image-sparc64",
            "a on b",
            "  boot x",
            "native\na on native",
            "native\n  memory much",
            "native\n  cpus all",
        ] {
            let error = format!("{:#}", parse(wrong).unwrap_err());
            assert!(error.contains(wrong.lines().last().unwrap()), "{error}");
        }
        assert!(parse("native\nnative\n").unwrap_err().to_string().contains("twice"));
    }

    /// Check that the checkout's own list is well formed and names this machine's kernel, and that an unknown name gets those there are.
    #[test]
    fn the_checkouts_list_is_good() {
        let list = read().unwrap();
        assert!(find(&list, "native").unwrap().source.is_none());
        assert!(find(&list, "2.4").unwrap_err().to_string().contains("native"));
    }
}

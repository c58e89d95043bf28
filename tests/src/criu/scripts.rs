//! Action scripts, each between two others that note when it ran.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The scripts of one dump or restore, with what their environment says.
#[derive(Clone, Debug, Default)]
pub struct Scripts {
    /// What is run before the hook.
    pub first: Option<PathBuf>,
    /// What is run at each action.
    pub hook: Option<PathBuf>,
    /// Variables of CRIU's environment, and so of the script's.
    pub env: Vec<(String, String)>,
}

/// One action, as the scripts around the hook saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// CRTOOLS_SCRIPT_ACTION.
    pub name: String,
    /// How long the hook took, in microseconds; `None` where CRIU did not go on to the next script.
    pub took_us: Option<u64>,
}

impl Scripts {
    /// CRIU alone: actions are noted, nothing is done.
    pub fn none() -> Scripts {
        Scripts::default()
    }

    /// This program at each action.
    pub fn hook(hook: &Path) -> Scripts {
        Scripts { hook: Some(hook.to_owned()), ..Scripts::default() }
    }

    /// With a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Scripts {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The paths to hand to CRIU, which runs the last one first; actions are noted in `dir`.
    pub(super) fn laid_out(&self, dir: &Path) -> Vec<PathBuf> {
        let (before, after) = (dir.join("before"), dir.join("after"));
        for path in [&before, &after] {
            let note = format!(
                "#!/bin/sh\necho \"$CRTOOLS_SCRIPT_ACTION ${{0##*/}} $(date +%s%N)\" >>'{}'\n",
                dir.join("actions").display()
            );
            let made = fs::write(path, note)
                .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
            made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        drop(fs::remove_file(dir.join("actions")));
        [Some(after), self.hook.clone(), Some(before), self.first.clone()].into_iter().flatten().collect()
    }
}

/// What was noted in `dir` since the scripts were laid out.
pub(super) fn noted(dir: &Path) -> Vec<Action> {
    let text = fs::read_to_string(dir.join("actions")).unwrap_or_default();
    let mut actions: Vec<Action> = Vec::new();
    let mut begun = 0;
    for line in text.lines() {
        let mut words = line.split(' ');
        let (Some(name), Some(which), Some(at)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let at: u64 = at.parse().unwrap_or(0);
        match (which, actions.last_mut()) {
            ("after", Some(action)) if action.name == name => action.took_us = Some((at - begun) / 1000),
            _ => {
                begun = at;
                actions.push(Action { name: name.to_owned(), took_us: None });
            }
        }
    }
    actions
}

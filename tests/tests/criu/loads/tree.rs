//! A shell script and all it starts, in a network and IPC namespace of its own, for CRIU as it is called by hand.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use std::{process::Command, thread};

use aioinspect_tests::criu::Home;
use aioinspect_tests::programs::run;

use super::rounds::{Checkpointed, Ran, await_file};
use crate::bed::{hook, hook_path};

/// Longer than a dump takes, in seconds.
const LIMIT_S: &str = "60";

/// The tree; it ends with the home.
pub(crate) struct Tree<'a> {
    home: &'a Home,
    /// Its PID in the home.
    root: u32,
    is_hooked: bool,
}

impl Tree<'_> {
    /// Starts a script that runs in the home's directory.
    pub(crate) fn start<'a>(home: &'a Home, script: &str, is_hooked: bool) -> Tree<'a> {
        let dir = home.dir();
        fs::write(dir.join("tree"), format!("cd '{}'\necho $$ >root\n{script}", dir.display())).unwrap();
        fs::create_dir_all(dir.join("images")).unwrap();
        // What this test has inherited, a lock say, and files of other mount namespaces are nothing that CRIU could dump.
        let line = format!(
            "exec </dev/null >'{0}/tree.log' 2>&1
             for fd in {{3..20}}; do eval \"exec $fd>&-\"; done
             exec setsid -f unshare --net --ipc bash '{0}/tree'",
            dir.display()
        );
        // bash, for others keep copies of what they redirect.
        let started = run(home.inside("bash").arg("-c").arg(line));
        assert_eq!(started.code, 0, "{}", started.stderr);
        let root = await_file(&dir.join("root"), Duration::from_secs(10)).unwrap();
        Tree { home, root: root.trim().parse().unwrap(), is_hooked }
    }

    fn criu(&self, verb: &[&str], log: &str) -> Ran {
        let images = self.home.dir().join("images");
        let mut command: Command = self.home.inside("timeout");
        command.args(["--signal=KILL", LIMIT_S, "criu"]).args(verb).arg("-D").arg(&images);
        command.args(["-v4", "-o", log, "--manage-cgroups=ignore", "--file-locks"]);
        if self.is_hooked {
            command.arg("--action-script").arg(hook_path()).envs(hook().env);
        }
        let code = run(&mut command).code;
        Ran {
            code,
            log: String::from_utf8_lossy(&fs::read(images.join(log)).unwrap_or_default()).into_owned(),
        }
    }

    /// Waits until every thread that was dumped is reaped: CRIU gives their numbers out again.
    fn await_its_end(&self) {
        // /proc/PID/root of the home's first process.
        let root: PathBuf = self.home.images().components().take(4).collect();
        let images = fs::read_dir(self.home.images()).unwrap().flatten();
        let names: Vec<String> = images.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        let numbers = names.iter().filter_map(|name| name.strip_prefix("core-")?.strip_suffix(".img"));
        let begun = Instant::now();
        for number in numbers {
            while root.join("proc").join(number).exists() && begun.elapsed() < Duration::from_secs(5) {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

impl Checkpointed for Tree<'_> {
    fn dump(&self) -> Ran {
        for old in fs::read_dir(self.home.images()).unwrap().flatten() {
            fs::remove_file(old.path()).unwrap();
        }
        self.criu(&["dump", "--network-lock", "skip", "-t", &self.root.to_string()], "dump.log")
    }

    fn restore(&self) -> Ran {
        self.await_its_end();
        self.criu(&["restore", "--restore-detached"], "restore.log")
    }
}

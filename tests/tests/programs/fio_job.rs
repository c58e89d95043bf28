//! One job of fio with native AIO, and what it says at its end.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::Value;

use crate::asked::{self, Context};
use crate::scratch::Running;

/// Bytes of a block.
pub const BLOCK: u64 = 16 * 1024;
/// Longer than any job takes, on any disk.
const PATIENCE: Duration = Duration::from_secs(180);

/// fio and, as a process of its own, its job.
pub struct Job {
    fio: Running,
    report: PathBuf,
}

impl Job {
    /// Starts random writes past the page cache to one file of 16 MiB, with more options.
    pub fn start(directory: &Path, options: &[&str]) -> Job {
        let report = directory.join("report.json");
        let mut command = Command::new("fio");
        command.args(["--name=job", "--ioengine=libaio", "--direct=1", "--rw=randwrite", "--size=16m"]);
        command.arg(format!("--bs={BLOCK}")).args(options).arg("--output-format=json");
        command
            .arg(format!("--output={}", report.display()))
            .arg(format!("--directory={}", directory.display()));
        command.current_dir(directory).stdin(Stdio::null()).stdout(Stdio::null());
        Job { fio: Running::start(&mut command), report }
    }

    /// Waits until the job has a context that `is_as_wanted`; its process and that context.
    pub fn context(&mut self, is_as_wanted: impl Fn(&Context) -> bool) -> (u32, Context) {
        let begun = Instant::now();
        loop {
            assert!(
                !self.fio.has_ended(),
                "fio has ended: {}",
                fs::read_to_string(&self.report).unwrap_or_default()
            );
            for pid in self.workers() {
                if let [context] = asked::list(pid).contexts.as_slice()
                    && is_as_wanted(context)
                {
                    return (pid, *context);
                }
            }
            assert!(begun.elapsed() < PATIENCE, "fio makes no context");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn workers(&self) -> Vec<u32> {
        let pid = self.fio.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
    }

    /// Whether fio has ended.
    pub fn has_ended(&mut self) -> bool {
        self.fio.has_ended()
    }

    /// Waits for the end, which must be a good one: no error, every block written whole. The number of blocks.
    pub fn finish(mut self) -> u64 {
        let code = self.fio.end_within(PATIENCE);
        let text = fs::read_to_string(&self.report).unwrap();
        assert_eq!(code, Some(0), "{text}");
        let report: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let [job] = report["jobs"].as_array().unwrap().as_slice() else { panic!("not one job: {text}") };
        assert_eq!(job["error"], 0, "{job}");
        let written = &job["write"];
        assert_eq!(
            (&written["short_ios"], &written["drop_ios"]),
            (&Value::from(0), &Value::from(0)),
            "{written}"
        );
        let blocks = written["total_ios"].as_u64().unwrap();
        assert_eq!(written["io_bytes"].as_u64(), Some(blocks * BLOCK), "{written}");
        blocks
    }
}

//! What the tests ask the program about a process.

use std::path::Path;

use aioinspect_tests::programs::{Output, run_aioinspect};
use serde_json::Value;

/// One context as `list -J` tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    pub id: u64,
    pub max_reqs: u64,
    pub in_flight: u64,
    pub ring_len: u64,
}

/// The sums of `list -J`, and the contexts of one process.
#[derive(Clone, Debug)]
pub struct Listed {
    pub aio_nr: u64,
    pub attributed: u64,
    pub unattributed: i64,
    pub contexts: Vec<Context>,
}

/// Lists the whole host and picks the contexts of `pid`.
pub fn list(pid: u32) -> Listed {
    let output = run_aioinspect(&["list", "-J"]);
    assert_eq!(output.code, 0, "{output:?}");
    let list: Value = serde_json::from_str(&output.stdout).unwrap();
    let number = |of: &Value, key: &str| of[key].as_u64().unwrap_or_else(|| panic!("{key} of {of}"));
    let contexts = list["contexts"].as_array().unwrap();
    let contexts = contexts.iter().filter(|context| context["pid"] == pid).map(|context| Context {
        id: hex(&context["context"]),
        max_reqs: number(context, "max_reqs"),
        in_flight: number(context, "in_flight"),
        ring_len: number(context, "ring_len"),
    });
    Listed {
        aio_nr: number(&list["system"], "aio_nr"),
        attributed: number(&list["system"], "attributed"),
        unattributed: list["system"]["unattributed"].as_i64().unwrap(),
        contexts: contexts.collect(),
    }
}

fn hex(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    u64::from_str_radix(digits.unwrap_or_else(|| panic!("no address: {value}")), 16).unwrap()
}

/// Dumps a process into `directory`, with more arguments.
pub fn dump(pid: u32, directory: &Path, more: &[&str]) -> Output {
    let mut args = vec!["dump".to_owned(), pid.to_string(), "-D".to_owned(), directory.display().to_string()];
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    run_aioinspect(&args.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Checks a process.
pub fn check(pid: u32) -> Output {
    run_aioinspect(&["check", &pid.to_string()])
}

/// Whether an exit-5 output says why: requests in flight, completions not reaped, or a process that runs.
pub fn says_why(output: &Output) -> bool {
    let said = format!("{}{}", output.stdout, output.stderr);
    ["in flight", "not reaped", "is busy"].iter().any(|why| said.contains(why))
}

/// The entries of the image of `pid`: context id and ring length, each with an nr_req that costs no less than the kernel said.
pub fn image(pid: u32, directory: &Path, contexts: &[Context]) -> Vec<(u64, u64)> {
    let path = directory.join(format!("mm-{pid}.img"));
    let output = run_aioinspect(&["show", "-J", path.to_str().unwrap()]);
    assert_eq!(output.code, 0, "{output:?}");
    let image: Value = serde_json::from_str(&output.stdout).unwrap();
    let entries = image["entries"][0]["aios"].as_array().unwrap_or_else(|| panic!("no aios: {image}"));
    let mut found = Vec::new();
    for entry in entries {
        let (id, ring_len) = (entry["id"].as_u64().unwrap(), entry["ring_len"].as_u64().unwrap());
        let context =
            contexts.iter().find(|context| context.id == id).unwrap_or_else(|| panic!("not listed: {entry}"));
        assert!(entry["nr_req"].as_u64().unwrap() >= context.max_reqs, "{entry} {context:?}");
        found.push((id, ring_len));
    }
    found.sort_unstable();
    found
}

/// What `image` must say of these contexts.
pub fn as_entries(contexts: &[Context]) -> Vec<(u64, u64)> {
    let mut entries: Vec<_> = contexts.iter().map(|context| (context.id, context.ring_len)).collect();
    entries.sort_unstable();
    entries
}

/// Removes what a dump wrote, so that the next one may write.
pub fn clear(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
}

//! What the tests of the server read off it: expositions, server-sent events, and what its process holds.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use aioinspect_tests::serving::{PATIENCE, Serving};
use serde_json::Value;

/// A series of an exposition.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// All series of a text exposition; what is wrong with the first line that is none.
pub fn samples(exposition: &str) -> Result<Vec<Sample>, String> {
    if !exposition.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let lines = exposition.split_terminator('\n').filter(|line| !line.starts_with('#'));
    lines.map(|line| sample(line).ok_or_else(|| format!("{line:?}"))).collect()
}

/// `name{label="value",..} number`.
fn sample(line: &str) -> Option<Sample> {
    let end = line.find(['{', ' '])?;
    let (name, mut rest) = line.split_at(end);
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        while !rest.starts_with('}') {
            let (label, after) = rest.split_once("=\"")?;
            let (value, after) = quoted(after)?;
            // No label comes twice.
            if !is_word(label) || labels.insert(label.to_owned(), value).is_some() {
                return None;
            }
            rest = after.strip_prefix(',').unwrap_or(after);
        }
        rest = rest.strip_prefix('}')?;
    }
    let value = rest.strip_prefix(' ')?.parse().ok()?;
    is_word(name).then(|| Sample { name: name.to_owned(), labels, value })
}

/// The text up to the quote that ends it, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    loop {
        match chars.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => value.push(match chars.next()?.1 {
                'n' => '\n',
                escaped @ ('\\' | '"') => escaped,
                _ => return None,
            }),
            (_, plain) => value.push(plain),
        }
    }
}

/// The sum of a metric over all of its series.
pub fn sum(samples: &[Sample], name: &str) -> f64 {
    samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum()
}

/// A message of `/api/v1/events`.
#[derive(Clone, Debug)]
pub struct Message {
    pub id: String,
    pub event: String,
    pub data: Value,
}

/// A follower of the events.
pub struct Follower {
    stream: BufReader<TcpStream>,
    head: String,
    body: Vec<u8>,
}

impl Follower {
    /// Follows from now on, or after an id, and waits until the server has said that it does.
    pub fn new(serving: &Serving, last_id: Option<&str>) -> Follower {
        let mut stream = serving.connect();
        let last = last_id.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "{head:?}");
        }
        let mut follower = Follower { stream, head, body: Vec::new() };
        if follower.status() == 200 {
            assert_eq!(follower.block().unwrap(), "retry: 2000\n: connected");
        }
        follower
    }

    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The head of the answer, in lower case.
    pub fn head(&self) -> String {
        self.head.to_ascii_lowercase()
    }

    /// What stands before the next empty line; `None` at the end of the connection.
    pub fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.body.windows(2).position(|two| two == b"\n\n") {
                let rest = self.body.split_off(end + 2);
                let block = std::mem::replace(&mut self.body, rest);
                return Some(String::from_utf8(block[..end].to_vec()).unwrap());
            }
            let mut size = String::new();
            if self.stream.read_line(&mut size).ok()? == 0 {
                return None;
            }
            let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).ok()?;
            assert!(chunk.ends_with(b"\r\n"));
            self.body.extend_from_slice(&chunk[..size]);
        }
    }

    /// The next message; heartbeats are passed over.
    pub fn next(&mut self) -> Message {
        loop {
            let block = self.block().expect("the stream has ended");
            if block == ": heartbeat" {
                continue;
            }
            let mut message = Message { id: String::new(), event: String::new(), data: Value::Null };
            for line in block.lines() {
                let (field, value) = line.split_once(": ").unwrap_or_else(|| panic!("{block:?}"));
                match field {
                    "id" => message.id = value.to_owned(),
                    "event" => message.event = value.to_owned(),
                    "data" => message.data = serde_json::from_str(value).unwrap(),
                    _ => panic!("{block:?}"),
                }
            }
            return message;
        }
    }

    /// The next message of a process, of a kind.
    pub fn expect(&mut self, pid: u32, event: &str) -> Message {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            let message = self.next();
            if message.data["pid"] == pid && message.event == event {
                return message;
            }
        }
        panic!("never: {event} of {pid}")
    }
}

/// What a process holds.
#[derive(Clone, Copy, Debug)]
pub struct Holds {
    /// Resident memory, MiB.
    pub mib: f64,
    /// File descriptors.
    pub descriptors: usize,
}

/// What the server holds now.
pub fn holds(serving: &Serving) -> Holds {
    let status = fs::read_to_string(format!("/proc/{}/status", serving.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: f64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    let descriptors = fs::read_dir(format!("/proc/{}/fd", serving.pid())).unwrap().count();
    Holds { mib: kib / 1024.0, descriptors }
}

/// CPU time that the server has used, seconds.
pub fn cpu(serving: &Serving) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", serving.pid())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: f64 = [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum();
    // USER_HZ is 100 on every architecture that we run on.
    ticks / 100.0
}

/// Waits for a condition.
pub fn until(what: &str, patience: Duration, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// How long scrapes take over new connections, one after the other: median and maximum, milliseconds.
pub fn scrape_ms(serving: &Serving, times: usize) -> (f64, f64) {
    let once = |_| {
        let begun = Instant::now();
        let answer = serving.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        begun.elapsed().as_secs_f64() * 1e3
    };
    let mut all: Vec<f64> = (0..times).map(once).collect();
    all.sort_by(f64::total_cmp);
    (all[times / 2], all[times - 1])
}

/// Writes a figure for docs/reliability.md past the harness, which would keep it to itself.
pub fn figure(what: &str) {
    // Nobody may be listening.
    let _ = std::io::stderr().lock().write_all(format!("FIGURE {what}\n").as_bytes());
}

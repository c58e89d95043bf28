//! The driver of `aioinspect serve`: started on a port of its own, asked over HTTP, ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::programs::bin;

/// For what must happen on a slow machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server under way. Dropping it ends it.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    /// Where it says that it serves, in its order.
    pub addresses: Vec<String>,
    messages: Option<JoinHandle<String>>,
}

/// A server that has ended.
#[derive(Clone, Debug)]
pub struct Served {
    /// All it said on standard error.
    pub stderr: String,
    /// Its exit code; `None` after a signal.
    pub code: Option<i32>,
}

/// What the server answered to one request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status, such as 200.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body, without its chunks' framing.
    pub body: Vec<u8>,
}

impl Serving {
    /// Starts `serve` with these arguments on a free port of 127.0.0.1, and waits until it serves; what it said if it ended instead.
    ///
    /// # Panics
    /// If it cannot be started, or does neither within a minute.
    pub fn start(args: &[&str]) -> Result<Serving, Served> {
        let mut command = Command::new(bin("aioinspect"));
        command.args(["serve", "--listen", "127.0.0.1:0"]).args(args);
        Serving::of(command)
    }

    /// The same for a prepared command, which says itself where to listen.
    ///
    /// # Panics
    /// As `start`.
    pub fn of(mut command: Command) -> Result<Serving, Served> {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let Some(err) = child.stderr.take() else { panic!("no pipe") };
        let (say, heard) = channel();
        let messages = thread::spawn(move || {
            let (mut said, mut err) = (String::new(), BufReader::new(err));
            let mut line = String::new();
            while err.read_line(&mut line).is_ok_and(|read| read > 0) {
                if let Some(address) = line.trim_end().strip_prefix("aioinspect: serving on ") {
                    // Whoever listened may have given up.
                    let _ = say.send(address.to_owned());
                }
                said.push_str(&line);
                line.clear();
            }
            said
        });
        let mut serving = Serving { child, addresses: Vec::new(), messages: Some(messages) };
        match heard.recv_timeout(PATIENCE) {
            Ok(first) => serving.addresses.push(first),
            Err(RecvTimeoutError::Disconnected) => return Err(serving.collect()),
            Err(RecvTimeoutError::Timeout) => panic!("the server does not begin"),
        }
        // They are said together.
        while let Ok(more) = heard.recv_timeout(Duration::from_millis(50)) {
            serving.addresses.push(more);
        }
        Ok(serving)
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first TCP address.
    ///
    /// # Panics
    /// If there is none.
    pub fn tcp(&self) -> SocketAddr {
        let found = self.addresses.iter().find_map(|address| {
            let rest = address.strip_prefix("http://").or_else(|| address.strip_prefix("https://"))?;
            rest.parse().ok()
        });
        found.unwrap_or_else(|| panic!("no TCP address in {:?}", self.addresses))
    }

    /// Asks for a path, as `curl` would.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn get(&self, path: &str) -> Answer {
        self.ask(path, &[])
    }

    /// The same with further headers, each `Name: value`.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn ask(&self, path: &str, headers: &[&str]) -> Answer {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.tcp());
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        self.raw(request.as_bytes())
    }

    /// Sends these bytes and reads to the end.
    ///
    /// # Panics
    /// If there is no answer.
    pub fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        stream.write_all(request).unwrap_or_else(|error| panic!("send: {error}"));
        let mut all = Vec::new();
        // A server that closes while we still send resets the connection after its answer.
        let _ = stream.read_to_end(&mut all);
        Answer::parse(&all).unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(&all)))
    }

    /// A connection, on which a read waits for a minute at most.
    ///
    /// # Panics
    /// If it is refused.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp()).unwrap_or_else(|error| panic!("connect: {error}"));
        stream.set_read_timeout(Some(PATIENCE)).unwrap_or_else(|error| panic!("timeout: {error}"));
        stream
    }

    /// The text of `/metrics`.
    ///
    /// # Panics
    /// If it is not answered.
    pub fn metrics(&self) -> String {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.text()
    }

    /// The value of the series that has this name and all of these labels (`name="value"`); `None` if there is none.
    ///
    /// # Panics
    /// If several have.
    pub fn metric(&self, name: &str, labels: &[&str]) -> Option<f64> {
        value_in(&self.metrics(), name, labels)
    }

    /// Waits until the metric has the value, and fails with what it had last.
    ///
    /// # Panics
    /// If it does not within a minute.
    pub fn await_metric(&self, name: &str, labels: &[&str], wanted: f64) {
        let begun = Instant::now();
        loop {
            let is = self.metric(name, labels);
            if is.is_some_and(|is| (is - wanted).abs() < 1e-9) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{name}{labels:?} is {is:?}, not {wanted}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The document of `/api/v1/contexts`.
    ///
    /// # Panics
    /// If it is not JSON.
    pub fn contexts(&self) -> Value {
        let answer = self.get("/api/v1/contexts");
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// Asks it to end, as Ctrl-C does, and waits.
    ///
    /// # Panics
    /// If it does not end within a minute.
    pub fn end(self) -> Served {
        self.end_by(Signal::INT)
    }

    /// Asks it to end by another signal.
    ///
    /// # Panics
    /// As `end`.
    pub fn end_by(mut self, signal: Signal) -> Served {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        // One that has ended by itself is waited for as well.
        let _ = pid.map(|pid| kill_process(pid, signal));
        self.collect()
    }

    fn collect(&mut self) -> Served {
        let begun = Instant::now();
        let code = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break status.code(),
                Ok(None) => {}
                Err(error) => panic!("wait for the server: {error}"),
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not end");
            thread::sleep(Duration::from_millis(2));
        };
        let stderr = self.messages.take().and_then(|messages| messages.join().ok()).unwrap_or_default();
        Served { stderr, code }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // `Child` sends nothing once it has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    /// Takes an answer apart; chunks of a chunked body are put together.
    pub fn parse(bytes: &[u8]) -> Option<Answer> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(bytes.get(..end)?).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let mut body = bytes.get(end + 4..)?.to_vec();
        if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
            body = unchunked(&body);
        }
        Some(Answer { status, head, body })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

fn unchunked(mut rest: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let (size, after) = rest.split_at(end);
        let size = std::str::from_utf8(size).ok().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok());
        let Some(chunk) = size.filter(|size| *size > 0).and_then(|size| after.get(2..2 + size)) else {
            break;
        };
        whole.extend_from_slice(chunk);
        rest = after.get(4 + chunk.len()..).unwrap_or_default();
    }
    whole
}

/// A context without what only `list` reads of a process, and without what only a server knows.
pub fn in_every_document(context: &Value) -> Value {
    const OWN: [&str; 4] = ["uid", "user", "ns_pid", "age_seconds"];
    let keys = context.as_object().into_iter().flatten().filter(|(key, _)| !OWN.contains(&key.as_str()));
    Value::Object(keys.map(|(key, value)| (key.clone(), value.clone())).collect())
}

/// The value of the series of an exposition that has this name and all of these labels.
///
/// # Panics
/// If several have.
pub fn value_in(exposition: &str, name: &str, labels: &[&str]) -> Option<f64> {
    let mut found = exposition.lines().filter_map(|line| {
        let rest = line.strip_prefix(name).filter(|rest| rest.starts_with([' ', '{']))?;
        let (inside, value) = rest.rsplit_once(' ')?;
        labels.iter().all(|label| inside.contains(label)).then(|| value.parse::<f64>().ok())?
    });
    let first = found.next();
    assert!(found.next().is_none(), "several series {name}{labels:?} in {exposition}");
    first
}

//! A Prometheus of a test's own, on a free port, with its data in a directory that ends with it; asked over HTTP.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::serving::{Answer, PATIENCE};
use serde_json::Value;
use tempfile::TempDir;

/// What begins each configuration: the shortest intervals that Prometheus takes without becoming busy.
pub const GLOBAL: &str = "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n";

/// A server under way. Dropping it ends it.
#[derive(Debug)]
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    log: Arc<Mutex<String>>,
    _home: TempDir,
}

/// A series and its value at the time of the question.
#[derive(Clone, Debug)]
pub struct Sample {
    pub labels: Value,
    pub value: f64,
}

impl Prometheus {
    /// Starts one with this configuration, below `GLOBAL`, and waits until it is ready.
    pub fn start(config: &str, flags: &[&str]) -> Prometheus {
        let home = tempfile::Builder::new().prefix("aioinspect-test-").tempdir().unwrap();
        let file = home.path().join("prometheus.yml");
        fs::write(&file, format!("{GLOBAL}{config}")).unwrap();
        let mut command = Command::new("prometheus");
        command.arg(argument("--config.file", &file)).args(flags);
        command.arg(argument("--storage.tsdb.path", &home.path().join("data")));
        command.arg("--web.listen-address=127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(Stdio::piped()).spawn();
        let mut child =
            child.unwrap_or_else(|error| panic!("prometheus: {error}; apt-get install prometheus"));
        let err = BufReader::new(child.stderr.take().unwrap());
        let log = Arc::new(Mutex::new(String::new()));
        let (say, heard) = channel();
        let kept = Arc::clone(&log);
        thread::spawn(move || {
            for line in err.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("msg=\"Listening on\" address=") {
                    // Whoever listened may have given up.
                    let _ = say.send(address.trim().to_owned());
                }
                let mut kept = kept.lock().unwrap();
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        // Port 0 is nobody's until the kernel gives one: the log has it.
        let address = match heard.recv_timeout(PATIENCE) {
            Ok(address) => address.parse().unwrap_or_else(|error| panic!("{address:?}: {error}")),
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {
                let _ = child.kill();
                let _ = child.wait();
                panic!("prometheus does not listen with {config}: {}", log.lock().unwrap())
            }
        };
        let prometheus = Prometheus { child, address, log, _home: home };
        prometheus.until("it is ready", || (prometheus.get("/-/ready")?.status == 200).then_some(()));
        prometheus
    }

    /// What the API answers, `data` of it.
    pub fn ask(&self, path: &str) -> Value {
        self.try_ask(path).unwrap_or_else(|why| panic!("{path}: {why}"))
    }

    /// The same; what the API says if it refuses.
    pub fn try_ask(&self, path: &str) -> Result<Value, String> {
        let answer = self.get(path).unwrap_or_else(|| panic!("{path}: no answer; {}", self.log()));
        let mut document: Value = serde_json::from_slice(&answer.body)
            .unwrap_or_else(|error| panic!("{path}: {error}: {answer:?}"));
        if document["status"] == "success" { Ok(document["data"].take()) } else { Err(document.to_string()) }
    }

    /// The series of an expression, now.
    pub fn query(&self, expr: &str) -> Vec<Sample> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(expr)));
        assert_eq!(data["resultType"], "vector", "{expr}");
        let sample = |one: &Value| {
            let value = one["value"][1].as_str().and_then(|value| value.parse().ok());
            let value = value.unwrap_or_else(|| panic!("{expr}: no number: {one}"));
            Sample { labels: one["metric"].clone(), value }
        };
        data["result"].as_array().unwrap().iter().map(sample).collect()
    }

    /// The one value of an expression; `None` if it has none.
    pub fn value(&self, expr: &str) -> Option<f64> {
        let samples = self.query(expr);
        assert!(samples.len() <= 1, "{expr}: {samples:?}");
        samples.first().map(|sample| sample.value)
    }

    /// Waits until an expression has series.
    pub fn await_some(&self, expr: &str) -> Vec<Sample> {
        self.until(expr, || Some(self.query(expr)).filter(|samples| !samples.is_empty()))
    }

    /// Waits until the one value of an expression is this.
    pub fn await_value(&self, expr: &str, wanted: impl Into<f64>) {
        let wanted = wanted.into();
        let is = || self.value(expr).filter(|is| (is - wanted).abs() < 1e-9);
        let begun = Instant::now();
        while is().is_none() {
            assert!(
                begun.elapsed() < PATIENCE,
                "{expr} is {:?}, not {wanted}; {}",
                self.value(expr),
                self.targets()
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until an expression has no series any more; how long that took.
    pub fn await_none(&self, expr: &str) -> Duration {
        let begun = Instant::now();
        self.until(&format!("no {expr}"), || self.query(expr).is_empty().then_some(()));
        begun.elapsed()
    }

    /// All alerts that fire, or wait to.
    pub fn alerts(&self) -> Vec<Value> {
        self.ask("/api/v1/alerts")["alerts"].as_array().unwrap().clone()
    }

    /// Asks until there is an answer.
    pub fn until<T>(&self, what: &str, mut asked: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = asked() {
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}; targets {}", self.targets());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it says of its targets, for who reads why a test failed.
    fn targets(&self) -> String {
        let said = self.get("/api/v1/targets?state=active").map(|answer| answer.text());
        format!("{}\n{}", said.unwrap_or_default(), self.log())
    }

    fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    fn get(&self, path: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok()?;
        Answer::parse(&all)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // `Child` sends nothing once it has been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs promtool with this input; all it says, and whether it was content.
pub fn promtool(args: &[&str], input: &str) -> (bool, String) {
    let mut command = Command::new("promtool");
    command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("promtool: {error}; apt-get install prometheus"));
    // It reads to the end before it says anything.
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.success(), said.concat())
}

fn argument(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// An expression as a part of an address.
pub fn encoded(expr: &str) -> String {
    form_urlencoded::byte_serialize(expr.as_bytes()).collect()
}

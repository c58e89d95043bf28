//! A real browser: headless Chromium, driven by chromedriver, one of its own for each test.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use aioinspect_tests::fixture::is_alive;
use aioinspect_tests::serving::{Answer, Serving};
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// For what a page does by itself, on a machine with much else to do.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A browser with one window, and nothing of the machine's own settings. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    driver: Driver,
    client: Option<Client>,
    session: String,
    pid: u32,
    runtime: Runtime,
    // Removed last, when nobody writes there any more.
    _profile: TempDir,
}

/// The chromedriver under way.
#[derive(Debug)]
struct Driver {
    child: Child,
    port: u16,
}

impl Browser {
    /// A browser as it is.
    pub fn start() -> Browser {
        Browser::with(&json!({}))
    }

    /// One that runs no script of any page.
    pub fn without_script() -> Browser {
        Browser::with(&json!({ "profile.managed_default_content_settings.javascript": 2 }))
    }

    fn with(preferences: &Value) -> Browser {
        let driver = Driver::start();
        let profile = tempfile::Builder::new().prefix("aioinspect-browser-").tempdir().unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let args = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            format!("--user-data-dir={}", profile.path().display()),
        ]);
        let capabilities = json!({
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "prefs": preferences, "args": args },
        });
        let mut builder = ClientBuilder::new(HttpConnector::new());
        builder.capabilities(capabilities.as_object().unwrap().clone());
        let client = runtime.block_on(builder.connect(&format!("http://127.0.0.1:{}", driver.port)));
        let client = client.unwrap_or_else(|error| panic!("chromium (Debian: chromium): {error}"));
        let pid = client.capabilities().and_then(|said| said.get("goog:processID")?.as_u64()).unwrap();
        let session = runtime.block_on(client.session_id()).unwrap().unwrap();
        let pid = u32::try_from(pid).unwrap();
        Browser { driver, client: Some(client), session, pid, runtime, _profile: profile }
    }

    fn client(&self) -> &Client {
        self.client.as_ref().unwrap()
    }

    /// Goes to a path of the server, and waits until the page is loaded.
    pub fn open(&self, serving: &Serving, path: &str) {
        let url = format!("http://{}{path}", serving.tcp());
        self.runtime.block_on(self.client().goto(&url)).unwrap_or_else(|error| panic!("{url}: {error}"));
    }

    /// Loads the page again.
    pub fn reload(&self) {
        self.runtime.block_on(self.client().refresh()).unwrap();
    }

    /// What stands after the question mark of the page's address, which the page itself may change.
    pub fn query(&self) -> String {
        let url = self.runtime.block_on(self.client().current_url()).unwrap();
        url.query().unwrap_or_default().to_owned()
    }

    /// Runs a script beside those of the page, and even where the page's own do not run; what it returns.
    pub fn run(&self, script: &str, args: &[&str]) -> Value {
        let args = args.iter().map(|arg| Value::from(*arg)).collect();
        self.runtime
            .block_on(self.client().execute(script, args))
            .unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// The texts of all elements that the selector finds, shown or not.
    pub fn texts(&self, css: &str) -> Vec<String> {
        let all =
            self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", &[css]);
        serde_json::from_value(all).unwrap()
    }

    /// The text of the one element that the selector finds.
    pub fn text(&self, css: &str) -> String {
        let mut texts = self.texts(css);
        assert_eq!(texts.len(), 1, "{css}: {texts:?}");
        texts.remove(0)
    }

    /// An attribute of the first element that the selector finds; `None` without the one or the other.
    pub fn attribute(&self, css: &str, name: &str) -> Option<String> {
        let script = "return document.querySelector(arguments[0])?.getAttribute(arguments[1]) ?? null";
        self.run(script, &[css, name]).as_str().map(str::to_owned)
    }

    /// Whether the first element that the selector finds can be seen.
    pub fn is_shown(&self, css: &str) -> bool {
        let script = "return document.querySelector(arguments[0])?.checkVisibility() ?? false";
        self.run(script, &[css]) == Value::Bool(true)
    }

    /// What the selector finds, as a person finds it.
    fn find(&self, css: &str) -> Element {
        let found = self.runtime.block_on(self.client().find(Locator::Css(css)));
        found.unwrap_or_else(|error| panic!("{css}: {error}"))
    }

    /// Clicks on it with the mouse: it must be in sight and nothing before it.
    pub fn click(&self, css: &str) {
        let clicked = self.runtime.block_on(self.find(css).click());
        clicked.unwrap_or_else(|error| panic!("click on {css}: {error}"));
    }

    /// Presses and releases keys, wherever the focus is.
    pub fn press(&self, keys: &[char]) {
        let actions = keys.iter().fold(KeyActions::new("keys".to_owned()), |actions, key| {
            actions.then(KeyAction::Down { value: *key }).then(KeyAction::Up { value: *key })
        });
        self.runtime.block_on(self.client().perform_actions(actions)).unwrap();
    }

    /// Presses the keys of a text.
    pub fn type_text(&self, text: &str) {
        self.press(&text.chars().collect::<Vec<_>>());
    }

    /// Waits for what the page is to do by itself.
    pub fn until<T>(&self, what: &str, mut is: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(found) = is() {
                return found;
            }
            if begun.elapsed() > PATIENCE {
                let page = self.run("return document.querySelector('body').innerText", &[]);
                panic!("never: {what}; the page:\n{}", page.as_str().unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the one element has the text.
    pub fn until_text(&self, css: &str, wanted: &str) {
        self.until(&format!("{css} says {wanted:?}"), || (self.text(css) == wanted).then_some(()));
    }

    /// Has pages believe that their reader likes `dark` or `light`.
    pub fn prefer(&self, scheme: &str) {
        let feature = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        let params = json!({ "features": feature });
        self.ask("goog/cdp/execute", &json!({ "cmd": "Emulation.setEmulatedMedia", "params": params }));
    }

    /// Has pages believe that their window is so large; a real one has a least width.
    pub fn resize(&self, width: u32, height: u32) {
        let params = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.ask(
            "goog/cdp/execute",
            &json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": params }),
        );
    }

    /// What the browser complained of since it was last asked: errors of scripts, what the policy of the page forbade, what failed to load.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.ask("se/log", &json!({ "type": "browser" }));
        log.as_array().unwrap().iter().map(Value::to_string).collect()
    }

    /// Puts what is to be seen in the directory that AIOINSPECT_PICTURES names, for whoever works on the page.
    pub fn picture(&self, name: &str) {
        if let Some(directory) = env::var_os("AIOINSPECT_PICTURES") {
            let png = self.runtime.block_on(self.client().screenshot()).unwrap();
            fs::write(std::path::Path::new(&directory).join(format!("{name}.png")), png).unwrap();
        }
    }

    /// A command of chromedriver's own.
    fn ask(&self, command: &str, body: &Value) -> Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.driver.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!(
            "POST /session/{}/{command} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n{body}",
            self.session,
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        // It keeps the connection, whatever it is asked.
        let (mut all, mut part) = (Vec::new(), [0; 4096]);
        let answer = loop {
            let read = stream.read(&mut part).unwrap();
            all.extend_from_slice(part.get(..read).unwrap());
            let answer = Answer::parse(&all);
            let length = answer.as_ref().and_then(|answer| answer.header("content-length")?.parse().ok());
            match answer {
                Some(answer) if length == Some(answer.body.len()) => break answer,
                _ => assert!(read > 0, "{command}: {}", String::from_utf8_lossy(&all)),
            }
        };
        assert_eq!(answer.status, 200, "{command}: {}", answer.text());
        let mut said: Value = serde_json::from_slice(&answer.body).unwrap();
        said.get_mut("value").unwrap().take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            // It takes the browser with it.
            let _ = self.runtime.block_on(async { timeout(Duration::from_secs(10), client.close()).await });
        }
        let begun = Instant::now();
        while is_alive(self.pid) {
            if begun.elapsed() > Duration::from_secs(10) {
                // Ours still: no other process has the PID of one that lives.
                let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
                let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Driver {
    fn start() -> Driver {
        let mut command = Command::new("chromedriver");
        command.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("chromedriver (Debian: chromium-driver): {error}"));
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut driver = Driver { child, port: 0 };
        let mut line = String::new();
        while driver.port == 0 {
            line.clear();
            assert!(said.read_line(&mut line).unwrap() > 0, "chromedriver ends without a port");
            let port = line.trim_end().strip_prefix("ChromeDriver was started successfully on port ");
            driver.port = port.and_then(|port| port.trim_end_matches('.').parse().ok()).unwrap_or(0);
        }
        // A pipe that nobody reads would stop it one day.
        thread::spawn(move || std::io::copy(&mut said, &mut std::io::sink()));
        driver
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

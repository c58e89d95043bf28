//! A MariaDB server of our own: its data, its socket, no network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{io::Write, thread};

use aioinspect_tests::programs::{Output, run};
use tempfile::TempDir;

use crate::scratch::Running;

/// For a server that starts, stops or writes on a slow disk.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What has to be installed for it.
pub const NEEDS: [&str; 3] = ["mariadbd", "mariadb-install-db", "mariadb"];

/// A running server. Dropped, it is gone.
pub struct Server {
    process: Running,
    directory: TempDir,
}

impl Server {
    /// Makes an empty database in `directory` and serves it. The buffer pool is small, so that work on it is work for the disk.
    pub fn start(directory: TempDir) -> Server {
        let home = directory.path();
        let data = format!("--datadir={}", home.join("data").display());
        let mut install = Command::new("mariadb-install-db");
        install.args([
            "--no-defaults",
            "--user=root",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]);
        let made = run(install.arg(&data).current_dir(home));
        assert_eq!(made.code, 0, "{made:?}");
        let log = File::create(home.join("log")).unwrap();
        let mut command = Command::new("mariadbd");
        command.args(["--no-defaults", "--user=root", "--skip-networking", "--innodb-use-native-aio=1"]);
        // Versions that know io_uring are told; others would not start with an option they do not know.
        command.args(["--loose-innodb-linux-aio=aio", "--innodb-flush-method=O_DIRECT"]);
        command.args(["--innodb-buffer-pool-size=8M", "--innodb-log-file-size=8M", &data]);
        command.arg(format!("--socket={}", socket(home).display()));
        command.arg(format!("--pid-file={}", home.join("pid").display()));
        command.current_dir(home).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut server = Server { process: Running::start(&mut command), directory };
        let begun = Instant::now();
        while server.try_query("select 1").code != 0 {
            assert!(!server.process.has_ended(), "{}", server.log());
            assert!(begun.elapsed() < PATIENCE, "{}", server.log());
            thread::sleep(Duration::from_millis(100));
        }
        server
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it has decided for native AIO; a kernel or a build may lack it.
    pub fn uses_native_aio(&self) -> bool {
        self.log().contains("Using Linux native AIO")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// A new directory beside its data.
    pub fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    }

    fn client(&self) -> Command {
        let mut command = Command::new("mariadb");
        command.args(["--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
        command.arg(format!("--socket={}", socket(self.directory.path()).display()));
        command
    }

    fn try_query(&self, query: &str) -> Output {
        run(self.client().arg("--execute").arg(query))
    }

    /// What it answers.
    pub fn query(&self, query: &str) -> String {
        let output = self.try_query(query);
        assert_eq!(output.code, 0, "{query}: {output:?}\n{}", self.log());
        output.stdout.trim().to_owned()
    }

    /// Starts a client that executes all these statements.
    pub fn work(&self, statements: &str) -> Client {
        let mut command = self.client();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut client = command.spawn().unwrap();
        let mut input = client.stdin.take().unwrap();
        input.write_all(statements.as_bytes()).unwrap();
        Client(client)
    }

    /// Ends it as an administrator would; it must end well.
    pub fn stop(mut self) {
        self.process.terminate().unwrap();
        let code = self.process.end_within(PATIENCE);
        assert_eq!(code, Some(0), "{}", self.log());
    }
}

fn socket(home: &Path) -> PathBuf {
    home.join("socket")
}

/// A client at work.
pub struct Client(Child);

impl Client {
    /// Whether it still has something to do.
    pub fn is_at_work(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Waits until all is done, without an error.
    pub fn finish(self) {
        let output = self.0.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
}

//! MariaDB with native AIO, and clients at work on it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::criu::{Home, SlowDisk, is_ready};
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::programs::{Output, run, run_aioinspect, skip};

use super::rounds::{self, Checkpointed, await_file};
use super::{has, tree::Tree};

/// What has to be installed for it, and the packages.
const NEEDS: [(&str, &str); 3] = [
    ("mariadbd", "mariadb-server-core"),
    ("mariadb-install-db", "mariadb-server-core"),
    ("mariadb", "mariadb-client-core"),
];
/// Bytes a second of the disk while it works.
pub(crate) const SPEED: u64 = 10 << 20;
const CLIENTS: usize = 3;
/// Statements of each client: more than it gets to.
const STATEMENTS: usize = 100_000;
const PATIENCE: Duration = Duration::from_secs(60);

/// Whether it and CRIU can run; if not, why is said.
pub(crate) fn can_run(test: &str) -> bool {
    if let Some(why) = SlowDisk::why_not() {
        skip(test, &why);
        return false;
    }
    is_ready(test) && has(test, &NEEDS)
}

/// A database on a home's disk, and the script that serves it.
pub(crate) struct Database<'a> {
    home: &'a Home,
    disk: &'a SlowDisk,
}

impl Database<'_> {
    /// Makes an empty one, and the statements of its clients.
    pub(crate) fn create<'a>(home: &'a Home, disk: &'a SlowDisk) -> Database<'a> {
        let mut install = home.inside("mariadb-install-db");
        install.args(["--no-defaults", "--user=root", "--skip-test-db"]);
        install.arg("--auth-root-authentication-method=normal");
        install.arg(format!("--datadir={}", disk.dir.join("data").display()));
        let made = run(&mut install);
        assert_eq!(made.code, 0, "{made:?}");
        let database = Database { home, disk };
        for client in 0..CLIENTS {
            // A row of its own that is acknowledged, and work for the disk that leaves nothing behind.
            let one = format!(
                "set @v = repeat(md5(rand()), 32); insert into t (v, sum) values (@v, md5(@v)); \
                 select last_insert_id(); \
                 replace into filler values ({client} * 16 + floor(rand() * 16), repeat(md5(rand()), 8192));\n"
            );
            fs::write(database.seen(&format!("statements.{client}")), one.repeat(STATEMENTS)).unwrap();
        }
        disk.slow(SPEED);
        database
    }

    /// A script for a shell that has the disk at `dir`: it serves, lets clients work until there is a file `stop`, and goes on to serve.
    pub(crate) fn script(dir: &Path) -> String {
        let dir = dir.display();
        let clients: Vec<String> = (0..CLIENTS).map(|client| client.to_string()).collect();
        format!(
            "exec </dev/null >/dev/null 2>&1
cd '{dir}'
sql='mariadb --no-defaults --user=root --batch --skip-column-names --unbuffered --socket={dir}/socket'
mariadbd --no-defaults --user=root --skip-networking --innodb-use-native-aio=1 --loose-innodb-linux-aio=aio \
  --innodb-flush-method=O_DIRECT --innodb-buffer-pool-size=8M --innodb-log-file-size=8M --datadir='{dir}/data' \
  --socket='{dir}/socket' --pid-file='{dir}/pid' </dev/null >log 2>&1 &
until $sql --execute='select 1' >/dev/null 2>&1; do sleep 0.1; done
$sql --execute='create database load_test; use load_test; \
  create table t (id bigint auto_increment primary key, v text, sum char(32)) character set utf8mb3; \
  create table filler (id int primary key, v longtext)'
for i in {}; do $sql load_test <statements.$i >acknowledged.$i 2>errors.$i & clients=\"$clients $!\"; done
echo >ready
while [ ! -e stop ]; do sleep 0.2; done
kill $clients
wait $clients
echo >stopped
wait
",
            clients.join(" ")
        )
    }

    /// The path by which this process reaches a file of it.
    fn seen(&self, name: &str) -> PathBuf {
        let root: PathBuf = self.home.images().components().take(4).collect();
        root.join(self.disk.dir.strip_prefix("/").unwrap()).join(name)
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.seen(name)).unwrap_or_default()
    }

    fn query(&self, query: &str) -> Output {
        let mut client = self.home.inside("timeout");
        client.args(["60", "mariadb", "--no-defaults", "--user=root", "--batch", "--skip-column-names"]);
        client.arg(format!("--socket={}", self.seen_inside("socket").display()));
        run(client.args(["--execute", query, "load_test"]))
    }

    fn seen_inside(&self, name: &str) -> PathBuf {
        self.disk.dir.join(name)
    }

    /// Waits until clients work. Whether it uses native AIO; if not, that is said.
    fn await_work(&self, test: &str) -> bool {
        let ready = await_file(&self.seen("ready"), PATIENCE);
        assert!(ready.is_some(), "{}", self.text("log"));
        if !self.text("log").contains("Using Linux native AIO") {
            skip(test, "this mariadbd decided against native AIO");
            return false;
        }
        thread::sleep(Duration::from_secs(1));
        let listed = run_aioinspect(&["list"]).stdout;
        assert!(listed.contains("mariadbd"), "{listed}");
        true
    }

    /// How many rows are acknowledged; no client may have seen an error.
    pub(crate) fn acknowledged(&self) -> usize {
        (0..CLIENTS).map(|client| self.acknowledged_to(client).len()).sum()
    }

    fn acknowledged_to(&self, client: usize) -> Vec<u64> {
        let errors = self.text(&format!("errors.{client}"));
        assert_eq!(errors, "", "{}", self.text("log"));
        let text = self.text(&format!("acknowledged.{client}"));
        // The last line may not be whole.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| line.parse().unwrap()).collect()
    }

    /// Ends the clients, and checks that every row that was acknowledged is there and right, at most one more of each client, and that
    /// the server finds its tables sound and has logged no error.
    pub(crate) fn is_whole(&self) -> usize {
        self.disk.fast();
        fs::write(self.seen("stop"), "").unwrap();
        assert!(await_file(&self.seen("stopped"), PATIENCE).is_some(), "the clients do not end");
        let rows = self.query("select id, cast(md5(v) as binary) = cast(sum as binary) from t");
        assert_eq!(rows.code, 0, "{rows:?} {}", self.text("log"));
        let rows: BTreeMap<u64, bool> = rows
            .stdout
            .lines()
            .map(|line| line.split_once('\t').unwrap())
            .map(|(id, is_right)| (id.parse().unwrap(), is_right == "1"))
            .collect();
        let acknowledged: Vec<u64> = (0..CLIENTS).flat_map(|client| self.acknowledged_to(client)).collect();
        let missing: Vec<&u64> = acknowledged.iter().filter(|id| rows.get(id) != Some(&true)).collect();
        assert!(missing.is_empty(), "{missing:?} of {} rows", acknowledged.len());
        assert!(rows.values().all(|is_right| *is_right), "wrong rows");
        assert!((0..=CLIENTS).contains(&(rows.len() - acknowledged.len())), "{} rows", rows.len());
        let checked = self.query("check table t, filler extended").stdout;
        assert_eq!(checked.lines().filter(|line| line.ends_with("\tOK")).count(), 2, "{checked}");
        assert!(!self.text("log").contains("[ERROR]"), "{}", self.text("log"));
        acknowledged.len()
    }
}

/// Runs rounds on a database that is served by `target`, and checks that nothing is lost.
pub(crate) fn runs(test: &str, idle: u64, database: &Database, target: &dyn Checkpointed) {
    if !database.await_work(test) {
        return;
    }
    let mut before = database.acknowledged();
    assert!(before > 0, "no client works");
    rounds::run(test, idle, target, || {
        let begun = Instant::now();
        while database.acknowledged() <= before {
            assert!(begun.elapsed() < PATIENCE, "no row after {before}: {}", database.text("log"));
            thread::sleep(Duration::from_millis(50));
        }
        before = database.acknowledged();
    });
    let rows = database.is_whole();
    rounds::say(&format!("{test}: {rows} rows acknowledged, all there"));
}

/// Check that a server is checkpointed under load, as often as wanted: every row that was acknowledged is there, and the server is well.
#[test]
fn keeps_every_row() {
    const NAME: &str = "loads::mariadb::keeps_every_row";
    if !can_run(NAME) {
        return;
    }
    let _host = HostLock::take();
    let home = Home::new();
    let disk = home.large_disk();
    let idle = aio_nr();
    let database = Database::create(&home, &disk);
    let tree = Tree::start(&home, &Database::script(&disk.dir), true);
    runs(NAME, idle, &database, &tree);
}

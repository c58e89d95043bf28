//! The situation: the workers of one unit hold nearly every slot, and a database does not start.

use std::thread;
use std::time::Duration;

use aioinspect_tests::cgroup::Cgroup;
use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr, aio_nr};
use anyhow::{Result, bail};

/// Workers of the web server, a context each.
const WORKERS: u64 = 60;
/// What the others reserve, and what is left for the database that does not start.
const OTHERS: u64 = 11 * 241 + 8 * 128 + SEGMENTS * SEGMENT;
/// The database's contexts that there is room for, and the slots of each.
const SEGMENTS: u64 = 7;
const SEGMENT: u64 = 256;
/// Its calls that fail.
const FAILURES: usize = 4;
/// Free slots in the end: fewer than one more context takes.
const LEFT: u64 = 69;

/// Processes in control groups with the names that systemd gives. Dropping it ends the processes, then removes the groups.
#[derive(Debug)]
pub(crate) struct Scene {
    database: Fixture,
    shop: Fixture,
    machine: Fixture,
    _nginx: Fixture,
    // After the processes in them.
    _groups: Vec<Cgroup>,
    // Last: the host's sums are ours until all is gone.
    _host: HostLock,
}

impl Scene {
    /// Begins it, up to the moment before the database starts.
    pub(crate) fn begin() -> Result<Scene> {
        let host = HostLock::take();
        let free = aio_max_nr().saturating_sub(aio_nr());
        // 1,000 where the limit is the kernel's own and nobody else is there.
        let each = free.saturating_sub(OTHERS + LEFT) / WORKERS;
        if each < 128 {
            bail!("{free} slots are free: too few for the picture");
        }
        let mut groups = Vec::new();
        let mut start = |comm: &str, group: &str| {
            let mut fixture = Fixture::spawn_alone(&host);
            let group = Cgroup::new(&format!("aioinspect-pictures/{group}"));
            group.take(fixture.pid());
            // Innermost last within each, and the first made the parents of the next: they are removed the other way round.
            groups.insert(0, group);
            let hex: Vec<String> = comm.bytes().map(|byte| format!("{byte:02x}")).collect();
            fixture.run(&format!("set-comm {}", hex.concat()));
            fixture
        };
        let mut nginx = start("nginx", "system.slice/nginx.service");
        let mut database = start("mysqld", "system.slice/mysql.service");
        let mut machine = start("qemu-system-x86", "machine.slice/machine-qemu\\x2d1\\x2dbuild.scope");
        let mut shop = start("mysqld", "system.slice/shop-db.service");
        nginx.run(&format!("farm {WORKERS} 1 {each}"));
        database.run("setup-many 11 241");
        for line in ["poll #0 40 0", "complete #0 9", "reap #0 3", "poll #4 7 0"] {
            database.run(line);
        }
        machine.run("setup-many 8 128");
        machine.run("poll #1 20 0");
        // The rest of the division as well: what is left free is the same everywhere.
        let rest = aio_max_nr().saturating_sub(aio_nr()).saturating_sub(LEFT + (SEGMENTS - 1) * SEGMENT);
        shop.run(&format!("setup {rest}"));
        Ok(Scene { database, shop, machine, _nginx: nginx, _groups: groups, _host: host })
    }

    /// The database gets its first contexts, and then no more, as often as it asks.
    pub(crate) fn fail(&mut self) -> Result<()> {
        for _ in 1..SEGMENTS {
            self.shop.run(&format!("setup {SEGMENT}"));
        }
        for _ in 0..FAILURES {
            match self.shop.try_run(&format!("setup {SEGMENT}")) {
                Err(failure) if failure.errno == rustix::io::Errno::AGAIN.raw_os_error() => {}
                other => bail!("io_setup should have failed with EAGAIN: {other:?}"),
            }
            thread::sleep(Duration::from_millis(400));
            self.go_on();
        }
        Ok(())
    }

    /// The I/O of the others goes on: a request of each completes, and another is submitted. Where none completes for long, they are stuck.
    pub(crate) fn go_on(&mut self) {
        for (is_database, context) in [(true, "#0"), (true, "#4"), (false, "#1")] {
            let fixture = if is_database { &mut self.database } else { &mut self.machine };
            for line in
                [format!("complete {context} 1"), format!("reap {context} 1"), format!("poll {context} 1 0")]
            {
                fixture.run(&line);
            }
        }
    }

    /// The context with most to see in it, as a part of the page's address.
    pub(crate) fn busiest(&mut self) -> String {
        let truth = self.database.truth();
        let id = truth.context(0).map_or(0, |context| context.id);
        format!("pid={}&context={id:#x}", self.database.pid())
    }
}

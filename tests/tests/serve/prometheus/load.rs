//! Owners with everything that is counted: a database in a container, and a program that is of no container.

use aioinspect_tests::fixture::Fixture;
use aioinspect_tests::host::{HostLock, aio_max_nr};

use super::pod::Pod;

/// The processes. Dropping it ends them.
#[derive(Debug)]
pub struct Load {
    pub database: Fixture,
    pub plain: Fixture,
}

/// What the database should be seen with.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    pub contexts: f64,
    pub reserved: f64,
    pub in_flight: f64,
    pub unreaped: f64,
}

impl Load {
    pub fn new(host: &HostLock, pod: &Pod) -> Load {
        let mut load = Load { database: Fixture::spawn_alone(host), plain: Fixture::spawn_alone(host) };
        // "database"
        load.database.run("set-comm 6461746162617365");
        pod.admit(load.database.pid());
        let id = load.database.setup(128);
        load.database.setup(7);
        load.database.run(&format!("poll {id:#x} 5 0"));
        load.database.run(&format!("complete {id:#x} 2"));
        load.plain.setup(16);
        load
    }

    /// The database's own word.
    pub fn held(&mut self) -> Held {
        let contexts = self.database.truth().contexts;
        let sum = |of: fn(&aioinspect_tests::truth::ContextTruth) -> u32| {
            contexts.iter().map(|one| f64::from(of(one))).sum()
        };
        Held {
            contexts: sum(|_| 1),
            reserved: sum(|one| one.max_reqs),
            in_flight: sum(|one| one.in_flight),
            unreaped: sum(|one| one.unreaped),
        }
    }

    /// One io_setup of the database fails for want of events, another because it asks for none.
    pub fn fail(&mut self) {
        let errno = |fixture: &mut Fixture, n: u64| fixture.try_run(&format!("setup {n}")).unwrap_err().errno;
        assert_eq!(errno(&mut self.database, aio_max_nr() + 1), 11);
        assert_eq!(errno(&mut self.database, 0), 22);
    }

    /// A child of the plain program hangs in exit, with a context that waits for its requests until the load ends.
    pub fn linger(&mut self) {
        self.plain.run("dying-child exit 1 1 4");
    }

    /// A bit of everything: more is reserved than before, a context comes and goes, calls fail.
    pub fn stir(&mut self) {
        self.fail();
        self.plain.setup(1);
        let id = self.plain.setup(4);
        self.plain.run(&format!("destroy {id:#x}"));
        for kind in ["ok", "short", "ebadf"] {
            self.database.run(&format!("submit-raw {kind} 3"));
        }
    }
}

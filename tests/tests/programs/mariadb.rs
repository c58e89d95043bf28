//! MariaDB with native AIO.

use std::thread;
use std::time::{Duration, Instant};

use aioinspect_tests::host::HostLock;
use aioinspect_tests::programs::skip;

use crate::asked::{self, as_entries, clear, dump, image, says_why};
use crate::fio::attributes_all;
use crate::scratch::on_disk;
use crate::server::{NEEDS, PATIENCE, Server};

const CLIENTS: usize = 3;
const STATEMENTS: usize = 100;
/// Rows of 256 KiB that one statement inserts.
const ROWS: usize = 8;

/// The server of one test, or nothing, and said so.
fn server(test: &str) -> Option<Server> {
    let server = Server::start(on_disk(test, &NEEDS)?);
    if !server.uses_native_aio() {
        skip(test, "this mariadbd decided against native AIO");
        return None;
    }
    Some(server)
}

/// Check that every slot of the host is attributed, that the idle server is dumped with exactly its contexts, and that it answers as before.
#[test]
fn is_dumped_when_idle() {
    let _alone = HostLock::take();
    let Some(server) = server("mariadb::is_dumped_when_idle") else { return };
    let listed = asked::list(server.pid());
    assert!(!listed.contexts.is_empty(), "{listed:?}");
    assert!(listed.contexts.iter().all(|context| context.in_flight <= context.max_reqs), "{listed:?}");
    // innodb_read_io_threads and innodb_write_io_threads, 4 each, with 256 requests for each thread.
    let threads = server.query("select @@innodb_read_io_threads + @@innodb_write_io_threads");
    attributes_all(server.pid(), threads.parse::<u64>().unwrap() * 256);

    let images = server.make_directory("images");
    let output = dump(server.pid(), &images, &["--wait", "10s"]);
    assert_eq!(output.code, 0, "{output:?}");
    assert_eq!(image(server.pid(), &images, &listed.contexts), as_entries(&listed.contexts));
    assert_eq!(server.query("select 6 * 7"), "42");
    assert_eq!(asked::list(server.pid()).contexts.len(), listed.contexts.len());
    server.stop();
}

/// Check that under load dump refuses what is not idle, stops it only for verified instants, and harms nothing: every row
/// arrives, tables check out, and the server ends well.
#[test]
fn is_unharmed_under_load() {
    let _alone = HostLock::take();
    let Some(server) = server("mariadb::is_unharmed_under_load") else { return };
    server.query("create database load_test; create table load_test.t (id bigint auto_increment primary key, v longtext)");
    let rows = vec!["select 1"; ROWS].join(" union all ");
    let insert =
        format!("insert into load_test.t(v) select repeat(md5(rand()), 8192) from ({rows}) as eight;\n");
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.work(&insert.repeat(STATEMENTS))).collect();

    let images = server.make_directory("images");
    let begun = Instant::now();
    let mut refused = 0;
    while clients.iter_mut().any(super::server::Client::is_at_work) {
        assert!(begun.elapsed() < PATIENCE, "the clients do not end");
        let output = dump(server.pid(), &images, &[]);
        match output.code {
            5 => {
                assert!(says_why(&output), "{output:?}");
                assert_eq!(std::fs::read_dir(&images).unwrap().count(), 0, "a refused dump wrote something");
                refused += 1;
            }
            // There are instants without a request in flight, and only the freeze tells.
            0 => assert!(output.stdout.contains("frozen for"), "{output:?}"),
            _ => panic!("{output:?}"),
        }
        clear(&images);
        thread::sleep(Duration::from_millis(20));
    }
    clients.into_iter().for_each(super::server::Client::finish);
    assert!(refused > 0, "never refused in {:?}", begun.elapsed());
    assert_eq!(server.query("select count(*) from load_test.t"), (CLIENTS * STATEMENTS * ROWS).to_string());
    assert!(server.query("check table load_test.t").ends_with("OK"));
    assert!(!server.log().contains("[ERROR]"), "{}", server.log());
    server.stop();
}

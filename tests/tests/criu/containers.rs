//! A container of runc's, with the hook named in CRIU's settings, as docs/criu.md says.

use aioinspect_tests::criu::{Container, Home, Round, Scripts, SlowDisk, is_ready};
use aioinspect_tests::host::{HostLock, aio_nr};
use aioinspect_tests::programs::skip;

use crate::bed::{BYTES, PATIENCE, SLOW, hook};
use crate::document::{Table, row};

const READS: u64 = 32;

/// What became of the container, and its checkpoint.
fn seen(scripts: &Scripts) -> (String, Round) {
    let home = Home::new();
    let mut disk = home.disk();
    let idle = aio_nr();
    let mut container = Container::run(&home, &mut disk);
    container.target.run("setup 128");
    disk.slow(SLOW);
    let file = Container::file("read");
    container.target.run(&format!("disk #0 {} read {READS} {}", file.display(), BYTES / READS));
    let checkpoint = container.checkpoint(scripts);
    assert_eq!(checkpoint.code, 0, "{}", checkpoint.log);
    // Its new control group has no limit.
    let restore = container.restore(scripts);
    assert_eq!(restore.code, 0, "{}", restore.log);
    let words = match container.target.reap_disk(0, PATIENCE) {
        (READS, 0, 0) => "all reaped, all right",
        (_, 0, _) => "some **never come**",
        (..) => "wrong bytes",
    };
    let reserved = if aio_nr() - idle == 128 { "aio-nr as before" } else { "aio-nr **grows**" };
    (format!("{words}; {reserved}"), checkpoint)
}

/// Check that a container loses its reads without the hook, and none with it.
#[test]
fn runc() {
    if !is_ready("runc") {
        return;
    }
    if let Some(why) = Container::why_not().or_else(SlowDisk::why_not) {
        skip("runc", &why);
        return;
    }
    let _host = HostLock::take();
    let (alone, _) = seen(&Scripts::none());
    let (hooked, checkpoint) = seen(&hook());
    row(Table::Cases, &["a container of runc's with 32 reads in flight", &alone, &hooked]);
    assert!(alone.contains("never come"), "{alone}");
    assert_eq!(hooked, "all reaped, all right; aio-nr as before", "{}", checkpoint.log);
    assert_eq!(checkpoint.names()[..3], ["pre-dump", "network-lock", "post-dump"]);
}

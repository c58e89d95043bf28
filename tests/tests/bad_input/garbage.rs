//! Files that are no images and no evidence, or were once: every command that reads one says so and goes on to exist.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use aioinspect_tests::programs::{Output, run_aioinspect};

use crate::evidence::{Made, made};
use crate::refused::{can, no_panic, refused};
use crate::sandbox::names_in;

/// Gives the file to every command that reads one.
fn each_reader(path: &Path, mut look: impl FnMut(&str, &Output)) {
    let out = tempfile::tempdir().unwrap();
    let (file, dir) = (path.to_str().unwrap(), out.path().to_str().unwrap());
    let mut commands = vec![
        &["show", file][..],
        &["show", "-J", file],
        &["list", "--from", file],
        &["check", "--from", file],
        &["dump", "--from", file, "-D", dir],
    ];
    let on_two_cpus = ["check", file, "--restore-on", "cpus=2"];
    // What is not there is no file to `check` but a wrong PID.
    if path.exists() {
        commands.push(&on_two_cpus);
    }
    for args in commands {
        look(args[0], &run_aioinspect(args));
    }
    if names_in(out.path()).len() == 2 {
        let shown = run_aioinspect(&["show", dir]);
        assert_eq!(shown.code, 0, "dump wrote what show cannot read: {shown:?}");
    } else {
        assert_eq!(names_in(out.path()), [""; 0]);
    }
}

fn all_refuse(path: &Path, words: &[&str]) {
    each_reader(path, |_, output| refused(output, 1, words));
}

/// Check that nothing, garbage, and what is no file at all are refused by name.
#[test]
fn never_were_any() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let mut noise = vec![0_u8; 100_000];
    fs::File::open("/dev/urandom").unwrap().read_exact(&mut noise).unwrap();
    for garbage in [&b""[..], b"\0", b"garbage\n", &[0; 4096], &[0xff; 64], &noise] {
        fs::write(&path, garbage).unwrap();
        all_refuse(&path, &[path.to_str().unwrap()]);
    }
    all_refuse(&dir.path().join("missing"), &["no file"]);
    for device in ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty"] {
        all_refuse(Path::new(device), &[device]);
    }
    let deep = path.join("below");
    all_refuse(&deep, &[deep.to_str().unwrap()]);
    let looped = dir.path().join("loop");
    std::os::unix::fs::symlink("loop", &looped).unwrap();
    all_refuse(&looped, &[looped.to_str().unwrap()]);
}

/// Check that ten gigabytes are refused at once, not read.
#[test]
fn huge() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge");
    fs::File::create(&path).unwrap().set_len(10 << 30).unwrap();
    all_refuse(&path, &["huge", "more than 67108864 bytes"]);
    // The sizes inside are not believed either.
    let mut image = Vec::new();
    for word in [0x5456_4319_u32, 0x5749_2820, u32::MAX] {
        image.extend(word.to_le_bytes());
    }
    fs::write(&path, &image).unwrap();
    all_refuse(&path, &["huge"]);
}

/// Check that a pipe nobody writes to does not hang, and that one that holds a file is read.
#[test]
fn pipes() {
    if !can("pipes") {
        return;
    }
    let made = made();
    let fifo = made.dir.path().join("fifo");
    let permissions = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, permissions, 0).unwrap();
    all_refuse(&fifo, &["fifo"]);
    let bytes = fs::read(&made.evidence).unwrap();
    let shown = std::thread::scope(|scope| {
        // Both ends at once: the reader does not wait for a writer.
        let both = fs::File::options().read(true).write(true).open(&fifo).unwrap();
        let reader = scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(200));
            drop(both);
        });
        fs::write(&fifo, &bytes).unwrap();
        let shown = run_aioinspect(&["check", "--from", fifo.to_str().unwrap()]);
        reader.join().unwrap();
        shown
    });
    assert_eq!(shown.code, 0, "{shown:?}");
}

/// Check that a file cut short anywhere is refused as that: a part is never judged.
#[test]
fn truncated() {
    if !can("truncated") {
        return;
    }
    let Made { dir, image, evidence, .. } = made();
    let path = dir.path().join("cut");
    for whole in [&image, &evidence] {
        let bytes = fs::read(whole).unwrap();
        // Every length near both ends, where the framing is, and one in 97 between.
        let wanted = |len: &usize| *len < 20 || *len + 4 > bytes.len() || len.is_multiple_of(97);
        for len in (0..bytes.len()).filter(wanted) {
            fs::write(&path, &bytes[..len]).unwrap();
            all_refuse(&path, &["cut"]);
        }
        fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
        all_refuse(&path, &["cut"]);
    }
}

/// Check that files with flipped bits are refused or judged, and nothing worse; prints the seed.
#[test]
fn flipped_bits() {
    if !can("flipped_bits") {
        return;
    }
    let Made { dir, image, evidence, .. } = made();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let mut state = u64::try_from(seed & u128::from(u64::MAX)).unwrap() | 1;
    println!("seed {state}");
    let mut random = |below: usize| {
        // xorshift64: only has to hit everywhere.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let path = dir.path().join("flipped");
    let mut answers = [0_u32; 8];
    for whole in [&image, &evidence] {
        let bytes = fs::read(whole).unwrap();
        for _ in 0..60 {
            let mut wrong = bytes.clone();
            for _ in 0..=random(3) {
                wrong[random(bytes.len())] ^= 1 << random(8);
            }
            fs::write(&path, &wrong).unwrap();
            each_reader(&path, |verb, output| {
                no_panic(output);
                // Other numbers may be another PID, several processes, contexts that are not idle.
                assert!(![4, 6, 7].contains(&output.code), "{verb}: {output:?}");
                answers[usize::try_from(output.code).unwrap()] += 1;
            });
        }
    }
    println!("exit codes 0 to 7: {answers:?}");
}

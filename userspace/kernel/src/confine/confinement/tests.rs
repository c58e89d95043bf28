#![expect(unsafe_code, reason = "system calls are made that no safe function makes")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use tempfile::TempDir;

use crate::confine::confinement::*;

/// Both confine a thread and its children, so each test confines a thread of its own; the runner stays free.
fn confined<T: Send>(wanted: Confinement, test: impl FnOnce(Confined) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || test(confine(&wanted).unwrap()));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn errno_of(error: &std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

/// Denied by one of the two.
fn denied<T>(result: std::io::Result<T>) -> bool {
    result.is_err_and(|error| [libc::EPERM, libc::EACCES].contains(&errno_of(&error)))
}

/// Whether this kernel has Landlock, by the version it tells.
fn kernel_has_landlock() -> bool {
    // SAFETY: LANDLOCK_CREATE_RULESET_VERSION takes no pointer and creates nothing.
    unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0, 1) > 0 }
}

/// Check that what is told is so: nothing at all only where the kernel has nothing.
#[test]
fn the_reach_is_told() {
    let reach = confined(Confinement::default(), |confined| confined);
    assert!(reach.seccomp);
    assert_eq!(reach.landlock == Reach::None, !kernel_has_landlock());
    assert!(reach.to_string().starts_with("landlock "), "{reach}");
    assert!(reach.free_threads > 0, "the runner's threads are free");
    let alone = Confined { landlock: Reach::Full, seccomp: true, free_threads: 0 };
    assert_eq!(alone.to_string(), "landlock on; seccomp on");
}

/// Check what can be read: /proc of all, the host's numbers, the directories given, and nothing else.
#[test]
fn files_are_read_where_allowed() {
    let dir = TempDir::new().unwrap();
    let (given, other) = (dir.path().join("given"), dir.path().join("other"));
    for one in [&given, &other] {
        std::fs::create_dir(one).unwrap();
        std::fs::write(one.join("file"), "x").unwrap();
    }
    let absent = PathBuf::from("/nonexistent/oci");
    let wanted =
        Confinement { read_files: vec![given.clone()], oci_roots: vec![absent], ..Confinement::default() };
    confined(wanted, |confined| {
        for path in
            ["/proc/self/stat", "/proc/1/stat", "/proc/1/cgroup", "/proc/sys/fs/aio-nr", "/proc/loadavg"]
        {
            assert!(std::fs::read(path).is_ok_and(|text| !text.is_empty()), "{path}");
        }
        assert!(std::fs::read("/sys/devices/system/cpu/possible").is_ok());
        assert!(std::fs::read_dir("/proc").unwrap().count() > 10);
        assert_eq!(std::fs::read(given.join("file")).unwrap(), b"x");
        if confined.landlock != Reach::None {
            assert!(denied(std::fs::read("/etc/passwd")));
            assert!(denied(std::fs::read(other.join("file"))));
            assert!(denied(std::fs::read_dir("/")));
        }
    });
}

/// Check that nothing is written, made, changed or removed, even where reading is allowed, and with seccomp alone.
#[test]
fn nothing_is_written() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let wanted = Confinement { read_files: vec![dir.path().to_owned()], ..Confinement::default() };
    confined(wanted, |_| {
        assert!(denied(std::fs::write(&file, "y")));
        assert!(denied(std::fs::File::options().append(true).open(&file)));
        assert!(denied(std::fs::File::create_new(dir.path().join("new"))));
        assert!(denied(std::fs::create_dir(dir.path().join("dir"))));
        assert!(denied(std::os::unix::fs::symlink("/", dir.path().join("link"))));
        assert!(denied(std::fs::rename(&file, dir.path().join("moved"))));
        assert!(denied(std::fs::remove_file(&file)));
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        assert!(denied(std::fs::set_permissions(&file, mode)));
        assert!(denied(std::fs::write("/proc/self/comm", "y")));
        // Not even with a descriptor that is read-only and a kernel without Landlock.
        assert!(denied(rustix::fs::ftruncate(std::fs::File::open(&file).unwrap(), 0).map_err(Into::into)));
    });
    assert_eq!(std::fs::read(&file).unwrap(), b"x");
}

/// Check that the file of our own socket can be removed where it was said, and nothing else be done there.
#[test]
fn the_own_socket_is_removable() {
    let dir = TempDir::new().unwrap();
    let (own, other) = (dir.path().join("own"), TempDir::new().unwrap());
    std::fs::write(&own, "").unwrap();
    std::fs::write(other.path().join("file"), "").unwrap();
    let wanted = Confinement { unix_socket_dirs: vec![dir.path().to_owned()], ..Confinement::default() };
    confined(wanted, |confined| {
        assert!(std::fs::symlink_metadata(&own).is_ok());
        std::fs::remove_file(&own).unwrap();
        assert!(denied(std::fs::write(&own, "")));
        if confined.landlock != Reach::None {
            assert!(denied(std::fs::remove_file(other.path().join("file"))));
        }
    });
}

/// Check that a recording is made, renewed and cut to size where it was said, and that nothing else there is written to.
#[test]
fn a_recording_goes_on() {
    use crate::host::recording_files::{Inspected, Limits, RecordingFiles};
    let dir = TempDir::new().unwrap();
    let other = dir.path().join("other");
    std::fs::write(&other, "x").unwrap();
    let limits = Limits { bytes: 8 * 100, age_ns: u64::MAX };
    let path = dir.path().join("recording");
    let mut files = RecordingFiles::open(&path, limits, b"head", |_| Some(Inspected::default())).unwrap();
    let (directory, descriptor) = files.directory();
    let wanted =
        Confinement { recording: Some((directory.to_owned(), descriptor)), ..Confinement::default() };
    confined(wanted, |confined| {
        for second in 0..100 {
            files.make_room(50, second).unwrap();
            files.append(&[b'x'; 50], second).unwrap();
        }
        assert_eq!(files.bytes(), 8 * 54);
        assert!(denied(std::fs::write(&other, "y")));
        assert!(denied(std::fs::File::options().append(true).open(&other)));
        assert!(denied(std::fs::File::create_new(dir.path().join("new"))));
        assert!(denied(std::fs::rename(&other, dir.path().join("moved"))));
        if confined.landlock != Reach::None {
            assert!(denied(std::fs::File::create_new("/tmp/not-of-the-recording")));
        }
    });
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 9);
    assert_eq!(std::fs::read(&other).unwrap(), b"x");
}

/// Check that nothing runs, and no memory becomes code.
#[test]
fn nothing_is_executed() {
    confined(Confinement::default(), |_| {
        assert!(denied(Command::new("/bin/true").spawn()));
        assert!(denied(Command::new("/proc/self/exe").arg("--help").spawn()));
        // SAFETY: a child of a fork that is refused does not exist.
        assert_eq!(unsafe { libc::fork() }, -1);
        // SAFETY: asks for new memory; no memory of ours changes.
        let code = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            libc::mmap(std::ptr::null_mut(), 4096, libc::PROT_READ | libc::PROT_EXEC, flags, -1, 0)
        };
        assert_eq!(code, libc::MAP_FAILED);
    });
}

/// Check that listening sockets go on to serve, while new ones and connections are refused.
#[test]
fn sockets_that_listen_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (manager, to_manager) = UnixDatagram::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let mut client = TcpStream::connect(address).unwrap();
            client.write_all(b"ping").unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).unwrap();
            assert_eq!(answer, "pong");
        });
        confined(Confinement::default(), |_| {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            let mut asked = [0; 4];
            stream.read_exact(&mut asked).unwrap();
            stream.write_all(b"pong").unwrap();
            to_manager.send(b"READY=1").unwrap();
            assert!(denied(TcpListener::bind("127.0.0.1:0")));
            assert!(denied(TcpStream::connect(address)));
            assert!(denied(std::net::UdpSocket::bind("127.0.0.1:0")));
            assert!(denied(std::os::unix::net::UnixStream::connect("/run/x")));
        });
    });
    assert_eq!(manager.recv(&mut [0; 16]).unwrap(), 7);
}

/// Check that a runtime can be made and serve, on threads that are confined as well.
#[test]
fn tokio_runs() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let client = std::thread::spawn(move || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    });
    confined(Confinement::default(), |confined| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let _terminate =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::window_change()).unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let byte = stream.read_u8().await.unwrap();
            stream.write_u8(byte).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            let there = tokio::task::spawn_blocking(|| std::fs::read("/etc/passwd")).await.unwrap();
            assert!(denied(there) || confined.landlock == Reach::None);
            let digest = tokio::task::spawn_blocking(|| bcrypt::hash("x", 4)).await.unwrap();
            assert!(digest.is_ok());
        });
    });
    client.join().unwrap();
}

/// Check that threads are made and named, that panics are caught, and that a terminal is asked only where it is wanted.
#[test]
fn threads_and_terminals() {
    let inside = |confined: Confined| {
        assert!(confined.seccomp);
        let thread = std::thread::Builder::new().name("inside".to_owned());
        assert_eq!(thread.spawn(|| 1).unwrap().join().unwrap(), 1);
        assert!(std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(1))).is_err());
        assert!(std::thread::available_parallelism().is_ok());
        // SAFETY: signal 0 is only asked about.
        let asked = unsafe { libc::kill(libc::getpid(), 0) };
        // SAFETY: the same, of another process.
        assert_eq!(unsafe { libc::kill(1, 0) }, -1);
        let null = std::fs::File::open("/proc/self/stat").unwrap();
        (asked, rustix::termios::tcgetwinsize(&null).unwrap_err())
    };
    assert_eq!(confined(Confinement::default(), inside), (-1, rustix::io::Errno::PERM));
    let wanted = Confinement { terminal: true, ..Confinement::default() };
    assert_eq!(confined(wanted, inside), (0, rustix::io::Errno::NOTTY));
}

/// Check that calls that reach into others, or deeper into the kernel, are refused.
#[test]
fn the_rest_is_refused() {
    confined(Confinement::default(), |_| {
        for call in [
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_kcmp,
            libc::SYS_pidfd_open,
            libc::SYS_io_uring_setup,
            libc::SYS_perf_event_open,
            libc::SYS_mount,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_init_module,
            libc::SYS_memfd_create,
            libc::SYS_userfaultfd,
            libc::SYS_add_key,
            libc::SYS_setuid,
            libc::SYS_seccomp,
            libc::SYS_openat2,
            libc::SYS_execve,
            libc::SYS_io_setup,
            // BPF_MAP_CREATE.
            libc::SYS_bpf,
        ] {
            // SAFETY: arguments of zero; none of these calls writes to memory at address 0.
            let answer = unsafe { libc::syscall(call, 0, 0, 0, 0, 0, 0) };
            assert!(answer == -1 && errno_of(&std::io::Error::last_os_error()) == libc::EPERM, "{call}");
        }
        // SAFETY: BPF_ITER_CREATE with an empty attribute reaches the kernel's own checks.
        let answer = unsafe { libc::syscall(libc::SYS_bpf, 33, 0, 0) };
        let errno = errno_of(&std::io::Error::last_os_error());
        assert!(answer == -1 && [libc::EINVAL, libc::EPERM, libc::EFAULT].contains(&errno), "{errno}");
        // SAFETY: size 0 is too little for clone3, were it asked.
        assert_eq!(unsafe { libc::syscall(libc::SYS_clone3, 0, 0) }, -1);
        assert_eq!(errno_of(&std::io::Error::last_os_error()), libc::ENOSYS);
    });
}

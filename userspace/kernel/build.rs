//! Embeds the eBPF objects in the directory named by AIOINSPECT_EBPF_OBJECTS; without it, empty ones, so that the pure half builds on any
//! stable toolchain.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=AIOINSPECT_EBPF_OBJECTS");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    let objects = env::var_os("AIOINSPECT_EBPF_OBJECTS").map(PathBuf::from);
    for name in ["aioinspect.bpf.o", "aioinspect-trace.bpf.o", "aioinspect-submit.bpf.o"] {
        let object = match &objects {
            Some(objects) => {
                let path = objects.join(name);
                println!("cargo::rerun-if-changed={}", path.display());
                fs::read(&path).map_err(|e| {
                    io::Error::other(format!("AIOINSPECT_EBPF_OBJECTS {}: {e}", path.display()))
                })?
            }
            None => Vec::new(),
        };
        fs::write(out.join(name), object)?;
    }
    Ok(())
}

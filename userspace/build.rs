//! Embeds the eBPF object named by AIOINSPECT_EBPF_OBJECT; without it, an empty one, so that the pure half builds on any stable toolchain.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=AIOINSPECT_EBPF_OBJECT");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or_else(|| io::Error::other("OUT_DIR is not set"))?);
    let object = match env::var_os("AIOINSPECT_EBPF_OBJECT") {
        Some(path) => {
            println!("cargo::rerun-if-changed={}", path.display());
            fs::read(&path)
                .map_err(|e| io::Error::other(format!("AIOINSPECT_EBPF_OBJECT {}: {e}", path.display())))?
        }
        None => Vec::new(),
    };
    fs::write(out.join("aioinspect.bpf.o"), object)
}

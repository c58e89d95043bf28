//! `--restore-on`: the host that is to restore, in the user's words.

use aioinspect_model::architecture::Architecture;
use aioinspect_model::restore_fit::{HostKind, RestoreHost};

const FORM: &str = "expected cpus=N[,free=M][,arch=NAME][,page=BYTES] with N from 1 to 8192, M a number of slots, \
                    NAME x86_64 or aarch64, BYTES 4096, 16384 or 65536";

/// `cpus=N[,free=M][,arch=NAME][,page=BYTES]`, or `N` for the first; N within the kernel's NR_CPUS limit.
pub(super) fn restore_on(text: &str) -> Result<RestoreHost, String> {
    let (mut cpus, mut free, mut kind) = (None, None, HostKind::default());
    for part in text.split(',') {
        let taken = match part.split_once('=') {
            Some(("cpus", number)) => set(&mut cpus, number),
            Some(("free", number)) => set(&mut free, number),
            Some(("page", number)) => set(&mut kind.page_size, number),
            Some(("arch", name)) if kind.architecture.is_none() => {
                kind.architecture = Architecture::of_name(name);
                kind.architecture.map(|_| ())
            }
            Some(_) => None,
            None => set(&mut cpus, part),
        };
        taken.ok_or(FORM)?;
    }
    let possible_cpus = cpus.filter(|cpus| (1..=8192).contains(cpus)).ok_or(FORM)?;
    let is_size = |size: u32| match kind.architecture {
        Some(architecture) => architecture.page_sizes().contains(&size),
        None => Architecture::ALL.into_iter().any(|one| one.page_sizes().contains(&size)),
    };
    if !kind.page_size.is_none_or(is_size) {
        return Err(FORM.to_owned());
    }
    Ok(RestoreHost { possible_cpus, free, kind })
}

/// Puts a number where none was yet.
fn set<T: std::str::FromStr>(place: &mut Option<T>, text: &str) -> Option<()> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if place.is_some() || !digits {
        return None;
    }
    *place = Some(text.parse().ok()?);
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let of_kind = |architecture, page_size| {
            let kind = HostKind { architecture, page_size };
            Ok(RestoreHost { possible_cpus: 64, free: None, kind })
        };
        let arm = Some(Architecture::Aarch64);
        assert_eq!(restore_on("64,arch=aarch64,page=16384"), of_kind(arm, Some(16384)));
        assert_eq!(restore_on("page=4096,cpus=64"), of_kind(None, Some(4096)));
        assert_eq!(restore_on("arch=x86_64,64"), of_kind(Some(Architecture::X86_64), None));
        let host = |possible_cpus, free| Ok(RestoreHost { possible_cpus, free, kind: HostKind::default() });
        assert_eq!(restore_on("cpus=64"), host(64, None));
        assert_eq!(restore_on("64"), host(64, None));
        assert_eq!(restore_on("cpus=64,free=0"), host(64, Some(0)));
        assert_eq!(restore_on("free=65536,cpus=1"), host(1, Some(65536)));
        for wrong in [
            "",
            "x",
            "0",
            "-1",
            "+4",
            "8193",
            "cpus=",
            "cpus=0",
            "cpus=99999",
            "cpus=1,",
            "free=1",
            "cpus=1,cpus=2",
            "cpus=1,free=-1",
            "cpus=1,free=",
            "cpus=1 ,free=1",
            "threads=4",
            "64,arch=arm64",
            "64,arch=",
            "64,arch=aarch64,arch=aarch64",
            "64,page=0",
            "64,page=8192",
            "64,arch=x86_64,page=16384",
            "64,page=4096,page=4096",
            "arch=aarch64",
            "64,free=18446744073709551616",
        ] {
            assert_eq!(restore_on(wrong), Err(FORM.to_owned()), "{wrong}");
        }
    }
}

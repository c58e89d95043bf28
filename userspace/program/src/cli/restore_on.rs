//! `--restore-on`: the host that is to restore, in the user's words.

use aioinspect_model::restore_fit::RestoreHost;

const FORM: &str = "expected cpus=N[,free=M] with N from 1 to 8192, M a number of slots";

/// `cpus=N[,free=M]`, or only `N`; N within the kernel's NR_CPUS limit.
pub(super) fn restore_on(text: &str) -> Result<RestoreHost, String> {
    let (mut cpus, mut free) = (None, None);
    for part in text.split(',') {
        let taken = match part.split_once('=') {
            Some(("cpus", number)) => set(&mut cpus, number),
            Some(("free", number)) => set(&mut free, number),
            Some(_) => None,
            None => set(&mut cpus, part),
        };
        taken.ok_or(FORM)?;
    }
    let possible_cpus = cpus.filter(|cpus| (1..=8192).contains(cpus)).ok_or(FORM)?;
    Ok(RestoreHost { possible_cpus, free })
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
        let host = |possible_cpus, free| Ok(RestoreHost { possible_cpus, free });
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
            "64,free=18446744073709551616",
        ] {
            assert_eq!(restore_on(wrong), Err(FORM.to_owned()), "{wrong}");
        }
    }
}

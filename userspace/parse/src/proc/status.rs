//! `/proc/PID/status`: a line for each fact, `Key:` and values (fs/proc/array.c:proc_pid_status).
//!
//! The name comes first and may be chosen by the process, but the kernel escapes line feeds in it, so that it cannot
//! make a line of its own.

use aioinspect_model::units::{Pid, Tid};

/// A key whose value cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("process status has an unreadable {key}: {value:?}")]
pub struct StatusError {
    /// The key, such as `TracerPid`.
    pub key: &'static str,
    /// How its value begins.
    pub value: String,
}

/// What this program needs of `/proc/PID/status`; `None`: this kernel does not say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Status {
    /// `State`, its letter.
    pub state: Option<u8>,
    /// `Tgid`: the process a thread belongs to.
    pub tgid: Option<Pid>,
    /// `PPid`: its parent, 0 for none that the reader can see.
    pub parent: Option<Pid>,
    /// `TracerPid`: the thread that traces it, 0 for none.
    pub tracer: Option<Tid>,
    /// `NStgid`: the id of that process in each PID namespace, from the reader's inwards.
    pub ns_pids: Vec<Pid>,
    /// `Uid`: real, effective, saved, file system.
    pub uids: Option<[u32; 4]>,
    /// `SigBlk`: signals that the thread blocks, a bit each from signal 1 on.
    pub sig_blk: Option<u64>,
    /// `CapPrm`: permitted capabilities, a bit each.
    pub cap_prm: Option<u64>,
    /// `CapEff`: effective capabilities, a bit each.
    pub cap_eff: Option<u64>,
    /// `THP_enabled`: 0 where PR_SET_THP_DISABLE forbids huge pages; since v5.0, and only of processes with memory.
    pub thp_enabled: Option<bool>,
}

impl Status {
    /// Reads the text. Keys that are not needed are passed over, in any number and order.
    pub fn parse(text: &[u8]) -> Result<Self, StatusError> {
        let mut status = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (Some(key), Some(value)) = (line.get(..colon), line.get(colon + 1..)) else { continue };
            status.set(key, value)?;
        }
        Ok(status)
    }

    /// Takes one line in.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), StatusError> {
        match key {
            b"State" => {
                let letter = value.trim_ascii().first().copied();
                self.state = Some(letter.ok_or_else(|| bad("State", value))?);
            }
            b"Tgid" => self.tgid = Some(Pid(number("Tgid", value)?)),
            b"PPid" => self.parent = Some(Pid(number("PPid", value)?)),
            b"TracerPid" => self.tracer = Some(Tid(number("TracerPid", value)?)),
            b"NStgid" => self.ns_pids = numbers("NStgid", value)?.into_iter().map(Pid).collect(),
            b"Uid" => {
                let uids = numbers("Uid", value)?;
                self.uids = Some(uids.try_into().map_err(|_| bad("Uid", value))?);
            }
            b"SigBlk" => self.sig_blk = Some(mask("SigBlk", value)?),
            b"CapPrm" => self.cap_prm = Some(mask("CapPrm", value)?),
            b"CapEff" => self.cap_eff = Some(mask("CapEff", value)?),
            b"THP_enabled" => self.thp_enabled = Some(flag("THP_enabled", value)?),
            _ => {}
        }
        Ok(())
    }
}

fn bad(key: &'static str, value: &[u8]) -> StatusError {
    StatusError { key, value: String::from_utf8_lossy(value.get(..40).unwrap_or(value)).trim().to_owned() }
}

/// Decimal numbers between blanks; one at least.
fn numbers(key: &'static str, value: &[u8]) -> Result<Vec<u32>, StatusError> {
    let words = value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let read = |word: &[u8]| {
        let digits = word.iter().all(u8::is_ascii_digit).then_some(word)?;
        str::from_utf8(digits).ok()?.parse().ok()
    };
    let numbers: Option<Vec<u32>> = words.map(read).collect();
    numbers.filter(|numbers| !numbers.is_empty()).ok_or_else(|| bad(key, value))
}

fn number(key: &'static str, value: &[u8]) -> Result<u32, StatusError> {
    match numbers(key, value)?.as_slice() {
        [one] => Ok(*one),
        _ => Err(bad(key, value)),
    }
}

/// A set of bits in hexadecimal digits.
fn mask(key: &'static str, value: &[u8]) -> Result<u64, StatusError> {
    let digits = str::from_utf8(value.trim_ascii()).ok().filter(|text| !text.starts_with('+'));
    digits.and_then(|text| u64::from_str_radix(text, 16).ok()).ok_or_else(|| bad(key, value))
}

fn flag(key: &'static str, value: &[u8]) -> Result<bool, StatusError> {
    match number(key, value)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(bad(key, value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: &str = "Name:\ta\\nTgid:\t9\nUmask:\t0022\nState:\tt (tracing stop)\nTgid:\t42\nPid:\t43\nPPid:\t0\n\
        TracerPid:\t7\nUid:\t0\t1\t2\t4294967295\nNStgid:\t42\t2\t1\nNSpid:\t43\t3\t2\nKthread:\t0\nThreads:\t3\n\
        SigBlk:\t0000000000010000\nCapPrm:\t00000000000000f0\nCapEff:\t000001ffffffffff\nTHP_enabled:\t0\nuntagged_mask:\t0xffffffffffffffff\n";

    /// Check every key, and that a name cannot pose as one.
    #[test]
    fn keys() {
        let status = Status::parse(TEXT.as_bytes()).unwrap();
        let expected = Status {
            state: Some(b't'),
            tgid: Some(Pid(42)),
            parent: Some(Pid(0)),
            tracer: Some(Tid(7)),
            ns_pids: vec![Pid(42), Pid(2), Pid(1)],
            uids: Some([0, 1, 2, u32::MAX]),
            sig_blk: Some(0x10000),
            cap_prm: Some(0xf0),
            cap_eff: Some(0x1ff_ffff_ffff),
            thp_enabled: Some(false),
        };
        assert_eq!(status, expected);
        assert_eq!(Status::parse(b"Name:\tx\n"), Ok(Status::default()));
    }

    /// Check that a value that cannot be read is named.
    #[test]
    fn unreadable_values() {
        for (line, key) in [
            ("Tgid:\t-1", "Tgid"),
            ("Tgid:\t1 2", "Tgid"),
            ("TracerPid:\tx", "TracerPid"),
            ("NStgid:\t4294967296", "NStgid"),
            ("NStgid:\t", "NStgid"),
            ("Uid:\t1 2 3", "Uid"),
            ("CapEff:\t+1", "CapEff"),
            ("CapPrm:\tx", "CapPrm"),
            ("THP_enabled:\t2", "THP_enabled"),
            ("State:\t", "State"),
        ] {
            assert_eq!(Status::parse(line.as_bytes()).unwrap_err().key, key, "{line}");
        }
    }

    /// Check this process's own.
    #[test]
    fn own() {
        let status = Status::parse(&std::fs::read("/proc/self/status").unwrap()).unwrap();
        assert_eq!(status.tgid, Some(Pid(std::process::id())));
        assert!(status.uids.is_some() && status.cap_eff.is_some());
    }

    proptest! {
        /// Check that no text makes it panic.
        #[test]
        fn any_text(bytes: Vec<u8>, text in "((Tgid|NStgid|Uid|CapEff|THP_enabled|State):[ \t]?[-+0-9a-f ]{0,8}\n){0,6}") {
            let _ = (Status::parse(&bytes), Status::parse(text.as_bytes()));
        }
    }
}

//! `/proc/PID/stat`: one line of numbered fields, the second being a name of any bytes (fs/proc/array.c:do_task_stat).

use aioinspect_model::evidence::MmLayout;
use aioinspect_model::units::Pid;

/// `PF_EXITING` of `task_struct.flags` (include/linux/sched.h).
const PF_EXITING: u32 = 0x4;
/// `PF_KTHREAD`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `PF_IO_WORKER` and `PF_USER_WORKER`.
const PF_WORKERS: u32 = 0x10 | 0x4000;

/// Why a text is no `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StatError {
    /// No `PID (name) ` at its start.
    #[error("process status does not begin with a pid and a name")]
    NoName,
    /// A field is missing or is no number.
    #[error("field {field} of the process status is missing or is not a number")]
    Field {
        /// Its number in proc(5).
        field: usize,
    },
}

/// What this program needs of `/proc/PID/stat`. Field numbers are those of proc(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 1.
    pub pid: Pid,
    /// Field 2, without its parentheses.
    pub comm: Vec<u8>,
    /// Fields 3 and 9: what it does.
    pub state: TaskState,
    /// Field 22: start of the process after boot, in clock ticks.
    pub start_ticks: u64,
    /// Fields 26 to 28 and 45 to 51; see `layout_hidden`.
    pub layout: MmLayout,
}

impl Stat {
    /// Reads the line.
    pub fn parse(text: &[u8]) -> Result<Self, StatError> {
        // The name may hold parentheses, blanks and line feeds; no later field holds a parenthesis.
        let open = text.iter().position(|byte| *byte == b'(').ok_or(StatError::NoName)?;
        let close = text.iter().rposition(|byte| *byte == b')').ok_or(StatError::NoName)?;
        let pid = text.get(..open).map(<[u8]>::trim_ascii_end).and_then(number).ok_or(StatError::NoName)?;
        let comm = text.get(open + 1..close).ok_or(StatError::NoName)?;
        let rest = text.get(close + 1..).unwrap_or_default();
        let fields: Vec<&[u8]> =
            rest.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).take(50).collect();
        let raw = |field: usize| {
            let index = field.checked_sub(3);
            index.and_then(|index| fields.get(index)).copied().ok_or(StatError::Field { field })
        };
        let wide = |field| raw(field).and_then(|text| number(text).ok_or(StatError::Field { field }));
        let letter = match raw(3)? {
            [letter] => char::from(*letter),
            _ => return Err(StatError::Field { field: 3 }),
        };
        let flags = u32::try_from(wide(9)?).map_err(|_| StatError::Field { field: 9 })?;
        Ok(Self {
            pid: Pid(u32::try_from(pid).map_err(|_| StatError::NoName)?),
            comm: comm.to_vec(),
            state: TaskState { letter, flags },
            start_ticks: wide(22)?,
            layout: MmLayout {
                start_code: wide(26)?,
                end_code: wide(27)?,
                start_stack: wide(28)?,
                start_data: wide(45)?,
                end_data: wide(46)?,
                start_brk: wide(47)?,
                arg_start: wide(48)?,
                arg_end: wide(49)?,
                env_start: wide(50)?,
                env_end: wide(51)?,
            },
        })
    }

    /// Whether the kernel hid the layout, since the reader may not trace the process: it then says 1 for both ends of the code.
    pub fn layout_hidden(&self) -> bool {
        self.layout.start_code == 1 && self.layout.end_code == 1
    }
}

/// What a task does, as its state and its flags say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// `R`, `S`, `D`, `T`, `t`, `Z`, `X`, `I`, `P`.
    pub letter: char,
    /// `task_struct.flags`, `PF_*`.
    flags: u32,
}

impl TaskState {
    /// Whether it has exited (and may not have been waited for yet).
    pub fn is_dead(self) -> bool {
        matches!(self.letter, 'Z' | 'X' | 'x')
    }

    /// Whether it has exited or is about to: it has no address space any more, or soon.
    pub fn is_ending(self) -> bool {
        self.is_dead() || self.flags & PF_EXITING != 0
    }

    /// Whether it is a thread of the kernel's that lives in a process (io_uring, vhost): it never runs the process's code, and cannot
    /// be traced.
    pub fn is_worker(self) -> bool {
        self.flags & PF_WORKERS != 0
    }

    /// Whether it is a thread of the kernel, which has no memory of its own.
    pub fn is_kernel_thread(self) -> bool {
        self.flags & PF_KTHREAD != 0
    }
}

/// Decimal digits, one at least, as a number.
fn number(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line whose field N is 1000 + N, but for the first four and the flags.
    fn line(comm: &[u8], flags: &str) -> Vec<u8> {
        let mut text = [b"7 (".as_slice(), comm, b") S 1"].concat();
        for field in 5..=52 {
            let value = if field == 9 { flags.to_owned() } else { (1000 + field).to_string() };
            text.extend_from_slice(format!(" {value}").as_bytes());
        }
        text.push(b'\n');
        text
    }

    /// Check that each number comes from the field it is named after, with a tty_nr below zero before it.
    #[test]
    fn fields() {
        let stat = Stat::parse(&line(b"x", "4194560")).unwrap();
        assert_eq!((stat.pid, stat.start_ticks), (Pid(7), 1022));
        assert_eq!(stat.state, TaskState { letter: 'S', flags: 4_194_560 });
        let MmLayout { start_code, end_code, start_stack, start_data, end_data, .. } = stat.layout;
        assert_eq!([start_code, end_code, start_stack, start_data, end_data], [1026, 1027, 1028, 1045, 1046]);
        let MmLayout { start_brk, arg_start, arg_end, env_start, env_end, .. } = stat.layout;
        assert_eq!([start_brk, arg_start, arg_end, env_start, env_end], [1047, 1048, 1049, 1050, 1051]);
        assert!(!stat.layout_hidden());
    }

    /// Check what the state and each flag make of a task.
    #[test]
    fn states() {
        let of = |letter, flags| {
            let it = TaskState { letter, flags };
            [it.is_dead(), it.is_ending(), it.is_worker(), it.is_kernel_thread()]
        };
        assert_eq!(of('S', 0x0040_0000), [false; 4]);
        assert_eq!(of('Z', 0), [true, true, false, false]);
        assert_eq!(of('X', 0), [true, true, false, false]);
        assert_eq!(of('R', PF_EXITING), [false, true, false, false]);
        assert_eq!(of('S', 0x10), [false, false, true, false]);
        assert_eq!(of('S', 0x4000), [false, false, true, false]);
        assert_eq!(of('I', 0x0020_8040), [false, false, false, true]);
    }

    /// Check names made to mislead.
    #[test]
    fn names_of_any_bytes() {
        for comm in [b"".as_slice(), b") R 1 (", b"a) Z 1\n2 (b", b"\xff((", b")))", b"a b"] {
            let stat = Stat::parse(&line(comm, "0")).unwrap();
            assert_eq!((stat.comm.as_slice(), stat.state.letter), (comm, 'S'));
        }
    }

    /// Check that what is missing is named by its number.
    #[test]
    fn missing_fields() {
        assert_eq!(Stat::parse(b""), Err(StatError::NoName));
        assert_eq!(Stat::parse(b"7 )x("), Err(StatError::NoName));
        assert_eq!(Stat::parse(b"x (y) S"), Err(StatError::NoName));
        assert_eq!(Stat::parse(b"7 (y)"), Err(StatError::Field { field: 3 }));
        assert_eq!(Stat::parse(b"7 (y) S"), Err(StatError::Field { field: 9 }));
        assert_eq!(Stat::parse(&line(b"x", "-1")), Err(StatError::Field { field: 9 }));
        assert_eq!(Stat::parse(&line(b"x", "4294967296")), Err(StatError::Field { field: 9 }));
    }

    /// Check this process's own.
    #[test]
    fn own() {
        let stat = Stat::parse(&std::fs::read("/proc/self/stat").unwrap()).unwrap();
        assert_eq!(stat.pid, Pid(std::process::id()));
        assert!(stat.layout.start_code < stat.layout.end_code && stat.layout.arg_start < stat.layout.arg_end);
    }

    proptest! {
        /// Check that no text makes it panic and any name survives.
        #[test]
        fn any_text(bytes: Vec<u8>, comm in proptest::collection::vec(1_u8.., 0..15)) {
            let _ = Stat::parse(&bytes);
            prop_assert_eq!(Stat::parse(&line(&comm, "0")).unwrap().comm, comm);
        }
    }
}

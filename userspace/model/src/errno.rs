//! The names of error numbers, as include/uapi/asm-generic/errno-base.h and errno.h give them.

use std::borrow::Cow;

use nix::errno::Errno;

/// The name of an error number, as in `EAGAIN`; the number itself where it has none.
pub fn name(errno: i32) -> Cow<'static, str> {
    let known = Errno::from_raw(errno);
    let has_name = known != Errno::UnknownErrno;
    Cow::Owned(if has_name { format!("{known:?}") } else { errno.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check the errors of io_setup, both ends of the list, its holes, and numbers beside it.
    #[test]
    fn names() {
        let table = [
            (1, "EPERM"),
            (4, "EINTR"),
            (11, "EAGAIN"),
            (12, "ENOMEM"),
            (13, "EACCES"),
            (14, "EFAULT"),
            (22, "EINVAL"),
            (38, "ENOSYS"),
            (42, "ENOMSG"),
            (59, "EBFONT"),
            (110, "ETIMEDOUT"),
            (133, "EHWPOISON"),
        ];
        for (errno, expected) in table {
            assert_eq!(name(errno), expected);
        }
        for errno in [0, 41, 58, 134, 512, -1, i32::MIN, i32::MAX] {
            assert_eq!(name(errno), errno.to_string());
        }
    }
}

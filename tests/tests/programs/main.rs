//! Programs nobody here wrote: fio and MariaDB, as Debian packages them, on a real disk.
//!
//! Needs root and the packages fio, mariadb-server and mariadb-client; what is missing is skipped and said. Each program is a child
//! of the test, with all its files in a directory of its own, and gone when the test ends.

#![expect(unsafe_code, reason = "a child asks, between fork and exec, to die with us")]

mod asked;
mod fio;
mod fio_job;
mod mariadb;
mod scratch;
mod server;

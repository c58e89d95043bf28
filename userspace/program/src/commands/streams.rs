//! Where results and messages go: a reader that has had enough ends the talking, never the work or its exit code.

use std::io::{self, Write};

/// A stream whose reader may go away (`| head -1`). What follows is dropped, so that `check` in such a pipe still answers
/// with its verdict and `dump` still writes its files.
#[derive(Debug)]
pub struct Stream<W> {
    inner: W,
    name: &'static str,
    /// Whether a failure to write is nobody's business: nobody is left to tell.
    mute: bool,
    gone: bool,
}

impl<W: Write> Stream<W> {
    /// For results: that they cannot be written is an error that names the stream.
    pub fn results(inner: W) -> Self {
        Self { inner, name: "standard output", mute: false, gone: false }
    }

    /// For messages.
    pub fn messages(inner: W) -> Self {
        Self { inner, name: "standard error", mute: true, gone: false }
    }

    /// Does it, unless there is nobody to do it for; `otherwise` is the answer then.
    fn attempt<T>(&mut self, otherwise: T, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.gone {
            return Ok(otherwise);
        }
        match act(&mut self.inner) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) if self.mute || error.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(otherwise)
            }
            Err(error) => {
                Err(io::Error::new(error.kind(), format!("cannot write to {}: {error}", self.name)))
            }
            done => done,
        }
    }
}

impl<W: Write> Write for Stream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.attempt(bytes.len(), |inner| inner.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.attempt((), Write::flush)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails each time, in the same way.
    struct Failing(io::ErrorKind, usize);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Check that a reader's end is no error and is met once, and that any other failure of results names the stream.
    #[test]
    fn only_results_can_fail() {
        let mut results = Stream::results(Failing(io::ErrorKind::BrokenPipe, 0));
        results.write_all(b"one").unwrap();
        results.write_all(b"two").unwrap();
        results.flush().unwrap();
        assert_eq!(results.inner.1, 1);

        let error = Stream::results(Failing(io::ErrorKind::StorageFull, 0)).write_all(b"one").unwrap_err();
        assert_eq!(error.to_string(), "cannot write to standard output: no storage space");
        Stream::messages(Failing(io::ErrorKind::StorageFull, 0)).write_all(b"one").unwrap();
    }
}

//! Bodies of answers that are not simply there: a stream, and a large text that counts against what all clients together may hold.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

/// Chunks that wait for a slow client.
const WAITING: usize = 4;
/// Bytes of a large text that are handed on at a time.
const CHUNK: usize = 1 << 16;

/// The writing end of a stream.
#[derive(Debug)]
pub struct Sender(mpsc::Sender<Bytes>);

impl Sender {
    /// Waits until there is room; false when the client is gone.
    pub async fn send(&self, bytes: Bytes) -> bool {
        self.0.send(bytes).await.is_ok()
    }

    /// Ends when the client is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// A body that goes on for as long as somebody writes it. `kept` lives as long as it does.
pub(super) struct StreamBody<T> {
    chunks: mpsc::Receiver<Bytes>,
    _kept: T,
}

/// A stream and its writing end.
pub(super) fn stream<T>(kept: T) -> (Sender, StreamBody<T>) {
    let (sender, chunks) = mpsc::channel(WAITING);
    (Sender(sender), StreamBody { chunks, _kept: kept })
}

impl<T: Unpin> Body for StreamBody<T> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.chunks.poll_recv(context).map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

/// A text that is handed on piece by piece.
pub(super) struct LargeBody {
    rest: Bytes,
}

/// What keeps the permit for as long as any piece of the text is somewhere on its way: each of them keeps all of the text.
struct Held {
    text: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

impl LargeBody {
    /// The whole text; the permit is given back when the last of it was written.
    pub(super) fn new(text: Bytes, permit: OwnedSemaphorePermit) -> Self {
        Self { rest: Bytes::from_owner(Held { text, _permit: permit }) }
    }
}

impl Body for LargeBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let some = self.rest.len().min(CHUNK);
        let chunk = self.rest.split_to(some);
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;

    use super::*;

    /// Check that the permit comes back with the last piece of the text, not when that piece is handed on.
    #[test]
    fn pieces_keep_the_permit() {
        let held = Arc::new(Semaphore::new(4));
        let permit = Arc::clone(&held).try_acquire_many_owned(4).unwrap();
        let mut body = LargeBody::new(Bytes::from(vec![b'x'; CHUNK + 1]), permit);
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut piece = || match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap(),
            Poll::Ready(_) | Poll::Pending => panic!("no piece"),
        };
        let (first, last) = (piece(), piece());
        assert_eq!((first.len(), last.len()), (CHUNK, 1));
        assert!(body.is_end_stream());
        drop((body, first));
        assert_eq!(held.available_permits(), 0);
        drop(last);
        assert_eq!(held.available_permits(), 4);
    }
}

//! Connections: accepted up to a number, served over HTTP/1.1, given up on when they are too slow.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_io_timeout::TimeoutStream;

use crate::http::guard::Access;
use crate::http::questions::Site;
use crate::http::routes::router;
use crate::sockets::Listener;
use crate::tls::Tls;

/// What one client, and all together, may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time; more are closed at once, so that the ones behind them are not kept waiting.
    pub connections: usize,
    /// For how long a request may be on its way, and a connection idle: longer than Prometheus' usual interval.
    pub header: Duration,
    /// For how long a client may take nothing of an answer.
    pub stall: Duration,
    /// Headers of a request.
    pub headers: usize,
    /// Bytes of a request's head.
    pub head_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            header: Duration::from_secs(30),
            stall: Duration::from_secs(20),
            headers: 64,
            head_bytes: 16 << 10,
        }
    }
}

/// A server that is ready to accept.
pub struct Server {
    router: Router,
    tls: Option<Arc<Tls>>,
    limits: Limits,
    room: Arc<Semaphore>,
}

impl Server {
    /// Puts it together; nothing is accepted yet.
    pub fn new(site: Arc<Site>, access: Access, tls: Option<Tls>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            router: router(site, Arc::new(access)),
            tls: tls.map(Arc::new),
            limits,
            room: Arc::new(Semaphore::new(limits.connections)),
        })
    }

    /// Accepts on this socket for as long as the runtime lives.
    pub fn serve(self: &Arc<Self>, listener: Listener) {
        let server = Arc::clone(self);
        tokio::spawn(async move {
            loop {
                let taken = match &listener {
                    Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| server.take(stream)),
                    Listener::Unix(listener, _) => {
                        listener.accept().await.map(|(stream, _)| server.take(stream))
                    }
                };
                match taken {
                    Ok(()) => {}
                    // What concerns one connection is over with it; for want of descriptors or memory, others must end first.
                    Err(error) if is_of_connection(&error) => {}
                    Err(error) => {
                        log::warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                }
            }
        });
    }

    fn take(self: &Arc<Self>, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        // Without room the connection is closed by being dropped.
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else { return };
        let server = Arc::clone(self);
        tokio::spawn(async move { server.connection(stream, place).await });
    }

    async fn connection<S>(&self, stream: S, _place: OwnedSemaphorePermit)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = with_write_timeout(stream, self.limits.stall);
        let Some(tls) = &self.tls else { return self.requests(stream).await };
        let (acceptor, note) = tls.current();
        if let Some(note) = note {
            log::warn!("{note}");
        }
        // A client that does not finish the handshake is no better than one that does not finish its request.
        if let Ok(Ok(stream)) = tokio::time::timeout(self.limits.header, acceptor.accept(stream)).await {
            self.requests(stream).await;
        }
    }

    async fn requests<S>(&self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.limits.header)
            .max_headers(self.limits.headers)
            .max_buf_size(self.limits.head_bytes)
            .keep_alive(true);
        let service = TowerToHyperService::new(self.router.clone());
        // Whatever a client does wrong ends its own connection; hyper has answered where there was an answer to give.
        if let Err(error) = http.serve_connection(TokioIo::new(stream), service).await {
            log::debug!("a connection ended: {error}");
        }
    }
}

/// A stream on which no write waits for longer than `stall`; reading is bounded by hyper, for a request as a whole.
fn with_write_timeout<S: AsyncRead + AsyncWrite>(stream: S, stall: Duration) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(stall));
    Box::pin(stream)
}

fn is_of_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::{Instant, sleep};

    use super::*;

    const STALL: Duration = Duration::from_secs(20);

    /// Check that a client that takes nothing is given up after that time, and one that is only slow never.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let began = Instant::now();
        let (ours, theirs) = duplex(16);
        let error = with_write_timeout(ours, STALL).write_all(&[0; 64]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed()), (io::ErrorKind::TimedOut, STALL));
        drop(theirs);

        let began = Instant::now();
        let (ours, mut theirs) = duplex(16);
        let almost = Duration::from_millis(19_999);
        let reader = tokio::spawn(async move {
            let mut buffer = [0; 16];
            for _ in 0..4 {
                sleep(almost).await;
                theirs.read_exact(&mut buffer).await.unwrap();
            }
        });
        with_write_timeout(ours, STALL).write_all(&[0; 64]).await.unwrap();
        reader.await.unwrap();
        assert_eq!(began.elapsed(), almost * 4);
    }

    /// Check that a client that says nothing is not given up by it: how long it may be idle is another limit.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_says_nothing_is_waited_for() {
        let (ours, mut theirs) = duplex(16);
        let mut ours = with_write_timeout(ours, STALL);
        let writer = tokio::spawn(async move {
            sleep(STALL * 10).await;
            theirs.write_all(b"x").await.unwrap();
        });
        assert_eq!(ours.read_u8().await.unwrap(), b'x');
        writer.await.unwrap();
    }
}

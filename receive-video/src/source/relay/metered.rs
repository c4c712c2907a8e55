//! A TCP connection that is read no faster than a camera may send: in TLS, what comes costs time before anything is known of
//! it, and records that carry nothing come to nobody's notice.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep_until};

use super::breach::LEAST_PACKET;
use super::pace::Pace;

/// A connection and its pace.
pub(super) struct Metered {
    tcp: TcpStream,
    pace: Pace,
    wait: Option<Pin<Box<Sleep>>>,
}

impl Metered {
    /// A connection of so many bytes a second.
    pub(super) fn new(tcp: TcpStream, max_rate: u64) -> Self {
        Self { tcp, pace: Pace::new(max_rate, Instant::now()), wait: None }
    }

    /// The connection.
    pub(super) fn tcp(&self) -> &TcpStream {
        &self.tcp
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(wait) = &mut this.wait {
            ready!(wait.as_mut().poll(cx));
            this.wait = None;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.tcp).poll_read(cx, buf))?;
        let read = buf.filled().len() - before;
        let now = Instant::now();
        let next = this.pace.take(read.max(LEAST_PACKET), now).map_err(io::Error::other)?;
        if next > now {
            this.wait = Some(Box::pin(sleep_until(next.into())));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn bytes_come_no_faster_than_their_rate() {
        const RATE: usize = 1 << 20;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut camera, _) = listener.accept().await.unwrap();
        let flood =
            tokio::spawn(async move { while camera.write_all(&[0; 1 << 16]).await.is_ok() {} });
        let began = Instant::now();
        let mut metered = Metered::new(tcp, RATE as u64);
        let mut bytes = vec![0; 16 * 1_024];
        for _ in 0..2 * RATE / bytes.len() {
            metered.read_exact(&mut bytes).await.unwrap();
        }
        // A second's bytes come at once, and the last read's before their time.
        let waited = began.elapsed().as_secs_f64();
        assert!(waited > 0.9, "{waited} s");
        drop(metered);
        flood.await.unwrap();
    }
}

//! A client's TCP connection, and the knowledge that it has ended.
//!
//! Clients that send neither cookies nor a handshake token (ADBC without a password, for one)
//! have their session tied to their connection. So every request carries its [`Connection`], which
//! no other connection ever equals and which says when the connection is gone.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::server::Connected;

/// Names one connection of one client; an extension of every request that comes over it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    /// Unique in this process.
    pub id: u64,
    /// Cancelled when the connection has ended.
    pub ended: CancellationToken,
}

/// The byte stream of a connection.
pub(super) struct ClientStream {
    tcp: TcpStream,
    connection: Connection,
    _end: DropGuard,
}

impl ClientStream {
    fn new(tcp: TcpStream) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let ended = CancellationToken::new();
        Self {
            tcp,
            _end: ended.clone().drop_guard(),
            connection: Connection {
                id: NEXT.fetch_add(1, Ordering::Relaxed),
                ended,
            },
        }
    }
}

/// The connections that `listener` accepts, without delay on small packets.
pub(super) fn incoming(
    listener: TcpListener,
) -> impl Stream<Item = io::Result<ClientStream>> + Send {
    TcpListenerStream::new(listener).filter_map(async |accepted| match accepted {
        Ok(tcp) => {
            if let Err(error) = tcp.set_nodelay(true) {
                tracing::debug!(%error, "client went away while connecting");
                return None;
            }
            Some(Ok(ClientStream::new(tcp)))
        }
        Err(error) => {
            // Out of file descriptors, mostly: wait for some to be closed.
            tracing::warn!(%error, "cannot accept a client");
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    })
}

impl Connected for ClientStream {
    type ConnectInfo = Connection;

    fn connect_info(&self) -> Connection {
        self.connection.clone()
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(context, buffer)
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}

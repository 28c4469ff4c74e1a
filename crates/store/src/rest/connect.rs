//! How a client reaches its server.

use std::fmt;
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

/// A byte stream to a server.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection being made.
pub type Connecting<'a> = Pin<Box<dyn Future<Output = io::Result<Box<dyn Stream>>> + Send + 'a>>;

/// How a client reaches its server.
pub trait Connect: Send + Sync + fmt::Debug {
    /// Opens a stream.
    fn connect(&self) -> Connecting<'_>;

    /// The `Host` header, and what errors call the server.
    fn host(&self) -> String;

    /// Adds what the server wants to see in every request, a bearer token for example.
    fn authorize(&self, _headers: &mut HeaderMap) {}
}

/// A server on a unix socket of this machine.
#[derive(Clone, Debug)]
pub struct UnixConnect {
    path: PathBuf,
}

impl UnixConnect {
    /// The server listening on `path`.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

impl Connect for UnixConnect {
    fn connect(&self) -> Connecting<'_> {
        Box::pin(async {
            let stream = UnixStream::connect(&self.path).await?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn host(&self) -> String {
        self.path.display().to_string()
    }
}

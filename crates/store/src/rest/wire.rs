//! One HTTP/1.1 connection, driven by whoever waits for its answer instead of by a task.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{Connection, SendRequest, handshake};
use hyper_util::rt::TokioIo;

use super::connect::{Connect, Stream};
use super::error::RestError;

type Driver = Connection<TokioIo<Box<dyn Stream>>, Full<Bytes>>;

/// A connection to the server.
pub(super) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    /// `None` once the connection is over.
    driver: Option<Pin<Box<Driver>>>,
    server: String,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("server", &self.server)
            .field("open", &self.driver.is_some())
            .finish_non_exhaustive()
    }
}

/// Why a request got no answer.
pub(super) enum Unsent {
    /// Not a byte of it was sent: it can be repeated on another connection.
    Untouched(Box<Request<Full<Bytes>>>),
    /// The server may have seen it.
    Failed(RestError),
}

impl Wire {
    pub(super) async fn open(connect: &dyn Connect) -> Result<Self, RestError> {
        let server = connect.host();
        let stream = connect.connect().await;
        let stream = stream.map_err(|source| RestError::Connect {
            server: server.clone(),
            source,
        })?;
        let (sender, driver) =
            handshake(TokioIo::new(stream))
                .await
                .map_err(|source| RestError::Transport {
                    server: server.clone(),
                    source,
                })?;
        Ok(Self {
            sender,
            driver: Some(Box::pin(driver)),
            server,
        })
    }

    /// Sends a request and returns the head of its answer.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Unsent> {
        if drive(&mut self.driver, self.sender.ready()).await.is_err() {
            return Err(Unsent::Untouched(Box::new(request)));
        }
        let answer = self.sender.try_send_request(request);
        match drive(&mut self.driver, answer).await {
            Ok(response) => Ok(response),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Unsent::Untouched(Box::new(request)),
                None => Unsent::Failed(self.failed(error.into_error())),
            }),
        }
    }

    /// The next bytes of an answer's body; `None` at its end. Cancel-safe.
    pub(super) async fn bytes(&mut self, body: &mut Incoming) -> Result<Option<Bytes>, RestError> {
        loop {
            match drive(&mut self.driver, body.frame()).await {
                None => return Ok(None),
                Some(Err(source)) => return Err(self.failed(source)),
                Some(Ok(frame)) => {
                    // Trailers carry nothing that this API defines.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
            }
        }
    }

    /// Whether another request may be tried here.
    pub(super) fn is_open(&self) -> bool {
        self.driver.is_some() && !self.sender.is_closed()
    }

    fn failed(&self, source: hyper::Error) -> RestError {
        RestError::Transport {
            server: self.server.clone(),
            source,
        }
    }
}

/// Waits for `work` while the connection moves its bytes.
async fn drive<F: Future>(driver: &mut Option<Pin<Box<Driver>>>, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        if let Some(connection) = driver
            && connection.as_mut().poll(context).is_ready()
        {
            // How it ended is told to `work` too.
            *driver = None;
        }
        work.as_mut().poll(context)
    })
    .await
}

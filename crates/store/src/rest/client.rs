//! Requests: one method per verb.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::collection::{Collection, append_query, collection_path, object_target};
use super::connect::{Connect, UnixConnect};
use super::decode;
use super::error::{ApiStatus, RestError};
use super::follow::Follow;
use super::lines::WatchStream;
use super::wire::{Unsent, Wire};
use crate::object::{Kind, List, ObjectKey, Revision, StoredObject};

/// Largest answer read, in bytes: a list of some hundred thousand objects.
pub const RESPONSE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// How long a whole answer, or the head of a watch's answer, may take.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
/// Connections kept open between requests.
const IDLE_CONNECTIONS_MAX: usize = 4;
/// After how many seconds the server is asked to end a watch, so that one that died unnoticed is
/// found out; the follower resumes where it was.
pub(super) const WATCH_TIMEOUT_SECONDS: u64 = 290;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// A client of one server. Clones share their connections.
#[derive(Clone, Debug)]
pub struct Client {
    connect: Arc<dyn Connect>,
    idle: Arc<Mutex<Vec<Wire>>>,
}

impl Client {
    /// A client of whatever `connect` reaches.
    pub fn new(connect: Arc<dyn Connect>) -> Self {
        Self {
            connect,
            idle: Arc::new(Mutex::new(Vec::new())),
        }
    }

    /// A client of the server listening on a unix socket.
    pub fn unix(socket: &Path) -> Self {
        Self::new(Arc::new(UnixConnect::new(socket)))
    }

    /// What errors call the server.
    pub fn server(&self) -> String {
        self.connect.host()
    }

    /// The objects of a collection and the revision to watch from.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn list(&self, collection: &Collection) -> Result<List, RestError> {
        let mut list = self.read(&collection.target(&[])).await?;
        let revision = decode::revision(list.get("metadata"))
            .ok_or_else(|| self.malformed("a list without a numeric metadata.resourceVersion"))?;
        let server = self.server();
        let objects = match list.get_mut("items").map(Value::take) {
            Some(Value::Array(items)) => items
                .into_iter()
                .map(|item| decode::object(&server, collection.kind(), item))
                .collect::<Result<_, _>>()?,
            // An empty list is `null` where a Go server forgot to make it.
            Some(Value::Null) => Vec::new(),
            _ => return Err(self.malformed("a list without items")),
        };
        Ok(List { objects, revision })
    }

    /// One object.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_not_found`].
    pub async fn object(&self, key: &ObjectKey) -> Result<StoredObject, RestError> {
        let value = self.read(&object_target(key, "", &[])).await?;
        decode::object(&self.server(), key.kind, value)
    }

    /// Creates an object; its metadata names it.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_already_exists`].
    pub async fn create(&self, key: &ObjectKey, value: &Value) -> Result<StoredObject, RestError> {
        self.create_with(key, value, false).await
    }

    /// As [`Client::create`], but everything is checked and nothing is stored.
    ///
    /// # Errors
    /// As [`Client::create`].
    pub async fn dry_run_create(
        &self,
        key: &ObjectKey,
        value: &Value,
    ) -> Result<StoredObject, RestError> {
        self.create_with(key, value, true).await
    }

    /// Replaces an object. With `metadata.resourceVersion` in the value, only when the object is
    /// still at that revision.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_conflict`].
    pub async fn update(&self, key: &ObjectKey, value: &Value) -> Result<StoredObject, RestError> {
        let target = object_target(key, "", &[]);
        self.write(Method::PUT, &target, key.kind, value).await
    }

    /// As [`Client::update`], but everything is checked and nothing is stored.
    ///
    /// # Errors
    /// As [`Client::update`].
    pub async fn dry_run_update(
        &self,
        key: &ObjectKey,
        value: &Value,
    ) -> Result<StoredObject, RestError> {
        let target = object_target(key, "", DRY_RUN);
        self.write(Method::PUT, &target, key.kind, value).await
    }

    /// Changes the fields that `patch` names, as RFC 7386 says: `null` removes.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn merge_patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<StoredObject, RestError> {
        let target = object_target(key, "", &[]);
        self.write(Method::PATCH, &target, key.kind, patch).await
    }

    /// As [`Client::merge_patch`], but everything is checked and nothing is stored.
    ///
    /// # Errors
    /// As [`Client::merge_patch`].
    pub async fn dry_run_merge_patch(
        &self,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<StoredObject, RestError> {
        let target = object_target(key, "", DRY_RUN);
        self.write(Method::PATCH, &target, key.kind, patch).await
    }

    /// As [`Client::merge_patch`], of the `status` of a pod or node and nothing else.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn merge_patch_status(
        &self,
        key: &ObjectKey,
        patch: &Value,
    ) -> Result<StoredObject, RestError> {
        let target = object_target(key, "status", &[]);
        self.write(Method::PATCH, &target, key.kind, patch).await
    }

    /// Removes an object; with `expected`, only when it is still at that revision. Returns its
    /// last value where the server sends it.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_not_found`] and [`RestError::is_conflict`].
    pub async fn delete(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
    ) -> Result<Option<StoredObject>, RestError> {
        self.delete_with(key, expected, &[]).await
    }

    /// As [`Client::delete`], but everything is checked and nothing is removed.
    ///
    /// # Errors
    /// As [`Client::delete`].
    pub async fn dry_run_delete(&self, key: &ObjectKey) -> Result<Option<StoredObject>, RestError> {
        self.delete_with(key, None, DRY_RUN).await
    }

    /// Every change of a collection after `from`, which a list gave.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_expired`].
    pub async fn watch(
        &self,
        collection: &Collection,
        from: Revision,
    ) -> Result<WatchStream, RestError> {
        let from = from.to_string();
        let seconds = WATCH_TIMEOUT_SECONDS.to_string();
        let target = collection.target(&[
            ("watch", "1"),
            ("resourceVersion", &from),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds),
        ]);
        let request = self.request(Method::GET, &target, Bytes::new())?;
        let (wire, body) = self.in_time(self.head(request)).await?;
        Ok(WatchStream::new(
            self.server(),
            collection.kind(),
            wire,
            body,
        ))
    }

    /// Lists and watches a collection for ever, whatever happens to the server.
    pub fn follow(&self, collection: Collection) -> Follow {
        Follow::new(self.clone(), collection)
    }

    /// The JSON at any path, `/version` for example.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn read(&self, target: &str) -> Result<Value, RestError> {
        let bytes = self.call(Method::GET, target, Bytes::new()).await?;
        self.parse(&bytes)
    }

    /// The text at any path, `/readyz` for example.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn read_text(&self, target: &str) -> Result<String, RestError> {
        let bytes = self.call(Method::GET, target, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    async fn create_with(
        &self,
        key: &ObjectKey,
        value: &Value,
        dry_run: bool,
    ) -> Result<StoredObject, RestError> {
        let mut target = collection_path(key.kind, key.namespace.as_deref());
        if dry_run {
            append_query(&mut target, DRY_RUN.iter().copied());
        }
        self.write(Method::POST, &target, key.kind, value).await
    }

    async fn delete_with(
        &self,
        key: &ObjectKey,
        expected: Option<Revision>,
        parameters: &[(&str, &str)],
    ) -> Result<Option<StoredObject>, RestError> {
        let options = expected.map(|expected| {
            json!({
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "preconditions": { "resourceVersion": expected.to_string() },
            })
        });
        let body = options.map_or_else(Bytes::new, |options| options.to_string().into());
        let target = object_target(key, "", parameters);
        let bytes = self.call(Method::DELETE, &target, body).await?;
        let value = self.parse(&bytes)?;
        // A kube-apiserver answers with the object or with a Status, as the kind pleases.
        if value.get("kind").and_then(Value::as_str) == Some("Status") {
            return Ok(None);
        }
        decode::object(&self.server(), key.kind, value).map(Some)
    }

    async fn write(
        &self,
        method: Method,
        target: &str,
        kind: Kind,
        value: &Value,
    ) -> Result<StoredObject, RestError> {
        let body = value.to_string().into();
        let bytes = self.call(method, target, body).await?;
        decode::object(&self.server(), kind, self.parse(&bytes)?)
    }

    /// Sends a request and reads its whole answer.
    async fn call(&self, method: Method, target: &str, body: Bytes) -> Result<Vec<u8>, RestError> {
        let request = self.request(method, target, body)?;
        self.in_time(async {
            let (mut wire, mut body) = self.head(request).await?;
            let bytes = self.collect(&mut wire, &mut body).await?;
            let mut idle = self.idle.lock().await;
            if wire.is_open() && idle.len() < IDLE_CONNECTIONS_MAX {
                idle.push(wire);
            }
            Ok(bytes)
        })
        .await
    }

    /// Sends a request and returns the connection and the body of a successful answer.
    async fn head(&self, mut request: Request<Full<Bytes>>) -> Result<(Wire, Incoming), RestError> {
        // A kept connection may have been closed by the server meanwhile; then the next is tried,
        // and a fresh one last. Bounded by the number kept.
        loop {
            let kept = self.idle.lock().await.pop();
            let fresh = kept.is_none();
            let mut wire = match kept {
                Some(wire) => wire,
                None => Wire::open(&*self.connect).await?,
            };
            let response = match wire.send(request).await {
                Ok(response) => response,
                Err(Unsent::Untouched(again)) if !fresh => {
                    request = *again;
                    continue;
                }
                Err(Unsent::Untouched(_)) => {
                    return Err(self.malformed("nothing: it closed the connection"));
                }
                Err(Unsent::Failed(error)) => return Err(error),
            };
            let (head, mut body) = response.into_parts();
            if head.status.is_success() {
                return Ok((wire, body));
            }
            let bytes = self.collect(&mut wire, &mut body).await?;
            return Err(RestError::Status(Box::new(refusal(head.status, &bytes))));
        }
    }

    async fn collect(&self, wire: &mut Wire, body: &mut Incoming) -> Result<Vec<u8>, RestError> {
        let mut collected = Vec::new();
        while let Some(bytes) = wire.bytes(body).await? {
            if collected.len() + bytes.len() > RESPONSE_BYTES_MAX {
                return Err(RestError::TooLarge {
                    server: self.server(),
                    limit: RESPONSE_BYTES_MAX,
                });
            }
            collected.extend_from_slice(&bytes);
        }
        Ok(collected)
    }

    fn request(
        &self,
        method: Method,
        target: &str,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, RestError> {
        let content_type = match method {
            Method::PATCH => MERGE_PATCH,
            _ => JSON,
        };
        let mut request = Request::builder()
            .method(method)
            .uri(target)
            .header(ACCEPT, JSON)
            .header(HOST, host_header(&self.server()));
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, content_type);
        }
        let mut request = request
            .body(Full::new(body))
            .map_err(|source| RestError::Request { source })?;
        self.connect.authorize(request.headers_mut());
        Ok(request)
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, RestError>>,
    ) -> Result<T, RestError> {
        match timeout(REQUEST_TIMEOUT, work).await {
            Ok(result) => result,
            Err(_elapsed) => Err(RestError::TimedOut {
                server: self.server(),
                seconds: REQUEST_TIMEOUT.as_secs(),
            }),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Value, RestError> {
        serde_json::from_slice(bytes).map_err(|source| RestError::Decode {
            server: self.server(),
            what: "an answer",
            source,
        })
    }

    fn malformed(&self, what: &'static str) -> RestError {
        RestError::Malformed {
            server: self.server(),
            what,
        }
    }
}

const DRY_RUN: &[(&str, &str)] = &[("dryRun", "All")];

/// A socket's path is no host name; `localhost` is what clients of unix sockets send.
fn host_header(server: &str) -> HeaderValue {
    let plain = !server.contains('/');
    let header = plain.then(|| HeaderValue::from_str(server).ok()).flatten();
    header.unwrap_or(HeaderValue::from_static("localhost"))
}

/// The Status object of a refusal, or one made from whatever else was sent.
fn refusal(code: http::StatusCode, bytes: &[u8]) -> ApiStatus {
    if let Ok(mut status) = serde_json::from_slice::<ApiStatus>(bytes)
        && !status.message.is_empty()
    {
        status.code = code.as_u16();
        return status;
    }
    let text = String::from_utf8_lossy(bytes);
    ApiStatus {
        status: "Failure".to_owned(),
        message: match text.trim() {
            "" => format!("the server answered {code}"),
            text => format!("the server answered {code}: {text}"),
        },
        code: code.as_u16(),
        ..ApiStatus::default()
    }
}

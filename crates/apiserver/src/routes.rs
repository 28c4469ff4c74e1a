//! From a request to its answer.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, StatusCode, Uri};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use oncilla_api::{Kind, ObjectKey};
use oncilla_store::{Store, WatchSelector};
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::discovery;
use crate::failure::Failure;
use crate::metadata::with_revision;
use crate::query::{Parameters, WatchParameters};
use crate::select::Selection;
use crate::target::Target;
use crate::watching::Watching;
use crate::writing::{DeleteOptions, Edit, Part, Writer};

/// Largest body of a request, in bytes.
pub const BODY_BYTES_MAX: usize = 32 * 1024 * 1024;

const JSON: &str = "application/json";
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What every request needs.
#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) writer: Writer,
    /// Told after every write, so that other kinds' watches get a bookmark.
    pub(crate) written: Arc<Notify>,
    pub(crate) stopping: watch::Receiver<bool>,
}

/// All routes.
pub(crate) fn router(server: Server) -> Router {
    Router::new()
        .route("/version", get(async || Json(discovery::version())))
        .route("/healthz", get(async || "ok"))
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(ready))
        .fallback(resource)
        .with_state(server)
}

async fn ready(State(server): State<Server>) -> Result<&'static str, Failure> {
    server
        .blocking(|server| Ok(server.store.revision()?))
        .await?;
    Ok("ok")
}

/// Every object and collection, whatever its kind; and what tells which there are.
async fn resource(State(server): State<Server>, request: Request) -> Result<Response, Failure> {
    let (head, body) = request.into_parts();
    let path = head.uri.path();
    if head.method == Method::GET
        && let Some(document) = discovery::document(path)
    {
        return Ok(Json(document).into_response());
    }
    let target = Target::parse(path).ok_or_else(Failure::no_such_path)?;
    match target {
        Target::Collection { kind, namespace } => match head.method {
            Method::GET => server.collection(&head.uri, kind, namespace).await,
            Method::POST => {
                let parameters = Parameters::of(&head.uri, kind)?;
                let value = read_json(&head.headers, body, JSON).await?;
                server
                    .create(kind, namespace, value, parameters.dry_run)
                    .await
            }
            _ => Err(Failure::method_not_allowed()),
        },
        Target::Object(key) => server.object(&head, body, key, Part::Main).await,
        Target::Status(key) => server.object(&head, body, key, Part::Status).await,
    }
}

impl Server {
    /// Runs what may wait for the disk on a thread that may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let server = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&server)).await;
        done.map_err(|error| Failure::internal(format!("the request failed: {error}")))?
    }

    async fn collection(
        &self,
        uri: &Uri,
        kind: Kind,
        namespace: Option<String>,
    ) -> Result<Response, Failure> {
        let Parameters {
            watch, selection, ..
        } = Parameters::of(uri, kind)?;
        match watch {
            Some(parameters) => self.watch(kind, namespace, selection, parameters).await,
            None => self.list(kind, namespace, selection).await,
        }
    }

    async fn list(
        &self,
        kind: Kind,
        namespace: Option<String>,
        selection: Selection,
    ) -> Result<Response, Failure> {
        let bytes = self.blocking(move |server| {
            let list = server.store.list(kind, namespace.as_deref())?;
            let items: Vec<Value> = list
                .objects
                .into_iter()
                .filter(|object| selection.matches(&object.value))
                .map(with_revision)
                .collect();
            let list = json!({
                "kind": format!("{}List", kind.kind_name()),
                "apiVersion": kind.api_version(),
                "metadata": { "resourceVersion": list.revision.to_string() },
                "items": items,
            });
            Ok(Bytes::from(list.to_string()))
        });
        Ok(json_response(StatusCode::OK, bytes.await?))
    }

    async fn watch(
        &self,
        kind: Kind,
        namespace: Option<String>,
        selection: Selection,
        parameters: WatchParameters,
    ) -> Result<Response, Failure> {
        let mut selector = WatchSelector::kind(kind);
        if let Some(namespace) = &namespace {
            selector = selector.in_namespace(namespace);
        }
        let watch = self
            .blocking(move |server| Ok(server.store.watch(&selector, parameters.from)?))
            .await?;
        let watching = Watching {
            kind,
            watch,
            selection,
            parameters,
            stopping: self.stopping.clone(),
        };
        // The runtime's clock, which only measures how long the watch lasts.
        let now = Instant::now();
        Ok(watching.into_response(now))
    }

    async fn create(
        &self,
        kind: Kind,
        namespace: Option<String>,
        value: Value,
        dry_run: bool,
    ) -> Result<Response, Failure> {
        let create = self.blocking(move |server| {
            let writer = &server.writer;
            writer.create(kind, namespace.as_deref(), value, dry_run)
        });
        let created = create.await?;
        self.written.notify_one();
        Ok((StatusCode::CREATED, Json(created)).into_response())
    }

    async fn object(
        &self,
        head: &http::request::Parts,
        body: Body,
        key: ObjectKey,
        part: Part,
    ) -> Result<Response, Failure> {
        let dry_run = Parameters::of(&head.uri, key.kind)?.dry_run;
        let edit = match head.method {
            Method::GET => return self.read(key).await,
            Method::DELETE if part == Part::Main => {
                let options = read_options(&head.headers, body).await?;
                return self.delete(key, options, dry_run).await;
            }
            Method::PUT => Edit::Replace(read_json(&head.headers, body, JSON).await?),
            Method::PATCH => Edit::Merge(read_json(&head.headers, body, MERGE_PATCH).await?),
            _ => return Err(Failure::method_not_allowed()),
        };
        let edited = self
            .blocking(move |server| server.writer.edit(&key, part, &edit, dry_run))
            .await?;
        self.written.notify_one();
        Ok(Json(edited).into_response())
    }

    async fn read(&self, key: ObjectKey) -> Result<Response, Failure> {
        let read = self.blocking(move |server| {
            let object = server.store.object(&key)?;
            object.ok_or_else(|| Failure::not_found(&key))
        });
        Ok(Json(with_revision(read.await?)).into_response())
    }

    async fn delete(
        &self,
        key: ObjectKey,
        options: DeleteOptions,
        dry_run: bool,
    ) -> Result<Response, Failure> {
        let delete = self.blocking(move |server| server.writer.delete(&key, &options, dry_run));
        let deleted = delete.await?;
        self.written.notify_one();
        Ok(Json(deleted).into_response())
    }
}

fn json_response(code: StatusCode, bytes: Bytes) -> Response {
    (code, [(CONTENT_TYPE, JSON)], bytes).into_response()
}

/// The body of a request as JSON, when it says that it is of the type expected.
async fn read_json(headers: &HeaderMap, body: Body, expected: &str) -> Result<Value, Failure> {
    let given = headers.get(CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let given = given.map(|bytes| {
        let end = bytes.iter().position(|byte| *byte == b';');
        bytes[..end.unwrap_or(bytes.len())].trim_ascii()
    });
    // Without a type, a body is JSON; a patch must say of which of several kinds it is.
    let fits = match given {
        None => expected == JSON,
        Some(given) => given.eq_ignore_ascii_case(expected.as_bytes()),
    };
    if !fits {
        return Err(Failure::unsupported_media(expected));
    }
    let bytes = read_body(headers, body).await?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::bad_request(format!("the body is not valid JSON: {error}")))
}

async fn read_options(headers: &HeaderMap, body: Body) -> Result<DeleteOptions, Failure> {
    let bytes = read_body(headers, body).await?;
    if bytes.is_empty() {
        return Ok(DeleteOptions::default());
    }
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::bad_request(format!("the delete options are not valid: {error}")))
}

async fn read_body(headers: &HeaderMap, body: Body) -> Result<Bytes, Failure> {
    // A client that says what it will send is refused before it has sent it.
    let announced = headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_BYTES_MAX) {
        return Err(Failure::too_large(BODY_BYTES_MAX));
    }
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Failure::too_large(BODY_BYTES_MAX)),
        Err(error) => Err(Failure::bad_request(format!("the body was cut: {error}"))),
    }
}

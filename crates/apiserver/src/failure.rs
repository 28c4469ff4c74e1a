//! Refusals, in Kubernetes' form and words.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use oncilla_api::{FieldError, Kind, ObjectKey};
use oncilla_store::StoreError;
use oncilla_store::rest::{ApiStatus, StatusCause, StatusDetails};
use serde_json::{Value, json};

/// A refusal: a `Status` object and its HTTP code.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failure(Box<ApiStatus>);

impl Failure {
    fn new(code: StatusCode, reason: &str, message: impl Into<String>) -> Self {
        Self(Box::new(ApiStatus {
            status: "Failure".to_owned(),
            message: message.into(),
            reason: reason.to_owned(),
            details: None,
            code: code.as_u16(),
        }))
    }

    fn about(mut self, key: &ObjectKey) -> Self {
        self.0.details = Some(StatusDetails {
            name: key.name.clone(),
            group: key.kind.group().to_owned(),
            kind: key.kind.plural().to_owned(),
            ..StatusDetails::default()
        });
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequest", message)
    }

    pub(crate) fn no_such_path() -> Self {
        let message = "the server could not find the requested resource";
        Self::new(StatusCode::NOT_FOUND, "NotFound", message)
    }

    pub(crate) fn not_found(key: &ObjectKey) -> Self {
        let message = format!("{} {:?} not found", resource(key.kind), key.name);
        Self::new(StatusCode::NOT_FOUND, "NotFound", message).about(key)
    }

    pub(crate) fn already_exists(key: &ObjectKey) -> Self {
        let message = format!("{} {:?} already exists", resource(key.kind), key.name);
        Self::new(StatusCode::CONFLICT, "AlreadyExists", message).about(key)
    }

    pub(crate) fn conflict(key: &ObjectKey, why: &str) -> Self {
        let message = format!(
            "Operation cannot be fulfilled on {} {:?}: {why}",
            resource(key.kind),
            key.name
        );
        Self::new(StatusCode::CONFLICT, "Conflict", message).about(key)
    }

    pub(crate) fn modified(key: &ObjectKey) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(key, why)
    }

    pub(crate) fn forbidden(key: &ObjectKey, why: &str) -> Self {
        let message = format!("{} {:?} is forbidden: {why}", resource(key.kind), key.name);
        Self::new(StatusCode::FORBIDDEN, "Forbidden", message).about(key)
    }

    pub(crate) fn invalid(key: &ObjectKey, errors: &[FieldError]) -> Self {
        let kind = match key.kind.group() {
            "" => key.kind.kind_name().to_owned(),
            group => format!("{}.{group}", key.kind.kind_name()),
        };
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let list = match texts.as_slice() {
            [one] => one.clone(),
            several => format!("[{}]", several.join(", ")),
        };
        let message = format!("{kind} {:?} is invalid: {list}", key.name);
        let mut failure =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message).about(key);
        if let Some(details) = &mut failure.0.details {
            key.kind.kind_name().clone_into(&mut details.kind);
            details.causes = errors.iter().map(cause).collect();
        }
        failure
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(StatusCode::GONE, "Expired", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message = format!("the request is larger than {limit} bytes, which is the limit");
        let code = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(code, "RequestEntityTooLarge", message)
    }

    pub(crate) fn unsupported_media(accepted: &str) -> Self {
        let message = format!(
            "the body of the request was in an unknown format - accepted media types include: {accepted}"
        );
        let code = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(code, "UnsupportedMediaType", message)
    }

    pub(crate) fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        let code = StatusCode::METHOD_NOT_ALLOWED;
        Self::new(code, "MethodNotAllowed", message)
    }

    pub(crate) fn busy(message: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", message)
    }

    pub(crate) fn code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.0.code == StatusCode::NOT_FOUND.as_u16()
    }

    /// The `Status` object.
    pub(crate) fn to_value(&self) -> Value {
        let mut value = json!({ "kind": "Status", "apiVersion": "v1", "metadata": {} });
        let fields = serde_json::to_value(&self.0).expect("a Status is texts and numbers");
        if let (Value::Object(value), Value::Object(fields)) = (&mut value, fields) {
            value.extend(fields);
        }
        value
    }
}

fn cause(error: &FieldError) -> StatusCause {
    let help = error.help.as_ref();
    StatusCause {
        reason: "FieldValueInvalid".to_owned(),
        message: help.map_or_else(
            || error.message.clone(),
            |help| format!("{}; {help}", error.message),
        ),
        field: error.path.clone(),
    }
}

/// `pods`, `networkpolicies.projectcalico.org`.
pub(crate) fn resource(kind: Kind) -> String {
    match kind.group() {
        "" => kind.plural().to_owned(),
        group => format!("{}.{group}", kind.plural()),
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NotFound { key } => Self::not_found(key),
            StoreError::AlreadyExists { key, .. } => Self::already_exists(key),
            StoreError::Conflict { key, .. } => Self::modified(key),
            StoreError::TooOld { asked, oldest } => Self::expired(format!(
                "too old resource version: {asked} (the history begins at {oldest})"
            )),
            StoreError::Future { asked, current } => Self::expired(format!(
                "too large resource version: {asked} (the store is at {current})"
            )),
            StoreError::Lagged { .. } => {
                Self::expired(format!("too old resource version: {error}"))
            }
            StoreError::TooManyWatchers { .. } => Self::busy(error.to_string()),
            StoreError::TooLarge { limit, .. } => Self::too_large(*limit),
            StoreError::Scope { .. } => Self::bad_request(error.to_string()),
            StoreError::Closed
            | StoreError::Decode { .. }
            | StoreError::Storage { .. }
            | StoreError::GroupFailed { .. }
            | StoreError::Remote { .. } => {
                tracing::error!(error = &error as &dyn std::error::Error, "store failed");
                Self::internal(error.to_string())
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (self.code(), Json(self.to_value())).into_response()
    }
}

/// The message.
impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

//! What can go wrong between a client and its server, and the server's own error object.

use std::io;

use serde::{Deserialize, Serialize};

/// What can go wrong between a client and its server.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// Nobody answers there.
    #[error("cannot connect to {server}")]
    Connect {
        /// The server.
        server: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The connection broke or its bytes were not HTTP.
    #[error("the connection to {server} failed")]
    Transport {
        /// The server.
        server: String,
        /// What the HTTP layer said.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("{server} did not answer within {seconds} s")]
    TimedOut {
        /// The server.
        server: String,
        /// The limit.
        seconds: u64,
    },
    /// The server refused.
    #[error("{}", .0.message)]
    Status(Box<ApiStatus>),
    /// The answer is not what the API promises.
    #[error("{server} sent {what} that cannot be read")]
    Decode {
        /// The server.
        server: String,
        /// What was being read.
        what: &'static str,
        /// What the JSON reader said.
        source: serde_json::Error,
    },
    /// The answer misses something that every such answer has.
    #[error("{server} sent {what}")]
    Malformed {
        /// The server.
        server: String,
        /// What is wrong with what.
        what: &'static str,
    },
    /// The answer is larger than the named limit.
    #[error("{server} sent more than {limit} bytes")]
    TooLarge {
        /// The server.
        server: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// The request could not be built.
    #[error("the request is not valid HTTP")]
    Request {
        /// What is wrong with it.
        source: http::Error,
    },
}

impl RestError {
    /// The server's refusal, when that is what this is.
    pub fn status(&self) -> Option<&ApiStatus> {
        match self {
            Self::Status(status) => Some(status),
            _ => None,
        }
    }

    /// HTTP 404.
    pub fn is_not_found(&self) -> bool {
        self.status().is_some_and(|status| status.code == 404)
    }

    /// HTTP 409 because the object changed since it was read.
    pub fn is_conflict(&self) -> bool {
        self.status()
            .is_some_and(|s| s.code == 409 && s.reason == "Conflict")
    }

    /// HTTP 409 because an object of that name exists.
    pub fn is_already_exists(&self) -> bool {
        self.status()
            .is_some_and(|s| s.code == 409 && s.reason == "AlreadyExists")
    }

    /// HTTP 410: the watch must begin with a new list.
    pub fn is_expired(&self) -> bool {
        self.status().is_some_and(|status| status.code == 410)
    }

    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Transport { .. } | Self::TimedOut { .. } => true,
            Self::Status(status) => status.code == 429 || status.code >= 500,
            Self::Decode { .. }
            | Self::Malformed { .. }
            | Self::TooLarge { .. }
            | Self::Request { .. } => false,
        }
    }
}

/// Kubernetes' `Status` object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ApiStatus {
    /// `Failure` or `Success`.
    pub status: String,
    /// One sentence for people.
    pub message: String,
    /// One word for programs: `NotFound`, `Conflict`, `Invalid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The object concerned and the fields at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<StatusDetails>,
    /// The HTTP status.
    pub code: u16,
}

/// The object concerned and the fields at fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusDetails {
    /// Its name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Its kind, or its plural in some answers.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Its uid.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub uid: String,
    /// One entry per field at fault.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<StatusCause>,
}

/// One field at fault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StatusCause {
    /// One word for programs: `FieldValueInvalid`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What is wrong and how to mend it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The path of the field: `spec.ingress[0].action`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

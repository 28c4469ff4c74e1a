//! Reading case files. Which format a file has is seen from its keys.

mod cyclonus;
mod npa;
mod objects;
mod seeds;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::case::Suite;

/// The largest case file, in bytes.
pub const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A file that holds no cases.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The file, or one that it names, cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is larger than [`FILE_BYTES_MAX`].
    #[error("{} is too large: {bytes} bytes, at most {FILE_BYTES_MAX} are read", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// The file is no JSON, or not of the format that it looks like.
    #[error("{} is no case file", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A manifest beside the case file is no YAML.
    #[error("{} is no manifest: {message}", path.display())]
    Yaml {
        /// The file.
        path: PathBuf,
        /// Why.
        message: String,
    },
    /// The keys are those of no format.
    #[error(
        "{} is of no known case format: expected the keys of a cyclonus file (`cases`), of a spread one (`layouts`), of scenarios (`scenarios`) or of ClusterNetworkPolicy's tests (`tests` and `hostNetworkPorts`)",
        path.display()
    )]
    Unknown {
        /// The file.
        path: PathBuf,
    },
    /// The case file is well-formed, but a value in it makes no sense.
    #[error("{}: {message}", path.display())]
    Meaningless {
        /// The file.
        path: PathBuf,
        /// What makes no sense.
        message: String,
    },
}

/// Reads a case file of any format. Paths in it are relative to the file.
///
/// # Errors
/// When the file, or one that it names, cannot be read or is of no format that we judge.
pub fn read(path: &Path) -> Result<Suite, FormatError> {
    let json = |source| FormatError::Json {
        path: path.to_owned(),
        source,
    };
    let value: Value = serde_json::from_slice(&read_bytes(path)?).map_err(json)?;
    let has = |key: &str| value.get(key).is_some();
    if has("layouts") {
        cyclonus::read_spread(path, serde_json::from_value(value).map_err(json)?)
    } else if has("cases") {
        cyclonus::read_compact(path, serde_json::from_value(value).map_err(json)?)
    } else if has("scenarios") {
        seeds::read(path, &serde_json::from_value(value).map_err(json)?)
    } else if has("tests") && has("hostNetworkPorts") {
        npa::read(path, &serde_json::from_value(value).map_err(json)?)
    } else {
        Err(FormatError::Unknown {
            path: path.to_owned(),
        })
    }
}

fn read_bytes(path: &Path) -> Result<Vec<u8>, FormatError> {
    let unreadable = |source| FormatError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let bytes = std::fs::metadata(path).map_err(unreadable)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(FormatError::TooLarge {
            path: path.to_owned(),
            bytes,
        });
    }
    std::fs::read(path).map_err(unreadable)
}

/// A protocol and a port, as in `TCP/80`.
fn protocol_and_port(text: &str) -> Option<(oncilla_net::Protocol, u16)> {
    let (protocol, port) = text.split_once('/')?;
    Some((
        oncilla_net::Protocol::from_name(protocol)?,
        port.parse().ok()?,
    ))
}

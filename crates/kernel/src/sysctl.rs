//! Kernel settings under `/proc/sys/net`. They belong to the network namespace of the thread that reads or writes.

use std::fs;
use std::io;

use thiserror::Error;

use crate::netns::{Netns, NetnsError};

/// What went wrong with a setting.
#[derive(Debug, Error)]
pub enum SysctlError {
    /// It could not be read.
    #[error("sysctl {key} could not be read")]
    Read {
        /// Its path below `/proc/sys/net`.
        key: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be written.
    #[error("sysctl {key} could not be set to {value}")]
    Write {
        /// Its path below `/proc/sys/net`.
        key: String,
        /// The value.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A key that leads out of the network settings.
    #[error("\"{key}\" is no path below /proc/sys/net")]
    Key {
        /// The key.
        key: String,
    },
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
}

/// Reads a setting of the calling thread's namespace; `key` is a path such as `ipv4/ip_forward`.
pub fn read(key: &str) -> Result<String, SysctlError> {
    match fs::read_to_string(path(key)?) {
        Ok(text) => Ok(text.trim_end().to_owned()),
        Err(source) => Err(SysctlError::Read {
            key: key.to_owned(),
            source,
        }),
    }
}

/// Writes a setting of the calling thread's namespace; `key` is a path such as `ipv4/conf/eth0/proxy_arp`.
pub fn write(key: &str, value: &str) -> Result<(), SysctlError> {
    fs::write(path(key)?, value).map_err(|source| SysctlError::Write {
        key: key.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// Reads a setting of `netns`.
pub fn read_in(netns: &Netns, key: &str) -> Result<String, SysctlError> {
    netns.run(|| read(key))?
}

/// Writes settings of `netns`, in order.
pub fn write_in(netns: &Netns, settings: &[(&str, &str)]) -> Result<(), SysctlError> {
    netns.run(|| {
        settings
            .iter()
            .try_for_each(|(key, value)| write(key, value))
    })?
}

/// An interface's name is part of some keys, so a key must not climb out.
fn path(key: &str) -> Result<String, SysctlError> {
    let climbs = key.split('/').any(|part| matches!(part, "" | "." | ".."));
    if climbs {
        return Err(SysctlError::Key {
            key: key.to_owned(),
        });
    }
    Ok(format!("/proc/sys/net/{key}"))
}

//! Probes: real connections from inside a lab, judged by what came back.

use std::io::{BufRead as _, BufReader};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;

use serde::{Deserialize, Serialize};

use crate::error::LabError;
use crate::place::Place;
use crate::protocol::decode_line;

/// How a probe knocks.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProbeProtocol {
    /// A TCP connection.
    Tcp,
    /// A UDP datagram that is to be echoed.
    Udp,
    /// The INIT of an SCTP association, which is to be answered.
    Sctp,
}

/// A knock at a door.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Probe {
    /// Whence.
    pub from: Place,
    /// To which address.
    pub to: IpAddr,
    /// How.
    pub protocol: ProbeProtocol,
    /// At which port.
    pub port: u16,
    /// After how many milliseconds no answer is taken for silence.
    pub deadline_ms: u64,
}

/// What came back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// TCP: the connection was made. UDP: the datagram came back. SCTP: the association was accepted.
    Connected,
    /// Nothing, until the deadline.
    Silent,
    /// The other end said that nobody listens.
    Refused,
    /// A router, or the source's own routes, said that there is no way.
    Unreachable,
    /// The probe could not be made; [`ProbeResult::detail`] says why.
    Failed,
}

/// What came of a probe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ProbeResult {
    /// What came back.
    pub outcome: Outcome,
    /// How long it took, in microseconds.
    pub elapsed_us: u64,
    /// The operating system's words, where it said something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A connection to be kept alive by exchanging a line again and again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HoldRequest {
    /// Whence.
    pub from: Place,
    /// To which address.
    pub to: IpAddr,
    /// At which TCP port; something must echo lines there, as the responder does.
    pub port: u16,
    /// The pause between two exchanges, in milliseconds.
    pub interval_ms: u64,
    /// After how many milliseconds without an answer the connection counts as dead.
    pub deadline_ms: u64,
}

/// What happens to a held connection.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum HoldEvent {
    /// Another line went there and back.
    Alive {
        /// How many did so far.
        exchanges: u64,
    },
    /// It is over.
    Dead {
        /// How many lines went there and back.
        exchanges: u64,
        /// Why: no answer in time, reset, closed, or never connected.
        reason: String,
    },
}

/// A held connection. Dropping it closes the connection.
#[derive(Debug)]
pub struct Hold {
    pub(crate) lines: BufReader<UnixStream>,
}

impl Hold {
    /// Waits for the next event. After [`HoldEvent::Dead`] there is none.
    ///
    /// # Errors
    /// When the lab is gone.
    pub fn next_event(&mut self) -> Result<HoldEvent, LabError> {
        let mut line = String::new();
        match self.lines.read_line(&mut line) {
            Ok(0) => Err(LabError::Gone),
            Ok(_) => decode_line(&line),
            Err(source) => Err(LabError::Control { source }),
        }
    }

    /// Waits until the connection is dead, and says after how many exchanges and why.
    ///
    /// # Errors
    /// When the lab is gone.
    pub fn wait_dead(&mut self) -> Result<(u64, String), LabError> {
        loop {
            if let HoldEvent::Dead { exchanges, reason } = self.next_event()? {
                return Ok((exchanges, reason));
            }
        }
    }
}

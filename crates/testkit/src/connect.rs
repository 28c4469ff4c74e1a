//! True TCP connections between namespaces.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use oncilla_kernel::netns::{Netns, NetnsError};
use thiserror::Error;

/// What went wrong on this side of a connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The namespace could not be entered.
    #[error(transparent)]
    Netns(#[from] NetnsError),
    /// The listener could not be opened.
    #[error("nothing can listen on {addr}")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The attempt failed here, before the network had a say.
    #[error("a connection to {addr} could not even be tried")]
    Connect {
        /// Where to.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// How an attempt to connect ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Connection {
    /// The handshake was completed.
    Connected,
    /// Nothing came back until the deadline.
    Silent,
    /// Somebody said no: a reset, or an ICMP error.
    Refused,
}

/// Listens on `addr` inside `netns`. The kernel completes handshakes by itself: holding the listener is enough.
pub fn listen(netns: &Netns, addr: SocketAddr) -> Result<TcpListener, ConnectError> {
    netns
        .run(|| TcpListener::bind(addr))?
        .map_err(|source| ConnectError::Listen { addr, source })
}

/// Tries to connect from inside `netns` to `addr`. A denied attempt takes the whole `deadline`: use it once per outcome
/// and the prober for the many.
pub fn connect(
    netns: &Netns,
    addr: SocketAddr,
    deadline: Duration,
) -> Result<Connection, ConnectError> {
    use io::ErrorKind as Kind;
    match netns.run(|| TcpStream::connect_timeout(&addr, deadline))? {
        Ok(_stream) => Ok(Connection::Connected),
        Err(error) if matches!(error.kind(), Kind::TimedOut | Kind::WouldBlock) => {
            Ok(Connection::Silent)
        }
        Err(error)
            if matches!(
                error.kind(),
                Kind::ConnectionRefused
                    | Kind::ConnectionReset
                    | Kind::HostUnreachable
                    | Kind::PermissionDenied
            ) =>
        {
            Ok(Connection::Refused)
        }
        Err(source) => Err(ConnectError::Connect { addr, source }),
    }
}

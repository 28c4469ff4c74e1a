//! Probes from inside a lab: a socket belongs to the namespace it was opened in, so all are served from here at once.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use oncilla_kernel::netns::Netns;
use rustix::io::Errno;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::OwnedWriteHalf;
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::{sleep, timeout};

use super::{clock, sctp};
use crate::probe::{HoldEvent, HoldRequest, Outcome, Probe, ProbeProtocol, ProbeResult};
use crate::protocol::encode_line;

/// The pause between two attempts of a readiness probe.
const READINESS_PAUSE: Duration = Duration::from_millis(50);
/// How long one attempt may take.
const READINESS_TIMEOUT: Duration = Duration::from_secs(1);

/// A socket that is ready to knock.
#[derive(Debug)]
pub(crate) enum Knocker {
    Tcp(TcpSocket),
    Udp(std::net::UdpSocket),
    /// A raw socket.
    Sctp(std::net::UdpSocket),
}

impl Knocker {
    /// Opens a socket for a probe in the calling thread's namespace.
    pub(crate) fn open(probe: &Probe) -> io::Result<Self> {
        match probe.protocol {
            ProbeProtocol::Tcp => tcp(probe.to).map(Self::Tcp),
            ProbeProtocol::Udp => {
                let any: IpAddr = match probe.to {
                    IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                };
                let socket = std::net::UdpSocket::bind((any, 0))?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket))
            }
            ProbeProtocol::Sctp => sctp::open(probe.to).map(Self::Sctp),
        }
    }

    /// Knocks, and waits for an answer until the probe's deadline.
    pub(crate) async fn knock(self, probe: &Probe) -> ProbeResult {
        let started = clock::now();
        let deadline = Duration::from_millis(probe.deadline_ms);
        let to = SocketAddr::new(probe.to, probe.port);
        let answer = match self {
            Self::Tcp(socket) => timeout(deadline, connect(socket, to)).await,
            Self::Udp(socket) => timeout(deadline, ask(socket, to)).await,
            Self::Sctp(socket) => timeout(deadline, sctp::ask(socket, to)).await,
        };
        let (outcome, detail) = match answer {
            Ok(Ok(())) => (Outcome::Connected, None),
            Ok(Err(error)) => (outcome(&error), Some(error.to_string())),
            Err(_elapsed) => (Outcome::Silent, None),
        };
        let elapsed = clock::now().duration_since(started);
        ProbeResult {
            outcome,
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            detail,
        }
    }
}

/// The result of a probe that could not be made.
pub(crate) fn impossible(detail: String) -> ProbeResult {
    ProbeResult {
        outcome: Outcome::Failed,
        elapsed_us: 0,
        detail: Some(detail),
    }
}

/// Waits until a TCP port opens, seen from inside `net`.
pub(crate) async fn until_open(net: &Netns, to: SocketAddr) {
    loop {
        let socket = net.run(|| tcp(to.ip()));
        if let Ok(Ok(socket)) = socket {
            let connected = timeout(READINESS_TIMEOUT, socket.connect(to)).await;
            if matches!(connected, Ok(Ok(_))) {
                return;
            }
        }
        sleep(READINESS_PAUSE).await;
    }
}

/// Keeps a connection alive and writes each exchange to `report`; ends with its death, or when nobody listens.
pub(crate) async fn hold(
    net: &Netns,
    request: &HoldRequest,
    report: &mut OwnedWriteHalf,
) -> io::Result<()> {
    let mut exchanges = 0;
    let deadline = Duration::from_millis(request.deadline_ms);
    let to = SocketAddr::new(request.to, request.port);
    let socket = net.run(|| tcp(request.to)).map_err(io::Error::other);
    let reason = match socket.flatten() {
        Err(error) => error.to_string(),
        Ok(socket) => match timeout(deadline, socket.connect(to)).await {
            Err(_elapsed) => "no answer to the attempt to connect".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Ok(Ok(stream)) => {
                let mut stream = BufReader::new(stream);
                loop {
                    if let Err(reason) = exchange(&mut stream, exchanges, deadline).await {
                        break reason;
                    }
                    exchanges += 1;
                    let alive = encode_line(&HoldEvent::Alive { exchanges });
                    report.write_all(alive.as_bytes()).await?;
                    sleep(Duration::from_millis(request.interval_ms)).await;
                }
            }
        },
    };
    let dead = encode_line(&HoldEvent::Dead { exchanges, reason });
    report.write_all(dead.as_bytes()).await
}

/// Sends a line and waits until it is back.
async fn exchange(
    stream: &mut BufReader<TcpStream>,
    number: u64,
    deadline: Duration,
) -> Result<(), String> {
    let sent = format!("hold {number}\n");
    let there_and_back = async {
        stream.get_mut().write_all(sent.as_bytes()).await?;
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        Ok::<_, io::Error>(line)
    };
    match timeout(deadline, there_and_back).await {
        Err(_elapsed) => Err(format!("no answer within {} ms", deadline.as_millis())),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(line)) if line.is_empty() => Err("closed by the other end".to_owned()),
        Ok(Ok(line)) if line != sent => Err("the other end does not echo lines".to_owned()),
        Ok(Ok(_)) => Ok(()),
    }
}

fn tcp(to: IpAddr) -> io::Result<TcpSocket> {
    match to {
        IpAddr::V4(_) => TcpSocket::new_v4(),
        IpAddr::V6(_) => TcpSocket::new_v6(),
    }
}

async fn connect(socket: TcpSocket, to: SocketAddr) -> io::Result<()> {
    let stream = socket.connect(to).await?;
    // A reset instead of a long goodbye: the next probe may want the same ports.
    drop(stream.set_zero_linger());
    Ok(())
}

async fn ask(socket: std::net::UdpSocket, to: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(to).await?;
    socket.send(b"oncilla").await?;
    let mut answer = [0; 16];
    socket.recv(&mut answer).await.map(drop)
}

fn outcome(error: &io::Error) -> Outcome {
    let errno = error.raw_os_error();
    let is = |known: Errno| errno == Some(known.raw_os_error());
    let refused = error.kind() == io::ErrorKind::ConnectionRefused;
    // A kernel without SCTP says that there is no such protocol.
    if refused || is(Errno::CONNRESET) || is(Errno::NOPROTOOPT) {
        Outcome::Refused
    } else if is(Errno::HOSTUNREACH) || is(Errno::NETUNREACH) || is(Errno::ACCESS) {
        Outcome::Unreachable
    } else if is(Errno::TIMEDOUT) || is(Errno::PERM) {
        // The kernel drops a packet of our own in its output chain with "not permitted": to a person that is silence.
        Outcome::Silent
    } else {
        Outcome::Failed
    }
}

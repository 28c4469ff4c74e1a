//! The built-in responder: what answers in a pod that runs no program of its own.
//!
//! TCP: an HTTP request gets 200 and the pod's name; any other line comes back as it is, so that a live connection can
//! be watched. The connection stays open. UDP: datagrams come back. SCTP: as TCP, where the kernel has SCTP sockets;
//! where it has none, the first packet of an association is answered by a raw socket.
//!
//! A socket belongs to the network namespace it was opened in; who serves it does not matter. So one thread serves
//! all pods, and a pod costs its sockets and a few kilobytes.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::thread;

use oncilla_api::TransportProtocol;
use oncilla_kernel::netns::{Netns, NetnsError};
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::sctp::{self, RawResponder};
use crate::options::ListenPort;

/// Connections open at once at one port; further clients wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 1024;
/// Longest line that is echoed whole, in bytes; longer ones come back in pieces.
const LINE_BYTES_MAX: u64 = 8192;
/// Most header lines of a request.
const HEADERS_MAX: usize = 128;
/// Largest datagram.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// How many connections the kernel keeps until they are taken, for SCTP.
const QUEUE_LENGTH: i32 = 128;
/// The buffer of a connection, in bytes.
const BUFFER_BYTES: usize = 1024;

/// The thread that serves all responders of a lab.
#[derive(Clone, Debug)]
pub(crate) struct ResponderThread {
    handle: Handle,
}

impl ResponderThread {
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new()
            .name("responder".to_owned())
            .spawn(move || runtime.block_on(std::future::pending::<()>()))?;
        Ok(Self { handle })
    }

    /// Serves sockets that were opened before.
    pub(crate) fn serve(&self, sockets: Sockets, name: &str) -> Responder {
        let name: Arc<str> = name.into();
        let mut responder = Responder {
            tasks: JoinSet::new(),
            listens: sockets.listens,
            problems: sockets.problems,
        };
        let _inside = self.handle.enter();
        for stream in sockets.streams {
            match TcpListener::from_std(stream) {
                Ok(listener) => {
                    let task = listen(listener, Arc::clone(&name));
                    responder.tasks.spawn_on(task, &self.handle);
                }
                Err(error) => responder.problems.push(error.to_string()),
            }
        }
        for socket in sockets.datagrams {
            match UdpSocket::from_std(socket) {
                Ok(socket) => {
                    responder.tasks.spawn_on(echo(socket), &self.handle);
                }
                Err(error) => responder.problems.push(error.to_string()),
            }
        }
        if let Some(raw) = sockets.sctp {
            for socket in raw.sockets {
                let task = sctp::answer(socket, raw.ports.clone());
                responder.tasks.spawn_on(task, &self.handle);
            }
        }
        responder
    }
}

/// What answers for one pod or host. Dropped, it falls silent.
#[derive(Debug)]
pub(crate) struct Responder {
    tasks: JoinSet<()>,
    /// What it answers on.
    pub(crate) listens: Vec<ListenPort>,
    /// What it should answer on and cannot, with the reason.
    pub(crate) problems: Vec<String>,
}

impl Responder {
    /// Closes every socket, so that the ports are free when this returns.
    pub(crate) async fn close(mut self) {
        self.tasks.shutdown().await;
    }
}

/// Sockets that listen in one namespace.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    /// TCP and SCTP: both speak streams.
    streams: Vec<std::net::TcpListener>,
    datagrams: Vec<std::net::UdpSocket>,
    /// SCTP where the kernel has no sockets for it.
    sctp: Option<RawResponder>,
    listens: Vec<ListenPort>,
    problems: Vec<String>,
}

impl Sockets {
    /// Opens `ports` in `netns`, whose own addresses are `addresses`. A port that cannot be opened is a problem of its
    /// own; the others are served.
    pub(crate) fn open(
        netns: &Netns,
        ports: &[ListenPort],
        addresses: &[IpAddr],
    ) -> Result<Self, NetnsError> {
        netns.run(|| {
            let mut sockets = Self::default();
            for &port in ports {
                match sockets.add(port, addresses) {
                    Ok(()) => sockets.listens.push(port),
                    Err(error) => sockets.problems.push(format!("{port}: {error}")),
                }
            }
            sockets
        })
    }

    fn add(&mut self, port: ListenPort, addresses: &[IpAddr]) -> io::Result<()> {
        match port.protocol {
            TransportProtocol::Tcp => {
                let listener = std::net::TcpListener::bind((Ipv6Addr::UNSPECIFIED, port.port))
                    .or_else(|_no_ipv6| {
                        std::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, port.port))
                    })?;
                listener.set_nonblocking(true)?;
                self.streams.push(listener);
            }
            TransportProtocol::Udp => {
                // An answer must come from the address that was asked; a socket for each address sees to that.
                let local = [
                    Ipv4Addr::LOCALHOST.into(),
                    IpAddr::from(Ipv6Addr::LOCALHOST),
                ];
                for address in addresses.iter().copied().chain(local) {
                    let socket = std::net::UdpSocket::bind((address, port.port))?;
                    socket.set_nonblocking(true)?;
                    self.datagrams.push(socket);
                }
            }
            TransportProtocol::Sctp => match listen_sctp(port.port) {
                Ok(listener) => self.streams.push(listener),
                Err(error) if no_protocol(&error) => self.add_raw(port.port, addresses)?,
                Err(error) => return Err(error),
            },
        }
        Ok(())
    }

    fn add_raw(&mut self, port: u16, addresses: &[IpAddr]) -> io::Result<()> {
        let raw = match &mut self.sctp {
            Some(raw) => raw,
            none => none.insert(RawResponder::open(addresses)?),
        };
        raw.ports.insert(port);
        Ok(())
    }
}

/// An SCTP socket of the one-to-one style: it listens, accepts, reads and writes as a TCP socket does.
fn listen_sctp(port: u16) -> io::Result<std::net::TcpListener> {
    let socket = rustix::net::socket_with(
        AddressFamily::INET6,
        SocketType::STREAM,
        SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
        Some(ipproto::SCTP),
    )?;
    let address = SocketAddr::V6(SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0));
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, QUEUE_LENGTH)?;
    Ok(std::net::TcpListener::from(socket))
}

fn no_protocol(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error();
    [Errno::PROTONOSUPPORT, Errno::SOCKTNOSUPPORT]
        .iter()
        .any(|known| errno == Some(known.raw_os_error()))
}

async fn listen(listener: TcpListener, name: Arc<str>) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS_MAX {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, _peer)) => {
                let name = Arc::clone(&name);
                connections.spawn(async move {
                    // A peer that goes away is the ordinary end.
                    drop(converse(stream, &name).await);
                });
            }
            // Too many open files, or a connection that was gone at once: the next end of one makes room.
            Err(_error) => drop(connections.join_next().await),
        }
    }
}

async fn converse(stream: TcpStream, name: &str) -> io::Result<()> {
    let mut stream = BufReader::with_capacity(BUFFER_BYTES, stream);
    let mut line = Vec::new();
    loop {
        if !read_line(&mut stream, &mut line).await? {
            return Ok(());
        }
        if !is_request(&line) {
            stream.get_mut().write_all(&line).await?;
            continue;
        }
        let wants_more = answer_request(&mut stream, &line, name).await?;
        if !wants_more {
            return stream.get_mut().shutdown().await;
        }
    }
}

/// Reads the rest of a request and answers it; false when the client wants no further answer.
async fn answer_request(
    stream: &mut BufReader<TcpStream>,
    request: &[u8],
    name: &str,
) -> io::Result<bool> {
    let mut keep = !request.trim_ascii_end().ends_with(b"HTTP/1.0");
    let mut body_bytes = 0;
    let mut header = Vec::new();
    for _ in 0..HEADERS_MAX {
        let more = read_line(stream, &mut header).await?;
        let text = String::from_utf8_lossy(&header).to_ascii_lowercase();
        let text = text.trim();
        if !more || text.is_empty() {
            break;
        }
        match text.split_once(':') {
            Some(("content-length", length)) => body_bytes = length.trim().parse().unwrap_or(0),
            Some(("connection", value)) => keep = value.trim() != "close",
            _ => {}
        }
    }
    tokio::io::copy(&mut (&mut *stream).take(body_bytes), &mut tokio::io::sink()).await?;
    let connection = if keep { "keep-alive" } else { "close" };
    let length = name.len() + 1;
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: {connection}\r\n\r\n"
    );
    let body = if request.starts_with(b"HEAD ") {
        String::new()
    } else {
        format!("{name}\n")
    };
    stream
        .get_mut()
        .write_all(format!("{head}{body}").as_bytes())
        .await?;
    Ok(keep)
}

/// Reads a line, or a piece of a long one; false at the end.
async fn read_line(stream: &mut BufReader<TcpStream>, line: &mut Vec<u8>) -> io::Result<bool> {
    line.clear();
    let mut limited = stream.take(LINE_BYTES_MAX);
    Ok(limited.read_until(b'\n', line).await? > 0)
}

/// `GET / HTTP/1.1` and the like.
fn is_request(line: &[u8]) -> bool {
    let line = line.trim_ascii_end();
    let mut words = line.split(|byte| *byte == b' ');
    let method = words.next().unwrap_or_default();
    let version = words.next_back().unwrap_or_default();
    !method.is_empty()
        && method.iter().all(u8::is_ascii_uppercase)
        && version.starts_with(b"HTTP/1.")
        && words.next().is_some()
}

async fn echo(socket: UdpSocket) {
    let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error is about an earlier answer that could not be delivered; the socket goes on.
        let Ok((length, peer)) = socket.recv_from(&mut datagram).await else {
            continue;
        };
        let Some(bytes) = datagram.get(..length) else {
            continue;
        };
        // Whoever does not get the answer asks again.
        drop(socket.send_to(bytes, peer).await);
    }
}

#[cfg(test)]
mod tests {
    use super::is_request;

    #[test]
    fn requests_are_told_from_lines() {
        for line in ["GET / HTTP/1.1\r\n", "POST /a?b HTTP/1.0\n"] {
            assert!(is_request(line.as_bytes()), "{line}");
        }
        for line in [
            "GET /\n",
            "hello\n",
            "\n",
            "get / HTTP/1.1\n",
            "GET HTTP/1.1\n",
        ] {
            assert!(!is_request(line.as_bytes()), "{line}");
        }
    }
}

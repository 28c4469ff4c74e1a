//! The control socket: one question a connection, one JSON value a line.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinSet, spawn_blocking};

use super::killing;
use super::knock::{self, Knocker};
use super::listening::Listening;
use super::sandbox::Sandbox;
use crate::options::ListenPort;
use crate::place::Place;
use crate::probe::{HoldRequest, Probe, ProbeResult};
use crate::protocol::{
    Answer, COMMAND_DONE, COMMAND_VARIABLE, Entry, LINE_BYTES_MAX, Request, encode_line,
};
use crate::status::LabStatus;

/// Connections open at once.
const CONNECTIONS_MAX: usize = 256;
/// Questions that wait for the supervisor's loop.
const QUERIES_MAX: usize = 64;
/// Probes under way at once in one connection: each is a socket.
const PROBES_MAX: usize = 512;

/// A question to the supervisor's loop.
#[derive(Debug)]
pub(crate) enum Query {
    Status(oneshot::Sender<(LabStatus, Declared)>),
    Places(Vec<Place>, oneshot::Sender<Places>),
}

/// The places that were asked for and exist.
pub(crate) type Places = BTreeMap<Place, Arc<Sandbox>>;

/// The ports that each pod's own processes say they listen on, and where to look.
pub(crate) type Declared = Vec<Option<(Arc<Sandbox>, Vec<ListenPort>)>>;

/// The control socket.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    user_namespace: bool,
    queries: mpsc::Sender<Query>,
}

impl Control {
    /// Listens on `socket`. Questions come out of the receiver.
    pub(crate) fn bind(
        socket: &Path,
        user_namespace: bool,
    ) -> io::Result<(Self, mpsc::Receiver<Query>)> {
        // The folder is closed to others, so nobody can connect before the mode is set.
        let listener = UnixListener::bind(socket)?;
        fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
        let (queries, receiver) = mpsc::channel(QUERIES_MAX);
        let control = Self {
            listener,
            user_namespace,
            queries,
        };
        Ok((control, receiver))
    }

    /// Answers for ever.
    pub(crate) async fn serve(self) {
        let mut connections = JoinSet::new();
        let mut number = 0;
        loop {
            while connections.len() >= CONNECTIONS_MAX {
                connections.join_next().await;
            }
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let Ok((stream, _peer)) = accepted else {
                // Too many open files: the next connection that ends makes room.
                connections.join_next().await;
                continue;
            };
            let own = rustix::process::geteuid().as_raw();
            if !matches!(stream.peer_cred(), Ok(peer) if peer.uid() == 0 || peer.uid() == own) {
                connections.spawn(turn_away(stream));
                continue;
            }
            number += 1;
            let conversation = Conversation {
                number,
                queries: self.queries.clone(),
                user_namespace: self.user_namespace,
            };
            connections.spawn(async move {
                if let Err(error) = conversation.hold(stream).await {
                    tracing::debug!(%error, "a control connection ended early");
                }
            });
        }
    }
}

/// Tells somebody else that the lab is not theirs. Root outside of a lab's user namespace is nobody inside.
async fn turn_away(mut stream: UnixStream) {
    let answer = Answer::Refused {
        message: "this lab is another user's; ask as that user".to_owned(),
    };
    // The question is read first: an unread one would reset the connection before the answer is.
    let mut question = String::new();
    let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
    let mut reader = BufReader::new(&mut stream).take(limit);
    if reader.read_line(&mut question).await.is_ok() {
        drop(stream.write_all(encode_line(&answer).as_bytes()).await);
    }
}

struct Conversation {
    /// Tells the commands of one lab apart.
    number: u64,
    queries: mpsc::Sender<Query>,
    user_namespace: bool,
}

impl Conversation {
    async fn hold(&self, stream: UnixStream) -> io::Result<()> {
        let (reader, mut writer) = stream.into_split();
        let mut reader = BufReader::new(reader);
        let mut line = String::new();
        let limit = u64::try_from(LINE_BYTES_MAX).unwrap_or(u64::MAX);
        (&mut reader).take(limit).read_line(&mut line).await?;
        let answer = match serde_json::from_str(&line) {
            Ok(Request::Hold(request)) => return self.hold_open(request, reader, writer).await,
            Ok(Request::Exec { place }) => return self.attend(place, reader, writer).await,
            Ok(request) => self.answer(request).await,
            Err(error) => Answer::Refused {
                message: format!("the lab cannot read the request: {error}"),
            },
        };
        writer.write_all(encode_line(&answer).as_bytes()).await
    }

    async fn answer(&self, request: Request) -> Answer {
        let gone = || Answer::Refused {
            message: "the lab is ending".to_owned(),
        };
        match request {
            Request::Status => {
                let (sender, receiver) = oneshot::channel();
                drop(self.queries.send(Query::Status(sender)).await);
                let Ok((status, declared)) = receiver.await else {
                    return gone();
                };
                let looking = spawn_blocking(move || look_up(status, declared));
                let status = looking.await;
                status.map_or_else(|_| gone(), |status| Answer::Status(Box::new(status)))
            }
            Request::Connect { probes } => {
                let places = probes.iter().map(|probe| probe.from.clone()).collect();
                let places = self.places(places).await;
                Answer::Connect {
                    results: knock_all(probes, places).await,
                }
            }
            Request::Hold(_) | Request::Exec { .. } => gone(),
        }
    }

    async fn places(&self, places: Vec<Place>) -> Places {
        let (sender, receiver) = oneshot::channel();
        drop(self.queries.send(Query::Places(places, sender)).await);
        receiver.await.unwrap_or_default()
    }

    async fn place(&self, place: &Place) -> Option<Arc<Sandbox>> {
        self.places(vec![place.clone()]).await.remove(place)
    }

    /// Lets somebody in to run a command, and ends what is left of it when the one who sent it dies.
    async fn attend(
        &self,
        place: Place,
        reader: BufReader<OwnedReadHalf>,
        mut writer: OwnedWriteHalf,
    ) -> io::Result<()> {
        let Some(sandbox) = self.place(&place).await else {
            let answer = Answer::UnknownPlace { place };
            return writer.write_all(encode_line(&answer).as_bytes()).await;
        };
        let command = self.number.to_string();
        let answer = Answer::Exec(Entry {
            doors: sandbox.doors(self.user_namespace),
            command: command.clone(),
        });
        writer.write_all(encode_line(&answer).as_bytes()).await?;
        let mut line = String::new();
        let limit = u64::try_from(COMMAND_DONE.len() + 1).unwrap_or(u64::MAX);
        let read = reader.take(limit).read_line(&mut line).await;
        if read.is_err() || line.trim_end() != COMMAND_DONE {
            // A command that is just being started holds a copy of the connection until it has its variable, so that
            // none is missed.
            let marked = format!("{COMMAND_VARIABLE}={command}");
            drop(spawn_blocking(move || killing::all_with(&marked)).await);
        }
        Ok(())
    }

    /// Keeps a connection alive for as long as somebody listens to what becomes of it.
    async fn hold_open(
        &self,
        request: HoldRequest,
        mut reader: BufReader<OwnedReadHalf>,
        mut writer: OwnedWriteHalf,
    ) -> io::Result<()> {
        let Some(sandbox) = self.place(&request.from).await else {
            let place = request.from;
            let reason = format!("{place} is not in this lab");
            let dead = crate::probe::HoldEvent::Dead {
                exchanges: 0,
                reason,
            };
            return writer.write_all(encode_line(&dead).as_bytes()).await;
        };
        let mut nothing = [0; 1];
        tokio::select! {
            held = knock::hold(&sandbox.net, &request, &mut writer) => held,
            // The asker says nothing more, so this is its end.
            read = reader.read(&mut nothing) => read.map(drop),
        }
    }
}

/// Names the ports that a pod declares and nobody serves.
fn look_up(mut status: LabStatus, declared: Declared) -> LabStatus {
    for (pod, declared) in status.pods.iter_mut().zip(declared) {
        let Some((sandbox, ports)) = declared else {
            continue;
        };
        match Listening::of(&sandbox.net) {
            Ok(listening) => pod.notes.extend(listening.notes(&ports)),
            Err(error) => pod
                .notes
                .push(format!("what it listens on cannot be seen: {error}")),
        }
    }
    status
}

/// Makes all probes, many at once; results come in the order of the probes.
async fn knock_all(probes: Vec<Probe>, places: Places) -> Vec<ProbeResult> {
    let mut round = Round {
        results: vec![None; probes.len()],
        knocks: JoinSet::new(),
    };
    let mut pending: BTreeMap<Place, Vec<(usize, Probe)>> = BTreeMap::new();
    for (index, probe) in probes.into_iter().enumerate() {
        let of_place = pending.entry(probe.from.clone()).or_default();
        of_place.push((index, probe));
    }
    for (place, probes) in pending {
        let Some(sandbox) = places.get(&place) else {
            let detail = format!("{place} is not in this lab");
            for (index, _) in probes {
                round.put(index, knock::impossible(detail.clone()));
            }
            continue;
        };
        for some in probes.chunks(PROBES_MAX) {
            let opened = open(Arc::clone(sandbox), some.to_vec()).await;
            round.start(opened).await;
        }
    }
    round.end().await
}

/// Probes that were asked for together.
struct Round {
    results: Vec<Option<ProbeResult>>,
    knocks: JoinSet<(usize, ProbeResult)>,
}

impl Round {
    async fn start(&mut self, opened: Vec<Opened>) {
        for (index, probe, opened) in opened {
            if self.knocks.len() >= PROBES_MAX {
                self.take_one().await;
            }
            match opened {
                Ok(knocker) => {
                    let knock = async move { (index, knocker.knock(&probe).await) };
                    self.knocks.spawn(knock);
                }
                Err(error) => self.put(index, knock::impossible(error.to_string())),
            }
        }
    }

    async fn end(mut self) -> Vec<ProbeResult> {
        while !self.knocks.is_empty() {
            self.take_one().await;
        }
        let missing = || knock::impossible("the probe was lost".to_owned());
        let results = self.results.into_iter();
        let results = results.map(|result| result.unwrap_or_else(missing));
        results.collect()
    }

    async fn take_one(&mut self) {
        if let Some(Ok((index, result))) = self.knocks.join_next().await {
            self.put(index, result);
        }
    }

    fn put(&mut self, index: usize, result: ProbeResult) {
        if let Some(slot) = self.results.get_mut(index) {
            *slot = Some(result);
        }
    }
}

type Opened = (usize, Probe, io::Result<Knocker>);

/// Opens the sockets of probes from one place.
async fn open(sandbox: Arc<Sandbox>, probes: Vec<(usize, Probe)>) -> Vec<Opened> {
    let opening = spawn_blocking(move || {
        // Sockets that register with the runtime do so when they connect, not when they are opened.
        let opened = sandbox.net.run(|| {
            let probes = probes.iter();
            probes.map(|(_, probe)| Knocker::open(probe)).collect()
        });
        let opened: Vec<io::Result<Knocker>> = opened.unwrap_or_else(|error| {
            let text = error.to_string();
            let fail = |_| Err(io::Error::other(text.clone()));
            (0..probes.len()).map(fail).collect()
        });
        let both = probes.into_iter().zip(opened);
        both.map(|((index, probe), opened)| (index, probe, opened))
            .collect()
    });
    opening.await.unwrap_or_default()
}

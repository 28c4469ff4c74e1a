//! redb backends: the file behind our header, and a view of a backend that writes nothing.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{PoisonError, RwLock};

use redb::StorageBackend;

/// Bytes before the database begins; a multiple of the page size of every Linux target's disk.
pub(super) const HEADER_BYTES: u64 = 4096;

/// The database part of a store file.
#[derive(Debug)]
pub(super) struct BehindHeader {
    file: File,
}

impl BehindHeader {
    pub(super) fn new(file: File) -> Self {
        Self { file }
    }
}

impl StorageBackend for BehindHeader {
    fn len(&self) -> io::Result<u64> {
        let len = self.file.metadata()?.len();
        Ok(len.saturating_sub(HEADER_BYTES))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, HEADER_BYTES + offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(HEADER_BYTES + len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, HEADER_BYTES + offset)
    }
}

/// Bytes of one piece of the overlay.
const PIECE_BYTES: u64 = 4096;

/// A view of a backend whose writes stay in memory: a file can be opened, repaired and checked
/// through it without being touched.
#[derive(Debug)]
pub(super) struct Overlay<B> {
    below: B,
    state: RwLock<OverlayState>,
}

#[derive(Debug)]
struct OverlayState {
    len: u64,
    /// Bytes of the backend below that are still visible; less than its length after a cut.
    visible: u64,
    pieces: BTreeMap<u64, Vec<u8>>,
}

impl<B: StorageBackend> Overlay<B> {
    pub(super) fn new(below: B) -> io::Result<Self> {
        let len = below.len()?;
        Ok(Self {
            below,
            state: RwLock::new(OverlayState {
                len,
                visible: len,
                pieces: BTreeMap::new(),
            }),
        })
    }

    fn below_piece(&self, visible: u64, piece: u64) -> io::Result<Vec<u8>> {
        let start = piece * PIECE_BYTES;
        let mut bytes = vec![0; bytes_in_memory(PIECE_BYTES)];
        let there = visible.saturating_sub(start).min(PIECE_BYTES);
        if let Some(part) = bytes.get_mut(..bytes_in_memory(there))
            && !part.is_empty()
        {
            self.below.read(start, part)?;
        }
        Ok(bytes)
    }
}

/// A byte count of at most one buffer's length, as an index.
fn bytes_in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).expect("a piece or a buffer fits in memory")
}

impl<B: StorageBackend> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        Ok(state.len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if offset + out.len() as u64 > state.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The common case first: nothing of this range was written.
        let end = offset + out.len() as u64;
        let touched = offset / PIECE_BYTES..end.div_ceil(PIECE_BYTES);
        if end <= state.visible && state.pieces.range(touched).next().is_none() {
            return self.below.read(offset, out);
        }
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let within = bytes_in_memory(at % PIECE_BYTES);
            let count = (bytes_in_memory(PIECE_BYTES) - within).min(out.len() - done);
            let piece = at / PIECE_BYTES;
            let target = &mut out[done..done + count];
            if let Some(bytes) = state.pieces.get(&piece) {
                target.copy_from_slice(&bytes[within..within + count]);
            } else {
                let bytes = self.below_piece(state.visible, piece)?;
                target.copy_from_slice(&bytes[within..within + count]);
            }
            done += count;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if len < state.len {
            state.visible = state.visible.min(len);
            let boundary = len / PIECE_BYTES;
            state.pieces.split_off(&(boundary + 1));
            let within = bytes_in_memory(len % PIECE_BYTES);
            if let Some(piece) = state.pieces.get_mut(&boundary) {
                piece[within..].fill(0);
            }
        }
        state.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let visible = state.visible;
        let mut done = 0;
        while done < data.len() {
            let at = offset + done as u64;
            let within = bytes_in_memory(at % PIECE_BYTES);
            let count = (bytes_in_memory(PIECE_BYTES) - within).min(data.len() - done);
            let piece = at / PIECE_BYTES;
            let bytes = match state.pieces.entry(piece) {
                Entry::Occupied(there) => there.into_mut(),
                Entry::Vacant(free) => free.insert(self.below_piece(visible, piece)?),
            };
            bytes[within..within + count].copy_from_slice(&data[done..done + count]);
            done += count;
        }
        state.len = state.len.max(offset + data.len() as u64);
        Ok(())
    }
}

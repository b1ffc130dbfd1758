//! A bounded pipe of reused buffers between the thread that inflates a layer and the one that reads its tar.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Size of a buffer in the pipe.
pub(super) const BUFFER: usize = 256 << 10;
/// Buffers that may be full at once: enough to even out the two threads, little enough to forget.
const DEPTH: usize = 4;

/// The end that fills buffers.
pub(super) struct Filler {
    full: SyncSender<Vec<u8>>,
    empty: Receiver<Vec<u8>>,
}

/// The end that reads them. Its end of file means only that the filler stopped; whether it stopped at the true
/// end is for the filler to say.
pub(super) struct Drain {
    full: Receiver<Vec<u8>>,
    empty: Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
}

pub(super) fn pipe() -> (Filler, Drain) {
    let (full, filled) = sync_channel(DEPTH);
    let (empty, emptied) = channel();
    (Filler { full, empty: emptied }, Drain { full: filled, empty, current: Vec::new(), position: 0 })
}

impl Filler {
    /// A buffer to fill, of length [`BUFFER`].
    pub(super) fn buffer(&self) -> Vec<u8> {
        let mut buffer = self.empty.try_recv().unwrap_or_default();
        buffer.resize(BUFFER, 0);
        buffer
    }

    /// Hands over a filled buffer; false when nobody reads any more.
    pub(super) fn send(&self, buffer: Vec<u8>) -> bool {
        self.full.send(buffer).is_ok()
    }
}

impl Read for Drain {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.position == self.current.len() {
            let Ok(next) = self.full.recv() else { return Ok(0) };
            // The filler may be gone already.
            let _ = self.empty.send(std::mem::replace(&mut self.current, next));
            self.position = 0;
        }
        let n = out.len().min(self.current.len() - self.position);
        out[..n].copy_from_slice(&self.current[self.position..self.position + n]);
        self.position += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_as_they_went_in() {
        let (filler, mut drain) = pipe();
        let filling = std::thread::spawn(move || {
            for round in 0..50u8 {
                let mut buffer = filler.buffer();
                buffer.fill(round);
                buffer.truncate(1 + usize::from(round) * 100);
                assert!(filler.send(buffer));
            }
        });
        let mut out = Vec::new();
        drain.read_to_end(&mut out).unwrap();
        filling.join().unwrap();
        assert_eq!(out.len(), (0..50).map(|r| 1 + r * 100).sum::<usize>());
        assert!(out.is_sorted());
    }

    #[test]
    fn a_filler_without_a_reader_is_told() {
        let (filler, drain) = pipe();
        drop(drain);
        assert!(!filler.send(filler.buffer()));
    }
}

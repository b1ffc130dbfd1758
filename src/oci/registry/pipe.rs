//! From the task that receives a blob to the thread that reads it: pieces as they came, without a copy, and not
//! more of them than fit a bound.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::oci::Error;

/// Bytes under way in one pipe: enough to bridge a hiccup, little beside what decompression needs.
const WINDOW: usize = 2 << 20;

/// Bounded by the permits that pieces carry, not by their count.
enum Message {
    Piece(Bytes, OwnedSemaphorePermit),
    End,
    Failed(Error),
}

/// The receiving task's end. Dropping it without [`Sender::end`] is an error for the reader, never an end.
pub struct Sender {
    messages: UnboundedSender<Message>,
    window: Arc<Semaphore>,
}

/// The reading thread's end. Blocks; must not be read inside the runtime.
pub struct Reader {
    messages: UnboundedReceiver<Message>,
    window: Arc<Semaphore>,
    piece: Bytes,
    permit: Option<OwnedSemaphorePermit>,
    ended: bool,
}

/// The reader is gone: nobody wants the rest.
#[derive(Debug)]
pub struct Abandoned;

pub fn pipe() -> (Sender, Reader) {
    let (sender, receiver) = unbounded_channel();
    let window = Arc::new(Semaphore::new(WINDOW));
    let reader = Reader {
        messages: receiver,
        window: window.clone(),
        piece: Bytes::new(),
        permit: None,
        ended: false,
    };
    (Sender { messages: sender, window }, reader)
}

impl Sender {
    /// Hands a piece over; waits while the window is full.
    pub async fn send(&self, piece: Bytes) -> Result<(), Abandoned> {
        let size = piece.len().clamp(1, WINDOW) as u32;
        let permit = self.window.clone().acquire_many_owned(size).await.map_err(|_| Abandoned)?;
        self.messages.send(Message::Piece(piece, permit)).map_err(|_| Abandoned)
    }

    pub fn end(self) {
        // Nobody reads any more: nobody misses the end.
        let _ = self.messages.send(Message::End);
    }

    pub fn fail(self, error: Error) {
        // As above.
        let _ = self.messages.send(Message::Failed(error));
    }

    /// True when nobody reads any more.
    pub fn is_abandoned(&self) -> bool {
        self.messages.is_closed()
    }
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && !self.ended && !buffer.is_empty() {
            self.permit = None;
            match self.messages.blocking_recv() {
                Some(Message::Piece(piece, permit)) => (self.piece, self.permit) = (piece, Some(permit)),
                Some(Message::End) => self.ended = true,
                Some(Message::Failed(error)) => return Err(error.into()),
                None => return Err(io::Error::other("the transfer was given up")),
            }
        }
        let n = self.piece.len().min(buffer.len());
        buffer[..n].copy_from_slice(&self.piece.split_to(n));
        Ok(n)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // Wakes a sender that waits for room.
        self.window.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap()
    }

    #[test]
    fn pieces_arrive_in_order_and_the_end_is_said() {
        let (runtime, (sender, mut reader)) = (runtime(), pipe());
        runtime.spawn(async move {
            for n in 0..100_u8 {
                sender.send(vec![n; 100_000].into()).await.unwrap();
            }
            sender.send(Bytes::new()).await.unwrap();
            sender.end();
        });
        let mut all = Vec::new();
        reader.read_to_end(&mut all).unwrap();
        assert_eq!(all.len(), 10_000_000);
        assert!(all.chunks(100_000).zip(0..).all(|(chunk, n)| chunk.iter().all(|b| *b == n)));
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn a_sender_that_vanishes_is_no_end() {
        let (sender, mut reader) = pipe();
        drop(sender);
        assert!(reader.read(&mut [0]).is_err());
        let (sender, mut reader) = pipe();
        sender.fail(Error::malformed("x", "y"));
        let error = reader.read(&mut [0]).unwrap_err();
        assert_eq!(Error::from_io(error, String::new).to_string(), "x is malformed: y");
    }

    #[test]
    fn no_more_than_the_window_is_under_way() {
        let (runtime, (sender, mut reader)) = (runtime(), pipe());
        let piece = Bytes::from(vec![0; WINDOW / 2]);
        runtime.block_on(async {
            sender.send(piece.clone()).await.unwrap();
            sender.send(piece.clone()).await.unwrap();
            let third =
                tokio::time::timeout(std::time::Duration::from_millis(50), sender.send(piece.clone()));
            assert!(third.await.is_err());
        });
        let mut buffer = vec![0; WINDOW / 2 + 1];
        reader.read_exact(&mut buffer).unwrap();
        runtime.block_on(sender.send(piece)).unwrap();
        let waiting = runtime.spawn(async move { sender.send(vec![0; WINDOW * 2].into()).await });
        drop(reader);
        assert!(runtime.block_on(waiting).unwrap().is_err());
    }
}

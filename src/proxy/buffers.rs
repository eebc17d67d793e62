//! Memory that moves with the work and not with the connections: a byte buffer, and a stock of
//! things that are lent to whoever is busy. It must not know what is in them.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

/// How much is read at once of something large. More would make fewer system calls of it, less takes
/// less memory while the other side is slow.
pub(crate) const BUFFER_BYTES: usize = 16 * 1024;
/// How much is read at once to begin with: a page holds nearly every head with a small body, and a
/// thousand requests that come together take a thousand of these.
const FIRST_BYTES: usize = 4 * 1024;
/// Things of a kind that a worker keeps while nobody needs them; more are given back to the system.
const MOST_SPARE: usize = 256;
/// Text that is kept for its memory may be this large; what grew beyond is given back.
const MOST_KEPT_BYTES: usize = FIRST_BYTES;

/// Bytes that were read and are not consumed. Has no memory until it is first read into.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    /// The last read filled it: there is more where that came from.
    filled: bool,
}

impl Buffer {
    /// What is there.
    pub(crate) fn data(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.from == self.to
    }

    pub(crate) const fn len(&self) -> usize {
        self.to - self.from
    }

    /// The first `count` bytes have been dealt with.
    pub(crate) fn consume(&mut self, count: usize) {
        self.from += count;
        debug_assert!(self.from <= self.to, "only what is there can be consumed");
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Whether more can be read: makes room by moving what is there, or by growing to `most` bytes.
    pub(crate) fn make_room(&mut self, most: usize) -> bool {
        if self.filled && self.is_empty() && self.bytes.len() < BUFFER_BYTES.min(most) {
            self.bytes.resize(BUFFER_BYTES.min(most), 0);
        }
        if self.to < self.bytes.len() {
            return true;
        }
        if self.from > 0 {
            self.bytes.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            return true;
        }
        let grown = (2 * self.bytes.len()).max(FIRST_BYTES).min(most);
        if grown <= self.bytes.len() {
            return false;
        }
        self.bytes.resize(grown, 0);
        true
    }

    /// Reads once; 0 is the end of the stream. To be called with room alone.
    pub(crate) fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.to < self.bytes.len(), "no room would look like the end");
        let mut spare = ReadBuf::new(&mut self.bytes[self.to..]);
        ready!(Pin::new(stream).poll_read(cx, &mut spare))?;
        let count = spare.filled().len();
        self.to += count;
        self.filled = self.to == self.bytes.len();
        Poll::Ready(Ok(count))
    }

    /// Takes bytes that came by other means.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.truncate(self.to);
        self.bytes.extend_from_slice(bytes);
        self.to = self.bytes.len();
    }

    fn clear(&mut self) {
        *self = Self { bytes: std::mem::take(&mut self.bytes), ..Self::default() };
        if self.bytes.len() > FIRST_BYTES {
            self.bytes = vec![];
        }
    }
}

/// What can be lent again once it has been cleared.
pub(crate) trait Reusable: Default {
    /// Forgets everything but memory of the usual size.
    fn clear(&mut self);
}

impl Reusable for Buffer {
    fn clear(&mut self) {
        Buffer::clear(self);
    }
}

/// Things of a kind, lent to the tasks of one worker.
#[derive(Debug)]
pub(crate) struct Stock<T>(RefCell<Vec<Box<T>>>);

impl<T> Default for Stock<T> {
    fn default() -> Self {
        Self(RefCell::default())
    }
}

impl<T: Reusable> Stock<T> {
    /// One that is clear.
    pub(crate) fn take(&self) -> Box<T> {
        self.0.borrow_mut().pop().unwrap_or_default()
    }

    /// One that is not needed any more.
    pub(crate) fn give(&self, mut thing: Box<T>) {
        let mut spare = self.0.borrow_mut();
        if spare.len() < MOST_SPARE {
            thing.clear();
            spare.push(thing);
        }
    }
}

/// Empties a text, and gives its memory back if it is unusually large.
pub(crate) fn clear_text(text: &mut Vec<u8>) {
    text.clear();
    text.shrink_to(MOST_KEPT_BYTES);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(buffer: &mut Buffer, mut bytes: &[u8], most: usize) -> bool {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        while !bytes.is_empty() {
            if !buffer.make_room(most) {
                return false;
            }
            assert!(buffer.poll_read(cx, &mut bytes).is_ready());
        }
        true
    }

    #[test]
    fn it_grows_to_its_limit_and_keeps_what_is_there() {
        let mut buffer = Buffer::default();
        let text: Vec<u8> = (0..40_000_u32).map(|i| i as u8).collect();
        assert!(!read(&mut buffer, &text, 32_768), "more than the limit");
        assert_eq!(buffer.data(), &text[..32_768]);
        buffer.consume(30_000);
        assert!(read(&mut buffer, &text[32_768..], 32_768), "what was consumed makes room");
        assert_eq!(buffer.data(), &text[30_000..]);
        buffer.consume(buffer.len());
        assert!(buffer.is_empty());
        buffer.put(b"abc");
        buffer.consume(1);
        buffer.put(b"de");
        assert!(read(&mut buffer, b"f", 32_768));
        assert_eq!(buffer.data(), b"bcdef", "both ways are one");
    }

    #[test]
    fn who_reads_much_reads_more_at_once() {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        let (mut buffer, text) = (Buffer::default(), vec![b'x'; 40_000]);
        let (mut rest, mut reads) = (&text[..], vec![]);
        while !rest.is_empty() {
            assert!(buffer.make_room(BUFFER_BYTES));
            let Poll::Ready(Ok(count)) = buffer.poll_read(cx, &mut rest) else { panic!("pending") };
            reads.push(count);
            buffer.consume(count);
        }
        assert_eq!(
            reads,
            [FIRST_BYTES, BUFFER_BYTES, BUFFER_BYTES, 40_000 - FIRST_BYTES - 2 * BUFFER_BYTES]
        );
        Buffer::clear(&mut buffer);
        assert_eq!(buffer.bytes.len(), 0, "what is large is given back");
    }

    #[test]
    fn a_stock_lends_what_it_was_given_and_holds_no_more_than_its_limit() {
        let stock = Stock::<Buffer>::default();
        let mut one = stock.take();
        assert!(read(&mut one, b"abc", BUFFER_BYTES));
        stock.give(one);
        let again = stock.take();
        assert_eq!((again.len(), again.bytes.len()), (0, FIRST_BYTES), "memory without content");
        for _ in 0..MOST_SPARE + 10 {
            stock.give(Box::default());
        }
        assert_eq!(stock.0.borrow().len(), MOST_SPARE);
    }
}

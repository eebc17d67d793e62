//! Where the lines of a head begin and end, found as the bytes come. It must not know what a line
//! says.

use super::{MAX_HEAD_BYTES, Violation};

/// The reading position in a head that may not be whole yet. All places are counted from the
/// head's first byte.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Where the line begins that is read next.
    pub(super) line: usize,
    /// Up to where that line was searched for its end in vain: a line that comes byte by byte is
    /// read once when it is whole, not once a byte.
    searched: usize,
}

impl Scan {
    /// The part of the bytes that a head may have. A line that ends beyond the limit and one whose
    /// end is not here yet are judged alike, or the verdict would depend on the network's cuts.
    pub(super) fn within(bytes: &[u8]) -> &[u8] {
        &bytes[..bytes.len().min(MAX_HEAD_BYTES)]
    }

    /// Whether it is worth reading the line: nothing was searched in vain, or its end has come.
    pub(super) fn may_be_whole(&mut self, bytes: &[u8]) -> bool {
        self.searched <= self.line || self.end_of_line(bytes).is_some()
    }

    /// Goes on behind a line that was read.
    pub(super) const fn pass(&mut self, next: usize) {
        self.line = next;
    }

    /// The line without its LF, once that has come. For lines that the fast way could not read:
    /// either a part is missing, or something is wrong with them.
    pub(super) fn end_of_line<'a>(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let from = self.searched.max(self.line);
        match bytes[from..].iter().position(|&b| b == b'\n') {
            Some(at) => {
                self.searched = from + at;
                Some(&bytes[self.line..from + at])
            }
            None => {
                self.searched = bytes.len();
                None
            }
        }
    }

    /// The verdict on a head of which a part is missing.
    pub(super) fn unfinished(within: &[u8]) -> Result<Option<usize>, Violation> {
        if within.len() < MAX_HEAD_BYTES { Ok(None) } else { Err(Violation::HeadTooLarge) }
    }
}

//! The memory of an attempt: what is sent, what was read, and its deadline. It must not know what
//! is done with them.

use crate::buffers::{Buffer, Reusable, clear_text};
use crate::http1::ResponseHead;
use crate::timer::Deadline;

/// The memory of an attempt.
#[derive(Default)]
pub(crate) struct Lane {
    /// What goes out before the rest of the request's body.
    pub(crate) out: Vec<u8>,
    pub(crate) answer: Buffer,
    pub(crate) head: ResponseHead,
    pub(crate) deadline: Deadline,
}

impl Reusable for Lane {
    fn clear(&mut self) {
        clear_text(&mut self.out);
        self.answer.clear();
        self.head.clear();
    }
}

//! What a backend is made of: how many requests at once, how long each, how many wait.
//! It must not know how it answers over a wire.

use base::Distribution;

/// Who is served when more than `concurrency` requests are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discipline {
    /// The oldest `concurrency` requests, each at full speed; the rest wait.
    Fifo,
    /// All of them, sharing the speed of `concurrency` servers equally (processor sharing).
    Ps,
}

/// What happens to work whose client left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abandoned {
    /// It is done all the same, for nobody: what most servers do.
    Finish,
    /// It is dropped at once.
    Drop,
}

/// The model of one backend.
#[derive(Clone, Debug, PartialEq)]
pub struct BackendModel {
    /// Served at once, at least 1.
    pub concurrency: u32,
    /// How many may wait; `None` is unlimited. Beyond: 503.
    pub queue: Option<u32>,
    /// Who is served.
    pub discipline: Discipline,
    /// What happens to abandoned work.
    pub abandoned: Abandoned,
    /// How long one request takes alone.
    pub service: Distribution,
    /// Bytes of an answer's body.
    pub response_bytes: u32,
}

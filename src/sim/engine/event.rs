//! What can happen in a trial. It must not know what follows from it.

use base::{Key, Time};

use crate::server::Connection;

/// What happens next of all, at this very time: it need not go through the agenda.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    Request(Parcel),
    Event(Event),
}

/// What can happen beside arrivals and looks at backends. Keys of what has ended meanwhile find nothing,
/// and nothing happens.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// Those may begin to lose patience that came in the same epoch as one who came then.
    Impatience(Time),
    /// A client's patience ends.
    Patience(Key),
    /// An attempt must be connected by now.
    ConnectBy(Key),
    /// An attempt must be answered by now.
    AnswerBy(Key),
    /// This balancer wanted to be called.
    Balancer(u32),
    /// A fault begins or ends; index into the plan.
    Fault(u32),
    /// A window ends, or before the first the warm-up.
    Boundary(u32),
    /// A request has taken its time to its balancer.
    Enter(Key),
    /// An answer has taken its time to the client.
    Home(Key),
    /// An attempt has taken its time on the way there.
    SetOut(Key),
    // On the network, towards a backend:
    Knock(Key),
    /// The first of the parcels arrives: they all take equally long.
    Request,
    Cancel {
        leg: Key,
        backend: u32,
    },
    ProbeKnock(Key),
    ProbeRequest(Key),
    // … and back:
    Refused(Key),
    Accepted(Key, Connection),
    Reset(Key),
    Answer(Key, u16),
    ProbeEnd(Key),
    /// This backend says to this balancer that it is idle.
    Idle(u32, u32),
}

/// A request on its way to a backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parcel {
    pub(super) leg: Key,
    pub(super) backend: u32,
    pub(super) connection: Connection,
    pub(super) luck: u64,
}

//! A request's body on its way to a backend, and how far it is: what is left of it, and whose turn it
//! is. It must not know connections.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use base::{Clock, Time};
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// What is known of a request's body on its way to a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not a byte of it was asked for.
    Untouched,
    /// A part of it was handed over.
    Begun,
    /// All of it was handed over.
    Ended,
    /// The client broke it off.
    Broken,
}

/// What a request's body on its way tells those who wait for the answer.
pub(crate) struct Track {
    clock: Clock,
    progress: Cell<Progress>,
    /// The next piece was asked for and is not there.
    client_owes: Cell<bool>,
    /// When the client gave the latest piece.
    given_at: Cell<Time>,
}

impl Track {
    /// How far the body is.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.get()
    }

    /// Whether the next step is the client's.
    pub(crate) fn client_owes(&self) -> bool {
        self.client_owes.get()
    }

    /// When the client gave the latest piece: now, while one is waited for.
    pub(crate) fn given_at(&self) -> Time {
        if self.client_owes() { self.clock.now() } else { self.given_at.get() }
    }
}

/// A request's body, if it has one, on its way to a backend.
pub(crate) struct Upload(Option<(Incoming, Rc<Track>)>);

impl Upload {
    /// No body, and nothing that is kept for one.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    pub(crate) fn of(body: Incoming, clock: Clock) -> Self {
        let track = Track {
            clock,
            progress: Cell::new(Progress::Untouched),
            client_owes: Cell::new(false),
            given_at: Cell::new(Time::ZERO),
        };
        Self(Some((body, Rc::new(track))))
    }

    /// Whether it can be handed over again: nothing of it was, or there is nothing.
    pub(crate) fn is_whole(&self) -> bool {
        self.0.as_ref().is_none_or(|(_, track)| track.progress.get() == Progress::Untouched)
    }

    pub(crate) fn track(&self) -> Option<Rc<Track>> {
        self.0.as_ref().map(|(_, track)| Rc::clone(track))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some((body, track)) = &mut self.get_mut().0 else { return Poll::Ready(None) };
        if track.progress.get() == Progress::Untouched {
            track.progress.set(Progress::Begun);
        }
        let polled = Pin::new(&mut *body).poll_frame(cx);
        track.client_owes.set(polled.is_pending());
        let frame = ready!(polled);
        track.given_at.set(track.clock.now());
        match &frame {
            Some(Ok(_)) if !body.is_end_stream() => {}
            Some(Err(_)) => track.progress.set(Progress::Broken),
            Some(Ok(_)) | None => track.progress.set(Progress::Ended),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |(body, _)| body.size_hint())
    }
}

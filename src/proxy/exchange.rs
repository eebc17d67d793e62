//! One attempt: a connection to its backend, the request on it and the answer from it. It must not
//! decide anything, nor know the client's protocol.

mod answer;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use base::{Clock, FailureKind, Sent, Time};
use policy::{Attempt, End};
use tokio::net::TcpStream;

use crate::decision::Leg;
use crate::guard::Guard;
use crate::http1::{Decoder, Framing};
use crate::journal::{Came, Tried};
use crate::lane::Lane;
use crate::parcel::Parcel;
use crate::tunnel::Side;
use crate::upload::{Fault, Upload};
use crate::upstream::{self, Wire};
use crate::worker::Worker;

/// Why an attempt has no head.
#[derive(Debug)]
pub(crate) enum Failed {
    Upstream {
        error: FailureKind,
        sent: Sent,
        reused: bool,
    },
    /// The proxy could not open a connection for want of something of its own.
    Shortage(io::Error),
    /// The client left within its own request, or that turned out to be malformed.
    Client(Fault),
    /// The client did not give the whole request within the total limit.
    ClientLate,
}

/// Why an answer ends early; the client sees its connection closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The backend closed, or sent what is no body.
    Upstream,
    /// It took longer than the total timeout.
    Late,
}

enum Stage {
    Opening(Pin<Box<dyn Future<Output = io::Result<Wire>>>>),
    Open(Wire),
    /// The connection has been given back, or closed.
    Over,
}

/// An attempt that runs.
pub(crate) struct Exchange {
    worker: Rc<Worker>,
    pub(crate) leg: Leg,
    /// It was sent beside one that was slow.
    pub(crate) hedge: bool,
    pub(crate) guard: Guard,
    lane: Box<Lane>,
    stage: Stage,
    /// When its connection was open, if that is its own.
    opened: Option<Time>,
    /// So much of the lane's `out` was written.
    out_at: usize,
    /// The whole body of the request was written, or need not be.
    uploaded: bool,
    /// The backend takes no more of the request; it may still answer.
    deaf: bool,
    written: u64,
    interim: u32,
    /// The answer's head is so long and stands before its body; 0 when it was consumed.
    head_bytes: usize,
    decoder: Decoder,
    /// So many bytes of the answer's body are there and past the framing check.
    ready: usize,
    /// No byte of the body comes behind those.
    ended: bool,
}

impl Exchange {
    /// Takes or opens a connection; `fresh`: opens one in any case. To be called with a parcel that
    /// is replayable.
    pub(crate) fn start(worker: &Rc<Worker>, leg: Leg, parcel: &Parcel, fresh: bool) -> Self {
        worker.counters.attempts.increment();
        let backend = leg.attempt.backend;
        let mut lane = worker.lanes.take();
        parcel.put(leg.address, leg.attempt.number, &mut lane.out);
        let kept = if fresh { None } else { worker.pool.take(backend) };
        let stage = match kept {
            Some(mut wire) => {
                worker.counters.reused(backend);
                wire.begin();
                Stage::Open(wire)
            }
            None => {
                worker.counters.opened(backend);
                let line = worker.line_to(backend);
                Stage::Opening(Box::pin(upstream::connect(backend, leg.address, line)))
            }
        };
        Self {
            worker: Rc::clone(worker),
            leg,
            hedge: false,
            guard: Guard::new(worker, leg.attempt.id),
            lane,
            stage,
            opened: None,
            out_at: 0,
            uploaded: false,
            deaf: false,
            written: 0,
            interim: 0,
            head_bytes: 0,
            decoder: Decoder::new(Framing::None),
            ready: 0,
            ended: false,
        }
    }

    fn clock(&self) -> Clock {
        self.worker.shared.clock
    }

    /// Ready when the head of the answer is there, or will not come.
    pub(crate) fn poll_head<U: Upload>(
        &mut self,
        cx: &mut Context<'_>,
        parcel: &mut Parcel,
        upload: &mut U,
    ) -> Poll<Result<(), Failed>> {
        while let Stage::Opening(opening) = &mut self.stage {
            match opening.as_mut().poll(cx) {
                Poll::Ready(Ok(mut wire)) => {
                    wire.begin();
                    self.opened = Some(self.clock().now());
                    self.stage = Stage::Open(wire);
                }
                Poll::Ready(Err(error)) if upstream::is_shortage(&error) => {
                    // What is kept for later is let go for what is needed now.
                    if !self.worker.pool.clear() {
                        return Poll::Ready(Err(Failed::Shortage(error)));
                    }
                    let Leg { attempt, address, .. } = &self.leg;
                    let line = self.worker.line_to(attempt.backend);
                    let opening = upstream::connect(attempt.backend, *address, line);
                    self.stage = Stage::Opening(Box::pin(opening));
                }
                Poll::Ready(Err(_)) => return self.fail(FailureKind::Connect, parcel),
                Poll::Pending => {
                    let attempt = &self.leg.attempt;
                    let by = attempt.connect_by.min(attempt.head_by).min(attempt.body_by);
                    if self.lane.deadline.poll(cx, self.worker.shared.clock, by).is_ready() {
                        return self.fail(FailureKind::ConnectTimeout, parcel);
                    }
                    return Poll::Pending;
                }
            }
        }
        if let Err(fault) = self.poll_send(cx, parcel, upload) {
            return Poll::Ready(Err(Failed::Client(fault)));
        }
        match self.poll_receive(cx, parcel, upload) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => return self.fail(error, parcel),
            Poll::Pending => {}
        }
        // The time that the client takes to give the request's body does not count.
        let due = self.leg.attempt.head_due(upload.given_at());
        let clock = self.clock();
        if self.lane.deadline.poll(cx, clock, due).is_pending() {
            return Poll::Pending;
        }
        if upload.client_owes() {
            return Poll::Ready(Err(Failed::ClientLate));
        }
        self.fail(FailureKind::Timeout, parcel)
    }

    fn fail(&self, error: FailureKind, parcel: &Parcel) -> Poll<Result<(), Failed>> {
        let written = match self.written {
            0 => Sent::Nothing,
            _ if self.uploaded && !self.deaf && self.out_at == self.lane.out.len() => Sent::All,
            _ => Sent::Part,
        };
        // A connection on which an interim answer came had not died before.
        let reused =
            self.interim == 0 && matches!(&self.stage, Stage::Open(wire) if wire.is_reused());
        Poll::Ready(Err(Failed::Upstream { error, sent: parcel.sent(written), reused }))
    }

    /// What came of it at `ended`.
    pub(crate) fn tried(&self, ended: Time, came: Came) -> Tried {
        let Leg { attempt: Attempt { backend, number, .. }, address, at: began, .. } = self.leg;
        let Self { hedge, opened, .. } = *self;
        Tried { backend, address, number, hedge, began, opened, ended, came }
    }

    /// Whether a connection stands, so that the request's body is asked for.
    pub(crate) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open(_))
    }

    /// Whether the whole request went out, or nobody takes more of it.
    pub(crate) const fn is_sent(&self) -> bool {
        self.uploaded || self.deaf
    }

    /// Whether the connection has been given back.
    pub(crate) const fn is_over(&self) -> bool {
        matches!(self.stage, Stage::Over)
    }

    /// Writes what there is of the request and what the connection takes of it.
    pub(crate) fn poll_send<U: Upload>(
        &mut self,
        cx: &mut Context<'_>,
        parcel: &mut Parcel,
        upload: &mut U,
    ) -> Result<(), Fault> {
        let Stage::Open(wire) = &mut self.stage else { return Ok(()) };
        while !self.deaf {
            let head = &self.lane.out[self.out_at..];
            if head.is_empty() && self.uploaded {
                break;
            }
            let mut body: &[u8] = &[];
            if !self.uploaded {
                match upload.poll_bytes(cx) {
                    Poll::Ready(Ok(bytes)) => {
                        self.uploaded = bytes.is_empty();
                        body = bytes;
                    }
                    Poll::Ready(Err(fault)) => return Err(fault),
                    Poll::Pending => {}
                }
            }
            if head.is_empty() && body.is_empty() {
                break;
            }
            match wire.poll_write(cx, head, body) {
                Poll::Ready(Ok(count)) => {
                    self.written += count as u64;
                    let of_head = count.min(head.len());
                    self.out_at += of_head;
                    if count > of_head {
                        parcel.sent_of_body(&body[..count - of_head]);
                        upload.consume(count - of_head);
                    }
                }
                // It may have answered before it closed.
                Poll::Ready(Err(_)) => self.deaf = true,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// The connection and what was read from it, for another protocol.
    pub(crate) fn side(&mut self) -> Option<Side<'_, TcpStream>> {
        let Stage::Open(wire) = &mut self.stage else { return None };
        Some(Side { stream: &mut wire.stream, read: &mut self.lane.answer })
    }

    /// When the answer's last byte must be there.
    pub(crate) const fn body_by(&self) -> Time {
        self.leg.attempt.body_by
    }

    /// The backend is done with it: the answer's last byte is here. The connection goes back to the
    /// pool if it can be used again. Nothing happens at the second call.
    pub(crate) fn settle(&mut self) {
        debug_assert!(self.ended, "the rest would stand before the next answer");
        let Stage::Open(wire) = std::mem::replace(&mut self.stage, Stage::Over) else { return };
        // A backend may answer before it has read the whole request; what is left of that would
        // stand before the next request. And what it sent beyond the answer is nobody's.
        let clean = self.uploaded
            && !self.deaf
            && self.out_at == self.lane.out.len()
            && self.lane.answer.len() == self.head_bytes + self.ready;
        if clean && self.lane.head.keeps_alive() {
            self.worker.pool.give(wire);
        }
        self.guard.end(End::Complete);
    }

    /// The attempt has been ended by other means.
    pub(crate) fn disarm(&mut self) {
        self.guard.disarm();
    }

    /// Ends the attempt, if it has not ended; its connection is closed.
    pub(crate) fn end(mut self, end: End) {
        self.guard.end(end);
        self.give_back();
    }

    /// The memory is not needed any more.
    pub(crate) fn give_back(self) {
        let Self { worker, lane, .. } = self;
        worker.lanes.give(lane);
    }
}

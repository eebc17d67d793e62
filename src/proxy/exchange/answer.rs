//! The answer of an attempt as it is read from its backend: the head, interim ones before it, and the
//! body as it is framed. It must not know how a request is sent.

use std::task::{Context, Poll};
use std::time::Duration;

use base::FailureKind;

use super::{Broken, Exchange, Stage};
use crate::buffers::BUFFER_BYTES;
use crate::date;
use crate::http1::{Decoder, Framing, MAX_HEAD_BYTES, ResponseHead};
use crate::lane::Lane;
use crate::parcel::Parcel;
use crate::upload::Upload;

/// The most interim answers (1xx) to one request; more are no answer.
const MAX_INTERIM: u32 = 32;

impl Exchange {
    /// Reads the head of the answer, hands on those of interim ones before it, and looks at what came
    /// behind it.
    pub(super) fn poll_receive<U: Upload>(
        &mut self,
        cx: &mut Context<'_>,
        parcel: &Parcel,
        upload: &mut U,
    ) -> Poll<Result<(), FailureKind>> {
        let Stage::Open(wire) = &mut self.stage else { return Poll::Pending };
        let Lane { answer, head, .. } = &mut *self.lane;
        loop {
            if !answer.is_empty() {
                match head.parse(answer.data(), parcel.method) {
                    Err(_) => return Poll::Ready(Err(FailureKind::Protocol)),
                    Ok(Some(length)) if head.is_interim() => {
                        self.interim += 1;
                        if self.interim > MAX_INTERIM {
                            return Poll::Ready(Err(FailureKind::Protocol));
                        }
                        // Whether the client shall go on is said by the proxy, not by a backend.
                        if head.status() != 100 {
                            upload.put_interim(head, &answer.data()[..length]);
                        }
                        answer.consume(length);
                        continue;
                    }
                    // Who changes to another protocol unasked would talk past everybody.
                    Ok(Some(_)) if head.switches() && !parcel.upgrades => {
                        return Poll::Ready(Err(FailureKind::Protocol));
                    }
                    // What follows is of another protocol.
                    Ok(Some(length)) if head.switches() => {
                        self.head_bytes = length;
                        return Poll::Ready(Ok(()));
                    }
                    Ok(Some(length)) => {
                        self.head_bytes = length;
                        self.decoder = Decoder::new(head.framing());
                        let sound = self.decode();
                        return Poll::Ready(sound.map_err(|_| FailureKind::Protocol));
                    }
                    Ok(None) => {}
                }
            }
            // A head that is too long is refused before there is no room.
            if !answer.make_room(MAX_HEAD_BYTES + BUFFER_BYTES) {
                return Poll::Ready(Err(FailureKind::Protocol));
            }
            match answer.poll_read(cx, &mut wire.stream) {
                Poll::Ready(Ok(1..)) => {}
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(FailureKind::Reset)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Looks at what is there of the answer's body.
    fn decode(&mut self) -> Result<(), Broken> {
        let fresh = &self.lane.answer.data()[self.head_bytes + self.ready..];
        let step = self.decoder.advance(fresh).map_err(|_| Broken::Upstream)?;
        self.ready += step.used;
        self.ended = step.ended;
        Ok(())
    }

    /// The head of the answer; speaks of [`Self::head_bytes`] once [`Self::poll_head`] was ready.
    pub(crate) fn head(&self) -> &ResponseHead {
        &self.lane.head
    }

    /// The bytes of the head, until [`Self::pass_head`].
    pub(crate) fn head_bytes(&self) -> &[u8] {
        &self.lane.answer.data()[..self.head_bytes]
    }

    /// How long the backend asks to be left alone. Only where that is what the status is for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        let head = self.head();
        if !matches!(head.status(), 429 | 503) {
            return None;
        }
        head.get(b"retry-after", self.head_bytes()).and_then(date::retry_after)
    }

    /// The head's bytes are not needed any more.
    pub(crate) fn pass_head(&mut self) {
        self.lane.answer.consume(std::mem::take(&mut self.head_bytes));
    }

    /// Whether the whole answer is here.
    pub(crate) const fn is_whole(&self) -> bool {
        self.ended
    }

    /// The bytes of the body that are here, as the backend framed them. To be asked behind
    /// [`Self::pass_head`].
    pub(crate) fn ready(&self) -> &[u8] {
        &self.lane.answer.data()[..self.ready]
    }

    /// So many of them went on.
    pub(crate) fn consume(&mut self, count: usize) {
        self.lane.answer.consume(count);
        self.ready -= count;
    }

    /// Ready when there are bytes of the body, or there will be no more. To be asked when all
    /// others were consumed.
    pub(crate) fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        debug_assert_eq!(self.head_bytes, 0, "the head stands before the body");
        while self.ready == 0 && !self.ended {
            let Stage::Open(wire) = &mut self.stage else {
                return Poll::Ready(Err(Broken::Upstream));
            };
            let answer = &mut self.lane.answer;
            if !answer.make_room(BUFFER_BYTES) {
                // The framing takes all there is; what is left is not of this body.
                return Poll::Ready(Err(Broken::Upstream));
            }
            match answer.poll_read(cx, &mut wire.stream) {
                Poll::Ready(Ok(1..)) => self.decode()?,
                Poll::Ready(Ok(0)) if self.lane.head.framing() == Framing::UntilClose => {
                    self.ended = true;
                }
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Broken::Upstream)),
                Poll::Pending => {
                    let (clock, by) = (self.clock(), self.leg.attempt.body_by);
                    return self.lane.deadline.poll(cx, clock, by).map(|()| Err(Broken::Late));
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

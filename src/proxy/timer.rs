//! Waiting: the balancer's own deadlines, and one cheap deadline a client connection.
//! It must not decide what is due: it wakes, and the clock decides.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use base::{Clock, Time};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::shared::Shared;

/// Calls the balancer when it asked to be called; runs until it is aborted.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        let due = shared.timeout();
        let earlier = shared.earlier.notified();
        match due {
            None => earlier.await,
            Some(at) => {
                tokio::select! {
                    () = earlier => {}
                    () = sleep_until(instant(shared.clock, at)) => {}
                }
            }
        }
    }
}

/// The runtime's instant of a time on our clock; both count CLOCK_MONOTONIC.
pub(crate) fn instant(clock: Clock, at: Time) -> Instant {
    let now = Instant::now();
    // Beyond what the runtime can count is never, for which a year is as good.
    const NEVER: std::time::Duration = std::time::Duration::from_secs(365 * 24 * 3600);
    now + at.since(clock.now()).min(NEVER)
}

/// A deadline that is moved for every request and hardly ever passes.
///
/// The runtime's timer stays armed for an earlier request's deadline as long as that is not later
/// than the present one, and is armed again when it fires: a request on a kept connection costs no
/// change of the timer wheel.
pub(crate) struct Deadline {
    clock: Clock,
    sleep: Pin<Box<Sleep>>,
    armed: Time,
}

impl Deadline {
    /// One that is not armed yet.
    pub(crate) fn new(clock: Clock) -> Self {
        let sleep = Box::pin(sleep_until(Instant::now()));
        Self { clock, sleep, armed: Time::MAX }
    }

    /// Ready when `at` has passed; [`Time::MAX`] never does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, at: Time) -> Poll<()> {
        if at == Time::MAX {
            return Poll::Pending;
        }
        if self.armed > at {
            self.arm(at);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.clock.now() >= at {
                return Poll::Ready(());
            }
            self.arm(at);
        }
        Poll::Pending
    }

    fn arm(&mut self, at: Time) {
        self.sleep.as_mut().reset(instant(self.clock, at));
        self.armed = at;
    }

    /// The outcome of `future`, or `None` when `at` passes before.
    pub(crate) async fn within<F: Future>(&mut self, at: Time, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.poll(cx, at).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use super::*;

    /// Only a broken deadline waits for it.
    const PATIENCE: Duration = Duration::from_secs(20);
    const HOUR: Duration = Duration::from_secs(3600);

    /// Pending for longer than a tick of the runtime's timer, so that the deadline is armed.
    async fn slow() {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }

    #[tokio::test]
    async fn a_deadline_that_moves_is_kept() {
        let clock = Clock::start();
        let soon = || clock.now() + Duration::from_millis(10);
        let mut deadline = Deadline::new(clock);
        assert_eq!(deadline.within(Time::ZERO, ready(1)).await, Some(1), "what is there counts");
        assert_eq!(deadline.within(Time::MAX, slow()).await, Some(()), "no limit");
        assert_eq!(deadline.within(clock.now() + HOUR, slow()).await, Some(()));
        // Earlier than it is armed for …
        let at = soon();
        let passed = tokio::time::timeout(PATIENCE, deadline.within(at, pending::<()>())).await;
        assert_eq!(passed.expect("an earlier deadline is not slept through"), None);
        assert!(clock.now() >= at);
        // … and later: firing at the former time is not the end of it.
        let former = soon();
        assert_eq!(deadline.within(former, slow()).await, Some(()));
        let at = former + Duration::from_millis(30);
        let passed = tokio::time::timeout(PATIENCE, deadline.within(at, pending::<()>())).await;
        assert_eq!(passed.expect("it passes in the end"), None);
        assert!(clock.now() >= at, "cut short by the former deadline");
    }
}

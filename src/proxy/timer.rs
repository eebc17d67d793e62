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
/// than the present one, and is armed again when it fires: a request costs no change of the timer
/// wheel.
#[derive(Default)]
pub(crate) struct Deadline {
    /// The timer and the time that it is armed for; none until something waits.
    armed: Option<(Time, Pin<Box<Sleep>>)>,
}

impl Deadline {
    /// Ready when `at` has passed; [`Time::MAX`] never does.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, clock: Clock, at: Time) -> Poll<()> {
        if at == Time::MAX {
            return Poll::Pending;
        }
        let (armed, sleep) =
            self.armed.get_or_insert_with(|| (at, Box::pin(sleep_until(instant(clock, at)))));
        if *armed > at {
            sleep.as_mut().reset(instant(clock, at));
            *armed = at;
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if clock.now() >= at {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(instant(clock, at));
            *armed = at;
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn, ready};
    use std::time::Duration;

    use super::*;

    /// Only a broken deadline waits for it.
    const PATIENCE: Duration = Duration::from_secs(20);
    const HOUR: Duration = Duration::from_secs(3600);

    /// Pending for longer than a tick of the runtime's timer, so that the deadline is armed.
    async fn slow() {
        tokio::time::sleep(Duration::from_millis(3)).await;
    }

    /// The outcome of `future`, or `None` when `at` passes before.
    async fn within<F: Future>(
        deadline: &mut Deadline,
        clock: Clock,
        at: Time,
        future: F,
    ) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => deadline.poll(cx, clock, at).map(|()| None),
        })
        .await
    }

    #[tokio::test]
    async fn a_deadline_that_moves_is_kept() {
        let clock = Clock::start();
        let soon = || clock.now() + Duration::from_millis(10);
        let mut deadline = Deadline::default();
        let d = &mut deadline;
        assert_eq!(within(d, clock, Time::ZERO, ready(1)).await, Some(1), "what is there counts");
        assert_eq!(within(d, clock, Time::MAX, slow()).await, Some(()), "no limit");
        assert_eq!(within(d, clock, clock.now() + HOUR, slow()).await, Some(()));
        // Earlier than it is armed for …
        let at = soon();
        let passed = tokio::time::timeout(PATIENCE, within(d, clock, at, pending::<()>())).await;
        assert_eq!(passed.expect("an earlier deadline is not slept through"), None);
        assert!(clock.now() >= at);
        // … and later: firing at the former time is not the end of it.
        let former = soon();
        assert_eq!(within(d, clock, former, slow()).await, Some(()));
        let at = former + Duration::from_millis(30);
        let passed = tokio::time::timeout(PATIENCE, within(d, clock, at, pending::<()>())).await;
        assert_eq!(passed.expect("it passes in the end"), None);
        assert!(clock.now() >= at, "cut short by the former deadline");
    }
}

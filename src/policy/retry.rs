//! May a failed attempt be followed by another? Safety rules and the retry budget.
//! It must not pick the backend.

use std::time::Duration;

use base::time::nanos;
use base::{RequestId, Rng, Sent, Time};

use crate::event::EventKind;
use crate::message::Head;
use crate::settings::RetrySettings;

/// Whether this end of an attempt may be answered by sending the request again: because the
/// backend cannot have seen it, or because it may see it twice.
pub(crate) fn may_repeat(settings: &RetrySettings, idempotent: bool, head: &Head) -> bool {
    match *head {
        Head::Failed { sent: Sent::Nothing, .. } => true,
        Head::Failed { replayable, .. } => idempotent && replayable,
        Head::Status { status, replayable, .. } => {
            idempotent && replayable && settings.statuses.contains(&status)
        }
    }
}

/// How long to wait before the retry that follows on so many attempts: uniform in
/// [0, backoff · (2ᵏ − 1)) before retry k, cut at `max_backoff`: the "full jitter" of Envoy's
/// router. Without a backoff nothing is drawn.
pub(crate) fn backoff_before(settings: &RetrySettings, attempts: u32, rng: &mut Rng) -> Duration {
    let times = 1_u64.checked_shl(attempts).map_or(u64::MAX, |power| power - 1);
    let most = nanos(settings.backoff).saturating_mul(times).min(nanos(settings.max_backoff));
    match usize::try_from(most) {
        Ok(0) | Err(_) => Duration::from_nanos(most),
        Ok(bound) => Duration::from_nanos(rng.below(bound) as u64),
    }
}

/// The span over which requests and retries are compared.
const WINDOW: Duration = Duration::from_secs(10);
/// The grain of the count.
const SLOT: Duration = Duration::from_millis(100);
/// The window in slots. Of requests this many are counted, the current one included; of retries
/// one more: so wherever the slots lie, the retries of the last 10 s are counted all and the
/// requests never too many, and a retry that is granted is within the budget to the nanosecond.
const SLOTS: usize = (WINDOW.as_millis() / SLOT.as_millis()) as usize;

/// How many requests and retries there were in the last 10 s.
#[derive(Debug)]
pub(crate) struct Budget {
    /// A ring by the number of the slot.
    requests: [u32; SLOTS + 1],
    retries: [u32; SLOTS + 1],
    /// The number of the current slot since the run began.
    current: u64,
    /// Sums over the slots that count.
    recent_requests: u64,
    recent_retries: u64,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self {
            requests: [0; SLOTS + 1],
            retries: [0; SLOTS + 1],
            current: 0,
            recent_requests: 0,
            recent_retries: 0,
        }
    }

    /// A request was sent for the first time.
    pub(crate) fn count_request(&mut self, now: Time) {
        self.advance(now);
        self.requests[Self::place(self.current)] += 1;
        self.recent_requests += 1;
    }

    /// Takes one retry out of the budget, if there is one.
    pub(crate) fn try_spend(&mut self, now: Time, settings: &RetrySettings) -> bool {
        self.advance(now);
        let allowed = settings.budget * self.recent_requests as f64
            + settings.budget_min * WINDOW.as_secs_f64();
        if (self.recent_retries + 1) as f64 > allowed {
            return false;
        }
        self.retries[Self::place(self.current)] += 1;
        self.recent_retries += 1;
        true
    }

    fn advance(&mut self, now: Time) {
        let target = now.as_nanos() / nanos(SLOT);
        if target <= self.current {
            return;
        }
        if target - self.current > SLOTS as u64 {
            *self = Self { current: target, ..Self::new() };
            return;
        }
        while self.current < target {
            self.current += 1;
            // The ring has one slot more than the window: the new slot takes the place of the one
            // whose retries cease to count, and the slot after it ceases to count for requests.
            let place = Self::place(self.current);
            self.recent_retries -= u64::from(self.retries[place]);
            self.retries[place] = 0;
            self.requests[place] = 0;
            let next = Self::place(self.current + 1);
            self.recent_requests -= u64::from(self.requests[next]);
            self.requests[next] = 0;
        }
    }

    const fn place(slot: u64) -> usize {
        (slot % (SLOTS as u64 + 1)) as usize
    }
}

/// Between two reports of denied retries.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Retries that the budget denied, gathered so that an outage is no flood of events.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    count: u64,
    example: Option<RequestId>,
    /// No report before.
    quiet_until: Time,
}

impl Denials {
    pub(crate) const fn count(&mut self, request: RequestId) {
        self.count += 1;
        self.example = Some(request);
    }

    /// When [`Denials::report`] will have something ([`Time::MAX`]: never).
    #[inline]
    pub(crate) const fn next_report(&self) -> Time {
        if self.example.is_some() { self.quiet_until } else { Time::MAX }
    }

    /// What there is to report, at most once a second.
    pub(crate) fn report(&mut self, now: Time) -> Option<EventKind> {
        if now < self.quiet_until {
            return None;
        }
        let example = self.example.take()?;
        let count = std::mem::take(&mut self.count);
        self.quiet_until = now + REPORT_EVERY;
        Some(EventKind::RetriesDenied { count, example })
    }
}

#[cfg(test)]
mod tests {
    use base::FailureKind;
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    const fn at_ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn a_request_is_repeated_where_it_does_no_harm() {
        use FailureKind::{Connect, ConnectTimeout, Protocol, Reset, Timeout};
        let settings = RetrySettings::default();
        let failed =
            |error, sent, replayable| Head::Failed { error, sent, reused: false, replayable };
        let status = |status, replayable| Head::Status { status, replayable, retry_after: None };
        for (idempotent, head, expected) in [
            // Nothing was sent: always.
            (false, failed(Connect, Sent::Nothing, false), true),
            (false, failed(ConnectTimeout, Sent::Nothing, false), true),
            (false, failed(Reset, Sent::Nothing, false), true),
            // Something was: twice must be the same as once, and the body must still be there.
            (true, failed(Reset, Sent::Part, true), true),
            (true, failed(Timeout, Sent::All, true), true),
            (true, failed(Protocol, Sent::All, true), true),
            (true, failed(Reset, Sent::Part, false), false),
            (false, failed(Reset, Sent::Part, true), false),
            (false, failed(Timeout, Sent::All, true), false),
            // An answer: only the statuses that were named.
            (true, status(503, true), true),
            (true, status(502, true), true),
            (true, status(500, true), false),
            (true, status(200, true), false),
            (true, status(503, false), false),
            (false, status(503, true), false),
        ] {
            assert_eq!(may_repeat(&settings, idempotent, &head), expected, "{idempotent} {head:?}");
        }
    }

    #[test]
    fn backoffs_are_uniform_and_double() {
        let mut rng = Rng::from_seed(1);
        let ms = Duration::from_millis;
        for (backoff, max, attempts, most) in [
            (25, 250, 1, 25),
            (25, 250, 2, 75),
            (25, 250, 3, 175),
            (25, 250, 4, 250),
            (25, 250, 63, 250),
            (25, 250, 64, 250),
            (25, 250, u32::MAX, 250),
            (25, 0, 1, 0),
            (0, 250, 1, 0),
        ] {
            let settings = RetrySettings {
                backoff: ms(backoff),
                max_backoff: ms(max),
                ..RetrySettings::default()
            };
            let draws: Vec<f64> = (0..10_000)
                .map(|_| backoff_before(&settings, attempts, &mut rng).as_secs_f64() * 1e3)
                .collect();
            let most = f64::from(most);
            assert!(draws.iter().all(|&ms| ms < most || most == 0.0 && ms == 0.0), "{most}");
            // The mean of 10,000 has a standard deviation of most/346; five of them.
            let mean = draws.iter().sum::<f64>() / 1e4;
            assert!((mean - most / 2.0).abs() <= most / 69.0, "{mean} of {most}");
        }
    }

    fn settings(budget: f64, budget_min: f64) -> RetrySettings {
        RetrySettings { budget, budget_min, ..RetrySettings::default() }
    }

    #[test]
    fn the_budget_is_spent_and_comes_back_after_ten_seconds() {
        for (share, min, requests, expected) in [
            (0.2, 0.0, 100, 20),
            (0.2, 10.0, 0, 100),
            (0.2, 10.0, 50, 110),
            (0.0, 0.0, 1000, 0),
            (0.25, 0.3, 2, 3), // 0.5 + 3
        ] {
            let settings = settings(share, min);
            let mut budget = Budget::new();
            let mut granted = |from_ms| {
                for _ in 0..requests {
                    budget.count_request(at_ms(from_ms));
                }
                (0..2000).filter(|_| budget.try_spend(at_ms(from_ms), &settings)).count()
            };
            assert_eq!(granted(550), expected, "{share} {min} {requests}");
            // Requests of 9.95 s ago still count, and so do the retries.
            let doubled = (share * f64::from(2 * requests) + 10.0 * min) as usize - expected;
            assert_eq!(granted(10_450), doubled, "{share} {min} {requests}: just before");
            assert_eq!(granted(30_000), expected, "{share} {min} {requests}: long after");
        }
        let settings = settings(0.0, 0.1);
        let mut budget = Budget::new();
        assert!(budget.try_spend(at_ms(0), &settings));
        assert!(!budget.try_spend(at_ms(10_000), &settings), "within 10 s, both ends included");
        assert!(budget.try_spend(at_ms(10_100), &settings));
    }

    /// Anything that grants retries.
    trait Grants {
        fn request(&mut self, now: Time);
        fn retry(&mut self, now: Time, settings: &RetrySettings) -> bool;
    }

    impl Grants for Budget {
        fn request(&mut self, now: Time) {
            self.count_request(now);
        }
        fn retry(&mut self, now: Time, settings: &RetrySettings) -> bool {
            self.try_spend(now, settings)
        }
    }

    /// Wrong: compares with what is in flight and forgets a retry as soon as it has ended. Where
    /// retries fail at once none is ever in flight, and every one is granted.
    #[derive(Default)]
    struct CountsOnlyInFlight {
        retries: u64,
    }

    impl Grants for CountsOnlyInFlight {
        fn request(&mut self, _now: Time) {
            self.retries = 0;
        }
        fn retry(&mut self, _now: Time, settings: &RetrySettings) -> bool {
            let granted = self.retries as f64 <= settings.budget_min * 10.0;
            self.retries += u64::from(granted);
            granted
        }
    }

    /// Wrong: ten slots of a second, so that 10 s touch eleven of them and may hold twice as many.
    #[derive(Default)]
    struct CountsWholeSeconds {
        slots: std::collections::BTreeMap<u64, (u64, u64)>,
    }

    impl Grants for CountsWholeSeconds {
        fn request(&mut self, now: Time) {
            self.slots.entry(now.as_nanos() / 1_000_000_000).or_default().0 += 1;
        }
        fn retry(&mut self, now: Time, settings: &RetrySettings) -> bool {
            let second = now.as_nanos() / 1_000_000_000;
            let recent = self.slots.range(second.saturating_sub(9)..);
            let (requests, retries) = recent.fold((0, 0), |a, (_, b)| (a.0 + b.0, a.1 + b.1));
            let allowed = settings.budget * requests as f64 + settings.budget_min * 10.0;
            let granted = (retries + 1) as f64 <= allowed;
            self.slots.entry(second).or_default().1 += u64::from(granted);
            granted
        }
    }

    /// Whenever a retry is granted, over the 10 s that end there: retries ≤ budget × requests +
    /// 10 × budget_min. (Later on the requests may have passed out of the window before them.)
    fn never_exceeded(
        budget: &mut dyn Grants,
        settings: &RetrySettings,
        steps: &[(u64, bool)],
    ) -> Result<(), String> {
        let (mut now, mut requests, mut retries) = (Time::ZERO, Vec::new(), Vec::new());
        let recent = |times: &[Time], now: Time| {
            times.iter().rev().take_while(|&&t| now.since(t) < WINDOW).count() as f64
        };
        for &(gap_ms, is_request) in steps {
            now += Duration::from_millis(gap_ms);
            if is_request {
                budget.request(now);
                requests.push(now);
            } else if budget.retry(now, settings) {
                retries.push(now);
                let granted = recent(&retries, now);
                let allowed = settings.budget * recent(&requests, now) + 10.0 * settings.budget_min;
                if granted > allowed {
                    return Err(format!("{granted} retries at {now}, {allowed} allowed"));
                }
            }
        }
        Ok(())
    }

    #[test]
    fn wrong_budgets_are_exceeded() {
        let settings = settings(0.2, 0.1);
        let outage: Vec<(u64, bool)> =
            (0..500).map(|i| (u64::from(i % 2 == 0) * 10, i % 2 == 0)).collect();
        assert!(never_exceeded(&mut Budget::new(), &settings, &outage).is_ok());
        assert!(never_exceeded(&mut CountsOnlyInFlight::default(), &settings, &outage).is_err());
        // One retry at the end of a second and one at the beginning of the eleventh after it.
        let straddling = [(900, false), (9_150, false)];
        assert!(never_exceeded(&mut Budget::new(), &settings, &straddling).is_ok());
        assert!(
            never_exceeded(&mut CountsWholeSeconds::default(), &settings, &straddling).is_err()
        );
    }

    proptest! {
        #[test]
        fn the_budget_is_never_exceeded(
            share in 0.0..1.5_f64,
            min in 0.0..3.0_f64,
            steps in prop::collection::vec((0..400_u64, any::<bool>()), 1..600),
        ) {
            let held = never_exceeded(&mut Budget::new(), &settings(share, min), &steps);
            prop_assert!(held.is_ok(), "{held:?}");
        }
    }

    #[test]
    fn denials_are_reported_at_once_and_then_once_a_second() {
        let mut denials = Denials::default();
        let mut reports = Vec::new();
        for ms in 0..2_500 {
            denials.count(RequestId(ms));
            if let Some(EventKind::RetriesDenied { count, .. }) = denials.report(at_ms(ms)) {
                reports.push((ms, count));
            }
        }
        assert_eq!(reports, [(0, 1), (1000, 1000), (2000, 1000)]);
        assert_eq!(denials.next_report(), at_ms(3000), "the rest is not lost");
        let rest = denials.report(at_ms(3000));
        let expected = EventKind::RetriesDenied { count: 499, example: RequestId(2_499) };
        assert_eq!(rest, Some(expected));
        assert_eq!(denials.next_report(), Time::MAX);
        assert_eq!(denials.report(at_ms(9000)), None);
    }
}

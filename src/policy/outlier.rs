//! What its requests say of one backend: failures in a row, the share of failures, and for how long
//! it is left alone. It must not know the other backends: whether there is one to spare is the
//! balancer's to say.
//!
//! The triggers are those of Envoy's outlier detection and of linkerd's breaker: exact counts over a
//! window rather than a moving average, which hides a total outage in a burst of requests.

mod window;

use std::fmt;
use std::time::Duration;

use base::{FailureKind, Rng, Time};

use self::window::Window;
use crate::settings::EjectionSettings;

/// How an attempt failed its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An answer with a status of 500 or more.
    Status(u16),
    /// No answer.
    NoAnswer(FailureKind),
    /// An answer that broke off after its head.
    Cut,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::NoAnswer(FailureKind::Connect) => f.write_str("connect failed"),
            Self::NoAnswer(FailureKind::ConnectTimeout) => f.write_str("connect timed out"),
            Self::NoAnswer(FailureKind::Reset) => f.write_str("connection reset"),
            Self::NoAnswer(FailureKind::Timeout) => f.write_str("timeout"),
            Self::NoAnswer(FailureKind::Protocol) => f.write_str("not HTTP"),
            Self::NoAnswer(FailureKind::Status) => f.write_str("error status"),
            Self::Cut => f.write_str("answer broken off"),
        }
    }
}

/// What speaks for leaving a backend alone.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cause {
    Streak {
        failures: u32,
        last: Failure,
    },
    Share {
        failures: u32,
        requests: u32,
        window: Duration,
    },
    /// Its own word: a Retry-After.
    Asked(Duration),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Streak { failures: 1, last } => write!(f, "1 failure: {last}"),
            Self::Streak { failures, last } => {
                write!(f, "{failures} failures in a row, the last: {last}")
            }
            Self::Share { failures, requests, window } => {
                let percent = 100.0 * f64::from(failures) / f64::from(requests.max(1));
                let window = window.as_secs_f64();
                write!(f, "{percent:.0} % of {requests} requests failed in {window} s")
            }
            Self::Asked(time) => write!(f, "asked to be left alone for {}", Seconds(time)),
        }
    }
}

/// A duration for people: "5.2 s", "30 s".
pub(crate) struct Seconds(pub(crate) Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} s", (self.0.as_secs_f64() * 10.0).round() / 10.0)
    }
}

/// The shortest ejection: one that ends when it begins would be none, and said all the same.
const SHORTEST: Duration = Duration::from_millis(1);

/// What is remembered of one backend's requests.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// Failures since the last good answer.
    streak: u32,
    recent: Window,
    /// Attempts that began before say nothing any more.
    since: Time,
    /// How often the base time doubles at the next ejection.
    doublings: u32,
    /// Time in service since the last ejection, or since the last doubling was taken back.
    served: Duration,
}

impl Record {
    /// Of a backend that has been in service since then.
    pub(crate) fn new(since: Time) -> Self {
        Self { since, ..Self::default() }
    }

    /// The client has its whole answer.
    pub(crate) fn succeeded(&mut self, now: Time, began: Time, settings: &EjectionSettings) {
        if began >= self.since {
            self.streak = 0;
            self.recent.count(now, settings.window, false);
        }
    }

    /// The client has none; what follows from it.
    pub(crate) fn failed(
        &mut self,
        now: Time,
        began: Time,
        failure: Failure,
        settings: &EjectionSettings,
    ) -> Option<Cause> {
        if began < self.since {
            return None;
        }
        self.streak = self.streak.saturating_add(1);
        self.recent.count(now, settings.window, true);
        if settings.consecutive.is_some_and(|most| self.streak >= most.max(1)) {
            return Some(Cause::Streak { failures: self.streak, last: failure });
        }
        let (requests, failures) = self.recent.sums();
        let too_many = |ratio| f64::from(failures) >= ratio * f64::from(requests);
        (requests >= settings.min_requests && settings.ratio.is_some_and(too_many))
            .then_some(Cause::Share { failures, requests, window: settings.window })
    }

    /// The backend came into service: what was counted before is void, and so are the ends of
    /// attempts that began before. How long the next ejection lasts is not forgotten.
    pub(crate) fn begin_anew(&mut self, now: Time) {
        self.streak = 0;
        self.recent = Window::default();
        self.since = now;
    }

    /// The backend was in service for so long.
    pub(crate) const fn add_service(&mut self, time: Duration) {
        self.served = self.served.saturating_add(time);
    }

    /// How long this ejection lasts: `base`·2ᵏ, at most `max`, and by up to `jitter` of itself
    /// longer or shorter, but never above `max`. k is 0 at first and grows by one with every
    /// ejection until `max` is reached. It falls by one for every time in service that is as long
    /// as the next ejection would be (before jitter): with base 5 s and k = 2 after 20 s in service
    /// to 1, after 10 s more to 0.
    pub(crate) fn eject(&mut self, settings: &EjectionSettings, rng: &mut Rng) -> Duration {
        let nominal = |doublings| {
            let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
            settings.base.saturating_mul(factor).min(settings.max)
        };
        let mut served = std::mem::take(&mut self.served);
        while self.doublings > 0 && served >= nominal(self.doublings) {
            served -= nominal(self.doublings);
            self.doublings -= 1;
        }
        let time = nominal(self.doublings);
        // Growth ends with `max`, or the way back would be longer than what it takes back.
        if time < settings.max && self.doublings < 31 {
            self.doublings += 1;
        }
        let jitter = settings.jitter.clamp(0.0, 1.0) * (2.0 * rng.unit() - 1.0);
        let jittered = Time::from_secs_f64(time.as_secs_f64() * (1.0 + jitter)).since(Time::ZERO);
        jittered.min(settings.max).max(SHORTEST)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};

    use super::*;

    const fn at_ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    fn settings(consecutive: Option<u32>, ratio: Option<f64>) -> EjectionSettings {
        EjectionSettings { consecutive, ratio, jitter: 0.0, ..EjectionSettings::default() }
    }

    /// `+` an attempt succeeds, `-` one fails, every 100 ms; after which of them there is cause.
    #[test]
    fn failures_in_a_row_or_too_large_a_share_are_cause() {
        for (consecutive, ratio, min_requests, attempts, expected) in [
            (Some(5), None, 1, "-----", Some(5)),
            (Some(5), None, 1, "----+----+-----", Some(15)),
            (Some(1), None, 1, "++-", Some(3)),
            (Some(0), None, 1, "+-", Some(2)), // 0 counts as 1
            (None, None, 1, "----------", None),
            (None, Some(0.5), 1, "++--", Some(4)),
            (None, Some(0.5), 5, "++--+-", Some(6)), // too few to say anything at the fourth
            (None, Some(0.85), 20, "+-----------------+-", Some(20)), // 17 of 20: the streak hides it
            (None, Some(1.0), 3, "+------------", None),
            (Some(3), Some(0.5), 4, "-+-+", None), // judged when one fails
            (Some(3), Some(0.5), 4, "-+-+-", Some(5)),
        ] {
            let settings = EjectionSettings { min_requests, ..settings(consecutive, ratio) };
            let mut record = Record::default();
            let cause = (1..).zip(attempts.chars()).find_map(|(i, c)| {
                let now = at_ms(100 * i);
                if c == '+' {
                    record.succeeded(now, now, &settings);
                    return None;
                }
                record.failed(now, now, Failure::Cut, &settings).map(|_| i)
            });
            assert_eq!(cause, expected, "{consecutive:?} {ratio:?} {min_requests} {attempts}");
        }
    }

    #[test]
    fn causes_in_words() {
        let last = Failure::NoAnswer(FailureKind::Timeout);
        let window = Duration::from_secs(10);
        for (cause, words) in [
            (Cause::Streak { failures: 5, last }, "5 failures in a row, the last: timeout"),
            (Cause::Streak { failures: 1, last: Failure::Status(500) }, "1 failure: status 500"),
            (
                Cause::Share { failures: 109, requests: 120, window },
                "91 % of 120 requests failed in 10 s",
            ),
            (Cause::Asked(Duration::from_millis(3_000)), "asked to be left alone for 3 s"),
            (Cause::Asked(Duration::from_millis(5_234)), "asked to be left alone for 5.2 s"),
        ] {
            assert_eq!(cause.to_string(), words);
        }
    }

    #[test]
    fn what_began_before_the_return_says_nothing() {
        let settings = settings(Some(2), None);
        let mut record = Record::new(at_ms(0));
        assert_eq!(record.failed(at_ms(1), at_ms(0), Failure::Cut, &settings), None);
        record.begin_anew(at_ms(10));
        for _ in 0..9 {
            assert_eq!(record.failed(at_ms(11), at_ms(9), Failure::Cut, &settings), None, "late");
        }
        assert_eq!(record.failed(at_ms(12), at_ms(10), Failure::Cut, &settings), None, "the first");
        record.succeeded(at_ms(13), at_ms(9), &settings);
        assert!(record.failed(at_ms(14), at_ms(10), Failure::Cut, &settings).is_some());
    }

    /// Seconds in service before each ejection, and how long it lasts, with 5 s at first, at most 60.
    #[test]
    fn ejections_double_and_service_takes_it_back() {
        let settings = settings(Some(5), None);
        for history in [
            &[(0, 5), (0, 10), (0, 20), (0, 40), (0, 60), (0, 60), (0, 60)][..],
            &[(0, 5), (9, 10), (19, 20), (39, 40)], // not long enough in service
            &[(0, 5), (10, 5), (10, 5)],            // as long as the next would be: one step back
            &[(0, 5), (0, 10), (20, 10), (29, 10), (30, 5)],
            &[(0, 5), (0, 10), (0, 20), (0, 40), (60, 40), (60 + 40 + 20, 10)],
            &[(100, 5), (1_000, 5)],
        ] {
            let mut record = Record::default();
            for &(served, seconds) in history {
                record.add_service(Duration::from_secs(served));
                let time = record.eject(&settings, &mut Rng::from_seed(1));
                assert_eq!(time, Duration::from_secs(seconds), "{history:?}");
            }
        }
    }

    /// Something that says how long an ejection lasts.
    trait Sentences {
        fn eject(&mut self, settings: &EjectionSettings, rng: &mut Rng) -> Duration;
    }

    impl Sentences for Record {
        fn eject(&mut self, settings: &EjectionSettings, rng: &mut Rng) -> Duration {
            Self::eject(self, settings, rng)
        }
    }

    /// Wrong: the jitter comes on top of the longest, as in Envoy.
    struct JitterOnTop(Record);
    impl Sentences for JitterOnTop {
        fn eject(&mut self, settings: &EjectionSettings, rng: &mut Rng) -> Duration {
            let plain = EjectionSettings { jitter: 0.0, ..settings.clone() };
            self.0.eject(&plain, rng).mul_f64(1.0 + settings.jitter * rng.unit())
        }
    }

    /// Wrong: doubles without end (and would be out for days after twenty ejections).
    struct NoLongest(u32);
    impl Sentences for NoLongest {
        fn eject(&mut self, settings: &EjectionSettings, _: &mut Rng) -> Duration {
            self.0 += 1;
            settings.base.saturating_mul(1_u32.checked_shl(self.0 - 1).unwrap_or(u32::MAX))
        }
    }

    fn never_longer_than_max(
        sentences: &mut dyn Sentences,
        settings: &EjectionSettings,
        seed: u64,
    ) -> Result<(), String> {
        let mut rng = Rng::from_seed(seed);
        for i in 0..50 {
            let time = sentences.eject(settings, &mut rng);
            if time > settings.max.max(SHORTEST) || time.is_zero() {
                return Err(format!("ejection {i} lasts {time:?}"));
            }
        }
        Ok(())
    }

    #[test]
    fn wrong_sentences_are_noticed() {
        let settings = EjectionSettings::default();
        assert!(never_longer_than_max(&mut JitterOnTop(Record::default()), &settings, 1).is_err());
        assert!(never_longer_than_max(&mut NoLongest(0), &settings, 1).is_err());
        assert!(never_longer_than_max(&mut Record::default(), &settings, 1).is_ok());
    }

    proptest! {
        #[test]
        fn no_ejection_is_longer_than_max(
            seed: u64,
            base_ms in 0..20_000_u64,
            max_ms in 0..100_000_u64,
            jitter in 0.0..2.0_f64,
        ) {
            let settings = EjectionSettings {
                base: Duration::from_millis(base_ms),
                max: Duration::from_millis(max_ms),
                jitter,
                ..EjectionSettings::default()
            };
            let held = never_longer_than_max(&mut Record::default(), &settings, seed);
            prop_assert!(held.is_ok(), "{held:?}");
        }
    }
}

//! How many requests may come: a token bucket for all, and one for each key. It must not know what
//! becomes of those that are refused, nor where a key comes from.

mod bucket;
mod keys;

use base::Time;

use self::bucket::{Bucket, Pace};
use self::keys::Keys;
use crate::message::Quota;
use crate::settings::{KeyedRate, Rate, RateSettings};

/// Both rate limits of a balancer. A request that one of them refuses costs the other nothing.
#[derive(Debug)]
pub(crate) struct Limiter {
    global: Option<(Pace, Bucket)>,
    keyed: Option<Keyed>,
}

/// A bucket for each key.
#[derive(Debug)]
struct Keyed {
    pace: Pace,
    keys: Keys,
    /// Of all requests without a key.
    keyless: Bucket,
}

impl Limiter {
    /// With full buckets. The `secret` keeps clients from choosing keys that are slow to find.
    pub(crate) fn new(settings: &RateSettings, secret: u64) -> Self {
        let global = settings.global.as_ref().map(|rate: &Rate| (Pace::new(rate), Bucket::FULL));
        let keyed = settings.keyed.as_ref().map(|KeyedRate { each, keys, .. }| Keyed {
            pace: Pace::new(each),
            keys: Keys::new(*keys, secret),
            keyless: Bucket::FULL,
        });
        Self { global, keyed }
    }

    /// The buckets of a former limiter whose settings were `old`, where these are the same.
    pub(crate) fn inherit(&mut self, former: Self, old: &RateSettings, new: &RateSettings) {
        if old.global == new.global {
            self.global = former.global;
        }
        if old.keyed == new.keyed {
            self.keyed = former.keyed;
        }
    }

    /// Lets a request with this key in and says what is left then of the limit that is nearest to
    /// its end; or refuses it by the limit that does for longer.
    #[inline(never)] // few balancers have a limit, and all requests pass by
    pub(crate) fn admit(&mut self, now: Time, key: Option<u64>) -> Result<Option<Quota>, Quota> {
        let global = self.global.as_ref().map(|(pace, bucket)| pace.quota(now, bucket));
        if let Some(all) = global.filter(Quota::is_spent) {
            // Whoever is refused is not worth remembering.
            let known = self.keyed.as_ref().and_then(|keyed| keyed.look(now, key));
            let spent = known.filter(|each| each.is_spent() && each.reset > all.reset);
            return Err(spent.unwrap_or(all));
        }
        let mut left = None;
        if let Some(Keyed { pace, keys, keyless }) = &mut self.keyed {
            let bucket = key.map_or(keyless, |key| keys.bucket(key));
            let each = pace.quota(now, bucket);
            if each.is_spent() {
                return Err(each);
            }
            left = Some(pace.take(now, bucket, each));
        }
        if let (Some((pace, bucket)), Some(all)) = (&mut self.global, global) {
            let all = pace.take(now, bucket, all);
            let nearer = |each: &Quota| {
                (each.remaining, std::cmp::Reverse(each.reset))
                    <= (all.remaining, std::cmp::Reverse(all.reset))
            };
            left = left.filter(nearer).or(Some(all));
        }
        Ok(left)
    }
}

impl Keyed {
    /// What is left of a bucket that exists.
    fn look(&self, now: Time, key: Option<u64>) -> Option<Quota> {
        let bucket = key.map_or(Some(&self.keyless), |key| self.keys.known(key))?;
        Some(self.pace.quota(now, bucket))
    }
}

impl Quota {
    const fn is_spent(&self) -> bool {
        self.remaining == 0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::settings::KeySource;

    const fn at_ms(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    const fn rate(rate: f64, burst: u32) -> Rate {
        Rate { rate, burst }
    }

    fn limiter(global: Option<Rate>, each: Option<Rate>, keys: u32) -> (Limiter, RateSettings) {
        let keyed = each.map(|each| KeyedRate { key: KeySource::Address, each, keys });
        let settings = RateSettings { global, keyed };
        (Limiter::new(&settings, 7), settings)
    }

    /// remaining/reset in ms of a request that is let in, and the reset of one that is refused.
    fn ask(limiter: &mut Limiter, ms: u64, key: Option<u64>) -> Result<(u32, u128), u128> {
        let words = |quota: Quota| (quota.remaining, quota.reset.as_millis());
        limiter.admit(at_ms(ms), key).map(|q| words(q.expect("on"))).map_err(|q| words(q).1)
    }

    #[test]
    fn the_limit_that_is_nearer_to_its_end_is_told() {
        // 10/s with 3 at once for all, 2/s with 2 at once for each.
        let (mut limiter, _) = limiter(Some(rate(10.0, 3)), Some(rate(2.0, 2)), 100);
        for (ms, key, expected) in [
            (0, Some(1), Ok((1, 500))), // each: 1 left; all: 2 left
            (0, Some(1), Ok((0, 500))), // each: 0 left
            (0, Some(1), Err(500)),     // costs the others nothing:
            (0, Some(2), Ok((0, 100))), // all: 0 left
            (0, Some(3), Err(100)),     // refused by all
            (0, Some(1), Err(500)),     // by both, and by its own for longer
            (100, Some(1), Err(400)),   // there is one for all again
            (100, None, Ok((0, 100))),  // those without a key have one bucket
            (200, None, Ok((0, 400))),  // both: 0 left; its own for longer
            (600, None, Ok((0, 500))),
        ] {
            assert_eq!(ask(&mut limiter, ms, key), expected, "{ms} {key:?}");
        }
        let (mut off, _) = limiter_off();
        assert_eq!(off.admit(at_ms(0), Some(1)), Ok(None));
    }

    fn limiter_off() -> (Limiter, RateSettings) {
        limiter(None, None, 1)
    }

    #[test]
    fn the_numbers_of_the_header_fields() {
        let (mut limiter, _) = limiter(Some(rate(4.0, 2)), None, 1);
        let quota = limiter.admit(at_ms(0), None).expect("full").expect("on");
        let expected = Quota {
            limit: 2,
            window: Duration::from_millis(500),
            remaining: 1,
            reset: Duration::from_millis(250),
        };
        assert_eq!(quota, expected);
    }

    #[test]
    fn other_settings_leave_alone_what_is_the_same() {
        let (mut first, old) = limiter(Some(rate(1.0, 1)), Some(rate(1.0, 1)), 10);
        assert!(ask(&mut first, 0, Some(1)).is_ok());
        let (mut second, new) = limiter(Some(rate(100.0, 100)), Some(rate(1.0, 1)), 10);
        second.inherit(first, &old, &new);
        assert_eq!(ask(&mut second, 0, Some(1)), Err(1000), "its key has spent its token");
        assert_eq!(ask(&mut second, 0, Some(2)), Ok((0, 1000)), "all have new ones");
    }
}

//! Dates as HTTP writes them (RFC 9110 §5.6.7). It must not know who asks.

use std::cell::Cell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) type Text = [u8; 29];

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const DAY_S: u64 = 24 * 3600;

/// The date that answers without one get: a recipient with a clock appends the time of receipt when
/// it forwards (RFC 9110 §6.6.1). Kept as a text that is made anew once a second.
pub(crate) struct Today(Cell<Text>);

impl Today {
    pub(crate) fn new() -> Self {
        Self(Cell::new(imf_fixdate(now_s())))
    }

    /// To be called once a second.
    pub(crate) fn refresh(&self) {
        self.0.set(imf_fixdate(now_s()));
    }

    pub(crate) fn text(&self) -> Text {
        self.0.get()
    }
}

/// The time since 1970; a clock that stands before that is taken to stand at it.
pub(crate) fn since_1970() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn now_s() -> u64 {
    since_1970().as_secs()
}

/// A time since 1970 as RFC 3339 writes it, in UTC and to the millisecond: `1994-11-06T08:49:37.000Z`.
pub(crate) fn rfc3339(at: Duration) -> [u8; 24] {
    let (days, of_day) = (at.as_secs() / DAY_S, at.as_secs() % DAY_S);
    let (year, month, day) = civil(days);
    let mut text = *b"1970-01-01T00:00:00.000Z";
    let mut put = |from: usize, width: usize, number: u64| {
        let mut left = number;
        for place in text[from..from + width].iter_mut().rev() {
            *place = b'0' + (left % 10) as u8;
            left /= 10;
        }
    };
    put(0, 4, year);
    put(5, 2, month);
    put(8, 2, day);
    put(11, 2, of_day / 3600);
    put(14, 2, of_day / 60 % 60);
    put(17, 2, of_day % 60);
    put(20, 3, u64::from(at.subsec_millis()));
    text
}

/// The date of a second since 1970, up to the year 9999.
fn imf_fixdate(seconds: u64) -> Text {
    let (days, of_day) = (seconds / DAY_S, seconds % DAY_S);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    let mut two = |at: usize, number: u64| {
        text[at] = b'0' + (number / 10 % 10) as u8;
        text[at + 1] = b'0' + (number % 10) as u8;
    };
    two(5, day);
    two(12, year / 100);
    two(14, year % 100);
    two(17, of_day / 3600);
    two(20, of_day / 60 % 60);
    two(23, of_day % 60);
    text[..3].copy_from_slice(DAYS[(days % 7) as usize]);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    text
}

/// Year, month and day of a day since 1970 in the Gregorian calendar (Hinnant, "chrono-Compatible
/// Low-Level Date Algorithms": years that begin in March, eras of 400).
const fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

/// The days since 1970 of a date; the inverse of [`civil`].
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year / 400, year % 400);
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// What Retry-After asks to wait (RFC 9110 §10.2.3): seconds, or a date. `None` if it is neither;
/// the two obsolete forms of dates are not read.
pub(crate) fn retry_after(value: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?;
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        // More than a u64 is as good as for ever.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX)));
    }
    let at = parse(text.as_bytes())?;
    Some(Duration::from_secs(at.saturating_sub(now_s())))
}

/// The second since 1970 of an IMF-fixdate.
fn parse(text: &[u8]) -> Option<u64> {
    let text: &Text = text.try_into().ok()?;
    let number = |from: usize, to: usize| -> Option<u64> {
        text[from..to]
            .iter()
            .try_fold(0, |sum, &b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
    };
    let month = MONTHS.iter().position(|name| **name == text[8..11])? as u64 + 1;
    let (year, day) = (number(12, 16)?, number(5, 7)?);
    let (hour, minute, second) = (number(17, 19)?, number(20, 22)?, number(23, 25)?);
    if year < 1970 || day == 0 || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let at = days(year, month, day) * DAY_S + hour * 3600 + minute * 60 + second.min(59);
    // Everything else of the form, and days that there are not: it reads as it is written.
    (imf_fixdate(at)[..25] == text[..25] || second == 60)
        .then_some(at)
        .filter(|_| text.ends_with(b" GMT"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_and_read() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
            (4_102_444_800, "Fri, 01 Jan 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let written = imf_fixdate(seconds);
            assert_eq!(std::str::from_utf8(&written).expect("ASCII"), text);
            assert_eq!(parse(text.as_bytes()), Some(seconds), "{text}");
        }
        for wrong in [
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Mon, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Feb 1999 08:49:37 GMT",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 0000 08:49:37 GMT",
        ] {
            assert_eq!(parse(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn a_time_is_written_to_the_millisecond() {
        for (at, text) in [
            (Duration::ZERO, "1970-01-01T00:00:00.000Z"),
            (Duration::from_millis(784_111_777_009), "1994-11-06T08:49:37.009Z"),
            (Duration::from_nanos(951_782_399_999_999_999), "2000-02-28T23:59:59.999Z"),
            (Duration::from_secs(253_402_300_799), "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(std::str::from_utf8(&rfc3339(at)).expect("ASCII"), text);
        }
    }

    #[test]
    fn every_day_of_400_years_is_read_back() {
        for day in 0..146_097 {
            let (year, month, of_month) = civil(day);
            assert_eq!(days(year, month, of_month), day, "{year}-{month}-{of_month}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(b"7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(b"0"), Some(Duration::ZERO));
        assert_eq!(retry_after(b"99999999999999999999999"), Some(Duration::from_secs(u64::MAX)));
        assert_eq!(retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        let later = retry_after(&imf_fixdate(now_s() + 100)).expect("a date");
        assert!((90..=100).contains(&later.as_secs()), "{later:?}");
        for wrong in [&b""[..], b"-1", b"1.5", b"soon", b"\xff"] {
            assert_eq!(retry_after(wrong), None, "{wrong:?}");
        }
    }
}

//! A backend's load as header fields, which a balancer may ask for. It must not know how it is
//! measured.
//!
//! The fields are those of libvmod-prequal: what balances over real servers finds them here too.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use workload::Load;

/// Requests inside, served and waiting ones.
const IN_FLIGHT: HeaderName = HeaderName::from_static("x-in-flight");
/// In seconds, how long a request takes at this load; 0 where no recent one tells.
const LATENCY: HeaderName = HeaderName::from_static("x-estimated-latency");

/// Adds the fields to an answer.
pub(crate) fn tell(load: Load, headers: &mut HeaderMap) {
    headers.insert(IN_FLIGHT, HeaderValue::from(load.in_flight));
    headers.insert(LATENCY, seconds(load.latency));
}

/// Whole microseconds, the digits written here: this stands in every answer, and `format!` would
/// take a tenth of a microsecond of the five that one costs.
fn seconds(latency: Duration) -> HeaderValue {
    if latency.is_zero() {
        return HeaderValue::from_static("0");
    }
    // 2⁶⁴ has 20 digits, and the point.
    let mut text = [0; 21];
    let mut at = text.len();
    let mut rest = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    let mut written = 0;
    while rest > 0 || written <= 6 {
        at -= 1;
        if written == 6 {
            text[at] = b'.';
            at -= 1;
        }
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        written += 1;
    }
    HeaderValue::from_bytes(&text[at..]).expect("digits and a point")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_decimal_seconds() {
        for (nanos, text) in [
            (0, "0"),
            (999, "0.000000"),
            (1_000, "0.000001"),
            (12_345_678, "0.012345"),
            (999_999_999, "0.999999"),
            (1_000_000_000, "1.000000"),
            (75_000_020_000, "75.000020"),
            (u64::MAX, "18446744073.709551"),
        ] {
            assert_eq!(seconds(Duration::from_nanos(nanos)), text, "{nanos} ns");
        }
        assert_eq!(seconds(Duration::MAX), "18446744073709.551615", "as much as there is room for");
    }
}

//! Durations, sizes, names: values as people write them. It must not know tables or keys.
//!
//! Every `parse_*` has a `format_*` that it reads back as the very same value. An error is the end
//! of a sentence that begins with "… is": what is wrong and what to write instead.

use std::time::Duration;

/// The longest duration that can be written: 10⁷ s, some 116 days, so that sums of a few of them
/// stay far below the 584 years that nanoseconds in 64 bits can hold.
pub const LONGEST: Duration = Duration::from_secs(10_000_000);

/// The highest rate that can be written, requests a second.
pub const HIGHEST_RATE: f64 = 1e8;

/// The most characters a name may have: names become parts of paths and of URLs.
pub const NAME_CHARACTERS: usize = 64;

/// The most digits in front of a decimal point: as many as 2⁶⁴ has.
const DIGITS_BEFORE: usize = 20;

/// The most digits behind a decimal point: as many as the smallest number has that an `f64` holds
/// and [`format_seconds`] can write.
const DIGITS_BEHIND: usize = 350;

/// How many of the digits behind the point count for a duration: enough for 10⁻⁵ ns of an hour.
const DIGITS_USED: usize = 18;

/// The units of a duration in nanoseconds, the longest spelling first where one ends in another.
const UNITS: [(&str, u128); 6] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// The units of a size in bytes; see [`UNITS`] on the order.
const SIZES: [(&str, u64); 6] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("B", 1),
];

/// A number and its unit, taken apart.
struct Quantity<'a> {
    number: &'a str,
    /// The part before the point.
    whole: u128,
    /// The part behind it, in 10⁻¹⁸.
    fraction: u128,
    /// The unit in nanoseconds.
    unit: u128,
}

impl<'a> Quantity<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        let &(name, unit) =
            UNITS.iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(no_duration)?;
        let number = &text[..text.len() - name.len()];
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let plain = |part: &str, most: usize| {
            (1..=most).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit())
        };
        if !plain(whole, DIGITS_BEFORE) || !plain(fraction, DIGITS_BEHIND) {
            return Err(no_duration());
        }
        let used = &fraction[..fraction.len().min(DIGITS_USED)];
        let whole: u128 = whole.parse().map_err(|_| no_duration())?;
        let fraction = format!("{used:0<DIGITS_USED$}").parse().map_err(|_| no_duration())?;
        // Past this check no product of these numbers can overflow.
        if whole > LONGEST.as_nanos() / unit {
            return Err(too_long());
        }
        Ok(Self { number, whole, fraction, unit })
    }
}

fn no_duration() -> String {
    "not a duration: write a number and ns, us, ms, s, m or h, such as \"250ms\"".into()
}

fn too_long() -> String {
    "too long: at most 10000000s".into()
}

/// A duration: a decimal number and one of ns, us, ms, s, m, h; rounded to a nanosecond, at most
/// [`LONGEST`].
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    const ONE: u128 = 10_u128.pow(DIGITS_USED as u32);
    let quantity = Quantity::parse(text)?;
    let parts = (quantity.whole * ONE + quantity.fraction) * quantity.unit;
    let nanos = (parts + ONE / 2) / ONE;
    if nanos > LONGEST.as_nanos() {
        return Err(too_long());
    }
    Ok(Duration::from_nanos(u64::try_from(nanos).expect("the longest duration is below 2⁶⁴ ns")))
}

/// The same text in seconds, not rounded to nanoseconds: for the parameters of distributions.
pub fn parse_seconds(text: &str) -> Result<f64, String> {
    let Quantity { number, unit, .. } = Quantity::parse(text)?;
    let number: f64 = number.parse().map_err(|_| no_duration())?;
    // Dividing by a whole number rounds once: "20ms" is the same number as 0.02.
    let seconds = if unit < 1_000_000_000 {
        number / (1_000_000_000 / unit) as f64
    } else {
        number * (unit / 1_000_000_000) as f64
    };
    if seconds > LONGEST.as_secs_f64() {
        return Err(too_long());
    }
    Ok(seconds)
}

/// A duration in the largest unit (ns to s) that leaves no fraction.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, size) = UNITS[..4]
        .iter()
        .rev()
        .find(|(_, size)| nanos.is_multiple_of(*size))
        .expect("every number of nanoseconds is a multiple of 1 ns");
    format!("{}{unit}", nanos / size)
}

/// Seconds, with as many digits as it takes to read the same number back.
pub fn format_seconds(seconds: f64) -> String {
    format!("{seconds}s")
}

/// A size in bytes: a whole number and one of B, kB, MB, KiB, MiB, GiB.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || "not a size: write bytes as a number, or such as \"64KiB\"".to_string();
    let &(unit, bytes) = SIZES.iter().find(|(unit, _)| text.ends_with(unit)).ok_or_else(wrong)?;
    let number = &text[..text.len() - unit.len()];
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    number.parse::<u64>().ok().and_then(|n| n.checked_mul(bytes)).ok_or_else(|| "too large".into())
}

/// Whether a text may name a backend, a phase, a scenario: 1 to 64 letters, digits, `-` and `_`,
/// so that it can stand in a path, a URL, a file name and an override's path.
pub fn is_name(text: &str) -> bool {
    (1..=NAME_CHARACTERS).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A text as a TOML string, quotes included.
pub fn quote(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A text in quotes for a message: one line, and cut when it is long.
pub fn shown(text: &str) -> String {
    const CHARACTERS: usize = 60;
    let line: String = text.chars().take(CHARACTERS).flat_map(char::escape_debug).collect();
    let cut = if text.chars().nth(CHARACTERS).is_some() { "…" } else { "" };
    // escape_debug also escapes single quotes, which needs no escape in double ones.
    format!("\"{}{cut}\"", line.replace("\\'", "'"))
}

/// The candidate that someone who wrote `word` most likely meant, if one is near.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long input cannot be near anything here; the distance is quadratic.
    if word.len() > NAME_CHARACTERS {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        // A third of the letters may be wrong, but never all: "at" is not a misspelt "to".
        .filter(|&(distance, candidate)| {
            distance <= (candidate.len() / 3).max(1) && candidate.len() > 1
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// Edits (insert, delete, replace, swap of neighbours) that turn `a` into `b`; case is free.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().collect();
    let b: Vec<char> = b.to_lowercase().chars().collect();
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replace.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, nanos) in [
            ("0s", 0),
            ("1ns", 1),
            ("500ms", 500_000_000),
            ("0.5s", 500_000_000),
            ("1.5us", 1_500),
            ("0.4ns", 0),
            ("0.5ns", 1),
            ("2m", 120_000_000_000),
            ("1.25h", 4_500_000_000_000),
            ("10000000s", 10_000_000_000_000_000),
            ("00001.500000000s", 1_500_000_000),
            // 10⁻¹⁰ s more than the limit rounds to the limit.
            ("10000000.0000000001s", 10_000_000_000_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        let shape = "not a duration: write a number and ns, us, ms, s, m or h, such as \"250ms\"";
        let long = "too long: at most 10000000s";
        for (text, message) in [
            ("", shape),
            ("s", shape),
            ("5", shape),
            ("5 ms", shape),
            ("-5ms", shape),
            ("+5ms", shape),
            ("1e3s", shape),
            ("1m30s", shape),
            (".5s", shape),
            ("5.s", shape),
            ("infs", shape),
            ("NaNs", shape),
            ("５s", shape),
            ("10000001s", long),
            ("10000000.000000001s", long),
            ("99999999999999999999h", long),
            ("111111111111111111111111s", shape),
        ] {
            assert_eq!(parse_duration(text), Err(message.to_string()), "{text}");
        }
    }

    #[test]
    fn seconds_of_a_text_are_the_nearest_number() {
        for (text, seconds) in
            [("20ms", 0.02), ("0.02s", 0.02), ("7us", 0.000_007), ("3ns", 3e-9), ("2m", 120.0)]
        {
            assert_eq!(parse_seconds(text), Ok(seconds), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes() {
        for (text, bytes) in [
            ("128B", Some(128)),
            ("64KiB", Some(65_536)),
            ("2kB", Some(2_000)),
            ("1MiB", Some(1 << 20)),
        ] {
            assert_eq!(parse_size(text).ok(), bytes, "{text}");
        }
        for text in ["", "B", "128", "1.5KiB", "-1B", "99999999999999999999GiB", "9999999999999GiB"]
        {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_safe_in_paths_and_urls() {
        for (text, safe) in [
            ("a", true),
            ("a-1_B", true),
            ("", false),
            ("a.b", false),
            ("a/b", false),
            ("..", false),
            ("ä", false),
            ("a b", false),
        ] {
            assert_eq!(is_name(text), safe, "{text:?}");
        }
        assert!(is_name(&"x".repeat(64)) && !is_name(&"x".repeat(65)));
    }

    #[test]
    fn the_nearest_word_is_suggested_and_a_far_one_is_not() {
        let words = ["strategy", "retry", "health", "timeout", "to", "workers"];
        for (word, expected) in [
            ("stratgy", Some("strategy")),
            ("Retry", Some("retry")),
            ("retyr", Some("retry")),
            ("timeouts", Some("timeout")),
            ("helth", Some("health")),
            ("latency", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, words), expected, "{word}");
        }
    }

    #[test]
    fn what_is_shown_stays_on_one_short_line() {
        assert_eq!(shown("it's\n\"p2\""), "\"it's\\n\\\"p2\\\"\"");
        assert_eq!(shown(&"x".repeat(100)).chars().count(), 63);
    }

    /// WRONG on purpose: 2⁵³ is below the 10¹⁶ ns that can be written.
    fn parse_duration_through_f64(text: &str) -> Result<Duration, String> {
        parse_seconds(text).map(Duration::from_secs_f64)
    }

    fn reads_back(parse: fn(&str) -> Result<Duration, String>) -> Result<(), String> {
        let nanos = 0_u64..=10_000_000_000_000_000;
        let result = proptest::test_runner::TestRunner::deterministic().run(&nanos, |nanos| {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&format_duration(duration)), Ok(duration));
            Ok(())
        });
        result.map_err(|error| error.to_string())
    }

    #[test]
    fn a_formatted_duration_reads_back_the_same() {
        assert!(reads_back(parse_duration_through_f64).is_err(), "the test sees nothing");
        assert_eq!(reads_back(parse_duration), Ok(()));
    }

    proptest! {
        #[test]
        fn formatted_seconds_read_back_the_same(seconds in prop_oneof![1e-12_f64..1.0, 0.0..1e7, Just(f64::MIN_POSITIVE)]) {
            prop_assert_eq!(parse_seconds(&format_seconds(seconds)), Ok(seconds));
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".{0,60}", unit in "(|ns|us|ms|s|m|h|B|KiB)") {
            for text in [text.clone(), format!("{text}{unit}")] {
                let _ = (parse_duration(&text), parse_seconds(&text), parse_size(&text));
                let _ = (shown(&text), nearest(&text, ["strategy", "to"]));
            }
        }

        #[test]
        fn digits_never_overflow(text in "[0-9]{1,25}(\\.[0-9]{1,25})?(ns|us|ms|s|m|h)") {
            let _ = parse_duration(&text);
        }
    }
}

//! Numbers as people read them. It must not know where they stand.

/// Larger numbers are written with an exponent: they are mistakes, and must not fill the page.
const PLAIN_BELOW: f64 = 1e12;

/// A count with its thousands apart: "12,000".
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with `decimals`, its thousands apart.
pub(crate) fn fixed(value: f64, decimals: usize) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    if value.abs() >= PLAIN_BELOW {
        return format!("{value:.1e}");
    }
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), count);
    let zero = text.chars().all(|c| matches!(c, '0' | '.'));
    let sign = if value < 0.0 && !zero { "−" } else { "" };
    format!("{sign}{whole}{rest}")
}

/// Three digits that count, as far as decimals help: "0.042", "4.21", "42.1", "421", "4,210".
pub(crate) fn short(value: f64) -> String {
    let decimals = match value.abs() {
        v if v == 0.0 || v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    fixed(value, decimals)
}

/// [`short`], or a dash for what does not exist.
pub(crate) fn optional(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), short)
}

/// A share of one as percent: "0.83 %".
pub(crate) fn percent(ratio: f64) -> String {
    format!("{} %", short(ratio * 100.0))
}

/// Seconds without needless decimals: "12 s", "0.5 s".
pub(crate) fn seconds(value: f64) -> String {
    format!("{} s", trimmed(value))
}

/// At most three decimals, none of them a trailing zero.
pub(crate) fn trimmed(value: f64) -> String {
    let text = fixed(value, 3);
    if text.contains('.') && !text.contains('e') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

/// Bytes as MiB.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", short(bytes as f64 / f64::from(1 << 20)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_people_write_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.0421, "0.042"),
            (4.213, "4.21"),
            (42.13, "42.1"),
            (421.3, "421"),
            (42_130.0, "42,130"),
            (-42.13, "−42.1"),
            (1e300, "1.0e300"),
            (f64::NAN, "–"),
            (f64::INFINITY, "–"),
        ] {
            assert_eq!(short(value), text, "{value}");
        }
        assert_eq!(
            [count(0), count(999), count(1_000), count(1_234_567)],
            ["0", "999", "1,000", "1,234,567"]
        );
        assert_eq!(
            [trimmed(12.0), trimmed(0.5), trimmed(1_000.0), trimmed(0.1239)],
            ["12", "0.5", "1,000", "0.124"]
        );
        assert_eq!([percent(0.0083), percent(1.0)], ["0.830 %", "100 %"]);
        assert_eq!(mebibytes(20 << 20), "20.0 MiB");
    }
}

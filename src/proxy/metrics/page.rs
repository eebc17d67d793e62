//! Prometheus' text format 0.0.4. It must not know what is counted.

use std::fmt::{Display, Write as _};

use super::histogram::Total;

/// A page that grows family by family.
pub(super) struct Page {
    text: String,
    /// The family whose samples come now.
    family: &'static str,
}

/// The labels of a sample.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    pub(super) fn new() -> Self {
        Self { text: String::with_capacity(16 * 1024), family: "" }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }

    /// A family whose samples follow. `help` is a sentence without its full stop.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.family = name;
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}.\n# TYPE {name} {kind}");
    }

    /// A counter of one sample.
    pub(super) fn counter(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(&[], value);
    }

    /// A gauge of one sample.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(&[], value);
    }

    /// A sample of the present family.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) {
        self.put("", labels, None, value);
    }

    /// The samples of one histogram of the present family.
    pub(super) fn histogram(&mut self, labels: Labels<'_>, total: &Total) {
        for (bound, count) in total.cumulated() {
            self.put("_bucket", labels, Some(bound), count);
        }
        self.put("_bucket", labels, Some("+Inf"), total.count());
        self.put("_sum", labels, None, total.seconds());
        self.put("_count", labels, None, total.count());
    }

    fn put(&mut self, suffix: &str, labels: Labels<'_>, le: Option<&str>, value: impl Display) {
        self.text.push_str(self.family);
        self.text.push_str(suffix);
        let mut open = '{';
        for (name, of) in labels.iter().copied().chain(le.map(|le| ("le", le))) {
            self.text.push(open);
            open = ',';
            self.text.push_str(name);
            self.text.push_str("=\"");
            for char in of.chars() {
                match char {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    char => self.text.push(char),
                }
            }
            self.text.push('"');
        }
        if open == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::histogram::Histogram;

    #[test]
    fn labels_are_escaped() {
        let mut page = Page::new();
        page.family("f", "gauge", "Help");
        page.sample(&[("a", "x\"\\\ny,}"), ("b", "")], 1.5);
        let expected = "# HELP f Help.\n# TYPE f gauge\nf{a=\"x\\\"\\\\\\ny,}\",b=\"\"} 1.5\n";
        assert_eq!(page.into_text(), expected);
    }

    #[test]
    fn a_histogram_is_cumulative_and_ends_with_infinity() {
        let histogram = Histogram::default();
        for ms in [1, 3, 20_000] {
            histogram.observe(Duration::from_millis(ms));
        }
        let (mut page, mut total) = (Page::new(), Total::default());
        total.add(&histogram);
        page.counter("c_total", "Help", 7_u64);
        page.family("h_seconds", "histogram", "Help");
        page.histogram(&[("of", "x")], &total);
        let text = page.into_text();
        for line in [
            "c_total 7",
            "h_seconds_bucket{of=\"x\",le=\"0.001\"} 1",
            "h_seconds_bucket{of=\"x\",le=\"0.005\"} 2",
            "h_seconds_bucket{of=\"x\",le=\"10\"} 2",
            "h_seconds_bucket{of=\"x\",le=\"+Inf\"} 3",
            "h_seconds_sum{of=\"x\"} 20.004",
            "h_seconds_count{of=\"x\"} 3",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}

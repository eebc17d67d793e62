//! Results that Artillery 2.0.34 really wrote, and what may happen to such files.
//!
//! `errors`: each kind of end, thirty times. `ramp`: a ramp, a pause longer than a period, two
//! scenarios of several requests. `plain`: no extended metrics, users that were not let in. `dead`:
//! nobody listens.

use std::path::PathBuf;

use import::artillery::{Written, figures};
use proptest::prelude::*;
use record::Figures;

const SAMPLES: [&str; 4] = ["errors", "ramp", "plain", "dead"];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/samples").join(name)
}

fn sample(name: &str) -> String {
    std::fs::read_to_string(path(&format!("{name}.json"))).expect("the sample is there")
}

fn import(files: &[(&str, &str)]) -> Result<Figures, String> {
    let mut results = Vec::new();
    for (name, text) in files {
        let written = Written::parse(&format!("{name}.json"), text);
        results.push(((*name).to_owned(), written.map_err(|problem| problem.to_string())?));
    }
    figures("run", &results).map_err(|problem| problem.to_string())
}

#[test]
fn samples_give_the_figures_that_were_read_and_found_right() {
    for name in SAMPLES {
        let figures = import(&[(name, &sample(name))]).expect(name);
        let mut text = serde_json::to_string_pretty(&figures.summary).expect("a summary");
        for row in &figures.timeline {
            text.push_str(&format!("\n{}", serde_json::to_string(row).expect("a row")));
        }
        for row in &figures.spectrum {
            text.push_str(&format!("\n{}", serde_json::to_string(row).expect("a row")));
        }
        text.push('\n');
        let golden = path(&format!("{name}.golden.txt"));
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("writable");
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert!(text == expected, "{name}: UPDATE_GOLDEN=1 writes what is found now:\n{text}");
    }
}

#[test]
fn every_request_of_every_sample_ends_in_one_way() {
    // ok, failed, rejected, dropped: of errors.json by what its server did, 30 times each: 5 good
    // answers, 404 · 500, reset, silence, an answer that broke off · 429, 503.
    for (name, expected) in [
        ("errors", [180, 120, 60, 0]),
        ("ramp", [316, 0, 0, 0]),
        ("plain", [280, 0, 0, 160]),
        ("dead", [0, 15, 0, 0]),
    ] {
        let figures = import(&[(name, &sample(name))]).expect(name);
        let counts = figures.summary.variants[0].counts;
        let found = [counts.ok, counts.failed, counts.rejected, counts.dropped];
        assert_eq!(found, expected, "{name}");
        assert!(counts.add_up(), "{name}");
        let sent: u64 = figures.timeline.iter().map(|row| row.sent).sum();
        assert_eq!(sent, counts.sent, "{name}: the periods are the whole");
    }
}

#[test]
fn a_pause_is_a_window_with_nothing_in_it() {
    let figures = import(&[("ramp", &sample("ramp"))]).expect("a sample");
    let rows: Vec<(f64, u64)> = figures.timeline.iter().map(|row| (row.t_s, row.sent)).collect();
    assert_eq!(rows, [(0.0, 64), (2.946, 137), (12.946, 0), (22.946, 115)]);
    assert_eq!(figures.timeline[2].p50_ms, None);
}

#[test]
fn several_results_are_variants_of_one_run_with_a_timing_that_all_have() {
    let (errors, plain) = (sample("errors"), sample("plain"));
    let figures = import(&[("errors", &errors), ("plain", &plain)]).expect("samples");
    let names: Vec<&str> = figures.summary.variants.iter().map(|v| v.name.as_str()).collect();
    assert_eq!(names, ["errors", "plain"]);
    let terms = figures.summary.terms.as_ref().expect("somebody else measured");
    assert!(terms.latency.contains("vusers.session_length"), "plain.json has no http.total");
    assert!(figures.summary.reasons.iter().any(|reason| reason.starts_with("errors: 30 answers")));
    // The shorter one ends where it ended, not where the other did.
    let last = figures.timeline.iter().rfind(|row| row.variant == "plain").expect("rows");
    assert_eq!((last.t_s, last.sent), (10.994, 0));
    let with_ramp = import(&[("plain", &plain), ("ramp", &sample("ramp"))]).expect("samples");
    let terms = with_ramp.summary.terms.expect("likewise");
    assert!(
        terms.latency.contains("http.response_time"),
        "users of ramp.json have several requests"
    );
}

/// A sample with one thing replaced, once.
fn damaged(name: &str, old: &str, new: &str) -> String {
    let text = sample(name);
    assert!(text.contains(old), "{name}: {old}");
    text.replacen(old, new, 1)
}

#[test]
fn what_is_no_result_is_refused_with_place_value_and_remedy() {
    let requests = "\"http.requests\": 360";
    for (what, text, wanted) in [
        ("nothing", String::new(), &["x.json: the file is empty"][..]),
        ("half", sample("errors")[..4000].to_owned(), &["x.json:1", "cut off", "copy the file"]),
        ("a picture", "\u{89}PNG".to_owned(), &["x.json:1:1: this is no JSON", "--output"]),
        ("something else", "{\"schema\": 1}".to_owned(), &["x.json: it has no \"aggregate\""]),
        ("a list", "[]".to_owned(), &["x.json:1:", "expected an object", "Artillery 2"]),
        ("the whole alone", "{\"aggregate\": {}}".to_owned(), &["no \"intermediate\""]),
        (
            "Artillery 1",
            r#"{"aggregate": {"scenariosCreated": 5, "codes": {}}, "intermediate": []}"#.to_owned(),
            &["Artillery 1"],
        ),
        (
            "no request",
            r#"{"aggregate": {"counters": {"vusers.created": 5}}, "intermediate": []}"#.to_owned(),
            &["aggregate.counters: there is no \"http.requests\"", "HTTP engine"],
        ),
        (
            "a negative count",
            damaged("errors", requests, "\"http.requests\": -360"),
            &["aggregate.counters[\"http.requests\"]: -360 will not do", "from 0"],
        ),
        (
            "half a request",
            damaged("errors", requests, "\"http.requests\": 0.5"),
            &["0.5 will not do"],
        ),
        (
            "far too many",
            damaged("errors", requests, "\"http.requests\": 1e300"),
            &["counters[\"http.requests\"]", "10^12"],
        ),
        ("beyond numbers", damaged("errors", requests, "\"http.requests\": 1e999"), &["x.json:"]),
        (
            "a word for a number",
            damaged("errors", requests, "\"http.requests\": \"many\""),
            &["x.json:", "invalid type: string \"many\""],
        ),
        (
            "a time before its start",
            damaged("errors", "\"p99\": ", "\"p99\": -"),
            &["p99: -", "clock may have been set"],
        ),
        ("no status", damaged("errors", "http.codes.404", "http.codes.lost"), &["http.codes.lost"]),
        (
            "no time",
            damaged("errors", "\"period\": \"1795924230000\"", "\"period\": \"yesterday\""),
            &["intermediate[0].period: \"yesterday\" will not do"],
        ),
        (
            "another year",
            damaged("errors", "\"period\": \"1795924230000\"", "\"period\": \"1000000000000\""),
            &["intermediate: from 1000000000000 to", "is wrong"],
        ),
    ] {
        let message = import(&[("x", &text)]).expect_err(what);
        for part in wanted {
            assert!(message.contains(part), "{what}: {part:?} is not in {message:?}");
        }
    }
}

#[test]
fn what_is_only_odd_is_imported_and_said() {
    let gone = |text: &str| text.to_owned();
    for (what, text, wanted) in [
        (
            "a mark of its encoding",
            format!("\u{feff}{}", damaged("errors", "{", "{")),
            "Artillery measured this",
        ),
        (
            "counters of one's own",
            damaged("errors", "\"http.requests\": 360", "\"mine\": -0.5, \"http.requests\": 360"),
            "Artillery measured this",
        ),
        (
            "a period as a number",
            damaged("errors", "\"period\": \"1795924230000\"", "\"period\": 1795924230000"),
            "Artillery measured this",
        ),
        (
            "a period twice",
            damaged("errors", "\"period\": \"1795924240000\"", "\"period\": \"1795924230000\""),
            "1 periods are there twice",
        ),
        (
            "users that got lost",
            damaged("errors", "\"vusers.completed\": 270", "\"vusers.completed\": 269"),
            "360 virtual users were created, but 269 completed and 90 failed",
        ),
        (
            "more users ended than began",
            damaged("errors", "\"vusers.completed\": 270", "\"vusers.completed\": 271"),
            "271 virtual users completed and 90 failed, more than the 360 that were created",
        ),
        (
            "a median above all",
            damaged(
                "errors",
                "\"mean\": 21.7,\n        \"p50\": 18",
                "\"mean\": 21.7,\n        \"p50\": 98",
            ),
            "http.total contradicts itself: p50 is 98 ms and p75 29.1 ms",
        ),
        (
            "more times than requests",
            damaged(
                "errors",
                "\"max\": 167,\n        \"count\": 270",
                "\"max\": 167,\n        \"count\": 2700",
            ),
            "http.total has 2700 times of 360 requests",
        ),
        (
            "a maximum below most",
            damaged(
                "errors",
                "\"max\": 167,\n        \"count\": 270",
                "\"max\": 67,\n        \"count\": 270",
            ),
            "http.total contradicts itself: p99 is 94.6 ms and max 67 ms",
        ),
        (
            "an hour and more away",
            damaged("errors", "\"period\": \"1795924240000\"", "\"period\": \"1795929240000\""),
            "1.4 h lie between two periods",
        ),
        (
            "a whole that is elsewhere",
            damaged("errors", "\"lastMetricAt\": 17959", "\"lastMetricAt\": 17979"),
            "at a time that is not in its periods",
        ),
        (
            "a name without end",
            damaged(
                "errors",
                "\"http.requests\": 360",
                &format!("\"errors.{}\": 1, \"http.requests\": 360", "no sense ".repeat(40)),
            ),
            "no sense … (1)",
        ),
        (
            "periods that are not the whole",
            damaged("errors", "\"http.requests\": 290", "\"http.requests\": 280"),
            "the periods have 350 requests and the whole 360",
        ),
        (
            "no periods, no summaries",
            gone(
                r#"{"aggregate": {"counters": {"http.requests": 2, "http.codes.200": 1}}, "intermediate": []}"#,
            ),
            "there are no periods",
        ),
        (
            "no end",
            gone(
                r#"{"aggregate": {"counters": {"http.requests": 2, "http.codes.200": 1}}, "intermediate": []}"#,
            ),
            "of 1 requests the result tells no end",
        ),
    ] {
        let figures = import(&[("x", &text)]).expect(what);
        let reasons = &figures.summary.reasons;
        assert!(
            reasons.iter().any(|r| r.contains(wanted)),
            "{what}: {wanted:?} not in {reasons:#?}"
        );
        assert!(figures.summary.variants[0].counts.add_up(), "{what}");
    }
}

proptest! {
    /// Cut anywhere, a result is refused; it never becomes a shorter run.
    #[test]
    fn a_cut_file_is_refused(sample_index in 0..SAMPLES.len(), part in 0.0..1.0_f64) {
        let text = sample(SAMPLES[sample_index]);
        let end = text.trim_end().len();
        let cut = (part * end as f64) as usize;
        prop_assume!(cut < end && text.is_char_boundary(cut));
        let message = import(&[("x", &text[..cut])]).expect_err("it is cut");
        let wanted = if cut == 0 { "the file is empty" } else { "the file ends here" };
        prop_assert!(message.contains(wanted), "{}", message);
    }

    /// Whatever number stands in place of another: a problem, or figures that add up.
    #[test]
    fn any_number_anywhere_is_refused_or_adds_up(
        sample_index in 0..SAMPLES.len(),
        place in any::<prop::sample::Index>(),
        number in prop_oneof!["-?[0-9]{1,20}", "-?[0-9]{1,3}\\.[0-9]{1,9}", "[0-9]e[0-9]{1,3}", Just("null".to_owned())],
    ) {
        let text = sample(SAMPLES[sample_index]);
        let colons: Vec<usize> = text.match_indices(": ").map(|(at, _)| at + 2).collect();
        let numbers: Vec<usize> = colons
            .into_iter()
            .filter(|at| text[*at..].starts_with(|c: char| c.is_ascii_digit()))
            .collect();
        let at = numbers[place.index(numbers.len())];
        let length = text[at..].find([',', '\n']).unwrap_or(0);
        let changed = format!("{}{number}{}", &text[..at], &text[at + length..]);
        if let Ok(figures) = import(&[("x", &changed)]) {
            for variant in &figures.summary.variants {
                prop_assert!(variant.counts.add_up(), "{:?}", variant.counts);
                prop_assert!(variant.offered_rps.is_finite());
            }
            for row in &figures.timeline {
                prop_assert!(row.t_s >= 0.0 && row.t_s.is_finite());
            }
        }
    }
}

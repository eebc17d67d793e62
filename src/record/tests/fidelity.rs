//! A live run and a simulated one compared: equal ones, slower ones, and those that do not belong
//! together.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use base::{Outcome, Time};
use record::fidelity::{Comparison, Grade, compare};
use record::{Exchange, LoadError, Recorder, Run, RunWriter};
use support::{about, plan, temporary, write};

fn compared(folder: &Path) -> Result<Comparison, LoadError> {
    compare(&Run::load(&folder.join("live"))?, &Run::load(&folder.join("sim"))?)
}

/// A run of two variants in which everything takes `percent` of 20 and 30 ms; the rounds of the
/// first differ by a tenth of a millisecond, so that intervals are narrow.
fn play(folder: &Path, engine: &str, percents: [u64; 2]) {
    let mut writer = RunWriter::create(folder).expect("a new folder");
    for round in [1, 2, 3] {
        for (variant, base_us, percent) in
            [("fast", 20_000, percents[0]), ("slow", 30_000, percents[1])]
        {
            let mut recorder = Recorder::new(plan(variant, round));
            for request in 0..600 {
                let intended = Time::ZERO + Duration::from_millis(request * 10);
                let us = base_us * percent / 100 + u64::from(round) * 100 + request % 10;
                recorder.begin(intended);
                recorder.end(&Exchange {
                    request,
                    intended,
                    sent: Some(intended),
                    ended: intended + Duration::from_micros(us),
                    outcome: Outcome::Ok,
                    status: Some(200),
                    backend: Some(0),
                });
            }
            writer.trial(recorder.finish()).expect("writable");
        }
    }
    let whole = about(engine);
    writer.finish(&whole, &[], None).expect("writable");
    writer.seal(&whole).expect("writable");
}

#[test]
fn a_run_equals_itself() {
    let folder = temporary();
    for engine in ["live", "sim"] {
        write(&folder.path().join(engine), engine);
    }
    let found = compared(folder.path()).expect("they belong together");
    assert_eq!(found.variants.len(), 2);
    for variant in &found.variants {
        assert_eq!(variant.grade, Grade::Excellent, "{variant:?}");
        assert_eq!((variant.wasserstein, variant.ks), (Some(0.0), Some(0.0)));
        assert_eq!(variant.p99_ms.difference, Some(0.0));
        assert_eq!(variant.share_difference, Some(0.0));
        assert_eq!(variant.failed_ratio.difference, Some(0.0));
    }
    assert_eq!(found.verdict, "excellent", "{:?}", found.reasons);
}

#[test]
fn a_slower_simulation_is_as_poor_as_it_is_slow() {
    for (percents, verdict, because) in [
        ([100, 100], "excellent", "every figure"),
        ([104, 100], "poor", "the KS distance is"),
        ([150, 100], "poor", "p50 differs by"),
        // Each alone is off, and the order of the two is turned round.
        ([200, 70], "poor", "fast is below slow live, and not simulated"),
    ] {
        let folder = temporary();
        play(&folder.path().join("live"), "live", [100, 100]);
        play(&folder.path().join("sim"), "sim", percents);
        let found = compared(folder.path()).expect("they belong together");
        assert_eq!(found.verdict, verdict, "{percents:?}: {:?}", found.reasons);
        assert!(found.reasons.iter().any(|why| why.contains(because)), "{:?}", found.reasons);
        // Three rounds tell 20 from 30 ms, by p99 and by mean.
        assert_eq!(found.ranking.pairs.len(), 2, "{:?}", found.ranking);
        let of_fast = &found.variants[0];
        let off = (percents[0] as f64 - 100.0) / 100.0;
        let wasserstein = of_fast.wasserstein.expect("both have values");
        assert!((wasserstein - off).abs() < 0.02, "{percents:?}: {wasserstein}");
    }
}

#[test]
fn what_does_not_belong_together_is_not_compared() {
    type Harm = fn(&Path);
    let cases: [(&str, Harm, &str); 4] = [
        ("two live ones", |folder| play(&folder.join("sim"), "live", [100, 100]), "engine is"),
        (
            "another scenario",
            |folder| {
                play(&folder.join("sim"), "sim", [100, 100]);
                let path = folder.join("sim/manifest.json");
                let text = fs::read_to_string(&path).expect("there");
                fs::write(&path, text.replace("\"seed\": 1", "\"seed\": 2")).expect("writable");
            },
            "its seed is not that of",
        ),
        (
            "no run at all",
            |folder| fs::create_dir_all(folder.join("sim")).expect("made"),
            "no run folder",
        ),
        (
            "a broken histogram",
            |folder| {
                play(&folder.join("sim"), "sim", [100, 100]);
                let path = folder.join("sim/latency.hlog");
                let text = fs::read_to_string(&path).expect("there");
                let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let fifth = lines[5].rfind(',').expect("an interval");
                lines[5].truncate(fifth + 20);
                fs::write(&path, lines.join("\n") + "\n").expect("writable");
            },
            "latency.hlog:6: its histogram is",
        ),
    ];
    for (what, harm, message) in cases {
        let folder = temporary();
        play(&folder.path().join("live"), "live", [100, 100]);
        harm(folder.path());
        let error = compared(folder.path()).expect_err(what).to_string();
        assert!(error.contains(message), "{what}: {error}");
    }
}

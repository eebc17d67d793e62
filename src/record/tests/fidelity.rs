//! A live run and a simulated one compared: equal ones, slower ones, and those that do not belong
//! together.

mod support;

use std::fs;
use std::path::Path;
use std::time::Duration;

use base::{Outcome, Time};
use record::fidelity::{Comparison, Grade, compare};
use record::{
    EventRow, Exchange, LoadError, PairFolder, Pairing, PhaseSpan, Plan, Recorder, Run, RunWriter,
    Sample,
};
use support::{SECOND, about, plan, span, temporary, write};

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

/// 2,000 requests in 20 s, of 20 ms; one of four in the two seconds of a hang at 10 s takes a second where
/// `hangs`, and is then a retry.
fn play_hang(folder: &Path, engine: &str, hangs: u64) {
    let mut recorder = Recorder::new(Plan {
        phases: vec![PhaseSpan { name: "steady".into(), span: span(0, 20), rate: (100.0, 100.0) }],
        spans: vec![],
        ..plan("v", 1)
    });
    let mut caught = 0;
    for request in 0..2_200_u64 {
        let intended = Time::ZERO + Duration::from_millis(request * 10);
        let hangs = (1_200..1_400).contains(&request) && request % 4 == 0 && caught < hangs;
        caught += u64::from(hangs);
        let took = Duration::from_millis(if hangs { 1_020 } else { 20 });
        recorder.begin(intended);
        recorder.end(&Exchange {
            request,
            intended,
            sent: Some(intended),
            ended: intended + took,
            outcome: Outcome::Ok,
            status: Some(200),
            backend: Some(0),
        });
    }
    for at in 0..=20_u64 {
        let retries = if at > 11 { caught } else { 0 };
        let backends = vec![support::ready(), support::ready()];
        let at = Time::ZERO + support::WARMUP + SECOND * at as u32;
        recorder.sample(Sample { at, retries: Some(retries), backends });
    }
    for (at, kind) in [(10, "hang"), (12, "hang_end")] {
        recorder.event(EventRow {
            at: Time::ZERO + support::WARMUP + SECOND * at,
            source: "scenario".into(),
            subject: "a-2".into(),
            kind: kind.into(),
            detail: String::new(),
        });
    }
    let mut writer = RunWriter::create(folder).expect("a new folder");
    writer.trial(recorder.finish()).expect("writable");
    let whole = about(engine);
    writer.finish(&whole, &[], None).expect("writable");
    writer.seal(&whole).expect("writable");
}

#[test]
fn a_hang_that_a_whole_runs_percentiles_hide_is_judged_in_its_window() {
    for (simulated, grade) in [(18, Grade::Excellent), (8, Grade::Good), (0, Grade::Poor)] {
        let folder = temporary();
        play_hang(&folder.path().join("live"), "live", 18);
        play_hang(&folder.path().join("sim"), "sim", simulated);
        let found = compared(folder.path()).expect("they belong together");
        let variant = &found.variants[0];
        // 18 of 2,000: the p99 of the whole is that of the others.
        assert!(variant.p99_ms.difference.is_some_and(|of| of.abs() < 0.001), "{variant:?}");
        let [window] = variant.faults.as_slice() else { panic!("{variant:?}") };
        assert_eq!((window.fault.as_str(), window.from_s, window.to_s), ("hang a-2", 10.0, 17.0));
        assert_eq!((window.intended.live, window.intended.sim), (Some(700), Some(700)));
        assert_eq!((window.slow.live, window.slow.sim), (Some(18), Some(simulated)));
        assert_eq!((window.retries.live, window.retries.sim), (Some(18), Some(simulated)));
        assert_eq!(window.grade, grade, "{window:?}");
        if grade == Grade::Poor {
            assert_eq!(found.verdict, "poor");
            let why = "v, hang a-2 (10 to 17 s) is poor: 18 slow requests live and 0 simulated";
            assert!(found.reasons.iter().any(|reason| reason.starts_with(why)), "{found:?}");
        }
        let pair = PairFolder::create(&folder.path().join("pair"), Pairing::Engines);
        let pair = pair.expect("a new folder");
        pair.keep(&found).expect("writable");
        let rows = fs::read_to_string(pair.folder().join("comparison.csv")).expect("there");
        let rows: Vec<&str> = rows.lines().collect();
        assert_eq!(rows.len(), 3, "a head, the variant, its window: {rows:?}");
        assert!(rows[2].contains(",hang a-2,10.0,17.0,"), "{}", rows[2]);
    }
}

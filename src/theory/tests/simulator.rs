//! The simulator gives what is known, within 4.5 standard errors over rounds of fixed seeds. These
//! tests must not be tuned: a deviation is a bug.

use base::Stop;
use theory::{BOUND, Row, points, verify};

/// Rounds, and requests of each: enough for standard errors of some percent. `lab verify` plays more
/// of both: were the rounds alone more, it would show that the tails of full queues need longer ones.
const ROUNDS: u32 = 12;
const JOBS: f64 = 6_000.0;

fn rows(jobs: usize) -> Vec<Row> {
    verify(&points(ROUNDS, JOBS), jobs, &Stop::default(), &|_, _| {})
        .expect("all points can be played")
}

#[test]
fn the_simulator_gives_what_is_known() {
    let rows = rows(2);
    let mut complaints = vec![];
    for row in &rows {
        let Row { point, known, measured } = row;
        let line = format!(
            "{point}, {}: {} known, {} ± {} measured, {:.1} standard errors off",
            known.metric.word(),
            known.value,
            measured.mean,
            measured.error,
            row.z()
        );
        println!("{line}");
        if measured.error > 0.25 * known.value {
            complaints.push(format!("{line}: too short to say anything"));
        }
        if !row.holds() {
            complaints.push(line);
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
    // Honest errors are about one standard error in size: much less would be as wrong as more.
    let size = (rows.iter().map(|row| row.z().powi(2)).sum::<f64>() / rows.len() as f64).sqrt();
    assert!((0.5..1.6).contains(&size), "the typical deviation is {size} of {BOUND} allowed");
}

#[test]
fn the_result_does_not_depend_on_the_number_of_threads() {
    let few: Vec<_> = points(ROUNDS, 500.0).into_iter().take(4).collect();
    let [one, three] = [1, 3].map(|jobs| verify(&few, jobs, &Stop::default(), &|_, _| {}));
    assert_eq!(one.expect("they can be played"), three.expect("here too"));
}

/// A wrong system is noticed: the same scenario, with what is known of another.
#[test]
fn a_wrong_value_does_not_hold() {
    let mut few: Vec<_> = points(ROUNDS, JOBS).into_iter().take(1).collect();
    few[0].known[0].value *= 1.1;
    let rows = verify(&few, 2, &Stop::default(), &|_, _| {}).expect("it can be played");
    assert!(!rows[0].holds(), "{rows:?}");
}

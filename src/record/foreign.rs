//! What a load generator that is not ours could not hold, as far as it can be known from outside:
//! it tells nothing of it itself. It must not know which one it is.

use std::time::Duration;

/// Of the planned requests, those that the generator must have made in time.
const LEAST_MADE: f64 = 0.99;
/// The measured part may take so much of its length longer than planned …
const LONGER: f64 = 0.01;
/// … or this long, whichever is more: a pacer of whole milliseconds drifts a little every second.
const LONGER_FLOOR: Duration = Duration::from_millis(100);
/// Requests a second that each of its threads sends without being late: half of what is the most.
const EASY_RATE: f64 = 500.0;
/// The median must be so many ticks of its clock, or a tick is a good part of what is measured.
const TICKS: u32 = 3;

/// What is known of such a generator after a trial.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Foreign {
    /// "Artillery".
    pub name: String,
    /// The tick of its clock and timers.
    pub clock: Duration,
    /// How many of its threads send.
    pub threads: u32,
    /// Requests that it was told to make, the warm-up included.
    pub planned: u64,
    /// Requests that it made.
    pub made: u64,
    /// Those that it made after the planned end, by more than the [`Foreign::drift`].
    pub late: u64,
    /// How long the measured part was to be.
    pub planned_length: Duration,
    /// How long it was, to the last request that was made.
    pub length: Duration,
    /// Phases that have a rate and are too short for one whole request.
    pub empty: Vec<String>,
    /// Where its own counters are not those of our record, in words.
    pub disagreements: Vec<String>,
}

impl Foreign {
    /// By how much such a generator may be behind at the end of so long a part.
    pub fn drift(length: Duration) -> Duration {
        length.mul_f64(LONGER).max(LONGER_FLOOR)
    }

    /// Why what it measured cannot be believed.
    pub(crate) fn flaws(&self) -> Vec<String> {
        let Self { name, planned, made, late, .. } = self;
        let mut flaws = self.disagreements.clone();
        let in_time = made.saturating_sub(*late);
        let share = in_time as f64 / (*planned).max(1) as f64;
        if share < LEAST_MADE {
            flaws.push(format!(
                "{name} made only {in_time} of the {planned} planned requests in time ({:.1} %; \
                 {:.0} % are needed): lower the rate, or use the built-in generator",
                share * 100.0,
                LEAST_MADE * 100.0,
            ));
        }
        let longer = self.length.saturating_sub(self.planned_length);
        if longer > Self::drift(self.planned_length) {
            flaws.push(format!(
                "{name} fell behind without saying so: it took {:.2} s for {:.2} s of load, so \
                 the rate was not the planned one: lower it, or use the built-in generator",
                self.length.as_secs_f64(),
                self.planned_length.as_secs_f64(),
            ));
        }
        flaws
    }

    /// What to bear in mind when reading its figures.
    pub(crate) fn doubts(&self, peak_rate: f64, latency_p50_ns: Option<u64>) -> Vec<String> {
        let Self { name, clock, threads, .. } = self;
        let mut doubts = Vec::new();
        for phase in &self.empty {
            doubts.push(format!(
                "{name} makes whole requests, and the phase {phase} is too short for one at its rate: it \
                 sent nothing there; lengthen it, raise its rate, or use the built-in generator"
            ));
        }
        let each = peak_rate / f64::from((*threads).max(1));
        if each > EASY_RATE {
            doubts.push(format!(
                "{name} was to send {each:.0} requests/s from one thread, and above {EASY_RATE} \
                 its own work shows in the latencies (about 1000 are the most): lower the rate, \
                 or use the built-in generator"
            ));
        }
        let least = *clock * TICKS;
        let p50 = latency_p50_ns.map(Duration::from_nanos);
        if let Some(p50) = p50.filter(|p50| *p50 < least) {
            doubts.push(format!(
                "the median latency, {:.2} ms, is less than {TICKS} ticks of {name}'s clock ({} \
                 ms): it is too coarse for such latencies; use the built-in generator",
                p50.as_secs_f64() * 1e3,
                clock.as_millis(),
            ));
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign() -> Foreign {
        Foreign {
            name: "Artillery".into(),
            clock: Duration::from_millis(1),
            threads: 2,
            planned: 10_000,
            made: 10_000,
            late: 0,
            planned_length: Duration::from_secs(20),
            length: Duration::from_secs(20),
            empty: Vec::new(),
            disagreements: Vec::new(),
        }
    }

    #[test]
    fn falling_behind_is_seen_from_outside() {
        let ms = Duration::from_millis;
        // (made, late, took, its counters differ) → a part of each reason
        for (made, late, took, differ, reasons) in [
            (10_000, 0, ms(20_000), false, &[][..]),
            (9_900, 0, ms(20_200), false, &[]),
            (9_899, 0, ms(20_200), false, &["made only 9899 of the 10000"]),
            (10_000, 101, ms(20_200), false, &["made only 9899 of the 10000"]),
            (10_000, 0, ms(20_201), false, &["took 20.20 s for 20.00 s"]),
            (10_000, 0, ms(19_000), false, &[]),
            (10_000, 0, ms(20_000), true, &["counted 3"]),
            (5_000, 0, ms(40_000), true, &["counted 3", "made only 5000", "took 40.00 s"]),
        ] {
            let disagreements = if differ { vec!["it counted 3".to_owned()] } else { vec![] };
            let flaws = Foreign { made, late, length: took, disagreements, ..foreign() }.flaws();
            assert_eq!(flaws.len(), reasons.len(), "{made} {took:?}: {flaws:?}");
            for (flaw, reason) in flaws.iter().zip(reasons) {
                assert!(flaw.contains(reason), "{flaw}");
            }
        }
        let short = Foreign { planned_length: ms(3_000), length: ms(3_100), ..foreign() };
        assert!(short.flaws().is_empty(), "a tenth of a second is nothing");
    }

    #[test]
    fn its_limits_are_doubts() {
        for (peak_rate, p50_ms, reasons) in [
            (1_000.0, Some(20), &[][..]),
            (1_001.0, Some(20), &["to send 500 requests/s from one thread"]),
            (100.0, Some(2), &["2.00 ms, is less than 3 ticks"]),
            (100.0, Some(3), &[]),
            (100.0, None, &[]),
        ] {
            let doubts = foreign().doubts(peak_rate, p50_ms.map(|ms: u64| ms * 1_000_000));
            assert_eq!(doubts.len(), reasons.len(), "{peak_rate} {p50_ms:?}: {doubts:?}");
            for (doubt, reason) in doubts.iter().zip(reasons) {
                assert!(doubt.contains(reason), "{doubt}");
            }
        }
        let doubts = Foreign { empty: vec!["short".into()], ..foreign() }.doubts(100.0, None);
        assert!(doubts.len() == 1 && doubts[0].contains("the phase short"), "{doubts:?}");
    }
}

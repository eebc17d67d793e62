//! What probes and failed connects say of one backend: new, up or out. It must not send anything
//! and knows no time; [`crate::probe`] knows when to ask.

/// What follows from the checks so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing has passed yet, and fewer than `fall` probes failed.
    New,
    /// In order.
    Up,
    /// Not to be used.
    Out,
}

/// The counters of one backend, after HAProxy's `check.c`: a level from 0 to rise + fall − 1, up
/// from `rise` on. A pass lifts it by one, and to the top once it is up; a failure lowers it by
/// one, and to the bottom once it is not. So `fall` failures in a row take it down, `rise` passes
/// in a row bring it back, and one pass forgives all failures before it.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    rise: u64,
    fall: u64,
    level: u64,
    /// A request could not connect since the last passed probe.
    connect_failed: bool,
    /// A probe has passed at least once.
    proven: bool,
    failed_in_a_row: u64,
}

impl Check {
    /// Of a new backend: one pass brings it up. Counts of 0 are taken as 1.
    pub(crate) fn new(rise: u32, fall: u32) -> Self {
        let (rise, fall) = (u64::from(rise.max(1)), u64::from(fall.max(1)));
        Self {
            rise,
            fall,
            level: rise - 1,
            connect_failed: false,
            proven: false,
            failed_in_a_row: 0,
        }
    }

    /// Of a backend that is in service already: `fall` failures take it down.
    pub(crate) fn trusted(rise: u32, fall: u32) -> Self {
        let mut check = Self::new(rise, fall);
        check.pass();
        check
    }

    /// The same standing under other counts, which begin anew.
    pub(crate) fn recount(&mut self, rise: u32, fall: u32) {
        let fresh = Self::new(rise, fall);
        if (fresh.rise, fresh.fall) == (self.rise, self.fall) {
            return;
        }
        let level = match (self.proven, self.level >= self.rise) {
            (false, _) => fresh.level,
            (true, true) => fresh.rise + fresh.fall - 1,
            (true, false) => 0,
        };
        *self = Self { rise: fresh.rise, fall: fresh.fall, level, ..self.clone() };
    }

    /// Whether a probe has passed at least once, or the backend was in service before.
    pub(crate) const fn is_proven(&self) -> bool {
        self.proven
    }

    /// Whether the next probe may change the standing though the last ones did not settle it: the
    /// backend is new, or its level lies between the ends, or its probes pass and a connect failed.
    pub(crate) fn is_in_doubt(&self) -> bool {
        if self.proven {
            let ends = [0, self.rise + self.fall - 1];
            self.connect_failed || !ends.contains(&self.level)
        } else {
            self.standing() == Standing::New
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        if self.level >= self.rise && !self.connect_failed {
            Standing::Up
        } else if !self.proven && self.failed_in_a_row < self.fall && !self.connect_failed {
            Standing::New
        } else {
            Standing::Out
        }
    }

    /// Probes that failed since the last that passed.
    pub(crate) const fn failed_in_a_row(&self) -> u64 {
        self.failed_in_a_row
    }

    pub(crate) fn pass(&mut self) {
        self.connect_failed = false;
        self.proven = true;
        self.failed_in_a_row = 0;
        self.level += 1;
        if self.level >= self.rise {
            self.level = self.rise + self.fall - 1;
        }
    }

    pub(crate) fn fail(&mut self) {
        self.failed_in_a_row += 1;
        if !self.proven {
            // A new backend that is slow to start needs its one pass, however long it took.
            return;
        }
        self.level = self.level.saturating_sub(1);
        if self.level < self.rise {
            self.level = 0;
        }
    }

    /// A request could not connect: out until the next probe that passes.
    pub(crate) const fn connect_failed(&mut self) {
        self.connect_failed = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `+` a probe passes, `-` one fails, `c` a connect fails; below each the standing after it:
    /// New, Up, Out.
    #[test]
    fn standings_follow_the_checks() {
        for (rise, fall, checks, expected) in [
            (2, 3, "+", "U"),               // a new backend needs one pass
            (2, 3, "--+", "NNU"),           // also after failures
            (2, 3, "----+", "NNOOU"),       // which take it out in the end
            (2, 3, "+---", "UUUO"),         // `fall` in a row
            (2, 3, "+--+--+", "UUUUUUU"),   // and only in a row
            (2, 3, "+---+-++", "UUUOOOOU"), // `rise` in a row
            (1, 1, "+-+-", "UOUO"),
            (2, 3, "+c+", "UOU"),       // a failed connect: until the next pass
            (2, 3, "+c-+", "UOOU"),     // even after a failed probe, while short of `fall`
            (2, 3, "+c---+", "UOOOOO"), // but not once the probes have taken it down
            (2, 2, "c+", "OU"),
            (0, 0, "+-+", "UOU"), // 0 counts as 1
            (u32::MAX, u32::MAX, "+-c+", "UUOU"),
        ] {
            let mut check = Check::new(rise, fall);
            assert_eq!(check.standing(), Standing::New);
            let seen: String = checks
                .chars()
                .map(|event| {
                    match event {
                        '+' => check.pass(),
                        '-' => check.fail(),
                        _ => check.connect_failed(),
                    }
                    match check.standing() {
                        Standing::New => 'N',
                        Standing::Up => 'U',
                        Standing::Out => 'O',
                    }
                })
                .collect();
            assert_eq!(seen, expected, "rise {rise}, fall {fall}: {checks}");
        }
    }

    /// As above; `?` where the next probe may settle something, `.` where all is settled.
    #[test]
    fn doubt_lies_between_the_ends() {
        for (rise, fall, checks, expected) in [
            (2, 3, "+", "."),
            (2, 3, "--+", "??."),           // new
            (2, 3, "---", "??."),           // and then down: as often as always
            (2, 3, "+-+--", ".?.??"),       // failing, and all forgiven
            (2, 3, "+---", ".??."),         // until it is down
            (2, 3, "+---+-++", ".??.?.?."), // passing
            (1, 1, "+-+", "..."),
            (2, 3, "+c+", ".?."), // the next pass brings it back
            (2, 3, "+c---", ".????"),
        ] {
            let mut check = Check::new(rise, fall);
            assert!(check.is_in_doubt(), "new");
            let seen: String = checks
                .chars()
                .map(|event| {
                    match event {
                        '+' => check.pass(),
                        '-' => check.fail(),
                        _ => check.connect_failed(),
                    }
                    if check.is_in_doubt() { '?' } else { '.' }
                })
                .collect();
            assert_eq!(seen, expected, "rise {rise}, fall {fall}: {checks}");
        }
    }

    #[test]
    fn other_counts_keep_the_standing_and_the_same_ones_everything() {
        let after = |mut check: Check, checks: &str| {
            for event in checks.chars() {
                if event == '+' { check.pass() } else { check.fail() }
            }
            check
        };
        for (before, standing, needed) in [
            ("", Standing::New, "+"),
            ("-", Standing::New, "+"),
            ("+", Standing::Up, "----"),
            ("+--", Standing::Up, "----"),
            ("+---", Standing::Out, "+++"),
            ("+---+", Standing::Out, "+++"),
        ] {
            let mut check = after(Check::new(2, 3), before);
            let former = check.clone();
            check.recount(2, 3);
            assert_eq!(format!("{check:?}"), format!("{former:?}"));
            check.recount(3, 4);
            assert_eq!(check.standing(), standing, "{before}");
            let short = after(check.clone(), &needed[1..]);
            assert_eq!(short.standing(), standing, "{before} then {needed} less one");
            assert_ne!(after(check, needed).standing(), standing, "{before} then {needed}");
        }
        assert_eq!(Check::trusted(2, 3).standing(), Standing::Up);
        assert_eq!(after(Check::trusted(2, 3), "--").standing(), Standing::Up);
        assert_eq!(after(Check::trusted(2, 3), "---").standing(), Standing::Out);
    }
}

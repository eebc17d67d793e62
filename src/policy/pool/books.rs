//! A pool against books that are kept in the plainest way: whatever happens to its backends, it shows
//! what a walk through all of them would. The books must not use anything that the pool keeps on change.

use base::{BackendId, Time};
use proptest::prelude::*;

use super::{Ejection, Pool, Sight, State};
use crate::health::Check;
use crate::settings::PanicSettings;

/// What is written of a backend.
#[derive(Clone, Debug)]
struct Entry {
    id: BackendId,
    weight: u32,
    percent: u32,
    /// Where it is checked: whether it passed the last check, and ever.
    check: Option<(Option<bool>, bool)>,
    draining: bool,
    ejected: bool,
    own: u32,
    shown: u32,
    attempts: u64,
}

impl Entry {
    fn state(&self) -> State {
        match self.check {
            _ if self.draining => State::Draining,
            Some((Some(false), _)) => State::Down,
            _ if self.ejected => State::Ejected,
            Some((None, _)) => State::Checking,
            _ => State::Ready,
        }
    }

    fn is_eligible(&self) -> bool {
        !self.draining && self.check.is_none_or(|(_, ever)| ever)
    }
}

/// One of the things that can happen to a pool; numbers choose among the backends.
#[derive(Clone, Debug)]
enum Step {
    Add(u32, bool),
    Remove(usize),
    Drain(usize, bool),
    Check(usize, bool),
    Eject(usize, bool),
    Weight(usize, u32),
    Percent(usize, u32),
    Begin(usize),
    End(usize),
    /// An attempt ends whose backend is gone.
    EndGone(usize),
    /// So many are shown beyond the own attempts, where these show.
    Show(usize, u32),
    HideOwn,
    MostInFlight(Option<u32>),
    Panic(Option<f64>),
    Warming(bool),
    Refresh,
}

struct Books {
    pool: Pool,
    /// In the order in which they came.
    all: Vec<Entry>,
    /// Attempts that have not ended whose backends are gone.
    gone: Vec<BackendId>,
    added: u32,
    shows_own: bool,
    in_percent: bool,
    threshold: Option<f64>,
    panicking: bool,
    most: u32,
    /// Wrong on purpose: attempts of one that is out of service are not counted.
    forgets: bool,
}

impl Books {
    fn new() -> Self {
        Self {
            pool: Pool::new(),
            all: vec![],
            gone: vec![],
            added: 0,
            shows_own: true,
            in_percent: false,
            threshold: None,
            panicking: false,
            most: u32::MAX,
            forgets: false,
        }
    }

    fn play(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Add(weight, checked) => {
                let check = checked.then(|| Check::new(1, 1));
                let id = self.pool.add(Time::ZERO, format!("b-{}", self.added), weight, check);
                self.added += 1;
                let (check, percent) = (checked.then_some((None, false)), 100);
                let (draining, ejected, own, shown, attempts) = (false, false, 0, 0, 0);
                let entry =
                    Entry { id, weight, percent, check, draining, ejected, own, shown, attempts };
                self.all.push(entry);
            }
            Step::HideOwn => {
                self.pool.show_only_sights();
                self.shows_own = false;
            }
            Step::MostInFlight(most) => {
                self.pool.set_most_in_flight(most);
                self.most = most.unwrap_or(u32::MAX);
            }
            Step::Panic(threshold) => {
                self.pool.set_panic(threshold.map(|threshold| PanicSettings { threshold }));
                self.threshold = threshold;
            }
            Step::Warming(warming) => {
                self.pool.set_warming(warming);
                self.in_percent = warming;
            }
            Step::Refresh => drop(self.pool.refresh()),
            Step::EndGone(which) if !self.gone.is_empty() => {
                let id = self.gone.swap_remove(which % self.gone.len());
                if self.pool.attempt_ended(id).is_some() {
                    return Err(format!("{id:?} is gone"));
                }
            }
            Step::EndGone(_) => {}
            _ if self.all.is_empty() => {}
            Step::Remove(which) => {
                let entry = self.all.remove(which % self.all.len());
                self.pool.remove(entry.id).ok_or("it was there")?;
                self.gone.extend((0..entry.own).map(|_| entry.id));
            }
            Step::Begin(which) => self.begin(which % self.all.len())?,
            Step::End(which) => self.end(which % self.all.len())?,
            Step::Drain(which, _)
            | Step::Check(which, _)
            | Step::Eject(which, _)
            | Step::Weight(which, _)
            | Step::Percent(which, _)
            | Step::Show(which, _) => self.change(which % self.all.len(), step),
        }
        self.panicking = self.threshold.is_some_and(|threshold| {
            let count = |wanted: fn(&Entry) -> bool| self.all.iter().filter(|e| wanted(e)).count();
            let (ready, eligible) =
                (count(|e| e.state() == State::Ready), count(Entry::is_eligible));
            (ready as f64) < threshold * eligible as f64
        });
        self.pool.update_panic();
        self.agree()
    }

    fn change(&mut self, index: usize, step: &Step) {
        let Self { pool, all, .. } = self;
        let entry = &mut all[index];
        let id = entry.id;
        match *step {
            Step::Drain(_, draining) => {
                pool.set_draining(id, draining);
                entry.draining = draining;
            }
            Step::Check(_, passes) => {
                if let Some(check) = pool.get_mut(id).and_then(|backend| backend.check.as_mut()) {
                    if passes { check.pass() } else { check.fail() }
                }
                entry.check = entry.check.map(|(_, ever)| (Some(passes), ever || passes));
            }
            // Who is not in service is not ejected.
            Step::Eject(_, true) if entry.state() == State::Ready => {
                let (began, until) = (Time::ZERO, Time::MAX);
                pool.eject(id, Ejection { began, until, reason: String::new(), asked: false });
                entry.ejected = true;
            }
            Step::Eject(_, false) => {
                pool.end_ejection(id);
                entry.ejected = false;
            }
            Step::Weight(_, weight) => {
                pool.set_weight(id, weight);
                entry.weight = weight;
            }
            Step::Percent(_, percent) => {
                pool.set_percent(id, percent);
                entry.percent = percent;
            }
            Step::Show(_, beyond) => {
                entry.shown = if self.shows_own { entry.own + beyond } else { beyond };
                pool.show(id, Sight::InFlight(entry.shown));
            }
            _ => {}
        }
        pool.settle(Time::ZERO, id, "");
    }

    fn begin(&mut self, index: usize) -> Result<(), String> {
        let entry = &mut self.all[index];
        let is_candidate = self.pool.attempt_began(entry.id);
        if is_candidate != self.pool.is_candidate(entry.id) {
            return Err(format!("{:?}: {is_candidate}", entry.id));
        }
        if is_candidate || !self.forgets {
            entry.own += 1;
            entry.attempts += 1;
            entry.shown += u32::from(self.shows_own);
        }
        Ok(())
    }

    fn end(&mut self, index: usize) -> Result<(), String> {
        let entry = &mut self.all[index];
        if entry.own == 0 {
            return Ok(());
        }
        entry.own -= 1;
        entry.shown -= u32::from(self.shows_own);
        let expected = if self.shows_own { entry.shown } else { entry.own };
        let left = self.pool.attempt_ended(entry.id);
        if left == Some(expected) { Ok(()) } else { Err(format!("{left:?}, not {expected} left")) }
    }

    /// Whether the pool says what is written here; of the candidates, once they are up to date.
    fn agree(&self) -> Result<(), String> {
        let Self { pool, all, most, .. } = self;
        let same = |what: &str, found: String, expected: String| {
            let differs = || format!("{what}: {found}, not {expected}");
            if found == expected { Ok(()) } else { Err(differs()) }
        };
        let found = pool.statuses().map(|b| (b.id, b.state, b.weight, b.in_flight, b.attempts));
        let expected = all.iter().map(|e| (e.id, e.state(), e.weight, e.own, e.attempts));
        same(
            "backends",
            format!("{:?}", Vec::from_iter(found)),
            format!("{:?}", Vec::from_iter(expected)),
        )?;
        let found = (pool.ready_count(), pool.ejected_count(), pool.is_panicking());
        let count = |wanted: fn(&Entry) -> bool| all.iter().filter(|e| wanted(e)).count();
        let counts = (count(|e| e.state() == State::Ready), count(|e| e.ejected), self.panicking);
        same("counts", format!("{found:?}"), format!("{counts:?}"))?;
        if pool.is_outdated() {
            return Ok(());
        }
        let is_used = |e: &&Entry| e.state() == State::Ready || (self.panicking && e.is_eligible());
        let weight = |e: &Entry| e.weight * if self.in_percent { e.percent } else { 1 };
        let used = || all.iter().filter(is_used);
        let expected = used().map(|e| (e.id, weight(e), e.shown)).collect::<Vec<_>>();
        let rows = pool.candidates.iter().map(|c| (c.id, c.weight, c.in_flight));
        same("candidates", format!("{:?}", Vec::from_iter(rows)), format!("{expected:?}"))?;
        let places = all.iter().map(|e| pool.place_of(e.id));
        let expected = all.iter().map(|e| used().position(|other| other.id == e.id));
        same(
            "places",
            format!("{:?}", Vec::from_iter(places)),
            format!("{:?}", Vec::from_iter(expected)),
        )?;
        let found = (pool.totals().weight, pool.totals().in_flight, pool.full, pool.has_room());
        let full = used().filter(|e| e.own >= *most).count();
        let sums = (
            used().map(|e| u64::from(weight(e))).sum::<u64>(),
            used().map(|e| u64::from(e.shown)).sum::<u64>(),
            full,
            full < used().count(),
        );
        same("totals", format!("{found:?}"), format!("{sums:?}"))?;
        let tried: Vec<_> = used().take(1).map(|e| e.id).collect();
        let others = used().filter(|e| used().count() == 1 || !tried.contains(&e.id));
        let open: Vec<_> = others.filter(|e| e.own < *most).map(|e| e.id).collect();
        let mut scratch = vec![];
        let found = pool.candidates_but(&tried, false, &mut scratch);
        let found =
            found.map_or_else(Vec::new, |them| (0..them.len()).map(|i| them.id(i)).collect());
        same("with room", format!("{found:?}"), format!("{open:?}"))
    }
}

fn any_step() -> impl proptest::strategy::Strategy<Value = Step> {
    let which = any::<usize>;
    prop_oneof![
        3 => (1..9_u32, any::<bool>()).prop_map(|(weight, checked)| Step::Add(weight, checked)),
        2 => which().prop_map(Step::Remove),
        2 => (which(), any::<bool>()).prop_map(|(which, on)| Step::Drain(which, on)),
        4 => (which(), prop::bool::weighted(0.7)).prop_map(|(which, on)| Step::Check(which, on)),
        2 => (which(), any::<bool>()).prop_map(|(which, on)| Step::Eject(which, on)),
        1 => (which(), 1..9_u32).prop_map(|(which, weight)| Step::Weight(which, weight)),
        1 => (which(), 1..=100_u32).prop_map(|(which, percent)| Step::Percent(which, percent)),
        8 => which().prop_map(Step::Begin),
        6 => which().prop_map(Step::End),
        2 => which().prop_map(Step::EndGone),
        2 => (which(), 0..5_u32).prop_map(|(which, count)| Step::Show(which, count)),
        1 => prop::option::of(0..4_u32).prop_map(Step::MostInFlight),
        1 => prop::option::of(0.0..1.0_f64).prop_map(Step::Panic),
        1 => any::<bool>().prop_map(Step::Warming),
        8 => Just(Step::Refresh),
    ]
}

proptest! {
    #[test]
    fn a_pool_shows_what_a_walk_through_its_backends_would(
        mut steps in prop::collection::vec(any_step(), 1..200),
        hidden_from in prop::option::of(0..200_usize),
    ) {
        if let Some(from) = hidden_from {
            steps.insert(from.min(steps.len()), Step::HideOwn);
        }
        let mut books = Books::new();
        for (n, step) in steps.iter().enumerate() {
            let held = books.play(step);
            prop_assert!(held.is_ok(), "step {n}, {step:?}: {held:?}");
        }
    }
}

#[test]
fn books_that_forget_those_out_of_service_are_noticed() {
    let steps = [Step::Add(1, false), Step::Refresh, Step::Drain(0, true), Step::Refresh];
    for forgets in [false, true] {
        let mut books = Books { forgets, ..Books::new() };
        let held = steps.iter().chain(&[Step::Begin(0)]).try_for_each(|step| books.play(step));
        assert_eq!(held.is_err(), forgets, "{held:?}");
    }
}

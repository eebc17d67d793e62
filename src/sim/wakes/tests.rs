//! The calendar against a set that is always in order, and how long its days get.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn rank(at_ns: u64, order: usize, backend: usize) -> Rank {
    Rank::from(at_ns) << 64 | (order as Rank) << INDEX_BITS | backend as Rank
}

/// Pushes and pops at random, and a set beside it. A look is a while ahead, as a rule `spread` or
/// so, and the times of all are multiples of `grain`. Of the backends so many are used.
fn agrees_with_a_set(
    seed: u64,
    steps: usize,
    (backends, used): (usize, usize),
    spread: f64,
    grain: u64,
) -> Result<(), String> {
    let mut rng = base::Rng::from_seed(seed);
    let (mut wakes, mut sorted) = (Wakes::new(backends), BTreeSet::new());
    let mut of_backend = vec![None; backends];
    let (mut now, mut grows) = (0_u64, true);
    for step in 0..steps {
        grows = if sorted.is_empty() { true } else { grows && sorted.len() < used };
        if rng.chance(if grows { 0.7 } else { 0.45 }) {
            // Now and then one is all that comes, and far ahead.
            let far = if rng.chance(0.01) || sorted.is_empty() { 1e3 } else { 1.0 };
            let ahead = base::dist::exp1(&mut rng) * spread * far;
            let ahead = if rng.chance(0.1) { 0.0 } else { ahead };
            let at = now.saturating_add(ahead as u64) / grain * grain;
            let backend = rng.below(used);
            let rank = rank(at, step, backend);
            if let Some(before) = of_backend[backend].replace(rank) {
                sorted.remove(&before);
            }
            sorted.insert(rank);
            wakes.push(rank);
        } else if let Some(&first) = sorted.first() {
            wakes.pop();
            sorted.pop_first();
            of_backend[backend_of(first) as usize] = None;
            now = time_of(first).as_nanos();
        }
        let (one, other) = (wakes.first(), sorted.first().copied().unwrap_or(NEVER));
        if (one, wakes.len()) != (other, sorted.len()) {
            return Err(format!("{one:?} and not {other:?} is first after step {step}"));
        }
    }
    Ok(())
}

#[test]
fn the_next_days_are_known() {
    let mut rng = base::Rng::from_seed(2);
    let mut wakes = Wakes::new(10_000);
    wakes.push(rank(0, 0, 0));
    for backend in 1..10_000 {
        wakes.push(rank(rng.below(1_000_000_000) as u64, backend, backend));
    }
    let mut announced = BTreeMap::<(u32, u64), Vec<u32>>::new();
    let mut compared = 0;
    while wakes.first() != NEVER {
        let (backend, block) = (backend_of(wakes.first()), (wakes.shift, wakes.block()));
        // The newest has no place yet.
        if let Some(backends) = announced.get(&block).filter(|_| backend < 9_999) {
            assert!(backends.contains(&backend), "{backend} comes in block {block:?}");
            compared += 1;
        }
        for later in 1..4 {
            let backends = announced.entry((block.0, block.1 + later)).or_default();
            wakes.of_block(later, backends);
        }
        wakes.pop();
    }
    assert!(compared > 5_000, "{compared} looks");
}

#[test]
fn the_order_holds_while_days_change() {
    for (spread, backends) in [(1e3, 100), (1e7, 2_000), (1e11, 20_000), (1e18, 50)] {
        for grain in [1, 1 << 20] {
            let agreed = agrees_with_a_set(1, 200_000, (backends, backends), spread, grain);
            assert_eq!(agreed, Ok(()), "{backends} in {spread}, by {grain}");
        }
    }
}

/// A look that is far ahead comes first, so that its day is the present one when all others come.
#[test]
fn a_look_far_ahead_puts_nothing_in_line() {
    for backends in [1_000, 10_000] {
        let mut rng = base::Rng::from_seed(5);
        let mut wakes = Wakes::new(backends + 1);
        let mut ahead = || (base::dist::exp1(&mut rng) * 1e7) as u64;
        wakes.push(rank(100_000_000_000, 0, backends));
        for backend in 0..backends {
            wakes.push(rank(ahead(), 1, backend));
        }
        let mut most = 0;
        for order in 2..200_000 {
            let first = wakes.first();
            wakes.pop();
            wakes.push(rank(
                time_of(first).as_nanos() + ahead(),
                order,
                backend_of(first) as usize,
            ));
            most = most.max(if order > 50_000 { wakes.today.len() } else { 0 });
        }
        assert!(most <= CROWD, "{most} of {backends} are in line");
        assert!(wakes.shift < FIRST_SHIFT, "{}", wakes.shift);
    }
}

#[test]
fn the_earliest_comes_first_whatever_was_pushed() {
    for digits in 0..19 {
        let all = [1, 2, 3, 10, 100, 1_000, 5_000].map(|backends| (backends, backends));
        // Few of many: the newest is often all that comes.
        let few = [1, 2, 3, 10].map(|used| (2_000, used));
        for (seed, backends) in (0..).zip(all.into_iter().chain(few)) {
            let agreed = agrees_with_a_set(seed, 10_000, backends, 10_f64.powi(digits), 1);
            assert_eq!(agreed, Ok(()), "seed {seed}, {backends:?} in 10^{digits}");
        }
    }
}

#[test]
fn days_are_of_the_right_length_whatever_comes() {
    for (spread, backends) in [(1e6, 1_000), (1e7, 1_000), (1e10, 1_000), (1e7, 20_000)] {
        let mut rng = base::Rng::from_seed(3);
        let mut wakes = Wakes::new(backends);
        let mut shift = 0;
        let mut ahead = || (base::dist::exp1(&mut rng) * spread) as u64;
        for backend in 0..backends {
            wakes.push(rank(ahead(), backend, backend));
        }
        for order in backends..backends + 600_000 {
            let first = wakes.first();
            wakes.pop();
            let at = time_of(first).as_nanos() + ahead();
            wakes.push(rank(at, order, backend_of(first) as usize));
            if order == backends + 500_000 {
                wakes.seen = Seen::default();
                shift = wakes.shift;
            }
        }
        let Seen { looks, days, vain, .. } = wakes.seen;
        let fits = wakes.shift == shift && looks <= 2 * days && vain <= looks;
        assert!(fits, "{looks} on {days} days, {vain} in vain, {backends} in {spread}");
    }
}

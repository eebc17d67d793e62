//! The agenda against a set that is always in order, and what it forgets.

use std::collections::BTreeSet;

use super::*;

/// Stands for the next request, where events are numbers.
const REQUEST: u32 = u32::MAX;
const BACKENDS: usize = 10_000;

/// What is due as a number, of a look that of its backend times 16.
const fn numbered(due: Due<u32>) -> u32 {
    match due {
        Due::Arrival => REQUEST,
        Due::Wake(backend) => 16 * backend,
        Due::Event(number) => number,
    }
}

fn drain(agenda: &mut Agenda<u32>) -> Vec<u32> {
    let due = std::iter::from_fn(|| agenda.pop());
    due.map(|(_, due)| numbered(due)).collect()
}

#[test]
fn events_come_in_order_of_time_and_then_of_entry() {
    let at = Time::from_nanos;
    let mut agenda = Agenda::new(BACKENDS);
    agenda.push(at(5), 50);
    agenda.push_to(Lane::Network, at(5), 51);
    agenda.push_to(Lane::Attempt, at(9), 90);
    agenda.push(at(5), 52);
    agenda.push_to(Lane::Network, at(7), 70);
    assert!(agenda.has_by(at(5)) && !agenda.has_by(at(4)));
    agenda.push_to(Lane::Attempt, at(3), 30); // out of its lane's order
    assert!(agenda.has_by(at(3)));
    agenda.push(at(9), 91);
    assert_eq!(agenda.len(), 7);
    assert_eq!(drain(&mut agenda), [30, 50, 51, 52, 70, 90, 91]);
    assert_eq!(agenda.len(), 0);
}

#[test]
fn it_says_so_before_its_order_has_no_place_left() {
    let mut agenda = Agenda::<u32>::new(BACKENDS);
    agenda.seq = MAX_EVENTS - RESERVE - 1;
    assert!(!agenda.is_exhausted());
    agenda.push(Time::ZERO, 1);
    assert!(agenda.is_exhausted());
    agenda.push(Time::ZERO, 2);
    assert_eq!(drain(&mut agenda), [1, 2]);
}

/// Against a set that is always in order: everything that can be added, taken out in between, and void
/// events forgotten now and then.
#[test]
fn any_mixture_is_sorted() {
    let lanes = [Lane::Network, Lane::Attempt];
    let is_void = |event: &u32| event % 16 == 1;
    let mut rng = base::Rng::from_seed(1);
    let mut agenda = Agenda::new(BACKENDS);
    let mut expected = BTreeSet::new();
    let mut of_backend = vec![None; BACKENDS];
    let (mut now, mut latest_before) = (0, 0);
    for number in 0..60_000_u32 {
        let mut entry = (now + rng.below(100) as u64, true, number, 16 * number);
        let at = Time::from_nanos(entry.0);
        match rng.below(if number < 20_000 { 8 } else { 18 }) {
            0 => agenda.push(at, entry.3),
            1 => agenda.push_to(Lane::Network, at, entry.3),
            2 => agenda.push_to(Lane::Attempt, at, entry.3),
            3 => {
                agenda.push_to(Lane::Attempt, at, entry.3 + 1);
                continue; // void
            }
            4 => {
                let backend = rng.below(BACKENDS);
                entry.3 = 16 * backend as u32;
                if let Some(before) = of_backend[backend].replace(entry) {
                    expected.remove(&before);
                }
                agenda.push_wake(at, entry.3 / 16);
            }
            5 if agenda.arrival == NEVER => {
                entry.3 = REQUEST;
                agenda.push_arrival(at);
            }
            6 => {
                latest_before = entry.0.max(latest_before);
                (entry.0, entry.1) = (latest_before, false);
                agenda.push_before(Lane::Patience, Time::from_nanos(latest_before), entry.3);
            }
            7 => {
                agenda.prune(lanes[rng.below(2)], rng.below(100), is_void);
                continue;
            }
            _ => {
                let due = loop {
                    let due = agenda.pop().map(|(at, due)| (at.as_nanos(), due));
                    if !due
                        .is_some_and(|(_, due)| matches!(due, Due::Event(event) if is_void(&event)))
                    {
                        break due.map(|(at, due)| (at, numbered(due)));
                    }
                };
                let first = expected.pop_first();
                assert_eq!(due, first.map(|(at, _, _, event)| (at, event)), "step {number}");
                if let Some((at, _, _, event)) = first {
                    now = at;
                    let place = of_backend.get_mut(event as usize / 16);
                    place.filter(|entry| **entry == first).map(Option::take);
                }
                continue;
            }
        }
        expected.insert(entry);
    }
    assert!(expected.len() < 1_000, "most of it has come");
}

#[test]
fn void_events_at_the_front_are_forgotten() {
    let mut agenda = Agenda::new(BACKENDS);
    for event in [1, 3, 4, 5] {
        agenda.push_to(Lane::Attempt, Time::from_nanos(event.into()), event);
    }
    agenda.prune(Lane::Attempt, 1, |event| event % 2 == 1);
    assert_eq!(drain(&mut agenda), [4, 5]);
}

#[test]
fn void_events_behind_one_that_stays_are_forgotten_too() {
    let mut agenda = Agenda::new(BACKENDS);
    for event in 0..1_000_000 {
        agenda.push_to(Lane::Attempt, Time::from_nanos(event.into()), event);
        agenda.prune(Lane::Attempt, 2, |&other| other != 0 && other != event);
        assert!(agenda.len() <= 2 * 2 + FEW + 1, "{} are kept", agenda.len());
    }
    assert_eq!(drain(&mut agenda)[0], 0, "and the one that stays is the first");
}

#[test]
fn void_events_that_strayed_are_forgotten_too() {
    let mut agenda = Agenda::new(BACKENDS);
    agenda.push_to(Lane::Attempt, Time::from_nanos(u64::MAX / 2), 0);
    for event in 1..1_000_000 {
        agenda.push_to(Lane::Attempt, Time::from_nanos(event.into()), event);
        agenda.prune(Lane::Attempt, 2, |&other| other != 0 && other != event);
        assert!(agenda.len() <= 2 * 2 + FEW + 2, "{} are kept", agenda.len());
    }
    assert_eq!(*drain(&mut agenda).last().expect("one"), 0, "and what is not void comes");
}

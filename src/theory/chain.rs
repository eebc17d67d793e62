//! Small systems solved exactly: the Markov chain of a few first-come-first-served servers with
//! exponential service, and a rule that says where an arrival goes. It must not know strategies:
//! the rules stand here as what they do, so that a mistake there cannot hide here.

/// Where an arrival goes when it finds these numbers of requests: adds up to 1.
pub type Rule = fn(&[u32], &mut [f64]);

/// The mean time in the system, by Little's law. `speeds` of the servers (services a unit of time),
/// `arrivals` in all, at most `cap` requests at a server: what would come beyond is lost, which
/// must be rare.
pub fn mean_time(speeds: &[f64], arrivals: f64, cap: u32, rule: Rule) -> f64 {
    let chain = Chain::new(speeds, arrivals, cap, rule);
    let share = chain.stationary();
    let in_system: f64 =
        (0..chain.states).map(|state| share[state] * f64::from(chain.total(state))).sum();
    in_system / arrivals
}

/// Joins the shortest of all, ties by chance.
pub fn shortest(found: &[u32], to: &mut [f64]) {
    let least = found.iter().min().expect("a server");
    let ties = found.iter().filter(|n| *n == least).count() as f64;
    for (to, n) in to.iter_mut().zip(found) {
        *to = if n == least { 1.0 / ties } else { 0.0 };
    }
}

/// The shorter of two different ones drawn at random.
pub fn two_choices(found: &[u32], to: &mut [f64]) {
    let n = found.len();
    to.fill(0.0);
    let pair = 1.0 / (n * (n - 1)) as f64;
    for a in 0..n {
        for b in (0..n).filter(|b| *b != a) {
            give(found, to, a, b, pair);
        }
    }
}

/// The shorter of two drawn independently: they may be the same one.
pub fn two_choices_with_replacement(found: &[u32], to: &mut [f64]) {
    let n = found.len();
    to.fill(0.0);
    let pair = 1.0 / (n * n) as f64;
    for a in 0..n {
        for b in 0..n {
            give(found, to, a, b, pair);
        }
    }
}

/// An idle one if there is any, else any.
pub fn idle_or_random(found: &[u32], to: &mut [f64]) {
    let idle = found.iter().filter(|n| **n == 0).count() as f64;
    let all = found.len() as f64;
    for (to, n) in to.iter_mut().zip(found) {
        *to = match (idle > 0.0, *n == 0) {
            (true, true) => 1.0 / idle,
            (true, false) => 0.0,
            (false, _) => 1.0 / all,
        };
    }
}

/// The first that has less than 1.5 times its share of all, the arrival included and rounded up:
/// consistent hashing with bounded loads, for requests of one key.
pub fn in_order_up_to_a_half_more(found: &[u32], to: &mut [f64]) {
    let all = found.iter().sum::<u32>() + 1;
    let most = (3 * all).div_ceil(2 * found.len() as u32);
    to.fill(0.0);
    let first = found.iter().position(|n| *n < most);
    to[first.expect("the bounds add up to more than all")] = 1.0;
}

fn give(found: &[u32], to: &mut [f64], a: usize, b: usize, share: f64) {
    if found[a] == found[b] {
        to[a] += share / 2.0;
        to[b] += share / 2.0;
    } else {
        to[if found[a] < found[b] { a } else { b }] += share;
    }
}

/// Iterations stop when the mean number in the system moves by less, relatively, in a hundred.
const STILL: f64 = 1e-10;
/// More than any chain here needs; reached only by one that does not settle.
const MOST_SWEEPS: usize = 200_000;
const SWEEPS_BETWEEN_LOOKS: usize = 100;

struct Chain<'a> {
    speeds: &'a [f64],
    cap: u32,
    states: usize,
    /// The rate at which a state is left.
    leaves: Vec<f64>,
    /// (from, rate) into each state, one state after the other; `begins` has each one's first.
    into: Vec<(u32, f64)>,
    begins: Vec<usize>,
}

impl<'a> Chain<'a> {
    fn new(speeds: &'a [f64], arrivals: f64, cap: u32, rule: Rule) -> Self {
        let base = cap as usize + 1;
        let states = base.pow(speeds.len() as u32);
        let mut leaves = vec![0.0; states];
        let mut edges: Vec<(u32, u32, f64)> = Vec::new();
        let (mut found, mut to) = (vec![0; speeds.len()], vec![0.0; speeds.len()]);
        for (state, left) in leaves.iter_mut().enumerate() {
            read(state, base, &mut found);
            rule(&found, &mut to);
            let mut place = 1;
            for (server, speed) in speeds.iter().enumerate() {
                if found[server] < cap && to[server] > 0.0 {
                    edges.push(((state + place) as u32, state as u32, arrivals * to[server]));
                    *left += arrivals * to[server];
                }
                if found[server] > 0 {
                    edges.push(((state - place) as u32, state as u32, *speed));
                    *left += speed;
                }
                place *= base;
            }
        }
        edges.sort_unstable_by_key(|(into, from, _)| (*into, *from));
        let mut begins = vec![0; states + 1];
        for (into, _, _) in &edges {
            begins[*into as usize + 1] += 1;
        }
        for state in 0..states {
            begins[state + 1] += begins[state];
        }
        let into = edges.into_iter().map(|(_, from, rate)| (from, rate)).collect();
        Self { speeds, cap, states, leaves, into, begins }
    }

    fn total(&self, mut state: usize) -> u32 {
        let base = self.cap as usize + 1;
        let mut total = 0;
        for _ in self.speeds {
            total += (state % base) as u32;
            state /= base;
        }
        total
    }

    /// The share of time in each state: Gauss and Seidel on the balance of flows, up and down.
    fn stationary(&self) -> Vec<f64> {
        let mut share = vec![1.0 / self.states as f64; self.states];
        let mut before = 0.0;
        for sweep in 0..MOST_SWEEPS {
            if sweep % 2 == 0 {
                (0..self.states).for_each(|state| self.balance(state, &mut share));
            } else {
                (0..self.states).rev().for_each(|state| self.balance(state, &mut share));
            }
            if sweep % SWEEPS_BETWEEN_LOOKS == 0 {
                let all: f64 = share.iter().sum();
                share.iter_mut().for_each(|share| *share /= all);
                let mean: f64 = (0..self.states).map(|s| share[s] * f64::from(self.total(s))).sum();
                if (mean - before).abs() < STILL * mean {
                    break;
                }
                before = mean;
            }
        }
        let all: f64 = share.iter().sum();
        share.iter_mut().for_each(|share| *share /= all);
        share
    }

    fn balance(&self, state: usize, share: &mut [f64]) {
        let into = &self.into[self.begins[state]..self.begins[state + 1]];
        let inflow: f64 = into.iter().map(|(from, rate)| share[*from as usize] * rate).sum();
        share[state] = inflow / self.leaves[state];
    }
}

/// A state's number is its counts as digits, the first server's last.
fn read(mut state: usize, base: usize, found: &mut [u32]) {
    for count in found {
        *count = (state % base) as u32;
        state /= base;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One server is M/M/1; the others' values stand in the literature's tables.
    #[test]
    fn small_systems_have_their_known_means() {
        for (speeds, rho, cap, rule, known) in [
            (&[1.0][..], 0.8, 150, shortest as Rule, 5.0),
            (&[1.0; 2], 0.5, 30, shortest, 1.426_321),
            (&[1.0; 2], 0.8, 60, shortest, 2.955_737),
            (&[1.0; 2], 0.8, 60, two_choices, 2.955_737),
            (&[1.0; 3], 0.5, 18, two_choices, 1.352_003),
            (&[1.0; 3], 0.7, 24, two_choices, 1.884_792),
            (&[1.0; 3], 0.5, 24, two_choices_with_replacement, 1.477_613),
        ] {
            let mean = mean_time(speeds, rho * speeds.len() as f64, cap, rule);
            assert!((mean / known - 1.0).abs() < 1e-5, "{}: {mean}, not {known}", speeds.len());
        }
    }
}

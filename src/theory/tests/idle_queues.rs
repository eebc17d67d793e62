//! Join-idle-queue with some balancers, walked through as a Markov chain that shares nothing with the
//! simulator but its random numbers: where values of the points come from.

#![allow(missing_docs, unreachable_pub)]

use std::collections::VecDeque;

use base::Rng;

const SERVERS: usize = 100;
/// Long beside the relaxation of the queues, so that the batches are nearly independent.
const BATCHES: usize = 40;
const EVENTS: usize = 60_000;

/// As the paper has it (Lu and others, 2011): an idle server stands in the queue of one balancer, any of
/// them, and that one takes the first of its queue unseen; with none there it takes any server.
struct Walk {
    rho: f64,
    rng: Rng,
    /// Requests at each server, and those servers that have any, in any order.
    requests: [usize; SERVERS],
    busy: Vec<usize>,
    /// All of them.
    present: usize,
    stands_in: [Option<usize>; SERVERS],
    queues: Vec<VecDeque<usize>>,
}

impl Walk {
    fn new(balancers: usize, rho: f64, seed: u64) -> Self {
        let mut walk = Self {
            rho,
            rng: Rng::from_seed(seed),
            requests: [0; SERVERS],
            busy: Vec::new(),
            present: 0,
            stands_in: [None; SERVERS],
            queues: vec![VecDeque::new(); balancers],
        };
        (0..SERVERS).for_each(|server| walk.tell(server));
        walk
    }

    fn tell(&mut self, server: usize) {
        if self.stands_in[server].is_none() {
            let balancer = self.rng.below(self.queues.len());
            self.stands_in[server] = Some(balancer);
            self.queues[balancer].push_back(server);
        }
    }

    /// One event; how long the state before it lasts in the mean, and that times its requests.
    fn step(&mut self) -> (f64, f64) {
        let arrivals = SERVERS as f64 * self.rho;
        let rate = arrivals + self.busy.len() as f64;
        let passed = (1.0 / rate, self.present as f64 / rate);
        if self.rng.unit() * rate < arrivals {
            let balancer = self.rng.below(self.queues.len());
            let server = match self.queues[balancer].pop_front() {
                Some(server) => {
                    self.stands_in[server] = None;
                    server
                }
                None => self.rng.below(SERVERS),
            };
            if self.requests[server] == 0 {
                self.busy.push(server);
            }
            self.requests[server] += 1;
            self.present += 1;
        } else {
            let place = self.rng.below(self.busy.len());
            let server = self.busy[place];
            self.requests[server] -= 1;
            self.present -= 1;
            if self.requests[server] == 0 {
                self.busy.swap_remove(place);
                self.tell(server);
            }
        }
        passed
    }

    /// The mean time of a batch, by Little's law.
    fn batch(&mut self) -> f64 {
        let (mut time, mut area) = (0.0, 0.0);
        for _ in 0..EVENTS {
            let (lasted, held) = self.step();
            time += lasted;
            area += held;
        }
        area / time / (SERVERS as f64 * self.rho)
    }
}

#[test]
fn the_values_are_those_of_the_chain() {
    let points = theory::points(1, 1e6);
    for (seed, (balancers, rho)) in
        (11..).zip([(2, 0.7), (10, 0.7), (100, 0.7), (2, 0.9), (10, 0.9), (100, 0.9)])
    {
        let name = format!("told of an idle of 100, {balancers} balancers, load {rho}");
        let point = points.iter().find(|point| point.name == name).expect("it is one of them");
        let mut walk = Walk::new(balancers, rho, seed);
        walk.batch();
        let means: Vec<f64> = (0..BATCHES).map(|_| walk.batch()).collect();
        let mean = means.iter().sum::<f64>() / BATCHES as f64;
        let spread = means.iter().map(|one| (one - mean).powi(2)).sum::<f64>();
        let error = (spread / (BATCHES * (BATCHES - 1)) as f64).sqrt();
        let known = point.known[0];
        let off = (mean - known.value) / error.hypot(known.error);
        println!("{name}: {mean:.4} ± {error:.4}, known {:.4}: {off:+.1}", known.value);
        assert!(error < 0.02 * known.value, "{error}: the walk is too short to tell anything");
        assert!(off.abs() < theory::BOUND, "{name}: {mean} ± {error}, and not {}", known.value);
    }
}

//! Points of requests that stay with a server by their key. It must not play them.

use base::{RequestId, RequestMeta, Rng, Time};
use policy::settings::{ParameterValue, Settings, hash_key};
use policy::{Balancer, Command, Output, Registry, Verdict};

use super::{Book, CHAIN, EXPONENTIAL, Metric, Point, Servers, known};
use crate::chain::{self, mean_time};

const KEY: &str = "header:x-lab-key";
const SHARDS: &str = "M/M/1 by shard";

impl Book {
    /// Every server is M/M/1 with the popularity of its keys as load. Which those are, the balancer
    /// itself says; how long their requests take is what is known.
    pub(super) fn shards(&self, all: &mut Vec<Point>) {
        for (strategy, servers, keys, zipf) in
            [("maglev", 10, 1_000, 0.8), ("ring_hash", 5, 200, 0.5), ("rendezvous", 7, 5_000, 1.0)]
        {
            let shares = shares(strategy, servers, keys, zipf);
            let largest = shares.iter().copied().fold(0.0, f64::max);
            let rate = 0.7 / largest;
            let mean = shares.iter().map(|share| share / (1.0 - rate * share)).sum();
            let mut point = self.settled(
                format!("{strategy} over {servers}, {keys} keys, 0.7 at the fullest"),
                &format!("{{ name = \"{strategy}\", key = \"{KEY}\" }}"),
                &[Servers::of(servers, EXPONENTIAL)],
                rate,
                150.0,
                [known(Metric::Mean, mean, SHARDS)],
            );
            point.text.push_str(&format!("\n[load.keys]\ncount = {keys}\nzipf = {zipf}\n"));
            all.push(point);
        }
    }

    /// All requests have one key, and no server more than 1.5 times its share: two of the three
    /// carry what there is, so that it must stay below two thirds.
    pub(super) fn bounded_loads(&self, all: &mut Vec<Point>) {
        for (strategy, rho) in [("rendezvous", 0.4), ("maglev", 0.5)] {
            let mean = mean_time(&[1.0; 3], 3.0 * rho, 30, chain::in_order_up_to_a_half_more);
            let mut point = self.point(
                format!("{strategy} of 3 for one key, bounded by 1.5, load {rho}"),
                &format!("{{ name = \"{strategy}\", key = \"{KEY}\", bound = 1.5 }}"),
                &[Servers::exponential(3)],
                3.0 * rho,
                [known(Metric::Mean, mean, CHAIN)],
            );
            point.text.push_str("\n[load.keys]\ncount = 1\n");
            all.push(point);
        }
    }
}

/// What part of the requests each server gets under Zipf's law.
fn shares(strategy: &str, servers: u32, keys: u32, zipf: f64) -> Vec<f64> {
    let key = ("key".to_owned(), ParameterValue::Text(KEY.into()));
    let choice = Registry::standard().choose(strategy, &[key].into_iter().collect());
    let settings = Settings::plain(choice.expect("it is known and has a key"));
    let mut balancer = Balancer::new(settings, &Rng::from_seed(1));
    for number in 1..=servers {
        let command = Command::Add { name: format!("a-{number}"), weight: 1 };
        balancer.handle_command(Time::ZERO, command).expect("names are unique");
    }
    let mut shares = vec![0.0; servers as usize];
    // The first request of all has the tables made, and does not count.
    for rank in 0..=keys {
        let hash = hash_key(format!("key-{rank}").as_bytes());
        let plain = RequestMeta::new(RequestId(rank.into()), true);
        let asked = balancer.handle_request(Time::ZERO, RequestMeta { key: Some(hash), ..plain });
        let Verdict::Send(attempt) = asked else { unreachable!("without limits it is sent") };
        if rank > 0 {
            shares[attempt.backend.slot as usize] += f64::from(rank).powf(-zipf);
        }
        while let Some(output) = balancer.poll_output() {
            if let Output::Build(work) = output {
                balancer.handle_built(Time::ZERO, work.run());
            }
        }
    }
    let all: f64 = shares.iter().sum();
    shares.into_iter().map(|share| share / all).collect()
}

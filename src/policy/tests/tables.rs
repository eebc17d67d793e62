//! Tables that come late, out of order, or not at all: what strategies do with a table that is not
//! of the pool as it is.

#![allow(missing_docs, unreachable_pub)]

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use base::{BackendId, RequestMeta, Rng, Time};
use policy::{Balancer, Candidates, Command, Entry, Output, Pool, Settings, Strategy, Work};
use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use support::keys::*;
use support::*;

/// A balancer that never knew other backends than these.
fn balancer_of(pool: &Pool, settings: Settings) -> Balancer {
    let (mut fresh, _) = balancer(settings, 0, &[]);
    for backend in pool.statuses() {
        add(&mut fresh, at(0), backend.name, backend.weight);
    }
    fresh
}

/// Plays changes and picks while tables come late, in any order, or not at all: picks are
/// candidates throughout (the balancer panics otherwise), and when all is there the map is that
/// of a balancer which has never known anything else.
fn late_tables_do_no_harm(
    strategy: &str,
    seed: u64,
    steps: &[(u8, usize, u64)],
) -> Result<(), String> {
    let (mut balancer, mut ids) = balancer(plain(strategy), seed, &[1, 2, 1]);
    let mut works: Vec<Work> = Vec::new();
    let collect = |balancer: &mut Balancer, works: &mut Vec<Work>| {
        while let Some(output) = balancer.poll_output() {
            if let Output::Build(work) = output {
                works.push(work);
            }
        }
    };
    for (i, &(kind, k, key)) in steps.iter().enumerate() {
        match kind {
            0 => ids.push(add(&mut balancer, at(0), &format!("n-{i}"), k as u32 % 5 + 1)),
            1 if ids.len() > 1 => {
                let id = ids.remove(k % ids.len());
                command(&mut balancer, Command::Remove(id));
            }
            2 => command(&mut balancer, Command::Weight(ids[k % ids.len()], key as u32 % 7 + 1)),
            3 => command(&mut balancer, Command::Drain(ids[k % ids.len()])),
            4 => command(&mut balancer, Command::Ready(ids[k % ids.len()])),
            5 if !works.is_empty() => {
                let work = works.remove(k % works.len());
                balancer.handle_built(at(0), work.run());
            }
            _ => drop(try_key(&mut balancer, key)),
        }
        collect(&mut balancer, &mut works);
    }
    for &id in &ids {
        command(&mut balancer, Command::Ready(id));
    }
    try_key(&mut balancer, 0);
    collect(&mut balancer, &mut works);
    // The latest table first, so that an older one comes after it.
    for work in works.into_iter().rev() {
        balancer.handle_built(at(0), work.run());
    }
    let mut fresh = balancer_of(balancer.pool(), plain(strategy));
    if map(&mut balancer) == map(&mut fresh) {
        Ok(())
    } else {
        Err(format!("{strategy}: another map than one that knew nothing else"))
    }
}

/// Wrong: a table that is trusted without a look at the candidates.
struct TrustsItsTable(Vec<BackendId>);
impl Strategy for TrustsItsTable {
    fn pick(
        &mut self,
        _: Time,
        request: &RequestMeta,
        candidates: &Candidates<'_>,
        _: &mut Rng,
    ) -> BackendId {
        let key = request.key.expect("these tests send keys") as usize;
        if self.0.is_empty() { candidates.id(0) } else { self.0[key % self.0.len()] }
    }
    fn pool_changed(&mut self, pool: &Pool, _: &mut Rng) -> Option<policy::strategy::Job> {
        let ids: Vec<BackendId> = pool.statuses().map(|backend| backend.id).collect();
        Some(Box::new(move || Box::new(ids)))
    }
    fn built(&mut self, result: Box<dyn std::any::Any + Send>) {
        self.0 = *result.downcast().expect("ids");
    }
}
static TRUSTS_ITS_TABLE: Entry = Entry {
    name: "trusts_its_table",
    summary: "",
    parameters: &[],
    build: |_| Box::new(TrustsItsTable(Vec::new())),
};

#[test]
#[should_panic(expected = "the strategy picked what is no candidate")]
fn trust_in_an_old_table_is_noticed() {
    let (mut balancer, ids) = balancer(Settings::plain(choose_own(&TRUSTS_ITS_TABLE)), 1, &[1, 1]);
    let _ = map(&mut balancer);
    command(&mut balancer, Command::Drain(ids[0]));
    for key in 0..100 {
        try_key(&mut balancer, key);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn tables_may_come_late_and_out_of_order(
        seed: u64,
        strategy in prop::sample::select(&BY_KEY[..]),
        steps in prop::collection::vec((0..9_u8, any::<usize>(), any::<u64>()), 0..60),
    ) {
        let held = late_tables_do_no_harm(strategy, seed, &steps);
        prop_assert!(held.is_ok(), "{held:?}");
    }
}

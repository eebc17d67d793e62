//! What the tests of strategies by key share: requests with keys, and where all of them go.
//! It must not check anything.

use base::{BackendId, RequestMeta};
use policy::{Balancer, Command, End, Verdict};

use super::{at, drain, request};

pub const BY_KEY: [&str; 3] = ["ring_hash", "maglev", "rendezvous"];

/// Keys in each count.
pub const KEYS: u64 = 20_000;

pub fn keyed(id: u64, key: u64) -> RequestMeta {
    let key = policy::hash_key(format!("user-{key}").as_bytes());
    RequestMeta { key: Some(key), ..request(id, true) }
}

/// Where the request of this key is sent.
pub fn try_key(balancer: &mut Balancer, key: u64) -> Option<BackendId> {
    match balancer.handle_request(at(0), keyed(key, key)) {
        Verdict::Send(attempt) => {
            balancer.handle_end(at(0), attempt.id, End::Complete);
            Some(attempt.backend)
        }
        _ => None,
    }
}

/// The name of each key's backend, once the tables are made.
pub fn map(balancer: &mut Balancer) -> Vec<String> {
    try_key(balancer, 0);
    let _ = drain(balancer);
    let names = |key| {
        let id = try_key(balancer, key).expect("one is ready");
        balancer.pool().status(id).expect("picked").name.to_owned()
    };
    (0..KEYS).map(names).collect()
}

pub fn command(balancer: &mut Balancer, command: Command) {
    let _ = balancer.handle_command(at(0), command).expect("it is valid");
}

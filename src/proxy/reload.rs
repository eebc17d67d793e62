//! What another version of the configuration file means for a proxy that runs: what it adds, removes
//! and changes. It must not know sockets or the balancer: texts and lists in, a plan out.
//!
//! Only what differs between the two versions of the file is done, so that what operators changed by
//! the admin API stays until the file says something new about the same thing.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use config::proxy::ProxyBackend;
use config::{ProxyConfig, policy_keys};
use policy::Settings;
use serde_json::{Map, Value};

use crate::tls::TlsError;

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// Keys that are read at the start alone.
    #[error("{} cannot be changed while it runs: take that back or restart the proxy", .0.join(", "))]
    NeedsRestart(Vec<&'static str>),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Policies that do not fit together with what was changed by the admin API.
    #[error("{}", .0.join("; "))]
    Settings(Vec<String>),
    /// Backends that do not fit together with those in the pool.
    #[error("{}", .0.join("; "))]
    Backends(Vec<String>),
}

/// A backend in the pool.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// The file has it, in the version that was read last.
    pub(crate) is_listed: bool,
}

/// What to do with the pool, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// By their names.
    pub(crate) remove: Vec<String>,
    /// By their names; the weights are the file's.
    pub(crate) weigh: Vec<(String, u32)>,
    pub(crate) add: Vec<ProxyBackend>,
}

impl Plan {
    /// For people, with the settings' keys that changed: "1 added, 2 removed, strategy".
    pub(crate) fn in_words<'a>(&self, keys: impl Iterator<Item = &'a String>) -> String {
        let counts = [
            (self.add.len(), "added"),
            (self.remove.len(), "removed"),
            (self.weigh.len(), "weighed"),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        let words: Vec<String> =
            counts.map(|(count, done)| format!("{count} {done}")).chain(keys.cloned()).collect();
        if words.is_empty() { "nothing changed".into() } else { words.join(", ") }
    }
}

/// The keys that differ and are read at the start alone.
pub(crate) fn fixed(old: &ProxyConfig, new: &ProxyConfig) -> Vec<&'static str> {
    let keys = [
        ("listen", old.listen != new.listen),
        ("admin", old.admin != new.admin),
        ("workers", old.workers != new.workers),
        ("drain_timeout", old.drain_timeout != new.drain_timeout),
        ("seed", old.seed != new.seed),
        ("h2", old.h2 != new.h2),
        ("tls", old.tls != new.tls),
        ("max_connections", old.max_connections != new.max_connections),
        ("trusted_hops", old.trusted_hops != new.trusted_hops),
        ("forwarded", old.forwarded != new.forwarded),
        ("request_id", old.request_id != new.request_id),
        ("explain", old.explain != new.explain),
        ("access_log", old.access_log != new.access_log),
        ("admin_token", old.admin_token != new.admin_token),
        ("admin_origins", old.admin_origins != new.admin_origins),
        ("state_file", old.state_file != new.state_file),
    ];
    keys.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// The keys of `new` whose values are not those of `old`: a patch.
pub(crate) fn changed(old: &Settings, new: &Settings) -> Map<String, Value> {
    let [old, new] = [old, new].map(policy_keys::settings_to_json);
    let Value::Object(new) = new else { unreachable!("settings are an object") };
    new.into_iter().filter(|(key, value)| old.get(key) != Some(value)).collect()
}

/// What makes of the pool what the file says now. A backend that stays in the file is not touched,
/// one that the balancer had removed comes back, one that an operator has `withdrawn` does not, and
/// one that came by the admin API stays.
///
/// # Errors
/// Every id that another backend of the pool has.
pub(crate) fn plan(
    old: &[ProxyBackend],
    new: &[ProxyBackend],
    pool: &[Member],
    withdrawn: &BTreeSet<SocketAddr>,
) -> Result<Plan, Vec<String>> {
    let by_address = |list: &[ProxyBackend]| -> BTreeMap<_, _> {
        list.iter().map(|b| (b.address, b.clone())).collect()
    };
    let (before, wanted) = (by_address(old), by_address(new));
    let mut plan = Plan::default();
    let mut places = BTreeMap::new();
    let mut names = BTreeMap::new();
    for member in pool {
        let stays = match wanted.get(&member.address) {
            None => !member.is_listed,
            // An id means one backend for ever: another id, another backend.
            Some(listed) => listed.id.as_ref().is_none_or(|id| *id == member.name),
        };
        if stays {
            places.insert(member.address, &member.name);
            names.insert(&member.name, member.address);
        } else {
            plan.remove.push(member.name.clone());
        }
    }
    let mut problems = vec![];
    for backend in new {
        let weight = before.get(&backend.address).map(|before| before.weight);
        match places.get(&backend.address) {
            Some(name) if weight != Some(backend.weight) => {
                plan.weigh.push(((*name).clone(), backend.weight));
            }
            Some(_) => {}
            None if withdrawn.contains(&backend.address) => {}
            None => match backend.id.as_ref().and_then(|id| names.get(id)) {
                Some(address) => problems.push(format!(
                    "backend {}: {address} is in the pool by the id {:?}; choose another id",
                    backend.address,
                    backend.id.as_deref().unwrap_or_default(),
                )),
                None => plan.add.push(backend.clone()),
            },
        }
    }
    if problems.is_empty() { Ok(plan) } else { Err(problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    /// "1" is a backend on port 1, "1*3" one of weight 3, "1=x" one of id x.
    fn listed(text: &str) -> Vec<ProxyBackend> {
        let one = |word: &str| {
            let (word, id) =
                word.split_once('=').map_or((word, None), |(a, b)| (a, Some(b.into())));
            let (port, weight) = word.split_once('*').unwrap_or((word, "1"));
            let (port, weight) = (port.parse().expect("a port"), weight.parse().expect("a weight"));
            ProxyBackend { address: at(port), weight, id }
        };
        text.split_whitespace().map(one).collect()
    }

    /// "1=b1" stands in the file, "+9=b9" came by the admin API.
    fn pool(text: &str) -> Vec<Member> {
        let one = |word: &str| {
            let (port, name) = word.split_once('=').expect("a name");
            let address = at(port.trim_start_matches('+').parse().expect("a port"));
            Member { name: name.into(), address, is_listed: !port.starts_with('+') }
        };
        text.split_whitespace().map(one).collect()
    }

    fn shown(plan: Result<Plan, Vec<String>>) -> String {
        let plan = match plan {
            Err(problems) => return problems.join("; "),
            Ok(plan) => plan,
        };
        let removed = plan.remove.iter().map(|name| format!("-{name}"));
        let weighed = plan.weigh.iter().map(|(name, weight)| format!("{name}*{weight}"));
        let added = plan.add.iter().map(|b| format!("+{}", b.address.port()));
        removed.chain(weighed).chain(added).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn only_what_differs_is_done() {
        for (old, new, members, withdrawn, done) in [
            ("1 2", "1 2", "1=b1 2=b2", None, ""),
            ("1 2", "2 1", "1=b1 2=b2", None, ""),
            ("1 2", "1 2 3", "1=b1 2=b2", None, "+3"),
            ("1 2", "2", "1=b1 2=b2", None, "-b1"),
            ("1 2", "1*3 2", "1=b1 2=b2", None, "b1*3"),
            // An operator's weight or drain is none of the file's business until it says something.
            ("1*2", "1*2", "1=b1", None, ""),
            // Ids: unsaid is any, another is another backend.
            ("1=x", "1", "1=x", None, ""),
            ("1", "1=b1", "1=b1", None, ""),
            ("1=x", "1=y", "1=x", None, "-x +1"),
            ("1=x", "2=x", "1=x", None, "-x +2"),
            // What the admin API added stays, and is the file's once it stands there.
            ("1", "1", "1=b1 +9=b9", None, ""),
            ("1", "1 9", "1=b1 +9=b9", None, "b9*1"),
            (
                "1",
                "1 3=b9",
                "1=b1 +9=b9",
                None,
                "backend 127.0.0.1:3: 127.0.0.1:9 is in the pool by the id \"b9\"; choose another id",
            ),
            // Removed by an operator, removed by the balancer.
            ("1 2", "1 2", "1=b1", Some(2), ""),
            ("1 2", "1 2", "1=b1", None, "+2"),
        ] {
            let withdrawn = withdrawn.into_iter().map(at).collect();
            let plan = plan(&listed(old), &listed(new), &pool(members), &withdrawn);
            assert_eq!(shown(plan), done, "{old} → {new} with {members}");
        }
    }

    #[test]
    fn a_key_that_needs_a_restart_is_named() {
        let parse = |text: &str| {
            let head = "strategy = \"random\"\nadmin = \"127.0.0.1:9\"\n";
            ProxyConfig::parse("p.toml", &format!("{head}{text}"), &policy::Registry::standard())
                .unwrap_or_else(|problems| panic!("{problems:?}"))
        };
        let old = parse("listen = \"127.0.0.1:1\"");
        assert!(fixed(&old, &old).is_empty());
        let new = parse("listen = \"127.0.0.1:2\"\nworkers = 7\nstate_file = \"s\"");
        assert_eq!(fixed(&old, &new), ["listen", "workers", "state_file"]);
        let new = parse("listen = \"127.0.0.1:1\"\n[retry]\nattempts = 3");
        assert!(fixed(&old, &new).is_empty());
        let keys: Vec<String> =
            changed(&old.settings, &new.settings).into_iter().map(|(k, _)| k).collect();
        assert_eq!(keys, ["retry"]);
        assert!(changed(&new.settings, &new.settings).is_empty());
    }
}

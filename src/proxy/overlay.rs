//! What operators have said by the admin API, over what the configuration file says: backends added,
//! withdrawn, weighed, drained, policies changed. It must not know sockets, files or the balancer.
//!
//! Only words are kept, not what the balancer makes of them: a backend that `remove_after` took out
//! is there again after a restart, because nobody has withdrawn it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use config::ProxyConfig;
use config::proxy::ProxyBackend;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// As in the configuration.
const MAX_ID: usize = 64;
const WEIGHTS: RangeInclusive<u32> = 1..=65_536;

/// The words on the backend at one address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Word {
    /// Kept for those of the file as well, so that an id means one backend over restarts too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    /// It is not the file's: an operator has added it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) added: bool,
    /// It is the file's, and an operator has removed it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) withdrawn: bool,
    /// Absent is the file's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) weight: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) draining: bool,
}

impl Word {
    /// What no proxy has written: somebody has edited the file.
    fn fault(&self, address: SocketAddr) -> Option<&'static str> {
        let is_name = |id: &str| {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=MAX_ID).contains(&id.len()) && id.chars().all(fits)
        };
        if address.port() == 0 {
            Some("port 0 cannot be connected to")
        } else if self.id.as_deref().is_some_and(|id| !is_name(id)) {
            Some("its id must be 1 to 64 letters, digits, \"-\" and \"_\"")
        } else if self.weight.is_some_and(|weight| !WEIGHTS.contains(&weight)) {
            Some("its weight must be 1 to 65536")
        } else {
            None
        }
    }
}

/// All that operators have said, and every backend there is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Overlay {
    /// The highest number among the names given so far: no name is given twice.
    pub(crate) named: u64,
    /// The settings that differ from the file's.
    pub(crate) settings: Map<String, Value>,
    pub(crate) backends: BTreeMap<SocketAddr, Word>,
}

/// A backend to start with, and the words on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) backend: ProxyBackend,
    pub(crate) word: Word,
}

/// What to start with: the file with the words on top.
#[derive(Debug, Default)]
pub(crate) struct Start {
    pub(crate) backends: Vec<Opening>,
    /// Those of the file that stay out.
    pub(crate) withdrawn: Vec<SocketAddr>,
    /// What does not fit any more, for people.
    pub(crate) dropped: Vec<String>,
}

impl Overlay {
    /// The file has it, in the version that was read last.
    pub(crate) fn is_listed(&self, address: SocketAddr) -> bool {
        self.backends.get(&address).is_some_and(|word| !word.added)
    }

    /// The file has them, and an operator has removed them.
    pub(crate) fn withdrawn(&self) -> BTreeSet<SocketAddr> {
        let withdrawn = self.backends.iter().filter(|(_, word)| word.withdrawn);
        withdrawn.map(|(address, _)| *address).collect()
    }

    /// A backend is in the pool, and this is all that has been said of it.
    pub(crate) fn enter(&mut self, address: SocketAddr, id: &str, word: Word) {
        self.backends.insert(address, Word { id: Some(id.into()), ..word });
    }

    /// An operator has added a backend. Where the file's was, it is the file's again.
    pub(crate) fn add(&mut self, address: SocketAddr, id: &str, weight: u32) {
        let (added, weight) = (!self.is_listed(address), Some(weight));
        self.enter(address, id, Word { added, weight, ..Word::default() });
    }

    /// An operator has removed a backend.
    pub(crate) fn remove(&mut self, address: SocketAddr) {
        match self.is_listed(address) {
            true => self.withdraw(address),
            false => self.forget(address),
        }
    }

    /// The file's backend there stays out.
    pub(crate) fn withdraw(&mut self, address: SocketAddr) {
        self.backends.insert(address, Word { withdrawn: true, ..Word::default() });
    }

    /// The file does not have it any more.
    pub(crate) fn forget(&mut self, address: SocketAddr) {
        self.backends.remove(&address);
    }

    /// The words on a backend that is in the pool.
    pub(crate) fn word(&mut self, address: SocketAddr) -> &mut Word {
        self.backends.entry(address).or_default()
    }

    /// Another version of the file is in force. What it has is its own from now on, what it has not
    /// is an operator's or gone.
    pub(crate) fn list(&mut self, file: &ProxyConfig) {
        let listed: BTreeSet<_> = file.backends.iter().map(|backend| backend.address).collect();
        self.backends.retain(|address, word| word.added || listed.contains(address));
        for (_, word) in self.backends.iter_mut().filter(|(address, _)| listed.contains(address)) {
            word.added = false;
        }
    }

    /// What a proxy starts with that reads this and `file`.
    pub(crate) fn over(mut self, file: &[ProxyBackend]) -> Start {
        let mut start = Start::default();
        self.backends.retain(|address, word| {
            let fault = word.fault(*address);
            if let Some(fault) = fault {
                start.drop(*address, word, fault);
            }
            fault.is_none()
        });
        let mut taken: BTreeSet<_> = file.iter().filter_map(|backend| backend.id.clone()).collect();
        for listed in file {
            let mut word = self.backends.remove(&listed.address).unwrap_or_default();
            if word.withdrawn {
                start.withdrawn.push(listed.address);
                continue;
            }
            if word.added {
                // The file's word is the newer one, as it is when it is read again.
                word = Word { added: false, weight: None, ..word };
            }
            if listed.id.is_some() && word.id.is_some() && word.id != listed.id {
                // An id means one backend for ever: another id, another backend.
                start.drop(listed.address, &word, "the file has another backend there now");
                word = Word::default();
            }
            word.id = match &listed.id {
                Some(id) => Some(id.clone()),
                None => word.id.filter(|id| taken.insert(id.clone())),
            };
            start.open(listed.address, listed.weight, word);
        }
        for (address, word) in self.backends {
            match &word.id {
                _ if !word.added => start.drop(address, &word, "the file has it no more"),
                Some(id) if !taken.insert(id.clone()) => {
                    start.drop(address, &word, "another backend has its id");
                }
                _ => start.open(address, 1, word),
            }
        }
        start
    }
}

impl Start {
    fn open(&mut self, address: SocketAddr, weight: u32, word: Word) {
        let (id, weight) = (word.id.clone(), word.weight.unwrap_or(weight));
        self.backends.push(Opening { backend: ProxyBackend { address, weight, id }, word });
    }

    /// Nothing is lost with an entry that holds an id alone.
    fn drop(&mut self, address: SocketAddr, word: &Word, why: &str) {
        let said = [
            word.added.then(|| "added".to_owned()),
            word.withdrawn.then(|| "removed".to_owned()),
            word.weight.map(|weight| format!("weight {weight}")),
            word.draining.then(|| "drain".to_owned()),
        ];
        let said: Vec<String> = said.into_iter().flatten().collect();
        if !said.is_empty() {
            let id = word.id.as_deref().unwrap_or("-");
            self.dropped.push(format!("{address} {id} ({}): {why}", said.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn said(port: u16, id: &str, added: bool, weight: u32) -> (SocketAddr, Word) {
        let weight = (weight > 0).then_some(weight);
        (at(port), Word { id: Some(id.into()), added, weight, ..Word::default() })
    }

    fn listed(port: u16, id: Option<&str>) -> ProxyBackend {
        ProxyBackend { address: at(port), weight: 2, id: id.map(str::to_owned) }
    }

    #[test]
    fn words_go_over_the_file_as_far_as_they_fit() {
        let out = (at(1), Word { withdrawn: true, ..Word::default() });
        for (file, words, wanted, dropped) in [
            (vec![listed(1, None)], vec![], "1=? *2", 0),
            (vec![listed(1, None)], vec![said(1, "b7", false, 0)], "1=b7 *2", 0),
            (vec![listed(1, None)], vec![said(1, "b7", false, 5)], "1=b7 *5", 0),
            (vec![listed(1, None), listed(2, None)], vec![out.clone()], "2=? *2", 0),
            // Of the file's backends alone the file says whether they are there.
            (vec![], vec![said(1, "b7", false, 0)], "", 0),
            (vec![], vec![said(1, "b7", false, 5)], "", 1),
            (vec![], vec![out], "", 1),
            // What an operator added is there in any case, and the file's once it stands there.
            (vec![listed(1, None)], vec![said(2, "b7", true, 5)], "1=? *2 2=b7 *5", 0),
            (vec![listed(2, None)], vec![said(2, "b7", true, 5)], "2=b7 *2", 0),
            // Ids that the file gives are the file's.
            (vec![listed(1, Some("x"))], vec![said(1, "x", false, 5)], "1=x *5", 0),
            (vec![listed(1, Some("x"))], vec![said(1, "b7", false, 5)], "1=x *2", 1),
            (vec![listed(1, Some("x"))], vec![said(2, "x", true, 5)], "1=x *2", 1),
            (
                vec![listed(1, None), listed(2, Some("b7"))],
                vec![said(1, "b7", false, 5)],
                "1=? *5 2=b7 *2",
                0,
            ),
            // What no proxy writes.
            (vec![], vec![said(1, "", true, 1)], "", 1),
            (vec![], vec![said(1, "a b", true, 1)], "", 1),
            (vec![], vec![said(1, "b7", true, 65_537)], "", 1),
            (vec![], vec![said(0, "b7", true, 1)], "", 1),
        ] {
            let overlay = Overlay { backends: words.into_iter().collect(), ..Overlay::default() };
            let shown = format!("{file:?} with {overlay:?}");
            let start = overlay.over(&file);
            let one = |opening: &Opening| {
                let ProxyBackend { address, weight, id } = &opening.backend;
                format!("{}={} *{weight}", address.port(), id.as_deref().unwrap_or("?"))
            };
            let all: Vec<String> = start.backends.iter().map(one).collect();
            assert_eq!(all.join(" "), wanted, "{shown}");
            assert_eq!(start.dropped.len(), dropped, "{shown}: {:?}", start.dropped);
        }
    }
}

//! What an operator sees of the balancer behind the lock and does to it. It must not know HTTP or
//! JSON, nor who may do it.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use base::{BackendId, Time};
use policy::{BackendStatus, Command, Settings};

use super::{Place, Shared, State};
use crate::operator::{BackendView, Change, Connections, Refused, Tally};
use crate::rules::Rules;

impl State {
    pub(super) fn find(&self, name: &str) -> Result<BackendId, Refused> {
        let mut all = self.balancer.pool().statuses();
        let found = all.find(|status| status.name == name).map(|status| status.id);
        found.ok_or_else(|| Refused::Unknown(name.into()))
    }

    fn view(&self, status: &BackendStatus<'_>) -> BackendView {
        BackendView {
            id: status.id,
            name: status.name.into(),
            address: self.address(status.id).expect("every backend was added with its address"),
            weight: status.weight,
            state: status.state.word(),
            reason: status.reason.into(),
            since: status.since,
            in_flight: status.in_flight,
            connections: Connections {
                open: self.directory.open_connections(status.id),
                idle: self.pools.idle(status.id),
            },
            attempts: status.attempts,
            failures: status.failures,
            effective_weight: status.effective_weight,
            ejections: status.ejections,
            ejected_until: status.ejected_until,
            last_check: status.last_check.map(String::from),
            last_check_passed: status.last_check_passed,
            last_check_took: self.directory.check_took(status.id),
        }
    }

    pub(super) fn add(
        &mut self,
        now: Time,
        name: Option<String>,
        address: SocketAddr,
        weight: u32,
    ) -> Result<(BackendId, String), Refused> {
        let same = |status: &BackendStatus<'_>| self.address(status.id) == Some(address);
        if let Some(status) = self.balancer.pool().statuses().find(same) {
            return Err(Refused::AddressTaken(address, status.name.into()));
        }
        let name = name.unwrap_or_else(|| self.names.fresh());
        let pin = policy::pin_of(&name);
        let command = Command::Add { name: name.clone(), weight };
        let id = self.balancer.handle_command(now, command)?.expect("an added backend has an id");
        self.directory.enter(id, &name);
        let slot = id.slot as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, None);
        }
        self.places[slot] = Some(Place { generation: id.generation, address, pin });
        Ok((id, name))
    }
}

impl Shared {
    /// All backends, in the order in which they were added.
    pub(crate) fn backends(&self) -> Vec<BackendView> {
        let state = self.lock();
        state.balancer.pool().statuses().map(|status| state.view(&status)).collect()
    }

    /// One backend.
    pub(crate) fn backend(&self, name: &str) -> Result<BackendView, Refused> {
        let state = self.lock();
        let id = state.find(name)?;
        let status = state.balancer.pool().status(id).expect("found a line above");
        Ok(state.view(&status))
    }

    /// A new backend, by a name that is given to it.
    pub(crate) fn add(
        self: &Arc<Self>,
        address: SocketAddr,
        weight: u32,
    ) -> Result<BackendView, Refused> {
        self.decide(|state, now| {
            let (id, name) = state.add(now, None, address, weight)?;
            state.overlay.add(address, &name, weight);
            let status = state.balancer.pool().status(id).expect("added a line above");
            Ok(state.view(&status))
        })
    }

    /// Out of the pool at once.
    pub(crate) fn remove(self: &Arc<Self>, name: &str) -> Result<(), Refused> {
        self.decide(|state, now| {
            let id = state.find(name)?;
            let address = state.address(id).expect("every backend was added with its address");
            state.balancer.handle_command(now, Command::Remove(id))?;
            state.overlay.remove(address);
            Ok(())
        })
    }

    /// Another weight, in or out of a drain. The weight comes first, as it alone can be refused.
    pub(crate) fn change(self: &Arc<Self>, name: &str, change: Change) -> Result<(), Refused> {
        self.decide(|state, now| {
            let id = state.find(name)?;
            let weight = change.weight.map(|weight| Command::Weight(id, weight));
            let drain = change.drain.map(|on| match on {
                true => Command::Drain(id),
                false => Command::Ready(id),
            });
            for command in [weight, drain].into_iter().flatten() {
                state.balancer.handle_command(now, command)?;
            }
            let address = state.address(id).expect("every backend was added with its address");
            let word = state.overlay.word(address);
            word.weight = change.weight.or(word.weight);
            word.draining = change.drain.unwrap_or(word.draining);
            Ok(())
        })
    }

    /// Decides by other settings from now on: what `revise` makes of those of the moment. That is
    /// done without the balancer's lock, but never by two at once, or one's change would be lost.
    pub(crate) fn revise<E>(
        self: &Arc<Self>,
        revise: impl FnOnce(&Settings) -> Result<Settings, E>,
    ) -> Result<Settings, E> {
        let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let new = revise(&self.settings())?;
        self.decide(|state, now| {
            let command = Command::Settings(Box::new(new.clone()));
            state.balancer.handle_command(now, command).expect("settings are never refused");
            self.board.post(Rules::new(&new));
        });
        Ok(new)
    }

    /// What the balancer decides by.
    pub(crate) fn settings(&self) -> Settings {
        self.lock().balancer.settings().clone()
    }

    /// What the balancer tells of itself in numbers.
    pub(crate) fn tally(&self) -> Tally {
        let balancer = &self.lock().balancer;
        Tally {
            counts: *balancer.counts(),
            queued: balancer.queued(),
            in_flight_limit: balancer.in_flight_limit(),
            is_panicking: balancer.pool().is_panicking(),
        }
    }
}

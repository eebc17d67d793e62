//! The configuration file against what runs: another version of it is put in force here, all of it or
//! nothing. It must not know where the file is, nor how it is read.

use std::sync::{Arc, PoisonError};

use base::Time;
use config::{ProxyConfig, policy_keys};
use policy::Command;
use serde_json::Value;

use super::{Shared, State};
use crate::overlay::Word;
use crate::reload::{self, Member, Plan, ReloadError};
use crate::rules::Rules;
use crate::tls::Tls;

impl State {
    fn members(&self) -> Vec<Member> {
        let statuses = self.balancer.pool().statuses();
        let member = |status: policy::BackendStatus<'_>| {
            let address =
                self.address(status.id).expect("every backend was added with its address");
            let is_listed = self.overlay.is_listed(address);
            Member { name: status.name.into(), address, is_listed }
        };
        statuses.map(member).collect()
    }

    /// Makes the pool what `file` says.
    fn carry_out(&mut self, now: Time, plan: &Plan, file: &ProxyConfig) {
        let in_plan = "the plan was made of this pool, under the same lock";
        for name in &plan.remove {
            let id = self.find(name).expect(in_plan);
            self.overlay.forget(self.address(id).expect(in_plan));
            self.balancer.handle_command(now, Command::Remove(id)).expect(in_plan);
        }
        for (name, weight) in &plan.weigh {
            let id = self.find(name).expect(in_plan);
            self.balancer.handle_command(now, Command::Weight(id, *weight)).expect(in_plan);
            let address = self.address(id).expect(in_plan);
            self.overlay.word(address).weight = None;
        }
        for id in file.backends.iter().filter_map(|backend| backend.id.as_deref()) {
            self.names.reserve(id);
        }
        for backend in &plan.add {
            let (id, address) = (backend.id.clone(), backend.address);
            let (_, name) = self.add(now, id, address, backend.weight).expect(in_plan);
            self.overlay.enter(address, &name, Word::default());
        }
        self.overlay.list(file);
    }
}

impl Shared {
    /// Puts another version of the configuration file in force, and says what changed.
    ///
    /// # Errors
    /// Why not; then nothing has changed.
    pub(crate) fn reload(self: &Arc<Self>, new: ProxyConfig) -> Result<String, ReloadError> {
        let mut file = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let fixed = reload::fixed(&file, &new);
        if !fixed.is_empty() {
            return Err(ReloadError::NeedsRestart(fixed));
        }
        let certificate = self.tls.as_ref().map(Tls::fresh).transpose()?;
        let changed = Value::Object(reload::changed(&file.settings, &new.settings));
        let keys = changed.as_object().into_iter().flat_map(|changed| changed.keys());
        let settings = match keys.clone().next() {
            None => None,
            Some(_) => Some(
                policy_keys::patch(&self.settings(), &changed, &self.registry)
                    .map_err(ReloadError::Settings)?,
            ),
        };
        let (plan, now) = self
            .decide(|state, now| {
                let plan = reload::plan(
                    &file.backends,
                    &new.backends,
                    &state.members(),
                    &state.overlay.withdrawn(),
                )?;
                // The settings first: backends that are new begin under them.
                if let Some(settings) = settings {
                    self.board.post(Rules::new(&settings));
                    let command = Command::Settings(Box::new(settings));
                    state
                        .balancer
                        .handle_command(now, command)
                        .expect("settings are never refused");
                }
                state.carry_out(now, &plan, &new);
                Ok((plan, now))
            })
            .map_err(ReloadError::Backends)?;
        if let (Some(tls), Some(certificate)) = (&self.tls, certificate) {
            tls.install(certificate);
        }
        let mut what = plan.in_words(keys);
        *file = new;
        drop(file);
        self.events.note(now, "reloaded", &what);
        self.log.line(format!("{now} - reloaded {what}"));
        if let Err(error) = self.keep() {
            what = format!("{what}; {error}");
        }
        Ok(what)
    }
}

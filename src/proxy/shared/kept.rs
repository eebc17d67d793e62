//! What operators change and what is kept of it over a restart: the pool is opened with it, and it is
//! written before a change is called done. It must not know HTTP, nor the file's shape.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

use config::{ProxyConfig, policy_keys};
use policy::{Command, Registry, Settings};
use serde_json::{Map, Value};

use super::Shared;
use crate::operator::Refused;
use crate::overlay::{Opening, Overlay};
use crate::reload;
use crate::rules::Rules;
use crate::state_file::NotKept;

impl Shared {
    /// Fills the pool with the backends of `file` and what was `kept` of operators' changes to it.
    /// What of that does not fit any more is dropped and logged.
    ///
    /// # Errors
    /// The first backend that is refused, and why.
    pub(crate) fn open(
        self: &Arc<Self>,
        file: &ProxyConfig,
        kept: Overlay,
    ) -> Result<(), (SocketAddr, Refused)> {
        let (settings, mut dropped) = over(&file.settings, &kept.settings, &self.registry);
        let named = kept.named;
        let start = kept.over(&file.backends);
        dropped.extend(start.dropped);
        for line in dropped {
            self.log.line(format!("the state file is not followed in this: {line}"));
        }
        self.decide(|state, now| {
            if let Some(settings) = settings {
                self.board.post(Rules::new(&settings));
                let command = Command::Settings(Box::new(settings));
                state.balancer.handle_command(now, command).expect("settings are never refused");
            }
            state.names.resume(named);
            let kept = start.backends.iter().map(|opening| &opening.backend);
            for id in file.backends.iter().chain(kept).filter_map(|b| b.id.as_deref()) {
                state.names.reserve(id);
            }
            for Opening { backend, word } in start.backends {
                let (address, refused) = (backend.address, |refused| (backend.address, refused));
                let (id, name) =
                    state.add(now, backend.id, address, backend.weight).map_err(refused)?;
                if word.draining {
                    let drained = state.balancer.handle_command(now, Command::Drain(id));
                    drained.expect("added a line above");
                }
                state.overlay.enter(address, &name, word);
            }
            for address in start.withdrawn {
                state.overlay.withdraw(address);
            }
            Ok(())
        })
    }

    /// Does an operator's change, and keeps it over a restart where that is asked for. The change is
    /// in force when it cannot be kept.
    pub(crate) async fn operate<T, E>(
        self: &Arc<Self>,
        act: impl FnOnce(&Arc<Self>) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, NotKept>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        if self.state_file.is_none() {
            return Ok(act(self));
        }
        // Disks may be slow, and the thread of this runtime is that of the probes too. Whoever asked
        // may leave: what was begun is kept all the same.
        let shared = Arc::clone(self);
        let done = self.control.spawn_blocking(move || {
            let done = act(&shared);
            if done.is_ok() {
                shared.keep()?;
            }
            Ok(done)
        });
        done.await.expect("a change does not panic, and the runtime outlives its tasks")
    }

    /// Writes down all that operators have said, where there is a file for it.
    pub(super) fn keep(&self) -> Result<(), NotKept> {
        let Some(state_file) = &self.state_file else { return Ok(()) };
        // Held while the words are gathered too, so that later ones are never replaced by earlier.
        let state_file = state_file.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = state_file.write(&self.words());
        if let Err(error) = &kept {
            self.log.line(error.to_string());
        }
        kept
    }

    fn words(&self) -> Overlay {
        let file = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let state = self.lock();
        Overlay {
            named: state.names.highest(),
            settings: reload::changed(&file.settings, state.balancer.settings()),
            backends: state.overlay.backends.clone(),
        }
    }
}

/// The file's settings with those of operators on top, if there are any that fit, and what of them
/// does not.
fn over(
    base: &Settings,
    kept: &Map<String, Value>,
    registry: &Registry,
) -> (Option<Settings>, Vec<String>) {
    if kept.is_empty() {
        return (None, vec![]);
    }
    let whole = Value::Object(kept.clone());
    if let Ok(settings) = policy_keys::patch(base, &whole, registry) {
        return (Some(settings), vec![]);
    }
    let (mut settings, mut dropped) = (base.clone(), vec![]);
    for (key, value) in kept {
        let one = Value::Object(Map::from_iter([(key.clone(), value.clone())]));
        match policy_keys::patch(&settings, &one, registry) {
            Ok(patched) => settings = patched,
            Err(problems) => dropped.extend(problems),
        }
    }
    (Some(settings), dropped)
}

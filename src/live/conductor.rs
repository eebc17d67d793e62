//! The stage of a trial: its backends and its subject, started, found ready, taken down again.
//! It must not know the load or what is measured.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use base::{Clock, Stop};
use config::BackendsConfig;
use config::backends::BackendConfig;
use rustix::process::Pid;
use scenario::Trial;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::admin::Admin;
use crate::control::Control;
use crate::engine::Options;
use crate::error::Error;
use crate::http::Answer;
use crate::launch::Spec;
use crate::process::Process;
use crate::subject::{Launch, Subject, Topology};

/// From a child's start to its ready line: binding a few thousand ports on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(15);
/// From the proxy's start until it finds every backend ready: one probe each.
const HEALTHY_WITHIN: Duration = Duration::from_secs(15);
/// One call of the admin API.
const CALL_WITHIN: Duration = Duration::from_secs(5);
/// How often the proxy is asked whether it finds the backends ready.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// From SIGTERM to SIGKILL. Nothing is in flight any more.
const GRACE: Duration = Duration::from_secs(3);

/// Any free port of the loopback interface.
const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// What runs in a trial beside the load. Dropping it kills it.
pub(crate) struct Stage {
    /// The fake backends, all in one process.
    backends: Process,
    /// The subject, where it is a program.
    proxy: Option<Process>,
    /// The backends' control API.
    pub(crate) control: Control,
    /// The subject's admin API, where it has one.
    pub(crate) admin: Option<Admin>,
    /// Its stream of events, open since before the load.
    pub(crate) events: Option<Answer>,
    /// Where the load goes.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The generator, where it is a process of its own: whoever hired it ends it.
    pub(crate) generator: Option<(String, Pid)>,
}

#[derive(Deserialize)]
struct BackendsReady {
    control: SocketAddr,
    backends: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    address: SocketAddr,
}

#[derive(Deserialize)]
struct ProxyReady {
    listen: SocketAddr,
    admin: Option<SocketAddr>,
}

impl Stage {
    /// Starts everything and waits until it is ready. `None` when `stop` was raised meanwhile.
    ///
    /// # Errors
    /// When something cannot be started, dies, or does not become ready in time. Nothing is left
    /// running then.
    pub(crate) async fn set_up(
        trial: &Trial,
        subject: &dyn Subject,
        options: &Options,
        clock: &Clock,
        stop: &Stop,
    ) -> Result<Option<Self>, Error> {
        let logs = options.logs.as_path();
        fs::create_dir_all(logs)
            .map_err(|source| Error::Folder { path: logs.to_owned(), source })?;
        let mut backends = start_backends(trial, options, clock)?;
        let Some(ready) = ready::<BackendsReady>(&mut backends, stop)? else { return Ok(None) };
        let addresses = addresses_of(trial, ready.backends, &backends)?;
        let launch = subject.plan(&Topology {
            trial,
            backends: &addresses,
            exe: &options.exe,
            folder: logs,
            epoch_ns: clock.epoch_ns(),
        });
        let mut stage = Self {
            backends,
            proxy: None,
            control: Control(ready.control),
            admin: None,
            events: None,
            addresses: Vec::new(),
            generator: None,
        };
        match launch {
            Launch::Nothing { addresses } => stage.addresses = addresses,
            Launch::Program(program) => {
                for (path, text) in &program.files {
                    write(path, text)?;
                }
                let mut proxy = Process::start(Spec {
                    name: "proxy",
                    program: &program.path,
                    arguments: program.arguments,
                    lifeline: true,
                    logs,
                    kept: None,
                })?;
                let Some(ready) = self::ready::<ProxyReady>(&mut proxy, stop)? else {
                    return Ok(None);
                };
                stage.proxy = Some(proxy);
                stage.addresses = vec![ready.listen];
                stage.admin = ready.admin.map(Admin);
                if !stage.meet(trial, stop).await? {
                    return Ok(None);
                }
            }
        }
        Ok(Some(stage))
    }

    /// Waits until the proxy finds every backend ready; false when `stop` was raised meanwhile.
    async fn meet(&mut self, trial: &Trial, stop: &Stop) -> Result<bool, Error> {
        let Some(admin) = self.admin else { return Ok(true) };
        let began = Instant::now();
        loop {
            let states = match admin.states(CALL_WITHIN).await {
                Ok(states) => states,
                Err(source) => return Err(self.blame(admin.error(source))),
            };
            let waiting = states.waiting(trial.variant.backends.iter().map(|b| b.name.as_str()));
            if waiting.is_empty() {
                break;
            }
            if stop.is_raised() {
                return Ok(false);
            }
            if began.elapsed() >= HEALTHY_WITHIN {
                return Err(Error::NotReady { waiting, within: HEALTHY_WITHIN });
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
        match admin.events(CALL_WITHIN).await {
            Ok(events) => self.events = Some(events),
            Err(source) => return Err(self.blame(admin.error(source))),
        }
        Ok(true)
    }

    /// The death of a child explains an error better than the error it led to.
    pub(crate) fn blame(&mut self, error: Error) -> Error {
        let dead = self.processes_mut().find(|process| process.ended(Duration::ZERO));
        dead.map_or(error, |process| Error::Died(process.death()))
    }

    /// Everything that runs.
    pub(crate) fn processes(&self) -> impl Iterator<Item = &Process> {
        self.proxy.iter().chain(std::iter::once(&self.backends))
    }

    fn processes_mut(&mut self) -> impl Iterator<Item = &mut Process> {
        self.proxy.iter_mut().chain(std::iter::once(&mut self.backends))
    }

    /// How the child of this name ended, unasked.
    pub(crate) fn died(&mut self, name: &str) -> Option<Error> {
        let process = self.processes_mut().find(|process| process.name() == name)?;
        Some(Error::Died(process.death()))
    }

    /// Ends everything, the subject first so that it does not see its backends go.
    pub(crate) fn take_down(mut self) {
        self.events = None;
        for process in self.processes_mut() {
            process.ask_to_end();
            process.finish(GRACE);
        }
    }
}

fn start_backends(trial: &Trial, options: &Options, clock: &Clock) -> Result<Process, Error> {
    let config = options.logs.join("backends.toml");
    write(&config, &backends_config(trial).to_toml())?;
    let epoch = clock.epoch_ns().to_string();
    Process::start(Spec {
        name: "backends",
        program: &options.exe,
        arguments: vec![
            "backends".into(),
            "--config".into(),
            config.into(),
            "--epoch".into(),
            epoch.into(),
        ],
        lifeline: true,
        logs: &options.logs,
        kept: None,
    })
}

fn backends_config(trial: &Trial) -> BackendsConfig {
    let backends = trial.variant.backends.iter();
    BackendsConfig {
        control: Some(ANY),
        // One core serves some tens of thousands of requests a second, more than a run on one
        // machine asks for, and a second thread would take a core from proxy or generator.
        workers: 1,
        seed: trial.seed,
        backends: backends
            .map(|spec| BackendConfig {
                name: spec.name.clone(),
                listen: ANY,
                model: spec.model.clone(),
            })
            .collect(),
    }
}

/// Where each backend of the trial listens, in the trial's order.
fn addresses_of(
    trial: &Trial,
    named: Vec<Named>,
    process: &Process,
) -> Result<Vec<SocketAddr>, Error> {
    let named: BTreeMap<_, _> = named.into_iter().map(|n| (n.name, n.address)).collect();
    let address = |name: &String| {
        named.get(name).copied().ok_or_else(|| Error::Confused {
            name: process.name().to_owned(),
            line: format!("{named:?}"),
            problem: format!("no address of backend {name}"),
        })
    };
    trial.variant.backends.iter().map(|spec| address(&spec.name)).collect()
}

fn ready<T: DeserializeOwned>(process: &mut Process, stop: &Stop) -> Result<Option<T>, Error> {
    let Some(line) = process.ready_line(READY_WITHIN, stop)? else { return Ok(None) };
    let parsed = serde_json::from_str(&line);
    parsed.map(Some).map_err(|problem| Error::Confused {
        name: process.name().to_owned(),
        line,
        problem: problem.to_string(),
    })
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::Folder { path: path.to_owned(), source })
}

#[cfg(test)]
impl Stage {
    /// A stage whose backends live, and neither serve nor answer.
    pub(crate) fn of_a_sleeper(logs: &Path) -> Self {
        let sleeper = Spec {
            name: "backends",
            program: Path::new("/bin/sleep"),
            arguments: vec!["3600".into()],
            lifeline: false,
            logs,
            kept: None,
        };
        Self {
            backends: Process::start(sleeper).expect("a process"),
            proxy: None,
            control: Control(SocketAddr::from(([127, 0, 0, 1], 1))),
            admin: None,
            events: None,
            addresses: Vec::new(),
            generator: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::tests::trial;

    #[test]
    fn the_backends_are_told_all_that_the_scenario_says() {
        let trial = trial("lab");
        let text = backends_config(&trial).to_toml();
        let read = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let read = BackendsConfig::parse("backends.toml", &text, &read)
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
        assert_eq!(read, backends_config(&trial), "{text}");
        assert_eq!((read.control, read.seed), (Some(ANY), trial.seed));
        let names: Vec<_> = read.backends.iter().map(|b| b.name.as_str()).collect();
        assert_eq!(names, ["a-1", "a-2"]);
        assert_eq!(read.backends[0].model, trial.variant.backends[0].model);
    }

    #[test]
    fn a_child_that_says_something_else_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let options = Options {
            exe: "/bin/echo".into(),
            logs: folder.path().join("logs/1"),
            artillery: None,
        };
        let trial = trial("lab");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (clock, stop) = (Clock::start(), Stop::default());
        let subject = crate::subject::of(trial.variant.proxy.kind);
        let set_up = Stage::set_up(&trial, subject, &options, &clock, &stop);
        let Err(error) = runtime.expect("a runtime").block_on(set_up) else { panic!("it echoes") };
        let text = error.to_string();
        assert!(text.starts_with("backends reported \"backends --config "), "{text}");
        assert!(!error.is_environment());
        assert!(options.logs.join("backends.toml").exists());
        assert!(options.logs.join("backends.out").exists());
    }
}

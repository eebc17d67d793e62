//! The control API: what the backends count, and the faults they are to meet, in JSON over HTTP.
//! It must not touch a backend: counters are shared, and faults are sent to the worker.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base::{Clock, Time, time};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot, watch};
use workload::{FaultChange, FaultKind, MAX_CHANGES};

use crate::counters::Counters;
use crate::running::Started;
use crate::worker::Command;

/// The longest body of a request: room for the longest plan, at 256 bytes a change with a long name.
const MAX_BODY_BYTES: usize = MAX_CHANGES * 256;

/// What one backend counts. `/health` is left out everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendSample {
    /// Its name.
    pub name: String,
    /// Where it listens (or did, while a fault has closed the listener).
    pub address: SocketAddr,
    /// Requests read since the start.
    pub requests: u64,
    /// Of these, answered with a status of 500 or above, or with a reset.
    pub failed: u64,
    /// Requests inside: served, waiting, and finished for clients that left.
    pub in_flight: u32,
    /// The most that were inside at once since the last `POST /v1/sample`.
    pub max_in_flight: u32,
}

/// The most times that can be planned with `POST /v1/samples`.
pub const MAX_SAMPLES: usize = 100_000;

/// The most backends' counters in one answer to `GET /v1/samples`; what does not fit stands in the
/// next one. At least one sample is given, however many backends there are.
const SAMPLED_AT_ONCE: usize = 10_000;

/// The body of `POST /v1/samples`: when the counters are to be noted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplesRequest {
    /// In nanoseconds on the run's clock, each after the one before, at most [`MAX_SAMPLES`].
    pub at_ns: Vec<u64>,
}

/// The query of `GET /v1/samples`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct SamplesQuery {
    /// Only later ones.
    after_ns: Option<u64>,
}

/// The counters as they stood at a planned time; an element of `GET /v1/samples`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedSample {
    /// The time, in nanoseconds on the run's clock.
    pub at_ns: u64,
    /// Every backend; `max_in_flight` counts from the sample before.
    pub backends: Vec<BackendSample>,
}

/// The body of `POST /v1/faults`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultRequest {
    /// Faults that begin or end; ties keep this order.
    pub changes: Vec<Change>,
}

/// A fault that begins or ends at one backend.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When, in nanoseconds on the run's clock; absent or past is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_ns: Option<u64>,
    /// The same in nanoseconds from when this is read, for those who do not know the run's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_ns: Option<u64>,
    /// The backend's name.
    pub backend: String,
    /// Names the fault, so that its end is matched to its beginning; 0 unless given. A fault that
    /// begins under a number in use replaces the one before.
    #[serde(default)]
    pub fault: u32,
    /// crash, refuse, hang, reset, slow or errors.
    pub kind: String,
    /// slow: how many times longer requests take; above 0. Needed where it begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// errors: the status, 400 to 599; 500 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// errors: the share of requests, 0 to 1; 1 unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ratio: Option<f64>,
    /// errors: how long an error takes, in nanoseconds; 1 ms unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_ns: Option<u64>,
    /// slow and errors: whether `/health` is concerned too; false unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<bool>,
    /// It begins (true unless given), or it ends.
    #[serde(default = "yes")]
    pub begins: bool,
}

/// The body of every answer that is no success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// What is wrong, and what to send instead.
    pub error: String,
}

const fn yes() -> bool {
    true
}

impl Change {
    /// The change of a plan as the API takes it, for the backend of this name. `start` is where the
    /// plan's time zero (the beginning of the warm-up) lies on the run's clock.
    ///
    /// # Panics
    /// On a flap: plans hold its crashes instead.
    pub fn new(change: &FaultChange, backend: &str, start: Time) -> Self {
        let at = start + change.at.since(Time::ZERO);
        let plain = Self {
            at_ns: Some(at.as_nanos()),
            backend: backend.to_owned(),
            fault: change.fault,
            kind: change.kind.word().to_owned(),
            begins: change.begins,
            ..Self::default()
        };
        match change.kind {
            FaultKind::Crash | FaultKind::Refuse | FaultKind::Hang | FaultKind::Reset => plain,
            FaultKind::Slow { factor, health } => {
                Self { factor: Some(factor), health: Some(health), ..plain }
            }
            FaultKind::Errors { status, ratio, after, health } => Self {
                status: Some(status),
                ratio: Some(ratio),
                after_ns: Some(time::nanos(after)),
                health: Some(health),
                ..plain
            },
            FaultKind::Flap { .. } => panic!("a flap reaches a backend as crashes"),
        }
    }

    /// When, or what is wrong.
    fn at(&self, now: Time) -> Result<Time, String> {
        match (self.at_ns, self.in_ns) {
            (Some(_), Some(_)) => {
                Err("at_ns and in_ns are two times for one change; leave one out".to_owned())
            }
            (Some(at), None) => Ok(Time::from_nanos(at).max(now)),
            (None, from_now) => Ok(now + Duration::from_nanos(from_now.unwrap_or(0))),
        }
    }

    /// The kind with its parameters checked, or what is wrong.
    fn kind(&self) -> Result<FaultKind, String> {
        let foreign = |allowed: &[&str]| {
            let given = [
                ("factor", self.factor.is_some()),
                ("status", self.status.is_some()),
                ("ratio", self.ratio.is_some()),
                ("after_ns", self.after_ns.is_some()),
                ("health", self.health.is_some()),
            ];
            match given.iter().find(|(key, given)| *given && !allowed.contains(key)) {
                Some((key, _)) => {
                    Err(format!("`{key}` does not belong to {}; leave it out", self.kind))
                }
                None => Ok(()),
            }
        };
        let plain = |kind| foreign(&[]).map(|()| kind);
        let health = self.health.unwrap_or(false);
        match self.kind.as_str() {
            "crash" => plain(FaultKind::Crash),
            "refuse" => plain(FaultKind::Refuse),
            "hang" => plain(FaultKind::Hang),
            "reset" => plain(FaultKind::Reset),
            "slow" => {
                foreign(&["factor", "health"])?;
                match self.factor {
                    Some(factor) if factor > 0.0 && factor.is_finite() => {
                        Ok(FaultKind::Slow { factor, health })
                    }
                    None if !self.begins => Ok(FaultKind::Slow { factor: 1.0, health }),
                    Some(factor) => Err(format!("factor {factor}: give a number above 0")),
                    None => Err("slow needs `factor`, a number above 0".to_owned()),
                }
            }
            "errors" => {
                foreign(&["status", "ratio", "after_ns", "health"])?;
                let (status, ratio) = (self.status.unwrap_or(500), self.ratio.unwrap_or(1.0));
                if !(400..=599).contains(&status) {
                    return Err(format!("status {status}: give one from 400 to 599"));
                }
                if !(0.0..=1.0).contains(&ratio) {
                    return Err(format!("ratio {ratio}: give a share from 0 to 1"));
                }
                let after = Duration::from_nanos(self.after_ns.unwrap_or(1_000_000));
                Ok(FaultKind::Errors { status, ratio, after, health })
            }
            other => Err(format!(
                "unknown kind {other:?}; one of crash, refuse, hang, reset, slow, errors"
            )),
        }
    }
}

/// One backend, as the API sees it.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) counters: Arc<Counters>,
    /// Its worker, and its index there.
    pub(crate) place: (usize, usize),
}

/// What the API needs.
pub(crate) struct Api {
    pub(crate) clock: Clock,
    pub(crate) entries: Vec<Entry>,
    /// One sender a worker.
    pub(crate) commands: Vec<mpsc::Sender<Command>>,
}

/// Serves until it is stopped.
///
/// # Errors
/// When the system is short of file descriptors at the start.
pub(crate) fn run(
    api: Api,
    listener: TcpListener,
    mut stopped: watch::Receiver<bool>,
    started: Started,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        started();
        tokio::select! {
            served = async { axum::serve(listener, router(api)).await } => served,
            _ = stopped.wait_for(|&stop| stop) => Ok(()),
        }
    })
}

fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/backends", get(backends))
        .route("/v1/sample", post(sample))
        .route("/v1/samples", get(samples).post(plan_samples))
        .route("/v1/faults", post(plan).delete(clear))
        .fallback(async || {
            let known = "GET /v1/backends, POST /v1/sample, GET and POST /v1/samples, POST and \
                         DELETE /v1/faults";
            refuse(StatusCode::NOT_FOUND, format!("no such path; there are {known}"))
        })
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(Arc::new(api))
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(ApiError { error })).into_response()
}

async fn backends(State(api): State<Arc<Api>>) -> Json<Vec<BackendSample>> {
    Json(api.samples(Counters::peak))
}

async fn sample(State(api): State<Arc<Api>>) -> Json<Vec<BackendSample>> {
    Json(api.samples(Counters::restart_peak))
}

async fn plan_samples(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    let wrong = |error| refuse(StatusCode::BAD_REQUEST, error);
    let SamplesRequest { at_ns } = match serde_json::from_slice(&body) {
        Ok(request) => request,
        Err(error) => return wrong(format!(r#"{error}; give {{"at_ns": [1000000000]}}"#)),
    };
    if at_ns.len() > MAX_SAMPLES {
        return wrong(format!("{} samples; at most {MAX_SAMPLES}", at_ns.len()));
    }
    if let Some(index) = at_ns.windows(2).position(|pair| pair[0] >= pair[1]) {
        let at = at_ns[index + 1];
        return wrong(format!("at_ns[{}]: {at} is not after the one before it", index + 1));
    }
    let planned: Arc<[Time]> = at_ns.into_iter().map(Time::from_nanos).collect();
    api.entries.iter().for_each(|entry| entry.counters.plan_cuts(Arc::clone(&planned)));
    StatusCode::NO_CONTENT.into_response()
}

async fn samples(
    State(api): State<Arc<Api>>,
    Query(query): Query<SamplesQuery>,
) -> Json<Vec<TimedSample>> {
    Json(api.timed_samples(query.after_ns))
}

async fn plan(State(api): State<Arc<Api>>, body: Bytes) -> Response {
    let parsed = serde_json::from_slice(&body).map_err(|error| {
        format!(r#"{error}; give {{"changes": [{{"backend": "a-1", "kind": "crash"}}]}}"#)
    });
    let shares = match parsed.and_then(|request| api.resolve(request)) {
        Ok(shares) => shares,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error),
    };
    if api.command(shares, Command::Plan).await {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let error =
            format!("more than {MAX_CHANGES} changes would be planned; DELETE /v1/faults first");
        refuse(StatusCode::CONFLICT, error)
    }
}

async fn clear(State(api): State<Arc<Api>>) -> StatusCode {
    let all = (0..api.commands.len()).map(|worker| (worker, ())).collect();
    api.command(all, |(), done| Command::Clear(done)).await;
    StatusCode::NO_CONTENT
}

impl Api {
    fn samples(&self, peak: impl Fn(&Counters) -> u32) -> Vec<BackendSample> {
        let sample = |entry: &Entry| BackendSample {
            name: entry.name.clone(),
            address: entry.address,
            requests: entry.counters.requests(),
            failed: entry.counters.failed(),
            in_flight: entry.counters.in_flight(),
            max_in_flight: peak(&entry.counters),
        };
        self.entries.iter().map(sample).collect()
    }

    /// The samples made after a time, oldest first.
    fn timed_samples(&self, after_ns: Option<u64>) -> Vec<TimedSample> {
        // One time for all, so that all have made the same cuts.
        let now = self.clock.now();
        let mut samples: BTreeMap<Time, Vec<BackendSample>> = BTreeMap::new();
        let most = (SAMPLED_AT_ONCE / self.entries.len().max(1)).max(1);
        for entry in &self.entries {
            entry.counters.cut(now);
            let cuts = entry.counters.cuts().into_iter();
            let later = cuts.filter(|cut| after_ns.is_none_or(|after| cut.at.as_nanos() > after));
            for cut in later.take(most) {
                samples.entry(cut.at).or_default().push(BackendSample {
                    name: entry.name.clone(),
                    address: entry.address,
                    requests: cut.requests,
                    failed: cut.failed,
                    in_flight: cut.in_flight,
                    max_in_flight: cut.peak,
                });
            }
        }
        // A time that has come only now, or is just being forgotten, is not known of all.
        samples.retain(|_, backends| backends.len() == self.entries.len());
        let timed = |(at, backends): (Time, _)| TimedSample { at_ns: at.as_nanos(), backends };
        samples.into_iter().map(timed).collect()
    }

    /// The changes of a request by worker, or what is wrong with the first bad one. All or nothing.
    fn resolve(&self, request: FaultRequest) -> Result<BTreeMap<usize, Vec<FaultChange>>, String> {
        let now = self.clock.now();
        let mut shares: BTreeMap<usize, Vec<FaultChange>> = BTreeMap::new();
        for (index, change) in request.changes.into_iter().enumerate() {
            let wrong = |what| format!("changes[{index}]: {what}");
            let entry = self.entries.iter().find(|entry| entry.name == change.backend);
            let entry = entry.ok_or_else(|| {
                let names: Vec<&str> = self.entries.iter().map(|e| e.name.as_str()).collect();
                wrong(format!("unknown backend {:?}; one of {}", change.backend, names.join(", ")))
            })?;
            let (worker, backend) = entry.place;
            shares.entry(worker).or_default().push(FaultChange {
                at: change.at(now).map_err(wrong)?,
                backend,
                fault: change.fault,
                kind: change.kind().map_err(wrong)?,
                begins: change.begins,
            });
        }
        Ok(shares)
    }

    /// Sends a command to each of these workers, waits for all, and says whether all have obeyed. A
    /// worker that has ended takes the process with it, so nobody is left to be told.
    async fn command<T>(
        &self,
        shares: BTreeMap<usize, T>,
        command: impl Fn(T, oneshot::Sender<bool>) -> Command,
    ) -> bool {
        let mut obeyed = Vec::new();
        for (worker, share) in shares {
            let (done, heard) = oneshot::channel();
            if self.commands[worker].send(command(share, done)).await.is_ok() {
                obeyed.push(heard);
            }
        }
        let mut all = true;
        for heard in obeyed {
            all &= heard.await.unwrap_or(false);
        }
        all
    }
}

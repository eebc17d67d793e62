//! The control API of the backends: their counters, and the faults that they are to play.
//! It must not know when it is asked.

use std::net::SocketAddr;
use std::time::Duration;

use base::Time;
use fakebackends::control::{
    BackendSample as Counters, Change, FaultRequest, SamplesRequest, TimedSample,
};
use record::BackendSample;
use scenario::Trial;

use crate::error::Error;
use crate::http::{CallError, call};

/// A whole fault plan may be long (a flap is two changes a period).
const SCHEDULE_WITHIN: Duration = Duration::from_secs(10);

/// The counters of every backend of a trial, in its order, at a time of the run's clock.
pub(crate) type Cut = (Time, Vec<BackendSample>);

/// Where the backends are controlled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Control(pub(crate) SocketAddr);

impl Control {
    /// Hands over the whole fault plan: the backends play it themselves, on time. `start` is the
    /// beginning of the warm-up on the run's clock.
    pub(crate) async fn schedule(&self, trial: &Trial, start: Time) -> Result<(), Error> {
        let names = &trial.variant.backends;
        let plan = trial.fault_plan();
        let changes = plan.changes.iter();
        let changes = changes.map(|c| Change::new(c, &names[c.backend].name, start)).collect();
        let body = serde_json::to_string(&FaultRequest { changes })
            .expect("numbers of a valid scenario are finite");
        let called = call(self.0, "POST", "/v1/faults", Some(&body), SCHEDULE_WITHIN).await;
        called.map(drop).map_err(|source| self.error(source))
    }

    /// Has the counters noted at these times of the run's clock, exactly: a reader is always late.
    pub(crate) async fn plan_samples(&self, at: impl Iterator<Item = Time>) -> Result<(), Error> {
        let at_ns = at.map(Time::as_nanos).collect();
        let body = serde_json::to_string(&SamplesRequest { at_ns }).expect("plain numbers");
        let called = call(self.0, "POST", "/v1/samples", Some(&body), SCHEDULE_WITHIN).await;
        called.map(drop).map_err(|source| self.error(source))
    }

    /// What was noted after a time, oldest first; perhaps not all of it, but then something.
    pub(crate) async fn samples_after(
        &self,
        trial: &Trial,
        after: Time,
        within: Duration,
    ) -> Result<Vec<Cut>, CallError> {
        let path = format!("/v1/samples?after_ns={}", after.as_nanos());
        let body = call(self.0, "GET", &path, None, within).await?;
        let wrong = |problem| CallError::Answer { call: "GET /v1/samples".into(), problem };
        let samples: Vec<TimedSample> =
            serde_json::from_slice(&body).map_err(|e| wrong(e.to_string()))?;
        let names = || trial.variant.backends.iter().map(|spec| spec.name.as_str());
        let cut = |sample: TimedSample| {
            let backends = in_order(sample.backends, names()).map_err(wrong)?;
            Ok((Time::from_nanos(sample.at_ns), backends))
        };
        samples.into_iter().map(cut).collect()
    }

    /// The counters of every backend of the trial, in its order; the most in flight counts anew
    /// from here. States are left empty: the backends do not know what a balancer thinks.
    pub(crate) async fn sample(
        &self,
        trial: &Trial,
        within: Duration,
    ) -> Result<Vec<BackendSample>, CallError> {
        let body = call(self.0, "POST", "/v1/sample", None, within).await?;
        let wrong = |problem| CallError::Answer { call: "POST /v1/sample".into(), problem };
        let counters: Vec<Counters> =
            serde_json::from_slice(&body).map_err(|e| wrong(e.to_string()))?;
        in_order(counters, trial.variant.backends.iter().map(|spec| spec.name.as_str()))
            .map_err(wrong)
    }

    fn error(&self, source: CallError) -> Error {
        Error::Call { name: "the backends' control API", address: self.0, source }
    }
}

fn in_order<'a>(
    counters: Vec<Counters>,
    names: impl Iterator<Item = &'a str>,
) -> Result<Vec<BackendSample>, String> {
    // The API keeps the order of the configuration, which is the trial's; looking for the name at
    // its place first keeps this linear for thousands of backends.
    let place = |index: usize, name: &str| {
        let there = counters.get(index).filter(|c| c.name == name);
        there.or_else(|| counters.iter().find(|c| c.name == name))
    };
    let sample = |(index, name)| {
        let found = place(index, name).ok_or_else(|| format!("no counters of backend {name}"))?;
        Ok(BackendSample {
            requests: found.requests,
            failed: found.failed,
            in_flight: found.in_flight,
            max_in_flight: found.max_in_flight,
            state: String::new(),
        })
    };
    names.enumerate().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_in_the_order_of_the_trial() {
        let counters = |name: &str, requests| Counters {
            name: name.into(),
            address: SocketAddr::from(([127, 0, 0, 1], 9000)),
            requests,
            failed: 1,
            in_flight: 2,
            max_in_flight: 3,
        };
        let both = || vec![counters("a-2", 20), counters("a-1", 10)];
        let samples = in_order(both(), ["a-1", "a-2"].into_iter()).expect("both are there");
        assert_eq!([samples[0].requests, samples[1].requests], [10, 20]);
        assert_eq!((samples[0].failed, samples[0].in_flight, samples[0].max_in_flight), (1, 2, 3));
        let error = in_order(both(), ["a-3"].into_iter()).expect_err("nobody is called a-3");
        assert_eq!(error, "no counters of backend a-3");
    }
}

//! What a scenario says, typed and valid. It must not know the text it came from.

use std::time::Duration;

use record::PhaseSpan;
use record::expect::{Expectation, Span};
use workload::{BackendModel, Fault, FaultPlan, KeyShape, LoadShape, Network};

/// Which engine plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// Processes and sockets.
    Live,
    /// Virtual time.
    Sim,
}

impl Engine {
    /// The word that stands in scenarios and records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Sim => "sim",
        }
    }
}

/// Which generator loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generator {
    /// The lab's own.
    Builtin,
    /// Artillery, a program that is not ours.
    Artillery,
}

impl Generator {
    /// The word that stands in scenarios and records.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Builtin => "builtin",
            Self::Artillery => "artillery",
        }
    }
}

/// What stands between load and backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectKind {
    /// The lab's own proxy.
    Lab,
    /// Nothing: the generator goes round robin over the backends.
    Direct,
}

impl SubjectKind {
    /// The word that stands in scenarios.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Lab => "lab",
            Self::Direct => "direct",
        }
    }
}

/// The `[proxy]` table.
#[derive(Clone, Debug)]
pub struct ProxySpec {
    /// Which subject.
    pub kind: SubjectKind,
    /// Worker threads of it.
    pub workers: u32,
    /// How many of them side by side; simulator only, but for one.
    pub balancers: u32,
    /// What each is shown of the backends' load.
    pub view: ViewSpec,
    /// How it decides.
    pub settings: policy::Settings,
}

/// What a balancer is shown of the backends' load; simulator only, but for the default: what it has
/// in flight itself, at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewSpec {
    /// What all balancers have in flight, not each its own.
    pub shared: bool,
    /// How old everything is.
    pub delay: Duration,
    /// How often it is brought up to date; zero: all the time.
    pub refresh: Duration,
    /// A backend that becomes idle tells one of the balancers, any of them.
    pub idle_reports: bool,
}

/// One backend, counted out: `a-1`, `a-2` …
#[derive(Clone, Debug, PartialEq)]
pub struct BackendSpec {
    /// Its name.
    pub name: String,
    /// Its weight in the balancer.
    pub weight: u32,
    /// Its model.
    pub model: BackendModel,
}

/// The `[load]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadSpec {
    /// Who generates it.
    pub generator: Generator,
    /// Warm-up, phases and spacing.
    pub shape: LoadShape,
    /// Connections opened in the warm-up.
    pub connections: u32,
    /// Never more than this many.
    pub max_connections: u32,
    /// From a request's intended start to its last byte.
    pub timeout: Duration,
    /// The request's method.
    pub method: String,
    /// The request's path.
    pub path: String,
    /// The keys that requests carry, if they do.
    pub keys: Option<KeyShape>,
}

/// The header field in which a request carries its key.
pub const KEY_FIELD: &str = "x-lab-key";

/// A scenario, all its variants resolved.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Letters, digits, `-` and `_`: it names folders.
    pub name: String,
    /// What it asks.
    pub question: String,
    /// The seed of everything.
    pub seed: u64,
    /// Who plays it.
    pub engine: Engine,
    /// How often each variant is played.
    pub rounds: u32,
    /// The length of a window; already chosen when the scenario leaves it out.
    pub window: Duration,
    /// Whether requests.csv is asked for.
    pub keep_requests: bool,
    /// One or more.
    pub variants: Vec<Variant>,
    /// What is expected.
    pub expectations: Vec<Expectation>,
    /// What the command line changed beyond what was asked, one sentence each, for stderr.
    pub notes: Vec<String>,
    /// The text, as read.
    pub text: String,
    /// The file's path as given, for messages.
    pub file: String,
}

/// One combination of the varied values. Everything but names can differ between variants.
#[derive(Clone, Debug)]
pub struct Variant {
    /// The varied values joined by ", ", or "default".
    pub name: String,
    /// Path and value as written.
    pub parameters: Vec<(String, String)>,
    /// The subject.
    pub proxy: ProxySpec,
    /// At least one.
    pub backends: Vec<BackendSpec>,
    /// Simulator only.
    pub network: Network,
    /// The load.
    pub load: LoadSpec,
    /// The faults.
    pub faults: Vec<Fault>,
}

/// One variant × one round, resolved: what an engine plays.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The variant.
    pub variant: Variant,
    /// From 1.
    pub round: u32,
    /// hash(scenario seed, round): the same for all variants, so that they meet the same load.
    pub seed: u64,
    /// The length of a window.
    pub window: Duration,
    /// The distinct spans of the expectations that concern this variant.
    pub spans: Vec<Span>,
    /// Whether to keep a row for each request.
    pub keep_requests: bool,
}

impl Scenario {
    /// All trials in the order of play: round by round, the variants interleaved.
    pub fn trials(&self) -> Vec<Trial> {
        let rounds = 1..=self.rounds;
        rounds.flat_map(|round| self.variants.iter().map(move |v| self.trial(v, round))).collect()
    }

    fn trial(&self, variant: &Variant, round: u32) -> Trial {
        let concerns = |expectation: &&Expectation| {
            expectation.variant.as_ref().is_none_or(|name| *name == variant.name)
        };
        let mut spans: Vec<Span> =
            self.expectations.iter().filter(concerns).map(|e| e.span).collect();
        spans.sort_unstable();
        spans.dedup();
        Trial {
            variant: variant.clone(),
            round,
            seed: base::rng::mix(self.seed, u64::from(round)),
            window: self.window,
            spans,
            keep_requests: self.keep_requests,
        }
    }
}

impl Trial {
    /// What the recorder must know.
    pub fn plan(&self) -> record::Plan {
        let Variant { name, parameters, proxy, backends, load, .. } = &self.variant;
        let mut from = Duration::ZERO;
        let phases = load.shape.phases.iter().map(|phase| {
            let to = from + phase.duration;
            let span = Span { from, to };
            from = to;
            let rate = (phase.rate, phase.to.unwrap_or(phase.rate));
            PhaseSpan { name: phase.name.clone(), span, rate }
        });
        record::Plan {
            variant: name.clone(),
            parameters: parameters.clone(),
            subject: proxy.kind.word().to_string(),
            generator: None,
            round: self.round,
            warmup: load.shape.warmup,
            phases: phases.collect(),
            window: self.window,
            backends: backends.iter().map(|backend| backend.name.clone()).collect(),
            spans: self.spans.clone(),
            keep_requests: self.keep_requests,
        }
    }

    /// The same for an engine that really sends requests.
    pub fn live_plan(&self) -> record::Plan {
        let generator = self.variant.load.generator.word().to_owned();
        record::Plan { generator: Some(generator), ..self.plan() }
    }

    /// The faults as changes, from the beginning of the warm-up.
    pub fn fault_plan(&self) -> FaultPlan {
        let shape = &self.variant.load.shape;
        FaultPlan::new(&self.variant.faults, shape.warmup, shape.length())
    }
}

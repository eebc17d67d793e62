//! Which variants have more load than their backends can serve, by arithmetic alone: queues then
//! grow for as long as it lasts, and a latency says more of the length of the run than of the
//! strategy. It must not play anything.
//!
//! Judged are the rates of the phases against concurrency over mean service time, summed over the
//! backends; and, where each backend's part is fixed (by weight whatever the load, or in turns), each
//! backend's part against its own. Not judged are variants with faults, which change what backends
//! can do, or with limits, which change what reaches them; nor, by parts, those with ejection, which
//! changes the parts. Retries and hedges only add to the load. A bounded queue or a timeout does not
//! make a backend faster: it decides where the excess ends. A timeout does so only where backends drop
//! what is abandoned: elsewhere the work stays in the queue, for nobody.

use std::collections::BTreeMap;

use config::value::shown;

use crate::model::{BackendSpec, Scenario, SubjectKind, Variant};
use workload::{Abandoned, Phase};

/// How many variants a note lists.
const LISTED: usize = 4;

impl Scenario {
    /// One sentence for each overload, with the variants that have it.
    pub fn overloads(&self) -> Vec<String> {
        let mut found: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut order = Vec::new();
        for variant in &self.variants {
            let Some(sentence) = overload(variant) else { continue };
            if !found.contains_key(&sentence) {
                order.push(sentence.clone());
            }
            found.entry(sentence).or_default().push(&variant.name);
        }
        let named = |sentence: String| {
            let names = &found[&sentence];
            if names.len() == self.variants.len() {
                return sentence;
            }
            let listed = names.iter().take(LISTED).copied().collect::<Vec<_>>().join("; ");
            match names.len().saturating_sub(LISTED) {
                0 => format!("{listed}: {sentence}"),
                more => format!("{listed} and {more} more: {sentence}"),
            }
        };
        order.into_iter().map(named).collect()
    }
}

impl Variant {
    /// Whether all its backends drop the work of clients that have gone: then who waits for less long
    /// lessens what they hold.
    pub fn drops_abandoned(&self) -> bool {
        self.backends.iter().all(|backend| backend.model.abandoned == Abandoned::Drop)
    }

    /// Requests that backends hold at once at the least, those included whose clients have gone,
    /// because more of them come than all backends together can serve; 0 where the load says nothing
    /// of it (faults, limits), or there is room.
    pub fn backlog(&self) -> f64 {
        let Self { proxy, load, backends, .. } = self;
        let direct = proxy.kind == SubjectKind::Direct;
        let limited = !direct && proxy.settings.limits.is_some();
        if !self.faults.is_empty() || limited {
            return 0.0;
        }
        let together: f64 = backends.iter().map(capacity).sum();
        let grows = |phase: &Phase| phase.expected() - together * phase.duration.as_secs_f64();
        let (mut inside, mut piles_up) = (0_f64, 0_f64);
        for phase in &load.shape.phases {
            inside = (inside + grows(phase)).max(0.0);
            piles_up = piles_up.max(inside);
        }
        // Who waits longer has gone, and its work is where backends drop what is abandoned …
        let rates = load.shape.phases.iter().map(|phase| phase.expected());
        let seconds = load.shape.phases.iter().map(|phase| phase.duration.as_secs_f64());
        let fastest = rates.zip(seconds).map(|(all, s)| all / s).fold(0.0, f64::max);
        let timeouts = &proxy.settings.timeout;
        let by_proxy = [timeouts.attempt, timeouts.total].into_iter().flatten().filter(|_| !direct);
        let patience = by_proxy.fold(load.timeout, std::cmp::Ord::min);
        let waiting = (fastest - together).max(0.0) * patience.as_secs_f64();
        // … and who finds a full queue is refused.
        let places = |backend: &BackendSpec| {
            let queue = backend.model.queue.map_or(f64::INFINITY, f64::from);
            queue + f64::from(backend.model.concurrency)
        };
        let drops = |backend: &&BackendSpec| backend.model.abandoned == Abandoned::Drop;
        if backends.iter().any(|backend| drops(&backend)) {
            // Where some do and some do not, all that is too much may be at those that do.
            let held: f64 = backends.iter().filter(drops).map(places).sum();
            return piles_up.min(held).min(waiting);
        }
        piles_up.min(backends.iter().map(places).sum())
    }
}

/// What is wrong with the load of a variant, at its highest.
fn overload(variant: &Variant) -> Option<String> {
    let direct = variant.proxy.kind == SubjectKind::Direct;
    let settings = &variant.proxy.settings;
    if !variant.faults.is_empty() || (!direct && settings.limits.is_some()) {
        return None;
    }
    let phases = variant.load.shape.phases.iter().rev();
    let highest = |rate: f64, to: Option<f64>| rate.max(to.unwrap_or(rate));
    let (phase, rate) = phases
        .map(|phase| (phase, highest(phase.rate, phase.to)))
        .max_by(|a, b| a.1.total_cmp(&b.1))?;
    let offers = format!(
        "phase {} offers {}{} requests/s",
        shown(&phase.name),
        if phase.to.is_some() { "up to " } else { "" },
        figure(rate)
    );
    let together: f64 = variant.backends.iter().map(capacity).sum();
    if rate >= together {
        let (most, why) = served(together, "their");
        return Some(format!(
            "{offers} and the backends together can serve {most} ({why}): queues grow for as long as it \
             lasts{}",
            until(&variant.backends, "they are")
        ));
    }
    if !direct && (settings.ejection.is_some() || !settings.strategy.shares_by_weight()) {
        return None;
    }
    let weight = |backend: &BackendSpec| if direct { 1.0 } else { f64::from(backend.weight) };
    let all: f64 = variant.backends.iter().map(weight).sum();
    let part = |backend: &BackendSpec| rate * weight(backend) / all;
    let mut full = variant.backends.iter().filter(|b| part(b) >= capacity(b)).collect::<Vec<_>>();
    full.sort_by(|a, b| {
        let excess = |b: &BackendSpec| part(b) / capacity(b);
        excess(b).total_cmp(&excess(a))
    });
    let worst = full.first()?;
    let others = match full.len() - 1 {
        0 => String::new(),
        more => format!(" (so it is with {more} more)"),
    };
    let how = if direct { "in turns" } else { "by weight" };
    let (most, why) = served(capacity(worst), "its");
    Some(format!(
        "{offers}, handed out {how} whatever the backends' load: {} gets {} of them and can serve \
         {most}{others} ({why}): its queue grows for as long as it lasts{}",
        worst.name,
        figure(part(worst)),
        until([*worst], "it is")
    ))
}

/// What ends the growth of these backends' queues.
fn until<'a>(
    backends: impl IntoIterator<Item = &'a BackendSpec> + Clone,
    they_are: &str,
) -> String {
    let is_bounded = |backend: &BackendSpec| backend.model.queue.is_some();
    let drops = |backend: &BackendSpec| backend.model.abandoned == Abandoned::Drop;
    let all = || backends.clone().into_iter();
    if let Some(endless) = all().find(|backend| !is_bounded(backend) && !drops(backend)) {
        let place = if all().count() > 1 { format!(" at {}", endless.name) } else { String::new() };
        return format!(",{place} without end, as what is abandoned is finished and waits on");
    }
    match (all().any(is_bounded), all().any(drops)) {
        (true, true) => format!(", until {they_are} full or requests time out"),
        (true, false) => format!(", until {they_are} full"),
        _ => ", until requests time out".to_owned(),
    }
}

/// Requests a second that a backend can serve in the long run.
fn capacity(backend: &BackendSpec) -> f64 {
    f64::from(backend.model.concurrency) / backend.model.service.mean()
}

/// A capacity in words, and where it comes from.
fn served(capacity: f64, whose: &str) -> (String, String) {
    if capacity == 0.0 {
        // A Pareto of shape 1 or less: in the long run its longest services take all the time there is.
        return ("none".to_owned(), format!("{whose} mean service time is infinite"));
    }
    (figure(capacity), "concurrency / mean service time".to_owned())
}

/// Three digits and more, without those that nobody reads.
fn figure(rate: f64) -> String {
    match rate {
        100.0.. => format!("{rate:.0}"),
        1.0.. => format!("{rate:.1}"),
        _ => format!("{rate:.3}"),
    }
}

//! Whether simulated trials fit into the memory that there is, and how many at once. Known before
//! anything is played is what is kept of them, and what must pile up where the load is more than the
//! backends can serve; what is under way besides is bounded while they are played.
//! It must not play anything.

use std::thread;

use record::recorder::MAX_KEPT_REQUESTS;
use scenario::Trial;

use crate::exit::Failure;
use crate::host;

/// A backend's counters at a window's end (80 bytes with the word of its state), held twice while
/// a record is finished.
const SAMPLE_BYTES: u64 = 160;
/// A backend with its place in the pool, in tables and in the simulator.
const BACKEND_BYTES: u64 = 2_000;
/// A span of the expectations while it is recorded: four histograms at most.
const SPAN_BYTES: u64 = 1 << 20;
/// A window's three histograms, packed: as many buckets as requests, up to about this many.
const BUCKETS: f64 = 1_000.0;
/// A bucket in each of them, and what growing leaves unused.
const BUCKET_BYTES: f64 = 3.0 * 16.0 * 2.0;
/// A row of requests.csv, and what growing leaves unused.
const REQUEST_BYTES: f64 = 64.0 * 2.0;
/// Fewer events than this may be to come in any trial, however little memory there is.
const LEAST_PENDING: usize = 1 << 16;

/// What simulated trials may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Trials at once.
    pub(crate) jobs: usize,
    /// Events to come in each of them.
    pub(crate) pending: usize,
}

/// The room for these trials on this machine, `jobs` at once or as many as there are cores and
/// memory for.
pub(crate) fn room(
    file: &str,
    trials: &[(usize, Trial)],
    jobs: Option<u16>,
) -> Result<Room, Failure> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    fit(file, trials, jobs.map(usize::from), cores, host::free_memory())
}

fn fit(
    file: &str,
    trials: &[(usize, Trial)],
    jobs: Option<usize>,
    cores: usize,
    free: Option<u64>,
) -> Result<Room, Failure> {
    let wanted = jobs.unwrap_or(cores).min(trials.len()).max(1);
    let (Some(free), Some(largest)) = (free, trials.iter().max_by_key(|(_, trial)| kept(trial)))
    else {
        return Ok(Room { jobs: wanted, pending: sim::MAX_PENDING });
    };
    let each = kept(&largest.1);
    let fitting = usize::try_from(free / each.max(1)).unwrap_or(usize::MAX);
    // Fewer at once give the same bytes; a number that was asked for is not silently another one.
    let jobs = if jobs.is_some() { wanted } else { wanted.min(fitting).max(1) };
    if fitting < jobs {
        let plan = largest.1.plan();
        let windows = plan.duration().as_nanos().div_ceil(plan.window.as_nanos().max(1));
        return Err(Failure::environment(format!(
            "{file}: the records of {} take some {} ({}: {} backends, read off in {windows} \
             windows{}), and {} of memory are free; write a longer `window`, fewer backends{}{}",
            if jobs == 1 { "a trial".to_owned() } else { format!("{jobs} trials at once") },
            size(each.saturating_mul(jobs as u64)),
            plan.variant,
            plan.backends.len(),
            if plan.keep_requests { ", and each request" } else { "" },
            size(free),
            if plan.keep_requests { ", no rows of requests" } else { "" },
            if jobs > 1 { ", or --jobs 1" } else { "" },
        )));
    }
    let left = (free - each * jobs as u64) / jobs as u64 / sim::PENDING_BYTES as u64;
    let left = usize::try_from(left).unwrap_or(usize::MAX);
    let room = Room { jobs, pending: left.clamp(LEAST_PENDING, sim::MAX_PENDING) };
    match trials.iter().find(|(_, trial)| trial.variant.backlog() > room.pending as f64) {
        None => Ok(room),
        Some((_, trial)) => Err(too_much(file, trial, room)),
    }
}

/// Each request that waits or is served counts as an event to come.
fn too_much(file: &str, trial: &Trial, room: Room) -> Failure {
    // Where backends finish what is abandoned, clients that leave do not make it less.
    let drops = trial.variant.drops_abandoned();
    Failure::environment(format!(
        "{file}: {} offers more than its backends can serve, and {:.0} requests would be inside at \
         once, where {} is all that memory should hold; lower the rate{}, bound the backends' \
         queues{}, or give them more concurrency{}",
        trial.variant.name,
        trial.variant.backlog(),
        room.pending,
        if drops { ", the phases or load.timeout" } else { " or the phases" },
        if drops { "" } else { ", let them drop what is abandoned (abandoned = \"drop\")" },
        if room.jobs > 1 { ", or --jobs 1" } else { "" },
    ))
}

/// Bytes that the record of a trial takes, before its first event is played.
fn kept(trial: &Trial) -> u64 {
    let shape = &trial.variant.load.shape;
    let measured = shape.length() - shape.warmup;
    let windows = measured.as_nanos().div_ceil(trial.window.as_nanos().max(1));
    let windows = u64::try_from(windows).unwrap_or(u64::MAX);
    let backends = trial.variant.backends.len() as u64;
    let requests: f64 = shape.phases.iter().map(|phase| phase.expected()).sum();
    let buckets = (requests / windows.max(1) as f64).clamp(1.0, BUCKETS);
    let rows = if trial.keep_requests { requests.min(MAX_KEPT_REQUESTS as f64) } else { 0.0 };
    let samples = windows.saturating_add(2).saturating_mul(backends).saturating_mul(SAMPLE_BYTES);
    samples
        .saturating_add(backends * BACKEND_BYTES)
        .saturating_add((trial.spans.len() as u64 + 1) * SPAN_BYTES)
        .saturating_add((windows as f64 * buckets * BUCKET_BYTES) as u64)
        .saturating_add((rows * REQUEST_BYTES) as u64)
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        1_000_000_000.. => format!("{:.1} GB", bytes as f64 / 1e9),
        _ => format!("{:.0} MB", bytes as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use policy::Registry;
    use scenario::Overrides;

    use super::*;

    const GB: u64 = 1_000_000_000;

    /// Two trials of so many backends and windows.
    fn trials(backends: u32, windows: u32, requests: bool) -> Vec<(usize, Trial)> {
        trials_with(backends, windows, requests, "finish")
    }

    fn trials_with(
        backends: u32,
        windows: u32,
        requests: bool,
        abandoned: &str,
    ) -> Vec<(usize, Trial)> {
        let text = format!(
            "name = \"x\"\nquestion = \"?\"\nrounds = 2\nwindow = \"1s\"\n\
             [record]\nrequests = {requests}\n[proxy]\nstrategy = \"random\"\n\
             [[backends]]\nname = \"a\"\ncount = {backends}\nabandoned = \"{abandoned}\"\n\
             service = {{ distribution = \"constant\", value = \"1ms\" }}\n\
             [load]\n[[load.phases]]\nduration = \"{windows}s\"\nrate = 1000\n"
        );
        let none = |_: &str| Err(std::io::ErrorKind::NotFound.into());
        let (overrides, registry) = (Overrides::default(), Registry::standard());
        let scenario = scenario::parse("x.toml", &text, &overrides, &registry, &none);
        scenario.expect("valid").trials().into_iter().enumerate().collect()
    }

    #[test]
    fn a_backlog_that_memory_cannot_hold_is_refused() {
        // 100 million come, and 3.2 million are served.
        let all = "96800000 requests would be inside";
        for (abandoned, timeout_ms, wanted, help) in [
            (
                "finish",
                1_000_000_000,
                all,
                "the rate or the phases, bound the backends' queues, let",
            ),
            ("finish", 10, all, "(abandoned = \"drop\"), or give them more concurrency"),
            (
                "drop",
                1_000_000_000,
                all,
                "the rate, the phases or load.timeout, bound the backends'",
            ),
            ("drop", 10, "it fits", ""),
        ] {
            let mut trials = trials_with(10, 10, false, abandoned);
            for (_, trial) in &mut trials {
                let load = &mut trial.variant.load;
                load.timeout = std::time::Duration::from_millis(timeout_ms);
                load.shape.phases[0].rate = 1e7;
                trial.variant.backends.iter_mut().for_each(|backend| backend.model.queue = None);
            }
            let found = match fit("x.toml", &trials, Some(1), 2, Some(40 * GB)) {
                Ok(_) => "it fits".to_owned(),
                Err(failure) => failure.lines[0].clone(),
            };
            assert!(found.contains(wanted) && found.contains(help), "{abandoned}: {found}");
        }
    }

    #[test]
    fn trials_fit_or_are_refused_with_what_to_do() {
        let small = trials(10, 10, false);
        // 20,000 × 5,000 × 160 bytes: 16 GB each.
        let large = trials(20_000, 5_000, false);
        let full = Room { jobs: 2, pending: sim::MAX_PENDING };
        for (trials, jobs, free, wanted) in [
            (&small, None, Some(40 * GB), Ok(full)),
            (&small, None, None, Ok(full)),
            (&small, Some(1), Some(40 * GB), Ok(Room { jobs: 1, ..full })),
            (&small, Some(99), Some(40 * GB), Ok(full)),
            // Too little for as much as could be under way: less may be.
            (&small, Some(1), Some(2 * GB), Ok(Room { jobs: 1, pending: 997_000 })),
            (&small, None, Some(50_000_000), Ok(Room { jobs: 2, pending: LEAST_PENDING })),
            (&large, None, Some(80 * GB), Ok(full)),
            (&large, None, Some(30 * GB), Ok(Room { jobs: 1, pending: 6_720_000 })),
            (
                &large,
                Some(2),
                Some(30 * GB),
                Err("x.toml: the records of 2 trials at once take some 33."),
            ),
            (&large, None, Some(10 * GB), Err("x.toml: the records of a trial take some 16.")),
        ] {
            let found = fit("x.toml", trials, jobs, 2, free);
            match (found, wanted) {
                (Ok(found), Ok(wanted)) => {
                    assert_eq!(found.jobs, wanted.jobs, "{jobs:?} {free:?}");
                    let off = found.pending.abs_diff(wanted.pending);
                    assert!(off * 50 < wanted.pending, "{jobs:?} {free:?}: {found:?}");
                }
                (Err(found), Err(wanted)) => {
                    assert!(found.lines[0].starts_with(wanted), "{}", found.lines[0]);
                    assert!(found.lines[0].contains("20000 backends, read off in 5000 windows)"));
                    assert_eq!(found.lines[0].contains("--jobs 1"), jobs.is_some());
                }
                (found, wanted) => panic!("{jobs:?} {free:?}: {found:?}, not {wanted:?}"),
            }
        }
        let rows = fit("x.toml", &trials(10, 10_000, true), Some(2), 2, Some(2 * GB));
        let message = &rows.expect_err("10 million rows in each").lines[0];
        assert!(message.contains("and each request") && message.contains("no rows of requests"));
    }
}

//! How many of the descriptors that this process may open are for clients. It must not open one.

use rustix::process::{Resource, getrlimit};

/// What the process needs for itself: its streams, listeners, runtimes, signals, files, the admin
/// API's callers. And what each worker adds.
const OWN: u64 = 24;
const OWN_PER_WORKER: u64 = 8;

/// The most connections of clients that each worker may hold. As many again are left for what their
/// requests need: were they all held by clients, no request could be sent to any backend.
pub(crate) fn clients_per_worker(workers: u32) -> usize {
    share(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), workers)
}

fn share(allowed: u64, workers: u32) -> usize {
    let workers = u64::from(workers.max(1));
    let free = allowed.saturating_sub(OWN + OWN_PER_WORKER * workers);
    usize::try_from(free / 2 / workers).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_what_is_free_is_for_clients() {
        for (allowed, workers, expected) in [
            (64, 1, 16),
            (1024, 1, 496),
            (1024, 4, 121),
            (1_048_576, 1, 524_272),
            (0, 1, 1),
            (64, 100, 1),
        ] {
            assert_eq!(share(allowed, workers), expected, "{allowed} for {workers}");
        }
        assert!(clients_per_worker(1) > 1);
    }
}

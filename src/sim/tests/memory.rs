//! The memory of a trial: what is alive at most must not grow with the number of requests.
//! It is a file of its own with a single test, because it counts what the whole process allocates.

#![allow(missing_docs, unreachable_pub)]
#![allow(unsafe_code)] // an allocator cannot be written without; this one only counts

#[allow(dead_code)] // each test crate uses a part of it
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base::Stop;
use record::Recorder;
use scenario::Trial;
use support::*;
use workload::FaultKind;

/// The system's allocator, with a count of the bytes that are alive and of the most there were.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(live, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of the system's allocator.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above, and the pointer came from there.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// How many bytes are alive at most beyond those before, and how many requests were played.
fn peak(trial: &Trial) -> (usize, u64) {
    let before = LIVE.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let mut recorder = Recorder::new(trial.plan());
    sim::play(trial, &mut recorder, &Stop::default()).expect("the trial is sane");
    let peak = PEAK.load(Ordering::Relaxed) - before;
    (peak, recorder.finish().counts().intended)
}

/// A load whose clients would wait for more than a day, and one request that does: the backend
/// that has it hangs to the end, so that the first of all deadlines stands before all others.
fn patient(seconds: u64) -> Trial {
    let mut trial = support::trial("p2c", 8, constant(1), 4_000.0, seconds);
    trial.variant.load.timeout = Duration::from_secs(100_000);
    trial.variant.proxy.settings.timeout.attempt = Some(Duration::from_secs(90_000));
    trial.variant.faults = vec![fault(0, seconds * 1_000, &[0], FaultKind::Hang)];
    // One: a window stays open while one of its requests hangs, and in how many one does is luck.
    trial.window = Duration::from_secs(seconds);
    trial.keep_requests = false;
    trial
}

#[test]
fn twenty_times_the_requests_take_no_more_memory() {
    let (short, few) = peak(&patient(250));
    let (long, many) = peak(&patient(5_000));
    assert!(many > 19 * few && few > 990_000, "{few} and {many} requests");
    // A fifth more is luck: how many wait at once at most. A deadline of 40 bytes for each of
    // 19 million requests would be 760 MB more.
    assert!(long < short + short / 5, "{few} requests take {short} bytes, {many} take {long}");
}

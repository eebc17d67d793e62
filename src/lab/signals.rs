//! Signals as a request to stop. It must not end anything itself, except at the second one.

use std::thread;

use base::Stop;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::say::tell;

/// From now on SIGHUP, SIGINT and SIGTERM raise the flag; the second one ends the process at once
/// (children follow, because their lifeline breaks).
pub(crate) fn install() -> Result<Stop, Failure> {
    let stop = Stop::default();
    on_signal({
        let stop = stop.clone();
        move |number| {
            if stop.is_raised() {
                std::process::exit(i32::from(Exit::Interrupted(number).code()));
            }
            stop.raise(number);
            tell!("Stopping, once all is put away. Once more to leave at once.");
        }
    })?;
    Ok(stop)
}

/// Calls `act` with the number of each SIGHUP, SIGINT and SIGTERM, on a thread of its own.
/// The handlers are in place when it returns.
pub(crate) fn on_signal(mut act: impl FnMut(i32) + Send + 'static) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(Exit::Internal, format!("signal handlers cannot be installed: {error}"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(failed)?;
    let (mut hangup, mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::hangup()).map_err(failed)?,
            signal(SignalKind::interrupt()).map_err(failed)?,
            signal(SignalKind::terminate()).map_err(failed)?,
        )
    };
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            runtime.block_on(async {
                loop {
                    let kind = tokio::select! {
                        _ = hangup.recv() => SignalKind::hangup(),
                        _ = interrupt.recv() => SignalKind::interrupt(),
                        _ = terminate.recv() => SignalKind::terminate(),
                    };
                    act(kind.as_raw_value());
                }
            });
        })
        .map_err(failed)?;
    Ok(())
}

//! What `lab proxy` and `lab backends` share: clock, lifeline, ready line, end. It must not know
//! what they serve.

use std::panic;
use std::sync::mpsc;

use base::Clock;

use crate::cli::ChildArgs;
use crate::exit::{Exit, Failure};
use crate::say::say;
use crate::signals;

/// The clock to serve by; from here on the process ends when its parent does.
pub(crate) fn begin(args: &ChildArgs) -> Result<Clock, Failure> {
    if let Some(fd) = args.lifeline {
        live::lifeline::watch(fd).map_err(|error| {
            Failure::environment(format!("--lifeline {fd}: {error}; it is for lab's own children"))
        })?;
    }
    live::load::limits::Limits::raise_and_read().map_err(|error| {
        Failure::environment(format!("the limit of open files cannot be read: {error}"))
    })?;
    // A server that has lost a thread answers nobody on it: better none, so that the parent knows.
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |what| {
        report(what);
        std::process::exit(i32::from(Exit::Internal.code()));
    }));
    Ok(args.epoch.map_or_else(Clock::start, Clock::from_epoch_ns))
}

/// Prints the ready line and waits until a signal asks for the end. SIGHUP does too, unless there is
/// something to do `on_hangup`.
pub(crate) fn serve(
    ready: &impl serde::Serialize,
    mut on_hangup: Option<&mut dyn FnMut()>,
) -> Result<(), Failure> {
    const SIGHUP: i32 = 1;
    let (asked, end) = mpsc::channel();
    signals::on_signal(move |number| {
        // The receiver is gone once the end is on its way.
        let _ = asked.send(number);
    })?;
    let line = serde_json::to_string(ready)
        .map_err(|error| Failure::new(Exit::Internal, format!("the ready line: {error}")))?;
    say!("{line}");
    loop {
        let signal = end.recv();
        let signal = signal
            .map_err(|_| Failure::new(Exit::Internal, "the signal thread ended".to_owned()))?;
        match on_hangup.as_mut() {
            Some(act) if signal == SIGHUP => act(),
            _ => return Ok(()),
        }
    }
}

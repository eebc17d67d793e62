//! `lab proxy`: a load balancer that can be used without the lab. It must not know scenarios.

use config::ProxyConfig;
use policy::Registry;

use crate::cli::ProxyArgs;
use crate::commands::{child, load};
use crate::exit::{Exit, Failure};
use crate::say::say;

/// Serves `args.config` until SIGTERM, SIGINT or SIGHUP, then drains.
pub(crate) fn proxy(args: &ProxyArgs) -> Result<Exit, Failure> {
    let text = load::text(&args.config).map_err(|problem| Failure::problems(&[problem]))?;
    let file = args.config.display().to_string();
    let config = ProxyConfig::parse(&file, &text, &Registry::standard())
        .map_err(|problems| Failure::problems(&problems))?;
    if args.check {
        say!("{file}: valid");
        return Ok(Exit::Good);
    }
    let clock = child::begin(&args.child)?;
    let running = proxy::start(config, clock)
        .map_err(|error| Failure::environment(format!("{file}: {error}")))?;
    child::serve(&running.ready())?;
    running.stop();
    running.wait();
    Ok(Exit::Good)
}

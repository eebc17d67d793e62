//! `lab backends`: fake servers for anything that wants servers. It must not know scenarios.

use config::BackendsConfig;

use crate::cli::BackendsArgs;
use crate::commands::{child, load};
use crate::exit::{Exit, Failure};

/// Serves `args.config` until SIGTERM, SIGINT or SIGHUP.
pub(crate) fn backends(args: &BackendsArgs) -> Result<Exit, Failure> {
    let text = load::text(&args.config).map_err(|problem| Failure::problems(&[problem]))?;
    let file = args.config.display().to_string();
    let folder = args.config.parent().map(std::path::Path::to_owned).unwrap_or_default();
    let config = BackendsConfig::parse(&file, &text, &|name| load::bounded(&folder.join(name)))
        .map_err(|problems| Failure::problems(&problems))?;
    let clock = child::begin(&args.child)?;
    let running = fakebackends::start(config, clock)
        .map_err(|error| Failure::environment(format!("{file}: {error}")))?;
    child::serve(&running.ready(), None)?;
    running.stop();
    running.wait();
    Ok(Exit::Good)
}

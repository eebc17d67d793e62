//! `lab proxy`: a load balancer that can be used without the lab. It must not know scenarios.

use std::path::Path;

use config::{Problem, ProxyConfig};
use policy::Registry;
use proxy::Running;

use crate::cli::ProxyArgs;
use crate::commands::{child, load};
use crate::exit::{Exit, Failure};
use crate::say::{say, tell};

/// Serves `args.config` until SIGTERM or SIGINT, then drains. SIGHUP reads the file again; that of a
/// proxy which `lab` itself started is the lab's, and there SIGHUP is the end too.
pub(crate) fn proxy(args: &ProxyArgs) -> Result<Exit, Failure> {
    let file = args.config.display().to_string();
    let config = read(&args.config).map_err(|problems| Failure::problems(&problems))?;
    if args.check {
        proxy::check(&config).map_err(|error| Failure::environment(format!("{file}: {error}")))?;
        say!("{file}: valid");
        return Ok(Exit::Good);
    }
    let clock = child::begin(&args.child)?;
    let running = proxy::start(config, clock)
        .map_err(|error| Failure::environment(format!("{file}: {error}")))?;
    let mut reload = || reload(&args.config, &running);
    let by_lab = args.child.lifeline.is_some();
    child::serve(&running.ready(), if by_lab { None } else { Some(&mut reload) })?;
    running.stop();
    running.wait();
    Ok(Exit::Good)
}

fn read(path: &Path) -> Result<ProxyConfig, Vec<Problem>> {
    let text = load::text(path).map_err(|problem| vec![problem])?;
    ProxyConfig::parse(&path.display().to_string(), &text, &Registry::standard())
}

/// Puts what is in the file now in force, or tells why not.
fn reload(path: &Path, running: &Running) {
    let file = path.display();
    let complaints: Vec<String> = match read(path) {
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
        Ok(config) => match running.reload(config) {
            // The proxy's own log has said what changed.
            Ok(_) => return,
            Err(error) => vec![format!("{file}: {error}")],
        },
    };
    for complaint in complaints {
        tell!("{complaint}");
    }
    tell!("{file}: not reloaded, nothing has changed");
}

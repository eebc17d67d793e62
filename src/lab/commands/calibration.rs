//! Where this machine's calibration lies, and which one a run takes. It must not measure one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use record::Calibration;
use scenario::{Engine, Scenario};

use crate::about::build;
use crate::exit::Failure;
use crate::host;
use crate::say::tell;

/// Where it lies unless somebody says otherwise, after the XDG Base Directory Specification: data of
/// the user, which no program can make again by itself.
pub(crate) fn default_path() -> Result<PathBuf, Failure> {
    below_home(&|name| std::env::var_os(name)).ok_or_else(|| {
        Failure::environment(
            "neither XDG_DATA_HOME nor HOME is an absolute path, so a calibration has no place of its \
             own; name the file (lab calibrate --out FILE, lab run --calibration FILE)",
        )
    })
}

fn below_home(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    // The specification wants relative paths to be ignored.
    let absolute = |name| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")));
    Some(data?.join("lab/calibration.json"))
}

/// What a run simulates with: the file that was given; of both engines else the stored one, if it is
/// of this machine and program; else nothing. `simulates` tells whether there is a simulation at all.
pub(crate) fn of_run(
    given: Option<&Path>,
    both: bool,
    simulates: bool,
) -> Result<Option<Calibration>, Failure> {
    let load = |path: &Path| Calibration::load(path, &build(), &host::describe());
    match given {
        Some(path) if !simulates => Err(Failure::invalid(format!(
            "--calibration {}: it is for simulations, and this run is live; add --engine sim, or \
             --engine both",
            path.display()
        ))),
        Some(path) => load(path).map(Some).map_err(|error| Failure::invalid(error.to_string())),
        None if both => {
            let found = default_path()
                .and_then(|path| load(&path).map_err(|error| Failure::invalid(error.to_string())));
            Ok(found.map_err(|failure| without(&failure)).ok())
        }
        None => Ok(None),
    }
}

/// What a sweep simulates with. It stands in for the machine that was measured, and its shards are played
/// anywhere: in an array, each task may have another machine, or another share of it.
pub(crate) fn of_sweep(given: Option<&Path>) -> Result<Option<Calibration>, Failure> {
    let Some(path) = given else { return Ok(None) };
    let found = Calibration::load_of_any(path, &build())
        .map_err(|error| Failure::invalid(error.to_string()))?;
    if let Some(difference) = found.strange(&host::describe()) {
        tell!(
            "{}: {difference}; what is simulated is the machine that was measured, wherever a shard is \
             played",
            path.display()
        );
    }
    Ok(Some(found))
}

/// Tells what is added to simulations of these scenarios, and where it was measured under another load.
pub(crate) fn tell_of<'a>(found: &Calibration, scenarios: impl Iterator<Item = &'a Scenario>) {
    /// A proxy that is so much busier takes another time: it hardly sleeps.
    const BUSIER: f64 = 2.0;
    tell!("In the simulation {}.", found.sentence());
    let measured = found.load.rate;
    for scenario in scenarios.filter(|scenario| scenario.engine == Engine::Sim) {
        let phases = scenario.variants.iter().flat_map(|variant| &variant.load.shape.phases);
        let most = phases.map(|phase| phase.rate.max(phase.to.unwrap_or(0.0))).fold(0.0, f64::max);
        if most > BUSIER * measured {
            tell!(
                "{}: up to {most:.0} requests/s, and what a request takes was measured at {measured:.0}: \
                 the busier the machine, the less it fits",
                scenario.name
            );
        }
    }
}

/// One that is not there is no error of a run that nobody has promised one.
fn without(failure: &Failure) {
    let why = failure.lines.join(" ");
    tell!("Simulated without the overhead of this machine: {why}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lies_where_the_specification_says() {
        for (data, home, wanted) in [
            (Some("/data"), Some("/home/a"), Some("/data/lab/calibration.json")),
            (None, Some("/home/a"), Some("/home/a/.local/share/lab/calibration.json")),
            (Some(""), Some("/home/a"), Some("/home/a/.local/share/lab/calibration.json")),
            (Some("data"), Some("/home/a"), Some("/home/a/.local/share/lab/calibration.json")),
            (None, Some("home"), None),
            (None, None, None),
        ] {
            let found = below_home(&|name| {
                let value = if name == "HOME" { home } else { data };
                value.map(OsString::from)
            });
            assert_eq!(found.as_deref(), wanted.map(Path::new), "{data:?} {home:?}");
        }
    }
}

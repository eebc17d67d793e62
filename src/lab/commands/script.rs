//! The job files of a sweep, for schedulers that others have written. It must not play anything.
//!
//! For Slurm a shell script that submits an array and the merge behind it; for Kubernetes a list of
//! objects in JSON, which is made by a library and so quoted right.

use std::path::Path;

use record::Calibration;
use scenario::Scenario;
use serde_json::{Value, json};

use crate::cli::{ScriptArg, SweepArgs};
use crate::commands::{calibration, load, overrides};
use crate::exit::{Exit, Failure};

/// A ConfigMap holds no more than this, all of its object together (the limit of etcd is 1.5 MiB,
/// Kubernetes' own 1 MiB).
const MAX_CONFIG_BYTES: usize = 1_000_000;
/// How long the name of a file in it may be.
const MAX_KEY: usize = 253;
/// What a calibration is called there.
const CALIBRATION: &str = "calibration.json";
/// How long the merge waits for all parts, seconds: a day.
const PATIENCE_S: u64 = 86_400;
/// How often Kubernetes plays a failed shard again.
const BACKOFF_PER_INDEX: u32 = 2;

/// The files' text, for `shards` shards.
pub(crate) fn script(kind: ScriptArg, args: &SweepArgs, shards: u32) -> Result<String, Failure> {
    let (scenario, inputs) = load::simulated(&args.file, &overrides::overrides(&args.changes)?)?;
    // Before any task waits for its turn to find the same.
    let calibration = calibration::of_sweep(args.calibration.as_deref())?;
    match kind {
        ScriptArg::Slurm => slurm(args, &scenario, shards),
        ScriptArg::Kubernetes => {
            let file = args.file.display();
            if let Some(name) = inputs.keys().next() {
                return Err(Failure::invalid(format!(
                    "{file}: it reads {name}, which its pods do not have; write the values into \
                     the scenario"
                )));
            }
            let name = args.file.file_name().unwrap_or_default().to_string_lossy();
            if !is_key(&name) || name == CALIBRATION {
                return Err(Failure::invalid(format!(
                    "{file}: a ConfigMap holds it by its name, which must be of letters, digits, -, _ \
                     and . alone and not {CALIBRATION}; rename the file"
                )));
            }
            let calibration = calibration.as_ref().map(text).transpose()?;
            let bytes = scenario.text.len() + calibration.as_ref().map_or(0, String::len);
            if bytes > MAX_CONFIG_BYTES {
                return Err(Failure::invalid(format!(
                    "{file}: {bytes} bytes, the calibration's among them, are more than the \
                     {MAX_CONFIG_BYTES} that a ConfigMap can bring to its pods"
                )));
            }
            let list = kubernetes(args, &scenario, calibration.as_deref(), shards);
            Ok(format!("{list:#}\n"))
        }
    }
}

/// As short as it can be: a ConfigMap has little room.
fn text(calibration: &Calibration) -> Result<String, Failure> {
    serde_json::to_string(calibration)
        .map_err(|error| Failure::new(Exit::Internal, error.to_string()))
}

/// What every task is given besides file and shard. The calibration lies where tasks find it.
fn options(args: &SweepArgs, calibration: Option<&Path>) -> Vec<String> {
    let mut options = overrides::arguments(&args.changes);
    if let Some(file) = calibration {
        options.extend(["--calibration".to_owned(), file.display().to_string()]);
    }
    // A task has the processors that it asked for, and no terminal.
    options.extend(["--jobs".to_owned(), args.pace.jobs.unwrap_or(1).to_string()]);
    options.push("--quiet".to_owned());
    options
}

fn slurm(args: &SweepArgs, scenario: &Scenario, shards: u32) -> Result<String, Failure> {
    let lab = std::env::current_exe().map_err(|error| {
        Failure::environment(format!("lab cannot find its own program: {error}"))
    })?;
    let name = &scenario.name;
    let options = options(args, args.calibration.as_deref());
    let options: Vec<String> = options.iter().map(|word| quoted(word)).collect();
    Ok(format!(
        r#"#!/bin/sh
# Plays {name} in {shards} shards under Slurm, and merges them. Submit it from here:
#     sh FILE
# When shards have failed (the merge names them), play those again:
#     sh FILE 1,3
# The folder must be shared by all nodes, and lab lie at the same place on each.
set -eu
lab=${{LAB:-{lab}}}
shards={shards}
scenario={scenario}
parts={parts}
merged={merged}
export lab shards scenario parts merged

mkdir -p "$parts"
array=$(sbatch --parsable --job-name={job} --array="${{1:-0-$((shards - 1))}}" \
    --ntasks=1 --cpus-per-task={jobs} --output="$parts/shard-%a.log" <<'TASK'
#!/bin/sh
exec "$lab" sweep "$scenario" --shard "$SLURM_ARRAY_TASK_ID/$shards" \
    --out "$parts/part-$SLURM_ARRAY_TASK_ID" {options}
TASK
)
array=${{array%%;*}}
# Behind all tasks, failed ones too: what is missing is named by the merge, and nothing is made.
merge=$(sbatch --parsable --job-name={merge_job} --dependency="afterany:$array" \
    --ntasks=1 --cpus-per-task=1 --output="$parts/merge.log" <<'TASK'
#!/bin/sh
exec "$lab" merge "$parts"/part-* --out "$merged"
TASK
)
echo "array $array, merge ${{merge%%;*}}; logs in $parts, result in $merged"
"#,
        lab = quoted(&lab.display().to_string()),
        scenario = quoted(&args.file.display().to_string()),
        parts = quoted(&format!("parts-{name}")),
        merged = quoted(&format!("merged-{name}")),
        job = quoted(name),
        merge_job = quoted(&format!("{name}-merge")),
        jobs = args.pace.jobs.unwrap_or(1),
        options = options.join(" "),
    ))
}

fn kubernetes(
    args: &SweepArgs,
    scenario: &Scenario,
    calibration: Option<&str>,
    shards: u32,
) -> Value {
    let name = object_name(&scenario.name);
    let file = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let file = Path::new("/scenario").join(file).display().to_string();
    let image = format!("lab:{}", env!("CARGO_PKG_VERSION"));
    let mut sweep = vec!["lab".to_owned(), "sweep".to_owned(), file.clone()];
    sweep.extend(["--shards".to_owned(), shards.to_string()]);
    let calibration_file = calibration.map(|_| Path::new("/scenario").join(CALIBRATION));
    sweep.extend(options(args, calibration_file.as_deref()));
    // A part appears when it is whole, so that counting them is enough; when the patience is over
    // the merge names what is missing.
    let merge = format!(
        "i=0; while [ \"$(ls | grep -c '^part-[0-9]*$')\" -lt {shards} ] && [ $i -lt {turns} ]; do \
         sleep 5; i=$((i + 1)); done; exec lab merge part-* --out merged",
        turns = PATIENCE_S / 5,
    );
    let pod = |command: Vec<String>| {
        json!({ "spec": {
            "restartPolicy": "Never",
            "containers": [{
                "name": "lab",
                "image": image,
                "workingDir": "/parts",
                "command": command,
                "resources": { "requests": { "cpu": args.pace.jobs.unwrap_or(1).to_string() } },
                "volumeMounts": [
                    { "name": "parts", "mountPath": "/parts" },
                    { "name": "scenario", "mountPath": "/scenario" },
                ],
            }],
            "volumes": [
                { "name": "parts", "persistentVolumeClaim": { "claimName": format!("{name}-parts") } },
                { "name": "scenario", "configMap": { "name": format!("{name}-scenario") } },
            ],
        } })
    };
    let mut data = json!({ file.trim_start_matches("/scenario/"): scenario.text });
    if let Some(text) = calibration {
        data[CALIBRATION] = text.into();
    }
    json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "v1", "kind": "ConfigMap",
          "metadata": { "name": format!("{name}-scenario") },
          "data": data },
        { "apiVersion": "v1", "kind": "PersistentVolumeClaim",
          "metadata": { "name": format!("{name}-parts") },
          "spec": {
              "accessModes": ["ReadWriteMany"],
              "resources": { "requests": { "storage": "1Gi" } } } },
        { "apiVersion": "batch/v1", "kind": "Job",
          "metadata": { "name": format!("{name}-sweep") },
          "spec": {
              "completionMode": "Indexed",
              "completions": shards,
              "parallelism": shards,
              "backoffLimitPerIndex": BACKOFF_PER_INDEX,
              "template": pod(sweep) } },
        { "apiVersion": "batch/v1", "kind": "Job",
          "metadata": { "name": format!("{name}-merge") },
          "spec": {
              "backoffLimit": 0,
              "template": pod(["sh", "-c", &merge].map(str::to_owned).to_vec()) } },
    ] })
}

/// The longest name of which a label with our suffixes can be made.
const MAX_OBJECT_NAME: usize = 40;

/// A name as Kubernetes wants it: small letters, digits and hyphens, a letter or digit at the ends.
fn object_name(name: &str) -> String {
    let small = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = name.chars().map(small).take(MAX_OBJECT_NAME).collect();
    let name = name.trim_matches('-');
    if name.is_empty() { "lab".to_owned() } else { name.to_owned() }
}

/// Whether a ConfigMap can hold something by this name.
fn is_key(name: &str) -> bool {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=MAX_KEY).contains(&name.len()) && name.chars().all(is_allowed)
}

/// As a shell needs it.
fn quoted(word: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_./=,:@%+".contains(c);
    if !word.is_empty() && word.chars().all(safe) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_names_are_what_their_readers_take() {
        for (word, wanted) in [
            ("proxy.strategy=p2c", "proxy.strategy=p2c"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
        ] {
            assert_eq!(quoted(word), wanted);
        }
        for (name, wanted) in
            [("failover", "failover"), ("Many_Balancers-2_", "many-balancers-2"), ("__", "lab")]
        {
            assert_eq!(object_name(name), wanted);
        }
        assert_eq!(object_name(&"a".repeat(99)).len(), MAX_OBJECT_NAME);
        for (name, wanted) in [
            ("split_2-a.toml", true),
            ("", false),
            ("my scenario.toml", false),
            ("größe.toml", false),
            (&"a".repeat(MAX_KEY + 1), false),
        ] {
            assert_eq!(is_key(name), wanted, "{name}");
        }
    }
}

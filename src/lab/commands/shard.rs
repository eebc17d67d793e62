//! Which shard this process plays, by option or by what an array of tasks tells its members.
//! It must not know what is in a shard.

use std::fmt::Display;

use record::Shard;
use record::part::MAX_SHARDS;

use crate::exit::Failure;

/// How a scheduler tells a task its place.
struct Array {
    /// The index's variable.
    index: &'static str,
    /// Where the array begins.
    first: First,
    /// How many tasks there are.
    count: Count,
}

enum First {
    /// Always at this number.
    At(u64),
    /// At the value of this variable.
    Told(&'static str),
}

enum Count {
    /// Nobody tells: `--shards` must.
    Untold,
    /// The value of this variable.
    Told(&'static str),
    /// From the first index to the value of this variable.
    UpTo(&'static str),
}

/// The schedulers that are known, in the order in which they are asked. With several of them
/// nested the outer one wins, which is the one that a person wrote the array for.
const ARRAYS: [(Array, Option<&str>); 11] = [
    (
        Array {
            index: "SLURM_ARRAY_TASK_ID",
            first: First::Told("SLURM_ARRAY_TASK_MIN"),
            count: Count::Told("SLURM_ARRAY_TASK_COUNT"),
        },
        Some("SLURM_ARRAY_TASK_STEP"),
    ),
    (from_zero("JOB_COMPLETION_INDEX", Count::Untold), None),
    (from_zero("AWS_BATCH_JOB_ARRAY_INDEX", Count::Told("AWS_BATCH_JOB_ARRAY_SIZE")), None),
    // PBS begins where `-J` says and tells nobody: it has to be 0.
    (from_zero("PBS_ARRAY_INDEX", Count::Untold), None),
    // LSF has no index 0: that is a job that is no array.
    (
        Array {
            index: "LSB_JOBINDEX",
            first: First::At(1),
            count: Count::UpTo("LSB_JOBINDEX_END"),
        },
        Some("LSB_JOBINDEX_STEP"),
    ),
    (
        Array {
            index: "SGE_TASK_ID",
            first: First::Told("SGE_TASK_FIRST"),
            count: Count::UpTo("SGE_TASK_LAST"),
        },
        Some("SGE_TASK_STEPSIZE"),
    ),
    (from_zero("BATCH_TASK_INDEX", Count::Told("BATCH_TASK_COUNT")), None),
    (from_zero("CLOUD_RUN_TASK_INDEX", Count::Told("CLOUD_RUN_TASK_COUNT")), None),
    (from_zero("HQ_TASK_ID", Count::Untold), None),
    (from_zero("NOMAD_ALLOC_INDEX", Count::Untold), None),
    (Array { index: "PARALLEL_SEQ", first: First::At(1), count: Count::Untold }, None),
];

const fn from_zero(index: &'static str, count: Count) -> Array {
    Array { index, first: First::At(0), count }
}

/// The shard of `--shard I/N`, or of the environment with or without `--shards N`.
pub(crate) fn shard(
    given: Option<&str>,
    shards: Option<&str>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Shard, Failure> {
    if let Some(text) = given {
        let (index, of) = text.split_once('/').ok_or_else(|| {
            wrong("--shard", text, "write index and number, for example --shard 0/3")
        })?;
        return checked("--shard", text, number("--shard", index)?, number("--shard", of)?);
    }
    let shards = shards.map(count).transpose()?.map(u64::from);
    let set = |name: &str| environment(name).filter(|value| !value.is_empty());
    let is_array = |index: &str, value: &str| match index {
        "SGE_TASK_ID" => value != "undefined",
        "LSB_JOBINDEX" => value != "0",
        _ => true,
    };
    let found = ARRAYS.iter().find_map(|(array, step)| {
        let value = set(array.index).filter(|value| is_array(array.index, value))?;
        Some((array, *step, value))
    });
    match found {
        Some((array, step, value)) => of_array(array, step, &value, shards, &set),
        None => Err(Failure::usage(
            "which shard? Write --shard I/N (I from 0 to N - 1), or run as a task of an array, \
             which sets SLURM_ARRAY_TASK_ID, JOB_COMPLETION_INDEX or one of the others that `lab \
             sweep --help` lists",
        )),
    }
}

/// The number of shards of `--shards N`.
pub(crate) fn count(text: &str) -> Result<u32, Failure> {
    let of = number("--shards", text)?;
    // The last shard is there when any is.
    Ok(checked("--shards", of, of.saturating_sub(1), of)?.of)
}

fn of_array(
    array: &Array,
    step: Option<&str>,
    value: &str,
    shards: Option<u64>,
    set: &dyn Fn(&str) -> Option<String>,
) -> Result<Shard, Failure> {
    let told = |name: &str| set(name).map(|value| number(name, &value)).transpose();
    let index = number(array.index, value)?;
    let step = step.map(told).transpose()?.flatten().unwrap_or(1).max(1);
    let first = match array.first {
        First::At(first) => first,
        First::Told(name) => told(name)?.unwrap_or(0),
    };
    let count = match array.count {
        Count::Untold => None,
        Count::Told(name) => told(name)?,
        Count::UpTo(name) => told(name)?.and_then(|last| Some(last.checked_sub(first)? / step + 1)),
    };
    let of = match (shards, count) {
        (Some(shards), Some(count)) if shards != count => {
            // A part of an array that is submitted again tells its own bounds, not those of old.
            return Err(wrong(
                "--shards",
                shards,
                format!(
                    "the array of {} has {count} tasks, so that it does not tell which shard of \
                     {shards} this is; write --shard I/{shards}",
                    array.index
                ),
            ));
        }
        (Some(of), _) | (None, Some(of)) => of,
        (None, None) => {
            return Err(wrong(
                array.index,
                value,
                "this array does not tell how many tasks it has; add --shards N",
            ));
        }
    };
    let place = index.checked_sub(first).filter(|offset| offset % step == 0);
    let place = place.map(|offset| offset / step).filter(|place| *place < of);
    let place = place.ok_or_else(|| {
        let last = first.saturating_add(step.saturating_mul(of.saturating_sub(1)));
        let steps = if step == 1 { String::new() } else { format!(" in steps of {step}") };
        wrong(
            array.index,
            value,
            format!(
                "with {of} shards the indices go from {first} to {last}{steps}; let the array do \
                 so, or write --shard I/{of}"
            ),
        )
    })?;
    checked(array.index, value, place, of)
}

fn checked(name: &str, value: impl Display, index: u64, of: u64) -> Result<Shard, Failure> {
    if of == 0 {
        return Err(wrong(name, value, "there is no run of 0 shards; write 1 or more"));
    }
    if of > u64::from(MAX_SHARDS) {
        return Err(wrong(name, value, format!("{of} shards are too many: at most {MAX_SHARDS}")));
    }
    if index >= of {
        let last = of - 1;
        let message = format!("shards are counted from 0: of {of} the last is {last}/{of}");
        return Err(wrong(name, value, message));
    }
    Ok(Shard { index: index as u32, of: of as u32 })
}

fn number(name: &str, text: &str) -> Result<u64, Failure> {
    text.trim()
        .parse()
        .map_err(|_| wrong(name, text, "this is no whole number from 0 on; write one"))
}

fn wrong(name: &str, value: impl Display, message: impl Display) -> Failure {
    Failure::usage(format!("{name} {value}: {message}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shard as text, or the message.
    fn of(given: Option<&str>, shards: Option<&str>, environment: &[(&str, &str)]) -> String {
        let set = |name: &str| {
            let found = environment.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        match shard(given, shards, &set) {
            Ok(shard) => shard.to_string(),
            Err(failure) => {
                assert_eq!(failure.exit.code(), 2, "wrong usage");
                failure.lines.join("\n")
            }
        }
    }

    #[test]
    fn the_option_is_index_and_number() {
        for (given, wanted) in [
            ("0/1", "0/1"),
            ("2/3", "2/3"),
            ("3/3", "--shard 3/3: shards are counted from 0: of 3 the last is 2/3"),
            ("0/0", "--shard 0/0: there is no run of 0 shards"),
            ("1", "--shard 1: write index and number"),
            ("a/3", "--shard a: this is no whole number"),
            ("1/b", "--shard b: this is no whole number"),
            ("-1/3", "--shard -1: this is no whole number"),
            ("1.5/3", "--shard 1.5: this is no whole number"),
            ("0/10001", "10001 shards are too many: at most 10000"),
            ("0/99999999999999999999", "no whole number"),
        ] {
            let found = of(Some(given), None, &[("SLURM_ARRAY_TASK_ID", "7")]);
            assert!(
                found.starts_with(wanted) || found.ends_with(wanted) || found.contains(wanted),
                "{given}: {found}"
            );
        }
    }

    /// What is set, `--shards`, and how the result begins.
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<&'a str>, &'a str);

    #[test]
    fn every_scheduler_tells_in_its_own_way() {
        let slurm = |id, min, max, step, count| {
            [
                ("SLURM_ARRAY_TASK_ID", id),
                ("SLURM_ARRAY_TASK_MIN", min),
                ("SLURM_ARRAY_TASK_MAX", max),
                ("SLURM_ARRAY_TASK_STEP", step),
                ("SLURM_ARRAY_TASK_COUNT", count),
            ]
        };
        let sge = |id| {
            [
                ("SGE_TASK_ID", id),
                ("SGE_TASK_FIRST", "2"),
                ("SGE_TASK_LAST", "8"),
                ("SGE_TASK_STEPSIZE", "3"),
            ]
        };
        let lsf = [("LSB_JOBINDEX", "1"), ("LSB_JOBINDEX_END", "5"), ("LSB_JOBINDEX_STEP", "2")];
        let cases: &[Case<'_>] = &[
            (&slurm("0", "0", "3", "1", "4"), None, "0/4"),
            (&slurm("3", "0", "3", "1", "4"), Some("4"), "3/4"),
            (&slurm("1", "1", "4", "1", "4"), None, "0/4"),
            (&slurm("10", "4", "10", "3", "3"), None, "2/3"),
            (
                &slurm("2", "2", "2", "1", "1"),
                Some("4"),
                "--shards 4: the array of SLURM_ARRAY_TASK_ID has 1 tasks",
            ),
            (&[("SLURM_ARRAY_TASK_ID", "2")], Some("4"), "2/4"),
            (
                &[("SLURM_ARRAY_TASK_ID", "2")],
                None,
                "SLURM_ARRAY_TASK_ID 2: this array does not tell",
            ),
            (
                &[("SLURM_ARRAY_TASK_ID", "x")],
                Some("4"),
                "SLURM_ARRAY_TASK_ID x: this is no whole number",
            ),
            (&[("JOB_COMPLETION_INDEX", "2")], Some("3"), "2/3"),
            (
                &[("JOB_COMPLETION_INDEX", "3")],
                Some("3"),
                "JOB_COMPLETION_INDEX 3: with 3 shards the indices go from 0 to 2;",
            ),
            (
                &[("JOB_COMPLETION_INDEX", "0")],
                Some("0"),
                "--shards 0: there is no run of 0 shards",
            ),
            (
                &[("AWS_BATCH_JOB_ARRAY_INDEX", "9"), ("AWS_BATCH_JOB_ARRAY_SIZE", "10")],
                None,
                "9/10",
            ),
            (&[("PBS_ARRAY_INDEX", "0")], Some("2"), "0/2"),
            (&lsf, None, "0/3"),
            (&[("LSB_JOBINDEX", "2")], Some("2"), "1/2"),
            (&sge("2"), None, "0/3"),
            (&sge("8"), None, "2/3"),
            (
                &sge("4"),
                None,
                "SGE_TASK_ID 4: with 3 shards the indices go from 2 to 8 in steps of 3",
            ),
            (&[("BATCH_TASK_INDEX", "1"), ("BATCH_TASK_COUNT", "2")], None, "1/2"),
            (&[("CLOUD_RUN_TASK_INDEX", "1"), ("CLOUD_RUN_TASK_COUNT", "2")], None, "1/2"),
            (&[("HQ_TASK_ID", "4")], Some("5"), "4/5"),
            (&[("NOMAD_ALLOC_INDEX", "4")], Some("5"), "4/5"),
            (&[("PARALLEL_SEQ", "1")], Some("5"), "0/5"),
            (
                &[("PARALLEL_SEQ", "6")],
                Some("5"),
                "PARALLEL_SEQ 6: with 5 shards the indices go from 1 to 5",
            ),
            // What says that it is no array is passed over, and so is what is empty.
            (
                &[
                    ("SGE_TASK_ID", "undefined"),
                    ("LSB_JOBINDEX", "0"),
                    ("HQ_TASK_ID", ""),
                    ("PARALLEL_SEQ", "2"),
                ],
                Some("5"),
                "1/5",
            ),
            (&[("SGE_TASK_ID", "undefined")], Some("5"), "which shard? Write --shard I/N"),
            (&[], None, "which shard? Write --shard I/N"),
            (&[("PARALLEL_SEQ", "2"), ("SLURM_ARRAY_TASK_ID", "0")], Some("5"), "0/5"),
        ];
        for (environment, shards, wanted) in cases {
            let found = of(None, *shards, environment);
            assert!(found.starts_with(wanted), "{environment:?} {shards:?}: {found}");
        }
    }
}

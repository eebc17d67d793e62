//! latency.hlog read again: the latencies of each variant, all rounds merged, and the windows as they
//! are asked for. It must not know what they are for.
//!
//! The file may have been edited or be somebody else's, so lines, what they unpack to, and the
//! precision of a histogram have limits.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

use crate::folder::HLOG;
use crate::hlog::tag;
use crate::run::LoadError;
use crate::summary::Summary;

/// A line of ours is some kilobytes; a histogram of all of its buckets packs to less than this.
const MAX_LINE: u64 = 4 << 20;
/// What one packed histogram may unpack to: ours have 55,000 counts of at most nine bytes.
const MAX_UNPACKED: u64 = 1 << 20;
/// The compressed format's first word, and its length before the packed bytes.
const PACKED_HEAD: usize = 8;
/// Where the unpacked format says how long its counts and how many its digits are, and where its
/// counts begin.
const COUNTS_LENGTH: std::ops::Range<usize> = 4..8;
const DIGITS: std::ops::Range<usize> = 12..16;
const COUNTS: usize = 40;
/// Each digit more takes ten times the memory.
const MOST_DIGITS: u32 = 3;

/// Values in nanoseconds and how often each was seen, ascending: a bucket stands for its upper end.
pub type Buckets = Vec<(u64, u64)>;

/// The buckets of each variant, in the order of the summary. One that has no interval has none.
///
/// # Errors
/// The file, the line, and what is wrong there.
pub fn read(folder: &Path, summary: &Summary) -> Result<Vec<Buckets>, LoadError> {
    let all = sorted(folder, summary, &|_, _| 0)?.into_iter();
    Ok(all.map(|slots| slots.into_iter().next().unwrap_or_default()).collect())
}

/// The buckets of each variant by slots: `slot` gets the variant's name and the second in which an
/// interval begins. Behind the last slot that got any there are none.
///
/// # Errors
/// As above.
pub fn sorted(
    folder: &Path,
    summary: &Summary,
    slot: &dyn Fn(&str, f64) -> usize,
) -> Result<Vec<Vec<Buckets>>, LoadError> {
    let path = folder.join(HLOG);
    let fault = |line: Option<u64>, message: String| LoadError {
        file: path.display().to_string(),
        line,
        message: format!("{message}; restore the file from a copy, or run the scenario again"),
    };
    let variants = by_tag(summary).map_err(|message| fault(None, message))?;
    let unreadable = |error: io::Error| fault(None, format!("it cannot be read: {error}"));
    let mut file = BufReader::new(File::open(&path).map_err(unreadable)?);
    let mut merged: Vec<Vec<Option<Histogram<u64>>>> = vec![Vec::new(); summary.variants.len()];
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        let read = (&mut file).take(MAX_LINE + 1).read_until(b'\n', &mut text);
        match read.map_err(unreadable)? as u64 {
            0 => break,
            length if length > MAX_LINE => {
                let message = format!("this line is longer than the {MAX_LINE} bytes it may have");
                return Err(fault(Some(line), message));
            }
            _ => {}
        }
        let interval = interval(&text).map_err(|message| fault(Some(line), message))?;
        let Some(Interval { tag: of, start_s, histogram }) = interval else { continue };
        let Some(&variant) = variants.get(&of) else {
            let message = format!("no variant and round of summary.json has the tag \"{of}\"");
            return Err(fault(Some(line), message));
        };
        let slot = slot(&summary.variants[variant].name, start_s);
        let slots = &mut merged[variant];
        slots.resize(slots.len().max(slot + 1), None);
        match &mut slots[slot] {
            Some(all) => all.add(&histogram).map_err(|error| {
                fault(Some(line), format!("it cannot be merged with those before: {error}"))
            })?,
            none => *none = Some(histogram),
        }
    }
    let of_slot = |histogram: &Option<_>| histogram.as_ref().map_or_else(Vec::new, buckets);
    Ok(merged.iter().map(|slots| slots.iter().map(of_slot).collect()).collect())
}

/// A line of the file.
struct Interval {
    tag: String,
    /// When it begins.
    start_s: f64,
    histogram: Histogram<u64>,
}

fn buckets(histogram: &Histogram<u64>) -> Buckets {
    let steps = histogram.iter_recorded();
    steps.map(|step| (step.value_iterated_to(), step.count_since_last_iteration())).collect()
}

/// Which variant a tag is of.
fn by_tag(summary: &Summary) -> Result<BTreeMap<String, usize>, String> {
    let mut variants = BTreeMap::new();
    for (index, variant) in summary.variants.iter().enumerate() {
        for round in &variant.per_round {
            let tag = tag(&variant.name, round.round);
            if let Some(other) = variants.insert(tag.clone(), index)
                && other != index
            {
                return Err(format!("two variants have the tag \"{tag}\" in it"));
            }
        }
    }
    Ok(variants)
}

/// What a line holds; nothing for comments and heads.
fn interval(line: &[u8]) -> Result<Option<Interval>, String> {
    let entry = match IntervalLogIterator::new(line).next() {
        None => return Ok(None),
        Some(entry) => entry.map_err(|_| "this is no line of an interval log".to_owned())?,
    };
    let LogEntry::Interval(interval) = entry else { return Ok(None) };
    let tag = interval.tag().map(|tag| tag.as_str().to_owned()).unwrap_or_default();
    let packed = STANDARD
        .decode(interval.encoded_histogram())
        .map_err(|error| format!("its histogram is no base64: {error}"))?;
    let start_s = interval.start_timestamp().as_secs_f64();
    Ok(Some(Interval { tag, start_s, histogram: histogram(&packed)? }))
}

fn histogram(packed: &[u8]) -> Result<Histogram<u64>, String> {
    let broken = |error: &dyn std::fmt::Display| format!("its histogram is broken: {error}");
    let body = packed.get(PACKED_HEAD..).ok_or_else(|| broken(&"it ends too early"))?;
    // Unpacked here and not by the library, which believes the length that the bytes state.
    let mut bytes = Vec::new();
    let mut unpacked = ZlibDecoder::new(body).take(MAX_UNPACKED + 1);
    unpacked.read_to_end(&mut bytes).map_err(|error| broken(&error))?;
    if bytes.len() as u64 > MAX_UNPACKED {
        return Err(broken(&format!("it unpacks to more than {MAX_UNPACKED} bytes")));
    }
    let word = |at: std::ops::Range<usize>| {
        let word = bytes.get(at).and_then(|word| word.try_into().ok());
        word.map(u32::from_be_bytes).ok_or_else(|| broken(&"it ends too early"))
    };
    if word(COUNTS_LENGTH)? as usize > bytes.len().saturating_sub(COUNTS) {
        return Err(broken(&"it ends too early"));
    }
    if word(DIGITS)? > MOST_DIGITS {
        return Err(broken(&format!("it has more than {MOST_DIGITS} digits")));
    }
    Deserializer::new().deserialize(&mut bytes.as_slice()).map_err(|error| broken(&error))
}

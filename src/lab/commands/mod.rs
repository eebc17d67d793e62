//! One file a command. None may know another; what two of them need stands in a file of its own.

pub(crate) mod backends;
pub(crate) mod bench_load;
pub(crate) mod both;
pub(crate) mod calibrate;
pub(crate) mod calibration;
pub(crate) mod child;
pub(crate) mod completions;
pub(crate) mod conclude;
pub(crate) mod doctor;
pub(crate) mod hire;
pub(crate) mod import;
pub(crate) mod keep;
pub(crate) mod list;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod merge;
pub(crate) mod overrides;
pub(crate) mod play;
pub(crate) mod proxy;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod script;
pub(crate) mod shard;
pub(crate) mod sweep;
pub(crate) mod validate;
pub(crate) mod verify;

//! The shapes in which values of `base` stand in a part: `base` itself knows no serialisation.
//! It must not know what they are values of.

use base::{FailureKind, Outcome};
use serde::{Deserialize, Serialize};

/// A [`base::Time`] as its nanoseconds.
pub(crate) mod time {
    use base::Time;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        time.as_nanos().serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        u64::deserialize(from).map(Time::from_nanos)
    }
}

/// The same of one that may be missing.
pub(crate) mod maybe_time {
    use base::Time;
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
        time.map(Time::as_nanos).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Time>, D::Error> {
        Ok(Option::<u64>::deserialize(from)?.map(Time::from_nanos))
    }
}

/// [`Outcome`], held to it by the compiler.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Outcome")]
pub(crate) enum OutcomeShape {
    Ok,
    Rejected,
    Failed(#[serde(with = "FailureShape")] FailureKind),
    Dropped,
    Unfinished,
}

/// [`FailureKind`], likewise.
#[derive(Serialize, Deserialize)]
#[serde(remote = "FailureKind")]
enum FailureShape {
    Connect,
    ConnectTimeout,
    Reset,
    Timeout,
    Protocol,
    Status,
}

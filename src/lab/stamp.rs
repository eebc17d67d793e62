//! The wall clock as text: when a run began, and the folder that is named so. It must not be used to
//! measure anything.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment in UTC, to the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    seconds: u64,
}

impl Stamp {
    /// Now, by the system's wall clock.
    pub(crate) fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self { seconds: since.as_secs() }
    }

    /// So many seconds after 1970 began.
    pub(crate) fn at(seconds: u64) -> Self {
        Self { seconds }
    }

    /// `2026-11-23T05-33-21Z`: sorts by time and is a file name everywhere.
    pub(crate) fn folder(self) -> String {
        self.rfc3339().replace(':', "-")
    }

    /// `2026-11-23T05:33:21Z`.
    pub(crate) fn rfc3339(self) -> String {
        let (year, month, day) = civil(self.seconds / 86_400);
        let time = self.seconds % 86_400;
        let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// A folder named after this second that does not exist yet.
pub(crate) fn fresh(parent: &Path) -> PathBuf {
    let stamp = Stamp::now().folder();
    let names = (1_u32..).map(|n| if n == 1 { stamp.clone() } else { format!("{stamp}-{n}") });
    names
        .map(|name| parent.join(name))
        .find(|folder| !folder.exists())
        .expect("there are more numbers than folders")
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar (Hinnant,
/// "chrono-compatible low-level date algorithms": eras of 400 years that begin on 1 March).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468; // 0000-03-01
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_795_348_060, "2026-11-22T11:47:40Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(Stamp::at(seconds).rfc3339(), text);
        }
        assert_eq!(Stamp::at(0).folder(), "1970-01-01T00-00-00Z");
    }
}

//! Exit codes: documented, tested, and the worst one wins. It must not know commands.

use crate::say::tell;

/// How `lab` ends. The order of the variants is the order in which they win, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// 0: all is well.
    Good,
    /// 11: worse than the run it was compared with.
    #[allow(dead_code)] // `lab compare` comes later; the code is reserved and documented
    Regression,
    /// 12: too few rounds or too much noise to tell.
    #[allow(dead_code)] // as above
    Inconclusive,
    /// 10: an expectation failed.
    ExpectationFailed,
    /// 13: the measurement cannot be believed.
    MeasurementInvalid,
    /// 3: a scenario, configuration or run folder is invalid, missing or unreadable.
    Invalid,
    /// 2: wrong usage that the parser of the command line does not see.
    Usage,
    /// 4: the environment: a port, a program, a folder that cannot be written, a child that died.
    Environment,
    /// 1: an error of lab's own.
    Internal,
    /// 128 + the signal that interrupted it.
    Interrupted(i32),
}

impl Exit {
    /// The number the shell sees. (Most wrong usage is found by clap, which ends with 2 as well.)
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Good => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Invalid => 3,
            Self::Environment => 4,
            Self::ExpectationFailed => 10,
            Self::Regression => 11,
            Self::Inconclusive => 12,
            Self::MeasurementInvalid => 13,
            Self::Interrupted(signal) => u8::try_from(128 + signal).unwrap_or(130),
        }
    }

    /// The worse of two.
    pub(crate) fn worst(self, other: Self) -> Self {
        self.max(other)
    }
}

/// Why a command could not do its work: the lines for stderr and the way out.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What to print, a line each: what failed, where, and the remedy.
    pub(crate) lines: Vec<String>,
}

impl Failure {
    /// A failure of one line.
    pub(crate) fn new(exit: Exit, line: impl Into<String>) -> Self {
        Self { exit, lines: vec![line.into()] }
    }

    /// The environment's fault.
    pub(crate) fn environment(line: impl Into<String>) -> Self {
        Self::new(Exit::Environment, line)
    }

    /// What could not be written, by its path.
    pub(crate) fn unwritten(error: std::io::Error) -> Self {
        Self::environment(error.to_string())
    }

    /// Tells people of it; what is left is the way out.
    pub(crate) fn report(self) -> Exit {
        for line in &self.lines {
            tell!("{line}");
        }
        self.exit
    }

    /// The input's fault.
    pub(crate) fn invalid(line: impl Into<String>) -> Self {
        Self::new(Exit::Invalid, line)
    }

    /// The command line's fault, or that of the environment which stands in for it.
    pub(crate) fn usage(line: impl Into<String>) -> Self {
        Self::new(Exit::Usage, line)
    }

    /// All that is wrong with one or more texts.
    pub(crate) fn problems(problems: &[config::Problem]) -> Self {
        Self { exit: Exit::Invalid, lines: problems.iter().map(ToString::to_string).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_wins_in_the_documented_order() {
        let worst_first = [
            Exit::Interrupted(2),
            Exit::Internal,
            Exit::Environment,
            Exit::Usage,
            Exit::Invalid,
            Exit::MeasurementInvalid,
            Exit::ExpectationFailed,
            Exit::Inconclusive,
            Exit::Regression,
            Exit::Good,
        ];
        for (place, worse) in worst_first.iter().enumerate() {
            for better in &worst_first[place..] {
                assert_eq!(worse.worst(*better), *worse);
                assert_eq!(better.worst(*worse), *worse);
            }
        }
        let codes: Vec<u8> = worst_first.iter().map(|exit| exit.code()).collect();
        assert_eq!(codes, [130, 1, 4, 2, 3, 13, 10, 12, 11, 0]);
        assert_eq!(Exit::Interrupted(1).code(), 129);
        assert_eq!(Exit::Interrupted(15).code(), 143);
    }
}

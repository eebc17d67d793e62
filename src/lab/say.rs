//! Lines for stdout and stderr that survive their reader: `lab list runs | head -1` is no error.
//! It must not decide what is said.

/// A line of the result, on stdout, coloured where that is wanted.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        // A reader that has gone wants no more of it, and there is nobody else to tell.
        let _ = writeln!(anstream::stdout(), $($words)*);
    }};
}

/// A line for people, on stderr.
macro_rules! tell {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        // As above.
        let _ = writeln!(anstream::stderr(), $($words)*);
    }};
}

pub(crate) use {say, tell};

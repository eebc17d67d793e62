//! Functions whose last bits differ between platforms' own mathematics, from the libm crate
//! instead. It must not know what they are used for.

/// e to the power of `x`.
pub fn exp(x: f64) -> f64 {
    libm::exp(x)
}

/// The natural logarithm of `x`: −∞ at zero, not a number below it.
pub fn ln(x: f64) -> f64 {
    libm::log(x)
}

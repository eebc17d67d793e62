//! Service-time distributions. It must not know what the times are for.
//!
//! `exp`, `ln` and `pow` come from the libm crate and every result is rounded to a nanosecond at
//! once, so that the bytes of a run do not depend on the platform's mathematics.

use std::sync::Arc;
use std::time::Duration;

use rand_distr::{Distribution as _, Exp1, StandardNormal};

use crate::rng::Rng;
use crate::time::whole;

/// The standard normal quantile of 0.99: how many deviations the p99 lies above the median.
const Z99: f64 = 2.326_347_874_040_840_8;

/// A distribution of durations; its parameters are valid by construction of the caller (config
/// checks them) and given in seconds.
#[derive(Clone, Debug, PartialEq)]
pub enum Distribution {
    /// Always `value`.
    Constant {
        /// Seconds.
        value: f64,
    },
    /// Uniform between `min` and `max`.
    Uniform {
        /// Seconds.
        min: f64,
        /// Seconds, at least `min`.
        max: f64,
    },
    /// Exponential; squared coefficient of variation (scv) 1.
    Exponential {
        /// Mean, seconds.
        mean: f64,
    },
    /// Sum of `k` exponentials; scv 1/k.
    Erlang {
        /// Mean of the sum, seconds.
        mean: f64,
        /// Number of stages, at least 1.
        k: u32,
    },
    /// Two exponentials with balanced means (theory: p = (1+√((scv−1)/(scv+1)))/2, means m/2p and
    /// m/2(1−p)).
    Hyperexponential {
        /// Mean, seconds.
        mean: f64,
        /// Squared coefficient of variation, at least 1.
        scv: f64,
    },
    /// Normal, cut at zero: negative draws count as zero.
    Normal {
        /// Mean before the cut, seconds.
        mean: f64,
        /// Standard deviation before the cut, seconds.
        sd: f64,
    },
    /// Log-normal, given by two of its quantiles.
    Lognormal {
        /// Median, seconds.
        median: f64,
        /// 99th percentile, seconds, at least the median.
        p99: f64,
    },
    /// Pareto: P(T > t) = (min/t)^shape.
    Pareto {
        /// Smallest value, seconds.
        min: f64,
        /// Tail index above 0; the mean exists above 1.
        shape: f64,
    },
    /// Weibull: P(T > t) = exp(−(t/scale)^shape).
    Weibull {
        /// Scale, seconds.
        scale: f64,
        /// Shape above 0; below 1 the tail is heavier than exponential.
        shape: f64,
    },
    /// One of two values.
    Bimodal {
        /// Seconds.
        a: f64,
        /// Seconds.
        b: f64,
        /// Probability of `b`.
        share_b: f64,
    },
    /// One of the measured values, each equally likely.
    Empirical {
        /// Seconds, at least one value.
        values: Arc<[f64]>,
    },
}

impl Distribution {
    /// One draw, rounded to a nanosecond. How many numbers a draw takes from `rng` may vary.
    pub fn sample(&self, rng: &mut Rng) -> Duration {
        Duration::from_nanos(self.sample_ns(rng))
    }

    /// The same in nanoseconds.
    #[inline]
    pub fn sample_ns(&self, rng: &mut Rng) -> u64 {
        // The usual one goes without a call, and its stream need not be in memory.
        if let Self::Exponential { mean } = *self {
            return whole(mean * exp1(rng) * 1e9);
        }
        whole(self.draw(rng) * 1e9)
    }

    #[inline(never)] // see above
    fn draw(&self, rng: &mut Rng) -> f64 {
        match *self {
            Self::Constant { value } => value,
            Self::Uniform { min, max } => min + (max - min) * rng.unit(),
            Self::Exponential { .. } => unreachable!("`sample_ns` draws it"),
            Self::Erlang { mean, k } => {
                mean / f64::from(k) * (0..k).map(|_| exp1(rng)).sum::<f64>()
            }
            Self::Hyperexponential { mean, scv } => {
                let p = (1.0 + ((scv - 1.0) / (scv + 1.0)).sqrt()) / 2.0;
                let share = if rng.unit() < p { p } else { 1.0 - p };
                // scv = 1 makes both branches p = 1/2 and the mixture a plain exponential.
                mean / (2.0 * share) * exp1(rng)
            }
            Self::Normal { mean, sd } => (mean + sd * normal(rng)).max(0.0),
            Self::Lognormal { median, p99 } => {
                let sigma = libm::log(p99 / median) / Z99;
                median * libm::exp(sigma * normal(rng))
            }
            // 1 − unit() lies in (0, 1], so neither logarithm nor power meets zero.
            Self::Pareto { min, shape } => min * libm::pow(1.0 - rng.unit(), -1.0 / shape),
            Self::Weibull { scale, shape } => {
                scale * libm::pow(-libm::log(1.0 - rng.unit()), 1.0 / shape)
            }
            Self::Bimodal { a, b, share_b } => {
                if rng.chance(share_b) {
                    b
                } else {
                    a
                }
            }
            Self::Empirical { ref values } => values[rng.below(values.len())],
        }
    }

    /// The mean in seconds; infinite for a Pareto shape of at most 1.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant { value } => value,
            Self::Uniform { min, max } => (min + max) / 2.0,
            Self::Exponential { mean }
            | Self::Erlang { mean, .. }
            | Self::Hyperexponential { mean, .. } => mean,
            Self::Normal { mean, sd } => {
                if sd == 0.0 {
                    return mean;
                }
                // E[max(0, X)] of a normal: μΦ(μ/σ) + σφ(μ/σ).
                let z = mean / sd;
                let density = libm::exp(-z * z / 2.0) / (2.0 * std::f64::consts::PI).sqrt();
                let below = libm::erfc(-z / std::f64::consts::SQRT_2) / 2.0;
                mean * below + sd * density
            }
            Self::Lognormal { median, p99 } => {
                let sigma = libm::log(p99 / median) / Z99;
                median * libm::exp(sigma * sigma / 2.0)
            }
            Self::Pareto { min, shape } => {
                if shape > 1.0 {
                    min * shape / (shape - 1.0)
                } else {
                    f64::INFINITY
                }
            }
            Self::Weibull { scale, shape } => scale * libm::tgamma(1.0 + 1.0 / shape),
            Self::Bimodal { a, b, share_b } => a + (b - a) * share_b,
            Self::Empirical { ref values } => values.iter().sum::<f64>() / values.len() as f64,
        }
    }
}

/// One draw of the exponential distribution of mean 1, not rounded: a gap of a Poisson process of
/// rate 1.
#[inline]
pub fn exp1(rng: &mut Rng) -> f64 {
    Exp1.sample(rng)
}

fn normal(rng: &mut Rng) -> f64 {
    StandardNormal.sample(rng)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(&'static str, Distribution)> {
        vec![
            ("constant", Distribution::Constant { value: 0.02 }),
            ("uniform", Distribution::Uniform { min: 0.01, max: 0.03 }),
            ("exponential", Distribution::Exponential { mean: 0.02 }),
            ("erlang", Distribution::Erlang { mean: 0.02, k: 4 }),
            ("hyperexponential", Distribution::Hyperexponential { mean: 0.02, scv: 4.0 }),
            ("normal", Distribution::Normal { mean: 0.02, sd: 0.02 }),
            ("lognormal", Distribution::Lognormal { median: 0.02, p99: 0.08 }),
            ("pareto", Distribution::Pareto { min: 0.01, shape: 3.0 }),
            ("weibull", Distribution::Weibull { scale: 0.02, shape: 0.8 }),
            ("bimodal", Distribution::Bimodal { a: 0.01, b: 0.1, share_b: 0.05 }),
            ("empirical", Distribution::Empirical { values: vec![0.01, 0.02, 0.06].into() }),
        ]
    }

    /// Values that must not move between versions or platforms: a seed is a promise.
    #[test]
    fn draws_of_a_known_seed_never_change() {
        let drawn: Vec<(&str, [u64; 3])> = all()
            .into_iter()
            .map(|(name, dist)| {
                let mut rng = Rng::from_seed(42).fork(name);
                (name, std::array::from_fn(|_| crate::time::nanos(dist.sample(&mut rng))))
            })
            .collect();
        assert_eq!(drawn, GOLDEN);
    }
    const GOLDEN: &[(&str, [u64; 3])] = &[
        ("constant", [20_000_000, 20_000_000, 20_000_000]),
        ("uniform", [22_594_490, 13_674_121, 18_828_279]),
        ("exponential", [12_060_981, 1_470_021, 17_427_916]),
        ("erlang", [20_949_430, 27_607_468, 13_992_248]),
        ("hyperexponential", [65_130_012, 5_418_553, 28_862_429]),
        ("normal", [5_377_563, 37_146_728, 38_252_768]),
        ("lognormal", [6_479_661, 15_869_946, 20_062_505]),
        ("pareto", [12_337_996, 14_202_821, 10_092_565]),
        ("weibull", [7_100_999, 4_247_700, 3_406_245]),
        ("bimodal", [100_000_000, 10_000_000, 100_000_000]),
        ("empirical", [20_000_000, 10_000_000, 60_000_000]),
    ];

    #[test]
    fn sample_means_agree_with_the_stated_means() {
        for (name, dist) in all() {
            let mut rng = Rng::from_seed(9).fork(name);
            let n = 200_000;
            let draws: Vec<f64> = (0..n).map(|_| dist.sample(&mut rng).as_secs_f64()).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(n);
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n - 1);
            let error = (variance / f64::from(n)).sqrt();
            assert!(
                (mean - dist.mean()).abs() <= 4.5 * error + 1e-9,
                "{name}: sampled {mean}, stated {}, standard error {error}",
                dist.mean()
            );
        }
    }

    #[test]
    fn the_p99_of_a_lognormal_is_the_one_asked_for() {
        let dist = Distribution::Lognormal { median: 0.02, p99: 0.08 };
        let mut rng = Rng::from_seed(5);
        let n = 100_000;
        let above = (0..n).filter(|_| dist.sample(&mut rng).as_secs_f64() > 0.08).count();
        // 1 000 expected, standard deviation 31.5.
        assert!(above.abs_diff(1_000) < 142, "{above} of {n} above the p99");
    }
}

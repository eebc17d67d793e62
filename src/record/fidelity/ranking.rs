//! Do both engines put the variants in the same order? Only where the live rounds tell two of them
//! apart can a simulation be wrong about it. It must not know distributions.

use serde::{Deserialize, Serialize};

use crate::summary::{Percentiles, VariantSummary};

/// The order of the variants, live and simulated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ranking {
    /// Live rounds, of which the intervals are made.
    pub rounds: u32,
    /// By p99 and by mean.
    pub orders: Vec<Order>,
    /// Pairs whose live 95 % intervals are disjoint.
    pub pairs: Vec<Pair>,
    /// What has to be said of it.
    pub note: String,
}

/// The variants from the lowest to the highest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Order {
    /// "p99" or "mean".
    pub metric: String,
    /// As measured.
    pub live: Vec<String>,
    /// As simulated.
    pub sim: Vec<String>,
}

/// Two variants that live rounds tell apart.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// "p99" or "mean".
    pub metric: String,
    /// The variant whose live interval lies below …
    pub lower: String,
    /// … the other's.
    pub higher: String,
    /// Whether the simulation puts them in this order.
    pub agrees: bool,
}

type Of = fn(&Percentiles) -> Option<f64>;

const METRICS: [(&str, Of); 2] = [("p99", |of| of.p99), ("mean", |of| of.mean)];

/// Two-sided 95 % quantiles of Student's t by degrees of freedom, from 1; beyond the last the
/// last, which is on the safe side.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
];

/// Of variants that both have, in the same order.
pub(super) fn rank(variants: &[(&VariantSummary, &VariantSummary)]) -> Ranking {
    let rounds = variants.iter().map(|(live, _)| live.rounds).min().unwrap_or(0);
    let orders = METRICS.iter().map(|&(metric, of)| Order {
        metric: metric.to_owned(),
        live: ordered(variants.iter().map(|(live, _)| *live), of),
        sim: ordered(variants.iter().map(|(_, sim)| *sim), of),
    });
    let pairs: Vec<Pair> =
        METRICS.iter().flat_map(|&(metric, of)| pairs(metric, of, variants)).collect();
    let wrong = pairs.iter().filter(|pair| !pair.agrees).count();
    let note = match (variants.len(), rounds, pairs.len()) {
        (0 | 1, _, _) => "there is one variant, and nothing to rank".to_owned(),
        (_, 0 | 1, _) => {
            "there is one live round, so no interval exists and the ranking decides nothing; \
             --rounds 5 would give intervals"
                .to_owned()
        }
        (_, _, 0) => format!("{rounds} live rounds tell no two variants apart"),
        (_, _, all) => {
            format!(
                "{all} times do {rounds} live rounds tell two variants apart; the simulation ranks {} of them the same",
                all - wrong
            )
        }
    };
    Ranking { rounds, orders: orders.collect(), pairs, note }
}

fn ordered<'a>(variants: impl Iterator<Item = &'a VariantSummary>, of: Of) -> Vec<String> {
    let mut found: Vec<(f64, &str)> = variants
        .filter_map(|variant| Some((of(&variant.latency_ms)?, variant.name.as_str())))
        .collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.into_iter().map(|(_, name)| name.to_owned()).collect()
}

fn pairs(metric: &str, of: Of, variants: &[(&VariantSummary, &VariantSummary)]) -> Vec<Pair> {
    let known: Vec<_> = variants
        .iter()
        .filter_map(|(live, sim)| {
            let rounds: Vec<f64> =
                live.per_round.iter().filter_map(|round| of(&round.latency_ms)).collect();
            Some((live.name.as_str(), interval(&rounds)?, of(&sim.latency_ms)?))
        })
        .collect();
    let mut pairs = Vec::new();
    for lower in &known {
        for higher in &known {
            if lower.1.1 < higher.1.0 {
                pairs.push(Pair {
                    metric: metric.to_owned(),
                    lower: lower.0.to_owned(),
                    higher: higher.0.to_owned(),
                    agrees: lower.2 < higher.2,
                });
            }
        }
    }
    pairs
}

/// The 95 % interval of the mean over rounds; `None` with less than two.
fn interval(rounds: &[f64]) -> Option<(f64, f64)> {
    let freedom = rounds.len().checked_sub(1).filter(|freedom| *freedom > 0)?;
    let n = rounds.len() as f64;
    let mean = rounds.iter().sum::<f64>() / n;
    let variance = rounds.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / freedom as f64;
    let t = STUDENT[freedom.min(STUDENT.len()) - 1];
    let half = t * (variance / n).sqrt();
    Some((mean - half, mean + half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_students() {
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[5.0]), None);
        // Mean 12, standard deviation 2, 3 rounds: 4.303 × 2 ÷ √3.
        let (low, high) = interval(&[10.0, 12.0, 14.0]).expect("three rounds");
        assert!((low - (12.0 - 4.968_676)).abs() < 1e-3, "{low}");
        assert!((high - (12.0 + 4.968_676)).abs() < 1e-3, "{high}");
        assert_eq!(interval(&[7.0; 100]), Some((7.0, 7.0)));
    }
}

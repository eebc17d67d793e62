//! spectrum.csv's rows: HdrHistogram's percentile spectrum. It must not know who draws it.

use crate::distribution::Distribution;
use crate::rows::SpectrumRow;
use crate::tally::Tally;
use crate::units;

/// Steps each time the distance to 100 % halves: what the field's `.hgrm` files use.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// The rows of one variant: each of its three histograms from 0 to 100 %.
pub(crate) fn rows<'a>(
    variant: &'a str,
    whole: &'a Tally,
) -> impl Iterator<Item = SpectrumRow> + 'a {
    let metrics =
        [("latency", &whole.latency), ("service", &whole.service), ("dispatch", &whole.dispatch)];
    metrics.into_iter().flat_map(move |(metric, distribution)| of(variant, metric, distribution))
}

fn of(variant: &str, metric: &str, distribution: &Distribution) -> Vec<SpectrumRow> {
    let histogram = distribution.to_histogram();
    let mut count = 0;
    let row = |step: hdrhistogram::iterators::IterationValue<u64>| {
        count += step.count_since_last_iteration();
        SpectrumRow {
            variant: variant.to_owned(),
            metric: metric.to_owned(),
            // Twelve decimals tell the last of 10¹² requests apart.
            quantile: (step.quantile_iterated_to() * 1e12).round() / 1e12,
            value_ms: units::ms(step.value_iterated_to().min(distribution.max_ns())),
            count,
        }
    };
    histogram.iter_quantiles(TICKS_PER_HALF_DISTANCE).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Meter;

    #[test]
    fn a_spectrum_climbs_from_the_smallest_to_the_largest() {
        let mut meter = Meter::new();
        for ms in 1..=10_000u64 {
            meter.record(ms * 1_000_000);
        }
        let rows = of("default", "latency", &meter.distribution());
        assert!(rows.len() > 30, "{}", rows.len());
        for pair in rows.windows(2) {
            assert!(pair[0].quantile <= pair[1].quantile);
            assert!(pair[0].value_ms <= pair[1].value_ms);
            assert!(pair[0].count <= pair[1].count);
        }
        let last = rows.last().expect("not empty");
        assert_eq!((last.quantile, last.value_ms, last.count), (1.0, 10_000.0, 10_000));
        let half = rows.iter().find(|row| row.quantile == 0.5).expect("a tick");
        assert!((half.value_ms - 5_000.0).abs() <= 5.0, "{half:?}");
    }

    #[test]
    fn nothing_measured_has_no_spectrum() {
        assert!(of("default", "latency", &Distribution::default()).is_empty());
    }
}

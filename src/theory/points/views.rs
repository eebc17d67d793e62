//! Points of who sees what: several balancers, old views, ideals, unequal servers. It must not play
//! them.

use super::{Book, CHAIN, ERLANG, Metric, Point, Servers, known, published};
use crate::chain::{self, mean_time};
use crate::formula;

const LEAST: &str = "\"least_request\"";
const TURNS: &str = "\"round_robin\"";
const TWO: &str = "\"p2c\"";
const THREE: &str = r#"{ name = "p2c", choices = 3 }"#;

impl Book {
    /// A hundred servers; each balancer knows what it has sent itself. The values were published
    /// without intervals.
    pub(super) fn many_balancers(&self, all: &mut Vec<Point>) {
        for (what, strategy, balancers, rho, settle, mean) in [
            ("least requests", LEAST, 2, 0.7, 40.0, 1.409),
            ("least requests", LEAST, 10, 0.7, 80.0, 2.332),
            ("least requests", LEAST, 100, 0.7, 150.0, 3.122),
            ("least requests", LEAST, 2, 0.9, 80.0, 1.640),
            ("least requests", LEAST, 10, 0.9, 250.0, 3.610),
            ("two choices", TWO, 2, 0.9, 60.0, 2.963),
            ("least requests", LEAST, 100, 0.9, 600.0, 6.998),
            ("two choices", TWO, 10, 0.9, 150.0, 4.209),
            ("two choices", TWO, 100, 0.9, 600.0, 7.091),
            ("round robin", TURNS, 2, 0.9, 400.0, 5.318),
            ("round robin", TURNS, 10, 0.9, 400.0, 5.769),
            ("round robin", TURNS, 100, 0.9, 600.0, 7.361),
        ] {
            all.push(self.settled(
                format!("{what} of 100, {balancers} balancers, load {rho}"),
                &format!("{strategy}\nbalancers = {balancers}"),
                &[Servers::exponential(100)],
                100.0 * rho,
                settle,
                [published(Metric::Mean, mean, 0.0)],
            ));
        }
        all.push(self.settled(
            "join an idle of 100, load 0.9",
            r#"{ name = "join_idle_queue", choices = 1 }"#,
            &[Servers::exponential(100)],
            90.0,
            30.0,
            [published(Metric::Mean, 1.072, 0.0)],
        ));
    }

    /// Join-idle-queue as published (Lu and others, 2011): an idle backend tells one balancer. The
    /// table of published values has any of the idle ones taken, and the paper the first, which makes a
    /// difference of up to one in a hundred. So these are of a chain walked through as the paper has
    /// it, for sixty million jobs each; tests/idle_queues walks through it again, for some less.
    pub(super) fn idle_reports(&self, all: &mut Vec<Point>) {
        for (balancers, rho, settle, mean, half) in [
            (2, 0.7, 40.0, 1.0356, 0.0006),
            (10, 0.7, 60.0, 1.2523, 0.0005),
            (100, 0.7, 100.0, 2.2140, 0.0024),
            (2, 0.9, 80.0, 1.1937, 0.0014),
            (10, 0.9, 150.0, 1.8869, 0.0048),
            (100, 0.9, 400.0, 4.9137, 0.0135),
        ] {
            all.push(self.settled(
                format!("told of an idle of 100, {balancers} balancers, load {rho}"),
                &format!(
                    "{{ name = \"join_idle_queue\", choices = 1 }}\nbalancers = {balancers}\n\
                     idle_reports = true"
                ),
                &[Servers::exponential(100)],
                100.0 * rho,
                settle,
                [published(Metric::Mean, mean, half)],
            ));
        }
    }

    /// A board that is brought up to date so often (Mitzenmacher, How useful is old information?,
    /// 2000): whoever comes in between goes by the same numbers.
    pub(super) fn old_views(&self, all: &mut Vec<Point>) {
        for (what, strategy, every, rho, settle, mean) in [
            ("two choices", TWO, 1, 0.5, 40.0, 1.436),
            ("two choices", TWO, 1, 0.9, 80.0, 2.962),
            ("two choices", TWO, 5, 0.9, 120.0, 4.004),
            ("three choices", THREE, 5, 0.5, 60.0, 1.937),
            ("least requests", LEAST, 1, 0.5, 40.0, 1.379),
            ("least requests", LEAST, 1, 0.9, 100.0, 4.008),
        ] {
            all.push(self.settled(
                format!("{what} of 100 from a board of every {every}, load {rho}"),
                &format!("{strategy}\nview = \"shared\"\nview_refresh = \"{every}s\""),
                &[Servers::exponential(100)],
                100.0 * rho,
                settle,
                [published(Metric::Mean, mean, 0.0)],
            ));
        }
        // Whoever sees what all have in flight is one of many that are as one.
        let mean = mean_time(&[1.0; 3], 2.1, 24, chain::shortest);
        all.push(self.point(
            "join the shortest of 3, 20 balancers that see all, load 0.7",
            &format!("{LEAST}\nbalancers = 20\nview = \"shared\""),
            &[Servers::exponential(3)],
            2.1,
            [known(Metric::Mean, mean, CHAIN)],
        ));
    }

    /// Least work left and a queue at the balancer are both M/M/c.
    pub(super) fn ideals(&self, all: &mut Vec<Point>) {
        const QUEUE: &str = "\n[proxy.limits]\nmax_in_flight = 1\n[proxy.queue]\nsize = 1000000\n\
                             wait = \"1000000s\"\n";
        for (what, proxy, servers, rho) in [
            ("least work left of", "\"least_work_left\"".to_string(), 3, 0.85),
            ("least work left of", "\"least_work_left\"".to_string(), 10, 0.8),
            ("one queue for", format!("\"random\"{QUEUE}"), 5, 0.8),
        ] {
            all.push(self.point(
                format!("{what} {servers}, load {rho}"),
                &proxy,
                &[Servers::exponential(servers)],
                rho * f64::from(servers),
                [
                    known(Metric::Mean, formula::mmc_mean(servers, rho), ERLANG),
                    known(Metric::P99, formula::mmc_quantile(servers, rho, 0.99), ERLANG),
                ],
            ));
        }
    }

    /// Of a hundred servers some are slower. The load is by server, as if all were of speed 1.
    pub(super) fn slower_ones(&self, all: &mut Vec<Point>) {
        const IDEAL: &str = "\"least_work_left\"";
        let fifth = || [Servers::exponential(80), Servers::slower(20, 0.5)];
        let half = || [Servers::slower(50, 0.5), Servers::slower(50, 1.5)];
        for (what, strategy, servers, rho, settle, mean) in [
            ("two choices of 80 and 20 of half the speed", TWO, fifth(), 0.6, 80.0, 1.869),
            ("least requests of 80 and 20 of half the speed", LEAST, fifth(), 0.6, 30.0, 1.130),
            ("least requests of 80 and 20 of half the speed", LEAST, fifth(), 0.8, 40.0, 1.179),
            ("least work left of 80 and 20 of half the speed", IDEAL, fifth(), 0.8, 40.0, 1.134),
            ("two choices of 50 of speed 0.5 and 50 of 1.5", TWO, half(), 0.8, 100.0, 3.55),
        ] {
            all.push(self.settled(
                format!("{what}, load {rho}"),
                strategy,
                &servers,
                100.0 * rho,
                settle,
                [published(Metric::Mean, mean, 0.0)],
            ));
        }
    }
}

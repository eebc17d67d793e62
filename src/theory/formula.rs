//! Closed forms of queueing theory. Times are in mean service times, ρ is the load per server,
//! arrivals are Poisson. Pure functions; they must not know the simulator.

/// Erlang's B: the share of arrivals that find `servers` busy and leave, offered `load` (λ/μ).
pub fn erlang_b(servers: u32, load: f64) -> f64 {
    // The recursion over the number of servers, which never overflows.
    (1..=servers).fold(1.0, |blocked, i| load * blocked / (f64::from(i) + load * blocked))
}

/// Erlang's C: the share of arrivals that have to wait in M/M/c.
pub fn erlang_c(servers: u32, rho: f64) -> f64 {
    let blocked = erlang_b(servers, rho * f64::from(servers));
    blocked / (1.0 - rho * (1.0 - blocked))
}

/// The mean time in M/M/c.
pub fn mmc_mean(servers: u32, rho: f64) -> f64 {
    1.0 + erlang_c(servers, rho) / (f64::from(servers) * (1.0 - rho))
}

/// The `p`-quantile of the time in M/M/c: waiting and service are added, both exponential.
pub fn mmc_quantile(servers: u32, rho: f64, p: f64) -> f64 {
    let waits = erlang_c(servers, rho);
    let drain = f64::from(servers) * (1.0 - rho);
    let beyond = |t: f64| {
        if (drain - 1.0).abs() < 1e-9 {
            // The limit of the general term where both rates are equal.
            (-t).exp() * (1.0 + waits * t)
        } else {
            let both = (drain * (-t).exp() - (-drain * t).exp()) / (drain - 1.0);
            (1.0 - waits) * (-t).exp() + waits * both
        }
    };
    root(|t| beyond(t) - (1.0 - p), 0.0, 1e6)
}

/// The share of arrivals that find c servers busy and `queue` places taken: M/M/c/(c+queue).
pub fn mmck_blocked(servers: u32, queue: u32, rho: f64) -> f64 {
    // From Erlang's B on, every further place multiplies by ρ.
    let blocked = erlang_b(servers, rho * f64::from(servers));
    let last = blocked * rho.powi(queue as i32);
    let waiting: f64 = (1..=queue).map(|i| rho.powi(i as i32)).sum();
    last / (1.0 + blocked * waiting)
}

/// Pollaczek and Khinchine: the mean time in M/G/1, first come first served; `scv` is the squared
/// coefficient of variation of the service time.
pub fn mg1_mean(rho: f64, scv: f64) -> f64 {
    1.0 + rho * (1.0 + scv) / (2.0 * (1.0 - rho))
}

/// The mean time in M/G/1 with processor sharing, whatever the service time's distribution.
pub fn ps_mean(rho: f64) -> f64 {
    1.0 / (1.0 - rho)
}

/// Round robin over n servers gives each of them every n-th arrival: E_n/M/1, in which the time is
/// exponential. This is its mean; [`exponential_quantile`] gives the rest.
pub fn round_robin_mean(servers: u32, rho: f64) -> f64 {
    let n = f64::from(servers);
    let rate = n * rho;
    // The root below 1 of s = E[e^(−(1−s)·gap)]; 1 itself is the other one.
    let s = root(|s| s - (rate / (rate + 1.0 - s)).powi(servers as i32), 0.0, 1.0 - 1e-9);
    1.0 / (1.0 - s)
}

/// A random split is independent M/M/1 queues; `speeds` of the servers, `arrivals` at each.
pub fn random_split_mean(speeds: &[f64], arrivals: f64) -> f64 {
    speeds.iter().map(|speed| 1.0 / (speed - arrivals)).sum::<f64>() / speeds.len() as f64
}

/// The `p`-quantile of an exponential time.
pub fn exponential_quantile(mean: f64, p: f64) -> f64 {
    -mean * (1.0 - p).ln()
}

/// The mean time under d choices with infinitely many servers (Mitzenmacher 1996; Vvedenskaya,
/// Dobrushin, Karpelevich 1996).
pub fn supermarket_mean(choices: u32, rho: f64) -> f64 {
    let d = f64::from(choices);
    let mut sum = 0.0;
    for i in 1..64 {
        let term = rho.powf((d.powi(i) - d) / (d - 1.0));
        sum += term;
        if term < 1e-15 {
            break;
        }
    }
    sum
}

/// Join-idle-queue with fallback to a random server, `balancers` of them, many servers (Lu et al.
/// 2011): the approximation of the paper, which has nobody but idle ones in the queues. It is no
/// oracle: see how far off it is in the tests.
pub fn join_idle_queue_mean(servers: f64, balancers: f64, rho: f64) -> f64 {
    let idle = servers / balancers * (1.0 - rho);
    let found = idle / (1.0 + idle);
    1.0 / (1.0 - rho * (1.0 - found))
}

/// Where a continuous function changes its sign, by halving.
fn root(f: impl Fn(f64) -> f64, mut low: f64, mut high: f64) -> f64 {
    let rises = f(high) > f(low);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if (f(middle) > 0.0) == rises {
            high = middle;
        } else {
            low = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(measured: f64, known: f64) {
        assert!((measured / known - 1.0).abs() < 2e-4, "{measured}, not {known}");
    }

    /// Values as they stand in tables of the literature.
    #[test]
    fn the_formulas_give_the_values_of_the_tables() {
        close(mmc_mean(1, 0.9), 10.0);
        close(mmc_quantile(1, 0.9, 0.99), 46.0517);
        for (c, rho, waits, mean, p99) in [
            (2, 0.8, 0.711_111, 2.777_778, 11.9374),
            (5, 0.8, 0.554_113, 1.554_113, 6.0797),
            (10, 0.9, 0.668_732, 1.668_732, 6.2499),
            (100, 0.99, 0.882_768, 1.882_768, 6.5149),
            (1000, 0.99, 0.659_080, 1.065_908, 4.6758),
        ] {
            close(erlang_c(c, rho), waits);
            close(mmc_mean(c, rho), mean);
            close(mmc_quantile(c, rho, 0.99), p99);
        }
        close(mg1_mean(0.9, 0.25), 6.625);
        close(mg1_mean(0.8, 10.0), 23.0);
        close(ps_mean(0.8), 5.0);
        for (n, rho, mean, p99) in [
            (1, 0.7, 3.3333, 15.351),
            (2, 0.8, 3.8440, 17.702),
            (10, 0.95, 11.1549, 51.37),
            (10, 0.99, 55.151, 254.0),
        ] {
            close(round_robin_mean(n, rho), mean);
            close(exponential_quantile(round_robin_mean(n, rho), 0.99), p99);
        }
        let mut speeds = vec![1.0; 80];
        speeds.extend([0.5; 20]);
        close(random_split_mean(&speeds, 0.4), 3.3333);
        for (d, rho, mean) in [(2, 0.9, 2.6141), (3, 0.8, 1.5809), (5, 0.99, 2.9017)] {
            close(supermarket_mean(d, rho), mean);
        }
        close(join_idle_queue_mean(100.0, 10.0, 0.9), 1.818);
        // One server and no queue loses ρ/(1+ρ); one place more, ρ²/(1+ρ+ρ²).
        close(mmck_blocked(1, 0, 0.5), 1.0 / 3.0);
        close(mmck_blocked(1, 1, 0.5), 0.25 / 1.75);
        close(mmck_blocked(2, 0, 0.5), erlang_b(2, 1.0));
    }

    /// Against simulated means with a hundred servers (see `points`): right where hardly any chance
    /// is needed, some percent low with ten balancers, 12 % high where each has one server to itself.
    #[test]
    fn the_approximation_for_idle_queues_is_off_by_some_percent() {
        for (balancers, rho, simulated, off) in [
            (1.0, 0.9, 1.072, 0.016),
            (10.0, 0.9, 1.8869, -0.036),
            (100.0, 0.9, 4.874, 0.128),
            (10.0, 0.7, 1.2523, -0.032),
            (100.0, 0.7, 2.198, -0.014),
        ] {
            let found = join_idle_queue_mean(100.0, balancers, rho) / simulated - 1.0;
            assert!((found - off).abs() < 0.001, "{balancers} {rho}: {found}");
        }
    }
}

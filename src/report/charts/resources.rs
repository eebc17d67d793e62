//! CPU and memory of each process over time. Simulated runs have none.

use std::collections::BTreeMap;

use record::Run;
use record::rows::ResourceRow;

use super::Chart;
use crate::figure::{Frame, Key, Sample};
use crate::format;
use crate::panel::{Look, Panel, Points};
use crate::scale::Scale;
use crate::theme;
use crate::timeline::{median_of, window_end};

pub(super) const NAME: &str = "resources";

/// Rows of panels.
const MAX_VARIANTS: usize = 4;
const MAX_PROCESSES: usize = theme::PALETTE.len();

pub(super) fn draw(run: &Run) -> Option<Chart> {
    let of_process = |row: &&ResourceRow| row.cpu_percent.is_some() || row.rss_bytes.is_some();
    let mut processes: Vec<&str> = Vec::new();
    for row in run.resources.iter().filter(of_process) {
        if !processes.contains(&row.process.as_str()) && processes.len() < MAX_PROCESSES {
            processes.push(&row.process);
        }
    }
    if processes.is_empty() {
        return None;
    }
    let all = run.summary.variants.len();
    let variants: Vec<&str> =
        run.summary.variants.iter().take(MAX_VARIANTS).map(|v| v.name.as_str()).collect();
    let of = |value: fn(&ResourceRow) -> Option<f64>| -> Vec<Vec<Points>> {
        let of_variant = |v: &&str| processes.iter().map(|p| line(run, v, p, value)).collect();
        variants.iter().map(of_variant).collect()
    };
    let cpu = of(|row| row.cpu_percent);
    let memory = of(|row| row.rss_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)));
    let single = variants.len() == 1;
    let heading = |what: &str, variant: &str| {
        if single { what.to_owned() } else { format!("{variant}: {what}") }
    };
    let frame = Frame {
        title: "Resources over time".to_owned(),
        subtitle: format!(
            "per process, windows of {} s; rounds as their median",
            format::trimmed(run.summary.window_s)
        ),
        legend: processes
            .iter()
            .enumerate()
            .map(|(i, process)| Key::new(*process, Sample::Line(Look::of(i))))
            .collect(),
        headings: variants
            .iter()
            .flat_map(|v| [heading("CPU, % of one core", v), heading("resident memory, MiB", v)])
            .collect(),
        columns: 2,
        panel_height: if single { 200.0 } else { 150.0 },
        margin: 0.0,
    };
    let (mut scene, areas) = frame.draw();
    let values = |lines: &[Vec<Points>]| -> Vec<f64> {
        lines.iter().flatten().flatten().filter_map(|point| point.1).collect()
    };
    let scales = [Scale::from_zero(values(&cpu)), Scale::from_zero(values(&memory))];
    for (i, area) in areas.iter().enumerate() {
        let (x, unit) = Scale::of_time(run.summary.duration_s);
        let panel = Panel { area: *area, x, y: scales[i % 2].clone() };
        panel.draw_axes(&mut scene, frame.is_lowest(i));
        if frame.is_lowest(i) {
            panel.draw_x_title(
                &mut scene,
                &format!("time from the end of the warm-up ({})", unit.word()),
            );
        }
        let lines = if i.is_multiple_of(2) { &cpu[i / 2] } else { &memory[i / 2] };
        for (number, line) in lines.iter().enumerate() {
            panel.draw_line(&mut scene, line, Look::of(number), number);
        }
    }
    Some(Chart {
        name: NAME,
        title: "Resources over time",
        reading: "“proxy” is the system under test, “backends” the fake servers, “lab” the built-in generator with everything round it, “artillery” the one that takes its place. A generator near 100 % measures itself; a proxy whose memory only climbs leaks or queues.",
        alt: alt(run, &variants),
        left_out: (all > MAX_VARIANTS).then(|| {
            format!("{MAX_VARIANTS} of {all} variants shown: the first in the scenario's order.")
        }),
        scene,
    })
}

/// One process of one variant: in each window the median of its rounds.
fn line(run: &Run, variant: &str, process: &str, value: fn(&ResourceRow) -> Option<f64>) -> Points {
    let mut rounds: BTreeMap<i64, (f64, Vec<f64>)> = BTreeMap::new();
    let rows = run
        .resources
        .iter()
        .filter(|row| row.variant == variant && row.process == process && row.t_s.is_finite());
    for row in rows {
        let middle = f64::midpoint(row.t_s, window_end(run, row.t_s));
        let window = rounds.entry((row.t_s * 1e3).round() as i64).or_insert((middle, Vec::new()));
        window.1.extend(value(row));
    }
    rounds.into_values().map(|(t, values)| (t, median_of(values))).collect()
}

fn alt(run: &Run, variants: &[&str]) -> String {
    let shown = run.summary.variants.iter().filter(|v| variants.contains(&v.name.as_str()));
    let each: Vec<String> = shown
        .map(|variant| {
            let processes = variant.resources.iter().map(|(name, used)| {
                let cpu = format::short(used.cpu_seconds);
                format!("{name} {cpu} s of CPU, at most {}", format::mebibytes(used.rss_peak_bytes))
            });
            format!("{}: {}", variant.name, processes.collect::<Vec<_>>().join(", "))
        })
        .collect();
    format!("Lines of CPU and memory of each process over time. {}.", each.join("; "))
}

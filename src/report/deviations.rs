//! The chart of `lab verify`: how far each figure lies from what is known, in standard errors.
//! It must not know what the figures are, nor whether they hold.

use crate::charts::Chart;
use crate::figure::{Frame, Key, Sample};
use crate::panel::{Area, Panel};
use crate::scale::Scale;
use crate::scene::{Align, Marker};
use crate::theme;
use crate::{Artefact, Error, paint_all};

const NAME: &str = "verify";
const ROW: f64 = 20.0;
/// Room for the names.
const NAMES: f64 = 400.0;
const READING: &str = "Each mark is one figure. Within the shaded band chance explains the \
                       distance; marks on both sides of zero say that nothing pulls them one way.";

/// A figure and its distance from what is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Deviation {
    /// What was measured.
    pub name: String,
    /// In standard errors; above zero when the measured value is the larger one.
    pub z: f64,
}

/// Draws `verify.svg` and `verify.png`; beyond ±`bound` chance is no explanation.
///
/// # Errors
/// When the drawing library fails.
pub fn draw(deviations: &[Deviation], bound: f64) -> Result<Vec<Artefact>, Error> {
    let furthest = deviations.iter().map(|d| d.z.abs()).fold(bound, f64::max).min(100.0);
    let frame = Frame {
        title: "Simulated against known".to_owned(),
        subtitle: "in standard errors; in the shaded band chance explains the distance".to_owned(),
        legend: vec![
            Key::new("within the bound", Sample::Mark(Marker::Circle, theme::BLUE)),
            Key::new("beyond it", Sample::Mark(Marker::Cross, theme::VERMILLION)),
        ],
        headings: vec![String::new()],
        columns: 1,
        panel_height: ROW * deviations.len().max(1) as f64,
        margin: 0.0,
    };
    let (mut scene, areas) = frame.draw();
    let area =
        Area { left: areas[0].left + NAMES - 48.0, right: areas[0].right - 20.0, ..areas[0] };
    let panel = Panel { area, x: Scale::around_zero(furthest), y: Scale::of_shares() };
    let band = ((panel.x_at(-bound), area.top), (panel.x_at(bound), area.bottom));
    scene.rect(band.0, band.1, theme::BLUE, 0.07);
    panel.draw_upright_grid(&mut scene);
    let zero = panel.x_at(0.0);
    scene.line(vec![(zero, area.top), (zero, area.bottom)], theme::AXIS, 1.5);
    scene.line(vec![(area.left, area.bottom), (area.right, area.bottom)], theme::AXIS, 1.0);
    for tick in panel.x.ticks() {
        let place = (panel.x_at(tick.value), area.bottom + 14.0);
        scene.text(place, &tick.label, theme::SMALL, theme::MUTED, Align::Middle);
    }
    panel.draw_x_title(&mut scene, "standard errors from the known value");
    for (i, deviation) in deviations.iter().enumerate() {
        let y = area.top + (i as f64 + 0.5) * ROW;
        let name = theme::fitted(&deviation.name, theme::SMALL, NAMES - 20.0);
        scene.text((area.left - 14.0, y), name, theme::SMALL, theme::INK, Align::Right);
        let (marker, colour) = match deviation.z.abs() <= bound {
            true => (Marker::Circle, theme::BLUE),
            false => (Marker::Cross, theme::VERMILLION),
        };
        scene.mark((panel.x_at(deviation.z), y), marker, 4.5, colour);
    }
    let chart = Chart {
        name: NAME,
        title: "Simulated against known",
        reading: READING,
        alt: alt(deviations, bound),
        left_out: None,
        scene,
    };
    let mut artefacts = Vec::new();
    for (chart, svg, png) in paint_all(vec![chart])? {
        let path = |ending| format!("{}.{ending}", chart.name);
        artefacts.push(Artefact { path: path("svg"), bytes: svg.into_bytes() });
        artefacts.push(Artefact { path: path("png"), bytes: png });
    }
    Ok(artefacts)
}

/// The chart in a sentence, and how to read it.
fn alt(deviations: &[Deviation], bound: f64) -> String {
    let beyond = deviations.iter().filter(|d| d.z.abs() > bound).count();
    format!(
        "{} figures, {beyond} of them further than {bound} standard errors from the known value. \
         {READING}",
        deviations.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_drawn_and_those_beyond_the_bound_stand_out() {
        let deviations: Vec<_> = [("here", 0.5), ("there", -3.0), ("far off", 9.0)]
            .map(|(name, z)| Deviation { name: name.into(), z })
            .into();
        let drawn = draw(&deviations, 4.5).expect("it can be drawn");
        let svg = String::from_utf8(drawn[0].bytes.clone()).expect("SVG is text");
        for name in ["here", "there", "far off", "3 figures, 1 of them further"] {
            assert!(svg.contains(name), "{name}");
        }
        assert_eq!(drawn, draw(&deviations, 4.5).expect("here too"), "the same bytes");
        draw(&[], 4.5).expect("nothing can be drawn too");
    }
}

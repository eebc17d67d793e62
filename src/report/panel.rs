//! One pair of axes in a scene: grid, ticks, lines, areas. It must not know what the data mean.

use crate::scale::Scale;
use crate::scene::{Align, Colour, Marker, Point, Scene};
use crate::theme;

/// About this far apart stand the markers of a line.
const MARKER_EVERY: f64 = 110.0;
const MARKER_RADIUS: f64 = 3.2;

/// A rectangle of the picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Area {
    pub(crate) left: f64,
    pub(crate) top: f64,
    pub(crate) right: f64,
    pub(crate) bottom: f64,
}

impl Area {
    pub(crate) fn width(&self) -> f64 {
        self.right - self.left
    }
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) colour: Colour,
    pub(crate) marker: Marker,
    pub(crate) width: f64,
}

impl Look {
    /// The look of the series with this number; after the last colour they begin again.
    pub(crate) fn of(number: usize) -> Self {
        Self {
            colour: theme::PALETTE[number % theme::PALETTE.len()],
            marker: theme::MARKERS[number % theme::MARKERS.len()],
            width: 1.8,
        }
    }

    pub(crate) const fn new(colour: Colour, marker: Marker) -> Self {
        Self { colour, marker, width: 1.8 }
    }
}

/// A series: where on the x axis, and the value where there is one.
pub(crate) type Points = Vec<(f64, Option<f64>)>;

/// A pair of axes and where they stand.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Panel {
    pub(crate) area: Area,
    pub(crate) x: Scale,
    pub(crate) y: Scale,
}

impl Panel {
    pub(crate) fn x_at(&self, x: f64) -> f64 {
        self.area.left + self.x.place(x) * self.area.width()
    }

    pub(crate) fn y_at(&self, y: f64) -> f64 {
        self.area.bottom - self.y.place(y) * (self.area.bottom - self.area.top)
    }

    pub(crate) fn at(&self, x: f64, y: f64) -> Point {
        (self.x_at(x), self.y_at(y))
    }

    /// Grid lines and their labels; `x_labels` only where no panel below has the same axis.
    pub(crate) fn draw_axes(&self, scene: &mut Scene, x_labels: bool) {
        let Area { left, right, bottom, .. } = self.area;
        for tick in self.y.ticks() {
            let y = self.y_at(tick.value);
            scene.line(vec![(left, y), (right, y)], theme::GRID, 1.0);
            scene.text((left - 8.0, y), &tick.label, theme::SMALL, theme::MUTED, Align::Right);
        }
        scene.line(vec![(left, bottom), (right, bottom)], theme::AXIS, 1.0);
        for tick in self.x.ticks() {
            let x = self.x_at(tick.value);
            scene.line(vec![(x, bottom), (x, bottom + 4.0)], theme::AXIS, 1.0);
            if x_labels {
                let place = (x, bottom + 14.0);
                scene.text(place, &tick.label, theme::SMALL, theme::MUTED, Align::Middle);
            }
        }
    }

    /// A vertical grid line at every tick.
    pub(crate) fn draw_upright_grid(&self, scene: &mut Scene) {
        for tick in self.x.ticks() {
            let x = self.x_at(tick.value);
            scene.line(vec![(x, self.area.top), (x, self.area.bottom)], theme::GRID, 1.0);
        }
    }

    pub(crate) fn draw_x_title(&self, scene: &mut Scene, title: &str) {
        let place = (f64::midpoint(self.area.left, self.area.right), self.area.bottom + 34.0);
        scene.text(place, title, theme::TEXT, theme::MUTED, Align::Middle);
    }

    pub(crate) fn draw_y_title(&self, scene: &mut Scene, title: &str) {
        let place = (self.area.left - 52.0, f64::midpoint(self.area.top, self.area.bottom));
        scene.upright_text(place, title, theme::TEXT, theme::MUTED);
    }

    /// A line through the points, with gaps where there is no value. `turn` shifts its markers, so
    /// that series on top of each other do not hide each other's.
    pub(crate) fn draw_line(
        &self,
        scene: &mut Scene,
        points: &[(f64, Option<f64>)],
        look: Look,
        turn: usize,
    ) {
        let mut next_marker = self.area.left + 20.0 + turn as f64 * 27.0;
        for stretch in points.split(|(_, y)| y.is_none()) {
            let places: Vec<Point> =
                stretch.iter().filter_map(|(x, y)| y.map(|y| self.at(*x, y))).collect();
            // A single value between two gaps would be invisible as a line.
            if let [alone] = places[..] {
                scene.mark(alone, look.marker, MARKER_RADIUS * 0.7, look.colour);
            }
            scene.line(places.clone(), look.colour, look.width);
            for place in places {
                if place.0 >= next_marker {
                    scene.mark(place, look.marker, MARKER_RADIUS, look.colour);
                    next_marker = place.0 + MARKER_EVERY;
                }
            }
        }
    }

    /// A dashed line without markers.
    pub(crate) fn draw_dashes(&self, scene: &mut Scene, points: &[(f64, Option<f64>)], look: Look) {
        for stretch in points.split(|(_, y)| y.is_none()) {
            let places = stretch.iter().filter_map(|(x, y)| y.map(|y| self.at(*x, y)));
            scene.dashes(places.collect(), look.colour, look.width);
        }
    }

    /// A line without markers.
    pub(crate) fn draw_bare_line(
        &self,
        scene: &mut Scene,
        points: &[(f64, Option<f64>)],
        look: Look,
    ) {
        for stretch in points.split(|(_, y)| y.is_none()) {
            let places = stretch.iter().filter_map(|(x, y)| y.map(|y| self.at(*x, y)));
            scene.line(places.collect(), look.colour, look.width);
        }
    }

    /// The ground between two lines, with gaps where either has no value.
    pub(crate) fn draw_between(
        &self,
        scene: &mut Scene,
        points: &[(f64, Option<(f64, f64)>)],
        colour: Colour,
        alpha: f64,
    ) {
        for stretch in points.split(|(_, pair)| pair.is_none()) {
            let side = |of: fn((f64, f64)) -> f64| {
                stretch.iter().filter_map(move |(x, pair)| pair.map(|pair| self.at(*x, of(pair))))
            };
            let upper = side(|pair| pair.1);
            let lower: Vec<Point> = side(|pair| pair.0).collect();
            scene.area(upper.chain(lower.into_iter().rev()).collect(), colour, alpha);
        }
    }

    /// Columns side by side, from `low` to `high` of each (from, to, low, high).
    pub(crate) fn draw_columns(
        &self,
        scene: &mut Scene,
        columns: &[(f64, f64, f64, f64)],
        colour: Colour,
    ) {
        for &(from, to, low, high) in columns.iter().filter(|column| column.3 > column.2) {
            let (mut left, mut right) = (self.x_at(from), self.x_at(to));
            // A gap lets single windows be seen where they are wide enough for one.
            if right - left > 4.0 {
                right -= 1.0;
            }
            // And what happened is never too thin to be seen.
            if right - left < 1.0 {
                (left, right) = (left - 0.5, right + 0.5);
            }
            let top = self.y_at(high).min(self.y_at(low) - 1.5);
            scene.rect((left, top), (right, self.y_at(low)), colour, 1.0);
        }
    }
}

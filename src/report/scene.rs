//! A picture as a list of shapes, in pixels from the upper left corner. It must not know what the
//! shapes mean or how they reach a file.

/// A place in the picture.
pub(crate) type Point = (f64, f64);

/// Red, green, blue.
pub(crate) type Colour = (u8, u8, u8);

/// Where a text hangs on its place, horizontally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Middle,
    Right,
}

/// The forms that tell series apart where colours cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Marker {
    Circle,
    Square,
    TriangleUp,
    TriangleDown,
    Diamond,
    Ring,
    Cross,
    Plus,
}

/// One thing to draw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// A line through all points; `dash` is the length of a dash and of the gap behind it.
    Line { points: Vec<Point>, colour: Colour, width: f64, dash: Option<(f64, f64)> },
    /// A filled polygon.
    Area { points: Vec<Point>, colour: Colour, alpha: f64 },
    /// A filled rectangle.
    Rect { from: Point, to: Point, colour: Colour, alpha: f64 },
    /// A marker with its radius.
    Mark { at: Point, marker: Marker, radius: f64, colour: Colour },
    /// One line of text, centred on its place vertically.
    Text { at: Point, text: String, size: f64, colour: Colour, align: Align },
    /// The same, read from bottom to top and centred on its place.
    UprightText { at: Point, text: String, size: f64, colour: Colour },
}

/// A picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Scene {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) shapes: Vec<Shape>,
}

impl Scene {
    pub(crate) fn line(&mut self, points: Vec<Point>, colour: Colour, width: f64) {
        if points.len() > 1 {
            let points = without_needless(points);
            self.shapes.push(Shape::Line { points, colour, width, dash: None });
        }
    }

    pub(crate) fn dashed(&mut self, from: Point, to: Point, colour: Colour, width: f64) {
        self.dashes(vec![from, to], colour, width);
    }

    /// A dashed line through all points.
    pub(crate) fn dashes(&mut self, points: Vec<Point>, colour: Colour, width: f64) {
        if points.len() > 1 {
            let (points, dash) = (without_needless(points), Some((6.0, 4.0)));
            self.shapes.push(Shape::Line { points, colour, width, dash });
        }
    }

    pub(crate) fn area(&mut self, points: Vec<Point>, colour: Colour, alpha: f64) {
        if points.len() > 2 {
            let points = without_needless(points);
            self.shapes.push(Shape::Area { points, colour, alpha });
        }
    }

    pub(crate) fn rect(&mut self, from: Point, to: Point, colour: Colour, alpha: f64) {
        self.shapes.push(Shape::Rect { from, to, colour, alpha });
    }

    pub(crate) fn mark(&mut self, at: Point, marker: Marker, radius: f64, colour: Colour) {
        self.shapes.push(Shape::Mark { at, marker, radius, colour });
    }

    pub(crate) fn text(
        &mut self,
        at: Point,
        text: impl Into<String>,
        size: f64,
        colour: Colour,
        align: Align,
    ) {
        self.shapes.push(Shape::Text { at, text: text.into(), size, colour, align });
    }

    pub(crate) fn upright_text(
        &mut self,
        at: Point,
        text: impl Into<String>,
        size: f64,
        colour: Colour,
    ) {
        self.shapes.push(Shape::UprightText { at, text: text.into(), size, colour });
    }
}

/// Leaves out points between two others on the same level: steps and floors have many.
fn without_needless(points: Vec<Point>) -> Vec<Point> {
    let mut kept: Vec<Point> = Vec::with_capacity(points.len());
    for point in points {
        if let [.., (before, level), (between, same)] = kept[..] {
            let along = (between - before) * (point.0 - between) >= 0.0;
            if level == same && same == point.1 && along {
                kept.pop();
            }
        }
        kept.push(point);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_points_that_change_nothing_are_left_out() {
        for (points, kept) in [
            (
                vec![(0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (2.0, 5.0)],
                vec![(0.0, 1.0), (2.0, 1.0), (2.0, 5.0)],
            ),
            (vec![(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)], vec![(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]),
            // There and back again is a line of its own.
            (vec![(0.0, 1.0), (5.0, 1.0), (2.0, 1.0)], vec![(0.0, 1.0), (5.0, 1.0), (2.0, 1.0)]),
        ] {
            assert_eq!(without_needless(points), kept);
        }
    }
}

//! A scene becomes an SVG or a PNG file, both through plotters. It must not know what a scene shows.

use plotters::backend::{BitMapBackend, DrawingBackend, SVGBackend};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontDesc, FontStyle, FontTransform, RGBAColor, ShapeStyle, TextStyle};

use crate::scene::{Align, Colour, Marker, Point, Scene, Shape};
use crate::theme;

/// A place in the backend's own whole pixels.
type Pixel = (i32, i32);

/// Plotters has whole pixels only; a tenth of one is fine enough for a smooth line.
const SVG_SCALE: f64 = 10.0;
/// Pixels of the PNG file per pixel of the scene, for dense screens and README pages.
const PNG_SCALE: usize = 2;
/// Each pixel of the PNG file is the mean of this many squared: plotters does not smooth edges.
const SMOOTH: usize = 2;

/// The scene as an SVG document whose accessible name is `alt`.
pub(crate) fn svg(scene: &Scene, alt: &str) -> Result<String, String> {
    theme::install_font();
    let mut text = String::new();
    let size = pixels(scene, SVG_SCALE);
    let mut brush = Brush {
        backend: SVGBackend::with_string(&mut text, size),
        scale: SVG_SCALE,
        em: 1.24,
        lift: 0.0,
        whole_lines: true,
    };
    brush.draw(scene)?;
    drop(brush);
    // The document's head is the first line; its size becomes the scene's, its inside keeps tenths.
    let body = text.split_once('\n').map_or("", |(_, body)| body);
    let body = body.replace(" opacity=\"1\"", "").replace("\n</text>", "</text>");
    let (width, height) = pixels(scene, 1.0);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n{body}",
        size.0,
        size.1,
        escaped(alt)
    ))
}

/// The scene as a PNG file, [`PNG_SCALE`] times as large.
pub(crate) fn png(scene: &Scene) -> Result<Vec<u8>, String> {
    theme::install_font();
    let scale = PNG_SCALE * SMOOTH;
    let large = pixels(scene, scale as f64);
    let mut pixels = vec![255_u8; large.0 as usize * large.1 as usize * 3];
    let mut brush = Brush {
        backend: BitMapBackend::with_buffer(&mut pixels, large),
        scale: scale as f64,
        em: 1.164,
        lift: 0.2,
        whole_lines: false,
    };
    brush.draw(scene)?;
    drop(brush);
    let (width, height) = (large.0 as usize / SMOOTH, large.1 as usize / SMOOTH);
    let smooth = smoothed(&pixels, width, height);
    encoded(&smooth, width, height).map_err(|error| error.to_string())
}

fn pixels(scene: &Scene, scale: f64) -> (u32, u32) {
    ((scene.width * scale).round() as u32, (scene.height * scale).round() as u32)
}

/// The mean of every square of [`SMOOTH`] × [`SMOOTH`] pixels.
fn smoothed(large: &[u8], width: usize, height: usize) -> Vec<u8> {
    let row = width * SMOOTH * 3;
    let mut out = Vec::with_capacity(width * height * 3);
    for y in 0..height {
        for x in 0..width {
            for channel in 0..3 {
                let corner = y * SMOOTH * row + x * SMOOTH * 3 + channel;
                let sum: usize = (0..SMOOTH * SMOOTH)
                    .map(|i| usize::from(large[corner + i / SMOOTH * row + i % SMOOTH * 3]))
                    .sum();
                out.push((sum / (SMOOTH * SMOOTH)) as u8);
            }
        }
    }
    out
}

fn encoded(pixels: &[u8], width: usize, height: usize) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    // Charts are flat areas: a row mostly repeats the one above it.
    encoder.set_filter(png::Filter::Up);
    encoder.set_compression(png::Compression::Balanced);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// For an attribute's value.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            // XML 1.0 has no way to write these.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

struct Brush<B> {
    backend: B,
    scale: f64,
    /// What plotters' size of a font is in ems: each of its backends has its own idea.
    em: f64,
    /// By how many ems the backend draws a text above its place.
    lift: f64,
    /// Whether the backend joins the parts of a thick line well.
    whole_lines: bool,
}

impl<B: DrawingBackend> Brush<B> {
    fn draw(&mut self, scene: &Scene) -> Result<(), String> {
        self.rect((0.0, 0.0), (scene.width, scene.height), theme::PAPER, 1.0)?;
        for shape in &scene.shapes {
            match shape {
                Shape::Line { points, colour, width, dash: None } => {
                    self.line(points, *colour, *width)?;
                }
                Shape::Line { points, colour, width, dash: Some(dash) } => {
                    // A bend does not begin the pattern anew: short pieces would look solid.
                    let mut begun = 0.0;
                    for pair in points.windows(2) {
                        for (from, to) in dashes(pair[0], pair[1], *dash, begun) {
                            self.line(&[from, to], *colour, *width)?;
                        }
                        let length = (pair[1].0 - pair[0].0).hypot(pair[1].1 - pair[0].1);
                        begun = (begun + length) % (dash.0 + dash.1);
                    }
                }
                Shape::Area { points, colour, alpha } => self.area(points, *colour, *alpha)?,
                Shape::Rect { from, to, colour, alpha } => {
                    self.rect(*from, *to, *colour, *alpha)?;
                }
                Shape::Mark { at, marker, radius, colour } => {
                    self.mark(*at, *marker, *radius, *colour)?;
                }
                Shape::Text { at, text, size, colour, align } => {
                    let h = match align {
                        Align::Left => HPos::Left,
                        Align::Middle => HPos::Center,
                        Align::Right => HPos::Right,
                    };
                    self.text(*at, text, *size, *colour, h, FontTransform::None)?;
                }
                Shape::UprightText { at, text, size, colour } => {
                    let turned = FontTransform::Rotate270;
                    self.text(*at, text, *size, *colour, HPos::Center, turned)?;
                }
            }
        }
        self.backend.present().map_err(|error| error.to_string())
    }

    fn place(&self, (x, y): Point) -> Pixel {
        ((x * self.scale).round() as i32, (y * self.scale).round() as i32)
    }

    fn line(&mut self, points: &[Point], colour: Colour, width: f64) -> Result<(), String> {
        let style = style(colour, 1.0, (width * self.scale).round().max(1.0) as u32);
        let mut places: Vec<Pixel> = points.iter().map(|&p| self.place(p)).collect();
        places.dedup();
        if self.whole_lines {
            return self.backend.draw_path(places, &style).map_err(|error| error.to_string());
        }
        let joint = (width * self.scale / 2.0) as u32;
        for pair in places.windows(2) {
            self.backend.draw_path(pair.to_vec(), &style).map_err(|error| error.to_string())?;
            if joint > 1 {
                let drawn = self.backend.draw_circle(pair[1], joint, &style, true);
                drawn.map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }

    fn area(&mut self, points: &[Point], colour: Colour, alpha: f64) -> Result<(), String> {
        let mut places: Vec<Pixel> = points.iter().map(|&p| self.place(p)).collect();
        places.dedup();
        let drawn = self.backend.fill_polygon(places, &style(colour, alpha, 1));
        drawn.map_err(|error| error.to_string())
    }

    fn rect(&mut self, from: Point, to: Point, colour: Colour, alpha: f64) -> Result<(), String> {
        let (from, to) = (self.place(from), self.place(to));
        let drawn = self.backend.draw_rect(from, to, &style(colour, alpha, 1), true);
        drawn.map_err(|error| error.to_string())
    }

    fn mark(&mut self, at: Point, marker: Marker, r: f64, colour: Colour) -> Result<(), String> {
        let (x, y) = at;
        let corner = |dx: f64, dy: f64| (x + r * dx, y + r * dy);
        match marker {
            Marker::Circle | Marker::Ring => {
                let (centre, radius) = (self.place(at), (r * self.scale).round() as u32);
                let full = style(colour, 1.0, 1);
                let drawn = self.backend.draw_circle(centre, radius, &full, true);
                drawn.map_err(|error| error.to_string())?;
                if marker == Marker::Ring {
                    let (hole, radius) =
                        (style(theme::PAPER, 1.0, 1), (r * self.scale * 0.55) as u32);
                    let drawn = self.backend.draw_circle(centre, radius, &hole, true);
                    drawn.map_err(|error| error.to_string())?;
                }
                Ok(())
            }
            Marker::Square => self.rect(corner(-0.9, -0.9), corner(0.9, 0.9), colour, 1.0),
            Marker::TriangleUp => {
                self.area(&[corner(0.0, -1.2), corner(1.1, 0.8), corner(-1.1, 0.8)], colour, 1.0)
            }
            Marker::TriangleDown => {
                self.area(&[corner(0.0, 1.2), corner(1.1, -0.8), corner(-1.1, -0.8)], colour, 1.0)
            }
            Marker::Diamond => {
                let corners =
                    [corner(0.0, -1.3), corner(1.3, 0.0), corner(0.0, 1.3), corner(-1.3, 0.0)];
                self.area(&corners, colour, 1.0)
            }
            Marker::Cross => {
                self.line(&[corner(-1.0, -1.0), corner(1.0, 1.0)], colour, r * 0.6)?;
                self.line(&[corner(-1.0, 1.0), corner(1.0, -1.0)], colour, r * 0.6)
            }
            Marker::Plus => {
                self.line(&[corner(-1.2, 0.0), corner(1.2, 0.0)], colour, r * 0.6)?;
                self.line(&[corner(0.0, -1.2), corner(0.0, 1.2)], colour, r * 0.6)
            }
        }
    }

    fn text(
        &mut self,
        at: Point,
        text: &str,
        size: f64,
        colour: Colour,
        h: HPos,
        turned: FontTransform,
    ) -> Result<(), String> {
        let lift = if matches!(turned, FontTransform::None) { self.lift * size } else { 0.0 };
        let place = self.place((at.0, at.1 + lift));
        let font = FontDesc::new(theme::FAMILY, size * self.scale * self.em, FontStyle::Normal);
        let ink = rgba(colour, 1.0);
        let style = TextStyle::from(font.transform(turned)).color(&ink);
        let style = style.pos(Pos::new(h, VPos::Center));
        // Control characters have no glyph, and XML no way to write them.
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.backend.draw_text(&text, &style, place).map_err(|error| error.to_string())
    }
}

fn rgba((r, g, b): Colour, alpha: f64) -> RGBAColor {
    RGBAColor(r, g, b, alpha)
}

fn style(colour: Colour, alpha: f64, stroke_width: u32) -> ShapeStyle {
    ShapeStyle { color: rgba(colour, alpha), filled: true, stroke_width }
}

/// The parts of a straight line that are drawn; so much of the pattern lies before it.
fn dashes(from: Point, to: Point, (on, off): (f64, f64), begun: f64) -> Vec<(Point, Point)> {
    let length = (to.0 - from.0).hypot(to.1 - from.1);
    let along = |d: f64| {
        let part = (d / length).clamp(0.0, 1.0);
        (from.0 + (to.0 - from.0) * part, from.1 + (to.1 - from.1) * part)
    };
    // A picture is never wider than a few thousand dashes; a line that leaves it is not drawn on.
    let count = ((length + begun) / (on + off)).ceil().clamp(0.0, 2000.0) as usize;
    (0..count)
        .map(|i| i as f64 * (on + off) - begun)
        .filter(|at| at + on > 0.0)
        .map(|at| (along(at), along(at + on)))
        .collect()
}

//! Colours, sizes and the font of every chart. It must not know what is drawn with them.

use std::sync::Once;

use plotters::style::{FontFamily, FontStyle, register_font};

use crate::scene::{Colour, Marker};

/// The width of every chart.
pub(crate) const WIDTH: f64 = 960.0;

pub(crate) const PAPER: Colour = (255, 255, 255);
/// Text that is read first. Contrast with the paper 15:1.
pub(crate) const INK: Colour = (0x1f, 0x23, 0x28);
/// Axis titles, ticks, notes. Contrast 6:1.
pub(crate) const MUTED: Colour = (0x57, 0x60, 0x6a);
pub(crate) const GRID: Colour = (0xe4, 0xe7, 0xeb);
pub(crate) const AXIS: Colour = (0x9a, 0xa2, 0xab);
/// The ground of a fault's band.
pub(crate) const BAND: Colour = (0xd5, 0x5e, 0x00);
/// What is put together from many ("others", "offered").
pub(crate) const OTHERS: Colour = (0xb4, 0xba, 0xc1);

pub(crate) const TITLE: f64 = 16.0;
pub(crate) const TEXT: f64 = 12.0;
pub(crate) const SMALL: f64 = 11.0;

/// Okabe and Ito's colours, which people with any kind of colour blindness can tell apart;
/// the yellow, weak on white, comes last.
pub(crate) const PALETTE: [Colour; 8] =
    [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, (0x3c, 0x3c, 0x3c), (0xf0, 0xe4, 0x42)];
pub(crate) const BLUE: Colour = (0x00, 0x72, 0xb2);
pub(crate) const VERMILLION: Colour = (0xd5, 0x5e, 0x00);
pub(crate) const GREEN: Colour = (0x00, 0x9e, 0x73);
pub(crate) const PURPLE: Colour = (0xcc, 0x79, 0xa7);
pub(crate) const ORANGE: Colour = (0xe6, 0x9f, 0x00);
pub(crate) const SKY: Colour = (0x56, 0xb4, 0xe9);

/// One form a colour, so that no reader depends on the colour.
pub(crate) const MARKERS: [Marker; 8] = [
    Marker::Circle,
    Marker::Square,
    Marker::TriangleUp,
    Marker::Diamond,
    Marker::TriangleDown,
    Marker::Ring,
    Marker::Cross,
    Marker::Plus,
];

/// The colour mixed with paper: large grounds in full colour shout.
pub(crate) fn softened((r, g, b): Colour) -> Colour {
    let mix = |of: u8, paper: u8| ((u16::from(of) * 4 + u16::from(paper)) / 5) as u8;
    (mix(r, PAPER.0), mix(g, PAPER.1), mix(b, PAPER.2))
}

/// The family under which the embedded font is known; in SVG files the reader's sans-serif.
pub(crate) const FAMILY: FontFamily<'static> = FontFamily::SansSerif;

static FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");

/// Makes the embedded font known to plotters, which finds none without it.
pub(crate) fn install_font() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let installed = register_font(FAMILY.as_str(), FontStyle::Normal, FONT);
        assert!(installed.is_ok(), "the embedded font is a whole TrueType file");
    });
}

/// The width of a text in pixels.
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    install_font();
    // Measured large: plotters rounds to whole pixels. Its size is the line's height, 1.164 em here.
    let font = plotters::style::FontDesc::new(FAMILY, 1164.0, FontStyle::Normal);
    let (width, _) = font.box_size(text).expect("the font was installed above");
    f64::from(width) * size / 1000.0
}

/// The text cut down to `room` pixels, with an ellipsis where something is missing.
pub(crate) fn fitted(text: &str, size: f64, room: f64) -> String {
    if text_width(text, size) <= room {
        return text.to_owned();
    }
    // Longer texts than this never fit a chart; measuring them char by char would take forever.
    let mut kept: String = text.chars().take(200).collect();
    while !kept.is_empty() && text_width(&kept, size) + size > room {
        kept.pop();
    }
    kept.push('…');
    kept
}

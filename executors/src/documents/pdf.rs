//! PDF: text by page out of its glyphs, metadata, number of pages.
//!
//! Invariant: text is what a reader could select, invisible text layers of scans included; a page whose glyphs have no
//! known characters counts as one without text.

use std::sync::Arc;

use hayro::hayro_interpret::font::{Glyph, GlyphRun};
use hayro::hayro_interpret::hayro_cmap::BfString;
use hayro::hayro_interpret::util::TransformExt;
use hayro::hayro_interpret::{
    BlendMode, ClipPath, Context, Device, DrawMode, DrawProps, Image, ImageDrawProps, InterpreterCache,
    InterpreterSettings, SoftMask, interpret_page,
};
use hayro::hayro_syntax::object::DateTime;
use hayro::hayro_syntax::page::Page as PdfPage;
use hayro::hayro_syntax::{LoadPdfError, Pdf};
use hayro::kurbo::{Affine, BezPath, Point, Rect, Vec2};
use sandbox::JobError;
use serde_json::{Map, Value};

use super::jobs::{Extracted, Page, TextPage};
use super::kind::FileType;
use super::pdf_lines::{self, Spot};
use super::raster;
use super::selection::Selection;

/// Glyphs that are looked at on one page; what comes after is dropped.
const GLYPHS: usize = 1_000_000;
/// Font units of an em, as the interpreter scales all fonts.
const EM: f64 = 1000.0;

pub(crate) fn open(bytes: &[u8]) -> Result<Pdf, JobError> {
    match Pdf::new(bytes.to_vec()) {
        Ok(pdf) if pdf.pages().is_empty() => {
            Err(JobError::new("document_broken", "The PDF is damaged: no page of it can be found."))
        }
        Ok(pdf) => Ok(pdf),
        Err(LoadPdfError::Decryption(_)) => {
            Err(JobError::new("document_encrypted", "The PDF is locked by a password. Remove it and try again."))
        }
        Err(LoadPdfError::Invalid) => Err(JobError::new("document_broken", "The PDF is damaged and cannot be read.")),
    }
}

pub(crate) fn pages(pdf: &Pdf) -> u32 {
    u32::try_from(pdf.pages().len()).unwrap_or(u32::MAX)
}

/// The page of this number, from 1.
pub(crate) fn page(pdf: &Pdf, number: u32) -> Result<&PdfPage<'_>, JobError> {
    let index = usize::try_from(number).unwrap_or(usize::MAX).wrapping_sub(1);
    pdf.pages().get(index).ok_or_else(|| {
        JobError::new("no_such_page", format!("There is no page {number}; the document has {}.", pages(pdf)))
    })
}

pub(crate) fn extract(bytes: &[u8], selection: Option<&Selection>) -> Result<Extracted, JobError> {
    let pdf = open(bytes)?;
    let count = pages(&pdf);
    let mut extracted = Extracted::new(FileType::Pdf);
    extracted.metadata = metadata(&pdf);
    extracted.page_count = Some(count);
    let settings = settings();
    let cache = InterpreterCache::new();
    for number in Selection::of(selection, count) {
        let spots = spots(page(&pdf, number)?, &cache, &settings);
        let (text, tables) = pdf_lines::read(&spots, number);
        extracted.pages.push(Page { number, text });
        extracted.tables.extend(tables);
    }
    Ok(extracted)
}

/// The chosen pages with the places of their words, in the pixels that a picture of the page would have.
pub(crate) fn text_pages(bytes: &[u8], selection: Option<&Selection>) -> Result<Vec<TextPage>, JobError> {
    let pdf = open(bytes)?;
    let settings = settings();
    let cache = InterpreterCache::new();
    let mut pages = Vec::new();
    for number in Selection::of(selection, self::pages(&pdf)) {
        let page = page(&pdf, number)?;
        let (width, height) = page.render_dimensions();
        let (width, height) = (f64::from(width).max(1.0), f64::from(height).max(1.0));
        let scale = raster::scale(width, height);
        let (spots, drawn) = seen(page, &cache, &settings);
        let (text, _) = pdf_lines::read(&spots, number);
        let words = if text.is_empty() { Vec::new() } else { pdf_lines::words(&spots, scale) };
        let pixels = |points: f64| pdf_lines::pixels(points * scale);
        let (width, height) = (Some(pixels(width)), Some(pixels(height)));
        pages.push(TextPage { number, text, width, height, words, drawn });
    }
    Ok(pages)
}

/// The interpreter's settings: its embedded fonts, and silence.
pub(crate) fn settings() -> InterpreterSettings {
    InterpreterSettings { warning_sink: Arc::new(|_| {}), ..InterpreterSettings::default() }
}

fn spots<'a>(page: &PdfPage<'a>, cache: &InterpreterCache<'a>, settings: &InterpreterSettings) -> Vec<Spot> {
    seen(page, cache, settings).0
}

/// The glyphs of a page, and whether anything else is drawn on it.
fn seen<'a>(page: &PdfPage<'a>, cache: &InterpreterCache<'a>, settings: &InterpreterSettings) -> (Vec<Spot>, bool) {
    let (width, height) = page.render_dimensions();
    let area = Rect::new(0.0, 0.0, f64::from(width), f64::from(height));
    let transform = page.initial_transform(true).to_kurbo();
    let mut context = Context::new(transform, area, cache, page.xref(), settings.clone());
    let mut collector = Collector { spots: Vec::new(), area, drawn: false };
    interpret_page(page, &mut context, &mut collector);
    // Glyphs without known characters are shapes to a reader all the same.
    let drawn = collector.drawn || !collector.spots.is_empty();
    (collector.spots, drawn)
}

/// A device that draws nothing and remembers glyphs.
struct Collector {
    spots: Vec<Spot>,
    area: Rect,
    drawn: bool,
}

impl<'a> Device<'a> for Collector {
    fn draw_glyph_run(&mut self, run: &GlyphRun<'_, 'a>, props: DrawProps<'a>, mode: &DrawMode) {
        // Filled and stroked text comes twice, the second time as a stroke.
        if matches!(mode, DrawMode::Stroke(_)) && self.repeats(run, &props) {
            return;
        }
        for glyph in run.glyphs() {
            if self.spots.len() >= GLYPHS {
                return;
            }
            if let Some(spot) = self.spot(glyph, props.transform * glyph.transform()) {
                self.spots.push(spot);
            }
        }
    }

    fn draw_path(&mut self, _: &BezPath, _: DrawProps<'a>, _: &DrawMode) {
        self.drawn = true;
    }
    fn push_clip_path(&mut self, _: &ClipPath) {}
    fn push_transparency_group(&mut self, _: f32, _: Option<SoftMask<'a>>, _: BlendMode) {}
    fn draw_image(&mut self, _: Image<'a, '_>, _: ImageDrawProps<'a>) {
        self.drawn = true;
    }
    fn pop_clip(&mut self) {}
    fn pop_transparency_group(&mut self) {}
}

impl Collector {
    fn spot(&self, glyph: &Glyph<'_>, transform: Affine) -> Option<Spot> {
        let [a, b, c, d, x, y] = transform.as_coeffs();
        let advance = match glyph {
            Glyph::Outline(glyph) => glyph.advance_width(),
            Glyph::Type3(glyph) => glyph.advance_width(),
        };
        let along = Vec2::new(a, b) * f64::from(advance.unwrap_or(500.0));
        let size = Vec2::new(c, d).hypot() * EM;
        let direction = Vec2::new(a, b);
        let length = direction.hypot();
        let finite = [x, y, size, length, along.x, along.y].iter().all(|number| number.is_finite());
        if !finite || length == 0.0 || size == 0.0 || !self.area.inflate(20.0, 20.0).contains(Point::new(x, y)) {
            return None;
        }
        let text = match glyph.as_unicode() {
            Some(BfString::Char(character)) => character.to_string(),
            Some(BfString::String(text)) => text,
            None => char::REPLACEMENT_CHARACTER.to_string(),
        };
        Some(Spot { start: Point::new(x, y), advance: along, direction: direction / length, size, text })
    }

    fn repeats(&self, run: &GlyphRun<'_, '_>, props: &DrawProps<'_>) -> bool {
        let glyphs = run.glyphs();
        let Some(first) = glyphs.first() else { return true };
        let [.., x, y] = (props.transform * first.transform()).as_coeffs();
        let earlier = self.spots.len().checked_sub(glyphs.len()).and_then(|at| self.spots.get(at));
        earlier.is_some_and(|spot| spot.start.distance(Point::new(x, y)) < 0.01)
    }
}

fn metadata(pdf: &Pdf) -> Map<String, Value> {
    let found = pdf.metadata();
    let mut metadata = Map::new();
    let texts = [
        ("title", &found.title),
        ("author", &found.author),
        ("subject", &found.subject),
        ("keywords", &found.keywords),
        ("creator", &found.creator),
        ("producer", &found.producer),
    ];
    for (name, bytes) in texts {
        if let Some(text) = bytes.as_deref().map(pdf_text).filter(|text| !text.is_empty()) {
            metadata.insert(name.to_owned(), text.into());
        }
    }
    for (name, time) in [("created_at", &found.creation_date), ("modified_at", &found.modification_date)] {
        if let Some(time) = time {
            metadata.insert(name.to_owned(), moment(time).into());
        }
    }
    metadata
}

/// A text string of PDF: UTF-16 or UTF-8 by its mark, else close enough to Latin-1.
fn pdf_text(bytes: &[u8]) -> String {
    let text = if encoding_rs::Encoding::for_bom(bytes).is_some() || std::str::from_utf8(bytes).is_ok() {
        super::text::decode(bytes).text
    } else {
        encoding_rs::mem::decode_latin1(bytes).into_owned()
    };
    text.trim_matches(['\0', ' ', '\u{feff}']).to_owned()
}

fn moment(time: &DateTime) -> String {
    let DateTime { year, month, day, hour, minute, second, utc_offset_hour, utc_offset_minute } = time;
    let offset = if (*utc_offset_hour, *utc_offset_minute) == (0, 0) {
        "Z".to_owned()
    } else {
        format!("{utc_offset_hour:+03}:{utc_offset_minute:02}")
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{offset}")
}

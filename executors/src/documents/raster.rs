//! Pages and images as grey pixels, for OCR.
//!
//! Invariant: no more than [`PIXELS`] come out, and no image of more than [`SOURCE_PIXELS`] is unpacked at all.

use std::io::Cursor;

use bytes::Bytes;
use hayro::vello_cpu::color::palette::css::WHITE;
use hayro::{PixmapSettings, RenderCache, RenderSettings};
use image::imageops::FilterType;
use image::{DynamicImage, GrayImage, ImageDecoder, ImageReader, Limits};
use sandbox::JobError;

use super::jobs::Picture;
use super::{pdf, tiff};

/// What OCR gets at most: a page of A3 at 300 dots per inch, with room.
const PIXELS: u32 = 25_000_000;
/// What is decoded at most.
const SOURCE_PIXELS: u64 = 150_000_000;
const DPI: f64 = 300.0;
/// Pages beyond this size, in points, are scaled down to it: no sheet is larger, but a hostile file may say so.
const SIDE_PIXELS: f64 = 15_000.0;
/// Images with longer sides than this are large enough to read; smaller ones are doubled.
const SMALL_SIDE: u32 = 1_000;
const POINTS_AN_INCH: f64 = 72.0;

/// A page of a PDF at 300 dots per inch, or as near as the limits allow.
pub(crate) fn page(bytes: &[u8], number: u32) -> Result<(Picture, Bytes), JobError> {
    let pdf = pdf::open(bytes)?;
    let page = pdf::page(&pdf, number)?;
    let (width, height) = page.render_dimensions();
    let (width, height) = (f64::from(width).max(1.0), f64::from(height).max(1.0));
    let scale = scale(width, height);
    #[expect(clippy::cast_possible_truncation, reason = "a scale between 0 and 5")]
    let factor = scale as f32;
    let settings = PixmapSettings { x_scale: factor, y_scale: factor, bg_color: WHITE };
    let cache = RenderCache::new();
    let pixmap = hayro::render(page, &cache, &pdf::settings(), &RenderSettings::default(), &settings);
    let (width, height) = (u32::from(pixmap.width()), u32::from(pixmap.height()));
    if width == 0 || height == 0 {
        return Err(JobError::new("document_broken", format!("Page {number} has no area.")));
    }
    let grey = pixmap.data_as_u8_slice().as_chunks::<4>().0.iter();
    let grey: Vec<u8> = grey.map(|[red, green, blue, _]| luma(*red, *green, *blue)).collect();
    let picture = Picture { width, height, scale: 1.0, dpi: scale * POINTS_AN_INCH, pages: pdf::pages(&pdf) };
    Ok((picture, portable(width, height, &grey)))
}

/// Pixels for a point, on a page of this size in points.
pub(crate) fn scale(width: f64, height: f64) -> f64 {
    (DPI / POINTS_AN_INCH).min((f64::from(PIXELS) / (width * height)).sqrt()).min(SIDE_PIXELS / width.max(height))
}

/// A page of an image file of several.
pub(crate) fn image_page(bytes: &[u8], number: u32) -> Result<(Picture, Bytes), JobError> {
    let missing = || JobError::new("no_such_page", format!("There is no page {number} in the image."));
    match tiff::page(bytes, number) {
        Some(turned) => image(&turned),
        None if number == 1 => image(bytes),
        None => Err(missing()),
    }
}

fn luma(red: u8, green: u8, blue: u8) -> u8 {
    let sum = 299 * u32::from(red) + 587 * u32::from(green) + 114 * u32::from(blue);
    u8::try_from(sum / 1000).unwrap_or(u8::MAX)
}

/// An image file, upright, on white. `scale` says how many pixels of the picture one of the file became.
pub(crate) fn image(bytes: &[u8]) -> Result<(Picture, Bytes), JobError> {
    let broken = |error: image::ImageError| match error {
        image::ImageError::Limits(_) => too_large(),
        image::ImageError::Unsupported(_) => JobError::new(
            "unsupported_document",
            "This kind of image cannot be read; PNG, JPEG, TIFF, WebP, BMP and GIF can.",
        ),
        error => JobError::new("document_broken", format!("The image is damaged ({error}).")),
    };
    let reader = ImageReader::new(Cursor::new(bytes))
        .with_guessed_format()
        .map_err(|error| broken(image::ImageError::IoError(error)))?;
    let mut decoder = reader.into_decoder().map_err(broken)?;
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > SOURCE_PIXELS {
        return Err(too_large());
    }
    let mut limits = Limits::default();
    limits.max_alloc = Some(700 << 20);
    decoder.set_limits(limits).map_err(broken)?;
    let orientation = decoder.orientation().map_err(broken)?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(broken)?;
    image.apply_orientation(orientation);
    let grey = on_white(image);
    let (width, height) = grey.dimensions();
    let (grey, scale) = if width.max(height) < SMALL_SIDE { doubled(grey) } else { bounded(grey) };
    let picture = Picture { width: grey.width(), height: grey.height(), scale, dpi: DPI, pages: 1 };
    Ok((picture, portable(grey.width(), grey.height(), grey.as_raw())))
}

/// Small letters are read better when they are larger.
fn doubled(grey: GrayImage) -> (GrayImage, f64) {
    let (width, height) = (grey.width() * 2, grey.height() * 2);
    (DynamicImage::ImageLuma8(grey).resize_exact(width, height, FilterType::CatmullRom).into_luma8(), 2.0)
}

/// No more than [`PIXELS`]: squares of pixels become one, by their mean.
fn bounded(grey: GrayImage) -> (GrayImage, f64) {
    let pixels = u64::from(grey.width()) * u64::from(grey.height());
    let Some(side) = (2..=64).find(|side| pixels > u64::from(PIXELS) && pixels / (side * side) <= u64::from(PIXELS))
    else {
        return (grey, 1.0);
    };
    let side = usize::try_from(side).unwrap_or(1);
    let width = grey.width() as usize;
    let (columns, rows) = (width / side, grey.height() as usize / side);
    let mut means = Vec::with_capacity(columns * rows);
    let mut sums = vec![0_u32; columns];
    for band in grey.as_raw().chunks_exact(width * side) {
        sums.fill(0);
        for row in band.chunks_exact(width) {
            for (sum, square) in sums.iter_mut().zip(row.chunks_exact(side)) {
                *sum += square.iter().map(|pixel| u32::from(*pixel)).sum::<u32>();
            }
        }
        let area = u32::try_from(side * side).unwrap_or(1);
        means.extend(sums.iter().map(|sum| u8::try_from(sum / area).unwrap_or(u8::MAX)));
    }
    let size = |pixels: usize| u32::try_from(pixels).unwrap_or(u32::MAX);
    let bounded = GrayImage::from_raw(size(columns), size(means.len() / columns.max(1)), means);
    bounded.map_or((grey, 1.0), |bounded| (bounded, 1.0 / f64::from(size(side))))
}

fn on_white(image: DynamicImage) -> GrayImage {
    if !image.color().has_alpha() {
        return image.into_luma8();
    }
    let pixels = image.into_luma_alpha8();
    GrayImage::from_fn(pixels.width(), pixels.height(), |x, y| {
        let image::LumaA([luma, alpha]) = *pixels.get_pixel(x, y);
        let (luma, alpha) = (u32::from(luma), u32::from(alpha));
        image::Luma([u8::try_from((luma * alpha + 255 * (255 - alpha)) / 255).unwrap_or(u8::MAX)])
    })
}

/// The size that an image's header claims.
pub(crate) fn dimensions(bytes: &[u8]) -> Option<(u32, u32)> {
    ImageReader::new(Cursor::new(bytes)).with_guessed_format().ok()?.into_dimensions().ok()
}

/// Netpbm's grey map: nothing to decode for whoever reads it.
fn portable(width: u32, height: u32, grey: &[u8]) -> Bytes {
    let mut bytes = format!("P5\n{width} {height}\n255\n").into_bytes();
    bytes.extend_from_slice(grey);
    bytes.into()
}

fn too_large() -> JobError {
    JobError::new("document_too_large", "The image has more pixels than can be read; make it smaller.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_is_too_large_shrinks_by_whole_pixels() {
        let mut large = GrayImage::from_pixel(8_000, 6_002, image::Luma([255]));
        for (x, y) in [(0, 0), (1, 0), (0, 1)] {
            large.put_pixel(x, y, image::Luma([0]));
        }
        let (small, scale) = bounded(large);
        assert_eq!((small.dimensions(), scale), ((4_000, 3_001), 0.5));
        assert_eq!((small.get_pixel(0, 0).0, small.get_pixel(1, 0).0), ([63], [255]));
        let (same, scale) = bounded(GrayImage::new(10, 10));
        assert_eq!((same.dimensions(), scale), ((10, 10), 1.0));
    }
}

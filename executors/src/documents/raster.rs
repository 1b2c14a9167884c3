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
use super::pdf;

/// What OCR gets at most: a page of A3 at 300 dots per inch, with room.
const PIXELS: f64 = 25e6;
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
    let scale = (DPI / POINTS_AN_INCH).min((PIXELS / (width * height)).sqrt()).min(SIDE_PIXELS / width.max(height));
    #[expect(clippy::cast_possible_truncation, reason = "a scale between 0 and 5")]
    let factor = scale as f32;
    let settings = PixmapSettings { x_scale: factor, y_scale: factor, bg_color: WHITE };
    let cache = RenderCache::new();
    let pixmap = hayro::render(page, &cache, &pdf::settings(), &RenderSettings::default(), &settings);
    let (width, height) = (u32::from(pixmap.width()), u32::from(pixmap.height()));
    if width == 0 || height == 0 {
        return Err(JobError::new("document_broken", format!("Page {number} has no area.")));
    }
    let grey = pixmap.data_as_u8_slice().chunks_exact(4).map(|pixel| match pixel {
        [red, green, blue, _] => luma(*red, *green, *blue),
        _ => u8::MAX,
    });
    let grey: Vec<u8> = grey.collect();
    let picture = Picture { width, height, scale: 1.0, dpi: scale * POINTS_AN_INCH, pages: pdf::pages(&pdf) };
    Ok((picture, portable(width, height, &grey)))
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
    let scale = if width.max(height) < SMALL_SIDE {
        2.0
    } else {
        (PIXELS / (f64::from(width) * f64::from(height))).sqrt().min(1.0)
    };
    let grey = if (scale - 1.0).abs() < f64::EPSILON { grey } else { resized(&grey, scale) };
    let picture = Picture { width: grey.width(), height: grey.height(), scale, dpi: DPI, pages: 1 };
    Ok((picture, portable(grey.width(), grey.height(), grey.as_raw())))
}

fn resized(grey: &GrayImage, scale: f64) -> GrayImage {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by PIXELS, and positive")]
    let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    image::imageops::resize(grey, side(grey.width()), side(grey.height()), FilterType::CatmullRom)
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

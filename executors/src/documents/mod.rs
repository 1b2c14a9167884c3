//! Reading documents: what a file is, its text, its tables, its pages as pictures.
//!
//! Invariant: nothing in here but [`faults`] and [`client`] runs in the server's process. Parsers see bytes only inside a
//! sandbox child, under [`client::LIMITS`], and get at no file, no network and no external entity.

mod archive;
mod client;
mod delimited;
mod docx;
mod email;
mod faults;
mod jobs;
mod kind;
mod markup;
mod pdf;
mod pdf_lines;
mod pptx;
mod raster;
mod selection;
mod text;
mod tiff;
mod workbook;
mod xml;

pub(crate) use client::{analyze, extract, no_text_layer, picture, text_pages};
pub(crate) use jobs::{Page, Picture, Table, TextPage, handlers};
pub(crate) use kind::FileType;
pub(crate) use selection::Selection;

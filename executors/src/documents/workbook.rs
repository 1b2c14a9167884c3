//! Workbooks: a page and a table for each sheet with anything in it.
//!
//! Invariant: memory follows the cells that exist, never the range that a sheet claims; at most [`CELLS`] are read.

use std::fmt::Write;
use std::io::Cursor;

use calamine::{DataRef, ExcelDateTime, Reader, Xlsx};
use sandbox::JobError;

use super::archive::Archive;
use super::docx;
use super::jobs::{Extracted, Page, Table};
use super::kind::FileType;

const CELLS: usize = 1_000_000;

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, JobError> {
    // The workbook reader unpacks by itself; the archive is looked through for bombs before it may.
    let mut archive = Archive::open(bytes)?;
    let mut extracted = Extracted::new(FileType::Xlsx);
    extracted.metadata = docx::core_properties(&mut archive)?;
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(|error| broken(&error))?;
    let mut left = CELLS;
    for (number, name) in (1..).zip(workbook.sheet_names()) {
        let rows = sheet(&mut workbook, &name, &mut left)?;
        let lines: Vec<String> = rows.iter().map(|row| row.join("\t").trim_end().to_owned()).collect();
        extracted.pages.push(Page { number, text: lines.join("\n") });
        if !rows.is_empty() {
            extracted.tables.push(Table { page: Some(number), name: Some(name), rows });
        }
    }
    Ok(extracted)
}

fn sheet(workbook: &mut Xlsx<Cursor<&[u8]>>, name: &str, left: &mut usize) -> Result<Vec<Vec<String>>, JobError> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut current = None;
    let mut reader = match workbook.worksheet_cells_reader(name) {
        Ok(reader) => reader,
        // A chart sheet has no cells.
        Err(calamine::XlsxError::NotAWorksheet(_)) => return Ok(rows),
        Err(error) => return Err(broken(&error)),
    };
    while let Some(cell) = reader.next_cell().map_err(|error| broken(&error))? {
        let text = shown(cell.get_value());
        if text.is_empty() {
            continue;
        }
        let (row, column) = cell.get_position();
        if current != Some(row) {
            current = Some(row);
            rows.push(Vec::new());
        }
        let Some(cells) = rows.last_mut() else { continue };
        let column = column as usize;
        // Gaps are cells too: a row with one cell in the last column costs sixteen thousand.
        let cost = (column + 1).saturating_sub(cells.len()).max(1);
        *left = left.checked_sub(cost).ok_or_else(too_many)?;
        if cells.len() <= column {
            cells.resize(column + 1, String::new());
        }
        cells[column] = text;
    }
    let width = rows.iter().map(Vec::len).max().unwrap_or(0);
    let padding: usize = rows.iter().map(|row| width - row.len()).sum();
    if padding <= CELLS {
        for row in &mut rows {
            row.resize(width, String::new());
        }
    }
    Ok(rows)
}

fn shown(value: &DataRef<'_>) -> String {
    match value {
        DataRef::Int(number) => number.to_string(),
        DataRef::Float(number) => number.to_string(),
        DataRef::String(text) | DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => text.trim().to_owned(),
        DataRef::SharedString(text) => text.trim().to_owned(),
        DataRef::Bool(value) => value.to_string(),
        DataRef::DateTime(time) => moment(time),
        DataRef::Error(error) => error.to_string(),
        DataRef::Empty => String::new(),
    }
}

/// ISO 8601; without a time of day if that is midnight.
fn moment(time: &ExcelDateTime) -> String {
    if time.is_duration() {
        return time.as_f64().to_string();
    }
    let (year, month, day, hour, minute, second, _) = time.to_ymd_hms_milli();
    let mut text = format!("{year:04}-{month:02}-{day:02}");
    if (hour, minute, second) != (0, 0, 0) {
        let _ = write!(text, "T{hour:02}:{minute:02}:{second:02}");
    }
    text
}

fn too_many() -> JobError {
    JobError::new("document_too_large", format!("The workbook has more than {CELLS} cells."))
}

fn broken(error: &dyn std::fmt::Display) -> JobError {
    JobError::new("document_broken", format!("The workbook is damaged ({error})."))
}

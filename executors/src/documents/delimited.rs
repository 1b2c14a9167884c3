//! Comma-separated values and their kin: the delimiter is found out.
//!
//! Invariant: a file is only taken for a table if its lines agree on the number of fields.

use sandbox::JobError;

use super::jobs::{Extracted, Table};
use super::kind::FileType;
use super::text;

const DELIMITERS: [u8; 4] = *b",;\t|";
const FIELDS: usize = 2_000_000;

/// The delimiter that splits most lines alike; `None` if none does. `named` is whether the file is called `.csv`: then
/// two lines and a few that disagree are enough.
pub(crate) fn delimiter(text: &str, named: bool) -> Option<u8> {
    let sample: String = text.lines().take(100).map(|line| format!("{line}\n")).collect();
    DELIMITERS
        .iter()
        .filter_map(|delimiter| {
            let counts: Vec<usize> = reader(&sample, *delimiter)
                .byte_records()
                .filter_map(Result::ok)
                .filter(|record| record.iter().any(|field| !field.is_empty()))
                .map(|record| record.len())
                .collect();
            let fields = *counts.first()?;
            let alike = counts.iter().filter(|count| **count == fields).count();
            // Prose has commas too, but hardly the same number in three lines that each have at least two.
            let enough =
                if named { counts.len() >= 2 } else { counts.len() >= 3 || (counts.len() == 2 && fields >= 4) };
            let agree = if named { alike * 10 >= counts.len() * 8 } else { alike == counts.len() };
            let wide = fields >= 3 || (fields == 2 && (named || *delimiter != b',' || counts.len() >= 5));
            (enough && agree && wide).then_some((alike * fields, *delimiter))
        })
        .max_by_key(|(score, _)| *score)
        .map(|(_, delimiter)| delimiter)
}

pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted, JobError> {
    let decoded = text::decode(bytes);
    let whole = text::tidy(&decoded.text);
    let mut extracted = Extracted::new(FileType::Csv);
    let mut rows = Vec::new();
    let mut left = FIELDS;
    if let Some(delimiter) = delimiter(&whole, true) {
        extracted.metadata.insert("delimiter".into(), char::from(delimiter).to_string().into());
        for record in reader(&whole, delimiter).records() {
            let record = record
                .map_err(|error| JobError::new("document_broken", format!("The table cannot be read ({error}).")))?;
            left = left.checked_sub(record.len()).ok_or_else(|| {
                JobError::new("document_too_large", format!("The table has more than {FIELDS} fields."))
            })?;
            rows.push(record.iter().map(str::to_owned).collect());
        }
    }
    extracted.encoding = Some(decoded.encoding);
    extracted.set_text(whole);
    if !rows.is_empty() {
        extracted.tables.push(Table { page: Some(1), name: None, rows });
    }
    Ok(extracted)
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_the_one_that_lines_agree_on() {
        assert_eq!(delimiter("a;b;c\n1,5;2;3\n4;5;6,7\n", false), Some(b';'));
        assert_eq!(delimiter("a,b\n1,2\n", true), Some(b','));
        assert_eq!(delimiter("\"x, y\",b,c\n1,2,3\n4,5,6\n", false), Some(b','));
        assert_eq!(delimiter("Dear all,\nas agreed, we meet.\nBring, if you can, tea.\n", false), None);
    }
}

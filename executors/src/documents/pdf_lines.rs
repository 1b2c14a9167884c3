//! Glyphs of a page into words, lines, paragraphs and tables.
//!
//! Invariant: text keeps the order in which the page draws it, which is how columns stay apart; nothing is drawn twice.

use hayro::kurbo::{Point, Rect, Vec2};

use super::jobs::Table;

/// A gap of this part of the font's size is a space between words.
const WORD_GAP: f64 = 0.15;
/// A gap of this part of the font's size is the border between two cells.
const CELL_GAP: f64 = 0.9;
/// Baselines further apart than this part of the font's size are two lines; sub- and superscripts are nearer.
const LINE_GAP: f64 = 0.5;
/// A distance of this many usual line distances begins a paragraph.
const PARAGRAPH_GAP: f64 = 1.3;

/// One glyph on the page, in points from the upper left corner.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spot {
    pub start: Point,
    /// From its start to the start of what follows.
    pub advance: Vec2,
    /// Of the baseline; length 1.
    pub direction: Vec2,
    pub size: f64,
    pub text: String,
}

/// A line with its cells, in the coordinates of its own baseline.
struct Line {
    direction: Vec2,
    /// Distance of the baseline across its direction: grows downwards.
    across: f64,
    size: f64,
    cells: Vec<Cell>,
}

struct Cell {
    start: f64,
    end: f64,
    text: String,
}

/// The text and the tables of a page.
pub(crate) fn read(spots: &[Spot], page: u32) -> (String, Vec<Table>) {
    let lines = lines(spots);
    let text = text(&lines);
    let unknown = text.matches(char::REPLACEMENT_CHARACTER).count();
    if unknown * 2 > text.chars().filter(|character| !character.is_whitespace()).count() {
        return (String::new(), Vec::new());
    }
    (text, tables(&lines, page))
}

/// The words with their boxes, `[x, y, width, height]` from the upper left corner, at so many pixels a point.
pub(crate) fn words(spots: &[Spot], scale: f64) -> Vec<(String, [u32; 4])> {
    let mut words: Vec<(String, Rect)> = Vec::new();
    let mut before: Option<&Spot> = None;
    for spot in spots {
        let text = clean(&spot.text);
        if text.trim().is_empty() {
            before = None;
            continue;
        }
        // From the baseline up to the height of capitals and a little below it, whichever way the line runs.
        let up = Vec2::new(spot.direction.y, -spot.direction.x) * spot.size;
        let corners = [spot.start + up * 0.8, spot.start - up * 0.2];
        let end = spot.start + spot.advance;
        let place = Rect::from_points(corners[0], corners[1]).union_pt(end + up * 0.8).union_pt(end - up * 0.2);
        let joins = before.is_some_and(|last| {
            let gap = spot.start - (last.start + last.advance);
            gap.hypot() < WORD_GAP * spot.size.max(last.size) && last.direction.dot(spot.direction) > 0.97
        });
        match words.last_mut().filter(|_| joins) {
            Some((word, area)) => {
                word.push_str(&text);
                *area = area.union(place);
            }
            None => words.push((text, place)),
        }
        before = Some(spot);
    }
    let scaled = |area: Rect| [area.x0, area.y0, area.width(), area.height()].map(|points| pixels(points * scale));
    words.into_iter().map(|(text, area)| (text.trim().to_owned(), scaled(area))).collect()
}

/// A number of pixels; nothing lies before the first.
pub(crate) fn pixels(number: f64) -> u32 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a page of limited size")]
    let pixels = number.round().clamp(0.0, f64::from(u32::MAX)) as u32;
    pixels
}

fn lines(spots: &[Spot]) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut before: Option<&Spot> = None;
    for spot in spots {
        let text = clean(&spot.text);
        if text.is_empty() {
            continue;
        }
        let position = spot.start.to_vec2();
        let fits = lines.last().is_some_and(|line| {
            line.direction.dot(spot.direction) > 0.97
                && (line.direction.cross(position) - line.across).abs() < LINE_GAP * line.size.max(spot.size)
        });
        if !fits {
            if text.trim().is_empty() {
                continue;
            }
            lines.push(Line {
                direction: spot.direction,
                across: spot.direction.cross(position),
                size: spot.size,
                cells: Vec::new(),
            });
        }
        let Some(line) = lines.last_mut() else { continue };
        // Boldness is often faked by drawing a glyph again, a hair's breadth to the side.
        let again = before.is_some_and(|before| {
            before.text == spot.text
                && before.start.distance(spot.start) < 0.1 * spot.size
                && !spot.text.trim().is_empty()
        });
        if !again {
            line.add(spot, &text);
        }
        before = Some(spot);
    }
    lines.retain_mut(|line| {
        for cell in &mut line.cells {
            cell.text.truncate(cell.text.trim_end().len());
        }
        line.cells.retain(|cell| !cell.text.is_empty());
        !line.cells.is_empty()
    });
    lines
}

impl Line {
    fn add(&mut self, spot: &Spot, text: &str) {
        let start = self.direction.dot(spot.start.to_vec2());
        let end = start + self.direction.dot(spot.advance);
        let blank = text.trim().is_empty();
        match self.cells.last_mut() {
            Some(cell) if start - cell.end < CELL_GAP * spot.size && start > cell.start - spot.size => {
                let gap = start - cell.end;
                if (gap > WORD_GAP * spot.size || blank) && !cell.text.ends_with(' ') {
                    cell.text.push(' ');
                }
                if !blank {
                    cell.text.push_str(text);
                    // A space that is drawn widens nothing: a row of them must not glue two cells together.
                    cell.end = cell.end.max(end);
                }
            }
            _ if blank => {}
            _ => self.cells.push(Cell { start, end, text: text.to_owned() }),
        }
        self.size = self.size.max(spot.size.min(self.size * 1.5));
    }
}

/// Ligatures apart, exotic spaces plain, invisible characters gone.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{fb00}' => clean.push_str("ff"),
            '\u{fb01}' => clean.push_str("fi"),
            '\u{fb02}' => clean.push_str("fl"),
            '\u{fb03}' => clean.push_str("ffi"),
            '\u{fb04}' => clean.push_str("ffl"),
            '\u{fb05}' | '\u{fb06}' => clean.push_str("st"),
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{feff}' => {}
            character if character.is_whitespace() => clean.push(' '),
            character if character.is_control() => {}
            character => clean.push(character),
        }
    }
    clean
}

fn text(lines: &[Line]) -> String {
    let usual = usual_distance(lines);
    let mut text = String::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(before) = at.checked_sub(1).and_then(|at| lines.get(at)) {
            let distance = line.across - before.across;
            let near = distance > 0.0
                && distance < PARAGRAPH_GAP * usual.max(line.size)
                && before.direction.dot(line.direction) > 0.97;
            text.push_str(if near { "\n" } else { "\n\n" });
        }
        for (at, cell) in line.cells.iter().enumerate() {
            if at > 0 {
                text.push(' ');
            }
            text.push_str(&cell.text);
        }
    }
    text
}

/// The median distance of neighbouring lines.
fn usual_distance(lines: &[Line]) -> f64 {
    let mut distances: Vec<f64> = lines
        .windows(2)
        .filter_map(|pair| match pair {
            [above, below] => Some(below.across - above.across),
            _ => None,
        })
        .filter(|distance| *distance > 0.0 && *distance < 60.0)
        .collect();
    distances.sort_by(f64::total_cmp);
    distances.get(distances.len() / 2).copied().unwrap_or(0.0)
}

/// Runs of lines that fall into the same columns.
fn tables(lines: &[Line], page: u32) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let Some(first) = lines.get(at) else { break };
        let mut columns: Vec<(f64, f64)> = first.cells.iter().map(|cell| (cell.start, cell.end)).collect();
        let rows = lines.iter().skip(at).take_while(|line| line.falls_into(&mut columns)).count();
        if columns.len() >= 2 && rows >= 2 {
            let rows = lines
                .iter()
                .skip(at)
                .take(rows)
                .map(|line| line.cells.iter().map(|cell| cell.text.clone()).collect::<Vec<_>>())
                .collect::<Vec<_>>();
            at += rows.len();
            tables.push(Table { page: Some(page), name: None, rows });
        } else {
            at += 1;
        }
    }
    tables
}

impl Line {
    /// Whether each cell overlaps its column and no other; widens the columns if so.
    fn falls_into(&self, columns: &mut [(f64, f64)]) -> bool {
        let overlaps = |cell: &Cell, column: &(f64, f64)| cell.start < column.1 && cell.end > column.0;
        let fits = self.cells.len() == columns.len()
            && self.cells.iter().enumerate().all(|(at, cell)| {
                columns.iter().enumerate().all(|(other, column)| overlaps(cell, column) == (at == other))
            });
        if fits {
            for (column, cell) in columns.iter_mut().zip(&self.cells) {
                *column = (column.0.min(cell.start), column.1.max(cell.end));
            }
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words at `x`, a glyph five points wide each, size ten.
    fn word(x: f64, y: f64, text: &str) -> Vec<Spot> {
        text.chars()
            .enumerate()
            .map(|(at, character)| Spot {
                start: Point::new(x + 5.0 * f64::from(u32::try_from(at).unwrap()), y),
                advance: Vec2::new(5.0, 0.0),
                direction: Vec2::new(1.0, 0.0),
                size: 10.0,
                text: character.to_string(),
            })
            .collect()
    }

    #[test]
    fn gaps_make_words_lines_and_paragraphs() {
        let spots = [
            word(0.0, 10.0, "One"),
            word(18.0, 10.0, "two"),
            word(0.0, 22.0, "three"),
            word(0.0, 34.0, "four"),
            word(0.0, 60.0, "\u{fb01}ve"),
        ];
        assert_eq!(read(&spots.concat(), 1).0, "One two\nthree\nfour\n\nfive");
    }

    #[test]
    fn a_superscript_stays_in_its_line_and_fake_bold_is_read_once() {
        let mut spots = word(0.0, 10.0, "x");
        spots.extend(word(5.0, 6.5, "2"));
        spots.extend(word(10.0, 10.0, "B"));
        spots.extend(word(10.3, 10.0, "B"));
        assert_eq!(read(&spots, 1).0, "x2B");
    }

    #[test]
    fn aligned_cells_are_a_table_and_prose_is_none() {
        let spots = [
            word(0.0, 10.0, "Name"),
            word(60.0, 10.0, "Sum"),
            word(0.0, 22.0, "Ann"),
            word(65.0, 22.0, "12"),
            word(0.0, 34.0, "just one long line"),
        ];
        let (_, tables) = read(&spots.concat(), 4);
        assert_eq!(
            tables,
            [Table {
                page: Some(4),
                name: None,
                rows: vec![vec!["Name".into(), "Sum".into()], vec!["Ann".into(), "12".into()],]
            }]
        );
    }

    #[test]
    fn a_page_of_unknown_characters_has_no_text() {
        assert_eq!(read(&word(0.0, 10.0, "\u{fffd}\u{fffd}\u{fffd}a"), 1).0, "");
    }
}

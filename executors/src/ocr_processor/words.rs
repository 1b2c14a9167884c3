//! Tesseract's table of words into words, lines and confidence.
//!
//! Invariant: boxes are `[x, y, width, height]` in pixels of the file (of the page at its resolution for a PDF), whatever
//! size the engine saw; confidence is between 0 and 1.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::documents::Picture;

/// A word with its place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Word {
    pub text: String,
    /// `[x, y, width, height]` in pixels, from the upper left corner.
    #[serde(rename = "box")]
    pub place: [u32; 4],
    /// 0 to 1.
    pub confidence: f64,
}

/// The words of a page, with the line and block each stands in.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct PageWords {
    words: Vec<(Position, Word)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// Block and paragraph.
    paragraph: (u32, u32),
    line: u32,
}

/// Columns: level, page, block, paragraph, line, word, left, top, width, height, confidence, text.
pub(crate) fn parse(table: &str, picture: &Picture) -> PageWords {
    PageWords { words: table.lines().filter_map(|line| row(line, picture.scale)).collect() }
}

fn row(line: &str, scale: f64) -> Option<(Position, Word)> {
    let fields: Vec<&str> = line.splitn(12, '\t').collect();
    let [level, _, block, paragraph, line, _, left, top, width, height, confidence, text] = fields.as_slice() else {
        return None;
    };
    let text = text.trim();
    let confidence: f64 = confidence.parse().ok()?;
    if *level != "5" || confidence < 0.0 || text.is_empty() {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a pixel of a picture of limited size")]
    let pixels = |field: &str| field.parse::<f64>().ok().map(|number| (number / scale).round().max(0.0) as u32);
    let position = Position { paragraph: (block.parse().ok()?, paragraph.parse().ok()?), line: line.parse().ok()? };
    let place = [pixels(left)?, pixels(top)?, pixels(width)?, pixels(height)?];
    let confidence = (confidence / 100.0).clamp(0.0, 1.0);
    Some((position, Word { text: text.to_owned(), place, confidence: (confidence * 1e4).round() / 1e4 }))
}

impl PageWords {
    /// Leaves only words that are at least this sure.
    pub(crate) fn at_least(mut self, confidence: f64) -> Self {
        self.words.retain(|(_, word)| word.confidence >= confidence);
        self
    }

    /// Words by spaces, lines by line ends, paragraphs by an empty line.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let mut before: Option<Position> = None;
        for (position, word) in &self.words {
            text.push_str(match before {
                None => "",
                Some(before) if before == *position => " ",
                Some(before) if before.paragraph == position.paragraph => "\n",
                Some(_) => "\n\n",
            });
            text.push_str(&word.text);
            before = Some(*position);
        }
        text
    }

    pub(crate) fn words(&self) -> impl Iterator<Item = &Word> {
        self.words.iter().map(|(_, word)| word)
    }
}

/// The mean over words, each by its length; `None` without words.
pub(crate) fn confidence<'a>(words: impl Iterator<Item = &'a Word>) -> Option<f64> {
    let (mut sum, mut characters) = (0.0, 0.0);
    for word in words {
        let length = f64::from(u32::try_from(word.text.chars().count()).unwrap_or(u32::MAX));
        sum += word.confidence * length;
        characters += length;
    }
    (characters > 0.0).then(|| (sum / characters * 1e4).round() / 1e4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "level\tpage_num\tblock_num\tpar_num\tline_num\tword_num\tleft\ttop\twidth\theight\tconf\ttext\n\
        1\t1\t0\t0\t0\t0\t0\t0\t600\t400\t-1\t\n\
        5\t1\t1\t1\t1\t1\t20\t10\t100\t30\t96.5\tHello\n\
        5\t1\t1\t1\t1\t2\t130\t10\t80\t30\t40.0\tworld\n\
        5\t1\t1\t1\t2\t1\t20\t50\t80\t30\t90\tagain\n\
        5\t1\t2\t1\t1\t1\t20\t90\t80\t30\t90\tNext\n";

    fn picture(scale: f64) -> Picture {
        Picture { width: 600, height: 400, scale, dpi: 300.0, pages: 1 }
    }

    #[test]
    fn lines_and_paragraphs_come_from_the_table() {
        let page = parse(TABLE, &picture(1.0));
        assert_eq!(page.text(), "Hello world\nagain\n\nNext");
        assert_eq!(page.clone().at_least(0.5).text(), "Hello\nagain\n\nNext");
        assert_eq!(confidence(page.at_least(0.99).words()), None);
    }

    #[test]
    fn boxes_are_in_pixels_of_the_file() {
        let page = parse(TABLE, &picture(2.0));
        let word = page.words().next().unwrap();
        assert_eq!((word.place, word.confidence), ([10, 5, 50, 15], 0.965));
    }
}

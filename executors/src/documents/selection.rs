//! Which pages are wanted: `"1-3,5"`.
//!
//! Invariant: a selection names at least one page, counts from 1 and its ranges go upwards.

use serde::{Deserialize, Serialize};

/// Ranges, both ends included; an open end reaches the last page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Selection(Vec<(u32, Option<u32>)>);

impl Selection {
    /// Reads `"1-3,5"`, `"2-"`, `"4"`. The error is a sentence.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |part: &str| format!("`{part}` is no page or range of pages; write pages like \"1-3,5\".");
        let mut ranges = Vec::new();
        for part in text.split(',').map(str::trim) {
            let number = |text: &str| text.trim().parse::<u32>().ok().filter(|page| *page > 0);
            let range = match part.split_once('-') {
                None => number(part).map(|page| (page, Some(page))),
                Some((first, "")) => number(first).map(|first| (first, None)),
                Some((first, last)) => {
                    number(first).zip(number(last)).filter(|(first, last)| first <= last).map(|(a, b)| (a, Some(b)))
                }
            };
            ranges.push(range.ok_or_else(|| wrong(part))?);
        }
        if ranges.len() > 100 {
            return Err("A selection has at most 100 ranges of pages.".to_owned());
        }
        Ok(Self(ranges))
    }

    /// The first pages of a document.
    pub(crate) fn first(pages: u32) -> Self {
        Self(vec![(1, Some(pages))])
    }

    pub(crate) fn contains(&self, page: u32) -> bool {
        self.0.iter().any(|(first, last)| page >= *first && last.is_none_or(|last| page <= last))
    }

    /// The chosen ones of so many pages, in order.
    pub(crate) fn of(selection: Option<&Self>, pages: u32) -> Vec<u32> {
        (1..=pages).filter(|page| selection.is_none_or(|selection| selection.contains(*page))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_pages_ranges_and_open_ends_are_read() {
        let selection = Selection::parse("1-3, 5,9-").unwrap();
        assert_eq!(Selection::of(Some(&selection), 10), [1, 2, 3, 5, 9, 10]);
        assert_eq!(Selection::of(None, 2), [1, 2]);
    }

    #[test]
    fn what_is_no_page_is_refused_by_name() {
        for wrong in ["", "0", "3-1", "a", "1,,2", "-3", "1-2-3"] {
            assert!(Selection::parse(wrong).is_err(), "{wrong:?}");
        }
        assert!(Selection::parse("2,x").unwrap_err().contains("`x`"));
    }
}

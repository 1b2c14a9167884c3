//! TIFF files of several pages: how many there are, and each as a file of its own.
//!
//! Invariant: a chain of pages that turns in a circle or is too long ends; nothing is unpacked here.

/// Pages of one file that are looked at.
const PAGES: usize = 10_000;

struct Layout {
    little: bool,
    /// BigTIFF: offsets of eight bytes.
    big: bool,
}

impl Layout {
    fn of(bytes: &[u8]) -> Option<Self> {
        let little = match bytes.get(..2)? {
            b"II" => true,
            b"MM" => false,
            _ => return None,
        };
        let layout = Self { little, big: false };
        match layout.number(bytes, 2, 2)? {
            42 => Some(layout),
            43 if layout.number(bytes, 4, 2)? == 8 => Some(Self { big: true, ..layout }),
            _ => None,
        }
    }

    fn number(&self, bytes: &[u8], at: usize, size: usize) -> Option<u64> {
        let digits = bytes.get(at..at.checked_add(size)?)?;
        let fold = |number: u64, digit: &u8| (number << 8) | u64::from(*digit);
        Some(if self.little { digits.iter().rev().fold(0, fold) } else { digits.iter().fold(0, fold) })
    }

    /// Where the header says where the first page is described, and in how many bytes.
    fn first(&self) -> (usize, usize) {
        if self.big { (8, 8) } else { (4, 4) }
    }

    /// Where the description behind this one is; `None` at the end of the chain.
    fn next(&self, bytes: &[u8], page: usize) -> Option<usize> {
        let (count_size, entry, offset_size) = if self.big { (8, 20, 8) } else { (2, 12, 4) };
        let count = usize::try_from(self.number(bytes, page, count_size)?).ok()?;
        let at = page.checked_add(count_size)?.checked_add(count.checked_mul(entry)?)?;
        usize::try_from(self.number(bytes, at, offset_size)?).ok().filter(|next| *next != 0)
    }
}

/// Where each page is described, in order; empty for what is no TIFF.
fn offsets(bytes: &[u8]) -> (Option<Layout>, Vec<usize>) {
    let Some(layout) = Layout::of(bytes) else { return (None, Vec::new()) };
    let (at, size) = layout.first();
    let mut next = layout.number(bytes, at, size).and_then(|offset| usize::try_from(offset).ok());
    let mut found: Vec<usize> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(page) = next.filter(|page| *page < bytes.len() && found.len() < PAGES && seen.insert(*page)) {
        found.push(page);
        next = layout.next(bytes, page);
    }
    (Some(layout), found)
}

/// How many pages there are; `None` for what is no TIFF.
pub(crate) fn pages(bytes: &[u8]) -> Option<u32> {
    let (layout, offsets) = offsets(bytes);
    layout.and_then(|_| u32::try_from(offsets.len()).ok()).filter(|pages| *pages > 0)
}

/// The same file, beginning with the page of this number, from 1.
pub(crate) fn page(bytes: &[u8], number: u32) -> Option<Vec<u8>> {
    let (layout, offsets) = offsets(bytes);
    let layout = layout?;
    let offset = *offsets.get(usize::try_from(number).ok()?.checked_sub(1)?)? as u64;
    let (at, size) = layout.first();
    let mut turned = bytes.to_vec();
    let digits = turned.get_mut(at..at + size)?;
    for (place, digit) in digits.iter_mut().enumerate() {
        let shift = if layout.little { place } else { size - 1 - place };
        *digit = u8::try_from((offset >> (8 * shift)) & 0xff).ok()?;
    }
    Some(turned)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages without any entry, at 8 and 14; the second says where the next is.
    fn two(next: u32) -> Vec<u8> {
        let mut bytes = b"II*\0\x08\0\0\0".to_vec();
        bytes.extend([0, 0, 14, 0, 0, 0, 0, 0]);
        bytes.extend(next.to_le_bytes());
        bytes
    }

    #[test]
    fn pages_are_counted_and_each_can_come_first() {
        assert_eq!(pages(&two(0)), Some(2));
        let second = page(&two(0), 2).unwrap();
        assert_eq!((pages(&second), &second[4..8]), (Some(1), &[14, 0, 0, 0][..]));
        assert_eq!(page(&two(0), 3), None);
        assert_eq!(pages(b"\x89PNG\r\n\x1a\n"), None);
    }

    #[test]
    fn a_chain_in_a_circle_or_into_nowhere_ends() {
        assert_eq!(pages(&two(8)), Some(2));
        assert_eq!(pages(&two(u32::MAX)), Some(2));
        assert_eq!(pages(b"II*\0\xff\xff\xff\xff"), None);
        assert_eq!(pages(b"MM\0\x2b"), None);
    }
}

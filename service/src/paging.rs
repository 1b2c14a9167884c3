//! Lists, a page at a time.
//!
//! Invariant: a cursor says where the reader stopped and nothing else: whoever takes another tenant's gets their own rows
//! behind that place.

use domain::wire::Page;

use crate::ServiceError;

/// The largest page, and the one without a wish.
pub const PAGE_MOST: u32 = 200;
pub const PAGE_USUAL: u32 = 50;
/// The longest name that is a cursor, in bytes.
const NAME: usize = 128;
/// Rows that are gathered for somebody who wants a list whole.
const WHOLE: usize = 10_000;

/// Which part of a list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paging {
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// [`PAGE_USUAL`] unless said, at most [`PAGE_MOST`].
    pub limit: Option<u32>,
}

impl Paging {
    fn size(&self) -> usize {
        self.limit.unwrap_or(PAGE_USUAL).clamp(1, PAGE_MOST) as usize
    }

    /// Rows to ask the store for: one more than the page holds says whether there are more.
    pub(crate) fn rows(&self) -> u64 {
        self.size() as u64 + 1
    }

    /// The place behind which the page begins.
    pub(crate) fn behind<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, ServiceError> {
        let Some(cursor) = &self.cursor else { return Ok(None) };
        let refused = || ServiceError::BadRequest("The cursor is none of ours. Start again without one.".to_owned());
        read(cursor).map(Some).ok_or_else(refused)
    }

    /// The page of what the store gave for [`Self::rows`], each with its place. A row without a view leaves a gap.
    pub(crate) fn page<R, T>(
        &self,
        rows: Vec<R>,
        place: impl Fn(&R) -> String,
        view: impl FnMut(R) -> Option<T>,
    ) -> Page<T> {
        let size = self.size();
        let has_more = rows.len() > size;
        let next_cursor = rows.get(size - 1).filter(|_| has_more).map(place);
        Page { data: rows.into_iter().take(size).filter_map(view).collect(), has_more, next_cursor }
    }
}

/// A name as a cursor.
pub(crate) fn name(cursor: &str) -> Option<String> {
    let fits = (1..=NAME).contains(&cursor.len())
        && cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    fits.then(|| cursor.to_owned())
}

/// A list whole, for pages that show all of it.
///
/// # Errors
/// Those of the list.
pub async fn whole<T, F>(mut next: impl FnMut(Paging) -> F) -> Result<Vec<T>, ServiceError>
where
    F: Future<Output = Result<Page<T>, ServiceError>>,
{
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = next(Paging { cursor, limit: Some(PAGE_MOST) }).await?;
        all.extend(page.data);
        cursor = page.next_cursor;
        if cursor.is_none() || all.len() >= WHOLE {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: usize, limit: Option<u32>) -> Page<usize> {
        let paging = Paging { cursor: None, limit };
        let given = (0..rows.min(usize::try_from(paging.rows()).unwrap())).collect();
        paging.page(given, ToString::to_string, |row| (row != 1).then_some(row))
    }

    #[test]
    fn a_page_says_whether_there_is_more_and_where_it_goes_on() {
        let first = page(10, Some(3));
        assert_eq!((first.data, first.has_more, first.next_cursor), (vec![0, 2], true, Some("2".to_owned())));
        let last = page(3, Some(3));
        assert_eq!((last.data, last.has_more, last.next_cursor), (vec![0, 2], false, None));
        assert_eq!(page(1_000, None).next_cursor, Some("49".to_owned()));
        assert_eq!(page(1_000, Some(100_000)).next_cursor, Some("199".to_owned()));
        assert_eq!(page(0, Some(1)).data, Vec::<usize>::new());
    }

    #[test]
    fn a_cursor_that_is_none_is_refused() {
        let behind = |cursor: &str| Paging { cursor: Some(cursor.to_owned()), limit: None }.behind(name);
        assert_eq!(behind("a-flow_2").unwrap(), Some("a-flow_2".to_owned()));
        for bad in ["", "not a cursor", "a/b", "\u{0}", &"x".repeat(200)] {
            assert!(matches!(behind(bad), Err(ServiceError::BadRequest(_))), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn whole_walks_to_the_end() {
        let rows: Vec<usize> = (0..450).collect();
        let next = |paging: Paging| {
            let from = paging.cursor.as_deref().map_or(0, |cursor| cursor.parse::<usize>().unwrap() + 1);
            let given = rows[from..].iter().copied().take(usize::try_from(paging.rows()).unwrap()).collect();
            let page = paging.page(given, ToString::to_string, Some);
            async move { Ok(page) }
        };
        assert_eq!(whole(next).await.unwrap(), rows);
    }
}

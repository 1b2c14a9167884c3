//! Lists that come in pages: from one request to the next until there is no more.
//!
//! Invariant: every page is asked of the first one's origin, since the credentials go with it; pages and bytes are capped.

use domain::{Failure, FailureKind};
use egress::Url;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use crate::config::flow_fault;

const PAGES: u32 = 10;
const MOST_PAGES: u32 = 1_000;
/// All items together, as JSON.
pub(super) const MOST_BYTES: usize = 16 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pagination {
    /// How the next page is found.
    by: Next,
    /// Where the list is in the body: `data.items`. Without it, the body is the list.
    items: Option<String>,
    /// How many pages are read at most; 10 unless said. More pages than that are a failure.
    #[schemars(range(min = 1, max = 1_000))]
    max_pages: Option<u32>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Next {
    /// By the `Link` header with `rel="next"`.
    Link,
    /// By the URL at this place of the body: `links.next`.
    Url(String),
    /// By a mark in the body, at `path`, that goes into the query as `parameter`.
    Cursor { path: String, parameter: String },
    /// By a number in the query, counted up until a page is empty; from 1 unless said.
    Page {
        parameter: String,
        #[serde(default = "one")]
        start: u64,
    },
    /// By a number of items to leave out, until a page has fewer than `size`.
    Offset { parameter: String, size: u64 },
}

const fn one() -> u64 {
    1
}

/// A walk over the pages, at one of them.
pub(super) struct Walk<'p> {
    pagination: &'p Pagination,
    first: Url,
    /// Where the current page is.
    pub(super) url: Url,
    pub(super) items: Vec<Value>,
    pub(super) pages: u32,
    bytes: usize,
}

impl<'p> Walk<'p> {
    pub(super) fn new(pagination: &'p Pagination, first: Url) -> Self {
        let mut walk = Self { pagination, url: first.clone(), first, items: Vec::new(), pages: 0, bytes: 0 };
        match &pagination.by {
            Next::Page { parameter, start } => walk.url = with_query(&walk.first, parameter, &start.to_string()),
            Next::Offset { parameter, .. } => walk.url = with_query(&walk.first, parameter, "0"),
            Next::Link | Next::Url(_) | Next::Cursor { .. } => {}
        }
        walk
    }

    /// Takes a page in; false when it was the last.
    pub(super) fn take(&mut self, body: Value, link: Option<&str>) -> Result<bool, Failure> {
        self.pages += 1;
        let next = self.found(&body, link)?;
        let items = self.list(body)?;
        let count = items.len() as u64;
        self.bytes += items.iter().map(|item| item.to_string().len()).sum::<usize>();
        if self.bytes > MOST_BYTES {
            let message = "The pages hold more than 16 MiB. Ask for less, or read them in several steps.";
            return Err(Failure::new(FailureKind::Limit, "answer_too_large", message));
        }
        self.items.extend(items);
        let next = match &self.pagination.by {
            Next::Page { parameter, start } => {
                (count > 0).then(|| with_query(&self.first, parameter, &(start + u64::from(self.pages)).to_string()))
            }
            Next::Offset { parameter, size } => {
                (count >= (*size).max(1)).then(|| with_query(&self.first, parameter, &self.items.len().to_string()))
            }
            Next::Link | Next::Url(_) | Next::Cursor { .. } => next,
        };
        let Some(next) = next else { return Ok(false) };
        if next.origin() != self.first.origin() {
            let message = "The next page is at another host, where the credentials do not belong.";
            return Err(flow_fault("pagination_origin", message));
        }
        let most = self.pagination.max_pages.unwrap_or(PAGES).min(MOST_PAGES);
        if self.pages >= most {
            let message = format!("There are more than {most} pages. Raise `max_pages`, or ask for less.");
            return Err(Failure::new(FailureKind::Limit, "too_many_pages", message));
        }
        self.url = next;
        Ok(true)
    }

    fn list(&self, mut body: Value) -> Result<Vec<Value>, Failure> {
        let place = self.pagination.items.as_deref();
        let list = match place {
            None => Some(body.take()),
            Some(path) => at_mut(&mut body, path).map(Value::take),
        };
        match list {
            Some(Value::Array(items)) => Ok(items),
            _ => {
                let shown = place.map_or_else(|| "the body".to_owned(), |path| format!("`{path}`"));
                let message = format!("A page has no list at {shown}. Say where it is: `items: data.items`.");
                Err(flow_fault("pagination_items", message))
            }
        }
    }

    /// The next page, as far as this one names it.
    fn found(&self, body: &Value, link: Option<&str>) -> Result<Option<Url>, Failure> {
        let text = match &self.pagination.by {
            Next::Link => link.and_then(next_of_link).map(str::to_owned),
            Next::Url(path) => at(body, path).and_then(Value::as_str).map(str::to_owned),
            Next::Cursor { path, parameter } => {
                return Ok(at(body, path).and_then(mark).map(|mark| with_query(&self.first, parameter, &mark)));
            }
            Next::Page { .. } | Next::Offset { .. } => None,
        };
        let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
        let unfit = |_| flow_fault("pagination_url", "The address of the next page cannot be used.");
        self.url.join(&text).map(Some).map_err(unfit)
    }
}

fn mark(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').try_fold(value, |value, name| value.get(name))
}

fn at_mut<'v>(value: &'v mut Value, path: &str) -> Option<&'v mut Value> {
    path.split('.').try_fold(value, |value, name| value.get_mut(name))
}

/// The URL with this parameter set, in place of one that is there.
fn with_query(url: &Url, name: &str, value: &str) -> Url {
    let others: Vec<(String, String)> =
        url.query_pairs().filter(|(other, _)| other != name).map(|(a, b)| (a.into_owned(), b.into_owned())).collect();
    let mut url = url.clone();
    url.query_pairs_mut().clear().extend_pairs(others).append_pair(name, value);
    url
}

/// The target with `rel="next"` in a `Link` header.
fn next_of_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, parameters) = after.split_once('>')?;
        // The parameters of this link end where the next begins.
        let own = parameters.split_once('<').map_or(parameters, |(own, _)| own);
        let is_next = own.split([';', ',']).any(|parameter| {
            let relation = parameter.trim().strip_prefix("rel=").map(|value| value.trim_matches('"'));
            relation.is_some_and(|relation| relation.split_whitespace().any(|word| word.eq_ignore_ascii_case("next")))
        });
        if is_next {
            return Some(target);
        }
        rest = parameters;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_header_is_read_as_the_standard_writes_it() {
        let header = r#"<https://a.test/?p=1>; rel="prev", <https://a.test/?p=3,4>; title="x"; rel="last next""#;
        assert_eq!(next_of_link(header), Some("https://a.test/?p=3,4"));
        assert_eq!(next_of_link(r#"<https://a.test/>; rel="prev""#), None);
        assert_eq!(next_of_link("rel=next"), None);
    }
}

//! Query parameters, read into a type that names every one it knows.
//!
//! Invariant: an unknown or repeated parameter is an error with the nearest known name; `filter[x]` is another way to
//! write `x`.

use std::future::{Ready, ready};
use std::marker::PhantomData;

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest};
use domain::ErrorCode;
use serde::de::DeserializeOwned;

use crate::nearest::nearest;
use crate::problem::Fault;

/// A type of query parameters.
pub(crate) trait Known: DeserializeOwned {
    const NAMES: &'static [&'static str];
}

/// For operations without parameters.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct NoParams {}

impl Known for NoParams {
    const NAMES: &'static [&'static str] = &[];
}

/// The query as it came; [`Params::read`] makes the type, after the caller is known.
#[derive(Debug)]
pub(crate) struct Params<T> {
    query: String,
    read: PhantomData<T>,
}

impl<T: Known> Params<T> {
    pub(crate) fn read(&self) -> Result<T, Fault> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in url::form_urlencoded::parse(self.query.as_bytes()) {
            let name = name.strip_prefix("filter[").and_then(|name| name.strip_suffix(']')).unwrap_or(&name).to_owned();
            if !T::NAMES.contains(&name.as_str()) {
                return Err(unknown::<T>(&name));
            }
            if pairs.iter().any(|(known, _)| *known == name) {
                let detail = format!("The parameter `{name}` is given twice.");
                return Err(Fault::new(ErrorCode::BadRequest, detail.clone()).field(&name, detail, None));
            }
            pairs.push((name, value.into_owned()));
        }
        let encoded = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        actix_web::web::Query::<T>::from_query(&encoded).map(actix_web::web::Query::into_inner).map_err(|error| {
            let detail = format!("The query cannot be read: {error}.");
            Fault::new(ErrorCode::BadRequest, detail)
        })
    }
}

fn unknown<T: Known>(name: &str) -> Fault {
    let hint = nearest(name, T::NAMES.iter().copied()).map(|near| format!("Did you mean `{near}`?"));
    let known = if T::NAMES.is_empty() {
        "There are none here.".to_owned()
    } else {
        format!("Known here: {}.", T::NAMES.join(", "))
    };
    let detail = format!("There is no parameter `{name}`. {}", hint.clone().unwrap_or(known));
    Fault::new(ErrorCode::UnknownParameter, detail).field(name, "This parameter is not known.".to_owned(), hint)
}

impl<T: Known> FromRequest for Params<T> {
    type Error = Fault;
    type Future = Ready<Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        ready(Ok(Self { query: request.query_string().to_owned(), read: PhantomData }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Filter {
        status: Option<String>,
        limit: Option<u32>,
    }

    impl Known for Filter {
        const NAMES: &'static [&'static str] = &["status", "limit"];
    }

    fn read(query: &str) -> Result<Filter, Fault> {
        Params::<Filter> { query: query.to_owned(), read: PhantomData }.read()
    }

    #[test]
    fn a_filter_can_be_written_in_brackets() {
        let wanted = Filter { status: Some("failed".to_owned()), limit: Some(5) };
        assert_eq!(read("filter[status]=failed&limit=5").unwrap(), wanted);
        assert_eq!(read("filter%5Bstatus%5D=failed&limit=5").unwrap(), wanted);
    }

    #[test]
    fn unknown_repeated_and_malformed_parameters_are_refused() {
        assert!(read("statsu=failed").unwrap_err().to_string().contains("Did you mean `status`?"));
        assert!(read("status=a&status=b").is_err());
        assert!(read("limit=many").is_err());
    }
}

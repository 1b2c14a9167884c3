//! Data on its way: what was asked for, or in its place the reason why it cannot be shown.

use leptos::prelude::*;

use crate::data::At;
use crate::load::Asked;
use crate::pages::errors;

/// Shows an answer when it has come. The server waits for it before it sends the page.
pub(crate) fn loaded<T>(asked: Asked<T>, show: impl FnOnce(At<T>) -> AnyView + Send + 'static) -> AnyView
where
    T: Send + 'static,
{
    let view = Suspend::new(async move {
        match asked.await {
            Ok(answer) => show(answer),
            Err(error) => errors::body(&error),
        }
    });
    view! { <Suspense>{view}</Suspense> }.into_any()
}

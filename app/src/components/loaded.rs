//! Data on its way: one boundary a resource, with waiting and refusal shown in place.

use leptos::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::{At, ConsoleError};
use crate::load::Answer;
use crate::pages::errors;

/// Shows what a resource holds. While newer data is on its way the present view stays.
pub(crate) fn loaded<T>(
    resource: Resource<Answer<T>>,
    show: impl Fn(At<T>) -> AnyView + Clone + Send + Sync + 'static,
) -> AnyView
where
    T: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    view! {
        <Transition fallback=waiting>
            {move || {
                let show = show.clone();
                Suspend::new(async move {
                    match resource.await {
                        Ok(answer) => show(answer),
                        Err(error) => refused(&error),
                    }
                })
            }}
        </Transition>
    }
    .into_any()
}

fn waiting() -> AnyView {
    view! {
        <div class="waiting" role="status">
            <span></span><span></span><span></span>
            <p class="said">"Loading"</p>
        </div>
    }
    .into_any()
}

fn refused(error: &ConsoleError) -> AnyView {
    errors::body(error)
}

//! What one sees when a page cannot be shown: what happened, what to do, and the request's id for support.
//!
//! Invariant: what one may not know of looks the same whether it exists or not.

use leptos::prelude::*;
use leptos_meta::Title;

use crate::context::page_state;
use crate::data::ConsoleError;
use crate::forms::path;
use crate::islands::Copy;
use crate::shell::wordmark;

fn set_status(status: u16) {
    if let Some(response) = use_context::<leptos_actix::ResponseOptions>()
        && let Ok(status) = actix_web::http::StatusCode::from_u16(status)
    {
        response.set_status(status);
    }
}

/// An error in place of a page's content, inside the shell.
pub(crate) fn body(error: &ConsoleError) -> AnyView {
    set_status(error.status());
    let (title, text) = words(error);
    let request_id = match error {
        ConsoleError::Internal { request_id } if !request_id.is_empty() => request_id.clone(),
        _ => page_state().request_id.clone(),
    };
    view! {
        <Title text=title/>
        <div class="error-page">
            <p class="code-number">{error.status()}</p>
            <h1>{title}</h1>
            <p>{text}</p>
            {next(error)}
            {(!request_id.is_empty()).then(|| view! {
                <p class="row small quiet">
                    "Request "<code>{request_id.clone()}</code><Copy text=request_id.clone() label="Copy the request id".to_owned()/>
                </p>
            })}
        </div>
    }
    .into_any()
}

fn words(error: &ConsoleError) -> (&'static str, String) {
    match error {
        ConsoleError::NotFound => (
            "Nothing here",
            "There is nothing at this address, or nothing that you may see. Check the address, or ask an owner of the \
             tenant for access."
                .to_owned(),
        ),
        ConsoleError::Forbidden => (
            "Your role does not allow this",
            "You may know of this page but not use it. An owner or admin of the tenant can give you a role that does."
                .to_owned(),
        ),
        ConsoleError::Unauthenticated => {
            ("Your session has ended", "Sign in again to go on where you were.".to_owned())
        }
        ConsoleError::Invalid { message } => ("That did not fit", message.clone()),
        ConsoleError::Unavailable => (
            "Not available at the moment",
            "The server is starting, stopping or under maintenance. Nothing is lost; try again in a moment.".to_owned(),
        ),
        ConsoleError::Internal { .. } => (
            "Something went wrong on our side",
            "It has been written down. Try again; if it stays, tell the operator the request's id.".to_owned(),
        ),
    }
}

fn next(error: &ConsoleError) -> AnyView {
    match error {
        ConsoleError::Unauthenticated => {
            view! { <p><a class="button primary" href=path::SIGN_IN>"Sign in"</a></p> }.into_any()
        }
        ConsoleError::Unavailable | ConsoleError::Internal { .. } => {
            view! { <p><a class="button primary" href="">"Try again"</a></p> }.into_any()
        }
        _ => view! { <p><a class="button" href="/">"Go to your overview"</a></p> }.into_any(),
    }
}

/// The same as a page of its own, where there is no shell to stand in.
pub(crate) fn outside(error: &ConsoleError) -> AnyView {
    view! {
        <div class="gate bare">
            <header><a class="plain-link" href="/">{wordmark()}</a></header>
            <main class="error-wrap">{body(error)}</main>
        </div>
    }
    .into_any()
}

/// An address of no tenant.
pub(crate) fn unknown_address() -> AnyView {
    outside(&ConsoleError::NotFound)
}

/// An address below a tenant that leads nowhere.
#[component]
pub(crate) fn Unknown() -> impl IntoView {
    body(&ConsoleError::NotFound)
}

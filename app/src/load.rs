//! The pages' questions to the host's port, each answered with the server's time.
//!
//! Invariant: the port is taken before the first wait, while the request's context is at hand.

use std::pin::Pin;
use std::sync::Arc;

use leptos::prelude::*;

use crate::data::{At, ConsoleData, ConsoleError};

/// What a question gives.
pub(crate) type Answer<T> = Result<At<T>, ConsoleError>;

/// A question under way.
pub(crate) type Asked<T> = Pin<Box<dyn Future<Output = Answer<T>> + Send>>;

/// Puts a question to the port.
pub(crate) fn ask<T, F>(question: impl FnOnce(Arc<dyn ConsoleData>) -> F + Send + 'static) -> Asked<T>
where
    F: Future<Output = Result<T, ConsoleError>> + Send,
    T: 'static,
{
    let data = use_context::<Arc<dyn ConsoleData>>();
    Box::pin(async move {
        let data = data.ok_or(ConsoleError::Unauthenticated)?;
        let now = data.now();
        question(data).await.map(|value| At { now, value })
    })
}

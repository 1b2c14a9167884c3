//! Following along: a stream of events that makes the page ask for itself again, and the word that says whether it is
//! open.
//!
//! Invariant: the page is right without it; the stream only says that something changed, never what. What is shown
//! never moves under the pointer: then a button offers the news instead.

use leptos::prelude::*;

/// Whether the stream is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "hydrate"), expect(dead_code, reason = "only the browser opens streams"))]
enum Stream {
    Closed,
    On,
    Reconnecting,
}

/// Follows the stream at `address`; with `polite` the page waits while the pointer rests on a table.
#[island]
pub(crate) fn Live(address: String, polite: bool) -> impl IntoView {
    let (state, set_state) = signal(Stream::Closed);
    let (news, set_news) = signal(false);
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| browser::follow(&address, polite, set_state, set_news));
    #[cfg(not(feature = "hydrate"))]
    let _ = (address, polite, set_state);
    let show = move |_| {
        set_news.set(false);
        #[cfg(feature = "hydrate")]
        super::morph::refresh();
    };
    view! {
        <span class="live-box scripted">
            <button type="button" class="button" hidden=move || !news.get() on:click=show>"Show what is new"</button>
            <span
                role="status"
                class=move || match state.get() {
                    Stream::On => "live on",
                    Stream::Reconnecting => "live off",
                    Stream::Closed => "said",
                }
            >
                {move || match state.get() {
                    Stream::On => "Live",
                    Stream::Reconnecting => "Reconnecting",
                    Stream::Closed => "",
                }}
            </span>
        </span>
    }
}

#[cfg(feature = "hydrate")]
mod browser {
    use std::time::Duration;

    use leptos::prelude::*;
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::EventSource;

    use super::Stream;
    use crate::islands::morph;

    /// Events closer together than this are told as one.
    const TOGETHER: Duration = Duration::from_millis(250);

    /// Opens the stream for the life of the page.
    pub(super) fn follow(address: &str, polite: bool, set_state: WriteSignal<Stream>, set_news: WriteSignal<bool>) {
        let Ok(source) = EventSource::new(address) else { return };
        listen(&source, "open", move || set_state.set(Stream::On));
        listen(&source, "error", move || set_state.set(Stream::Reconnecting));
        let pending = StoredValue::new(false);
        listen(&source, "message", move || {
            if pending.get_value() {
                return;
            }
            pending.set_value(true);
            set_timeout(
                move || {
                    pending.set_value(false);
                    if polite && pointer_on_table() {
                        set_news.set(true);
                    } else {
                        morph::refresh();
                    }
                },
                TOGETHER,
            );
        });
        let ended = source.clone();
        listen(&source, "end", move || {
            ended.close();
            set_state.set(Stream::Closed);
            morph::refresh();
        });
    }

    fn listen(source: &EventSource, event: &str, act: impl Fn() + 'static) {
        let listener = Closure::<dyn Fn()>::new(act);
        let _ = source.add_event_listener_with_callback(event, listener.as_ref().unchecked_ref());
        // The page's own life is the listener's.
        listener.forget();
    }

    /// Whether someone is just about to press a row.
    fn pointer_on_table() -> bool {
        document().query_selector(".table-wrap:hover").is_ok_and(|found| found.is_some())
    }
}

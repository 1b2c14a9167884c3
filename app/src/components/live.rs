//! Following along: a stream of events that makes a page ask again, and the word that says whether it is open.
//!
//! Invariant: the page is right without it; the stream only says that something changed, never what.

use leptos::prelude::*;

/// Whether the stream is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "hydrate"), expect(dead_code, reason = "only the browser opens streams"))]
pub(crate) enum Stream {
    /// No scripts, or nothing to follow.
    Off,
    On,
    Reconnecting,
    Ended,
}

/// Opens the stream at `address` (while it is some) and calls `changed` when events come, at most four times a second.
pub(crate) fn follow(address: Signal<Option<String>>, changed: impl Fn() + Clone + 'static) -> ReadSignal<Stream> {
    let (state, set_state) = signal(Stream::Off);
    #[cfg(feature = "hydrate")]
    Effect::new(move |before: Option<Option<browser::Open>>| {
        if let Some(Some(open)) = before {
            open.close();
        }
        match address.get() {
            Some(address) => browser::Open::new(&address, set_state, changed.clone()),
            None => {
                if state.get_untracked() != Stream::Off {
                    set_state.set(Stream::Ended);
                }
                None
            }
        }
    });
    #[cfg(not(feature = "hydrate"))]
    let _ = (address, changed, set_state);
    state
}

/// The word that says whether the page follows along; nothing where it does not try.
pub(crate) fn indicator(state: ReadSignal<Stream>) -> AnyView {
    view! {
        <span role="status" class=move || match state.get() {
            Stream::On => "live on",
            Stream::Reconnecting => "live off",
            Stream::Off | Stream::Ended => "said",
        }>
            {move || match state.get() {
                Stream::On => "Live",
                Stream::Reconnecting => "Reconnecting",
                Stream::Off | Stream::Ended => "",
            }}
        </span>
    }
    .into_any()
}

#[cfg(feature = "hydrate")]
mod browser {
    use std::time::Duration;

    use leptos::prelude::*;
    use wasm_bindgen::JsCast;
    use wasm_bindgen::closure::Closure;
    use web_sys::EventSource;

    use super::Stream;

    /// Events closer together than this are told as one.
    const TOGETHER: Duration = Duration::from_millis(250);

    /// An open stream; it closes with the page's part that opened it.
    pub(super) struct Open {
        source: EventSource,
        _listeners: Vec<Closure<dyn Fn()>>,
    }

    impl Open {
        pub(super) fn new(
            address: &str,
            set_state: WriteSignal<Stream>,
            changed: impl Fn() + Clone + 'static,
        ) -> Option<Self> {
            let source = EventSource::new(address).ok()?;
            let pending = StoredValue::new(false);
            let again = source.clone();
            let listeners: Vec<(&str, Closure<dyn Fn()>)> = vec![
                ("open", Closure::new(move || drop(set_state.try_set(Stream::On)))),
                ("error", Closure::new(move || drop(set_state.try_set(Stream::Reconnecting)))),
                (
                    "message",
                    Closure::new(move || {
                        if pending.try_get_value() == Some(false) {
                            pending.set_value(true);
                            let changed = changed.clone();
                            set_timeout(
                                move || {
                                    if pending.try_set_value(false).is_none() {
                                        changed();
                                    }
                                },
                                TOGETHER,
                            );
                        }
                    }),
                ),
                (
                    "end",
                    Closure::new(move || {
                        again.close();
                        let _ = set_state.try_set(Stream::Ended);
                    }),
                ),
            ];
            for (name, listener) in &listeners {
                let _ = source.add_event_listener_with_callback(name, listener.as_ref().unchecked_ref());
            }
            let closing = StoredValue::new_local(source.clone());
            on_cleanup(move || {
                let _ = closing.try_with_value(EventSource::close);
            });
            Some(Self { source, _listeners: listeners.into_iter().map(|(_, listener)| listener).collect() })
        }

        pub(super) fn close(&self) {
            self.source.close();
        }
    }

    impl Drop for Open {
        fn drop(&mut self) {
            self.source.close();
        }
    }
}

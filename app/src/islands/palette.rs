//! The command palette: Ctrl+K or ⌘K, a few letters, Enter.
//!
//! Invariant: it leads only where links of the page lead too, so nobody needs it, and it offers only what the reader's
//! role may see. The flows are fetched when it is opened first.

use leptos::prelude::*;

/// What is shown at most.
const SHOWN: usize = 12;

/// `places` are (name, address) of everything that can be gone to; `flows` is the address of the list of flows.
#[island]
pub(crate) fn Palette(places: Vec<(String, String)>, flows: String) -> impl IntoView {
    let places = RwSignal::new(places);
    let (typed, set_typed) = signal(String::new());
    let (chosen, set_chosen) = signal(0_usize);
    let found = Memo::new(move |_| places.with(|places| search(places, &typed.read())));
    let dialog = NodeRef::<leptos::html::Dialog>::new();
    let field = NodeRef::<leptos::html::Input>::new();
    let open = move || {
        set_typed.set(String::new());
        set_chosen.set(0);
        #[cfg(feature = "hydrate")]
        browser::open(dialog, field, places, &flows);
        #[cfg(not(feature = "hydrate"))]
        let _ = (dialog, field, &flows);
    };
    let by_button = open.clone();
    #[cfg(feature = "hydrate")]
    Effect::new(move |_| browser::listen(open.clone()));
    #[cfg(not(feature = "hydrate"))]
    let _ = open;
    let go = move |place: usize| {
        if let Some((_, address)) = found.read().get(place) {
            #[cfg(feature = "hydrate")]
            let _ = window().location().set_href(address);
            #[cfg(not(feature = "hydrate"))]
            let _ = address;
        }
    };
    let keys = move |event: leptos::ev::KeyboardEvent| {
        let count = found.read().len().max(1);
        match event.key().as_str() {
            "ArrowDown" => set_chosen.update(|place| *place = (*place + 1) % count),
            "ArrowUp" => set_chosen.update(|place| *place = (*place + count - 1) % count),
            "Enter" => go(chosen.get_untracked()),
            _ => return,
        }
        event.prevent_default();
    };
    view! {
        <button type="button" class="rail-link search scripted" on:click=move |_| by_button()>
            {crate::icon::Icon::Search.view()}
            <span>"Go to"</span>
            <kbd>"Ctrl K"</kbd>
        </button>
        <dialog class="palette" aria-label="Go to" node_ref=dialog on:click=move |event| close_outside(&event)>
            <input
                type="text"
                role="combobox"
                aria-label="Go to"
                aria-expanded="true"
                aria-controls="palette-places"
                aria-activedescendant=move || format!("place-{}", chosen.get())
                autocomplete="off"
                spellcheck="false"
                placeholder="Go to a page or a flow"
                node_ref=field
                prop:value=move || typed.get()
                on:input=move |event| {
                    set_typed.set(event_target_value(&event));
                    set_chosen.set(0);
                }
                on:keydown=keys
            />
            <ul id="palette-places" role="listbox" aria-label="Places">
                {move || found.get().into_iter().enumerate().map(|(place, (name, _))| view! {
                    <li
                        class="menu-item"
                        role="option"
                        id=format!("place-{place}")
                        aria-selected=move || (chosen.get() == place).to_string()
                        on:click=move |_| go(place)
                    >
                        {name}
                    </li>
                }).collect_view()}
            </ul>
        </dialog>
    }
}

/// Closes the dialog when what was pressed is its backdrop.
fn close_outside(event: &leptos::ev::MouseEvent) {
    #[cfg(feature = "hydrate")]
    {
        use wasm_bindgen::JsCast;
        if let Some(dialog) = event.target().and_then(|pressed| pressed.dyn_into::<web_sys::HtmlDialogElement>().ok()) {
            dialog.close();
        }
    }
    #[cfg(not(feature = "hydrate"))]
    let _ = event;
}

/// Places whose name holds the typed letters in their order; those that begin with them first.
fn search(places: &[(String, String)], typed: &str) -> Vec<(String, String)> {
    let typed = typed.trim().to_lowercase();
    let mut found: Vec<(usize, &(String, String))> = places
        .iter()
        .filter_map(|place| {
            let name = place.0.to_lowercase();
            let rank = if name.starts_with(&typed) {
                0
            } else if name.contains(&typed) {
                1
            } else if holds_in_order(&name, &typed) {
                2
            } else {
                return None;
            };
            Some((rank, place))
        })
        .collect();
    found.sort_by_key(|&(rank, _)| rank);
    found.into_iter().take(SHOWN).map(|(_, place)| place.clone()).collect()
}

fn holds_in_order(name: &str, typed: &str) -> bool {
    let mut letters = name.chars();
    typed.chars().all(|wanted| letters.any(|letter| letter == wanted))
}

#[cfg(feature = "hydrate")]
mod browser {
    use leptos::html::{Dialog, Input};
    use leptos::prelude::*;
    use leptos::task::spawn_local;
    use wasm_bindgen::{JsCast, JsValue};
    use wasm_bindgen_futures::JsFuture;
    use web_sys::{DomParser, Element, Response, SupportedType};

    /// Ctrl+K and ⌘K, for the life of the page.
    pub(super) fn listen(open: impl Fn() + 'static) {
        let _ = window_event_listener(leptos::ev::keydown, move |event| {
            if event.key().eq_ignore_ascii_case("k") && (event.ctrl_key() || event.meta_key()) && !event.alt_key() {
                event.prevent_default();
                open();
            }
        });
    }

    pub(super) fn open(
        dialog: NodeRef<Dialog>,
        field: NodeRef<Input>,
        places: RwSignal<Vec<(String, String)>>,
        flows: &str,
    ) {
        let Some(dialog) = dialog.get_untracked() else { return };
        if dialog.open() || dialog.show_modal().is_err() {
            return;
        }
        if let Some(field) = field.get_untracked() {
            let _ = field.focus();
        }
        let below = format!("{flows}/");
        if places.with_untracked(|places| places.iter().any(|(_, address)| address.starts_with(&below))) {
            return;
        }
        let flows = flows.to_owned();
        spawn_local(async move {
            // Without an answer the pages are still there.
            if let Ok(found) = fetch(&flows).await {
                places.update(|places| places.extend(found));
            }
        });
    }

    /// The names and addresses in the list of flows, as its page shows them.
    async fn fetch(flows: &str) -> Result<Vec<(String, String)>, JsValue> {
        let response: Response = JsFuture::from(window().fetch_with_str(flows)).await?.dyn_into()?;
        let text = JsFuture::from(response.text()?).await?.as_string().unwrap_or_default();
        let page = DomParser::new()?.parse_from_string(&text, SupportedType::TextHtml)?;
        let links = page.query_selector_all("td.main a")?;
        Ok((0..links.length())
            .filter_map(|index| links.item(index)?.dyn_into::<Element>().ok())
            .filter_map(|link| Some((link.text_content()?, link.get_attribute("href")?)))
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_with_the_letters_comes_before_what_only_holds_them() {
        let places: Vec<(String, String)> =
            ["Overview", "Runs", "invoice_run", "members"].map(|name| (name.to_owned(), String::new())).into();
        let names = |typed: &str| search(&places, typed).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(names("ru"), ["Runs", "invoice_run"]);
        assert_eq!(names("mbr"), ["members"]);
        assert_eq!(names("").len(), 4);
        assert!(names("xyz").is_empty());
    }
}

//! Bringing the page up to date in place: the server draws it again, and only what differs is touched.
//!
//! Invariant: focus, scroll, open disclosures, what was typed and living islands stay as they are.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DomParser, Element, Node, Response, SupportedType};

/// The part of the page that is brought up to date.
const PART: &str = "main";

/// Asks for the present address again. A refusal changes nothing: the next event asks once more.
pub(super) fn refresh() {
    spawn_local(async {
        let _ = again().await;
    });
}

async fn again() -> Result<(), JsValue> {
    let address = window().location().href()?;
    let response: Response = JsFuture::from(window().fetch_with_str(&address)).await?.dyn_into()?;
    if !response.ok() {
        return Ok(());
    }
    let text = JsFuture::from(response.text()?).await?.as_string().unwrap_or_default();
    let drawn = DomParser::new()?.parse_from_string(&text, SupportedType::TextHtml)?;
    if let (Some(old), Some(new)) = (document().get_element_by_id(PART), drawn.get_element_by_id(PART)) {
        morph(&old, &new)?;
        wake()?;
    }
    Ok(())
}

/// Hydrates islands that came with the news; the page's own script knows how.
fn wake() -> Result<(), JsValue> {
    let wake = js_sys::Reflect::get(&window(), &JsValue::from_str("weirWake"))?;
    if let Some(wake) = wake.dyn_ref::<js_sys::Function>() {
        wake.call0(&JsValue::NULL)?;
    }
    Ok(())
}

fn morph(old: &Element, new: &Element) -> Result<(), JsValue> {
    if old.is_equal_node(Some(new)) {
        return Ok(());
    }
    // Islands live on; fields belong to who types in them.
    if matches!(old.tag_name().as_str(), "LEPTOS-ISLAND" | "INPUT" | "TEXTAREA" | "SELECT") {
        return Ok(());
    }
    attributes(old, new)?;
    let (olds, news) = (children(old), children(new));
    for (index, there) in news.iter().enumerate() {
        match olds.get(index) {
            None => {
                old.append_child(there)?;
            }
            Some(here) => match (here.dyn_ref::<Element>(), there.dyn_ref::<Element>()) {
                (Some(here), Some(there)) if same_kind(here, there) => morph(here, there)?,
                (None, None) if here.node_type() == there.node_type() => {
                    if here.node_value() != there.node_value() {
                        here.set_node_value(there.node_value().as_deref());
                    }
                }
                _ => {
                    old.replace_child(there, here)?;
                }
            },
        }
    }
    for gone in olds.iter().skip(news.len()) {
        old.remove_child(gone)?;
    }
    Ok(())
}

/// Whether two elements stand for the same thing: another island or another named part is another thing.
fn same_kind(here: &Element, there: &Element) -> bool {
    let same = |name: &str| here.get_attribute(name) == there.get_attribute(name);
    here.tag_name() == there.tag_name() && same("id") && same("data-component") && same("data-props")
}

fn attributes(old: &Element, new: &Element) -> Result<(), JsValue> {
    for name in new.get_attribute_names().iter().filter_map(|name| name.as_string()) {
        let value = new.get_attribute(&name).unwrap_or_default();
        if old.get_attribute(&name).as_deref() != Some(value.as_str()) {
            old.set_attribute(&name, &value)?;
        }
    }
    for name in old.get_attribute_names().iter().filter_map(|name| name.as_string()) {
        // Who opened a disclosure closes it.
        if name != "open" && !new.has_attribute(&name) {
            old.remove_attribute(&name)?;
        }
    }
    Ok(())
}

/// The children now, as a list that does not change while they move.
fn children(parent: &Node) -> Vec<Node> {
    let nodes = parent.child_nodes();
    (0..nodes.length()).filter_map(|index| nodes.item(index)).collect()
}

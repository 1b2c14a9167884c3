//! The reader's own account: where they are signed in, how the console looks, and its keys.

use domain::wire::DeviceView;
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::components::field::csrf;
use crate::components::figure::dash;
use crate::components::loaded::loaded;
use crate::components::page::{Head, card};
use crate::components::time::ago;
use crate::context::{Here, here, page_state};
use crate::data::At;
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;
use crate::shell::{shortcut_list, single_keys_form, theme_form};

#[component]
pub(crate) fn Account() -> impl IntoView {
    let here = here();
    let email = page_state().session.as_ref().map(|session| session.email.clone()).unwrap_or_default();
    let devices = ask(|data| async move { data.devices().await });
    let next = use_location().pathname.get_untracked();
    let looks = view! { <div class="body">{theme_form(&next)}</div> };
    let keys = view! { <div class="body stack-s">{shortcut_list(&here)}{single_keys_form(&next)}</div> };
    view! {
        {Head::new("Your account").lead(email).view()}
        <div class="stack">
            {loaded(devices, move |answer| sessions(&here, answer))}
            <div class="narrow">{card("Appearance", ().into_any(), looks.into_any())}</div>
            <div class="narrow">{card("Keyboard", ().into_any(), keys.into_any())}</div>
        </div>
    }
}

fn sessions(here: &Here, answer: At<Vec<DeviceView>>) -> AnyView {
    let At { now, value } = answer;
    let end_others = (value.len() > 1).then(|| {
        view! {
            <form method="post" action=path::session_end(&here.tenant, "others")>
                {csrf()}
                <button class="button">{Icon::LogOut.view()}"End all others"</button>
            </form>
        }
    });
    let rows: Vec<AnyView> = value.iter().map(|device| row(here, now, device)).collect();
    let table = view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Device"</th>
                    <th scope="col">"Address"</th>
                    <th scope="col">"Last used"</th>
                    <th scope="col">"Signed in"</th>
                    <th scope="col">"Ends without use"</th>
                    <th scope="col"><span class="said">"Actions"</span></th>
                </tr></thead>
                <tbody>{rows}</tbody>
            </table>
        </div>
    };
    card("Where you are signed in", end_others.into_any(), table.into_any())
}

fn row(here: &Here, now: chrono::DateTime<chrono::Utc>, device: &DeviceView) -> AnyView {
    let name = device.user_agent.as_deref().map_or_else(|| "Unknown program".to_owned(), device_words);
    let title = device.user_agent.clone();
    view! {
        <tr>
            <td class="main">
                <span class="person">
                    <strong title=title>{name.clone()}</strong>
                    {device.current.then(|| view! { <span class="tag-pill good">"this one"</span> })}
                </span>
            </td>
            <td data-label="Address">{device.address.clone().map_or_else(dash, |address| view! { <code>{address}</code> }.into_any())}</td>
            <td data-label="Last used">{ago(now, device.last_seen_at)}</td>
            <td data-label="Signed in">{ago(now, device.created_at)}</td>
            <td data-label="Ends without use">{ago(now, device.expires_at)}</td>
            <td class="number">
                <form method="post" action=path::session_end(&here.tenant, &device.id.to_string())>
                    {csrf()}
                    <button class="button plain danger">{if device.current { "Sign out" } else { "End" }}<span class="said">" "{name}</span></button>
                </form>
            </td>
        </tr>
    }
    .into_any()
}

/// "Firefox on Linux", as far as a browser says what it is; else the beginning of what it says.
fn device_words(agent: &str) -> String {
    let first =
        |words: &[(&str, &'static str)]| words.iter().find(|(sign, _)| agent.contains(sign)).map(|&(_, name)| name);
    // The order matters: most browsers also name those that came before them.
    let browser = first(&[
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Chromium/", "Chromium"),
        ("Safari/", "Safari"),
    ]);
    let system = first(&[
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Windows", "Windows"),
        ("Mac OS X", "macOS"),
        ("CrOS", "ChromeOS"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => agent.split_whitespace().next().unwrap_or("Unknown program").chars().take(40).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_named_by_its_browser_and_system() {
        for (agent, name) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36 Edg/131.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605 Version/18.1 Mobile Safari/604.1",
                "Safari on iPhone",
            ),
            ("curl/8.9.1", "curl/8.9.1"),
            ("", "Unknown program"),
        ] {
            assert_eq!(device_words(agent), name, "{agent}");
        }
    }
}

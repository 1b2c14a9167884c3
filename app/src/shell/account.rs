//! The account menu: who is signed in, the theme, the API's page, sign-out.

use leptos::prelude::*;
use leptos_router::hooks::use_location;

use super::switcher::hue;
use crate::components::field::csrf;
use crate::context::page_state;
use crate::data::Theme;
use crate::forms::path;
use crate::icon::Icon;

pub(super) fn account(tenant: &str, email: &str) -> AnyView {
    let initial = email.chars().next().unwrap_or('?').to_string();
    let (name, place) = email.split_once('@').unwrap_or((email, ""));
    view! {
        <details class="menu up right">
            <summary class="rail-button">
                <span class=format!("tile round hue-{}", hue(email)) aria-hidden="true">{initial}</span>
                <span class="two"><strong class="cut">{name.to_owned()}</strong><small class="cut">{place.to_owned()}</small></span>
                <span class="said">"Account"</span>
                {Icon::ChevronsUpDown.view()}
            </summary>
            <div class="menu-sheet">
                <p class="menu-title">"Signed in as "{email.to_owned()}</p>
                {theme_form(&use_location().pathname.get_untracked())}
                <hr/>
                <a class="menu-item" href=path::section(tenant, "account")>{Icon::UserRound.view()}"Your account"</a>
                <a class="menu-item" href="/docs">{Icon::BookOpen.view()}"API reference"</a>
                <form method="post" action=path::SIGN_OUT>
                    {csrf()}
                    <button class="menu-item">{Icon::LogOut.view()}"Sign out"</button>
                </form>
            </div>
        </details>
    }
    .into_any()
}

/// Light, dark, or as the device says.
pub(crate) fn theme_form(next: &str) -> AnyView {
    let present = page_state().theme;
    let next = next.to_owned();
    let choices = [
        (Theme::System, "System", Icon::Monitor),
        (Theme::Light, "Light", Icon::Sun),
        (Theme::Dark, "Dark", Icon::Moon),
    ];
    view! {
        <form method="post" action=path::PREFERENCES class="themes">
            {csrf()}
            <input type="hidden" name="next" value=next/>
            <div class="segments" role="group" aria-label="Theme">
                {choices.into_iter().map(|(theme, label, icon)| view! {
                    <button name="theme" value=theme.as_str() aria-pressed=(theme == present).to_string()>
                        {icon.view()}{label}
                    </button>
                }).collect_view()}
            </div>
        </form>
    }
    .into_any()
}

//! The tenant switcher: whose data this is, and the way to the others, keeping the section.

use domain::wire::TenantView;
use leptos::prelude::*;
use leptos_router::hooks::use_location;

use crate::forms::path;
use crate::icon::Icon;

pub(super) fn switcher(tenants: &[TenantView], present: &TenantView) -> AnyView {
    let section = use_location().pathname.with_untracked(|now| now.split('/').nth(3).unwrap_or_default().to_owned());
    let present_name = present.name.clone();
    let others: Vec<AnyView> = tenants
        .iter()
        .map(|tenant| {
            let current = tenant.name == present_name;
            let href =
                if section.is_empty() { path::overview(&tenant.name) } else { path::section(&tenant.name, &section) };
            view! {
                <a class="menu-item" href=href aria-current=current.then_some("true")>
                    {tile(&tenant.name)}
                    <span class="cut">{tenant.name.clone()}</span>
                    {current.then(|| Icon::Check.view())}
                </a>
            }
            .into_any()
        })
        .collect();
    let role = present.role.map(domain::Role::as_str).unwrap_or_default();
    view! {
        <details class="menu">
            <summary class="rail-button">
                {tile(&present.name)}
                <span class="two"><strong class="cut">{present.name.clone()}</strong><small>{role}</small></span>
                <span class="said">"Switch tenant"</span>
                {Icon::ChevronsUpDown.view()}
            </summary>
            <div class="menu-sheet">
                <p class="menu-title">"Your tenants"</p>
                {others}
            </div>
        </details>
    }
    .into_any()
}

/// A tile with the initial, in a colour that belongs to the name.
pub(crate) fn tile(name: &str) -> AnyView {
    let initial = name.chars().find(|letter| letter.is_alphanumeric()).unwrap_or('?').to_string();
    view! { <span class=format!("tile hue-{}", hue(name)) aria-hidden="true">{initial}</span> }.into_any()
}

/// One of eight hues, the same for the same name everywhere.
pub(crate) fn hue(name: &str) -> u32 {
    name.bytes().fold(7_u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(byte))) % 8
}

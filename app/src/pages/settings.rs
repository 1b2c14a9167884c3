//! The tenant's settings: its name, and the model that steps without one of their own use.

use domain::Permission;
use domain::wire::{ConnectionView, TenantView};
use leptos::prelude::*;

use crate::components::field::{Field, csrf, form_message};
use crate::components::loaded::loaded;
use crate::components::page::{Head, card};
use crate::components::time::full;
use crate::context::{Here, form_state, here};
use crate::data::{At, ConsoleError};
use crate::forms::path;
use crate::load::ask;

#[component]
pub(crate) fn Settings() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let settings = ask(|data| async move {
        let view = data.tenant(&tenant).await?;
        // Who may not see the connections still sees the setting.
        let connections = match data.connections(&tenant).await {
            Err(ConsoleError::Forbidden) => Vec::new(),
            other => other?,
        };
        Ok((view, connections))
    });
    view! {
        {Head::new("Settings").view()}
        {loaded(settings, move |answer| sections(&here, answer))}
    }
}

fn sections(here: &Here, answer: At<(TenantView, Vec<ConnectionView>)>) -> AnyView {
    let (tenant, connections) = answer.value;
    let general = view! {
        <div class="body">
            <dl class="facts">
                <dt>"Name"</dt><dd>{tenant.name.clone()}</dd>
                <dt>"Id"</dt><dd><code>{tenant.id.to_string()}</code></dd>
                <dt>"Created"</dt><dd>{full(tenant.created_at)}</dd>
            </dl>
        </div>
    };
    view! {
        <div class="stack narrow">
            {card("Default model", ().into_any(), model(here, &tenant, &connections))}
            {card("Tenant", ().into_any(), general.into_any())}
        </div>
    }
    .into_any()
}

fn model(here: &Here, tenant: &TenantView, connections: &[ConnectionView]) -> AnyView {
    let present = tenant.default_model.clone().unwrap_or_default();
    if !here.may(Permission::TenantWrite) {
        let shown = if present.is_empty() { "None".to_owned() } else { present };
        return view! {
            <div class="body">
                <p><code>{shown}</code></p>
                <p class="quiet small">"Your role may see this but not change it."</p>
            </div>
        }
        .into_any();
    }
    let form = form_state();
    let names: Vec<String> = connections.iter().map(|connection| connection.name.clone()).collect();
    let hint = match names.as_slice() {
        [] => "There is no connection yet: make one under Connections first.".to_owned(),
        names => format!(
            "A connection, a slash, a model, for example {}/gpt-4o-mini. Connections here: {}.",
            names[0],
            names.join(", ")
        ),
    };
    let tenant_name = tenant.name.clone();
    let twin = format!(
        "curl -X PATCH -H 'Authorization: Bearer …' -d '{{\"default_model\": \"{}\"}}' …/api/v1/tenant",
        if present.is_empty() { "connection/model" } else { present.as_str() }
    );
    view! {
        <form class="body form" method="post" action=path::section(&tenant_name, "settings")>
            {csrf()}
            {form_message(&form)}
            <p class="quiet">"Used by every LLM step that names no model. Empty means that such steps fail with a clear error."</p>
            {Field::new("default_model", "Model").hint(hint).value(present).placeholder("connection/model").mono()
                .with("spellcheck", "false").autocomplete("off").state(&form).line("text")}
            <div class="form-foot"><button class="button primary">"Save"</button></div>
            <p class="small quiet">"The same by API: "<code>{twin}</code></p>
        </form>
    }
    .into_any()
}

//! The pages before a session: sign-in, the first owner, and the door at `/`.

use leptos::prelude::*;
use leptos_meta::Title;
use leptos_router::hooks::{use_params_map, use_query_map};

use crate::components::field::{Field, csrf, form_message};
use crate::components::loaded::loaded;
use crate::context::{form_state, page_state};
use crate::data::{At, SetupView};
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;
use crate::shell::wordmark;

/// `/`: the host sends everyone on; this is for a server that did not.
#[component]
pub(crate) fn Start() -> impl IntoView {
    let to = page_state()
        .session
        .as_ref()
        .and_then(|session| session.tenants.first())
        .map_or_else(|| path::SIGN_IN.to_owned(), |tenant| path::overview(&tenant.name));
    gate(
        "Weir",
        false,
        view! {
            <h1>"Weir"</h1>
            <p class="lead">"AI workflows as typed, durable endpoints."</p>
            <p><a class="button primary large wide" href=to>"Go on"</a></p>
        }
        .into_any(),
    )
}

#[component]
pub(crate) fn SignIn() -> impl IntoView {
    let form = form_state();
    let query = use_query_map();
    let next = form
        .value("next")
        .map(str::to_owned)
        .or_else(|| query.with_untracked(|query| query.get("next")))
        .unwrap_or_default();
    gate(
        "Sign in",
        false,
        view! {
            <h1>"Sign in"</h1>
            <p class="lead">"Welcome back."</p>
            <form class="form" method="post" action=path::SIGN_IN>
                {csrf()}
                <input type="hidden" name="next" value=next/>
                {notice()}
                {form_message(&form)}
                {Field::new("email", "E-mail").required().autocomplete("username").state(&form).line("email")}
                {Field::new("password", "Password").required().autocomplete("current-password").state(&form).password()}
                <button class="button primary large wide">"Sign in"</button>
            </form>
        }
        .into_any(),
    )
}

#[component]
pub(crate) fn Setup() -> impl IntoView {
    let token = use_params_map().with_untracked(|params| params.get("token")).unwrap_or_default();
    let asked = token.clone();
    let view = ask(|data| async move { data.setup(&asked).await });
    gate("Welcome", true, loaded(view, move |At { value, .. }| setup_form(&token, &value)))
}

fn setup_form(token: &str, view: &SetupView) -> AnyView {
    let form = form_state();
    let first = view.needs_tenant;
    let (title, lead, button) = if first {
        (
            "Set up Weir",
            "You are the first one here. Choose how you sign in; it all stays on this machine.",
            "Create the owner",
        )
    } else {
        ("Join Weir", "Choose how you sign in. If you have a password here already, type that one.", "Sign in")
    };
    view! {
        <h1>{title}</h1>
        <p class="lead">{lead}</p>
        <form class="form" method="post" action=path::setup(token)>
            {csrf()}
            {form_message(&form)}
            {view.needs_tenant.then(|| {
                Field::new("tenant", "Name of your team")
                    .hint("Stands in addresses: lower-case letters, digits and dashes.")
                    .placeholder("acme")
                    .required()
                    .with("pattern", "[a-z0-9][a-z0-9-]{0,62}")
                    .with("maxlength", "63")
                    .state(&form)
                    .line("text")
            })}
            {Field::new("email", "E-mail").required().autocomplete("username")
                .value(view.email.clone().unwrap_or_default()).state(&form).line("email")}
            {Field::new("password", "Password")
                .hint("At least 12 characters. A sentence is a good one.")
                .required()
                .autocomplete(if first { "new-password" } else { "current-password" })
                .with("minlength", "12")
                .state(&form)
                .password()}
            <button class="button primary large wide">{button}</button>
        </form>
        {first.then(|| running(view))}
    }
    .into_any()
}

/// What the first person wants to know about the installation, and nobody else needs to.
fn running(view: &SetupView) -> AnyView {
    view! {
        <details class="disclosure running">
            <summary>{Icon::ChevronRight.view()}"What is running here"</summary>
            <dl class="facts">
                <dt>"Version"</dt><dd>{view.version.clone()}</dd>
                <dt>"Data folder"</dt><dd><code>{view.data_folder.clone()}</code></dd>
                <dt>"Database"</dt><dd><code>{view.database.clone()}</code></dd>
                <dt>"Key"</dt><dd><code>{view.key_location.clone()}</code></dd>
            </dl>
        </details>
    }
    .into_any()
}

fn notice() -> AnyView {
    match page_state().notice.clone() {
        None => ().into_any(),
        Some(notice) => {
            let (class, icon) =
                if notice.good { ("note good", Icon::CircleCheck) } else { ("note bad", Icon::CircleX) };
            view! { <div class=class role="status">{icon.view()}<div>{notice.text}</div></div> }.into_any()
        }
    }
}

/// One card on the river.
fn gate(title: &'static str, broad: bool, card: AnyView) -> AnyView {
    let version = page_state().version.clone();
    view! {
        <Title text=title/>
        <div class="gate">
            {river()}
            <header>{wordmark()}</header>
            <main class=if broad { "gate-card broad" } else { "gate-card" }>{card}</main>
            <footer>{(!version.is_empty()).then(|| format!("Weir {version}"))}</footer>
        </div>
    }
    .into_any()
}

/// Streams that come in level, fall over the edge and go on: the mark, drawn large.
fn river() -> AnyView {
    let mut lines = String::from(
        "<svg class=\"river\" viewBox=\"0 0 1600 900\" preserveAspectRatio=\"xMidYMid slice\" fill=\"none\" \
         stroke=\"currentColor\" aria-hidden=\"true\" focusable=\"false\">",
    );
    for line in 0..22_u16 {
        let level = f32::from(line).mul_add(34.0, 40.0);
        let drop = f32::from(line).mul_add(3.0, 96.0);
        let edge = f32::from(line).mul_add(-11.0, 880.0);
        let wave = if line % 2 == 0 { 10.0 } else { -10.0 };
        let width = if line % 3 == 0 { 1.5 } else { 1.0 };
        let ink = f32::from(22 - line).mul_add(0.018, 0.12);
        lines.push_str(&format!(
            "<path stroke-width=\"{width}\" stroke-opacity=\"{ink:.2}\" d=\"M-20 {level:.0}C220 {up:.0} 420 {down:.0} \
             {edge:.0} {level:.0}C{bend:.0} {level:.0} {bend2:.0} {low:.0} {land:.0} {low:.0}S1380 {low_up:.0} 1620 {low:.0}\"/>",
            up = level - wave,
            down = level + wave,
            bend = edge + 120.0,
            bend2 = edge + 70.0,
            land = edge + 230.0,
            low = level + drop,
            low_up = level + drop + wave,
        ));
    }
    lines.push_str("</svg>");
    view! { <div class="river-box" inner_html=lines></div> }.into_any()
}

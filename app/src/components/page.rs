//! The head of every page: where it stands, its one heading, its one primary action, its tabs.

use leptos::prelude::*;
use leptos_meta::Title;

use super::prose::prose;
use crate::context::page_state;
use crate::icon::Icon;

/// A page's head. `crumbs` are the places above it, outermost first.
pub(crate) struct Head {
    title: String,
    crumbs: Vec<(String, String)>,
    lead: Option<AnyView>,
    beside: Option<AnyView>,
    actions: Option<AnyView>,
}

impl Head {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), crumbs: Vec::new(), lead: None, beside: None, actions: None }
    }

    pub(crate) fn crumb(mut self, label: impl Into<String>, href: String) -> Self {
        self.crumbs.push((label.into(), href));
        self
    }

    pub(crate) fn lead(mut self, lead: impl IntoAny) -> Self {
        self.lead = Some(lead.into_any());
        self
    }

    /// Beside the heading: a status.
    pub(crate) fn beside(mut self, view: AnyView) -> Self {
        self.beside = Some(view);
        self
    }

    pub(crate) fn actions(mut self, actions: impl IntoAny) -> Self {
        self.actions = Some(actions.into_any());
        self
    }

    pub(crate) fn view(self) -> AnyView {
        view! {
            <Title text=self.title.clone()/>
            {(!self.crumbs.is_empty()).then(|| view! {
                <nav class="crumbs" aria-label="Breadcrumb">
                    {self.crumbs.into_iter().enumerate().map(|(place, (label, href))| view! {
                        {(place > 0).then(|| Icon::ChevronRight.view())}<a href=href>{label}</a>
                    }).collect_view()}
                </nav>
            })}
            <header class="page-head">
                <h1>{self.title}</h1>
                {self.beside}
                {self.actions.map(|actions| view! { <div class="page-actions">{actions}</div> })}
                {self.lead.map(|lead| view! { <p class="lead">{lead}</p> })}
            </header>
            {notice()}
        }
        .into_any()
    }
}

/// What was just done, said once.
fn notice() -> AnyView {
    match page_state().notice.clone() {
        None => ().into_any(),
        Some(notice) => {
            let (class, icon) =
                if notice.good { ("note good notice", Icon::CircleCheck) } else { ("note bad notice", Icon::CircleX) };
            view! { <div class=class role="status">{icon.view()}<div>{prose(&notice.text)}</div></div> }.into_any()
        }
    }
}

/// Tabs are links: (label, address, whether it is this one).
pub(crate) fn tabs(label: &'static str, tabs: Vec<(&'static str, String, bool)>) -> AnyView {
    view! {
        <nav class="tabs" aria-label=label>
            {tabs.into_iter().map(|(label, href, current)| view! {
                <a href=href aria-current=current.then_some("page")>{label}</a>
            }).collect_view()}
        </nav>
    }
    .into_any()
}

/// A card with a heading.
pub(crate) fn card(title: &'static str, beside: AnyView, body: AnyView) -> AnyView {
    view! {
        <section class="card">
            <header><h2>{title}</h2>{beside}</header>
            {body}
        </section>
    }
    .into_any()
}

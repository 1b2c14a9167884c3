//! What runs ask people: the questions, and the form that decides one.
//!
//! Invariant: one question a page, so that every field has its own name; a decision works without scripts.

use domain::Permission;
use domain::wire::{ApprovalStatus, ApprovalView};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::flows::inputs::fields;
use super::flows::start::{Tags, control};
use crate::components::field::{Field, csrf, form_message};
use crate::components::figure::{dash, empty};
use crate::components::json;
use crate::components::loaded::loaded;
use crate::components::page::{Head, card};
use crate::components::time::{ago, full};
use crate::context::{Here, form_state, here};
use crate::data::At;
use crate::forms::path;
use crate::icon::Icon;
use crate::load::ask;

#[component]
pub(crate) fn List() -> impl IntoView {
    let here = here();
    let tenant = here.tenant();
    let questions = ask(|data| async move { data.approvals(&tenant).await });
    view! {
        {Head::new("Approvals").lead("Runs that wait for somebody to decide, and what was decided last.").view()}
        {loaded(questions, move |answer| table(&here, answer))}
    }
}

fn table(here: &Here, answer: At<Vec<ApprovalView>>) -> AnyView {
    let At { now, value } = answer;
    if value.is_empty() {
        let text = "A run asks here when it comes to a step with the executor approval.";
        let view = empty(Icon::CircleCheck, "Nothing to decide", text, ().into_any());
        return view! { <div class="card">{view}</div> }.into_any();
    }
    view! {
        <div class="table-wrap">
            <table class="table">
                <thead><tr>
                    <th scope="col">"Question"</th>
                    <th scope="col">"Status"</th>
                    <th scope="col">"Flow"</th>
                    <th scope="col">"Asked"</th>
                    <th scope="col">"Decided by"</th>
                </tr></thead>
                <tbody>{value.iter().map(|question| row(here, now, question)).collect_view()}</tbody>
            </table>
        </div>
    }
    .into_any()
}

fn row(here: &Here, now: chrono::DateTime<chrono::Utc>, question: &ApprovalView) -> AnyView {
    let href = path::approval(&here.tenant, &question.id.to_string());
    let decided = question.decided_by.clone().map_or_else(dash, IntoAny::into_any);
    view! {
        <tr class="leads">
            <td class="main"><a class="clamp" href=href>{words(question)}</a></td>
            <td data-label="Status">{status(question.status)}</td>
            <td class="whole" data-label="Flow">{question.flow.clone()}</td>
            <td data-label="Asked">{ago(now, question.asked_at)}</td>
            <td data-label="Decided by">{decided}</td>
        </tr>
    }
    .into_any()
}

/// What is asked; a question without words has its step's name.
pub(super) fn words(question: &ApprovalView) -> String {
    question.message.clone().unwrap_or_else(|| question.step.replace('_', " "))
}

/// How it stands, as a shape, a word and a colour.
fn status(status: ApprovalStatus) -> AnyView {
    let (class, icon, word) = match status {
        ApprovalStatus::Open => ("status warn", Icon::Hourglass, "Open"),
        ApprovalStatus::Approved => ("status good", Icon::CircleCheck, "Approved"),
        ApprovalStatus::Rejected => ("status bad", Icon::CircleX, "Rejected"),
        ApprovalStatus::Expired => ("status", Icon::Clock, "Expired"),
        ApprovalStatus::Withdrawn => ("status", Icon::Ban, "Withdrawn"),
    };
    view! { <span class=class>{icon.view()}{word}</span> }.into_any()
}

#[component]
pub(crate) fn Question() -> impl IntoView {
    let here = here();
    let id = use_params_map().with_untracked(|params| params.get("approval")).unwrap_or_default();
    let tenant = here.tenant();
    let question = ask(|data| async move { data.approval(&tenant, &id).await });
    loaded(question, move |answer| page(&here, &answer.value))
}

fn page(here: &Here, question: &ApprovalView) -> AnyView {
    let run = question.run_id.to_string();
    let head = Head::new(words(question))
        .crumb("Approvals", path::section(&here.tenant, "approvals"))
        .beside(status(question.status))
        .view();
    let may = here.may(Permission::RunsApprove) && question.status == ApprovalStatus::Open;
    let facts = view! {
        <dl class="facts across run-head">
            <div><dt>"Run"</dt><dd><a href=path::run(&here.tenant, &run)>{question.flow.clone()}", step "{question.step.clone()}</a></dd></div>
            <div><dt>"Asked"</dt><dd>{full(question.asked_at)}</dd></div>
            {question.expires_at.map(|at| view! { <div><dt>"Open until"</dt><dd>{full(at)}</dd></div> })}
            <div><dt>"May decide"</dt><dd>{who(question)}</dd></div>
        </dl>
    };
    let refused = question.status == ApprovalStatus::Open && !may;
    view! {
        {head}
        {facts}
        <div class="stack narrow">
            {may.then(|| form(here, question))}
            {refused.then(|| view! { <div class="note">{Icon::CircleSlash.view()}<div>"Your role may read this question but not decide it."</div></div> })}
            {decision(here, question)}
        </div>
    }
    .into_any()
}

/// Whom the flow asks.
fn who(question: &ApprovalView) -> String {
    if question.roles.is_empty() { "everybody who may approve".to_owned() } else { question.roles.join(", ") }
}

/// What came of it, once something did.
fn decision(here: &Here, question: &ApprovalView) -> Option<AnyView> {
    if question.status == ApprovalStatus::Open {
        return None;
    }
    let answer = question.answer.as_ref().filter(|answer| !answer.is_null());
    let body = view! {
        <div class="body stack-s">
            <dl class="facts">
                <dt>"Outcome"</dt><dd>{status(question.status)}</dd>
                {question.decided_by.clone().map(|by| view! { <dt>"Decided by"</dt><dd>{by}</dd> })}
                {question.decided_at.map(|at| view! { <dt>"Decided"</dt><dd>{full(at)}</dd> })}
                {question.comment.clone().map(|text| view! { <dt>"Comment"</dt><dd>{text}</dd> })}
            </dl>
            {answer.map(|answer| view! { <h3>"Filled in"</h3>{json::value(answer, "Filled in", &here.tenant)} })}
        </div>
    };
    Some(card("Decision", ().into_any(), body.into_any()))
}

fn form(here: &Here, question: &ApprovalView) -> AnyView {
    let state = form_state();
    let declared = question.form.as_ref().map(fields).unwrap_or_default();
    let controls: Vec<AnyView> = declared.iter().map(|field| control(field, &state, Tags::Plain)).collect();
    let body = view! {
        <form class="body form" method="post" action=path::approval(&here.tenant, &question.id.to_string())>
            {csrf()}
            {form_message(&state)}
            {controls}
            {Field::new("comment", "Comment").tag("optional").hint("Kept with the decision and in the audit log.")
                .with("maxlength", "2000").state(&state).area()}
            <div class="form-foot">
                <button class="button primary" name="decision" value="approve">{Icon::Check.view()}"Approve"</button>
                // A rejection needs nothing filled in.
                <button class="button danger" name="decision" value="reject" formnovalidate>{Icon::Ban.view()}"Reject"</button>
            </div>
        </form>
    };
    card("Your decision", ().into_any(), body.into_any())
}

//! What runs ask people: the questions, and the form that decides one.
//!
//! Invariant: one question a page, so that every field has its own name; a decision works without scripts.

use domain::Permission;
use domain::wire::{ApprovalStatus, ApprovalView};
use leptos::prelude::*;
use leptos_router::hooks::use_params_map;

use super::flows::inputs::fields;
use super::flows::start::control;
use crate::components::field::{Field, csrf, form_message};
use crate::components::figure::empty;
use crate::components::json;
use crate::components::loaded::loaded;
use crate::components::page::{Head, card};
use crate::components::time::{ago_or, full};
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
                <tbody>
                    {value.into_iter().map(|question| {
                        let href = path::approval(&here.tenant, &question.id.to_string());
                        view! {
                            <tr class="leads">
                                <td class="main"><a class="cut" href=href>{words(&question)}</a></td>
                                <td data-label="Status">{status(question.status)}</td>
                                <td data-label="Flow">{question.flow.clone()}</td>
                                <td data-label="Asked">{ago_or(now, Some(question.asked_at), "")}</td>
                                <td data-label="Decided by">{question.decided_by.clone().unwrap_or_else(|| "–".to_owned())}</td>
                            </tr>
                        }
                    }).collect_view()}
                </tbody>
            </table>
        </div>
    }
    .into_any()
}

/// What is asked; a question without words has its step's name.
pub(super) fn words(question: &ApprovalView) -> String {
    question.message.clone().unwrap_or_else(|| question.step.replace('_', " "))
}

const fn status(status: ApprovalStatus) -> &'static str {
    match status {
        ApprovalStatus::Open => "Open",
        ApprovalStatus::Approved => "Approved",
        ApprovalStatus::Rejected => "Rejected",
        ApprovalStatus::Expired => "Expired",
        ApprovalStatus::Withdrawn => "Withdrawn",
    }
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
        .beside(view! { <span class="tag-pill">{status(question.status)}</span> }.into_any())
        .view();
    let may = here.may(Permission::RunsApprove) && question.status == ApprovalStatus::Open;
    let facts = view! {
        <dl class="facts across run-head">
            <div><dt>"Run"</dt><dd><a href=path::run(&here.tenant, &run)>{question.flow.clone()}", step "{question.step.clone()}</a></dd></div>
            <div><dt>"Asked"</dt><dd>{full(question.asked_at)}</dd></div>
            {question.expires_at.map(|at| view! { <div><dt>"Until"</dt><dd>{full(at)}</dd></div> })}
            {(!question.roles.is_empty()).then(|| view! { <div><dt>"Decided by"</dt><dd>{question.roles.join(", ")}</dd></div> })}
            {question.decided_by.clone().map(|by| view! { <div><dt>"Decided"</dt><dd>{by}</dd></div> })}
        </dl>
    };
    let comment = question.comment.clone().map(|text| view! { <p class="quiet">{text}</p> });
    let answer = question.answer.as_ref().map(|answer| json::value(answer, "Filled in", &here.tenant));
    view! {
        {head}
        {facts}
        {comment}
        {answer}
        {may.then(|| form(here, question))}
    }
    .into_any()
}

fn form(here: &Here, question: &ApprovalView) -> AnyView {
    let state = form_state();
    let declared = question.form.as_ref().map(fields).unwrap_or_default();
    let controls: Vec<AnyView> = declared.iter().map(|field| control(field, &state)).collect();
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

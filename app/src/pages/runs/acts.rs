//! What a person can do to a run: end it, wake it, repair it, do it again. Plain forms, each behind its button.

use domain::wire::StepView;
use domain::{Permission, RunStatus, StepStatus};
use leptos::prelude::*;

use crate::components::field::{Field, check, csrf};
use crate::components::page::card;
use crate::context::Here;
use crate::data::RunView;
use crate::forms::path;
use crate::icon::Icon;
use crate::pages::approvals;

/// The buttons beside the heading.
pub(super) fn buttons(here: &Here, value: &RunView) -> AnyView {
    let summary = &value.run.summary;
    let id = summary.id.to_string();
    let act = |name: &str| path::run_act(&here.tenant, &id, name);
    let over = summary.status.is_terminal();
    let root = summary.parent_run_id.is_none();
    let begins = here.may(Permission::RunsStart);
    let badly = over && summary.status != RunStatus::Succeeded;
    // Left to a person with nothing to resolve: it kept killing its workers.
    let parked = summary.status == RunStatus::NeedsAttention && summary.error.is_some();
    let restart = ((badly || parked) && root && begins).then(|| {
        view! {
            <form method="post" action=act("restart")>
                {csrf()}
                <button class="button">{Icon::RotateCcw.view()}"Restart"</button>
            </form>
        }
    });
    let replay = (over && begins).then(|| replay(act("replay"), value));
    let signal = (!over && here.may(Permission::RunsSignal)).then(|| signal(act("signal")));
    let kill = (!over && here.may(Permission::RunsKill)).then(|| kill(act("kill")));
    view! { {restart}{replay}{signal}{kill} }.into_any()
}

fn replay(action: String, value: &RunView) -> AnyView {
    let mut steps = vec![(String::new(), "The beginning".to_owned())];
    steps.extend(value.steps.iter().map(|step| (step.name.clone(), step.name.clone())));
    view! {
        <details class="menu right confirm">
            <summary class="button">{Icon::Copy.view()}"Replay"</summary>
            <form class="menu-sheet" method="post" action=action>
                {csrf()}
                <p>"A new run with the same inputs. What lies before the chosen step is taken over."</p>
                {Field::new("from_step", "From").select(&steps)}
                {check("reuse_keys", "Send calls with the same keys", Some("Receivers see the same calls again."), false)}
                <button class="button primary wide">"Replay the run"</button>
            </form>
        </details>
    }
    .into_any()
}

fn signal(action: String) -> AnyView {
    view! {
        <details class="menu right confirm">
            <summary class="button">{Icon::ArrowRight.view()}"Signal"</summary>
            <form class="menu-sheet" method="post" action=action>
                {csrf()}
                {Field::new("name", "Name").required().with("maxlength", "64").line("text")}
                {Field::new("payload", "Payload").tag("JSON, optional").mono().with("spellcheck", "false").area()}
                <button class="button primary wide">"Send the signal"</button>
            </form>
        </details>
    }
    .into_any()
}

fn kill(action: String) -> AnyView {
    view! {
        <details class="menu right confirm">
            <summary class="button danger">{Icon::Ban.view()}"Kill"</summary>
            <form class="menu-sheet" method="post" action=action>
                {csrf()}
                <p>"Ends the run at once, without its on_error and finally steps. Cancelling is the gentle way."</p>
                {Field::new("reason", "Reason").hint("Written into the audit log.").required().with("maxlength", "500").line("text")}
                <button class="button danger wide">"Kill the run"</button>
            </form>
        </details>
    }
    .into_any()
}

/// What stands above the tabs while the run waits: why, what it asks, what needs a person.
pub(super) fn waiting(here: &Here, value: &RunView) -> AnyView {
    let why = value.why.as_ref().filter(|why| why.status != RunStatus::Running).map(|why| {
        view! { <div class="note">{Icon::Hourglass.view()}<div>{why.sentence.clone()}</div></div> }
    });
    let questions: Vec<AnyView> = value
        .questions
        .iter()
        .map(|question| {
            let href = path::approval(&here.tenant, &question.id.to_string());
            let words = approvals::words(question);
            view! { <div class="note warn">{Icon::CircleCheck.view()}<div>"Waits for a decision: "<a href=href>{words}</a></div></div> }
                .into_any()
        })
        .collect();
    let parked: Vec<&StepView> = value.steps.iter().filter(|step| step.status == StepStatus::NeedsAttention).collect();
    let repair = parked.first().filter(|_| here.may(Permission::RunsResolve)).map(|step| resolve(here, value, step));
    view! { {why}{questions}{repair} }.into_any()
}

/// One form at a time, so that its fields have their names to themselves; the next step's follows.
fn resolve(here: &Here, value: &RunView, step: &StepView) -> AnyView {
    let action = path::step_resolve(&here.tenant, &value.run.summary.id.to_string(), &step.name);
    let said = step.error.as_ref().map(|error| error.message.clone());
    let body = view! {
        <form class="body form" method="post" action=action>
            {csrf()}
            <p>"The step "<strong>{step.name.clone()}</strong>" needs a person. "{said}</p>
            {Field::new("output", "Output").tag("JSON, for “It was done”").mono().with("spellcheck", "false").area()}
            <div class="form-foot">
                <button class="button primary" name="action" value="complete">{Icon::Check.view()}"It was done"</button>
                <button class="button" name="action" value="retry">{Icon::RotateCcw.view()}"Do it again"</button>
                <button class="button danger" name="action" value="fail">{Icon::Ban.view()}"Let it fail"</button>
            </div>
        </form>
    };
    card("Needs attention", ().into_any(), body.into_any())
}

//! What a person can do to a run: end it, wake it, repair it, do it again. Plain forms, each behind its button.

use domain::wire::{StepView, WhyView};
use domain::{Permission, RunStatus, StepStatus};
use leptos::prelude::*;

use super::table::short_id;
use crate::components::field::{Field, check, csrf};
use crate::components::page::card;
use crate::components::prose::prose;
use crate::components::time::full;
use crate::context::Here;
use crate::data::RunView;
use crate::forms::path;
use crate::icon::Icon;
use crate::pages::approvals;

/// The buttons beside the heading: what goes on first, what ends last.
pub(super) fn buttons(here: &Here, value: &RunView) -> AnyView {
    let summary = &value.run.summary;
    let id = summary.id.to_string();
    let act = |name: &str| path::run_act(&here.tenant, &id, name);
    let over = summary.status.is_terminal();
    // Whoever waits for a child restarts it with itself.
    let alone = summary.parent_step.is_none();
    let begins = here.may(Permission::RunsStart);
    let badly = over && summary.status != RunStatus::Succeeded;
    // Left to a person with nothing to resolve: it kept killing its workers.
    let parked = summary.status == RunStatus::NeedsAttention && summary.error.is_some();
    let restart = ((badly && alone || parked) && begins).then(|| {
        view! {
            <form method="post" action=act("restart")>
                {csrf()}
                <button class="button">{Icon::RotateCcw.view()}"Restart"</button>
            </form>
        }
    });
    let replay = (over && begins).then(|| replay(act("replay"), value));
    let signal = (!over && here.may(Permission::RunsSignal)).then(|| signal(act("signal")));
    let stop = (!over).then(|| stop(here, &id));
    view! { {restart}{replay}{signal}{stop} }.into_any()
}

/// The two ways to end a run, the gentle one first.
fn stop(here: &Here, id: &str) -> Option<AnyView> {
    let cancel = here.may(Permission::RunsCancel).then(|| {
        view! {
            <form method="post" action=path::run_cancel(&here.tenant, id)>
                {csrf()}
                <p>"Steps that run are stopped, the rest does not start. What has happened stays, and "<code>"finally"</code>" steps run."</p>
                <button class="button danger wide">"Cancel the run"</button>
            </form>
        }
    });
    let kill = here.may(Permission::RunsKill).then(|| {
        view! {
            <form method="post" action=path::run_act(&here.tenant, id, "kill")>
                {csrf()}
                <p>"Or end it at once, with the runs it started, without "<code>"on_error"</code>" and "<code>"finally"</code>"."</p>
                {Field::new("reason", "Reason").hint("Written into the audit log.").required().with("maxlength", "500").line("text")}
                <button class="button danger wide">"Kill the run"</button>
            </form>
        }
    });
    (cancel.is_some() || kill.is_some()).then(|| {
        view! {
            <details class="menu right confirm">
                <summary class="button danger">{Icon::CircleStop.view()}"Stop"</summary>
                <div class="menu-sheet">{cancel}{kill}</div>
            </details>
        }
        .into_any()
    })
}

fn replay(action: String, value: &RunView) -> AnyView {
    let mut steps = vec![(String::new(), "The beginning".to_owned())];
    let main = value.steps.iter().filter(|step| step.phase.is_none());
    steps.extend(main.map(|step| (step.name.clone(), step.name.clone())));
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

/// What stands above the tabs while the run waits: what it asks, what needs a person, else why.
pub(super) fn waiting(here: &Here, value: &RunView) -> AnyView {
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
    let goes_on = !value.run.summary.status.is_terminal();
    let needs = |step: &&StepView| {
        goes_on && (step.status == StepStatus::NeedsAttention || !step.items_needing_attention.is_empty())
    };
    let parked: Vec<&StepView> = value.steps.iter().filter(needs).collect();
    let repair = parked.first().filter(|_| here.may(Permission::RunsResolve)).map(|step| resolve(here, value, step));
    // A question and a form say it themselves.
    let said = !questions.is_empty() || repair.is_some();
    let why = value.why.as_ref().filter(|why| !said && why.status != RunStatus::Running).map(|why| reason(here, why));
    if why.is_none() && !said {
        return ().into_any();
    }
    view! { <div class="stack-s run-notes">{why}{questions}{repair}</div> }.into_any()
}

/// Why it waits, until when, and for which runs.
fn reason(here: &Here, why: &WhyView) -> AnyView {
    let until = why.until.map(|at| view! { <p class="small">"Until "{full(at)}"."</p> });
    let held = why.held_by.iter().map(|run| {
        let run = run.to_string();
        view! { " "<a href=path::run(&here.tenant, &run)><code>{short_id(&run)}</code></a> }
    });
    let held =
        (!why.held_by.is_empty()).then(|| view! { <p class="small">"Runs it waits for:"{held.collect_view()}</p> });
    view! { <div class="note">{Icon::Hourglass.view()}<div>{prose(&why.sentence)}{until}{held}</div></div> }.into_any()
}

/// What is in doubt about the first item that needs a person.
fn of_first_item(step: &StepView) -> Option<String> {
    let item = step.items_needing_attention.first()?;
    let last = step.attempt_list.iter().rev().find(|attempt| attempt.item == Some(*item))?;
    Some(format!("Item {item}: {}", last.error.as_ref()?.message))
}

/// One form at a time, so that its fields have their names to themselves; the next step's follows.
fn resolve(here: &Here, value: &RunView, step: &StepView) -> AnyView {
    let action = path::step_resolve(&here.tenant, &value.run.summary.id.to_string(), &step.name);
    let said = step.error.as_ref().map(|error| error.message.clone()).or_else(|| of_first_item(step));
    // `max_cost`, a group's, the handlers': what a person may raise.
    let capped = step.error.as_ref().is_some_and(|error| error.code.ends_with("max_cost"));
    let cap = capped.then(|| {
        Field::new("max_cost", "New cap")
            .tag("US dollars, optional")
            .hint("With “Do it again”: above the present cap. The run goes on under it.")
            .with("inputmode", "decimal")
            .autocomplete("off")
            .line("text")
    });
    let items: Vec<(String, String)> =
        step.items_needing_attention.iter().map(|item| (item.to_string(), format!("Item {item}"))).collect();
    let items = (!items.is_empty())
        .then(|| Field::new("item", "Item").hint("Counted from 0; each is decided by itself.").select(&items));
    let body = view! {
        <form class="body form" method="post" action=action>
            {csrf()}
            <p>"The step "<strong>{step.name.clone()}</strong>" needs a person. "{said.map(|text| prose(&text))}</p>
            {items}
            {cap}
            {Field::new("output", "Output").tag("JSON, optional").hint("What the step gives, if it was done.").mono().with("spellcheck", "false").area()}
            <div class="form-foot">
                <button class="button primary" name="action" value="complete">{Icon::Check.view()}"It was done"</button>
                <button class="button" name="action" value="retry">{Icon::RotateCcw.view()}"Do it again"</button>
                <button class="button danger" name="action" value="fail">{Icon::Ban.view()}"Let it fail"</button>
            </div>
        </form>
    };
    card("Needs attention", ().into_any(), body.into_any())
}

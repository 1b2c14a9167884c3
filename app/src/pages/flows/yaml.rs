//! A flow's text with its problems, each one click from its line.

use domain::wire::{CheckReport, FlowDetail};
use leptos::prelude::*;
use serde_json::Value;

use super::FlowPage;
use crate::components::json::size_text;
use crate::components::loaded::loaded;
use crate::components::yaml::{Mark, lines};
use crate::data::At;
use crate::icon::Icon;
use crate::islands::Copy;

#[component]
pub(crate) fn Yaml() -> impl IntoView {
    let page = FlowPage::take();
    let flow = page.detail();
    view! {
        {page.head("yaml")}
        {loaded(flow, text)}
    }
}

fn text(answer: At<FlowDetail>) -> AnyView {
    let flow = answer.value;
    let numbered = lines(&flow.yaml, |line| worst(&flow.report, line));
    let files: Vec<(String, u64)> = flow.files.clone().into_iter().collect();
    view! {
        {problems(&flow.report, "")}
        <section class="card">
            <header><h2>"flow.yaml"</h2><Copy text=flow.yaml.clone() label="Copy the text".to_owned()/></header>
            <div class="code flush" tabindex="0" role="region" aria-label="The flow's YAML">
                <ol class="lines" inner_html=numbered></ol>
            </div>
            {(!files.is_empty()).then(|| view! {
                <footer>
                    "Beside it: "
                    {files.into_iter().map(|(name, size)| view! { <span><code>{name}</code>" "{size_text(size)}</span> }).collect_view()}
                </footer>
            })}
        </section>
    }
    .into_any()
}

fn field<'a>(problem: &'a Value, key: &str) -> &'a str {
    problem.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The line of a problem in `flow.yaml`; problems of other files have none here.
fn line(problem: &Value) -> Option<u64> {
    let file = field(problem, "file");
    let number = problem.get("line").or_else(|| problem.pointer("/span/line")).and_then(Value::as_u64);
    number.filter(|_| file.is_empty() || file == "flow.yaml")
}

fn is_error(problem: &Value) -> bool {
    !matches!(field(problem, "severity"), "warning" | "info" | "hint")
}

fn worst(report: &CheckReport, number: u32) -> Option<Mark> {
    let mut found = None;
    for problem in report.problems.iter().filter(|problem| line(problem) == Some(u64::from(number))) {
        if is_error(problem) {
            return Some(Mark::Error);
        }
        found = Some(Mark::Warning);
    }
    found
}

/// All problems; `yaml` is the address of the text, empty on the text's own page.
pub(super) fn problems(report: &CheckReport, yaml: &str) -> AnyView {
    if report.problems.is_empty() {
        return ().into_any();
    }
    let rows: Vec<AnyView> = report
        .problems
        .iter()
        .map(|problem| {
            let (class, icon, word) = if is_error(problem) {
                ("note bad", Icon::CircleX, "Error")
            } else {
                ("note warn", Icon::TriangleAlert, "Warning")
            };
            let place = line(problem).map(|line| {
                view! { " "<a href=format!("{yaml}#L{line}")>{format!("line {line}")}</a> }
            });
            let hint = field(problem, "hint").to_owned();
            view! {
                <li class=class>
                    {icon.view()}
                    <div>
                        <p><span class="said">{word}": "</span>{field(problem, "message").to_owned()}</p>
                        {(!hint.is_empty()).then(|| view! { <p>{hint}</p> })}
                        <p class="small quiet"><code>{field(problem, "code").to_owned()}</code>{place}</p>
                    </div>
                </li>
            }
            .into_any()
        })
        .collect();
    view! { <ul class="problems" aria-label="Problems">{rows}</ul> }.into_any()
}

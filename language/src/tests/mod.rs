//! Tests of the language as a whole: bad flows by their problems, good flows by their plans.

mod catalogue;
mod compiler;
mod compose;
mod configs;
mod contract;
mod functions;
mod handlers;
mod hostile;
mod inputs;
mod items;
mod main_inputs;
mod order;
mod reference;
mod schema;
mod seed;
mod settings;
mod shapes;
mod templates;
mod together;
mod types;
mod yaml;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::plan::{NeedKind, Plan, Source, StepIndex, Target};
use crate::{Compiled, Folder, Problem, compile};

/// Compiles a flow that is nothing but its YAML.
fn compiled(yaml: &str) -> Compiled {
    let folder = Folder { name: None, yaml: yaml.to_owned(), files: BTreeMap::new() };
    compile(&folder, &catalogue::catalogue())
}

/// The plan of a flow without errors.
fn planned(yaml: &str) -> Plan {
    let Compiled { plan, problems } = compiled(yaml);
    plan.unwrap_or_else(|| panic!("{}", shown(&problems)))
}

/// The problems of a flow, a line each with its hint below.
fn problems(yaml: &str) -> String {
    let Compiled { plan, problems } = compiled(yaml);
    let has_errors = problems.iter().any(|problem| problem.severity == crate::Severity::Error);
    assert_eq!(plan.is_none(), has_errors, "a plan exists if and only if there are no errors");
    shown(&problems)
}

fn shown(problems: &[Problem]) -> String {
    let mut text = String::new();
    for problem in problems {
        let file = if problem.file == crate::FLOW_FILE { String::new() } else { format!("{} ", problem.file) };
        let warning = if problem.severity == crate::Severity::Warning { " warning" } else { "" };
        let _ = writeln!(
            text,
            "{}{warning} {file}{}:{}-{}:{} {}",
            problem.code, problem.line, problem.column, problem.end_line, problem.end_column, problem.message
        );
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "     {}", hint.replace('\n', "\n     "));
        }
    }
    text
}

/// The codes of a flow's problems with their lines.
fn codes(yaml: &str) -> Vec<String> {
    let Compiled { problems, .. } = compiled(yaml);
    problems.iter().map(|problem| format!("{} {}", problem.code, problem.line)).collect()
}

/// What a plan says about order: needs, watches and main inputs, a line each.
fn order(plan: &Plan) -> String {
    let name = |step: StepIndex| plan.steps[step].name.as_str();
    let mut text = String::new();
    for step in &plan.steps {
        let _ = write!(text, "{}", step.name);
        if let Some(group) = step.group {
            let _ = write!(text, " in {}", plan.groups[group].name);
        }
        for need in &step.needs {
            let target = match need.target {
                Target::Step(target) => name(target).to_owned(),
                Target::Group(group) => format!("group {}", plan.groups[group].name),
            };
            let why: Vec<&str> = need.why.iter().map(word).collect();
            let _ = write!(text, "\n  after {target} ({})", why.join(", "));
        }
        for watched in &step.watches {
            let _ = write!(text, "\n  watches {}", name(*watched));
        }
        if let Some(condition) = &step.condition {
            let _ = write!(text, "\n  if {}", condition.source);
        }
        if let Some(main) = &step.main_input {
            let sources: Vec<String> = main.sources.iter().map(|source| shown_source(plan, source)).collect();
            let _ = write!(text, "\n  {} from {}", main.field, sources.join(" | "));
        }
        text.push('\n');
    }
    text
}

fn word(kind: &NeedKind) -> &'static str {
    match kind {
        NeedKind::Declared => "declared",
        NeedKind::ReadOutput => "output",
        NeedKind::ReadRecord => "record",
        NeedKind::MainInput => "main input",
        NeedKind::Order => "order",
    }
}

fn shown_source(plan: &Plan, source: &Source) -> String {
    match source {
        Source::Step { step, field: Some(field) } => format!("{}.{field}", plan.steps[*step].name),
        Source::Step { step, field: None } => plan.steps[*step].name.clone(),
        Source::Input { name } => format!("inputs.{name}"),
        Source::OnlyFile => "the only file".to_owned(),
        Source::OnlyText => "the only text".to_owned(),
    }
}

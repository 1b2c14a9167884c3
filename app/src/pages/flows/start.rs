//! The form that runs a flow, made from its inputs, with the same call as a command beside it.

use domain::Permission;
use domain::wire::FlowDetail;
use leptos::prelude::*;

use super::FlowPage;
use super::inputs::{InputField, InputKind, fields};
use crate::components::code::command;
use crate::components::field::{Field, check, csrf, form_message};
use crate::components::loaded::loaded;
use crate::components::page::card;
use crate::context::{form_state, page_state};
use crate::data::{At, ConsoleError, FormState};
use crate::forms::{INPUT_PREFIX, RAW_FILE, RAW_INPUTS};
use crate::icon::Icon;
use crate::pages::errors;

#[component]
pub(crate) fn Start() -> impl IntoView {
    let page = FlowPage::take();
    if !page.here.may(Permission::RunsStart) {
        return errors::body(&ConsoleError::Forbidden);
    }
    let flow = page.detail();
    view! {
        {page.head("run")}
        {loaded(flow, move |answer| form(&page, &answer))}
    }
    .into_any()
}

fn form(page: &FlowPage, answer: &At<FlowDetail>) -> AnyView {
    let flow = &answer.value;
    let declared = fields(&flow.input_schema);
    let state = form_state();
    let runnable = flow.summary.version.is_some();
    let controls = if declared.is_empty() {
        vec![
            Field::new(RAW_FILE, "File").tag("optional").hint("Passed to the flow as its file.").state(&state).file(""),
            Field::new(RAW_INPUTS, "Inputs")
                .tag("JSON object")
                .placeholder("{}")
                .mono()
                .with("spellcheck", "false")
                .state(&state)
                .area(),
        ]
    } else {
        declared.iter().map(|field| control(field, &state, Tags::Kinds)).collect()
    };
    let about = page.tab("yaml");
    let body = view! {
        <form class="body form" method="post" action=page.tab("run") enctype="multipart/form-data">
            {csrf()}
            {(!runnable).then(|| view! {
                <div class="note warn">{Icon::TriangleAlert.view()}<div>"This flow has no published version, so it cannot run yet. "<a href=about>"See its problems"</a></div></div>
            })}
            {form_message(&state)}
            {controls}
            <div class="form-foot">
                <button class="button primary large" disabled=!runnable>{Icon::Play.view()}"Run the flow"</button>
            </div>
        </form>
    };
    let line = curl(&page_state().base_url, &page.flow, &declared);
    let twin = view! {
        <div class="body stack-s">
            <p class="quiet small">"The same call from your own program, with an API key:"</p>
            {command(&line, "The same call with curl")}
        </div>
    };
    view! {
        <div class="split">
            {card("Inputs", ().into_any(), body.into_any())}
            {card("By API", ().into_any(), twin.into_any())}
        </div>
    }
    .into_any()
}

/// What stands beside a field's label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pages) enum Tags {
    /// The language's word for its kind, for people who write flows.
    Kinds,
    /// Only whether it may be left out, for people who answer a question.
    Plain,
}

pub(in crate::pages) fn control(input: &InputField, state: &FormState, tags: Tags) -> AnyView {
    let name = format!("{INPUT_PREFIX}{}", input.name);
    let label = words(&input.name);
    if input.kind == InputKind::Boolean {
        let default = input.default.as_deref() == Some("true");
        // After a refusal an absent box was not ticked; before it the default counts.
        let ticked = if state.values.is_empty() { default } else { state.value(&name) == Some("true") };
        return check(&name, &label, input.description.as_deref(), ticked);
    }
    let mut field = Field::new(name, label);
    let kind = (tags == Tags::Kinds).then(|| input.kind.word());
    let words: Vec<&str> = kind.into_iter().chain((!input.required).then_some("optional")).collect();
    if !words.is_empty() {
        field = field.tag(words.join(", "));
    }
    if let Some(text) = &input.description {
        field = field.hint(text.clone());
    }
    if let Some(default) = &input.default {
        field = field.value(default.clone());
    }
    if let Some(example) = &input.example {
        field = field.placeholder(example.clone());
    }
    // A default fills in for what is missing, so nothing must be typed.
    if input.required && input.default.is_none() {
        field = field.required();
    }
    for (key, value) in &input.bounds {
        field = field.with(key, value.clone());
    }
    let field = field.state(state);
    match &input.kind {
        InputKind::Text { multiline: true } => field.area(),
        InputKind::Text { multiline: false } => field.line("text"),
        InputKind::Integer | InputKind::Number => field.line("number"),
        InputKind::File { accept } => field.file(accept),
        InputKind::Object | InputKind::Array => field.mono().with("spellcheck", "false").area(),
        InputKind::Choice(choices) => {
            let mut options: Vec<(String, String)> =
                choices.iter().map(|choice| (choice.clone(), choice.clone())).collect();
            if input.default.is_none() {
                options.insert(0, (String::new(), if input.required { "Choose" } else { "None" }.to_owned()));
            }
            field.select(&options)
        }
        InputKind::Boolean => ().into_any(),
    }
}

/// `customer_name` reads "Customer name".
fn words(name: &str) -> String {
    let spaced = name.replace('_', " ");
    let mut letters = spaced.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The call as a command: multipart where there is a file, JSON otherwise.
fn curl(base: &str, flow: &str, inputs: &[InputField]) -> String {
    let head = format!("curl {base}/api/v1/flows/{flow}/run \\\n  -H 'Authorization: Bearer '$WEIR_KEY");
    let needed: Vec<&InputField> = inputs.iter().filter(|input| input.required).collect();
    let shown: Vec<&InputField> = if needed.is_empty() { inputs.iter().take(1).collect() } else { needed };
    let file = inputs.is_empty() || shown.iter().any(|input| matches!(input.kind, InputKind::File { .. }));
    if file {
        let parts: String = if inputs.is_empty() {
            " \\\n  -F file=@document.pdf".to_owned()
        } else {
            shown
                .iter()
                .map(|input| match &input.kind {
                    InputKind::File { .. } => format!(" \\\n  -F {}=@document.pdf", input.name),
                    _ => format!(" \\\n  -F {}='{}'", input.name, sample(input)),
                })
                .collect()
        };
        return format!("{head}{parts}");
    }
    let fields: Vec<String> = shown
        .iter()
        .map(|input| {
            let value = sample(input);
            let text = matches!(input.kind, InputKind::Text { .. } | InputKind::Choice(_));
            let value = if text { serde_json::Value::from(value).to_string() } else { value };
            format!("\"{}\": {value}", input.name)
        })
        .collect();
    format!("{head} \\\n  --json '{{{}}}'", fields.join(", ").replace('\'', "'\\''"))
}

fn sample(input: &InputField) -> String {
    if let Some(value) = input.default.clone().or_else(|| input.example.clone()) {
        return value;
    }
    match &input.kind {
        InputKind::Text { .. } | InputKind::File { .. } => "…".to_owned(),
        InputKind::Integer | InputKind::Number => "1".to_owned(),
        InputKind::Boolean => "true".to_owned(),
        InputKind::Choice(choices) => choices.first().cloned().unwrap_or_default(),
        InputKind::Object => "{}".to_owned(),
        InputKind::Array => "[]".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_command_sends_a_file_as_a_part_and_values_as_json() {
        let with_file = fields(&json!({"properties": {"document": {"format": "weir-file"}}, "required": ["document"]}));
        assert!(curl("http://x", "f", &with_file).ends_with("-F document=@document.pdf"));
        let with_text =
            fields(&json!({"properties": {"q": {"type": "string", "examples": ["it's"]}}, "required": ["q"]}));
        assert!(curl("http://x", "f", &with_text).ends_with(r#"--json '{"q": "it'\''s"}'"#));
    }

    #[test]
    fn names_read_as_words() {
        assert_eq!(words("customer_name"), "Customer name");
    }
}

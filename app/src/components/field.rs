//! Form fields: a label, a control, a hint and, after a refusal, what is wrong, tied together for every reader.
//!
//! Invariant: a field that was refused is marked `aria-invalid` and points at its message; user text never stands as a
//! child of a `textarea` unescaped.

use leptos::prelude::*;

use super::prose::prose;
use super::svg::escape;
use crate::data::FormState;
use crate::forms::CSRF;
use crate::icon::Icon;
use crate::islands::ShowPassword;

/// One field of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Field {
    name: String,
    label: String,
    hint: Option<String>,
    tag: Option<String>,
    value: String,
    wrong: Option<String>,
    required: bool,
    autocomplete: Option<&'static str>,
    placeholder: Option<String>,
    mono: bool,
    extra: Vec<(&'static str, String)>,
    apart: Option<String>,
}

impl Field {
    pub(crate) fn new(name: impl Into<String>, label: impl Into<String>) -> Self {
        Self { name: name.into(), label: label.into(), ..Self::default() }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Tells this field's id from that of another form's field of the same name on the page.
    pub(crate) fn apart(mut self, key: impl Into<String>) -> Self {
        self.apart = Some(key.into());
        self
    }

    /// A quiet word beside the label: the type, or "optional".
    pub(crate) fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    pub(crate) fn value(mut self, value: impl Into<String>) -> Self {
        self.value = value.into();
        self
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) fn autocomplete(mut self, kind: &'static str) -> Self {
        self.autocomplete = Some(kind);
        self
    }

    pub(crate) fn placeholder(mut self, text: impl Into<String>) -> Self {
        self.placeholder = Some(text.into());
        self
    }

    pub(crate) fn mono(mut self) -> Self {
        self.mono = true;
        self
    }

    /// A further attribute of the control: `min`, `pattern`, `accept`, `maxlength` ...
    pub(crate) fn with(mut self, attribute: &'static str, value: impl Into<String>) -> Self {
        self.extra.push((attribute, value.into()));
        self
    }

    /// Takes over what was typed and what was wrong with it.
    pub(crate) fn state(mut self, form: &FormState) -> Self {
        if let Some(value) = form.value(&self.name) {
            value.clone_into(&mut self.value);
        }
        self.wrong = form.error(&self.name).map(|problem| match &problem.hint {
            Some(hint) => format!("{} {hint}", problem.message),
            None => problem.message.clone(),
        });
        self
    }

    fn id(&self) -> String {
        let name = self.name.replace('.', "-");
        self.apart.as_ref().map_or_else(|| format!("f-{name}"), |key| format!("f-{name}-{key}"))
    }

    fn class(&self) -> &'static str {
        if self.mono { "input mono" } else { "input" }
    }

    /// The ids of hint and message, for `aria-describedby`.
    fn described(&self) -> Option<String> {
        let id = self.id();
        let parts: Vec<String> =
            [self.wrong.is_some().then(|| format!("{id}-wrong")), self.hint.is_some().then(|| format!("{id}-hint"))]
                .into_iter()
                .flatten()
                .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    }

    /// Attributes that every control has, as markup: fixed names, escaped values.
    fn attributes(&self) -> String {
        let mut out =
            format!(" id=\"{}\" name=\"{}\" class=\"{}\"", escape(&self.id()), escape(&self.name), self.class());
        let mut add = |key: &str, value: &str| {
            out.push_str(&format!(" {key}=\"{}\"", escape(value)));
        };
        if let Some(kind) = self.autocomplete {
            add("autocomplete", kind);
        }
        if let Some(text) = &self.placeholder {
            add("placeholder", text);
        }
        if let Some(ids) = self.described() {
            add("aria-describedby", &ids);
        }
        if self.wrong.is_some() {
            add("aria-invalid", "true");
        }
        for (key, value) in &self.extra {
            add(key, value);
        }
        if self.required {
            out.push_str(" required");
        }
        out
    }

    fn around(self, control: String) -> AnyView {
        let id = self.id();
        view! {
            <div class="field">
                <label for=id.clone()>
                    {self.label}
                    {self.tag.map(|tag| view! { <span class="tag">{tag}</span> })}
                </label>
                <div inner_html=control></div>
                {self.wrong.map(|text| wrong(&id, text))}
                {self.hint.map(|text| view! { <p class="hint" id=format!("{id}-hint")>{text}</p> })}
            </div>
        }
        .into_any()
    }

    /// A one-line field of an HTML type.
    pub(crate) fn line(self, kind: &'static str) -> AnyView {
        let control = format!("<input type=\"{kind}\" value=\"{}\"{}>", escape(&self.value), self.attributes());
        self.around(control)
    }

    pub(crate) fn area(self) -> AnyView {
        // The first line break after the tag is not part of the text.
        let control = format!("<textarea rows=\"3\"{}>\n{}</textarea>", self.attributes(), escape(&self.value));
        self.around(control)
    }

    /// A choice of (value, label).
    pub(crate) fn select(self, options: &[(String, String)]) -> AnyView {
        let options: String = options
            .iter()
            .map(|(value, label)| {
                let chosen = if *value == self.value { " selected" } else { "" };
                format!("<option value=\"{}\"{chosen}>{}</option>", escape(value), escape(label))
            })
            .collect();
        let control = format!("<select{}>{options}</select>", self.attributes());
        self.around(control)
    }

    pub(crate) fn file(self, accept: &str) -> AnyView {
        let accept = if accept.is_empty() { String::new() } else { format!(" accept=\"{}\"", escape(accept)) };
        let control = format!("<input type=\"file\"{accept}{}>", self.attributes());
        self.around(control)
    }

    /// A password with a button that shows it; the button is there only with scripts.
    pub(crate) fn password(self) -> AnyView {
        let id = self.id();
        let control = format!("<input type=\"password\"{}>", self.attributes());
        view! {
            <div class="field">
                <label for=id.clone()>
                    {self.label}
                    {self.tag.map(|tag| view! { <span class="tag">{tag}</span> })}
                </label>
                <div class="password"><div inner_html=control></div><ShowPassword field=id.clone()/></div>
                {self.wrong.map(|text| wrong(&id, text))}
                {self.hint.map(|text| view! { <p class="hint" id=format!("{id}-hint")>{text}</p> })}
            </div>
        }
        .into_any()
    }
}

fn wrong(id: &str, text: String) -> AnyView {
    view! { <p class="wrong" id=format!("{id}-wrong")>{Icon::CircleX.view()}{text}</p> }.into_any()
}

/// A box to tick.
pub(crate) fn check(name: &str, label: &str, hint: Option<&str>, checked: bool) -> AnyView {
    let (name, label, hint) = (name.to_owned(), label.to_owned(), hint.map(str::to_owned));
    view! {
        <label class="check">
            <input type="checkbox" name=name value="true" checked=checked/>
            <span>{label}{hint.map(|hint| view! { <span class="hint">{hint}</span> })}</span>
        </label>
    }
    .into_any()
}

/// A choice among few, as cards: (value, label, what it means).
pub(crate) fn choices(
    name: &'static str,
    legend: &'static str,
    chosen: &str,
    options: &[(&'static str, &'static str, &'static str)],
) -> AnyView {
    let chosen = chosen.to_owned();
    view! {
        <fieldset class="field">
            <legend>{legend}</legend>
            <div class="choices">
                {options.iter().map(|&(value, label, hint)| view! {
                    <label class="check">
                        <input type="radio" name=name value=value checked=value == chosen/>
                        <span>{label}<span class="hint">{hint}</span></span>
                    </label>
                }).collect_view()}
            </div>
        </fieldset>
    }
    .into_any()
}

/// The hidden field that proves that the form came from our page.
pub(crate) fn csrf() -> AnyView {
    let token = crate::context::page_state().csrf.clone();
    view! { <input type="hidden" name=CSRF value=token/> }.into_any()
}

/// What concerns the form as a whole, read out when the page arrives.
pub(crate) fn form_message(form: &FormState) -> AnyView {
    let text = match (&form.message, form.errors.len()) {
        (Some(message), _) => message.clone(),
        (None, 0) => return ().into_any(),
        (None, 1) => "One field needs another look.".to_owned(),
        (None, count) => format!("{count} fields need another look."),
    };
    view! { <div class="note bad" role="alert">{Icon::CircleX.view()}<div>{prose(&text)}</div></div> }.into_any()
}

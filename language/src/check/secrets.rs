//! Where secrets would go: into addresses, and to hosts that somebody else chooses.
//!
//! Invariant: a secret is sent only to a host that the flow's author wrote down, or that is a secret itself.

use super::scope::{Scope, Templates};
use crate::catalogue::{CostKind, ExecutorSpec};
use crate::codes;
use crate::node::Node;
use crate::templates;

/// Whether a template may read secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Secrets {
    #[default]
    Nowhere,
    Here,
    /// In a config, in a field that is not for secrets: why not, and what to do.
    WouldLeave(&'static str, &'static str),
}

/// What becomes of secrets in an executor's config outside the fields that are for them.
pub(super) fn elsewhere(spec: Option<&ExecutorSpec>) -> Secrets {
    const SEND: &str = "Secrets are for requests, in a header or in `auth`.";
    const CHILD: &str = "The flow that is called reads `secrets.NAME` itself.";
    let Some(spec) = spec else { return Secrets::Here };
    match (spec.cost, spec.name.as_str()) {
        (CostKind::Tokens, _) => Secrets::WouldLeave("a model's provider would read it", SEND),
        (CostKind::Child, _) => Secrets::WouldLeave("it would stand in the other run's inputs", CHILD),
        (_, "log") => Secrets::WouldLeave("it would stand in the log", SEND),
        (_, "fail") => Secrets::WouldLeave("it would stand in the error", SEND),
        (_, "cache") => Secrets::WouldLeave("other flows could read it", SEND),
        _ if spec.secret_fields.is_empty() => Secrets::WouldLeave("this executor could give it away, changed", SEND),
        _ => Secrets::WouldLeave("this field of the config is not for secrets", SEND),
    }
}

/// What a field of a config sees where it may hold secrets; `None`: it may not.
pub(super) fn scope_of(spec: Option<&ExecutorSpec>, scope: &Scope) -> Option<Scope> {
    let takes = spec.is_some_and(|spec| !spec.secret_fields.is_empty());
    takes.then(|| Scope { secrets: Secrets::Here, ..scope.clone() })
}

/// Checks the address of a request, and whether secrets go where somebody else says.
pub(super) fn check(templates: &mut Templates<'_, '_>, config: &Node) {
    let Some(url) = config.get("url") else { return };
    let Some(text) = url.as_str() else { return };
    let has_secret = |text: &str| reads(text).iter().any(|root| root == "secrets");
    let mut any = false;
    config.each_text(&mut |_, text| any |= text.contains("secrets") && has_secret(text));
    if !any {
        return;
    }
    let host = host(text);
    let is_chosen = reads(host).iter().any(|root| match root.as_str() {
        "inputs" | "steps" => true,
        "vars" => computed_variables(templates, host),
        "run" | "flow" | "secrets" => false,
        // The item of a `for_each`.
        _ => true,
    });
    if is_chosen {
        let message = "a secret would go to a host that the call or another step chooses";
        let hint = "Write the host down, or take it from a variable with a fixed value.";
        templates.report.hint(url.span, codes::SECRET_LEAVES, (message, hint));
    } else if has_secret(text) && !is_whole_secret(text) {
        let message = "a secret stands in an address; others write addresses into their logs";
        let hint = "Send it in a header or in `auth` where the other side takes it there.";
        templates.report.hint(url.span, codes::SECRET_SHOWN, (message, hint));
    }
}

/// The part of an address that says where it leads.
fn host(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    if url.trim_start().starts_with("{{") && start > url.find("}}").unwrap_or(0) {
        return url;
    }
    let rest = &url[start..];
    let mut depth = 0_usize;
    for (index, c) in rest.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            '/' | '?' | '#' if depth == 0 => return &rest[..index],
            _ => {}
        }
    }
    rest
}

fn is_whole_secret(url: &str) -> bool {
    let Some((_, inner)) = templates::only_expression(url) else { return false };
    inner.trim().strip_prefix("secrets.").is_some_and(|name| name.chars().all(|c| c.is_alphanumeric() || c == '_'))
}

/// The roots that a text reads.
fn reads(text: &str) -> Vec<String> {
    if !templates::is_template(text) {
        return Vec::new();
    }
    templates::scan(text).map(|found| found.reads.into_iter().map(|read| read.root).collect()).unwrap_or_default()
}

/// Whether a text reads a variable that is not simply written down.
fn computed_variables(templates: &Templates<'_, '_>, text: &str) -> bool {
    let Ok(found) = templates::scan(text) else { return true };
    let variables = &templates.subject.flow.vars;
    found.reads.iter().filter(|read| read.root == "vars").any(|read| {
        let variable = variables.iter().find(|variable| Some(&variable.name) == read.path.first());
        variable.is_none_or(|variable| {
            let mut computed = false;
            variable.value.each_text(&mut |_, text| computed |= templates::is_template(text));
            computed
        })
    })
}

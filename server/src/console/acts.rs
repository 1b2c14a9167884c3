//! The forms by which a person acts on runs and decides what they ask.
//!
//! Invariant: each makes one service call and comes back to the page it stands on.

use actix_web::dev::ServiceRequest;
use app::forms::{self, INPUT_PREFIX, path};
use domain::RunId;
use domain::wire::{DecisionInput, Verdict};
use serde_json::{Map, Value};
use service::ServiceError;
use service::runs::{self, Replay, Resolve};

use super::Host;
use super::forms::{Outcome, read};
use super::visitor::Visitor;

/// `kill`, `signal`, `restart` or `replay`.
pub(super) async fn on_run(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    (tenant, run, act): (&str, &str, &str),
) -> Result<Outcome, ServiceError> {
    let id: RunId = run.parse().map_err(|_| ServiceError::not_found("run", run))?;
    let to = path::run(tenant, run);
    match act {
        "kill" => {
            let form = read(visitor, request, |form: &forms::Kill| &form.csrf).await?;
            runs::kill(&host.weir, &visitor.actor(tenant)?, id, &form.reason).await?;
            Ok(Outcome::noticed(host, to, "The run is being killed."))
        }
        "signal" => {
            let form = read(visitor, request, |form: &forms::Signal| &form.csrf).await?;
            let payload = json("payload", &form.payload)?;
            runs::signal(&host.weir, &visitor.actor(tenant)?, id, &form.name, payload).await?;
            Ok(Outcome::noticed(host, to, "The signal is sent."))
        }
        "restart" => {
            read(visitor, request, |form: &forms::Confirm| &form.csrf).await?;
            runs::restart(&host.weir, &visitor.actor(tenant)?, id).await?;
            Ok(Outcome::noticed(host, to, "The run goes on: what succeeded stays, the rest begins again."))
        }
        "replay" => {
            let form = read(visitor, request, |form: &forms::Replay| &form.csrf).await?;
            let from_step = Some(form.from_step).filter(|step| !step.is_empty());
            let wish = Replay { from_step, reuse_keys: form.reuse_keys == "true", ..Replay::default() };
            let new = runs::replay(&host.weir, &visitor.actor(tenant)?, id, wish).await?;
            Ok(Outcome::noticed(host, path::run(tenant, &new.to_string()), "This is the new run."))
        }
        other => Err(ServiceError::not_found("form", other)),
    }
}

pub(super) async fn resolve(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    (tenant, run, step): (&str, &str, &str),
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::Resolve| &form.csrf).await?;
    let id: RunId = run.parse().map_err(|_| ServiceError::not_found("run", run))?;
    let act = match form.action.as_str() {
        "complete" => Resolve::Complete { output: json("output", &form.output)? },
        "retry" => Resolve::Retry { max_cost: dollars(&form.max_cost)? },
        "fail" => Resolve::Fail,
        _ => return Err(ServiceError::field("action", "Choose what becomes of the step.")),
    };
    let item = match form.item.trim() {
        "" => None,
        text => Some(text.parse().map_err(|_| ServiceError::field("item", "An item is a number, counted from 0."))?),
    };
    runs::resolve(&host.weir, &visitor.actor(tenant)?, id, step, item, act).await?;
    Ok(Outcome::noticed(host, path::run(tenant, run), "The run goes on with that."))
}

/// An empty field asks for nothing.
fn dollars(text: &str) -> Result<Option<f64>, ServiceError> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let amount = text.trim_start_matches('$').parse();
    amount.map(Some).map_err(|_| ServiceError::field("max_cost", "Write an amount of US dollars, like 0.50."))
}

pub(super) async fn decide(
    host: &Host,
    visitor: &Visitor,
    request: &mut ServiceRequest,
    (tenant, approval): (&str, &str),
) -> Result<Outcome, ServiceError> {
    let form = read(visitor, request, |form: &forms::Decide| &form.csrf).await?;
    let actor = visitor.actor(tenant)?;
    let id = approval.parse().map_err(|_| ServiceError::not_found("approval", approval))?;
    let question = runs::approval(&host.weir, &actor, id).await?;
    let decision = match form.decision.as_str() {
        "approve" => Verdict::Approve,
        "reject" => Verdict::Reject,
        _ => return Err(ServiceError::field("decision", "Approve or reject.")),
    };
    let mut values: Vec<(&str, &str)> =
        form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    values.push(("comment", &form.comment));
    let filled = match filled(question.form.as_ref(), &form) {
        Ok(filled) => filled,
        Err(error) => return Ok(Outcome::again(error, &values)),
    };
    let comment = Some(form.comment.clone()).filter(|text| !text.is_empty());
    match runs::decide(&host.weir, &actor, id, DecisionInput { decision, comment, form: filled }).await {
        Ok(_) => {
            Ok(Outcome::noticed(host, path::section(tenant, "approvals"), "Your decision is on its way to the run."))
        }
        Err(ServiceError::Invalid { detail, mut fields }) => {
            for field in &mut fields {
                let name = field.pointer.trim_start_matches("/form/").to_owned();
                field.pointer = format!("{INPUT_PREFIX}{name}");
            }
            Ok(Outcome::again(ServiceError::Invalid { detail, fields }, &values))
        }
        Err(error) => Err(error),
    }
}

/// What was filled in, as the question's schema types it. Whatever does not read as its type is left to the schema.
fn filled(schema: Option<&Value>, form: &forms::Decide) -> Result<Value, ServiceError> {
    let Some(properties) = schema.and_then(|schema| schema.get("properties")).and_then(Value::as_object) else {
        return Ok(Value::Null);
    };
    let mut out = Map::new();
    for (name, property) in properties {
        let typed = form.fields.get(&format!("{INPUT_PREFIX}{name}")).map(String::as_str).unwrap_or_default();
        let word = property.get("type").and_then(Value::as_str).unwrap_or_default();
        let value = match word {
            "boolean" => Some(Value::Bool(typed == "true")),
            _ if typed.is_empty() => None,
            "integer" | "number" => Some(serde_json::from_str(typed).unwrap_or_else(|_| typed.into())),
            "object" | "array" => Some(json(&format!("{INPUT_PREFIX}{name}"), typed)?),
            _ => Some(typed.into()),
        };
        out.extend(value.map(|value| (name.clone(), value)));
    }
    Ok(Value::Object(out))
}

/// JSON that somebody typed; nothing is null.
fn json(field: &str, text: &str) -> Result<Value, ServiceError> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|error| ServiceError::field(field, format!("This is no JSON: {error}.")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_filled_in_has_the_types_of_the_schema() {
        let schema = json!({"properties": {
            "amount": {"type": "integer"}, "note": {"type": "string"}, "paid": {"type": "boolean"},
            "tags": {"type": "array"}, "left": {"type": "number"},
        }});
        let fields = [("input.amount", "7"), ("input.note", "7"), ("input.tags", "[1]"), ("input.left", "x")];
        let form = forms::Decide {
            csrf: String::new(),
            decision: "approve".to_owned(),
            comment: String::new(),
            fields: fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        };
        let wanted = json!({"amount": 7, "note": "7", "paid": false, "tags": [1], "left": "x"});
        assert_eq!(filled(Some(&schema), &form).unwrap(), wanted);
        let broken = forms::Decide { fields: BTreeMap::from([("input.tags".to_owned(), "[".to_owned())]), ..form };
        assert!(filled(Some(&schema), &broken).is_err());
        assert_eq!(filled(None, &broken).unwrap(), Value::Null);
    }
}

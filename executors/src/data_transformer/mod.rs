//! `data_transformer`: selects, filters, sorts, reshapes and groups.
//!
//! Invariant: the stages run in one fixed order, whatever order they are written in: `jmespath`, `filter`, `sort`, `map`,
//! `group_by`, `schema`. Expressions are the author's, data is anybody's: work, time and size are capped.

mod expression;
mod order;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use domain::{Failure, FailureKind};
use engine::template::Handle;
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MainInput};
use sandbox::{Limits, Pool, Share};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{self, flow_fault};
use crate::spec;
use expression::{Evaluator, Formulas};

/// Longer query expressions are refused: their parser recurses.
const LONGEST_QUERY: usize = 1024;
const LARGEST_RESULT: usize = 16 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to work on. The stages below work on the elements of a list; `map` also takes a single value as its `item`.
    #[schemars(schema_with = "spec::any_value")]
    data: Value,
    /// A JMESPath query that selects from `data` first: `invoices[?paid].lines[]`.
    jmespath: Option<String>,
    /// Keeps the elements for which this expression is true: `item.amount > 100`. In scope: `item`, `index`, and what `with` names.
    filter: Option<String>,
    /// Orders the elements: a field (`amount`), an expression (`item.a + item.b`), or `{by, order}`; a list orders by several.
    sort: Option<OneOrMany>,
    /// Makes each element anew: an expression, or a mapping whose strings may hold `{{ item... }}`.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    map: Option<Value>,
    /// Puts the elements into an object of lists, by a field or an expression over the element as it was before `map`.
    group_by: Option<String>,
    /// Values for the expressions, which see nothing else of the flow: `{limit: "{{ inputs.limit }}"}`.
    #[serde(default)]
    with: Map<String, Value>,
    /// A JSON Schema that the result must match.
    #[serde(default)]
    #[schemars(schema_with = "spec::any_value")]
    schema: Option<Value>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum OneOrMany {
    One(SortBy),
    Many(Vec<SortBy>),
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
enum SortBy {
    Field(String),
    Rule {
        by: String,
        #[serde(default)]
        order: SortOrder,
    },
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SortOrder {
    #[default]
    Asc,
    Desc,
}

/// Runs in a sandbox child where the author's expressions could cost more than they look.
const JOB: &str = "executors.transform";

pub(crate) struct DataTransformer {
    spec: ExecutorSpec,
    sandbox: Arc<Pool>,
}

impl DataTransformer {
    pub(crate) fn new(sandbox: Arc<Pool>) -> Self {
        let main_input = MainInput {
            field: "data".into(),
            kind: DataKind::Data,
            list: false,
            required: true,
            needed_unless: Vec::new(),
        };
        let mut spec = ExecutorSpec {
            main_input: Some(main_input),
            raw_fields: ["jmespath", "filter", "sort", "map", "group_by"].map(String::from).to_vec(),
            control: None,
            ..spec::plain::<Config, spec::Anything>(
                "data_transformer",
                "Selects, filters, sorts, reshapes and groups data.",
            )
        };
        spec.output["x-schema-from"] = Value::from("schema");
        let stages = ["jmespath", "filter", "sort", "map", "group_by", "schema"];
        spec.output["x-gives"] = json!({ "field": "data", "unless": stages });
        Self { spec, sandbox }
    }
}

#[async_trait]
impl Executor for DataTransformer {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, call: &Call, config: Value) -> Result<Done, Failed> {
        let parsed = Transformation::parse(config::read(config.clone())?)?;
        if parsed.is_costly() {
            let made = config::unless_cancelled(call, in_sandbox(config::share(&self.sandbox, call), config)).await?;
            return Ok(Done::free(made));
        }
        if parsed.is_trivial() {
            return Ok(Done::free(parsed.data));
        }
        let cancel = call.cancel.clone();
        // The work takes processor time and has no awaits.
        let work = tokio::task::spawn_blocking(move || parsed.run(&|| cancel.is_cancelled()));
        let panicked = |_| Failure::new(FailureKind::Internal, "transform", "The transformation broke off.");
        Ok(Done::free(work.await.map_err(panicked)??))
    }
}

/// A value whose strings may be templates over this scope, rendered as the expressions of a step are.
pub(crate) async fn shaped(
    sandbox: &Pool,
    call: &Call,
    shape: Value,
    scope: Map<String, Value>,
) -> Result<Value, Failure> {
    let config = json!({"data": {}, "map": shape, "with": scope});
    let parsed = Transformation::parse(config::read(config.clone())?)?;
    if parsed.is_costly() {
        return config::unless_cancelled(call, in_sandbox(config::share(sandbox, call), config)).await;
    }
    parsed.run(&|| call.cancel.is_cancelled())
}

async fn in_sandbox(sandbox: Share, config: Value) -> Result<Value, Failure> {
    let limits = Limits {
        wall: Duration::from_secs(30),
        cpu: Duration::from_secs(25),
        memory_bytes: 512 << 20,
        ..Limits::default()
    };
    let answer = sandbox.run(JOB, config, bytes::Bytes::new(), limits).await;
    let answer = answer.map_err(|error| config::sandbox_fault(&error, "transform_limit", "The expression"))?;
    let senseless = |_| Failure::new(FailureKind::Internal, "sandbox", "The sandbox gave no sensible answer.");
    serde_json::from_value::<Result<Value, Failure>>(answer.output).map_err(senseless)?
}

/// Adds the job that runs in a child.
pub(crate) fn handlers(handlers: sandbox::Handlers) -> sandbox::Handlers {
    handlers.with(JOB, |config, _| {
        let made = config::read(config).and_then(Transformation::parse).and_then(|parsed| parsed.run(&|| false));
        let answer =
            serde_json::to_value(made).map_err(|error| sandbox::JobError::new("bad_answer", error.to_string()))?;
        Ok((answer, bytes::Bytes::new()))
    })
}

/// A config whose expressions are compiled.
struct Transformation {
    data: Value,
    jmespath: Option<String>,
    filter: Option<Handle>,
    sort: Vec<(Handle, SortOrder)>,
    map: Option<Handle>,
    group_by: Option<Handle>,
    schema: Option<Value>,
    formulas: Formulas,
}

impl Transformation {
    fn parse(config: Config) -> Result<Self, Failure> {
        let Config { data, jmespath, filter, sort, map, group_by, with, schema } = config;
        let mut formulas = Formulas::new(&with)?;
        let rules = match sort {
            None => Vec::new(),
            Some(OneOrMany::One(rule)) => vec![rule],
            Some(OneOrMany::Many(rules)) => rules,
        };
        let rule = |rule| match rule {
            SortBy::Field(by) => Ok((formulas.key(&by)?, SortOrder::Asc)),
            SortBy::Rule { by, order } => Ok((formulas.key(&by)?, order)),
        };
        let sort = rules.into_iter().map(rule).collect::<Result<_, Failure>>()?;
        let filter = filter.as_deref().map(|source| formulas.expression(source)).transpose()?;
        let map = map.as_ref().map(|shape| formulas.shape(shape)).transpose()?;
        let group_by = group_by.as_deref().map(|source| formulas.key(source)).transpose()?;
        Ok(Self { data, jmespath, filter, sort, map, group_by, schema, formulas })
    }

    /// A query can copy its data many times over, and fuel does not count that.
    fn is_costly(&self) -> bool {
        self.jmespath.is_some() || self.formulas.are_costly()
    }

    /// The data itself is what is wanted.
    fn is_trivial(&self) -> bool {
        self.jmespath.is_none()
            && self.schema.is_none()
            && self.sort.is_empty()
            && [self.filter, self.map, self.group_by].iter().all(Option::is_none)
    }

    fn run(self, cancelled: &dyn Fn() -> bool) -> Result<Value, Failure> {
        let data = match &self.jmespath {
            None => self.data,
            Some(query) => select(query, self.data)?,
        };
        let evaluator = Evaluator::new(&self.formulas, cancelled);
        let listed = self.filter.is_some() || self.group_by.is_some() || !self.sort.is_empty();
        let result = match data {
            Value::Array(items) => {
                let items = filtered(&evaluator, items, self.filter)?;
                let items = order::sorted(&evaluator, items, &self.sort)?;
                reshaped(&evaluator, items, self.map, self.group_by)?
            }
            _ if listed => return Err(flow_fault("data_type", "`filter`, `sort` and `group_by` need a list.")),
            single => match self.map {
                None => single,
                Some(shape) => evaluator.value(shape, &single, 0)?,
            },
        };
        if let Some(schema) = &self.schema {
            check(schema, &result)?;
        }
        Ok(result)
    }
}

fn select(query: &str, data: Value) -> Result<Value, Failure> {
    if query.len() > LONGEST_QUERY {
        return Err(flow_fault("jmespath", format!("The query is longer than {LONGEST_QUERY} characters.")));
    }
    let fault =
        |error: jmespath::JmespathError| flow_fault("jmespath", format!("The query cannot be used: {}.", error.reason));
    let compiled = jmespath::compile(query).map_err(fault)?;
    let found = compiled.search(data).map_err(fault)?;
    serde_json::to_value(&*found).map_err(|_| flow_fault("jmespath", "The query's result is no JSON."))
}

fn filtered(evaluator: &Evaluator<'_>, items: Vec<Value>, filter: Option<Handle>) -> Result<Vec<Value>, Failure> {
    let Some(filter) = filter else { return Ok(items) };
    let mut kept = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        match evaluator.value(filter, &item, index)? {
            Value::Bool(true) => kept.push(item),
            Value::Bool(false) => {}
            _ => {
                let message = format!("`filter` gave neither true nor false for element {index}.");
                return Err(flow_fault("filter_type", message));
            }
        }
    }
    Ok(kept)
}

fn reshaped(
    evaluator: &Evaluator<'_>,
    items: Vec<Value>,
    map: Option<Handle>,
    group_by: Option<Handle>,
) -> Result<Value, Failure> {
    let mut list = Vec::new();
    let mut groups = Map::new();
    let mut size = 0;
    for (index, item) in items.into_iter().enumerate() {
        let group = group_by.map(|key| evaluator.value(key, &item, index)).transpose()?;
        let made = match map {
            None => item,
            Some(shape) => {
                let made = evaluator.value(shape, &item, index)?;
                size += made.to_string().len();
                made
            }
        };
        if size > LARGEST_RESULT {
            return Err(Failure::new(FailureKind::Limit, "result_too_large", "The result is larger than 16 MiB."));
        }
        match group {
            None => list.push(made),
            Some(group) => {
                let name = match group {
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                if let Value::Array(members) = groups.entry(name).or_insert_with(|| Value::Array(Vec::new())) {
                    members.push(made);
                }
            }
        }
    }
    Ok(if group_by.is_some() { Value::Object(groups) } else { Value::Array(list) })
}

fn check(schema: &Value, result: &Value) -> Result<(), Failure> {
    let validator = language::json_schema::compile(schema)
        .map_err(|error| flow_fault("schema_invalid", format!("`schema` is no JSON Schema: {error}.")))?;
    let first = validator.iter_errors(result).next();
    first.map_or(Ok(()), |error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { "the result".to_owned() } else { format!("`{place}`") };
        let message = format!("The result does not match its schema at {place}.");
        Err(Failure::new(FailureKind::Schema, "result_schema", message))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn result(config: Value) -> Result<Value, String> {
        let parsed = Transformation::parse(config::read(config).unwrap()).map_err(|failure| failure.code)?;
        parsed.run(&|| false).map_err(|failure| failure.code)
    }

    fn sales() -> Value {
        json!([
            {"region": "north", "amount": 30, "who": "Ada"},
            {"region": "south", "amount": 5, "who": "Bo"},
            {"region": "north", "amount": 12.5, "who": "Cy"},
        ])
    }

    #[test]
    fn stages_run_in_their_fixed_order() {
        let config = json!({
            "map": {"name": "{{ item.who }}", "label": "{{ item.who }} ({{ item.region }})", "fixed": "item.who"},
            "sort": "amount",
            "filter": "{{ item.amount >= least }}",
            "with": {"least": 10},
            "data": {"sales": sales()},
            "jmespath": "sales",
        });
        assert_eq!(
            result(config),
            Ok(json!([
                {"name": "Cy", "label": "Cy (north)", "fixed": "item.who"},
                {"name": "Ada", "label": "Ada (north)", "fixed": "item.who"},
            ]))
        );
    }

    #[test]
    fn groups_are_keyed_by_the_element_as_it_was() {
        let config = json!({"data": sales(), "group_by": "region", "map": "item.amount"});
        assert_eq!(result(config), Ok(json!({"north": [30, 12.5], "south": [5]})));
    }

    #[test]
    fn sorting_takes_several_rules_and_refuses_what_has_no_order() {
        let by = |rules: Value| result(json!({"data": sales(), "sort": rules, "map": "item.who"}));
        assert_eq!(by(json!([{"by": "region", "order": "desc"}, "item.amount"])), Ok(json!(["Bo", "Cy", "Ada"])));
        assert_eq!(result(json!({"data": [{"a": 1}, {"a": "x"}], "sort": "a"})), Err("sort_type".into()));
    }

    #[test]
    fn a_single_value_can_be_reshaped_too() {
        let config = json!({"data": {"first": "Ada", "last": "Lovelace"}, "map": "item.first ~ ' ' ~ item.last"});
        assert_eq!(result(config), Ok(json!("Ada Lovelace")));
    }

    #[test]
    fn what_an_expression_does_not_know_is_an_error() {
        assert_eq!(result(json!({"data": [1], "map": "inputs.x"})), Err("undefined_name".into()));
        assert_eq!(result(json!({"data": [{}], "map": "item.absent"})), Err("undefined_name".into()));
        assert_eq!(result(json!({"data": [{}], "map": "item.absent | default('-')"})), Ok(json!(["-"])));
        assert_eq!(result(json!({"data": [1], "filter": "item"})), Err("filter_type".into()));
        assert_eq!(
            result(json!({"data": [1], "map": {"a": "{% for x in [1] %}{% endfor %}"}})),
            Err("expression".into())
        );
    }

    #[test]
    fn what_fuel_does_not_count_goes_to_the_sandbox() {
        let costly = |config: Value| Transformation::parse(config::read(config).unwrap()).unwrap().is_costly();
        for bomb in ["range(100000000) | list", "'x' * item", "[[1] * 100000] * 100000", "item + item"] {
            assert!(costly(json!({"data": [1], "map": bomb})), "{bomb}");
            assert!(costly(json!({"data": [1], "map": {"deep": [format!("{{{{ {bomb} }}}}")]}})), "{bomb}");
        }
        assert!(costly(json!({"data": [1], "jmespath": "[@,@]|[@,@]"})));
        assert!(!costly(json!({"data": [1], "filter": "item.a > 3 and item.b == 'x'", "map": {"a": "{{ item.a }}"}})));
    }

    #[test]
    fn the_result_is_held_to_its_schema() {
        let config = json!({"data": [1, "x"], "schema": {"items": {"type": "integer"}}});
        assert_eq!(result(config), Err("result_schema".into()));
    }
}

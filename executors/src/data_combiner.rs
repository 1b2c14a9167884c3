//! `data_combiner`: makes one value of several.
//!
//! Invariant: no value is lost silently: a clash is a failure unless `conflict` says which side wins.

use async_trait::async_trait;
use domain::Failure;
use engine::{Call, Done, Executor, Failed};
use language::{DataKind, ExecutorSpec, MainInput};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::config::{self, flow_fault};
use crate::spec;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What to combine: a list of values, or values by name. Left out, it is the outputs of all steps this one depends on.
    sources: Sources,
    /// How. Without it: named sources (whole steps) become an object by name, objects are merged, lists are put one after another.
    mode: Option<Mode>,
    /// What happens when two sources hold the same key with different values. Without it that is a failure.
    conflict: Option<Conflict>,
    /// For `join`: the field whose value says which records belong together.
    on: Option<String>,
    /// For `join`: which records stay when the other side has no match.
    #[serde(default)]
    keep: Keep,
    /// For `concat` of texts: what stands between them.
    #[serde(default = "blank_line")]
    separator: String,
}

fn blank_line() -> String {
    "\n\n".to_owned()
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Sources {
    Named(Map<String, Value>),
    List(Vec<Value>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// An object with each source under its name.
    Object,
    /// One object with the keys of all.
    Merge,
    /// Lists one after another, or texts one below the other.
    Concat,
    /// The first elements together, the second elements together, and so on.
    Zip,
    /// Lists of records, put together where the field `on` is equal.
    Join,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Conflict {
    /// The value that came first stays.
    First,
    /// The value that came last stays.
    Last,
    /// All values stay, as a list.
    List,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Keep {
    /// Records that every source has.
    #[default]
    Matched,
    /// All records of the first source.
    First,
    /// All records of all sources.
    All,
}

pub(crate) struct DataCombiner {
    spec: ExecutorSpec,
}

impl DataCombiner {
    pub(crate) fn new() -> Self {
        let main_input = MainInput {
            field: "sources".into(),
            kind: DataKind::Data,
            list: true,
            required: true,
            needed_unless: Vec::new(),
        };
        let mut spec = ExecutorSpec {
            main_input: Some(main_input),
            ..spec::plain::<Config, spec::Anything>(
                "data_combiner",
                "Combines the outputs of several steps into one value.",
            )
        };
        spec.output["x-gives"] = json!({ "named": "sources", "unless": ["mode"] });
        Self { spec }
    }
}

#[async_trait]
impl Executor for DataCombiner {
    fn spec(&self) -> &ExecutorSpec {
        &self.spec
    }

    async fn run(&self, _call: &Call, config: Value) -> Result<Done, Failed> {
        Ok(Done::free(combine(config::read(config)?)?))
    }
}

fn combine(config: Config) -> Result<Value, Failure> {
    let Config { sources, mode, conflict, on, keep, separator } = config;
    let (names, values): (Option<Vec<String>>, Vec<Value>) = match sources {
        Sources::Named(map) => {
            let (names, values) = map.into_iter().unzip();
            (Some(names), values)
        }
        Sources::List(values) => (None, values),
    };
    let mode = match mode {
        Some(mode) => mode,
        None => fitting_mode(names.is_some(), &values)?,
    };
    match (mode, names) {
        (Mode::Object, Some(names)) => Ok(Value::Object(names.into_iter().zip(values).collect())),
        (Mode::Object, None) => {
            Err(flow_fault("sources_unnamed", "`mode: object` needs `sources` by name: `{name: value}`."))
        }
        (Mode::Merge, _) => merge(values, conflict),
        (Mode::Concat, _) => concat(values, &separator),
        (Mode::Zip, names) => zip(values, names.as_deref()),
        (Mode::Join, _) => {
            let field =
                on.ok_or_else(|| flow_fault("config_invalid", "`mode: join` needs `on`, the field to match by."))?;
            join(values, &field, keep, conflict)
        }
    }
}

fn fitting_mode(named: bool, values: &[Value]) -> Result<Mode, Failure> {
    if named {
        Ok(Mode::Object)
    } else if values.iter().all(Value::is_object) {
        Ok(Mode::Merge)
    } else if values.iter().all(Value::is_array) {
        Ok(Mode::Concat)
    } else {
        Err(flow_fault("mode_needed", "The sources are not all objects and not all lists: say how with `mode`."))
    }
}

fn merge(values: Vec<Value>, conflict: Option<Conflict>) -> Result<Value, Failure> {
    let mut merged = Map::new();
    for (index, value) in values.into_iter().enumerate() {
        match value {
            Value::Object(object) => merge_into(&mut merged, object, conflict)?,
            // A skipped step's output adds nothing.
            Value::Null => {}
            _ => {
                return Err(flow_fault(
                    "source_type",
                    format!("Source {} is no object and cannot be merged.", index + 1),
                ));
            }
        }
    }
    Ok(Value::Object(merged))
}

fn merge_into(
    merged: &mut Map<String, Value>,
    object: Map<String, Value>,
    conflict: Option<Conflict>,
) -> Result<(), Failure> {
    for (key, value) in object {
        let Some(present) = merged.get_mut(&key) else {
            merged.insert(key, value);
            continue;
        };
        if *present == value {
            continue;
        }
        match conflict {
            Some(Conflict::First) => {}
            Some(Conflict::Last) => *present = value,
            Some(Conflict::List) => match present {
                Value::Array(list) => list.push(value),
                single => *single = Value::Array(vec![single.take(), value]),
            },
            None => {
                let message =
                    format!("Two sources hold different values for `{key}`. Say with `conflict` which one counts.");
                return Err(flow_fault("sources_clash", message));
            }
        }
    }
    Ok(())
}

fn concat(values: Vec<Value>, separator: &str) -> Result<Value, Failure> {
    let values: Vec<Value> = values.into_iter().filter(|value| !value.is_null()).collect();
    if !values.is_empty() && values.iter().all(Value::is_string) {
        let texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
        return Ok(Value::String(texts.join(separator)));
    }
    let mut whole = Vec::new();
    for value in values {
        match value {
            Value::Array(list) => whole.extend(list),
            single => whole.push(single),
        }
    }
    Ok(Value::Array(whole))
}

fn lists(values: Vec<Value>, mode: &str) -> Result<Vec<Vec<Value>>, Failure> {
    let list = |(index, value)| match value {
        Value::Array(list) => Ok(list),
        _ => Err(flow_fault("source_type", format!("Source {} is no list, which `mode: {mode}` needs.", index + 1))),
    };
    values.into_iter().enumerate().map(list).collect()
}

fn zip(values: Vec<Value>, names: Option<&[String]>) -> Result<Value, Failure> {
    let mut columns = lists(values, "zip")?.into_iter().map(Vec::into_iter).collect::<Vec<_>>();
    let length = columns.first().map_or(0, ExactSizeIterator::len);
    if columns.iter().any(|column| column.len() != length) {
        return Err(flow_fault("lengths_differ", "The lists have different lengths and cannot be zipped."));
    }
    let row = |_| {
        let cells = columns.iter_mut().filter_map(Iterator::next);
        match names {
            Some(names) => Value::Object(names.iter().cloned().zip(cells).collect()),
            None => Value::Array(cells.collect()),
        }
    };
    Ok(Value::Array((0..length).map(row).collect()))
}

/// One record under construction, and in how many sources it was found.
struct Joined {
    record: Map<String, Value>,
    in_first: bool,
    sources: usize,
    last_source: usize,
}

fn join(values: Vec<Value>, field: &str, keep: Keep, conflict: Option<Conflict>) -> Result<Value, Failure> {
    let sources = lists(values, "join")?;
    let count = sources.len();
    let mut order: Vec<Joined> = Vec::new();
    let mut places: std::collections::HashMap<String, usize> = std::collections::HashMap::new();
    for (index, source) in sources.into_iter().enumerate() {
        for value in source {
            let Value::Object(record) = value else {
                return Err(flow_fault(
                    "source_type",
                    format!("Source {} holds something that is no record.", index + 1),
                ));
            };
            let missing = || flow_fault("field_missing", format!("A record of source {} has no `{field}`.", index + 1));
            let key = record.get(field).ok_or_else(missing)?.to_string();
            match places.get(&key).and_then(|place| order.get_mut(*place)) {
                None => {
                    places.insert(key, order.len());
                    order.push(Joined { record, in_first: index == 0, sources: 1, last_source: index });
                }
                Some(joined) => {
                    if joined.last_source != index {
                        joined.sources += 1;
                        joined.last_source = index;
                    }
                    merge_into(&mut joined.record, record, conflict)?;
                }
            }
        }
    }
    let kept = order.into_iter().filter(|joined| match keep {
        Keep::Matched => joined.sources == count,
        Keep::First => joined.in_first,
        Keep::All => true,
    });
    Ok(Value::Array(kept.map(|joined| Value::Object(joined.record)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn result(config: Value) -> Result<Value, String> {
        combine(config::read(config).unwrap()).map_err(|failure| failure.code)
    }

    #[test]
    fn whole_steps_stay_apart_under_their_names() {
        let sources = json!({"sources": {"sentiment": {"label": "positive"}, "entities": [1]}});
        assert_eq!(result(sources), Ok(json!({"sentiment": {"label": "positive"}, "entities": [1]})));
    }

    #[test]
    fn objects_merge_and_a_clash_needs_a_rule() {
        let with = |conflict: Option<&str>| {
            let mut config = json!({"sources": [{"a": 1, "same": 0}, {"a": 2, "b": 3, "same": 0}, null]});
            config["mode"] = json!("merge");
            if let Some(rule) = conflict {
                config["conflict"] = json!(rule);
            }
            result(config)
        };
        assert_eq!(with(None), Err("sources_clash".into()));
        assert_eq!(with(Some("first")), Ok(json!({"a": 1, "same": 0, "b": 3})));
        assert_eq!(with(Some("last")), Ok(json!({"a": 2, "same": 0, "b": 3})));
        assert_eq!(with(Some("list")), Ok(json!({"a": [1, 2], "same": 0, "b": 3})));
    }

    #[test]
    fn lists_and_texts_are_put_one_after_another() {
        assert_eq!(result(json!({"sources": [[1], [2, 3]]})), Ok(json!([1, 2, 3])));
        assert_eq!(result(json!({"sources": ["a", null, "b"], "mode": "concat", "separator": "+"})), Ok(json!("a+b")));
        assert_eq!(result(json!({"sources": ["a", [1]]})), Err("mode_needed".into()));
    }

    #[test]
    fn zip_pairs_by_place_and_refuses_different_lengths() {
        assert_eq!(
            result(json!({"sources": {"x": [1, 2], "y": [3, 4]}, "mode": "zip"})),
            Ok(json!([{"x": 1, "y": 3}, {"x": 2, "y": 4}]))
        );
        assert_eq!(result(json!({"sources": [[1], [2]], "mode": "zip"})), Ok(json!([[1, 2]])));
        assert_eq!(result(json!({"sources": [[1], [2, 3]], "mode": "zip"})), Err("lengths_differ".into()));
    }

    #[test]
    fn join_matches_records_by_a_field_and_keeps_what_was_asked() {
        let with = |keep: &str| {
            let left = json!([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}]);
            let right = json!([{"id": 2, "age": 7}, {"id": 3, "age": 9}]);
            result(json!({"sources": [left, right], "mode": "join", "on": "id", "keep": keep}))
        };
        assert_eq!(with("matched"), Ok(json!([{"id": 2, "name": "Bo", "age": 7}])));
        assert_eq!(with("first"), Ok(json!([{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo", "age": 7}])));
        assert_eq!(with("all").unwrap().as_array().unwrap().len(), 3);
    }
}

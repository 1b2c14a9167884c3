//! How often a JSON Schema looks at one place of a value, before it is given any.
//!
//! Invariant: a schema that passes looks at each place at most [`LOOKS`] times, however deep the value is; without
//! references nothing can multiply, so that only schemas with references are followed.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Map, Value};

use crate::limits::SCHEMA_LOOKS;

const LOOKS: u64 = SCHEMA_LOOKS as u64;

/// Kinds of places that are told apart by what reaches them.
const PLACES: usize = 10_000;

/// Subschemas by their rank, each with how often it is reached.
type Reached = BTreeMap<usize, u64>;

/// Where in a value a subschema looks: here, in one property, in every one, in one element, in every one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Slot {
    Property(String),
    Properties,
    Element(usize),
    Elements,
}

#[derive(Debug, Default)]
struct Node {
    /// Subschemas of the same place.
    here: Vec<usize>,
    below: Vec<(Slot, usize)>,
}

/// Why a schema asks for too much, if it does.
pub(crate) fn objection(schema: &Value) -> Option<String> {
    if !refers(schema) {
        return None;
    }
    Graph::of(schema).and_then(|graph| graph.follow()).err()
}

fn refers(schema: &Value) -> bool {
    match schema {
        Value::Object(fields) => {
            fields.contains_key("$ref") || fields.contains_key("$dynamicRef") || fields.values().any(refers)
        }
        Value::Array(items) => items.iter().any(refers),
        _ => false,
    }
}

struct Graph<'s> {
    root: &'s Value,
    anchors: HashMap<&'s str, &'s Value>,
    known: HashMap<*const Value, usize>,
    nodes: Vec<Node>,
}

impl<'s> Graph<'s> {
    fn of(root: &'s Value) -> Result<Self, String> {
        let mut graph = Self { root, anchors: HashMap::new(), known: HashMap::new(), nodes: Vec::new() };
        graph.name(root, true)?;
        let mut open = vec![root];
        graph.number(root);
        while let Some(schema) = open.pop() {
            let Value::Object(fields) = schema else { continue };
            let own = graph.number(schema).0;
            let mut node = Node::default();
            for child in graph.here(fields)? {
                let (number, is_new) = graph.number(child);
                node.here.push(number);
                open.extend(is_new.then_some(child));
            }
            for (slot, child) in below(fields) {
                let (number, is_new) = graph.number(child);
                node.below.push((slot, number));
                open.extend(is_new.then_some(child));
            }
            graph.nodes[own] = node;
        }
        Ok(graph)
    }

    /// Notes the names that references may use.
    fn name(&mut self, schema: &'s Value, is_root: bool) -> Result<(), String> {
        match schema {
            Value::Object(fields) => {
                if !is_root && fields.get("$id").is_some_and(Value::is_string) {
                    return Err("`$id` can stand at its top only".to_owned());
                }
                for key in ["$anchor", "$dynamicAnchor"] {
                    if let Some(name) = fields.get(key).and_then(Value::as_str) {
                        self.anchors.insert(name, schema);
                    }
                }
                fields.values().try_for_each(|field| self.name(field, false))
            }
            Value::Array(items) => items.iter().try_for_each(|item| self.name(item, false)),
            _ => Ok(()),
        }
    }

    /// The number of a subschema, and whether it is a new one.
    fn number(&mut self, schema: &'s Value) -> (usize, bool) {
        let next = self.nodes.len();
        let number = *self.known.entry(std::ptr::from_ref(schema)).or_insert(next);
        if number == next {
            self.nodes.push(Node::default());
        }
        (number, number == next)
    }

    fn here(&self, fields: &'s Map<String, Value>) -> Result<Vec<&'s Value>, String> {
        let mut found = Vec::new();
        for (key, value) in fields {
            match (key.as_str(), value) {
                ("allOf" | "anyOf" | "oneOf", Value::Array(items)) => found.extend(items),
                ("not" | "if" | "then" | "else", value) => found.push(value),
                ("dependentSchemas" | "dependencies", Value::Object(schemas)) => found.extend(schemas.values()),
                ("$ref" | "$dynamicRef", Value::String(to)) => found.push(self.target(to)?),
                _ => {}
            }
        }
        Ok(found)
    }

    fn target(&self, reference: &str) -> Result<&'s Value, String> {
        let place = reference.strip_prefix('#').filter(|place| !place.contains('%'));
        let found = match place {
            Some("") => Some(self.root),
            Some(pointer) if pointer.starts_with('/') => self.root.pointer(pointer),
            Some(anchor) => self.anchors.get(anchor).copied(),
            None => None,
        };
        found.ok_or_else(|| {
            let shown: String = reference.chars().take(60).collect();
            format!("`{shown}` names no place within it; write references like `#/$defs/name`")
        })
    }

    /// Goes from place to place of a value and counts how often each subschema is reached there.
    fn follow(&self) -> Result<(), String> {
        let order = self.order()?;
        let mut ranks = vec![0; order.len()];
        for (rank, node) in order.iter().enumerate() {
            ranks[*node] = rank;
        }
        let first = Reached::from([(ranks[0], 1)]);
        let mut seen = HashSet::from([first.clone()]);
        let mut open = vec![first];
        while let Some(place) = open.pop() {
            let all = self.all_of(place, &order, &ranks)?;
            for next in self.below(&all, &order, &ranks) {
                if seen.insert(next.clone()) {
                    open.push(next);
                }
            }
            if seen.len() > PLACES {
                return Err(format!("its references lead through more than {PLACES} different places"));
            }
        }
        Ok(())
    }

    /// What is tried at a place in all, when this is what reaches it.
    fn all_of(&self, mut open: Reached, order: &[usize], ranks: &[usize]) -> Result<Reached, String> {
        let (mut all, mut looks) = (Reached::new(), 0_u64);
        // In rank, so that everything that reaches a subschema comes before it.
        while let Some((rank, count)) = open.pop_first() {
            looks = looks.saturating_add(count);
            if looks > LOOKS {
                return Err(format!("its references multiply: it would look at one place more than {LOOKS} times"));
            }
            for child in &self.nodes[order[rank]].here {
                let sum = open.entry(ranks[*child]).or_default();
                *sum = sum.saturating_add(count);
            }
            all.insert(rank, count);
        }
        Ok(all)
    }

    /// What reaches each kind of place a level below.
    fn below(&self, all: &Reached, order: &[usize], ranks: &[usize]) -> Vec<Reached> {
        let mut slots: BTreeMap<&Slot, Reached> = BTreeMap::new();
        for (rank, count) in all {
            for (slot, child) in &self.nodes[order[*rank]].below {
                let sum = slots.entry(slot).or_default().entry(ranks[*child]).or_default();
                *sum = sum.saturating_add(*count);
            }
        }
        let place = |(slot, own): (&&Slot, &Reached)| {
            // What looks at every property looks at this one as well.
            let every = match slot {
                Slot::Property(_) => slots.get(&Slot::Properties),
                Slot::Element(_) => slots.get(&Slot::Elements),
                Slot::Properties | Slot::Elements => None,
            };
            let mut place = own.clone();
            for (rank, count) in every.into_iter().flatten() {
                let sum = place.entry(*rank).or_default();
                *sum = sum.saturating_add(*count);
            }
            place
        };
        slots.iter().map(place).collect()
    }

    /// Subschemas so that each comes before those that it tries on the same place.
    fn order(&self) -> Result<Vec<usize>, String> {
        let mut waiting = vec![0_usize; self.nodes.len()];
        for child in self.nodes.iter().flat_map(|node| &node.here) {
            waiting[*child] += 1;
        }
        let mut ready: Vec<usize> = (0..self.nodes.len()).filter(|node| waiting[*node] == 0).collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some(node) = ready.pop() {
            order.push(node);
            for child in &self.nodes[node].here {
                waiting[*child] -= 1;
                if waiting[*child] == 0 {
                    ready.push(*child);
                }
            }
        }
        if order.len() < self.nodes.len() {
            return Err("a reference in it leads back to itself".to_owned());
        }
        Ok(order)
    }
}

fn below(fields: &Map<String, Value>) -> Vec<(Slot, &Value)> {
    let mut found = Vec::new();
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("properties", Value::Object(schemas)) => {
                found.extend(schemas.iter().map(|(name, schema)| (Slot::Property(name.clone()), schema)));
            }
            ("patternProperties", Value::Object(schemas)) => {
                found.extend(schemas.values().map(|schema| (Slot::Properties, schema)));
            }
            ("additionalProperties" | "unevaluatedProperties" | "propertyNames", schema) => {
                found.push((Slot::Properties, schema));
            }
            ("prefixItems" | "items", Value::Array(schemas)) => {
                found.extend(schemas.iter().enumerate().map(|(index, schema)| (Slot::Element(index), schema)));
            }
            ("items" | "additionalItems" | "unevaluatedItems" | "contains", schema) => {
                found.push((Slot::Elements, schema));
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_of_trees_and_of_many_kinds_pass() {
        let json_value = json!({"anyOf": [
            {"type": "string"}, {"type": "array", "items": {"$ref": "#"}},
            {"type": "object", "additionalProperties": {"$ref": "#"}},
        ]});
        let tree = json!({"properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "value": {"$ref": "#/$defs/n"}}, "$defs": {"n": {"type": "number"}}});
        let wide: Map<String, Value> = (0..400).map(|n| (format!("p{n}"), json!({"$ref": "#/$defs/n"}))).collect();
        let wide = json!({"properties": wide, "$defs": {"n": {"type": "number"}}});
        let named = json!({"items": {"$ref": "#one"}, "$defs": {"a": {"$anchor": "one", "type": "string"}}});
        for schema in [json_value, tree, wide, named, json!({"type": "object"}), json!(true)] {
            assert_eq!(objection(&schema), None, "{schema}");
        }
    }

    #[test]
    fn schemas_that_multiply_or_go_round_are_objected_to() {
        let level =
            |n: usize| (format!("l{n}"), json!({"anyOf": vec![json!({"$ref": format!("#/$defs/l{}", n + 1)}); 9]}));
        let mut levels: Map<String, Value> = (0..12).map(level).collect();
        levels.insert("l12".to_owned(), json!({"type": "string"}));
        let doubled = json!({"$ref": "#"});
        for (schema, word) in [
            (json!({"$ref": "#/$defs/l0", "$defs": levels}), "multiply"),
            (json!({"allOf": [{"items": doubled}, {"items": doubled}]}), "multiply"),
            (json!({"anyOf": [{"properties": {"a": doubled}}, {"additionalProperties": doubled}]}), "multiply"),
            (json!({"prefixItems": [doubled, doubled], "contains": doubled}), "multiply"),
            (json!({"$ref": "#"}), "itself"),
            (json!({"not": {"$ref": "#"}}), "itself"),
            (
                json!({"$dynamicAnchor": "a", "items": {"not": {"$dynamicRef": "#a"}}, "contains": {"$dynamicRef": "#a"}}),
                "multiply",
            ),
            (json!({"$ref": "http://127.0.0.1/"}), "no place"),
            (json!({"$ref": "#/$defs/none"}), "no place"),
            (json!({"items": {"$id": "b", "$ref": "#"}}), "top"),
        ] {
            let said = objection(&schema).unwrap_or_else(|| panic!("nothing is said of {schema}"));
            assert!(said.contains(word), "{said}: {schema}");
        }
    }
}

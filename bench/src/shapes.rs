//! Flows of the shapes people write, each as one YAML file with the call that runs it.

/// A flow of the bench's tenant.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) name: String,
    pub(crate) body: &'static str,
    pub(crate) yaml: String,
    /// What it is, for the tables.
    pub(crate) about: String,
}

/// The flow of the first table: one step, durable.
pub(crate) const ONE: &str = "chain_1";
pub(crate) const NUMBER: &str = r#"{"number":7}"#;

/// What people write, and what the targets name.
pub(crate) fn usual() -> Vec<Shape> {
    let shape = |name: &str, body: &'static str, yaml: String, about: &str| Shape {
        name: name.to_owned(),
        body,
        yaml,
        about: about.to_owned(),
    };
    vec![
        chain(1),
        chain(10),
        shape("branch", BRANCH_BODY, BRANCH.to_owned(), "parse, transform, branch, respond"),
        shape("branch_unsaved", BRANCH_BODY, format!("save: none\n{BRANCH}"), "the same, `save: none`"),
        shape("map_100", NUMBER, MAP.to_owned(), "for_each over 100 items"),
        chain(500),
        diamond(498),
    ]
}

/// The same work in growing amounts: one after another, and side by side.
pub(crate) fn growing() -> (Vec<Shape>, Vec<Shape>) {
    ([1, 10, 100, 250, 500].map(chain).to_vec(), [8, 98, 248, 498].map(diamond).to_vec())
}

const BRANCH_BODY: &str =
    r#"{"order":{"id":"A-17","lines":[{"sku":"x","count":2,"price":3.5},{"sku":"y","count":1,"price":12.0}]}}"#;

const BRANCH: &str = r#"inputs:
  order: {type: object, required: true}
steps:
  - name: parse
    executor: data_transformer
    config: {data: "{{ inputs.order.lines }}"}
  - name: total
    executor: data_transformer
    config: {data: {id: "{{ inputs.order.id }}", total: "{{ 3.5 * inputs.order.lines[0].count + inputs.order.lines[1].price }}"}}
  - name: large
    executor: data_transformer
    condition: "{{ steps.total.output.total > 15 }}"
    config: {data: {queue: "large"}}
  - name: small
    executor: data_transformer
    condition: "{{ steps.total.output.total <= 15 }}"
    depends_on: [total]
    config: {data: {queue: "small"}}
outputs:
  id: "{{ steps.total.output.id }}"
  large: "{{ steps.large.success }}"
"#;

const MAP: &str = r#"inputs:
  number: {type: integer, required: true}
steps:
  - name: each
    executor: data_transformer
    for_each: "{{ range(100) | list }}"
    config: {data: {value: "{{ item }}", number: "{{ inputs.number }}"}}
"#;

/// So many steps, one after another.
fn chain(steps: usize) -> Shape {
    let mut yaml = "inputs:\n  number: {type: integer, required: true}\nsteps:\n".to_owned();
    for index in 0..steps {
        yaml.push_str(&step(&format!("s{index}"), ""));
    }
    let about = if steps == 1 { "one step".to_owned() } else { format!("{steps} steps, one after another") };
    Shape { name: format!("chain_{steps}"), body: NUMBER, yaml, about }
}

/// One step, so many at once, one step.
fn diamond(steps: usize) -> Shape {
    let mut yaml = "inputs:\n  number: {type: integer, required: true}\nsteps:\n".to_owned();
    yaml.push_str(&step("first", ""));
    for index in 0..steps {
        yaml.push_str(&step(&format!("s{index}"), "    depends_on: [first]\n    parallel_group: middle\n"));
    }
    yaml.push_str(&step("last", "    depends_on: [middle]\n"));
    Shape { name: format!("diamond_{steps}"), body: NUMBER, yaml, about: format!("{steps} steps side by side") }
}

fn step(name: &str, more: &str) -> String {
    format!(
        "  - name: {name}\n    executor: data_transformer\n{more}    config: {{data: \"{{{{ inputs.number }}}}\"}}\n"
    )
}

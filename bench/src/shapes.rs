//! Flows of the shapes people write, each as one YAML file with the call that runs it.

/// A flow of the bench's tenant.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) body: &'static str,
    pub(crate) yaml: String,
    /// Shown in the second table.
    pub(crate) about: &'static str,
}

/// The flow of the first table: one step, durable.
pub(crate) const ONE: &str = "one_step";

pub(crate) fn all() -> Vec<Shape> {
    vec![
        Shape { name: ONE, body: r#"{"number":7}"#, yaml: chain(1), about: "one step" },
        Shape { name: "ten_steps", body: r#"{"number":7}"#, yaml: chain(10), about: "ten steps, one after another" },
        Shape {
            name: "branch",
            body: BRANCH_BODY,
            yaml: BRANCH.to_owned(),
            about: "parse, transform, branch, respond",
        },
        Shape {
            name: "branch_unsaved",
            body: BRANCH_BODY,
            yaml: format!("save: none\n{BRANCH}"),
            about: "the same, `save: none`",
        },
        Shape { name: "map_100", body: r#"{"number":7}"#, yaml: MAP.to_owned(), about: "for_each over 100 items" },
        Shape { name: "chain_100", body: r#"{"number":7}"#, yaml: chain(100), about: "100 steps, one after another" },
        Shape { name: "chain_500", body: r#"{"number":7}"#, yaml: chain(500), about: "500 steps, one after another" },
        Shape { name: "diamond_498", body: r#"{"number":7}"#, yaml: diamond(498), about: "498 steps side by side" },
    ]
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

fn chain(steps: usize) -> String {
    let mut yaml = "inputs:\n  number: {type: integer, required: true}\nsteps:\n".to_owned();
    for index in 0..steps {
        yaml.push_str(&format!(
            "  - name: s{index}\n    executor: data_transformer\n    config: {{data: \"{{{{ inputs.number }}}}\"}}\n"
        ));
    }
    yaml
}

/// One step, so many at once, one step.
fn diamond(steps: usize) -> String {
    let step = |name: &str, more: &str| {
        format!(
            "  - name: {name}\n    executor: data_transformer\n{more}    config: {{data: \"{{{{ inputs.number }}}}\"}}\n"
        )
    };
    let mut yaml = "inputs:\n  number: {type: integer, required: true}\nsteps:\n".to_owned();
    yaml.push_str(&step("first", ""));
    for index in 0..steps {
        yaml.push_str(&step(&format!("s{index}"), "    depends_on: [first]\n    parallel_group: middle\n"));
    }
    yaml.push_str(&step("last", "    depends_on: [middle]\n"));
    yaml
}

//! What filters give, and how templates are told apart.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Fault;
use super::environment::{Place, environment};
use super::scope::Scope;
use super::shape::Shape;

fn render(template: &str, inputs: &Value) -> Result<Value, Fault> {
    let mut environment = environment(&BTreeMap::new(), &[], Place::Here);
    let mut shape = Shape::new(&Value::String(template.to_owned()), "t", super::analysis::Names::plain(&|_| None));
    shape.add_to(&mut environment);
    let mut scope = Scope::default();
    scope.set_json("inputs", inputs);
    shape.render(&environment, &scope)
}

fn value(template: &str) -> Value {
    let inputs = json!({"n": 1234.5, "text": "Ärger in Köln!", "rows": [{"a": 1, "k": "x"}, {"a": 2, "k": "y"}, {"a": 3, "k": "x"}]});
    render(template, &inputs).unwrap_or_else(|fault| panic!("{template}: {fault}"))
}

#[test]
fn exactly_one_expression_keeps_its_type_and_all_else_is_text() {
    assert_eq!(value("{{ inputs.n }}"), json!(1234.5));
    assert_eq!(value("{{- 1 -}}"), json!(1));
    assert_eq!(value("{{ {'a': [1, none]} }}"), json!({"a": [1, null]}));
    assert_eq!(value(" {{ 1 }}\n"), json!(1));
    assert_eq!(value("{{ 1 }} €"), json!("1 €"));
    assert_eq!(value("{{ 1 }} and {{ 2 }}"), json!("1 and 2"));
    assert_eq!(value("{{ 1 }}{{ 2 }}"), json!("12"));
    assert_eq!(value("{{ '}}' }}"), json!("}}"));
    assert_eq!(value("{{ 9007199254740993 }}"), json!(9_007_199_254_740_993_u64));
    assert_eq!(value("no template"), json!("no template"));
}

#[test]
fn an_undefined_name_is_an_error_wherever_it_stands() {
    for template in [
        "{{ nothing }}",
        "{{ inputs.nothing }}",
        "x{{ nothing }}",
        "{{ [inputs.nothing] }}",
        "{{ nothing.deeper }}",
        "{{ inputs.nothing == 1 }}x",
    ] {
        let result = render(template, &json!({}));
        let code = result.map_err(|fault| fault.code);
        assert!(code == Err("undefined_name".to_owned()) || template.contains("=="), "{template}: {code:?}");
    }
    assert_eq!(value("{{ inputs.nothing|default('x') }}"), json!("x"));
    assert_eq!(value("{{ inputs.nothing is defined }}"), json!(false));
}

#[test]
fn filters_do_as_the_reference_says() {
    for (template, expected) in [
        ("{{ 'hi'|b64encode }}", json!("aGk=")),
        ("{{ 'aGk='|b64decode }}", json!("hi")),
        ("{{ 'abc'|sha256 }}", json!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")),
        (
            "{{ 'what do ya want for nothing?'|hmac_sha256('Jefe') }}",
            json!("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ),
        ("{{ '{\"a\": [1]}'|fromjson }}", json!({"a": [1]})),
        ("{{ {'a': 1}|tojson }}", json!("{\"a\": 1}")),
        ("{{ inputs.rows|jmespath('[?a > `1`].k') }}", json!(["y", "x"])),
        ("{{ 'order 42, 43'|regex_find('\\\\d+') }}", json!("42")),
        ("{{ 'order 42'|regex_find('order (\\\\d+)') }}", json!("42")),
        ("{{ 'x'|regex_find('y') }}", json!(null)),
        ("{{ 'a-b-c'|regex_replace('-', '+') }}", json!("a+b+c")),
        ("{{ inputs.text|slugify }}", json!("ärger-in-köln")),
        ("{{ 'one two three four'|truncate_tokens(3) }}", json!("one two")),
        ("{{ inputs.n|currency }}", json!("$1,234.50")),
        ("{{ (-1234567)|currency('EUR') }}", json!("-€1,234,567.00")),
        ("{{ 999.999|currency('CHF') }}", json!("CHF 1,000.00")),
        ("{{ '24.12.2026'|parse_datetime('%d.%m.%Y') }}", json!("2026-12-24T00:00:00Z")),
        ("{{ '2026-12-24T18:30:00+02:00'|parse_datetime }}", json!("2026-12-24T16:30:00Z")),
        ("{{ '2026-12-24'|format_datetime('%d %b %Y') }}", json!("24 Dec 2026")),
        ("{{ 0|format_datetime('%Y') }}", json!("1970")),
        ("{{ inputs.rows|csv }}", json!("a,k\n1,x\n2,y\n3,x\n")),
        ("{{ 'a,b\n1,\"x, y\"\n'|from_csv }}", json!([{"a": "1", "b": "x, y"}])),
        ("{{ inputs.rows|group_by('k')|items|list|length }}", json!(2)),
        ("{{ (inputs.rows|group_by('k')).x|map(attribute='a')|list }}", json!([1, 3])),
        ("{{ [1, [2, [3]]]|flatten }}", json!([1, 2, [3]])),
        ("{{ [1, 2, 3, 4, 5]|chunk(2) }}", json!([[1, 2], [3, 4], [5]])),
        ("{{ 'abcdef'|chunk(4, overlap=2) }}", json!(["abcd", "cdef"])),
        ("{{ 'Hello'.upper() }}", json!("HELLO")),
    ] {
        assert_eq!(value(template), expected, "{template}");
    }
}

#[test]
fn filters_refuse_what_makes_no_sense() {
    for template in [
        "{{ 'x'|fromjson }}",
        "{{ '?'|b64decode }}",
        "{{ 'a'|regex_find('(') }}",
        "{{ 'x'|parse_datetime }}",
        "{{ 1|format_datetime('%Q') }}",
        "{{ [1]|chunk(0) }}",
        "{{ inputs.rows|group_by('zz') }}",
        "{{ 1e300|currency }}",
    ] {
        let inputs = json!({"rows": [{"a": 1}]});
        let fault = render(template, &inputs).expect_err(template);
        assert!(["template_error", "undefined_name"].contains(&fault.code.as_str()), "{template}: {fault:?}");
    }
}

#[test]
fn a_fault_points_into_the_shape() {
    let mut environment = environment(&BTreeMap::new(), &[], Place::Here);
    let mut shape = Shape::new(&json!({"a": ["ok", "{{ nothing }}"]}), "t", super::analysis::Names::plain(&|_| None));
    shape.add_to(&mut environment);
    let fault = shape.render(&environment, &Scope::default()).expect_err("nothing is not defined");
    assert_eq!(fault.pointer, "/a/1");
}

#[test]
fn every_word_that_the_checker_knows_is_registered() {
    use language::names::{FILTERS, FUNCTIONS, TESTS};
    for name in FILTERS {
        assert_eq!(value(&format!("{{{{ '{name}' is filter }}}}")), json!(true), "filter {name}");
    }
    for name in TESTS {
        assert_eq!(value(&format!("{{{{ '{name}' is test }}}}")), json!(true), "test {name}");
    }
    for name in FUNCTIONS {
        assert_eq!(value(&format!("{{{{ {name} is defined }}}}")), json!(true), "function {name}");
    }
}

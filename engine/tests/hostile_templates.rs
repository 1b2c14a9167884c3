//! Hostile templates, held against both ways of rendering: what is proved cheap ends quickly in this process, and
//! everything ends within its limits in a sandbox child, with the pool alive afterwards.
#![expect(clippy::expect_used, reason = "a suite fails loudly")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::template::{Fault, JOB, Ready, ScopeParts, Weight};
use engine::{Prepared, Registry};
use language::{Catalogue, CostKind, Effect, EffectRule, ExecutorSpec, Folder};
use sandbox::{Limits, Pool, PoolConfig, SandboxError};
use serde_json::{Map, Value, json};

/// How long one render may take here; generous, because the machine may be busy.
const QUICKLY: Duration = Duration::from_secs(3);

fn doublings(lines: usize, double: &str) -> String {
    format!("{{% set a = [1] %}}{}{{{{ a|length }}}}", format!("{{% set a = {double} %}}").repeat(lines))
}

fn nested(open: &str, inside: &str, close: &str, times: usize) -> String {
    format!("{}{inside}{}", open.repeat(times), close.repeat(times))
}

/// Templates that must not be rendered in this process.
fn costly() -> Vec<(&'static str, String)> {
    let owned = |name, text: &str| (name, text.to_owned());
    let through = |filter: &str, times: usize| format!("{{{{ inputs.text{} }}}}", format!("|{filter}").repeat(times));
    vec![
        ("JSON of JSON", through("tojson", 40)),
        ("Base64 of Base64", through("b64encode", 120)),
        ("URL encoding over and over", through("urlencode", 60)),
        ("escaping over and over", through("escape", 60)),
        ("lists of letters of lists", through("list", 200)),
        ("upper case over and over", through("upper", 100)),
        ("a text turned over and over", format!("{{{{ inputs.text{}|length }}}}", "[::-1]".repeat(100))),
        ("lists compared over and over", format!("{{{{ {} }}}}", ["(inputs.a == inputs.a)"; 100].join(" ~ "))),
        owned("JSON indented without end", "{{ inputs.a|tojson(indent=2000000000) }}"),
        ("list doubling by plus", doublings(40, "a + a")),
        ("list doubling by chain", doublings(40, "(a|chain(a))|list")),
        ("list doubling by zip", doublings(40, "(a|zip(a))|list")),
        ("text doubling", format!("{{% set s = 'xxxxxxxx' %}}{}{{{{ s }}}}", "{% set s = s ~ s %}".repeat(60))),
        owned("loops in loops", "{% for i in range(99999) %}{% for j in range(99999) %}x{% endfor %}{% endfor %}"),
        owned("giant repetition", "{{ 'a' * 999999999 }}"),
        owned("giant list", "{{ [0] * 999999999999 }}"),
        owned("repetition of repetition", "{{ ('a' * 60000) * 60000 * 60000 }}"),
        owned("giant range", "{{ range(10 ** 18)|list }}"),
        owned("giant power of data", "{{ inputs.n ** inputs.n ** inputs.n }}"),
        owned("giant format width", "{{ '%999999999d'|format(1) }}"),
        owned("giant indent", "{{ ('a\\n' * 9999)|indent(99999999) }}"),
        owned("replace by giants", "{{ ('a' * 9999)|replace('a', 'b' * 999999) }}"),
        owned("join by giants", "{{ range(9999)|join('b' * 999999) }}"),
        owned("a macro that calls itself", "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}"),
        owned("a file that includes itself", "{% include 'self.j2' %}"),
        owned("files that include each other twice", "{% include 'two.j2' %}"),
        owned(
            "a namespace that swallows itself",
            "{% set n = namespace(l=[]) %}{% for i in range(100000) %}{% set n.l = n.l + [n.l] %}{% endfor %}{{ n.l }}",
        ),
        owned("recursive loop", "{% for x in [[1]] recursive %}{{ loop([[1]]) }}{% endfor %}"),
        owned("a regular expression that backtracks elsewhere", "{{ ('a' * 30000 ~ 'b')|regex_find('(a+)+$') }}"),
        owned("a giant regular expression", "{{ 'a'|regex_find('((a{1000}){1000}){1000}') }}"),
        owned("replacement that grows", "{{ ('a' * 60000)|regex_replace('', 'b' * 60000) }}"),
        owned("pieces of pieces", "{{ ('a' * 1000000)|chunk(50000, overlap=49999) }}"),
        owned("an unknown function", "{{ debug() }}"),
    ]
}

/// Templates whose size is bounded by themselves, however they are turned.
fn cheap() -> Vec<(&'static str, String)> {
    let owned = |name, text: &str| (name, text.to_owned());
    let through = |filter: &str, times: usize| format!("{{{{ inputs.text{} }}}}", format!("|{filter}").repeat(times));
    vec![
        ("JSON of JSON, a little", through("tojson", 3)),
        ("URL encoding, a little", through("urlencode", 3)),
        ("upper case for ever", through("upper", 20_000)),
        owned("a giant power", "{{ 10 ** 99999 }}"),
        owned("rounding to nowhere", "{{ inputs.n|round(2000000000) }}"),
        owned("an endless number", "{{ 99999999999999999999999999999999999999999999999999 }}"),
        ("brackets in brackets", format!("{{{{ {} }}}}", nested("[", "1", "]", 20_000))),
        ("parentheses in parentheses", format!("{{{{ {} }}}}", nested("(", "1", ")", 20_000))),
        ("not not not", format!("{{{{ {}true }}}}", "not ".repeat(20_000))),
        ("ifs in ifs", nested("{% if true %}", "x", "{% endif %}", 5_000)),
        ("a long sum of data", format!("{{{{ inputs.n{} }}}}", " + 1".repeat(100_000))),
        ("a long sum", format!("{{{{ 1{} }}}}", " + 1".repeat(20_000))),
        owned("the insides of a value", "{{ inputs.__class__.__mro__ }}"),
        owned("a name that is not there", "{{ nothing }}"),
        owned("a slice of everything", "{{ inputs.text[::-1][::-1][::-1] }}"),
        owned("division by nothing", "{{ 1 / 0 }}{{ 1 % 0 }}{{ 1 // 0 }}"),
        owned("a date format that is none", "{{ 0|format_datetime('%Q%-%') }}"),
        owned("giant currency", "{{ 1e308|currency('X') }}"),
        owned("unfinished", "{{ inputs.text"),
        owned("unfinished block", "{% if true %}"),
        owned("control characters", "\u{0}\u{1}{{ '\u{0}' }}\u{F8FF}"),
    ]
}

fn prepared(template: &str) -> Prepared {
    let spec = ExecutorSpec {
        name: "act".to_owned(),
        version: 1,
        summary: String::new(),
        config: json!({"type": "object"}),
        output: json!({}),
        main_input: None,
        marked: Vec::new(),
        effect: EffectRule::Always(Effect::Pure),
        cost: CostKind::Free,
        streams: false,
        open_config: false,
        default_attempts: 1,
        file_fields: Vec::new(),
        raw_fields: Vec::new(),
        secret_fields: Vec::new(),
        control: None,
    };
    let folder = Folder { name: None, yaml: "steps: [{name: a, executor: act}]".to_owned(), ..Folder::default() };
    let mut plan = language::compile(&folder, &Catalogue::new([spec])).plan.expect("a flow of one step");
    // The checker would refuse some of these; the engine must hold without it.
    plan.outputs = Some(Map::from_iter([("x".to_owned(), Value::String(template.to_owned()))]));
    let twice = "{% include 'two.j2' %}{% include 'two.j2' %}";
    plan.files.insert("self.j2".to_owned(), "{% include 'self.j2' %}".to_owned());
    plan.files.insert("two.j2".to_owned(), twice.to_owned());
    Prepared::new(Arc::new(plan), &Registry::default())
}

fn scope() -> ScopeParts {
    let inputs = json!({"text": "<\"'&".repeat(200), "n": 9, "a": [1, 2, 3]});
    ScopeParts { roots: Map::from_iter([("inputs".to_owned(), inputs)]), ..ScopeParts::default() }
}

fn pool() -> Pool {
    let mut config = PoolConfig::new(env!("CARGO_BIN_EXE_engine-test-child"));
    config.arguments.clear();
    Pool::new(config)
}

async fn in_child(
    pool: &Pool,
    prepared: &Prepared,
    ready: &Ready,
    wall: Duration,
) -> Result<Result<Value, Fault>, SandboxError> {
    let job = serde_json::to_value(prepared.job(ready, scope())).expect("a job is JSON");
    let limits = Limits { wall, cpu: wall, memory_bytes: 128 << 20, ..Limits::default() };
    let answer = pool.share(7).run(JOB, job, Bytes::new(), limits).await?;
    Ok(serde_json::from_value(answer.output).expect("an answer is a result"))
}

#[tokio::test(flavor = "multi_thread")]
async fn costly_templates_end_in_their_child() {
    let pool = pool();
    for (name, template) in costly() {
        let prepared = prepared(&template);
        let ready = prepared.outputs.as_ref().expect("there are outputs");
        assert_eq!(ready.weight, Weight::Costly, "{name} would be rendered in this process");
        let start = Instant::now();
        let result = in_child(&pool, &prepared, ready, Duration::from_secs(1)).await;
        assert!(start.elapsed() < QUICKLY + Duration::from_secs(3), "{name} took {:?}", start.elapsed());
        if let Ok(Ok(value)) = &result {
            assert!(value.to_string().len() < 1 << 20, "{name} gave {} bytes", value.to_string().len());
        }
        assert!(
            !matches!(result, Err(SandboxError::Start(_) | SandboxError::UnknownJob(_) | SandboxError::Refused(_))),
            "{name}: {result:?}"
        );
    }
    let fine = prepared("{% for n in inputs.a %}{{ n }},{% endfor %}");
    let ready = fine.outputs.as_ref().expect("there are outputs");
    assert_eq!(in_child(&pool, &fine, ready, QUICKLY).await, Ok(Ok(json!({"x": "1,2,3,"}))), "the pool lives on");
}

#[tokio::test(flavor = "multi_thread")]
async fn cheap_templates_end_quickly_here_and_say_the_same_in_a_child() {
    let pool = pool();
    for (name, template) in cheap() {
        let prepared = prepared(&template);
        let ready = prepared.outputs.as_ref().expect("there are outputs");
        assert_eq!(ready.weight, Weight::Cheap, "{name}");
        let start = Instant::now();
        let here = prepared.render(&ready.shape, &scope().scope());
        assert!(start.elapsed() < QUICKLY, "{name} took {:?}", start.elapsed());
        let there = in_child(&pool, &prepared, ready, QUICKLY).await;
        match there {
            Ok(there) => assert_eq!(here, there, "{name}"),
            // A child has less memory than we have; it may give up earlier, never say something else.
            Err(error) => {
                assert!(matches!(error, SandboxError::Memory | SandboxError::TooLarge { .. }), "{name}: {error:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_ways_give_the_same_scope() {
    use engine::template::{GroupParts, RecordParts};
    let record = |output: Value| RecordParts {
        status: "succeeded".to_owned(),
        success: Some(true),
        skipped: false,
        cached: false,
        attempts: 1,
        error: None,
        output,
        started_at: None,
        duration_ms: Some(5),
        cost: Some(0.5),
    };
    let mut parts = scope();
    parts.steps.insert("a".to_owned(), record(json!({"text": "hi", "status": "mine", "list": [1, 2]})));
    parts.steps.insert("b".to_owned(), record(json!("plain")));
    let members = vec![("m".to_owned(), record(json!(1)))];
    parts.groups.insert(
        "g".to_owned(),
        GroupParts { status: "succeeded".to_owned(), success: Some(true), skipped: false, members },
    );
    parts.nonce = Some("0123456789abcdef".to_owned());
    let pool = pool();
    for (template, expected) in [
        ("{{ steps.a.text }} {{ steps.a.status }} {{ steps.a.output.status }}", json!("hi succeeded mine")),
        ("{{ steps.a }}", json!({"text": "hi", "status": "mine", "list": [1, 2]})),
        ("{{ steps.b == 'plain' }}", json!(true)),
        ("{{ steps.b|upper }}", json!("PLAIN")),
        ("{{ [steps.a.list|sum, steps.a.cost, steps.b.success] }}", json!([3, 0.5, true])),
        ("{{ {'k': steps.b} }}", json!({"k": "plain"})),
        ("{{ inputs.a|tojson|fromjson }}", json!([1, 2, 3])),
        ("{{ secrets.KEY }}", json!("\u{10FFFD}0123456789abcdef:KEY\u{10FFFD}")),
    ] {
        let prepared = prepared(template);
        let ready = prepared.outputs.as_ref().expect("there are outputs");
        assert_eq!(prepared.render(&ready.shape, &parts.scope()), Ok(json!({"x": expected})), "{template}");
        let job = serde_json::to_value(prepared.job(ready, parts.clone())).expect("a job is JSON");
        let answer = pool.share(7).run(JOB, job, Bytes::new(), Limits::default()).await.expect("the child answers");
        assert_eq!(answer.output, json!({"Ok": {"x": expected}}), "{template}");
    }
}

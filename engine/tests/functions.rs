//! Functions and macros of an author, as templates call them: rendered in a sandbox child, hostile ones within limits and
//! with the pool alive afterwards.
#![expect(clippy::expect_used, reason = "a suite fails loudly")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use engine::template::{Fault, JOB, Ready, ScopeParts, Weight};
use engine::{Prepared, Registry};
use language::plan::{FunctionPlan, Plan};
use language::{Catalogue, CostKind, Effect, EffectRule, ExecutorSpec, Folder};
use sandbox::{Limits, Pool, PoolConfig, SandboxError};
use serde_json::{Map, Value, json};

const WALL: Duration = Duration::from_secs(5);

fn plan() -> Plan {
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
    language::compile(&folder, &Catalogue::new([spec])).plan.expect("a flow of one step")
}

/// The seed's first function has no body; this is one that works.
const PHRASES: &str = r#"
import re
from collections import Counter

def extract_key_phrases(text, max_phrases=5):
    words = re.findall(r"[a-z]{4,}", text.lower())
    phrases = [word for word, count in Counter(words).most_common(max_phrases)]
    return phrases
"#;
/// As the seed writes them.
const CURRENCY: &str = "def format_currency(amount, currency=\"USD\"):\n    return f\"${amount:.2f} {currency}\"\n";
const STUB: &str = "def extract_key_phrases(text, max_phrases=5):\n    # Custom logic here\n    return phrases\n";

fn with_functions(functions: &[(&str, &str)], template: &str) -> Plan {
    let mut plan = plan();
    for (name, implementation) in functions {
        let function = FunctionPlan { description: None, implementation: (*implementation).to_owned(), line: 100 };
        plan.functions.insert((*name).to_owned(), function);
    }
    plan.outputs = Some(Map::from_iter([("x".to_owned(), Value::String(template.to_owned()))]));
    plan
}

fn with_macros(macros: &[(&str, &str)], template: &str) -> Plan {
    let mut plan = with_functions(&[], template);
    plan.macros = macros.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
    plan
}

fn scope() -> ScopeParts {
    let inputs = json!({"text": "Invoices go to the invoices desk; the desk pays invoices.", "amount": 1234.5, "n": 3});
    ScopeParts {
        roots: Map::from_iter([("inputs".to_owned(), inputs)]),
        nonce: Some("0123456789abcdef".to_owned()),
        ..ScopeParts::default()
    }
}

fn pool() -> Pool {
    let mut config = PoolConfig::new(env!("CARGO_BIN_EXE_engine-test-child"));
    config.arguments.clear();
    Pool::new(config)
}

async fn in_child(pool: &Pool, plan: Plan) -> Result<Result<Value, Fault>, SandboxError> {
    let prepared = Prepared::new(Arc::new(plan), &Registry::default());
    let ready: &Ready = prepared.outputs.as_ref().expect("there are outputs");
    assert_eq!(ready.weight, Weight::Costly, "it would be rendered in this process");
    let job = serde_json::to_value(prepared.job(ready, scope())).expect("a job is JSON");
    let limits = Limits { wall: WALL, cpu: WALL, memory_bytes: 256 << 20, ..Limits::default() };
    let answer = pool.share(1).run(JOB, job, Bytes::new(), limits).await?;
    Ok(serde_json::from_value(answer.output).expect("an answer is a result"))
}

async fn gives(pool: &Pool, plan: Plan) -> Value {
    let rendered = in_child(pool, plan).await.expect("the child answers");
    rendered.unwrap_or_else(|fault| panic!("{fault:?}"))["x"].clone()
}

async fn fails(pool: &Pool, plan: Plan) -> Fault {
    let rendered = in_child(pool, plan).await.expect("the child answers");
    rendered.expect_err("a fault")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_functions_of_the_seed_work_with_positional_and_named_arguments() {
    let pool = pool();
    let both = [("format_currency", CURRENCY), ("extract_key_phrases", PHRASES)];
    for (template, expected) in [
        ("{{ format_currency(inputs.amount) }}", json!("$1234.50 USD")),
        ("{{ format_currency(inputs.n, currency='EUR') }}", json!("$3.00 EUR")),
        ("{{ extract_key_phrases(inputs.text, 2) }}", json!(["invoices", "desk"])),
        ("Most: {{ extract_key_phrases(inputs.text, max_phrases=1)|join(', ') }}.", json!("Most: invoices.")),
        (
            "{% for p in extract_key_phrases(inputs.text, 2) %}{{ loop.index }}{{ p }} {% endfor %}",
            json!("1invoices 2desk "),
        ),
    ] {
        assert_eq!(gives(&pool, with_functions(&both, template)).await, expected, "{template}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_keep_their_types_on_the_way_in_and_out() {
    let pool = pool();
    let echo = [("echo", "def echo(*values, **named):\n    return [list(values), named]")];
    let template = "{{ echo(none, true, 7, 1.5, 'é', [1, {'a': none}], b=9007199254740993) }}";
    let expected = json!([[null, true, 7, 1.5, "é", [1, {"a": null}]], {"b": 9_007_199_254_740_993_i64}]);
    assert_eq!(gives(&pool, with_functions(&echo, template)).await, expected);
    let typed = [(
        "typed",
        "from datetime import date, datetime, timezone\nfrom decimal import Decimal\ndef typed():\n    \
         return {'set': sorted({2, 1}), 'tuple': (1, 2), 'date': date(2026, 1, 31), 'money': Decimal('1.20'), \
         'at': datetime(2026, 1, 31, 12, 5, tzinfo=timezone.utc), 3: 'three'}",
    )];
    assert_eq!(
        gives(&pool, with_functions(&typed, "{{ typed() }}")).await,
        json!({"set": [1, 2], "tuple": [1, 2], "date": "2026-01-31", "money": "1.20", "at": "2026-01-31T12:05:00Z", "3": "three"})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_a_flow_call_each_other_and_those_of_a_library_are_called_by_its_name() {
    let pool = pool();
    let pair = [("twice", "def twice(n):\n    return add(n, n)"), ("add", "def add(a, b):\n    return a + b")];
    assert_eq!(gives(&pool, with_functions(&pair, "{{ twice(inputs.n) }}")).await, json!(6));
    let library = [("money.get", "def get(n):\n    return n * 2"), ("get", "def get(n):\n    return n * 3")];
    let template = "{{ [money.get(inputs.n), get(inputs.n)] }}";
    assert_eq!(gives(&pool, with_functions(&library, template)).await, json!([6, 9]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_names_the_function_and_the_line_of_the_flow_file() {
    let pool = pool();
    for (source, code, message) in [
        (
            STUB,
            "function_failed",
            "The function `extract_key_phrases` failed at line 102: NameError: name 'phrases' is not defined.",
        ),
        (
            "def extract_key_phrases(*a):\n    x = 1\n    return inner(x)\ndef inner(x):\n    return x / 0",
            "function_failed",
            "The function `extract_key_phrases` failed at line 104: ZeroDivisionError: division by zero.",
        ),
        (
            "# nothing here yet",
            "function_failed",
            "The function `extract_key_phrases` (line 100) has no body: its implementation must hold `def extract_key_phrases(...)`.",
        ),
        ("x = 1\ndef extract_key_phrases(*a):\n    while True:\n        x = 2", "template_limit", "time"),
        ("def extract_key_phrases(*a):\n    return extract_key_phrases(*a)", "template_limit", "depth"),
    ] {
        let fault =
            fails(&pool, with_functions(&[("extract_key_phrases", source)], "{{ extract_key_phrases(inputs.text) }}"))
                .await;
        assert_eq!(fault.code, code, "{fault:?}");
        assert!(fault.message.contains(message) && fault.message.contains("extract_key_phrases"), "{fault:?}");
    }
    let broken = fails(&pool, with_functions(&[("f", "x = 1\ndef f(:\n    pass")], "{{ f() }}")).await;
    assert!(broken.message.contains("`f` failed at line 101: SyntaxError"), "{broken:?}");
    let unfit = fails(&pool, with_functions(&[("f", "def f():\n    return float('nan')")], "{{ f() }}")).await;
    assert!(unfit.message.contains("`f` gives `NaN`, which has no form in JSON"), "{unfit:?}");
    let arguments = fails(&pool, with_functions(&[("f", "def f():\n    return 1")], "{{ f(1, 2) }}")).await;
    assert!(arguments.message.contains("`f` failed") && arguments.message.contains("TypeError"), "{arguments:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_function_fails_its_own_calls_and_no_other() {
    let pool = pool();
    let both = [("broken", "def broken(:"), ("fine", "def fine():\n    return 1")];
    assert_eq!(gives(&pool, with_functions(&both, "{{ fine() }}")).await, json!(1));
    assert_eq!(fails(&pool, with_functions(&both, "{{ fine() + broken() }}")).await.code, "function_failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_not_handed_to_a_function() {
    let pool = pool();
    let echo = [("echo", "def echo(x):\n    return x[1:]")];
    for template in ["{{ echo(secrets.KEY) }}", "{{ echo({'a': [secrets.KEY]}) }}", "{{ echo('x' ~ secrets.KEY) }}"] {
        assert_eq!(fails(&pool, with_functions(&echo, template)).await.code, "secret_transformed", "{template}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_see_no_clock_no_files_no_network_and_the_same_random_numbers() {
    let pool = pool();
    for body in [
        "import datetime\n    return str(datetime.datetime.now())",
        "import time\n    return time.time()",
        "return open('/etc/passwd').read()",
        "import os\n    return os.listdir('/')",
        "import os\n    return os.system('id')",
        "import os\n    return os.environ['PATH']",
        "import pathlib\n    return pathlib.Path('/etc/passwd').read_text()",
        "import socket\n    return socket.socket()",
        "import subprocess\n    return subprocess.run(['id'])",
        "import urllib.request\n    return urllib.request.urlopen('http://127.0.0.1/')",
        "import ctypes\n    return 1",
        "return (1).__class__.__mro__[1].__subclasses__()",
        "return __import__('os').getpid()",
        "return globals()['__builtins__']['open']('/etc/passwd')",
    ] {
        let source = format!("def f():\n    {body}");
        let fault = fails(&pool, with_functions(&[("f", &source)], "{{ f() }}")).await;
        assert!(fault.code == "function_failed" && fault.message.contains("`f` failed"), "{body}: {fault:?}");
    }
    let draw = [("draw", "import random\ndef draw():\n    return random.random()")];
    let first = gives(&pool, with_functions(&draw, "{{ draw() }}")).await;
    assert_eq!(gives(&pool, with_functions(&draw, "{{ draw() }}")).await, first);
    let slept = Instant::now();
    let source = "import time\ndef f():\n    time.sleep(3600)\n    return 1";
    assert_eq!(gives(&pool, with_functions(&[("f", source)], "{{ f() }}")).await, json!(1));
    assert!(slept.elapsed() < WALL, "nobody waits for a function that sleeps");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_in_the_child_from_one_render_to_the_next() {
    let pool = pool();
    let count = [("count", "seen = []\ndef count():\n    seen.append(1)\n    return len(seen)")];
    for _ in 0..2 {
        assert_eq!(gives(&pool, with_functions(&count, "{{ [count(), count()] }}")).await, json!([1, 2]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_functions_end_within_their_limits_and_the_pool_lives_on() {
    let pool = pool();
    let hostile = [
        ("an endless loop", "while True: pass"),
        (
            "an endless loop that catches everything",
            "while True:\n        try:\n            while True: pass\n        except BaseException:\n            pass",
        ),
        ("a list without end", "x = []\n    while True: x.append(x)"),
        ("texts without end", "x = ['a' * 100000]\n    while True: x.append(x[-1] + 'b')"),
        ("a giant power", "return 10 ** (10 ** 7)"),
        ("a power of powers", "return 9 ** 9 ** 9 ** 9"),
        ("a giant shift", "return 1 << (1 << 40)"),
        ("a giant repetition", "return 'a' * (10 ** 12)"),
        ("repetition of repetition", "return ['a' * 1000000] * 1000000"),
        ("doubling", "x = [1]\n    for i in range(64): x = x + x\n    return x"),
        ("doubling in place", "x = 'a'\n    while True: x += x"),
        ("a giant format width", "return f'{1:>999999999999}'"),
        ("a giant percent format", "return '%999999999d' % 1"),
        ("a giant range as a list", "return list(range(10 ** 18))"),
        ("a giant join", "return ('b' * 1000000).join(['a'] * 1000000)"),
        ("a giant replace", "return ('a' * 100000).replace('a', 'b' * 100000)"),
        ("a giant padding", "return 'a'.ljust(10 ** 12)"),
        ("deep recursion", "return f()"),
        ("deep recursion through a sort", "return sorted([1, 2], key=lambda x: f())"),
        ("a value in a value in a value", "x = []\n    for i in range(100000): x = [x]\n    return x"),
        ("a shared value, 2 to the 60 of it", "x = [1]\n    for i in range(60): x = [x, x]\n    return x"),
        ("a value that holds itself", "x = []\n    x.append(x)\n    return x"),
        ("the text of a deep value", "x = []\n    for i in range(100000): x = [x]\n    return str(x)"),
        ("a regular expression that backtracks", "import re\n    return re.match('(a+)+$', 'a' * 5000 + 'b') is None"),
        ("a giant regular expression", "import re\n    return re.match('((a{1000}){1000}){1000}', 'a')"),
        ("prints without end", "while True: print('x' * 1000)"),
        ("code made at run time", "return eval('__import__(\"os\").system(\"id\")')"),
        ("code of brackets", "return eval('(' * 100000)"),
        ("a giant integer as text", "return str(10 ** 100000)"),
        ("an integer out of a giant text", "return int('9' * 1000000)"),
        ("a factorial", "import math\n    return math.factorial(10 ** 7)"),
        ("all permutations", "import itertools\n    return list(itertools.permutations(range(20)))"),
    ];
    for (name, body) in hostile {
        let source = format!("def f():\n    {body}");
        let start = Instant::now();
        let result = in_child(&pool, with_functions(&[("f", &source)], "{{ f() }}")).await;
        assert!(start.elapsed() < WALL + Duration::from_secs(3), "{name} took {:?}", start.elapsed());
        match &result {
            Ok(Ok(value)) => {
                assert!(value.to_string().len() < 1 << 20, "{name} gave {} bytes", value.to_string().len());
            }
            Ok(Err(fault)) => assert!(fault.message.contains("`f`"), "{name}: {fault:?}"),
            Err(error) => assert!(
                matches!(
                    error,
                    SandboxError::Time
                        | SandboxError::Memory
                        | SandboxError::Crashed(_)
                        | SandboxError::TooLarge { .. }
                ),
                "{name}: {error:?}"
            ),
        }
    }
    assert_eq!(gives(&pool, with_functions(&[("f", "def f():\n    return 1")], "{{ f() }}")).await, json!(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_definitions_end_within_their_limits_too() {
    let pool = pool();
    for source in [
        "while True: pass",
        "x = 'a' * 10 ** 12\ndef f(): return 1",
        &"(".repeat(100_000),
        &format!("x = {}1{}", "[".repeat(50_000), "]".repeat(50_000)),
        &format!("x = {}1", "-".repeat(50_000)),
        &"if True:\n".to_owned().repeat(3),
        "\u{0}",
        "def f():\n\treturn 1\n        return 2",
    ] {
        let start = Instant::now();
        let result = in_child(&pool, with_functions(&[("f", source)], "{{ f() }}")).await;
        let shown: String = source.chars().take(20).collect();
        assert!(start.elapsed() < WALL + Duration::from_secs(3), "{shown} took {:?}", start.elapsed());
        assert!(!matches!(result, Ok(Ok(_))), "{shown}: {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn macros_are_called_by_name_everywhere_and_call_each_other() {
    let pool = pool();
    let macros = [
        ("greet", "{% macro greet(name, mark='!') %}Hello {{ name }}{{ mark }}{% endmacro %}"),
        ("shout", "{% macro shout(name) %}{{ greet(name)|upper }}{% endmacro %}"),
        ("down", "{% macro down(n) %}{{ n }}{% if n > 0 %}{{ down(n - 1) }}{% endif %}{% endmacro %}"),
        ("letters.sign", "{% macro sign(who) %}Yours, {{ line(who) }}{% endmacro %}"),
        ("letters.line", "{% macro line(who) %}{{ who|title }}{% endmacro %}"),
        ("frame", "{% macro frame() %}<{{ caller() }}>{% endmacro %}"),
    ];
    for (template, expected) in [
        ("{{ greet('Ada') }}", "Hello Ada!"),
        ("{{ greet('Ada', mark='?')|upper }}", "HELLO ADA?"),
        ("So: {{ shout('Ada') }}", "So: HELLO ADA!"),
        ("{{ down(3) }}", "3210"),
        ("{{ letters.sign('bob') }}", "Yours, Bob"),
        ("{% for n in [1, 2] %}{{ greet(n) }}{% endfor %}", "Hello 1!Hello 2!"),
        ("{% call frame() %}{{ greet('x') }}{% endcall %}", "<Hello x!>"),
    ] {
        assert_eq!(gives(&pool, with_macros(&macros, template)).await, json!(expected), "{template}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn macros_and_functions_call_each_other_also_in_files_that_extend_and_include() {
    let pool = pool();
    let mut plan = with_functions(
        &[("add", "def add(a, b):\n    return a + b"), ("lib.neg", "def neg(n):\n    return -n")],
        "{% include 'prompts/child.j2' %}",
    );
    plan.macros
        .insert("sum".to_owned(), "{% macro sum(a, b) %}{{ a }}+{{ b }}={{ add(a, b) }}{% endmacro %}".to_owned());
    plan.macros.insert("lib.minus".to_owned(), "{% macro minus(n) %}({{ neg(n) }}){% endmacro %}".to_owned());
    plan.files.insert(
        "prompts/base.j2".to_owned(),
        "Base {% block body %}{% endblock %} {{ sum(1, 2) }} {% include 'prompts/part.j2' %}".to_owned(),
    );
    plan.files.insert(
        "prompts/child.j2".to_owned(),
        "{% extends 'prompts/base.j2' %}{% block body %}{{ sum(inputs.n, 1) }} {{ lib.minus(2) }}{% endblock %}"
            .to_owned(),
    );
    plan.files.insert(
        "prompts/part.j2".to_owned(),
        "{% from 'prompts/macros.j2' import own %}{{ own() }} {{ lib.neg(5) }}".to_owned(),
    );
    plan.files.insert("prompts/macros.j2".to_owned(), "{% macro own() %}own {{ add(2, 2) }}{% endmacro %}".to_owned());
    assert_eq!(gives(&pool, plan).await, json!("Base 3+1=4 (-2) 1+2=3 own 4 -5"));
}

#[tokio::test(flavor = "multi_thread")]
async fn macros_that_call_each_other_without_end_are_stopped() {
    let pool = pool();
    let macros = [
        ("ping", "{% macro ping() %}{{ pong() }}{% endmacro %}"),
        ("pong", "{% macro pong() %}{{ ping() }}{% endmacro %}"),
    ];
    let result = in_child(&pool, with_macros(&macros, "{{ ping() }}")).await;
    assert!(!matches!(result, Ok(Ok(_))), "{result:?}");
    assert_eq!(
        gives(&pool, with_macros(&[("one", "{% macro one() %}1{% endmacro %}")], "{{ one() }}")).await,
        json!("1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_whose_macros_call_its_functions_can_be_used_by_all_its_names() {
    let pool = pool();
    let names = [
        ("libc.short", "def short(t, n=3):\n    return t[:n]"),
        ("libc.twice", "def twice(t):\n    return short(t) * 2"),
    ];
    let macros = [
        ("libc.bullet", "{% macro bullet(t) %}<{{ short(t) }}>{% endmacro %}"),
        ("libc.outer", "{% macro outer(t) %}[{{ bullet(t) }}{{ twice(t) }}]{% endmacro %}"),
        // A parameter or a value of the macro's own stands before a sibling of that name.
        ("libc.mutual", "{% macro mutual(own) %}{{ own }}{% endmacro %}"),
        (
            "libc.own",
            "{% macro own(mutual, short) %}{% set twice = short %}{{ short }}{{ twice }}{{ mutual }}{% endmacro %}",
        ),
    ];
    for (template, expected) in [
        ("{{ libc.short('abcdef') }}", "abc"),
        ("{{ libc.short('abcdef', n=2) }}", "ab"),
        ("{{ libc.bullet('abcdef') }}", "<abc>"),
        ("{{ libc.outer('abcdef') }}", "[<abc>abcabc]"),
        ("{{ libc.own('z', 'x') }}{{ libc.mutual('y') }}", "xxzy"),
        ("{{ libc.short('abcdef', 1) }} {{ libc.bullet('xyz1') }}", "a <xyz>"),
        ("{% for t in ['abcd', 'efgh'] %}{{ libc.bullet(t) }}{{ libc.short(t, 1) }}{% endfor %}", "<abc>a<efg>e"),
        ("{% include 'prompts/a.j2' %}", "abc <abc>"),
    ] {
        let mut plan = with_functions(&names, template);
        plan.macros = macros.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        plan.files.insert("prompts/a.j2".to_owned(), "{{ libc.short('abcd') }} {{ libc.bullet('abcd') }}".to_owned());
        assert_eq!(gives(&pool, plan).await, json!(expected), "{template}");
    }
}

//! Python as a step, in a child.

use std::time::{Duration, Instant};

use domain::FailureKind;
use serde_json::{Value, json};

use crate::surroundings::Bench;

async fn run(bench: &Bench, code: &str, data: Value) -> Result<Value, domain::Failure> {
    bench.run_plain("python", json!({"code": code, "data": data})).await
}

#[tokio::test]
async fn the_output_is_what_the_code_returns_or_its_main_or_its_last_value() {
    let bench = Bench::new();
    let data = json!({"lines": [{"net": 10.0, "tax": 0.2}, {"net": 5.5, "tax": 0.0}]});
    for code in [
        "return sum(line['net'] * (1 + line['tax']) for line in data['lines'])",
        "total = 0\nfor line in data['lines']:\n    total += line['net'] * (1 + line['tax'])\nreturn total",
        "def main(data):\n    return sum([gross(line) for line in data['lines']])\ndef gross(line):\n    \
         return line['net'] * (1 + line['tax'])",
        "sum([line['net'] * (1 + line['tax']) for line in data['lines']])",
    ] {
        assert_eq!(run(&bench, code, data.clone()).await, Ok(json!(17.5)), "{code}");
    }
    let parsed = "import re, json\nfound = re.search(r'{\"a\".*}', data)\nreturn json.loads(found.group(0))";
    assert_eq!(run(&bench, parsed, json!("x {\"a\": [1, {}]} y")).await, Ok(json!({"a": [1, {}]})));
    assert_eq!(bench.run_plain("python", json!({"code": "return data"})).await, Ok(Value::Null));
}

#[tokio::test]
async fn a_failure_names_the_line_of_the_code_and_is_not_tried_again() {
    let bench = Bench::new();
    for (code, message) in [
        ("x = 1\nreturn x / 0", "The code failed at line 2: ZeroDivisionError: division by zero."),
        ("def main(data):\n    return data['absent']", "The code failed at line 2: KeyError: absent."),
        ("x = (", "The code failed at line 1: SyntaxError"),
        ("return open('/etc/passwd')", "The code failed"),
        ("import socket", "The code failed at line 1: ModuleNotFoundError"),
        ("raise ValueError('no total')", "The code failed at line 1: ValueError: no total."),
    ] {
        let failure = run(&bench, code, json!({})).await.unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Flow, "python_failed"), "{failure:?}");
        assert!(failure.message.starts_with(message) && !failure.retryable, "{code}: {failure:?}");
    }
}

#[tokio::test]
async fn hostile_code_ends_within_its_limits_and_nothing_of_it_stays() {
    let bench = Bench::new();
    for code in [
        "while True: pass",
        "x = []\nwhile True: x.append('x' * 100000)",
        "return 10 ** (10 ** 8)",
        "return 'x' * 10 ** 12",
        "def f(): return f()\nreturn f()",
        "x = [1]\nfor i in range(60): x = [x, x]\nreturn x",
    ] {
        let started = Instant::now();
        let failure = run(&bench, code, json!({})).await.unwrap_err();
        assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Limit, "python_limit"), "{code}: {failure:?}");
        assert!(started.elapsed() < Duration::from_secs(10), "{code}");
    }
    let growing = "try:\n    seen\nexcept NameError:\n    seen = []\nseen.append(1)\nreturn len(seen)";
    for _ in 0..2 {
        assert_eq!(run(&bench, growing, json!({})).await, Ok(json!(1)));
    }
}

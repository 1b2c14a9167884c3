//! Templates in process, as steps render them: how many a second on one thread, whether their values are native, and what
//! one costs of a bare request.
use std::time::{Duration, Instant};

use engine::template::{Expressions, Scope, Weight};
use serde_json::{Value, json};

use crate::program::Bare;
use crate::{Wanted, load};

/// A template, and the value that it must give.
struct Sample {
    about: &'static str,
    template: Value,
    value: Value,
}

fn samples() -> Vec<Sample> {
    let sample = |about, template, value| Sample { about, template, value };
    vec![
        sample("a field, native", json!("{{ inputs.number }}"), json!(7)),
        sample("a nested object, native", json!("{{ inputs.order }}"), order()),
        sample("arithmetic and a comparison", json!("{{ inputs.number * 2 > 13 }}"), json!(true)),
        sample("text of three parts", json!("{{ inputs.name }} has {{ inputs.number }}"), json!("Ada has 7")),
        sample("two filters", json!("{{ inputs.name | upper | replace('A', 'O') }}"), json!("ODO")),
        sample("a sum over twenty", json!("{{ inputs.prices | sum }}"), json!(190)),
        sample("a loop over twenty", json!("{% for p in inputs.prices %}{{ p }},{% endfor %}"), json!(looped())),
        sample(
            "a config of ten fields",
            Value::Object(config(&json!("{{ inputs.number }}"))),
            Value::Object(config(&json!(7))),
        ),
    ]
}

fn order() -> Value {
    json!({"id": "A-17", "lines": [{"sku": "x", "count": 2}, {"sku": "y", "count": 1}]})
}

fn looped() -> String {
    (0..20).map(|price| format!("{price},")).collect()
}

fn config(value: &Value) -> serde_json::Map<String, Value> {
    (0..10).map(|index| (format!("field_{index}"), value.clone())).collect()
}

pub(crate) async fn table(wanted: &Wanted) -> Result<(), String> {
    let bare = Bare::start().await?;
    let handler = load::run(&bare.request(), 16, wanted.time).await?;
    let inputs = json!({"number": 7, "name": "Ada", "order": order(), "prices": (0..20).collect::<Vec<_>>()});
    println!("templates, in process on one thread; the bare handler answers {:.0} a second", handler.rate());
    println!("{:>32} {:>14} {:>10} {:>24}", "", "renders per s", "us each", "renders a bare request");
    for sample in samples() {
        let mut expressions = Expressions::default();
        let handle = expressions.add(&sample.template);
        let mut scope = Scope::default();
        scope.set_json("inputs", &inputs);
        let given = expressions.render(handle, &scope).map_err(|fault| format!("{}: {fault:?}", sample.about))?;
        if given != sample.value {
            return Err(format!("{}: it gave {given} and not {}", sample.about, sample.value));
        }
        let rate = rate(wanted.time / 4, || expressions.render(handle, &scope).is_ok())?;
        let place = if expressions.weight() == Weight::Cheap { "" } else { " (in a sandbox child when a step has it)" };
        println!(
            "{:>32} {rate:>14.0} {:>10.2} {:>24.1}{place}",
            sample.about,
            1_000_000.0 / rate,
            rate / handler.rate()
        );
    }
    println!();
    Ok(())
}

/// How often it can be done in a second.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^52")]
fn rate(time: Duration, mut work: impl FnMut() -> bool) -> Result<f64, String> {
    const AT_ONCE: u64 = 100;
    let (began, mut done) = (Instant::now(), 0_u64);
    while began.elapsed() < time {
        for _ in 0..AT_ONCE {
            if !work() {
                return Err("a template that rendered once did not render again".to_owned());
            }
        }
        done += AT_ONCE;
    }
    Ok(done as f64 / began.elapsed().as_secs_f64())
}

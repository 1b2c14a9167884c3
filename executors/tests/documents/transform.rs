//! Expressions that ask for more than they look, in a child.

use domain::FailureKind;
use serde_json::json;

use crate::surroundings::Bench;

#[tokio::test]
async fn a_costly_expression_gives_its_value_all_the_same() {
    let bench = Bench::new();
    let config = json!({
        "data": {"people": [{"name": "ada", "tags": ["x"]}, {"name": "bo", "tags": ["y", "z"]}]},
        "jmespath": "people[?length(tags) > `1`]",
        "map": {"name": "{{ item.name | replace('b', 'B') }}", "tags": "{{ item.tags + ['new'] }}"},
    });
    let made = bench.run_plain("data_transformer", config).await.unwrap();
    assert_eq!(made, json!([{"name": "Bo", "tags": ["y", "z", "new"]}]));
    let failure = bench.run_plain("data_transformer", json!({"data": [1], "map": "inputs.x * 2"})).await.unwrap_err();
    assert_eq!((failure.kind, failure.code.as_str()), (FailureKind::Flow, "undefined_name"));
}

#[tokio::test]
async fn a_hostile_expression_ends_at_its_limits_and_takes_nothing_with_it() {
    let bench = Bench::new();
    let bombs = [
        json!({"data": [1], "map": "range(100000000) | list | length"}),
        json!({"data": [1], "map": "'x' * 10000000000"}),
        json!({"data": [1], "map": "('x' * 100000) | replace('x', 'y' * 100000)"}),
        json!({"data": [1], "map": "[[1] * 100000] * 100000"}),
        json!({"data": [1], "map": {"text": "{{ ([1] * 1000000000) | join('-') }}"}}),
        json!({"data": [0], "jmespath": vec!["[@,@,@,@]"; 60].join("|")}),
    ];
    for bomb in bombs {
        let failure = bench.run_plain("data_transformer", bomb.clone()).await.unwrap_err();
        assert!(matches!(failure.kind, FailureKind::Limit | FailureKind::Flow), "{bomb}: {failure:?}");
    }
    let after = bench.run_plain("data_transformer", json!({"data": [1], "map": "item + item"})).await;
    assert_eq!(after, Ok(json!([2])));
}

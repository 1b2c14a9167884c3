//! What a run may cost, and what it need not buy twice.

use domain::{NanoUsd, RunStatus, StepStatus};
use entities::{Scope as _, account};
use service::runs::{self, Answer};

use crate::stage::everywhere;

#[tokio::test]
async fn a_run_spends_no_more_than_its_cap_and_a_child_pays_from_its_roots_account() {
    everywhere(|stage| async move {
        // Each attempt may cost 2,000 nano-dollars and does cost 1,500.
        let buying = "max_cost: 0.000004\nsteps:\n  - {name: one, executor: buy, config: {mode: priced}}\n  - {name: two, executor: buy, config: {mode: priced}}\n  - {name: three, executor: buy, config: {mode: priced}}\n";
        stage.put("buying", buying).await;
        let id = stage.start("buying", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let detail = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(detail.summary.status, RunStatus::Failed);
        assert_eq!(detail.summary.error.unwrap().code, "max_cost");
        assert_eq!(detail.failed_step.as_deref(), Some("three"));
        assert_eq!(stage.probe().calls("three"), 0, "what cannot be paid is not begun");
        let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
        let account = reader.find::<account::Entity>().one().await.unwrap().unwrap();
        assert_eq!((account.spent_nano_usd, account.reserved_nano_usd), (3_000, 0));
        drop(reader);

        stage.put("callee", "steps:\n  - {name: bought, executor: buy, config: {mode: priced}}\n").await;
        let calling = "max_cost: 0.000003\nsteps:\n  - {name: first, executor: call_flow, config: {flow: callee, value: 1}}\n  - {name: second, executor: call_flow, config: {flow: callee, value: 2}}\n";
        stage.put("calling", calling).await;
        let id = stage.start("calling", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let detail = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(detail.failed_step.as_deref(), Some("second"), "{:?}", detail.summary.error);
        assert_eq!(stage.probe().calls("bought"), 1);
    })
    .await;
}

#[tokio::test]
async fn an_output_that_is_kept_is_not_made_twice_and_not_given_to_another_tenant() {
    everywhere(|stage| async move {
        let yaml = "steps:\n  - {name: think, executor: think, config: {value: '{{ inputs.value }}', mode: priced}, cache: {mode: on, ttl: 1h}}\n";
        stage.put("thinking", yaml).await;
        crate::stage::put(&stage.weir, &stage.stranger, "thinking", yaml).await;
        let mut last = None;
        for _ in 0..3 {
            last = Some(stage.start("thinking", Answer::Later).await.unwrap().run_id);
            stage.step().await;
        }
        assert_eq!(stage.probe().calls("think"), 1);
        let steps = runs::steps(&stage.weir, &stage.actor, last.unwrap()).await.unwrap();
        assert_eq!((steps[0].status, steps[0].cached), (StepStatus::Cached, true));
        let usage = steps[0].usage.clone().unwrap();
        assert!(usage.saved_nano_usd > Some(NanoUsd::ZERO) && usage.cost_nano_usd == Some(NanoUsd::ZERO), "{usage:?}");
        let wish = crate::stage::wish("thinking", serde_json::json!({"value": 7}), Answer::Later);
        runs::start(&stage.weir, &stage.stranger, wish).await.unwrap();
        stage.step().await;
        assert_eq!(stage.probe().calls("think"), 2);
    })
    .await;
}

#[tokio::test]
async fn kept_outputs_are_dropped_by_their_tags_and_another_tenant_s_stay() {
    everywhere(|stage| async move {
        for (name, tags) in [("priced", "[prices, daily]"), ("other", "[daily]"), ("plain", "[]")] {
            let config = format!("{{value: {name}}}");
            let yaml =
                format!("steps:\n  - {{name: {name}, executor: think, config: {config}, cache: {{tags: {tags}}}}}\n");
            stage.put(name, &yaml).await;
            crate::stage::put(&stage.weir, &stage.stranger, name, &yaml).await;
        }
        let all = async |actor: &service::Actor| {
            for name in ["priced", "other", "plain"] {
                let wish = crate::stage::wish(name, serde_json::json!({"value": 7}), Answer::Later);
                runs::start(&stage.weir, actor, wish).await.unwrap();
            }
            stage.step().await;
            ["priced", "other", "plain"].map(|name| stage.probe().calls(name))
        };
        all(&stage.stranger).await;
        assert_eq!(all(&stage.actor).await, [2, 2, 2]);
        let purge = async |tag| service::cache::purge(&stage.weir, &stage.actor, tag).await.unwrap().removed;
        assert_eq!(purge(Some("nothing")).await, 0);
        assert_eq!(purge(Some("prices")).await, 1);
        assert_eq!(all(&stage.actor).await, [3, 2, 2]);
        assert_eq!(purge(Some("daily")).await, 2);
        assert_eq!(purge(None).await, 1);
        assert_eq!(all(&stage.actor).await, [4, 3, 3]);
        assert_eq!(all(&stage.stranger).await, [4, 3, 3], "the stranger's are kept");
    })
    .await;
}

//! What people do to runs: signals, decisions, resolutions, kills, restarts and replays.

use std::time::Duration;

use domain::wire::{ApprovalStatus, DecisionInput, Verdict, WhyKind};
use domain::{Role, RunId, RunStatus, StepStatus};
use entities::{Scope, audit, inbox, run};
use sea_orm::ColumnTrait;
use serde_json::{Value, json};
use service::runs::{self, Answer, ApprovalFilter, Replay, Resolve};
use service::{Actor, ServiceError};
use tokio_util::sync::CancellationToken;

use crate::stage::{Stage, everywhere, settled};

const WAITING: &str = "steps:\n  - {name: before, executor: act, config: {value: 1}}\n  - {name: paid, executor: wait, config: {signal: paid}}\n  - {name: after, executor: act, config: {value: '{{ steps.paid.payload }}'}}\n";
const ASKING: &str = "steps:\n  - {name: before, executor: act, config: {value: 1}}\n  - name: ask\n    executor: approval\n    config: {message: 'Pay?', roles: [admin], form: {type: object, required: [amount], properties: {amount: {type: integer}}}}\n  - {name: after, executor: act, config: {value: '{{ steps.ask.form.amount }}'}}\n";

async fn outputs(stage: &Stage, run: RunId) -> Value {
    let over = runs::wait_for(&stage.weir, &stage.actor, run, Duration::from_secs(20)).await.unwrap();
    settled(over).settled.outputs.clone()
}

async fn audited(stage: &Stage, action: &str) -> usize {
    let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
    let entries = reader.find::<audit::Entity>().filter(audit::Column::Action.eq(action));
    usize::try_from(entries.count().await.unwrap()).unwrap()
}

async fn untaken(stage: &Stage) -> u64 {
    let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
    reader.find::<inbox::Entity>().filter(inbox::Column::TakenAt.is_null()).count().await.unwrap()
}

fn with_role(stage: &Stage, role: Role) -> Actor {
    Actor { role, ..stage.actor.clone() }
}

#[tokio::test]
async fn a_suspended_run_goes_on_with_a_signal_and_takes_it_once() {
    everywhere(|stage| async move {
        stage.put("waiting", WAITING).await;
        let id = stage.start("waiting", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        assert_eq!(stage.status(id).await, RunStatus::Waiting);
        assert_eq!(runs::why(&stage.weir, &stage.actor, id).await.unwrap().kind, WhyKind::Outside);
        // However often it is woken for nothing, it has killed nobody.
        for number in 0..7 {
            runs::signal(&stage.weir, &stage.actor, id, "other", json!(number)).await.unwrap();
            stage.step().await;
            assert_eq!(stage.status(id).await, RunStatus::Waiting, "that was not what it waits for");
        }
        runs::signal(&stage.weir, &stage.actor, id, "paid", json!(120)).await.unwrap();
        stage.step().await;
        assert_eq!(outputs(&stage, id).await, json!({"value": 120}));
        assert_eq!((stage.probe().calls("before"), stage.probe().calls("after")), (1, 1));
        assert_eq!(untaken(&stage).await, 0);
        assert_eq!(audited(&stage, "run.signalled").await, 8);
        let late = runs::signal(&stage.weir, &stage.actor, id, "paid", json!(1)).await.unwrap_err();
        assert!(matches!(late, ServiceError::Conflict(_)), "{late:?}");
    })
    .await;
}

#[tokio::test]
async fn a_signal_before_anybody_waits_is_kept() {
    everywhere(|stage| async move {
        stage.put("waiting", WAITING).await;
        let id = stage.start("waiting", Answer::Later).await.unwrap().run_id;
        runs::signal(&stage.weir, &stage.actor, id, "paid", json!(7)).await.unwrap();
        stage.step().await;
        assert_eq!(outputs(&stage, id).await, json!({"value": 7}));
    })
    .await;
}

#[tokio::test]
async fn a_signal_reaches_a_run_that_executes() {
    everywhere(|stage| async move {
        let yaml = "steps:\n  - {name: hold, executor: act, parallel_group: g, config: {mode: block}}\n  - {name: paid, executor: wait, parallel_group: g, config: {signal: paid}}\n";
        stage.put("both", yaml).await;
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let id = stage.start("both", Answer::Later).await.unwrap().run_id;
        stage.probe().reached(1).await;
        runs::signal(&stage.weir, &stage.actor, id, "paid", json!("now")).await.unwrap();
        loop {
            let steps = runs::steps(&stage.weir, &stage.actor, id).await.unwrap();
            if steps.iter().any(|step| step.name == "paid" && step.status == StepStatus::Succeeded) {
                break;
            }
            tokio::task::yield_now().await;
        }
        stage.probe().gate.add_permits(1);
        assert!(outputs(&stage, id).await.is_object());
        shutdown.cancel();
        worker.await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_question_is_decided_once_by_a_role_it_names_with_a_form_that_fits() {
    everywhere(|stage| async move {
        stage.put("asking", ASKING).await;
        let id = stage.start("asking", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        let filter = ApprovalFilter { status: Some(ApprovalStatus::Open), ..ApprovalFilter::default() };
        let open = runs::approvals(&stage.weir, &stage.actor, &filter).await.unwrap().data;
        assert_eq!((open.len(), open[0].run_id, open[0].message.as_deref()), (1, id, Some("Pay?")));
        let decide = |actor: Actor, form: Value| {
            let input = DecisionInput { decision: Verdict::Approve, comment: Some("fine".to_owned()), form };
            let (weir, question) = (stage.weir.clone(), open[0].id);
            async move { runs::decide(&weir, &actor, question, input).await }
        };
        let refused = decide(with_role(&stage, Role::Operator), json!({"amount": 5})).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Forbidden(_)), "{refused:?}");
        let unfit = decide(with_role(&stage, Role::Admin), json!({"amount": "much"})).await.unwrap_err();
        assert!(matches!(unfit, ServiceError::Invalid { .. }), "{unfit:?}");
        let decided = decide(with_role(&stage, Role::Admin), json!({"amount": 5})).await.unwrap();
        assert_eq!(decided.status, ApprovalStatus::Approved);
        let twice = decide(with_role(&stage, Role::Admin), json!({"amount": 6})).await.unwrap_err();
        assert!(matches!(twice, ServiceError::Conflict(_)), "{twice:?}");
        stage.step().await;
        assert_eq!(outputs(&stage, id).await, json!({"value": 5}));
        assert_eq!(audited(&stage, "approval.approved").await, 1);
        let strange = runs::approvals(&stage.weir, &stage.stranger, &ApprovalFilter::default()).await.unwrap();
        assert!(strange.data.is_empty());
    })
    .await;
}

#[tokio::test]
async fn a_question_of_a_cancelled_run_is_withdrawn() {
    everywhere(|stage| async move {
        stage.put("asking", ASKING).await;
        let id = stage.start("asking", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        runs::cancel(&stage.weir, &stage.actor, id, None).await.unwrap();
        stage.step().await;
        let detail = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(detail.summary.status, RunStatus::Cancelled, "{:?}", detail.summary.error);
        let all = runs::approvals(&stage.weir, &stage.actor, &ApprovalFilter::default()).await.unwrap().data;
        assert_eq!(all[0].status, ApprovalStatus::Withdrawn);
    })
    .await;
}

#[tokio::test]
async fn a_kill_ends_a_run_at_once_wherever_it_is() {
    everywhere(|stage| async move {
        stage.put("held", "steps:\n  - {name: hold, executor: act, config: {mode: block}}\n").await;
        stage.put("waiting", WAITING).await;
        let queued = stage.start("held", Answer::Later).await.unwrap().run_id;
        assert!(matches!(runs::kill(&stage.weir, &stage.actor, queued, "  ").await, Err(ServiceError::Invalid { .. })));
        runs::kill(&stage.weir, &stage.actor, queued, "never begun").await.unwrap();
        let suspended = stage.start("waiting", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        assert_eq!(stage.status(queued).await, RunStatus::Killed);
        assert_eq!(stage.probe().calls("hold"), 0, "what was killed in the queue does not begin");
        runs::kill(&stage.weir, &stage.actor, suspended, "no money will come").await.unwrap();
        stage.step().await;
        assert_eq!(stage.status(suspended).await, RunStatus::Killed);
        let shutdown = CancellationToken::new();
        let worker = runs::worker::spawn(stage.weir.clone(), runs::WorkerOptions::default(), shutdown.clone());
        let running = stage.start("held", Answer::Later).await.unwrap();
        stage.probe().reached(1).await;
        runs::kill(&stage.weir, &stage.actor, running.run_id, "it floods").await.unwrap();
        let over = settled(runs::wait(&stage.weir, running, Duration::from_secs(20)).await.unwrap());
        assert_eq!(over.settled.status, RunStatus::Killed);
        shutdown.cancel();
        worker.await.unwrap();
        assert_eq!(audited(&stage, "run.killed").await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_restart_repeats_nothing_that_succeeded() {
    everywhere(|stage| async move {
        stage
            .put("twice", "steps:\n  - {name: good, executor: act, config: {value: 1}}\n  - {name: bad, executor: act, config: {mode: fail_once}}\n")
            .await;
        let id = stage.start("twice", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        assert_eq!(stage.status(id).await, RunStatus::Failed);
        runs::restart(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(stage.status(id).await, RunStatus::Queued);
        stage.step().await;
        let detail = runs::get(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!(detail.summary.status, RunStatus::Succeeded);
        assert!(detail.summary.error.is_none(), "{:?}", detail.summary.error);
        assert_eq!((stage.probe().calls("good"), stage.probe().calls("bad")), (1, 2));
        let reader = stage.weir.store().read(stage.tenant()).await.unwrap();
        let row = reader.find::<run::Entity>().filter(run::Column::Id.eq(id.uuid())).one().await.unwrap().unwrap();
        assert_eq!((row.epoch, row.restart_by), (2, None));
        drop(reader);
        let again = runs::restart(&stage.weir, &stage.actor, id).await.unwrap_err();
        assert!(matches!(again, ServiceError::Conflict(_)), "{again:?}");
        assert_eq!(audited(&stage, "run.restarted").await, 1);
    })
    .await;
}

#[tokio::test]
async fn a_replay_takes_over_what_lies_before_its_first_step() {
    everywhere(|stage| async move {
        let yaml = "steps:\n  - {name: a, executor: act, config: {value: '{{ inputs.value }}'}}\n  - {name: b, executor: act, config: {value: '{{ steps.a.value }}'}}\n  - {name: c, executor: act, config: {value: '{{ steps.b.value }}'}}\n";
        stage.put("chain", yaml).await;
        let id = stage.start("chain", Answer::Later).await.unwrap().run_id;
        let early = runs::replay(&stage.weir, &stage.actor, id, Replay::default()).await.unwrap_err();
        assert!(matches!(early, ServiceError::Conflict(_)), "{early:?}");
        stage.step().await;
        let from_b = Replay { from_step: Some("b".to_owned()), ..Replay::default() };
        let new = runs::replay(&stage.weir, &stage.actor, id, from_b).await.unwrap();
        stage.step().await;
        assert_eq!(outputs(&stage, new).await, json!({"value": 7}));
        let calls = ["a", "b", "c"].map(|step| stage.probe().calls(step));
        assert_eq!(calls, [1, 2, 2]);
        let keys = stage.probe().keys();
        assert_ne!(keys[1], keys[3], "a replay's calls have keys of their own");
        let same_keys = Replay { from_step: Some("c".to_owned()), reuse_keys: true, ..Replay::default() };
        runs::replay(&stage.weir, &stage.actor, id, same_keys).await.unwrap();
        stage.step().await;
        let keys = stage.probe().keys();
        assert_eq!(keys[2], keys[5], "unless they are to be the same");
        let other = Replay { inputs: Some(json!({"value": 9})), ..Replay::default() };
        let whole = runs::replay(&stage.weir, &stage.actor, id, other).await.unwrap();
        stage.step().await;
        assert_eq!(outputs(&stage, whole).await, json!({"value": 9}));
        let nowhere = Replay { from_step: Some("x".to_owned()), ..Replay::default() };
        let refused = runs::replay(&stage.weir, &stage.actor, id, nowhere).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Invalid { .. }), "{refused:?}");
        assert_eq!(audited(&stage, "run.replayed").await, 3);
    })
    .await;
}

#[tokio::test]
async fn a_person_resolves_a_step_that_nobody_knows_the_outcome_of() {
    everywhere(|stage| async move {
        stage
            .put("parked", "steps:\n  - {name: bad, executor: act, config: {mode: fail}, on_error: attention}\n  - {name: after, executor: act, config: {value: '{{ steps.bad.value }}'}}\n")
            .await;
        let id = stage.start("parked", Answer::Later).await.unwrap().run_id;
        stage.step().await;
        assert_eq!(stage.status(id).await, RunStatus::NeedsAttention);
        let told = runs::why(&stage.weir, &stage.actor, id).await.unwrap();
        assert_eq!((told.kind, told.steps.as_slice()), (WhyKind::Person, ["bad".to_owned()].as_slice()));
        let complete = || Resolve::Complete { output: json!({"value": 3}) };
        let unknown = runs::resolve(&stage.weir, &stage.actor, id, "nobody", None, complete()).await.unwrap_err();
        assert!(matches!(unknown, ServiceError::NotFound { .. }), "{unknown:?}");
        let settled_one = runs::resolve(&stage.weir, &stage.actor, id, "after", None, complete()).await.unwrap_err();
        assert!(matches!(settled_one, ServiceError::Conflict(_)), "{settled_one:?}");
        runs::resolve(&stage.weir, &stage.actor, id, "bad", None, complete()).await.unwrap();
        stage.step().await;
        assert_eq!(outputs(&stage, id).await, json!({"value": 3}));
        assert_eq!(audited(&stage, "run.step_resolved").await, 1);
        let viewer = with_role(&stage, Role::Viewer);
        let refused = runs::resolve(&stage.weir, &viewer, id, "bad", None, Resolve::Retry { max_cost: None }).await.unwrap_err();
        assert!(matches!(refused, ServiceError::Forbidden(_)), "{refused:?}");
    })
    .await;
}

//! Watching a run: every event once, in order, from wherever the watcher was.

use futures_util::StreamExt;
use service::runs::{self, Answer, WatchItem};

use crate::stage::{Stage, everywhere};

const HELD: &str = "steps:\n  - {name: first, executor: act, config: {value: 1}}\n  - {name: second, executor: act, config: {mode: block}}\n";

async fn positions(stage: &Stage, id: domain::RunId, after: u64) -> Vec<u64> {
    let stream = runs::events(&stage.weir, &stage.actor, id, after).await.unwrap();
    stream
        .filter_map(|item| async move {
            match item.unwrap() {
                WatchItem::Event(view) => Some(view.position),
                WatchItem::Delta { .. } | WatchItem::Progress { .. } => None,
            }
        })
        .collect()
        .await
}

#[tokio::test]
async fn a_watcher_from_the_start_and_one_who_comes_back_see_the_same() {
    everywhere(|stage| async move {
        stage.put("held", HELD).await;
        let id = stage.start("held", Answer::Later).await.unwrap().run_id;
        let early = positions(&stage, id, 0);
        let late = async {
            stage.probe().reached(1).await;
            // One who had not seen the attempt start, then one who had.
            let mut before = Box::pin(runs::events(&stage.weir, &stage.actor, id, 2).await.unwrap());
            let mut seen = Vec::new();
            let told = loop {
                match before.next().await.unwrap().unwrap() {
                    WatchItem::Event(view) => seen.push(view),
                    other => break other,
                }
            };
            let last = seen.pop().unwrap();
            let mut behind = Box::pin(runs::events(&stage.weir, &stage.actor, id, last.position).await.unwrap());
            let first = behind.next().await.unwrap().unwrap();
            stage.probe().gate.add_permits(1);
            drop(behind);
            (last, told, first, before.count().await)
        };
        let (_, early, (last, told, first, _)) = tokio::join!(stage.step(), early, late);
        let all: Vec<u64> = (1..=early.len() as u64).collect();
        assert_eq!(early, all, "each event once and in order");
        assert!(early.len() >= 6);
        let so_far = WatchItem::Delta {
            of: runs::Speaker { step: "second".into(), item: None },
            attempt: 1,
            text: "so far".into(),
        };
        assert_eq!((told, first), (so_far.clone(), so_far));
        assert_eq!((last.event.as_str(), last.step.as_deref()), ("attempt_started", Some("second")));
        assert_eq!(positions(&stage, id, 3).await, all[3..]);
        assert!(positions(&stage, id, early.len() as u64).await.is_empty(), "nothing more comes, and the stream ends");
    })
    .await;
}

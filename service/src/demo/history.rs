//! Two weeks of past runs, the same each time: mostly good, some slow, some retried, some failed.
//!
//! Invariant: every row of the past comes out of the engine's own journal, so that pages and figures have nothing special
//! to show for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Duration, NaiveTime, Utc};
use engine::ports::Clock;
use serde_json::{Value, json};

use super::rehearsal::{Plot, Script, StageClock, registry};
use crate::blobs::{self, NewFile};
use crate::runs::{self, PastRun};
use crate::{Actor, ServiceError, Weir, flows, ids};

const DAYS: i64 = 14;
/// Runs on a working day and on a day of the week-end.
const WORKING: u64 = 9;
const WEEKEND: u64 = 3;
/// The document that the past's runs are said to have read.
const DOCUMENT: &[u8] = b"Invoice 4183\nNorthwind Paper GmbH, Kiel\n\nTotal due by 30 November 2026: 307.50 EUR\n";

/// Acts the past out, oldest first.
pub(super) async fn act_out(weir: &Weir, actor: &Actor) -> Result<(), ServiceError> {
    let new = NewFile {
        name: "invoice-4183.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        created_by: actor.name().to_owned(),
        run_id: None,
    };
    let file = blobs::put_file(weir, actor.tenant, new, DOCUMENT.into()).await?;
    let file = serde_json::to_value(file).map_err(ServiceError::internal)?;
    let repertoire = repertoire(weir, actor, &file).await?;
    if repertoire.is_empty() {
        return Ok(());
    }
    for (moment, number) in moments(weir.now()) {
        let (flow, inputs) = &repertoire[usize::try_from(number).unwrap_or_default() % repertoire.len()];
        let script = Script { plot: plot(number), variation: scatter(number) };
        let clock = Arc::new(StageClock::at(moment));
        let waking = Arc::clone(&clock);
        let past = PastRun {
            flow: flow.clone(),
            inputs: inputs.clone(),
            id: domain::RunId::from_uuid(ids::uuid_at(moment)),
            trigger: if number % 3 == 0 { "console" } else { "api" },
            labels: BTreeMap::from([("demo".to_owned(), "seeded".to_owned())]),
            registry: registry(weir.registry(), &clock, script),
            clock: clock as Arc<dyn Clock>,
            wake: Box::new(move |at| waking.reach(at)),
        };
        runs::act_out(weir, actor, past).await?;
    }
    Ok(())
}

/// The shipped flows that can be acted out alone, with inputs that fit.
async fn repertoire(weir: &Weir, actor: &Actor, file: &Value) -> Result<Vec<(String, Value)>, ServiceError> {
    let wanted = [
        ("document_analysis", json!({ "document": file })),
        ("text_insights", json!({ "text": "The delivery came late, but support was wonderful." })),
        ("ocr_analysis", json!({ "document": file })),
        ("support_triage", json!({ "message": "I was charged twice for order 48213. Please help." })),
        ("invoice_extraction", json!({ "document": file })),
    ];
    let mut found = Vec::new();
    for (name, inputs) in wanted {
        let Ok(resolved) = flows::resolve(weir, actor.tenant, name, &flows::Wanted::default()).await else { continue };
        // A flow's inputs may be named otherwise in this release: then it stays out of the past rather than failing.
        let inputs = match &resolved.plan.inputs {
            Some(declared) => fitted(declared, inputs),
            None => inputs,
        };
        if language::inputs::parse(&resolved.plan, inputs.clone(), &BTreeMap::new()).is_ok() {
            found.push((name.to_owned(), inputs));
        }
    }
    Ok(found)
}

/// Gives the only value to the only required input, whatever its name is.
fn fitted(declared: &[language::plan::InputPlan], inputs: Value) -> Value {
    let required: Vec<_> = declared.iter().filter(|input| input.required).collect();
    match (required.as_slice(), inputs.as_object().and_then(|fields| fields.values().next())) {
        ([only], Some(value)) => json!({ (only.name.clone()): value }),
        _ => inputs,
    }
}

/// When the past's runs began, oldest first, each with its number. Never in the last two minutes.
fn moments(now: DateTime<Utc>) -> Vec<(DateTime<Utc>, u64)> {
    let mut moments = Vec::new();
    let mut number = 0;
    for back in (0..DAYS).rev() {
        let day = (now - Duration::days(back)).date_naive();
        let weekend = matches!(chrono::Datelike::weekday(&day), chrono::Weekday::Sat | chrono::Weekday::Sun);
        let runs = if weekend { WEEKEND } else { WORKING } + scatter(number) % 3;
        for run in 0..runs {
            number += 1;
            let minute = 7 * 60 + i64::try_from(run * 660 / runs + scatter(number) % 40).unwrap_or_default();
            let moment = day.and_time(NaiveTime::MIN).and_utc()
                + Duration::minutes(minute)
                + Duration::milliseconds(i64::try_from(scatter(number) % 60_000).unwrap_or_default());
            if moment < now - Duration::minutes(2) {
                moments.push((moment, number));
            }
        }
    }
    moments.sort_unstable();
    moments
}

fn plot(number: u64) -> Plot {
    match scatter(number) % 100 {
        0..6 => Plot::Retried,
        6..9 => Plot::ProviderDown,
        9..12 => Plot::EmptyDocument,
        12..16 => Plot::Slow,
        _ => Plot::Smooth,
    }
}

/// Spreads numbers evenly and the same way each time (the finaliser of SplitMix64).
const fn scatter(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_past_is_over_and_holds_every_plot() {
        let now = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let moments = moments(now);
        assert!(moments.len() > 60, "{}", moments.len());
        assert!(moments.iter().all(|(moment, _)| *moment < now));
        for wanted in [Plot::Smooth, Plot::Slow, Plot::Retried, Plot::ProviderDown, Plot::EmptyDocument] {
            assert!(moments.iter().any(|(_, number)| plot(*number) == wanted), "{wanted:?}");
        }
    }
}

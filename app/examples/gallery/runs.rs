//! Made-up runs in every state.

use chrono::TimeDelta;
use domain::wire::{AttemptView, RunSummary, StepView, Usage};
use domain::{Failure, FailureKind, NanoUsd, RunStatus, StepStatus};
use serde_json::{Value, json};

use crate::data::{before, id};
use RunStatus::{Cancelled, Failed, NeedsAttention, Queued, Running, Succeeded, TimedOut};

pub(crate) fn run(number: u128, flow: &str, status: RunStatus, ago: i64, took_ms: u64) -> RunSummary {
    let ended = status.is_terminal();
    let error = match status {
        Failed => Some(Failure::new(FailureKind::Provider, "provider_answer", "The model's answer was cut off twice: the provider closed the connection in the middle of it. Try again, or choose a model with a longer limit.").at_line(Some(31))),
        TimedOut => Some(Failure::new(FailureKind::Timeout, "flow_timeout", "The flow's own limit of 5 minutes passed.")),
        _ => None,
    };
    RunSummary {
        id: id(1000 + number),
        flow: flow.into(),
        version: 7,
        status,
        trigger: if number.is_multiple_of(3) { "console" } else { "api" }.into(),
        started_by: if number.is_multiple_of(3) { "maria@acme.example" } else { "Invoice importer" }.into(),
        created_at: before(ago),
        started_at: (status != Queued).then(|| before(ago) + TimeDelta::milliseconds(140)),
        ended_at: ended.then(|| before(ago) + TimeDelta::milliseconds(140 + took_ms as i64)),
        duration_ms: ended.then_some(took_ms),
        cost_nano_usd: (status != Queued).then_some(NanoUsd(i64::try_from(took_ms).unwrap_or(0) * 480)),
        error,
        test: number == 4,
        parent_run_id: None,
        parent_step: None,
        experiment: None,
        variant: None,
        trace_id: domain::TraceId::new([
            0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36,
        ]),
    }
}

pub(crate) fn run_list() -> Vec<RunSummary> {
    vec![
        run(0, "complex_analysis", Running, 6, 0),
        run(1, "document_analysis", Queued, 9, 0),
        run(2, "complex_analysis", Failed, 190, 7_230),
        run(3, "invoice_intake", Succeeded, 840, 4_120),
        run(4, "ocr_analysis", Succeeded, 1_500, 12_400),
        run(5, "invoice_intake", NeedsAttention, 2_900, 0),
        run(6, "complex_analysis", TimedOut, 7_200, 300_000),
        run(7, "document_analysis", Cancelled, 14_000, 1_900),
        run(8, "document_analysis", Succeeded, 90_000, 3_310),
        run(9, "ocr_analysis", Succeeded, 200_000, 9_870),
    ]
}

#[expect(clippy::too_many_arguments, reason = "made-up rows")]
pub(crate) fn step(
    name: &str,
    executor: &str,
    status: StepStatus,
    from: i64,
    to: i64,
    attempts: Vec<AttemptView>,
    output: Option<Value>,
    error: Option<Failure>,
) -> StepView {
    let at = |ms: i64| before(190) + TimeDelta::milliseconds(140 + ms);
    let llm = executor == "llm_analyzer" && status.is_settled() && status != StepStatus::Skipped;
    StepView {
        name: name.into(),
        executor: executor.into(),
        group: None,
        phase: None,
        status,
        success: Some(status.is_success()),
        skipped: status == StepStatus::Skipped,
        cached: false,
        skip_reason: (status == StepStatus::Skipped)
            .then(|| if from < 0 { "upstream_failed" } else { "condition" }.into()),
        attempts: attempts.len().max(usize::from(status.is_settled() && status != StepStatus::Skipped)) as u32,
        error,
        config: output
            .as_ref()
            .map(|_| json!({"text": "{{ the text }}", "tasks": ["language", "sentiment"], "temperature": 0.2})),
        output,
        started_at: (status != StepStatus::Skipped && status != StepStatus::Pending).then(|| at(from)),
        ended_at: (status.is_settled() && status != StepStatus::Skipped).then(|| at(to)),
        duration_ms: (status.is_settled() && status != StepStatus::Skipped).then_some((to - from) as u64),
        cost_nano_usd: llm.then_some(NanoUsd(1_630_000)),
        usage: llm.then(|| Usage {
            saved_nano_usd: None,
            model: Some("local/llama-3.2-3b".into()),
            units: [("input_tokens".to_owned(), 1_204), ("output_tokens".to_owned(), 310)].into(),
            cost_nano_usd: Some(NanoUsd(1_630_000)),
            estimated: false,
        }),
        attempt_list: attempts,
        attempts_omitted: 0,
        items: Default::default(),
        items_needing_attention: Vec::new(),
        child_run_id: None,
    }
}

pub(crate) fn steps(status: RunStatus) -> Vec<StepView> {
    let at = |ms: i64| before(190) + TimeDelta::milliseconds(140 + ms);
    let cut = Failure::new(
        FailureKind::Provider,
        "provider_answer",
        "The model's answer was cut off: the provider closed the connection in the middle of it.",
    );
    let attempt = |number, from, to, status, error| AttemptView {
        item: None,
        number,
        entry: Some("main".into()),
        iteration: None,
        status,
        started_at: at(from),
        ended_at: Some(at(to)),
        error,
        usage: None,
    };
    let (last, ended) = match status {
        Running => (StepStatus::Running, 5_700),
        Failed => (StepStatus::Failed, 7_000),
        _ => (StepStatus::Succeeded, 7_000),
    };
    let mut summary_attempts = vec![
        attempt(1, 1_900, 3_100, StepStatus::Failed, Some(cut.clone())),
        attempt(2, 4_100, 5_000, StepStatus::Failed, Some(cut.clone())),
        attempt(3, 5_700, ended, last, (last == StepStatus::Failed).then(|| cut.clone())),
    ];
    if last == StepStatus::Running {
        summary_attempts[2].ended_at = None;
    }
    let after = match status {
        Running => step("combine", "data_combiner", StepStatus::Pending, 0, 0, vec![], None, None),
        Failed => step("combine", "data_combiner", StepStatus::Skipped, -1, 0, vec![], None, None),
        _ => step(
            "combine",
            "data_combiner",
            StepStatus::Succeeded,
            7_010,
            7_060,
            vec![],
            Some(json!({"ok": true})),
            None,
        ),
    };
    vec![
        step(
            "check_file_type",
            "file_analyzer",
            StepStatus::Succeeded,
            0,
            90,
            vec![],
            Some(json!({"file_type": "pdf", "media_type": "application/pdf", "pages": 12, "size_bytes": 482_113})),
            None,
        ),
        step(
            "process_pdf",
            "document_extractor",
            StepStatus::Succeeded,
            100,
            1_880,
            vec![],
            Some(
                json!({"text": "Annual report 2026\n\nRevenue grew by 12 % to 4.3 million euros; \"record\" results in the north.", "pages": [{"number": 1, "text": "Annual report 2026"}], "tables": [], "metadata": {"title": null, "encrypted": false}}),
            ),
            None,
        ),
        step("process_image", "ocr_processor", StepStatus::Skipped, 100, 100, vec![], None, None),
        step(
            "sentiment",
            "llm_analyzer",
            StepStatus::Succeeded,
            1_900,
            4_620,
            vec![],
            Some(json!({"sentiment": "positive", "score": 0.82})),
            None,
        ),
        step(
            "key_phrases",
            "text_analyzer",
            StepStatus::Succeeded,
            1_900,
            2_140,
            vec![],
            Some(json!({"language": "en", "key_phrases": ["annual report", "revenue", "record results"]})),
            None,
        ),
        step(
            "summary",
            "llm_analyzer",
            last,
            1_900,
            ended,
            summary_attempts,
            None,
            (last == StepStatus::Failed).then_some(cut),
        ),
        after,
    ]
}

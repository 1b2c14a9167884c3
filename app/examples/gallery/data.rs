//! Made-up tenants, flows and runs in every state that the pages must look good in.

use app::data::{
    Checklist, ConsoleData, ConsoleError, DayView, OverviewView, RunFilter, RunView, RunsView, SessionView, SetupView,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::wire::{
    ApprovalStatus, ApprovalView, AttemptView, CheckReport, ConnectionView, FlowDetail, FlowSummary, GraphEdge,
    GraphNode, KeyView, MemberView, Page, RunDetail, RunSummary, StepView, TenantView, Usage, UsageTotals,
    VersionSummary,
};
use domain::{Failure, FailureKind, NanoUsd, Role, RunStatus, StepStatus};
use serde_json::{Value, json};

pub(crate) struct Gallery {
    pub(crate) empty: bool,
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_348_800, 0).unwrap_or_default()
}

fn before(seconds: i64) -> DateTime<Utc> {
    now() - TimeDelta::seconds(seconds)
}

pub(crate) trait FromNumber {
    fn from_number(number: u128) -> Self;
}
macro_rules! from_number {
    ($($id:ty),*) => {$(impl FromNumber for $id {
        fn from_number(number: u128) -> Self { Self::from_uuid(uuid::Uuid::from_u128(0x0192_8f3a_4c5d_7e6f_8a9b_0000_0000_0000 + number * 7_919)) }
    })*};
}
from_number!(
    domain::ApprovalId,
    domain::TenantId,
    domain::RunId,
    domain::FlowId,
    domain::ApiKeyId,
    domain::MemberId,
    domain::UserId
);

pub(crate) fn id<T: FromNumber>(number: u128) -> T {
    T::from_number(number)
}

fn tenant(name: &str, role: Role) -> TenantView {
    TenantView {
        id: id(1),
        name: name.into(),
        role: Some(role),
        default_model: Some("local/llama-3.2-3b".into()),
        max_concurrent_runs: None,
        pools: Default::default(),
        created_at: before(86_400 * 40),
    }
}

pub(crate) fn session(role: Role) -> SessionView {
    SessionView {
        email: "maria@acme.example".into(),
        tenants: vec![tenant("acme", role), tenant("northwind-trading", Role::Developer), tenant("labs", Role::Viewer)],
    }
}

use RunStatus::{Cancelled, Failed, NeedsAttention, Queued, Running, Succeeded, TimedOut};

fn flow(number: u128, name: &str, description: &str, recent: Vec<RunStatus>) -> FlowSummary {
    let settled = recent.iter().filter(|status| status.is_terminal()).count();
    let good = recent.iter().filter(|&&status| status == Succeeded).count();
    FlowSummary {
        id: id(number),
        name: name.into(),
        description: Some(description.into()),
        labels: [("team".to_owned(), "finance".to_owned())].into(),
        version: if name == "contract_review" { None } else { Some(7) },
        broken: name == "contract_review",
        updated_at: before(86_400 * 3),
        last_run_at: (!recent.is_empty()).then(|| before(190)),
        success_rate: (settled > 0).then(|| good as f64 / settled as f64),
        p95_ms: (settled > 0).then_some(8_420),
        cost_per_run_nano_usd: (settled > 0).then_some(NanoUsd(2_140_000)),
        recent,
    }
}

fn flow_list() -> Vec<FlowSummary> {
    vec![
        flow(
            1,
            "complex_analysis",
            "Reads a document of any kind, analyses it three ways at once and merges the results.",
            [vec![Running, Succeeded, Succeeded, Failed], vec![Succeeded; 9], vec![TimedOut], vec![Succeeded; 6]]
                .concat(),
        ),
        flow(
            2,
            "document_analysis",
            "Extracts the text of a PDF or an Office file and analyses it.",
            vec![Succeeded; 20],
        ),
        flow(
            3,
            "invoice_intake",
            "Takes an invoice, finds supplier, dates and totals, and checks them against the order.",
            [vec![Failed, Failed, Succeeded], vec![Succeeded; 8], vec![Cancelled]].concat(),
        ),
        flow(
            4,
            "ocr_analysis",
            "Reads a scanned page and says what is on it.",
            vec![Succeeded, Succeeded, Failed, Succeeded, Succeeded],
        ),
        flow(5, "contract_review", "Finds unusual clauses in a contract.", vec![]),
    ]
}

fn run(number: u128, flow: &str, status: RunStatus, ago: i64, took_ms: u64) -> RunSummary {
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
        experiment: None,
        variant: None,
    }
}

fn run_list() -> Vec<RunSummary> {
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

const YAML: &str = "# Reads a document of any kind and analyses it three ways at once.
name: complex_analysis
description: Reads a document of any kind, analyses it three ways at once and merges the results.

inputs:
  document:
    type: file
    accept: [application/pdf, image/*]
  max_pages: {type: integer, default: 20}

steps:
  - name: check_file_type
    executor: file_analyzer

  - name: process_pdf
    executor: document_extractor
    condition: \"{{ steps.check_file_type.file_type == 'pdf' }}\"
    retry: {max_attempts: 3, backoff_strategy: exponential}

  - name: process_image
    executor: ocr_processor
    condition: \"{{ steps.check_file_type.file_type == 'image' }}\"

  - name: sentiment
    executor: llm_analyzer
    parallel_group: analyses
    config:
      model: local/llama-3.2-3b   # the tenant's own
      temperature: 0.2

  - name: key_phrases
    executor: text_analyzer
    parallel_group: analyses

  - name: summary
    executor: llm_analyzer
    parallel_group: analyses

  - name: combine
    executor: data_combiner
";

fn detail(name: &str) -> Option<FlowDetail> {
    let node = |name: &str, executor: &str, group: Option<&str>, condition: Option<&str>, line| GraphNode {
        name: name.into(),
        executor: executor.into(),
        group: group.map(str::to_owned),
        condition: condition.map(str::to_owned),
        line,
    };
    let edge = |from: &str, to: &str, kind: &str| GraphEdge { from: from.into(), to: to.into(), kind: kind.into() };
    let summary = flow_list().into_iter().find(|flow| flow.name == name)?;
    let broken = summary.broken;
    Some(FlowDetail {
        summary,
        yaml: YAML.into(),
        input_schema: json!({
            "type": "object",
            "properties": {
                "document": {"type": "object", "format": "weir-file", "x-accept": ["application/pdf", "image/*"], "description": "The document to read: PDF, image or Office file."},
                "language": {"enum": ["en", "de", "fr"], "default": "en", "description": "The language of the answer."},
                "max_pages": {"type": "integer", "minimum": 1, "maximum": 200, "default": 20},
                "question": {"type": "string", "x-multiline": true, "examples": ["What is due, and when?"]},
                "strict": {"type": "boolean", "description": "Fail on the first page that cannot be read."},
                "labels": {"type": "array", "default": []},
            },
            "required": ["document"],
        }),
        output_schema: json!({}),
        files: [("prompts/sentiment.j2".to_owned(), 812), ("prompts/summary.j2".to_owned(), 1_240)].into(),
        nodes: vec![
            node("check_file_type", "file_analyzer", None, None, 12),
            node("process_pdf", "document_extractor", None, Some("steps.check_file_type.file_type == 'pdf'"), 15),
            node("process_image", "ocr_processor", None, Some("steps.check_file_type.file_type == 'image'"), 20),
            node("sentiment", "llm_analyzer", Some("analyses"), None, 24),
            node("key_phrases", "text_analyzer", Some("analyses"), None, 31),
            node("summary", "llm_analyzer", Some("analyses"), None, 35),
            node("combine", "data_combiner", None, None, 39),
        ],
        edges: vec![
            edge("check_file_type", "process_pdf", "read"),
            edge("check_file_type", "process_image", "read"),
            edge("process_pdf", "analyses", "main_input"),
            edge("process_image", "analyses", "main_input"),
            edge("analyses", "combine", "declared"),
        ],
        report: CheckReport {
            problems: if broken {
                vec![
                    json!({"code": "F012", "severity": "error", "message": "There is no step named `proces_pdf`.", "hint": "Did you mean `process_pdf`?", "file": "flow.yaml", "line": 17, "column": 7}),
                    json!({"code": "F041", "severity": "warning", "message": "`steps.process_pdf.output` is read although the step may be skipped.", "hint": "Guard it with default(...).", "file": "flow.yaml", "line": 28}),
                ]
            } else {
                vec![]
            },
        },
    })
}

#[expect(clippy::too_many_arguments, reason = "made-up rows")]
fn step(
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
            model: Some("local/llama-3.2-3b".into()),
            units: [("input_tokens".to_owned(), 1_204), ("output_tokens".to_owned(), 310)].into(),
            cost_nano_usd: Some(NanoUsd(1_630_000)),
            estimated: false,
        }),
        attempt_list: attempts,
        child_run_id: None,
    }
}

fn question(number: u128) -> ApprovalView {
    ApprovalView {
        id: id(number),
        run_id: id(7),
        flow: "invoice_intake".into(),
        step: "review".into(),
        item: None,
        status: ApprovalStatus::Open,
        message: Some("Pay 1,240 EUR to Nordlys AS?".into()),
        roles: vec!["admin".into()],
        form: Some(json!({"type": "object", "required": ["account"], "properties": {"account": {"type": "string"}}})),
        asked_at: before(3_600),
        expires_at: None,
        decided_at: None,
        decided_by: None,
        comment: None,
        answer: None,
    }
}

fn steps(status: RunStatus) -> Vec<StepView> {
    let at = |ms: i64| before(190) + TimeDelta::milliseconds(140 + ms);
    let cut = Failure::new(
        FailureKind::Provider,
        "provider_answer",
        "The model's answer was cut off: the provider closed the connection in the middle of it.",
    );
    let attempt = |number, from, to, status, error| AttemptView {
        item: None,
        number,
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

#[async_trait::async_trait]
impl ConsoleData for Gallery {
    fn now(&self) -> DateTime<Utc> {
        now()
    }

    async fn setup(&self, token: &str) -> Result<SetupView, ConsoleError> {
        if token == "used" {
            return Err(ConsoleError::NotFound);
        }
        Ok(SetupView {
            version: "0.1.0".into(),
            data_folder: "/srv/weir/data".into(),
            database: "SQLite 3.50, WAL, synchronous=FULL".into(),
            key_location: "/srv/weir/data/master.key".into(),
            needs_tenant: true,
        })
    }

    async fn overview(&self, _tenant: &str) -> Result<OverviewView, ConsoleError> {
        if self.empty {
            let days = (9..23).map(|day| DayView { day: format!("2026-11-{day:02}"), ..DayView::default() }).collect();
            return Ok(OverviewView {
                days,
                flows: 4,
                checklist: Checklist { suggested_flow: Some("document_analysis".into()), ..Checklist::default() },
                ..OverviewView::default()
            });
        }
        let counts = [14, 22, 9, 3, 2, 31, 40, 38, 27, 44, 12, 4, 52, 36];
        Ok(OverviewView {
            runs: 1_284,
            success_rate: Some(0.9673),
            p95_ms: Some(8_420),
            cost_nano_usd: Some(NanoUsd(3_418_000_000)),
            flows: 5,
            active: 2,
            days: counts
                .iter()
                .enumerate()
                .map(|(index, &count)| DayView {
                    day: format!("2026-11-{:02}", 9 + index),
                    succeeded: count,
                    failed: [0, 1, 0, 0, 0, 3, 1, 0, 2, 6, 0, 0, 2, 1][index],
                    other: u64::from(index == 13),
                })
                .collect(),
            recent: run_list().into_iter().take(6).collect(),
            checklist: Checklist {
                ran_a_flow: true,
                connected_a_model: false,
                made_a_key: true,
                called_by_api: false,
                suggested_flow: Some("document_analysis".into()),
            },
        })
    }

    async fn flows(&self, _tenant: &str) -> Result<Vec<FlowSummary>, ConsoleError> {
        Ok(if self.empty { vec![] } else { flow_list() })
    }

    async fn flow(&self, _tenant: &str, flow: &str) -> Result<FlowDetail, ConsoleError> {
        let mut detail = detail(flow).ok_or(ConsoleError::NotFound)?;
        if flow == "ocr_analysis" {
            detail.input_schema = json!({"type": "object"});
        }
        Ok(detail)
    }

    async fn flow_versions(&self, _tenant: &str, _flow: &str) -> Result<Vec<VersionSummary>, ConsoleError> {
        Ok((1..=7)
            .rev()
            .map(|number| VersionSummary {
                number,
                hash: format!("{:064x}", 0x9f3a_77c1_u64 * u64::from(number)),
                created_at: before(86_400 * i64::from(9 - number)),
                created_by: "maria@acme.example".into(),
                channels: if number == 7 { vec!["stable".into()] } else { vec![] },
            })
            .collect())
    }

    async fn runs(&self, _tenant: &str, filter: &RunFilter) -> Result<RunsView, ConsoleError> {
        let all: Vec<RunSummary> = if self.empty { vec![] } else { run_list() };
        let counts = RunStatus::ALL
            .iter()
            .map(|&status| (status, all.iter().filter(|run| run.status == status).count() as u64 * 13))
            .filter(|(_, count)| *count > 0)
            .collect();
        let data = all
            .into_iter()
            .filter(|run| {
                filter.status.is_none_or(|status| run.status == status)
                    && filter.flow.as_ref().is_none_or(|flow| run.flow == *flow)
            })
            .collect();
        Ok(RunsView {
            page: Page { data, has_more: true, next_cursor: Some("c2".into()) },
            flows: flow_list().into_iter().map(|flow| flow.name).collect(),
            counts,
        })
    }

    async fn run(&self, _tenant: &str, asked: &str) -> Result<RunView, ConsoleError> {
        let summary = match asked {
            "failed" => run(2, "complex_analysis", Failed, 190, 7_000),
            "running" => run(0, "complex_analysis", Running, 190, 0),
            "good" => run(3, "complex_analysis", Succeeded, 190, 7_060),
            other => run_list().into_iter().find(|run| run.id.to_string() == other).ok_or(ConsoleError::NotFound)?,
        };
        let status = summary.status;
        let mut steps = steps(status);
        if status == Running {
            // The page's clock stands 190 s after the start; let the last attempt end the picture near it.
            for step in &mut steps {
                let shift = TimeDelta::milliseconds(182_000);
                step.started_at = step.started_at.map(|at| at + shift);
                step.ended_at = step.ended_at.map(|at| at + shift);
                for attempt in &mut step.attempt_list {
                    attempt.started_at += shift;
                    attempt.ended_at = attempt.ended_at.map(|at| at + shift);
                }
            }
        }
        let mut summary = summary;
        if status == Running {
            // Each look costs a little more, so that following along can be seen.
            static LOOKS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1);
            let looks = LOOKS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            summary.cost_nano_usd = Some(NanoUsd(looks * 1_000_000_000));
            summary.started_at = summary.started_at.map(|at| at + TimeDelta::milliseconds(182_000));
        }
        Ok(RunView {
            run: RunDetail {
                inputs: json!({"document": {"file_id": domain::FileId::from_uuid(uuid::Uuid::from_u128(5)).to_string(), "name": "annual-report-2026.pdf", "media_type": "application/pdf", "size_bytes": 482_113, "sha256": "9f".repeat(32)}, "max_pages": 20}),
                outputs: (status == Succeeded).then(|| json!({"sentiment": {"sentiment": "positive", "score": 0.82}, "key_phrases": {"key_phrases": ["annual report", "revenue"]}, "summary": {"text": "Revenue grew by 12 %."}})),
                usage: UsageTotals { units: [("input_tokens".to_owned(), 2_408), ("output_tokens".to_owned(), 620)].into() },
                failed_step: (status == Failed).then(|| "summary".into()),
                labels: Default::default(),
                summary,
            },
            steps,
            why: None,
            questions: Vec::new(),
        })
    }

    async fn approvals(&self, _tenant: &str) -> Result<Vec<ApprovalView>, ConsoleError> {
        Ok(if self.empty { vec![] } else { vec![question(1)] })
    }

    async fn approval(&self, _tenant: &str, _approval: &str) -> Result<ApprovalView, ConsoleError> {
        Ok(question(1))
    }

    async fn keys(&self, _tenant: &str) -> Result<Vec<KeyView>, ConsoleError> {
        if self.empty {
            return Ok(vec![]);
        }
        let key = |number, name: &str, test: bool| KeyView {
            id: id(number),
            name: name.into(),
            prefix: if test { "weir_test_4tQ9" } else { "weir_live_8kQ2" }.into(),
            last_four: "UoKi".into(),
            scopes: if test { vec![] } else { vec!["runs:start".into(), "runs:read".into(), "flows:read".into()] },
            test,
            created_by: "maria@acme.example".into(),
            created_at: before(86_400 * 12),
            expires_at: Some(now() + TimeDelta::days(78)),
            last_used_at: (!test).then(|| before(320)),
            revoked_at: None,
        };
        let mut old = key(3, "Old laptop", false);
        old.revoked_at = Some(before(86_400 * 2));
        Ok(vec![key(1, "Invoice importer", false), key(2, "Staging", true), old])
    }

    async fn connections(&self, _tenant: &str) -> Result<Vec<ConnectionView>, ConsoleError> {
        if self.empty {
            return Ok(vec![]);
        }
        let connection = |name: &str, kind: &str, url: Option<&str>, has_key| ConnectionView {
            name: name.into(),
            kind: kind.into(),
            base_url: url.map(str::to_owned),
            has_key,
            updated_at: before(86_400),
        };
        Ok(vec![
            connection("openai", "openai", Some("https://api.openai.com/v1"), true),
            connection("local", "openai", Some("http://127.0.0.1:11434/v1"), false),
            connection("simulated", "simulated", None, false),
        ])
    }

    async fn tenant(&self, name: &str) -> Result<TenantView, ConsoleError> {
        Ok(tenant(name, Role::Owner))
    }

    async fn members(&self, _tenant: &str) -> Result<Vec<MemberView>, ConsoleError> {
        let member = |number, email: &str, role, last: Option<i64>| MemberView {
            id: id(number),
            user_id: id(number),
            email: email.into(),
            role,
            created_at: before(86_400 * 40),
            last_active_at: last.map(before),
        };
        Ok(vec![
            member(1, "maria@acme.example", Role::Owner, Some(20)),
            member(2, "tomas.lindqvist@acme.example", Role::Developer, Some(7_400)),
            member(3, "auditor@ledgerfield.example", Role::Viewer, None),
        ])
    }
}

//! Made-up tenants, and what the pages ask for.

use app::data::{
    AuditFilter, Checklist, ConsoleData, ConsoleError, DayView, EventsView, OverviewView, RunFilter, RunView, RunsView,
    SessionView, SetupView,
};
use chrono::{DateTime, TimeDelta, Utc};
use domain::wire::{
    ApprovalStatus, ApprovalView, AuditView, ConnectionView, DeviceView, DurationInterval, Estimate, EventView,
    ExperimentView, FlowDetail, FlowSummary, KeyView, MemberView, Page, RunDetail, RunSummary, TenantView, UsageTotals,
    VariantReadout, VersionSummary,
};
use domain::{NanoUsd, Role, RunStatus};
use serde_json::json;

use crate::flows::{detail, flow_list};
use crate::runs::{run, run_list, steps};
use RunStatus::{Failed, Running, Succeeded};

pub(crate) struct Gallery {
    pub(crate) empty: bool,
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_348_800, 0).unwrap_or_default()
}

pub(crate) fn before(seconds: i64) -> DateTime<Utc> {
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
    domain::AuditId,
    domain::SessionId,
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
        pools: std::collections::BTreeMap::new(),
        created_at: before(86_400 * 40),
    }
}

pub(crate) fn session(role: Role) -> SessionView {
    SessionView {
        email: "maria@acme.example".into(),
        tenants: vec![tenant("acme", role), tenant("northwind-trading", Role::Developer), tenant("labs", Role::Viewer)],
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
            needs_tenant: token != "join",
            email: (token == "join").then(|| "tomas.lindqvist@acme.example".to_owned()),
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

    async fn flows(&self, _tenant: &str, _cursor: Option<&str>) -> Result<Page<FlowSummary>, ConsoleError> {
        let data = if self.empty { vec![] } else { flow_list() };
        Ok(Page { data, has_more: false, next_cursor: None })
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

    async fn experiments(&self, _tenant: &str, _flow: &str) -> Result<Vec<ExperimentView>, ConsoleError> {
        if self.empty {
            return Ok(vec![]);
        }
        let estimate = |value: f64, wide: f64| Some(Estimate { value, low: value - wide, high: value + wide });
        let variant = |name: &str, version, share: f64| VariantReadout {
            name: name.into(),
            version,
            runs: 1_204,
            settled: 1_180,
            succeeded: 1_150,
            success_rate: estimate(share, 0.012),
            p50_ms: Some(2_100),
            p50_interval_ms: Some(DurationInterval { low: 2_040, high: 2_170 }),
            p95_ms: Some(8_400),
            p95_interval_ms: Some(DurationInterval { low: 7_900, high: 9_300 }),
            mean_cost_nano_usd: estimate(1_630_000.0, 40_000.0),
            total_cost_nano_usd: NanoUsd(1_960_000_000),
            feedback: 41,
            mean_score: estimate(0.82, 0.07),
        };
        let variants = |name: &str, version| domain::wire::Variant { name: name.into(), version, weight: 1 };
        Ok(vec![ExperimentView {
            id: domain::ExperimentId::from_uuid(uuid::Uuid::from_u128(9)),
            name: "shorter_prompt".into(),
            state: domain::wire::ExperimentState::Running,
            share: 0.2,
            variants: vec![variants("control", 6), variants("shorter", 7)],
            control: "control".into(),
            guards: domain::wire::Guards::default(),
            entry_salt: "entry".into(),
            variant_salt: "variant".into(),
            note: None,
            started_at: before(86_400 * 3),
            created_by: "maria@acme.example".into(),
            created_at: before(86_400 * 3),
            updated_at: before(86_400 * 3),
            readout: Some(domain::wire::Readout {
                variants: vec![variant("control", 6, 0.967), variant("shorter", 7, 0.981)],
                sample_ratio: domain::wire::SampleRatio {
                    chi_squared: 0.4,
                    degrees_of_freedom: 1,
                    p_value: 0.5,
                    suspicious: false,
                },
            }),
        }])
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
                parent_span_id: None,
                summary,
            },
            steps,
            why: None,
            questions: Vec::new(),
        })
    }

    async fn events(&self, _tenant: &str, _run: &str, after: u64) -> Result<EventsView, ConsoleError> {
        let event = |position: u64, event: &str, step: Option<&str>, data| EventView {
            position,
            at: before(190) + TimeDelta::milliseconds(i64::try_from(position).unwrap_or_default() * 140),
            event: event.into(),
            step: step.map(str::to_owned),
            data,
        };
        let all = vec![
            event(1, "run_started", None, json!({"version": 7})),
            event(2, "attempt_started", Some("extract"), json!({"number": 1})),
            event(3, "attempt_ended", Some("extract"), json!({"number": 1, "usage": {"pages": 12}})),
            event(
                4,
                "step_settled",
                Some("extract"),
                json!({"status": "succeeded", "output": {"text": "Revenue grew."}}),
            ),
            event(5, "run_settled", None, json!({})),
        ];
        let events = if self.empty { vec![] } else { all.into_iter().filter(|event| event.position > after).collect() };
        Ok(EventsView { events, next: None })
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
            more_base_urls: Vec::new(),
            max_concurrency: None,
            prices: std::collections::BTreeMap::new(),
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
            active_keys: u32::try_from(number).unwrap_or_default() - 1,
        };
        Ok(vec![
            member(1, "maria@acme.example", Role::Owner, Some(20)),
            member(2, "tomas.lindqvist@acme.example", Role::Developer, Some(7_400)),
            member(3, "auditor@ledgerfield.example", Role::Viewer, None),
        ])
    }

    async fn audit(&self, _tenant: &str, _filter: &AuditFilter) -> Result<Page<AuditView>, ConsoleError> {
        let entry = |number, kind: &str, actor: &str, action: &str, target: &str, data| AuditView {
            id: id(number),
            at: before(i64::try_from(number).unwrap_or_default() * 4_000),
            actor_kind: kind.into(),
            actor: actor.into(),
            action: action.into(),
            target_kind: action.split('.').next().unwrap_or_default().into(),
            target_id: Some(id::<domain::ApiKeyId>(number).to_string()),
            target: Some(target.into()),
            data,
            address: Some("192.0.2.17".into()),
            request_id: Some("req_01k9x2m4z6".into()),
        };
        let data = vec![
            entry(
                1,
                "user",
                "maria@acme.example",
                "member.role_changed",
                "tomas.lindqvist@acme.example",
                json!({"from": "viewer", "to": "developer"}),
            ),
            entry(2, "api_key", "Invoice importer", "flow.published", "invoice_intake", json!({"version": 7})),
            entry(3, "system", "operator", "tenant.created", "acme", json!({})),
        ];
        let data = if self.empty { vec![] } else { data };
        Ok(Page { has_more: !data.is_empty(), next_cursor: Some("c2".into()), data })
    }

    async fn devices(&self) -> Result<Vec<DeviceView>, ConsoleError> {
        let device = |number, current, agent: &str, used| DeviceView {
            id: id(number),
            current,
            address: Some("192.0.2.17".into()),
            user_agent: Some(agent.into()),
            created_at: before(86_400 * 3),
            last_seen_at: before(used),
            expires_at: now() + TimeDelta::days(6),
        };
        Ok(vec![
            device(1, true, "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", 3),
            device(
                2,
                false,
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) Version/18.1 Mobile Safari/604.1",
                90_000,
            ),
        ])
    }
}

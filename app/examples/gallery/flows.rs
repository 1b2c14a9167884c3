//! Made-up flows.

use domain::wire::{CheckReport, FlowDetail, FlowSummary, GraphEdge, GraphNode};
use domain::{NanoUsd, RunStatus};
use serde_json::json;

use crate::data::{before, id};
use RunStatus::{Cancelled, Failed, Running, Succeeded, TimedOut};

pub(crate) fn flow(number: u128, name: &str, description: &str, recent: Vec<RunStatus>) -> FlowSummary {
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

pub(crate) fn flow_list() -> Vec<FlowSummary> {
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

pub(crate) const YAML: &str = "# Reads a document of any kind and analyses it three ways at once.
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

pub(crate) fn detail(name: &str) -> Option<FlowDetail> {
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

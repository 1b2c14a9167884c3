//! The runs of a filter as a file: CSV for spreadsheets, JSON for programs; all of them, streamed.
//!
//! Invariant: the rows are those that the list shows under the same query, for the same person; no cell begins as a
//! spreadsheet's formula; memory holds one page of rows, however many there are.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, web};
use app::data::Since;
use bytes::Bytes;
use domain::wire::RunSummary;
use domain::{Permission, RunStatus};
use futures_util::Stream;
use serde::Deserialize;
use service::runs::{self, PAGE_MOST, RunFilter};
use service::{Actor, ServiceError, Weir};

use super::Host;
use super::data::wanted;
use super::visitor::Visitor;
use crate::problem::Fault;

/// Rows of one file.
const MOST_ROWS: u64 = 1_000_000;
const COLUMNS: &[&str] = &[
    "id",
    "flow",
    "version",
    "status",
    "trigger",
    "started_by",
    "created_at",
    "started_at",
    "ended_at",
    "duration_ms",
    "cost_usd",
    "error_code",
    "error",
    "test",
    "parent_run_id",
    "experiment",
    "variant",
];

/// The list's query. What it does not know is left aside, as the page does.
#[derive(Debug, Deserialize)]
pub(super) struct Query {
    #[serde(default)]
    status: String,
    #[serde(default)]
    flow: String,
    #[serde(default)]
    search: String,
    #[serde(default)]
    since: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    Json,
}

pub(super) async fn csv(
    request: HttpRequest,
    host: web::Data<Host>,
    tenant: web::Path<String>,
    query: web::Query<Query>,
) -> HttpResponse {
    answer(&request, &host, &tenant, &query, Format::Csv)
}

pub(super) async fn json(
    request: HttpRequest,
    host: web::Data<Host>,
    tenant: web::Path<String>,
    query: web::Query<Query>,
) -> HttpResponse {
    answer(&request, &host, &tenant, &query, Format::Json)
}

fn answer(request: &HttpRequest, host: &Host, tenant: &str, query: &Query, format: Format) -> HttpResponse {
    let actor = match actor_of(request, tenant) {
        Ok(actor) => actor,
        Err(error) => return Fault::from(error).error_response(),
    };
    let some = |word: &String| Some(word.clone()).filter(|word| !word.is_empty());
    let filter = app::data::RunFilter {
        status: RunStatus::parse(&query.status),
        flow: some(&query.flow),
        search: some(&query.search),
        since: Since::parse(&query.since).unwrap_or_default(),
        cursor: None,
    };
    let now = host.weir.now();
    let filter = RunFilter { created_before: Some(now), ..wanted(&filter, now, PAGE_MOST) };
    let (ending, media_type) = match format {
        Format::Csv => ("csv", "text/csv; charset=utf-8"),
        Format::Json => ("json", "application/json"),
    };
    let name = format!("runs-{tenant}-{}.{ending}", now.format("%Y-%m-%d"));
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, media_type))
        .insert_header(crate::api::files::attachment(&name))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .streaming(pages(host.weir.clone(), actor, filter, format))
}

fn actor_of(request: &HttpRequest, tenant: &str) -> Result<Actor, ServiceError> {
    let visitor = request.extensions().get::<Arc<Visitor>>().cloned();
    let actor = visitor.ok_or(ServiceError::Unauthenticated("Sign in first."))?.actor(tenant)?;
    service::authz::check(&actor, Permission::RunsRead)?;
    Ok(actor)
}

/// Where a file stands.
struct Writing {
    weir: Weir,
    actor: Actor,
    filter: RunFilter,
    format: Format,
    rows: u64,
    over: bool,
}

fn pages(
    weir: Weir,
    actor: Actor,
    filter: RunFilter,
    format: Format,
) -> impl Stream<Item = Result<Bytes, std::io::Error>> {
    let writing = Writing { weir, actor, filter, format, rows: 0, over: false };
    futures_util::stream::unfold(writing, |mut writing| async move {
        if writing.over {
            return None;
        }
        // A file that breaks off is no whole file: the reader's program says so.
        let page = writing.page().await.map_err(|error| {
            tracing::warn!(%error, "an export broke off");
            std::io::Error::other("the export broke off")
        });
        writing.over |= page.is_err();
        Some((page.map(Bytes::from), writing))
    })
}

impl Writing {
    async fn page(&mut self) -> Result<String, ServiceError> {
        let page = runs::list(&self.weir, &self.actor, &self.filter).await?;
        let mut text = String::new();
        if self.rows == 0 {
            match self.format {
                // The mark at the beginning tells spreadsheets that this is UTF-8.
                Format::Csv => text.push_str(&format!("\u{feff}{}\r\n", COLUMNS.join(","))),
                Format::Json => text.push('['),
            }
        }
        for run in &page.data {
            match self.format {
                Format::Csv => text.push_str(&line(run)),
                Format::Json => {
                    text.push_str(if self.rows == 0 { "\n" } else { ",\n" });
                    text.push_str(&serde_json::to_string(run).map_err(ServiceError::internal)?);
                }
            }
            self.rows += 1;
        }
        self.over = !page.has_more || self.rows >= MOST_ROWS;
        self.filter.cursor = page.next_cursor;
        if self.over && self.format == Format::Json {
            text.push_str("\n]\n");
        }
        Ok(text)
    }
}

/// One row, as RFC 4180 has it.
fn line(run: &RunSummary) -> String {
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)).unwrap_or_default()
    };
    let cells = [
        run.id.to_string(),
        run.flow.clone(),
        run.version.to_string(),
        run.status.as_str().to_owned(),
        run.trigger.clone(),
        run.started_by.clone(),
        time(Some(run.created_at)),
        time(run.started_at),
        time(run.ended_at),
        run.duration_ms.map(|ms| ms.to_string()).unwrap_or_default(),
        run.cost_nano_usd.map(|cost| decimal(cost.0)).unwrap_or_default(),
        run.error.as_ref().map(|error| error.code.clone()).unwrap_or_default(),
        run.error.as_ref().map(|error| error.message.clone()).unwrap_or_default(),
        run.test.to_string(),
        run.parent_run_id.map(|id| id.to_string()).unwrap_or_default(),
        run.experiment.clone().unwrap_or_default(),
        run.variant.clone().unwrap_or_default(),
    ];
    let cells: Vec<String> = cells.iter().map(|text| cell(text)).collect();
    format!("{}\r\n", cells.join(","))
}

/// Dollars to the last nano, without a sign for money that would make it a text.
fn decimal(nano: i64) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let nano = nano.unsigned_abs();
    let text = format!("{sign}{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A cell that no spreadsheet reads as a formula, quoted where it must be.
fn cell(text: &str) -> String {
    let number = text.parse::<f64>().is_ok();
    let formula = !number && text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_quoted_where_it_must_be_and_is_never_a_formula() {
        for (text, written) in [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("two\nlines", "\"two\nlines\""),
            ("=HYPERLINK(\"http://evil\")", "\"'=HYPERLINK(\"\"http://evil\"\")\""),
            ("+1+1", "'+1+1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("-cmd", "'-cmd"),
            ("-12.5", "-12.5"),
            ("", ""),
        ] {
            assert_eq!(cell(text), written, "{text}");
        }
    }

    #[test]
    fn money_is_a_plain_number() {
        assert_eq!(decimal(0), "0");
        assert_eq!(decimal(1_630_000), "0.00163");
        assert_eq!(decimal(12_000_000_000), "12");
        assert_eq!(decimal(-500_000_000), "-0.5");
    }
}

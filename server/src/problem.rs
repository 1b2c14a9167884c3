//! The one mapping from refusals and failures to RFC 9457 problem documents.
//!
//! Invariant: every answer of 400 and above has this shape; a 5xx of ours says nothing but the request id, and is logged
//! once, here.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use domain::{ErrorCode, Failure, FieldProblem, Problem};
use service::ServiceError;

use crate::middleware::context;

/// A refusal on its way to the wire.
pub(crate) struct Fault {
    problem: Box<Problem>,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Members beside those of [`Problem`]: the checker's problem objects.
    extension: Option<(&'static str, serde_json::Value)>,
}

impl Fault {
    pub(crate) fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::of(Problem::new(code, detail, context::request_id()))
    }

    pub(crate) fn of(mut problem: Problem) -> Self {
        problem.instance = context::path();
        Self { problem: Box::new(problem), headers: Vec::new(), extension: None }
    }

    pub(crate) fn field(mut self, pointer: &str, message: String, hint: Option<String>) -> Self {
        self.problem.errors.push(FieldProblem { pointer: pointer.to_owned(), message, hint });
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((name, value));
        }
        self
    }

    /// A run that failed, as its caller is told.
    pub(crate) fn of_run(run: &FailedRun<'_>) -> Self {
        let failure = run.failure;
        let status = failure.status();
        // A fault of ours says nothing but the request id; a fault of the flow says everything.
        let (code, detail) = match failure.kind {
            domain::FailureKind::Internal => ("internal", "Something went wrong on our side.".to_owned()),
            domain::FailureKind::Flow => ("flow_fault", failure.message.clone()),
            _ => (failure.code.as_str(), failure.message.clone()),
        };
        let title = match status {
            402 => "A budget is used up",
            409 => "The run was cancelled",
            422 => "The inputs or the document cannot be used",
            502 => "A service that the flow calls failed",
            503 => "A service that the flow calls is overloaded",
            504 => "The run took too long",
            _ => "The run failed",
        };
        let mut problem = Problem::with(code, title, status, failure.retryable, detail, context::request_id());
        if code == "flow_fault" && failure.code != "flow_fault" {
            problem.errors.push(FieldProblem {
                pointer: run.step.map(|step| format!("/steps/{step}")).unwrap_or_default(),
                message: format!("{}: {}", failure.code, failure.message),
                hint: None,
            });
        }
        problem.run_id = Some(run.run_id.to_string());
        problem.run_url = Some(format!("/api/v1/runs/{}", run.run_id));
        problem.step = run.step.map(ToOwned::to_owned);
        problem.attempt = run.attempt;
        problem.line = failure.line;
        let mut fault = Self::of(problem);
        if code == "flow_fault" {
            // The code says whose fault it is, the cause says which.
            fault.extension = Some(("cause", serde_json::Value::String(failure.code.clone())));
        }
        match failure.server_retry_after_ms {
            Some(wait) => fault.header(header::RETRY_AFTER, &seconds(wait)),
            None => fault,
        }
    }

    fn respond(&self) -> HttpResponse {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = HttpResponseBuilder::new(status);
        response.content_type("application/problem+json");
        for (name, value) in &self.headers {
            response.insert_header((name.clone(), value.clone()));
        }
        let mut body = serde_json::to_value(&self.problem).unwrap_or_default();
        if let (Some((name, value)), Some(members)) = (&self.extension, body.as_object_mut()) {
            members.insert((*name).to_owned(), value.clone());
        }
        response.body(body.to_string())
    }
}

/// What is known of a failed run.
pub(crate) struct FailedRun<'a> {
    pub(crate) run_id: domain::RunId,
    pub(crate) failure: &'a Failure,
    pub(crate) step: Option<&'a str>,
    pub(crate) attempt: Option<u32>,
}

/// Whole seconds for `Retry-After`, rounded up so that the promise holds.
pub(crate) fn seconds(millis: u64) -> String {
    millis.div_ceil(1_000).max(1).to_string()
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        let code = error.code();
        let detail = match &error {
            ServiceError::Internal(source) => {
                tracing::error!(request_id = context::request_id(), error = %Chain(source.as_ref()), "a request failed");
                "Something went wrong on our side. Say the request id when you report it.".to_owned()
            }
            other => other.to_string(),
        };
        let mut problem = Problem::new(code, detail, context::request_id());
        problem.errors = error.fields();
        let mut fault = Self::of(problem);
        if let Some(wait) = error.retry_after_ms() {
            fault = fault.header(header::RETRY_AFTER, &seconds(wait));
        }
        if code == ErrorCode::Unauthenticated {
            fault = fault.header(header::WWW_AUTHENTICATE, "Bearer realm=\"weir\"");
        }
        if let ServiceError::PreconditionFailed { diff: Some(diff), .. } = &error {
            fault.extension = Some(("diff", serde_json::Value::String(diff.clone())));
        }
        if let ServiceError::InvalidFlow { problems, .. } = &error {
            fault.extension = Some(("problems", serde_json::to_value(problems).unwrap_or_default()));
        }
        fault
    }
}

struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut next = self.0.source();
        while let Some(cause) = next {
            write!(f, ": {cause}")?;
            next = cause.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("code", &self.problem.code)
            .field("status", &self.problem.status)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.problem.code, self.problem.detail)
    }
}

impl ResponseError for Fault {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        self.respond()
    }
}

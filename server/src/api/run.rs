//! Running a flow: waiting for the outputs, later, or as a stream.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, post, web};
use domain::wire::{RunAccepted, RunAnswer};
use domain::{Failure, FailureKind, RunId, RunStatus, TenantId};
use serde::Deserialize;
use service::runs::{self, Answer, SettledRun, StartRun, Waited};
use service::{Actor, Weir};
use utoipa::IntoParams;

use crate::extract::{Caller, Credentials, Known, Params, RunBody};
use crate::problem::{FailedRun, Fault};
use crate::sse;
use crate::state::Shared;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunParams {
    /// Runs this version instead of the one on the channel.
    version: Option<u32>,
    /// Runs what this channel points at; `stable` unless said.
    channel: Option<String>,
    /// 1 is taken from the queue first, 5 last; 3 unless said.
    priority: Option<i32>,
}

impl Known for RunParams {
    const NAMES: &'static [&'static str] = &["version", "channel", "priority"];
}

/// Runs a flow
///
/// The body holds the inputs: a JSON object, or multipart with one part per file input and the rest as fields (or one
/// part `inputs` with JSON). Answers 200 with the outputs; with `Prefer: respond-async`, or when the run takes longer
/// than the flow's `max_wait`, 202 with its place. With `Accept: text/event-stream` the run is streamed.
/// `Idempotency-Key` makes a repeated call answer with the first one's run.
#[utoipa::path(operation_id = "run_flow", tag = "Flows", params(("flow" = String, Path, description = "The flow's name"), RunParams,
        ("Idempotency-Key" = Option<String>, Header, description = "Starts at most one run per flow and key in 24 hours"),
        ("X-Experiment-Subject" = Option<String>, Header, description = "Who is meant in experiments; the key unless said"),
        ("Prefer" = Option<String>, Header, description = "`respond-async` answers at once; `wait=10` after 10 seconds")),
    request_body(content = Object, description = "The flow's inputs"),
    responses((status = 200, body = RunAnswer), (status = 202, body = RunAccepted, description = "Goes on")))]
#[post("/api/v1/flows/{flow}/run")]
pub(crate) async fn run_flow(
    caller: Caller,
    flow: web::Path<String>,
    params: Params<RunParams>,
    body: RunBody,
    request: HttpRequest,
    state: Shared,
) -> Result<HttpResponse, Fault> {
    let params = params.read()?;
    let actor = caller.0;
    service::authz::check_flow(&actor, domain::Permission::RunsStart, &flow)?;
    let preference = Preference::of(&request);
    let inputs = body.read(&state.weir, &actor).await?;
    let wish = StartRun {
        flow: flow.into_inner(),
        version: params.version,
        channel: params.channel,
        inputs,
        idempotency_key: text(&request, "idempotency-key"),
        labels: BTreeMap::new(),
        subject: text(&request, "x-experiment-subject"),
        priority: params.priority,
        answer: if preference.stream || preference.later { Answer::Later } else { Answer::Wait },
    };
    let started = runs::start(&state.weir, &actor, wish).await?;
    let (run_id, status, replayed) = (started.run_id, started.status, started.replayed);
    // Who asked for the same again only listens: the run is the first caller's.
    let guard = (started.cancel_on_disconnect && !replayed && !preference.later)
        .then(|| CancelOnDrop::new(&state.weir, &actor, run_id));
    if preference.stream {
        let events = runs::events(&state.weir, &actor, run_id, 0).await?;
        let credentials = Credentials::of(&request, &state);
        return Ok(sse::response(events, &state.draining, credentials, Some((run_id, guard))));
    }
    if preference.later {
        return Ok(accepted(run_id, status, replayed));
    }
    let gone = crate::middleware::context::gone();
    let limit = preference.wait.map_or(started.max_wait, |wait| wait.min(started.max_wait));
    let waited = tokio::select! {
        // A drain answers who still waits: the run goes on, here or elsewhere.
        waited = runs::wait_unless(&state.weir, started, limit, &state.draining) => waited?,
        // Nobody reads this answer; the guard does what the flow says.
        () = gone.cancelled() => {
            drop(guard);
            return Ok(accepted(run_id, status, replayed));
        }
    };
    if let Some(guard) = guard {
        guard.disarm();
    }
    match waited {
        Waited::Settled(run) => settled(&run, replayed),
        Waited::Pending { run_id, status } => Ok(accepted(run_id, status, replayed)),
    }
}

fn settled(run: &SettledRun, replayed: bool) -> Result<HttpResponse, Fault> {
    let outcome = &run.settled;
    if outcome.status == RunStatus::Succeeded {
        let mut answer = HttpResponse::Ok();
        if replayed {
            answer.insert_header(("Idempotency-Replayed", "true"));
        }
        return Ok(answer.json(RunAnswer {
            run_id: run.run_id,
            status: outcome.status,
            outputs: outcome.outputs.clone(),
            usage: outcome.usage.clone(),
            cost_nano_usd: outcome.cost,
        }));
    }
    let failure = outcome.error.clone().unwrap_or_else(|| without_error(outcome.status));
    let fault = Fault::of_run(&FailedRun {
        run_id: run.run_id,
        failure: &failure,
        step: outcome.failed_step.as_deref(),
        attempt: outcome.failed_attempt,
    });
    Err(if replayed { fault.header(header::HeaderName::from_static("idempotency-replayed"), "true") } else { fault })
}

fn without_error(status: RunStatus) -> Failure {
    match status {
        RunStatus::Cancelled | RunStatus::Killed => {
            Failure::new(FailureKind::Cancelled, "cancelled", "The run was cancelled before it ended.")
        }
        RunStatus::TimedOut => {
            Failure::new(FailureKind::Timeout, "timeout", "The run took longer than its flow allows.")
        }
        _ => Failure::new(FailureKind::Internal, "internal", "The run failed."),
    }
}

fn accepted(run_id: RunId, status: RunStatus, replayed: bool) -> HttpResponse {
    let mut answer = HttpResponse::Accepted();
    answer.insert_header((header::LOCATION, format!("/api/v1/runs/{run_id}")));
    if replayed {
        answer.insert_header(("Idempotency-Replayed", "true"));
    }
    answer.json(RunAccepted { run_id, status })
}

/// How the caller wants to be answered.
#[derive(Debug, Default, PartialEq)]
struct Preference {
    stream: bool,
    later: bool,
    wait: Option<Duration>,
}

impl Preference {
    fn of(request: &HttpRequest) -> Self {
        let accept = text(request, "accept").unwrap_or_default();
        Self {
            stream: accept.contains("text/event-stream"),
            ..Self::read(&text(request, "prefer").unwrap_or_default())
        }
    }

    fn read(prefer: &str) -> Self {
        let mut preference = Self::default();
        for part in prefer.split([',', ';']).map(str::trim) {
            if part.eq_ignore_ascii_case("respond-async") {
                preference.later = true;
            } else if let Some(seconds) = part.strip_prefix("wait=").and_then(|seconds| seconds.parse().ok()) {
                preference.wait = Some(Duration::from_secs(seconds));
            }
        }
        // `respond-async, wait=10` is: wait, but no longer than that (RFC 7240).
        if preference.wait.is_some() {
            preference.later = false;
        }
        preference
    }
}

fn text(request: &HttpRequest, name: &str) -> Option<String> {
    request.headers().get(name)?.to_str().ok().map(ToOwned::to_owned)
}

/// `endpoint.on_disconnect: cancel`: dropped while its caller is still owed an answer, it cancels the run.
pub(crate) struct CancelOnDrop(Option<(Weir, TenantId, RunId)>);

impl CancelOnDrop {
    fn new(weir: &Weir, actor: &Actor, run: RunId) -> Self {
        Self(Some((weir.clone(), actor.tenant, run)))
    }

    pub(crate) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // At the very end of the process there is no runtime any more, and no run to cancel.
        if let (Some((weir, tenant, run)), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move {
                if let Err(error) = runs::abandon(&weir, tenant, run).await {
                    tracing::debug!(%run, %error, "a run whose caller went away was not cancelled");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_for_async_answers_at_once_and_one_with_a_wait_after_it() {
        assert!(Preference::read("respond-async").later);
        let waiting = Preference::read("respond-async, wait=10");
        assert_eq!((waiting.later, waiting.wait), (false, Some(Duration::from_secs(10))));
        assert_eq!(Preference::read("handling=strict"), Preference::default());
    }
}

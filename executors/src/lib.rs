//! What a step can do: one file an executor, one visible registry.
//!
//! Invariant: the only room that acts on the outside world on a flow's behalf, and only through [`Tools`].

use std::sync::Arc;

use engine::{Executor, Registry};

mod config;
mod outgoing;
mod probe;
mod retry_budget;
mod spec;

mod api_request;
mod cache;
mod child_flow;
mod conditional;
mod data_combiner;
mod data_transformer;
mod database;
mod document_extractor;
mod document_pipeline;
mod document_reader;
mod documents;
mod fail;
mod file_analyzer;
mod flow_executor;
mod flow_pipeline;
mod flow_router;
mod generic_processor;
mod llm_analyzer;
mod log;
mod ocr_processor;
mod python;
mod text_analyzer;
mod waiting;
mod webhook;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use probe::probe;

/// What executors act with. The only ways out: the egress client for the network, the sandbox for untrusted bytes.
#[derive(Debug, Clone)]
pub struct Tools {
    pub egress: egress::Client,
    pub sandbox: Arc<sandbox::Pool>,
}

/// Every executor of this program, built with its tools.
#[must_use]
pub fn registry(tools: &Tools) -> Registry {
    let retries = retry_budget::RetryBudget::default();
    let ocr = Arc::new(ocr_processor::Ocr::new(Arc::clone(&tools.sandbox)));
    let reader = Arc::new(document_reader::Reader::new(Arc::clone(&tools.sandbox), Arc::clone(&ocr)));
    let all: Vec<Arc<dyn Executor>> = vec![
        Arc::new(api_request::ApiRequest::new(tools.egress.clone(), retries.clone())),
        Arc::new(cache::Cache::new()),
        Arc::new(conditional::Conditional::new()),
        Arc::new(data_combiner::DataCombiner::new()),
        Arc::new(data_transformer::DataTransformer::new(Arc::clone(&tools.sandbox))),
        Arc::new(database::Database::new(tools.egress.clone(), Arc::clone(&tools.sandbox))),
        Arc::new(document_extractor::DocumentExtractor::new(Arc::clone(&tools.sandbox))),
        Arc::new(document_pipeline::DocumentPipeline::new(Arc::clone(&reader))),
        Arc::new(fail::Fail::new()),
        Arc::new(file_analyzer::FileAnalyzer::new(Arc::clone(&tools.sandbox))),
        Arc::new(flow_executor::FlowExecutor::new()),
        Arc::new(flow_pipeline::FlowPipeline::new(Arc::clone(&tools.sandbox))),
        Arc::new(flow_router::FlowRouter::new()),
        Arc::new(generic_processor::GenericProcessor::new(reader)),
        Arc::new(llm_analyzer::LlmAnalyzer::new(tools.egress.clone(), retries.clone())),
        Arc::new(log::Log::new()),
        Arc::new(ocr_processor::OcrProcessor::new(ocr)),
        Arc::new(python::Python::new(Arc::clone(&tools.sandbox))),
        Arc::new(text_analyzer::TextAnalyzer::new()),
        Arc::new(waiting::Waiting::wait()),
        Arc::new(waiting::Waiting::approval()),
        Arc::new(webhook::Webhook::new(tools.egress.clone(), retries)),
    ];
    Registry::new(all)
}

/// Adds what runs in a sandbox child on behalf of executors: reading documents, costly expressions.
#[must_use]
pub fn sandbox_handlers(handlers: sandbox::Handlers) -> sandbox::Handlers {
    ::python::handlers(database::handlers(data_transformer::handlers(documents::handlers(handlers))))
}

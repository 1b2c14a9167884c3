//! What a step can do: one file an executor, one visible registry.
//!
//! Invariant: the only room that acts on the outside world on a flow's behalf, and only through [`Tools`].

use std::sync::Arc;

use engine::{Executor, Registry};

mod config;
mod outgoing;
mod spec;

mod api_request;
mod conditional;
mod data_combiner;
mod data_transformer;
mod document_extractor;
mod documents;
mod fail;
mod file_analyzer;
mod flow_executor;
mod generic_processor;
mod llm_analyzer;
mod log;
mod ocr_processor;
mod text_analyzer;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

/// What executors act with. The only ways out: the egress client for the network, the sandbox for untrusted bytes.
#[derive(Debug, Clone)]
pub struct Tools {
    pub egress: egress::Client,
    pub sandbox: Arc<sandbox::Pool>,
}

/// Every executor of this program, built with its tools.
#[must_use]
pub fn registry(tools: &Tools) -> Registry {
    let ocr = Arc::new(ocr_processor::Ocr::new(Arc::clone(&tools.sandbox)));
    let all: Vec<Arc<dyn Executor>> = vec![
        Arc::new(api_request::ApiRequest::new(tools.egress.clone())),
        Arc::new(conditional::Conditional::new()),
        Arc::new(data_combiner::DataCombiner::new()),
        Arc::new(data_transformer::DataTransformer::new(Arc::clone(&tools.sandbox))),
        Arc::new(document_extractor::DocumentExtractor::new(Arc::clone(&tools.sandbox))),
        Arc::new(fail::Fail::new()),
        Arc::new(file_analyzer::FileAnalyzer::new(Arc::clone(&tools.sandbox))),
        Arc::new(flow_executor::FlowExecutor::new()),
        Arc::new(generic_processor::GenericProcessor::new(Arc::clone(&tools.sandbox), Arc::clone(&ocr))),
        Arc::new(llm_analyzer::LlmAnalyzer::new(tools.egress.clone())),
        Arc::new(log::Log::new()),
        Arc::new(ocr_processor::OcrProcessor::new(ocr)),
        Arc::new(text_analyzer::TextAnalyzer::new()),
    ];
    Registry::new(all)
}

/// Adds what runs in a sandbox child on behalf of executors: reading documents, costly expressions.
#[must_use]
pub fn sandbox_handlers(handlers: sandbox::Handlers) -> sandbox::Handlers {
    data_transformer::handlers(documents::handlers(handlers))
}

//! The seed's own examples, byte for byte as they ship in `flows/`.

use insta::assert_snapshot;

use super::{order, planned, problems};

const COMPLEX: &str = include_str!("../../../flows/complex_analysis/flow.yaml");
const ROUTING: &str = include_str!("../../../flows/file_type_routing/flow.yaml");
const PARALLEL: &str = include_str!("../../../flows/parallel_analysis/flow.yaml");

#[test]
fn a_flow_of_flows_combines_what_it_names() {
    let plan = planned(COMPLEX);
    assert_snapshot!(order(&plan), @r"
        document_analysis
        ocr_analysis
          after document_analysis (order)
        combine_results
          after document_analysis (output)
          after ocr_analysis (order, output)
        ");
    assert_eq!(plan.name.as_deref(), Some("complex_analysis"));
    assert_eq!(plan.steps[0].effect, None, "only the run knows what a child does");
}

#[test]
fn a_fallback_watches_the_steps_it_stands_in_for() {
    let plan = planned(ROUTING);
    assert_snapshot!(order(&plan), @r"
        check_file_type
          file from the only file
        process_pdf
          after check_file_type (order, output)
          if steps.check_file_type.file_type == 'pdf'
          file from the only file
        process_image
          after check_file_type (output)
          after process_pdf (order)
          if steps.check_file_type.file_type == 'image'
          file from the only file
        fallback_processing
          after process_pdf (record)
          after process_image (order, record)
          watches process_pdf
          watches process_image
          if steps.process_pdf.success == false and steps.process_image.success == false
          file from the only file
        ");
    assert_eq!(plan.steps[3].retry.max_attempts, 3);
}

#[test]
fn members_of_a_group_start_together_and_are_combined_by_name() {
    let plan = planned(PARALLEL);
    assert_snapshot!(order(&plan), @r"
        extract_text
          file from the only file
        analyze_sentiment in analysis
          after extract_text (declared, main input)
          text from extract_text.text | the only text
        extract_entities in analysis
          after extract_text (declared, main input)
          text from extract_text.text | the only text
        classify_content in analysis
          after extract_text (declared, main input)
          text from extract_text.text | the only text
        combine_analysis
          after group analysis (declared, main input)
          sources from analyze_sentiment | extract_entities | classify_content
        ");
    assert_eq!(plan.steps[1].retry.max_attempts, 3, "LLM steps try three times");
}

#[test]
fn functions_are_refused_by_name_and_nothing_else_in_the_flow_is() {
    assert_snapshot!(problems(include_str!("seed/5.4.yaml")), @r"
        F090 2:1-2:10 `functions` is not available yet in this version
             It is part of the language and comes with a later version; take it out for now.
        ");
}

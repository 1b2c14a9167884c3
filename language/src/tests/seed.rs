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
fn the_fourth_example_checks_as_it_is_written_and_without_a_word_once_its_body_is_there() {
    let yaml = include_str!("../../../tests/fixtures/seed/5.4.yaml");
    assert_snapshot!(problems(yaml), @r"
        F064 warning 6:7-6:52 the function `extract_key_phrases` returns `phrases`, which nothing in it sets
             It will fail until its body is written.
        ");
    let filled = yaml.replace("          # Custom logic here\n", "          phrases = text.split()[:max_phrases]\n");
    assert_snapshot!(problems(&filled), @"");
    let plan = planned(&filled);
    assert_eq!(plan.functions["format_currency"].line, 13);
    assert!(plan.functions["format_currency"].implementation.starts_with("def format_currency("));
}

//! The seed's own examples, byte for byte as they ship in `flows/`.

use insta::assert_snapshot;

use super::{order, planned, problems};

const COMPLEX: &str = include_str!("../../../flows/complex_analysis/flow.yaml");
const ROUTING: &str = include_str!("../../../flows/file_type_routing/flow.yaml");
const PARALLEL: &str = include_str!("../../../flows/parallel_analysis/flow.yaml");

#[test]
fn a_flow_of_flows_combines_what_it_names() {
    let plan = planned(COMPLEX);
    assert_snapshot!(order(&plan), @"");
    assert_eq!(plan.name.as_deref(), Some("complex_analysis"));
    assert_eq!(plan.steps[0].effect, None, "only the run knows what a child does");
}

#[test]
fn a_fallback_watches_the_steps_it_stands_in_for() {
    let plan = planned(ROUTING);
    assert_snapshot!(order(&plan), @"");
    assert_eq!(plan.steps[3].retry.max_attempts, 3);
}

#[test]
fn members_of_a_group_start_together_and_are_combined_by_name() {
    let plan = planned(PARALLEL);
    assert_snapshot!(order(&plan), @"");
    assert_eq!(plan.steps[1].retry.max_attempts, 3, "LLM steps try three times");
}

#[test]
fn functions_are_refused_by_name_and_nothing_else_in_the_flow_is() {
    assert_snapshot!(problems(include_str!("seed/5.4.yaml")), @"");
}

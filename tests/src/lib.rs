//! Black-box suites against the built program, and the harness they share.

//! Tests of this module's rules.

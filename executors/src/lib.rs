//! What a step can do: one file an executor, one visible registry.

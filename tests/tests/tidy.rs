//! Suite: rules of the house that no lint knows. It reads the sources and the cargo metadata, nothing else.
#[cfg(test)]
mod tidy {
    pub(super) mod docs;
    pub(super) mod edges;
    pub(super) mod sources;
    pub(super) mod texts;
}

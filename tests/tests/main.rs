//! All integration tests, one module per subject.

/// Every committed fuzz input goes through its body; targets, bodies and corpora belong together.
mod corpus;
/// The house rules: layers, sizes, words; and that each guard catches what it guards against.
mod tidy;

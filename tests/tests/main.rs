//! All integration tests, one module per subject.

/// The house rules: layers, sizes, words; and that each guard catches what it guards against.
mod tidy;

//! The disk, against a real folder.

//! millstream's engine for python.

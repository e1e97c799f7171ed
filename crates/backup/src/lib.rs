//! Copies of a data directory, put back and checked.

//! Whole-server tests over loopback.

//! Typed settings of mox.conf and domains.conf with validation, reload and rewriting.

//! Test doubles and fixtures: manual clock, transcripts, sample mail.

//! The HTTP server: settings for mail programs, MTA-STS policies, metrics.

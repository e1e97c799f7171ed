//! Listeners, TLS, time-outs, rate limits, connection supervision.

//! Numbers about the server, for Prometheus.

use crate::answer::Answer;
use crate::process;
use crate::server::Server;

/// All metrics now.
pub(super) async fn answer(server: &Server) -> Answer {
    let started = server.started();
    let text = mox_net::blocking(move || {
        mox_metrics::process::sampled(&process::sample(started));
        mox_metrics::text()
    });
    Answer::ok(mox_metrics::CONTENT_TYPE, text.await).uncached()
}

/// A page for those who come by hand.
pub(super) fn page() -> Answer {
    const PAGE: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
                        <title>metrics</title></head>\
                        <body><p><a href=\"metrics\">metrics</a></p></body></html>\n";
    Answer::ok("text/html; charset=utf-8", PAGE)
}

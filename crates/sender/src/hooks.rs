//! Making webhook calls.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mox_net::blocking;
use mox_net::http::{Reach, Request, Url};
use mox_queue::{Hook, HookOutcome, RESPONSE_BYTES_MAX};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::services::Inner;
use crate::settle::SETTLE_WAIT;

/// Calls that are made at the same time; of one URL one.
pub const CALLS_MAX: usize = 10;

/// For a call.
pub const CALL_WAIT: Duration = Duration::from_secs(60);

/// How long to wait if the queue could not be asked.
const TROUBLE_WAIT: Duration = Duration::from_secs(60);

/// The longest sleep, for clocks that jump; and how long to wait if all that is due is for URLs
/// that are being called.
const SLEEP_MAX: Duration = Duration::from_secs(3600);
const BUSY_WAIT: Duration = Duration::from_secs(10);

/// The URLs that are being called.
type Busy = Arc<Mutex<HashSet<String>>>;

/// Makes calls until the server stops.
pub(crate) async fn run(inner: Arc<Inner>) {
    let stopping = inner.services.supervisor.stopping();
    let busy = Busy::default();
    let forever = async {
        loop {
            let wait = match start_due(&inner, &busy).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::error!(%error, "taking webhook calls from the queue");
                    TROUBLE_WAIT
                }
            };
            tokio::select! {
                () = inner.hooks.notified() => {}
                () = sleep(wait) => {}
            }
        }
    };
    let _stopped: Option<()> = stopping.run_until_cancelled(forever).await;
}

/// Starts all calls that are due. Returns how long to sleep.
async fn start_due(inner: &Arc<Inner>, busy: &Busy) -> Result<Duration, mox_queue::QueueError> {
    let services = &inner.services;
    loop {
        let now = inner.now();
        let queue = services.queue.clone();
        let due = blocking(move || queue.hook_next_due(now)).await?;
        let Some(due) = due else { return Ok(SLEEP_MAX) };
        let wait = u64::try_from(due.secs_since(now)).ok().filter(|secs| *secs > 0);
        if let Some(secs) = wait {
            return Ok(Duration::from_secs(secs).min(SLEEP_MAX));
        }
        let urls: Vec<String> = busy.lock().iter().cloned().collect();
        let free = CALLS_MAX.saturating_sub(urls.len());
        let hooks = match free {
            0 => Vec::new(),
            free => services.queue.lease_hooks(free, urls, now).await?,
        };
        if hooks.is_empty() {
            return Ok(BUSY_WAIT);
        }
        for hook in hooks {
            busy.lock().insert(hook.call.url.clone());
            let (inner, busy) = (Arc::clone(inner), Arc::clone(busy));
            let cid = services.supervisor.next_cid();
            services.supervisor.spawn("webhook", cid, async move {
                let url = hook.call.url.clone();
                let _free = Freed { inner: Arc::clone(&inner), busy, url };
                call(&inner, hook).await;
            });
        }
    }
}

/// Gives a URL free, also if the task ends early.
struct Freed {
    inner: Arc<Inner>,
    busy: Busy,
    url: String,
}

impl Drop for Freed {
    fn drop(&mut self) {
        self.busy.lock().remove(&self.url);
        self.inner.hooks.notify_one();
    }
}

async fn call(inner: &Inner, hook: Hook) {
    let (id, attempt) = (hook.id, hook.attempts);
    let account = hook.call.account.clone();
    let start = inner.now();
    let began = Instant::now();
    let outcome = match Url::parse(&hook.call.url) {
        Some(url) => made(inner.services.http.request(request(url, hook)).await),
        None => {
            HookOutcome { error: "url is not one of http".to_owned(), ..HookOutcome::default() }
        }
    };
    let took = began.elapsed();
    mox_metrics::webhook::called(Some(outcome.code).filter(|code| *code > 0), took);
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let (code, error) = (outcome.code, outcome.error.clone());
    tracing::info!(id = id.0, account, attempt, code, error, "webhook called");
    let outcome = HookOutcome { start, duration_ms, ..outcome };
    // Until that works or the server stops: what is not written down is not tried again before a restart.
    let stopping = inner.services.supervisor.stopping();
    let now = inner.now();
    while let Err(error) = inner.services.queue.settle_hook(id, outcome.clone(), now).await {
        tracing::error!(%error, "writing down what came of a webhook call");
        if stopping.run_until_cancelled(sleep(SETTLE_WAIT)).await.is_none() {
            return;
        }
    }
}

fn request(url: Url, hook: Hook) -> Request {
    let version = env!("CARGO_PKG_VERSION");
    let field = |name: &str, value: String| (name.to_owned(), value);
    let mut headers = vec![
        field("User-Agent", format!("mox/{version} (webhook)")),
        field("Content-Type", "application/json; charset=utf-8".to_owned()),
        field("X-Mox-Webhook-ID", hook.id.to_string()),
        field("X-Mox-Webhook-Attempt", hook.attempts.to_string()),
    ];
    if !hook.call.authorization.is_empty() {
        headers.push(field("Authorization", hook.call.authorization.clone()));
    }
    Request {
        url,
        post: Some(hook.call.payload.into_bytes()),
        headers,
        limit: CALL_WAIT,
        body_bytes_max: RESPONSE_BYTES_MAX,
        follows_redirects: true,
        reach: Reach::Any,
    }
}

fn made(result: Result<mox_net::http::Response, mox_net::http::HttpError>) -> HookOutcome {
    match result {
        Ok(response) => {
            let error = match response.status {
                200 => String::new(),
                status => format!("status {status}, expected 200"),
            };
            let response_text = String::from_utf8_lossy(&response.body).into_owned();
            let code = response.status;
            HookOutcome { code, error, response: response_text, ..HookOutcome::default() }
        }
        Err(error) => HookOutcome { error: error.to_string(), ..HookOutcome::default() },
    }
}

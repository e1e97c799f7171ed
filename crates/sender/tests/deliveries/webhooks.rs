//! Webhook calls over loopback.

use mox_base::UnixSeconds;
use mox_queue::{Hook, HookFilter, HookSort, NewHook, RESPONSE_BYTES_MAX};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::rig::{Rig, WAIT};

/// A web server that gives each request the next answer; the requests that came.
pub(crate) async fn server(answers: Vec<String>) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with('}') {
                let mut chunk = [0; 1024];
                let count = stream.read(&mut chunk).await.unwrap();
                assert!(count > 0, "{request}");
                request.push_str(std::str::from_utf8(&chunk[..count]).unwrap());
            }
            asked.push(request);
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    });
    (url, asked)
}

pub(crate) fn answer(status: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

fn call(url: &str) -> NewHook {
    NewHook {
        account: "a".to_owned(),
        url: url.to_owned(),
        authorization: "Basic c2VjcmV0".to_owned(),
        payload: "{\"Version\":0}".to_owned(),
        keep_secs: 3600,
        ..NewHook::default()
    }
}

fn waiting(rig: &Rig) -> Vec<Hook> {
    rig.queue.hooks(&HookFilter::default(), &HookSort::default()).unwrap()
}

fn over(rig: &Rig) -> Vec<Hook> {
    rig.queue.hooks_retired(&HookFilter::default(), &HookSort::default()).unwrap()
}

/// Runs a sender until so many attempts were made and written down for the only call.
async fn attempts(rig: &Rig, count: usize) -> Hook {
    // No mail server is needed.
    let running = rig.start(1);
    let made = |rig: &Rig| {
        let mut all = waiting(rig);
        all.extend(over(rig));
        all.pop().filter(|hook| hook.results.len() == count)
    };
    rig.until(|rig| made(rig).is_some()).await;
    running.stop().await;
    made(rig).unwrap()
}

#[tokio::test]
async fn a_call_is_made_with_its_fields_and_is_over() {
    let rig = Rig::new();
    let long = "x".repeat(RESPONSE_BYTES_MAX + 1);
    let (url, asked) = server(vec![answer("200 ok", &long)]).await;
    rig.queue.add_hooks(vec![call(&url)], rig.now()).wait().unwrap();
    let hook = attempts(&rig, 1).await;
    assert!(hook.retired.unwrap().is_success);
    assert_eq!((hook.results[0].code, hook.results[0].response.len()), (200, RESPONSE_BYTES_MAX));
    let asked = timeout(WAIT, asked).await.unwrap().unwrap();
    let (head, body) = asked[0].split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "{\"Version\":0}");
    assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
    let head = head.to_lowercase();
    for field in [
        "content-type: application/json; charset=utf-8",
        &format!("x-mox-webhook-id: {}", hook.id),
        "x-mox-webhook-attempt: 1",
        "authorization: basic c2vjcmv0",
        &format!("user-agent: mox/{} (webhook)", env!("CARGO_PKG_VERSION")),
    ] {
        assert!(head.lines().any(|line| line == field), "{field} is not in\n{head}");
    }
}

#[tokio::test]
async fn a_call_that_is_not_answered_with_200_is_made_again() {
    for status in ["201 created", "204 nothing", "404 no", "500 sorry"] {
        let rig = Rig::new();
        let (url, asked) = server(vec![answer(status, ""), answer("200 ok", "")]).await;
        rig.queue.add_hooks(vec![call(&url)], rig.now()).wait().unwrap();
        let hook = attempts(&rig, 1).await;
        assert!(hook.retired.is_none() && !hook.results[0].is_success, "{status}");
        assert!(status.starts_with(&hook.results[0].code.to_string()));
        let wait = hook.next_attempt.secs_since(rig.now());
        assert!((59..=61).contains(&wait), "{wait}");
        rig.clock.set(UnixSeconds(hook.next_attempt.0));
        let hook = attempts(&rig, 2).await;
        assert!(hook.retired.unwrap().is_success);
        let asked = timeout(WAIT, asked).await.unwrap().unwrap();
        assert!(asked[1].to_lowercase().contains("x-mox-webhook-attempt: 2\r\n"));
    }
}

#[tokio::test]
async fn what_cannot_be_called_is_told() {
    // Nobody listens there; and what is no URL, which the configuration refuses.
    for url in ["http://127.0.0.1:1/", "ftp://h.example/"] {
        let rig = Rig::new();
        rig.queue.add_hooks(vec![call(url)], rig.now()).wait().unwrap();
        let hook = attempts(&rig, 1).await;
        assert!(hook.retired.is_none());
        assert!(hook.results[0].code == 0 && !hook.results[0].error.is_empty(), "{hook:?}");
    }
}

/// A call to one that does not answer keeps none of the others waiting.
#[tokio::test]
async fn calls_for_different_urls_do_not_wait_for_each_other() {
    let rig = Rig::new();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stuck = format!("http://{}/", silent.local_addr().unwrap());
    let (url, _asked) = server(vec![answer("200 ok", ""); 3]).await;
    let calls = vec![call(&stuck), call(&stuck), call(&url), call(&url), call(&url)];
    rig.queue.add_hooks(calls, rig.now()).wait().unwrap();
    let running = rig.start(1);
    rig.until(|rig| over(rig).len() == 3).await;
    assert_eq!(waiting(&rig).iter().map(|hook| hook.attempts).sum::<u32>(), 1, "one of a URL");
    drop(silent);
    running.stop().await;
}

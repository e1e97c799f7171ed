//! A resolver for one message.

use std::sync::Arc;

use mox_dns::{DnsError, Name, Pending, RecordType, Resolver, Trouble};
use mox_net::{Deadline, Wait};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

/// Questions about one message that are under way at the same time; further ones wait. Each method
/// bounds how many it asks in all.
pub const LOOKUPS_AT_ONCE_MAX: usize = 16;

/// Asks another resolver until a deadline, and only so many questions at a time.
///
/// When the deadline is over every question fails at once, so that whoever asks comes to an end of
/// its own, with the errors it has for that.
pub(crate) struct Bounded {
    inner: Arc<dyn Resolver>,
    deadline: Deadline,
    permits: Semaphore,
}

impl Bounded {
    /// The deadline is `wait` from now.
    pub(crate) fn new(inner: Arc<dyn Resolver>, wait: Wait) -> Self {
        let permits = Semaphore::new(LOOKUPS_AT_ONCE_MAX);
        Self { inner, deadline: Deadline::after(wait), permits }
    }
}

impl Resolver for Bounded {
    fn lookup<'a>(&'a self, name: &'a Name, kind: RecordType) -> Pending<'a> {
        let late = Err(DnsError::Temporary(Trouble::Timeout));
        Box::pin(async move {
            if Instant::now() >= self.deadline.at {
                return late;
            }
            let answer = async {
                let _permit = self.permits.acquire().await;
                self.inner.lookup(name, kind).await
            };
            timeout_at(self.deadline.at, answer).await.unwrap_or(late)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use mox_dns::{FakeDns, Lookups as _};

    use super::*;

    const WAIT: Wait = Wait::new("test", Duration::from_secs(3));

    /// Answers after [`ANSWER_WAIT`], and counts how many wait for it.
    #[derive(Default)]
    struct Slow {
        now: AtomicUsize,
        most: AtomicUsize,
    }

    const ANSWER_WAIT: Duration = Duration::from_secs(1);

    impl Resolver for Slow {
        fn lookup<'a>(&'a self, _name: &'a Name, _kind: RecordType) -> Pending<'a> {
            Box::pin(async {
                let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(now, Ordering::SeqCst);
                // What never comes is waited for in vain.
                let never = std::future::pending::<()>();
                let _elapsed = tokio::time::timeout(ANSWER_WAIT, never).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                Err(DnsError::Bogus)
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_at_a_time_and_none_after_the_deadline() {
        let slow = Arc::new(Slow::default());
        let resolver = Arc::new(Bounded::new(Arc::clone(&slow) as Arc<dyn Resolver>, WAIT));
        let ask = |n: usize| {
            let resolver = Arc::clone(&resolver);
            let name = Name::parse(&format!("n{n}.example")).unwrap();
            tokio::spawn(async move { resolver.txt(&name).await.unwrap_err() })
        };
        let started = Instant::now();
        let asked: Vec<_> = (0..4 * LOOKUPS_AT_ONCE_MAX).map(ask).collect();
        let mut bogus = 0;
        for answer in asked {
            bogus += usize::from(answer.await.unwrap() == DnsError::Bogus);
        }
        // Two rounds are over for sure; the third ends with the deadline, and the rest never began.
        assert!((2 * LOOKUPS_AT_ONCE_MAX..=3 * LOOKUPS_AT_ONCE_MAX).contains(&bogus), "{bogus}");
        assert_eq!(slow.most.load(Ordering::SeqCst), LOOKUPS_AT_ONCE_MAX);
        assert_eq!(started.elapsed(), WAIT.limit);
        let late = ask(1_000).await.unwrap();
        assert_eq!(late, DnsError::Temporary(Trouble::Timeout));
        assert_eq!(started.elapsed(), WAIT.limit);
    }

    #[tokio::test(start_paused = true)]
    async fn answers_pass_through() {
        let mut dns = FakeDns::new();
        dns.add_txt("a.example", "x");
        let resolver = Bounded::new(Arc::new(dns), WAIT);
        let name = Name::parse("a.example").unwrap();
        assert_eq!(resolver.txt(&name).await.unwrap().records, [b"x"]);
    }
}

//! Work that several wait for is done once.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use parking_lot::Mutex;

/// Work on its way.
pub(super) type Flight<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What is on its way, by what it is for.
///
/// Whoever waits drives the work; when the last one gives up, it is dropped, and nothing is left of
/// it here. So there are never more entries than there are waiters.
pub(super) struct Flights<K, T: Clone> {
    table: Arc<Mutex<Table<K, T>>>,
}

struct Table<K, T: Clone> {
    flying: HashMap<K, (u64, WeakShared<Flight<T>>)>,
    /// Tells a flight from an earlier one for the same.
    next: u64,
}

impl<K, T: Clone> Default for Flights<K, T> {
    fn default() -> Self {
        Self { table: Arc::new(Mutex::new(Table { flying: HashMap::new(), next: 0 })) }
    }
}

impl<K, T: Clone> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("flying", &self.len()).finish()
    }
}

impl<K, T: Clone> Flights<K, T> {
    pub(super) fn len(&self) -> usize {
        self.table.lock().flying.len()
    }
}

impl<K, T> Flights<K, T>
where
    K: Hash + Eq + Clone + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// Joins the work for `key`, or starts it. Tells whether it was joined.
    pub(super) fn join(
        &self,
        key: &K,
        start: impl FnOnce() -> Flight<T>,
    ) -> (Shared<Flight<T>>, bool) {
        let mut table = self.table.lock();
        let flying = table.flying.get(key).and_then(|(_, flight)| flight.upgrade());
        if let Some(flight) = flying {
            return (flight, true);
        }
        let number = table.next;
        table.next += 1;
        let landing = Landing { table: Arc::clone(&self.table), key: key.clone(), number };
        let work = start();
        let flight: Flight<T> = Box::pin(async move {
            let _landing = landing;
            work.await
        });
        let flight = flight.shared();
        if let Some(weak) = flight.downgrade() {
            table.flying.insert(key.clone(), (number, weak));
        }
        (flight, false)
    }
}

/// Removes a flight when it ends or is given up.
struct Landing<K: Hash + Eq, T: Clone> {
    table: Arc<Mutex<Table<K, T>>>,
    key: K,
    number: u64,
}

impl<K: Hash + Eq, T: Clone> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut table = self.table.lock();
        // Meanwhile there may be another for the same.
        if table.flying.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            table.flying.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    fn answer(receiver: oneshot::Receiver<u32>) -> Flight<u32> {
        Box::pin(async { receiver.await.unwrap_or(0) })
    }

    #[tokio::test]
    async fn all_who_wait_get_the_one_outcome() {
        let flights = Flights::default();
        let (sender, receiver) = oneshot::channel();
        let (one, joined) = flights.join(&1, || answer(receiver));
        assert!(!joined);
        let (two, joined) = flights.join(&1, || Box::pin(async { 9 }));
        assert!(joined);
        sender.send(7).unwrap();
        assert_eq!((one.await, two.await), (7, 7));
        assert_eq!(flights.len(), 0);
        let (again, joined) = flights.join(&1, || Box::pin(async { 9 }));
        assert_eq!((again.await, joined), (9, false));
    }

    #[tokio::test]
    async fn whoever_started_it_may_go() {
        let flights = Flights::default();
        let (sender, receiver) = oneshot::channel();
        let (one, _) = flights.join(&1, || answer(receiver));
        let (two, _) = flights.join(&1, || Box::pin(async { 9 }));
        drop(one);
        assert_eq!(flights.len(), 1);
        sender.send(7).unwrap();
        assert_eq!(two.await, 7);
    }

    #[tokio::test]
    async fn nothing_is_left_of_what_all_gave_up() {
        let flights = Flights::default();
        for key in 0..1000 {
            let (flight, _) = flights.join(&key, || Box::pin(std::future::pending::<u32>()));
            // Waited for a moment, then given up.
            assert!(flight.now_or_never().is_none());
        }
        assert_eq!(flights.len(), 0);
    }
}

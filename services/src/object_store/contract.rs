//! The clauses of the object store's contract, run against every adapter by [`object_store_contract!`].
//!
//! [`object_store_contract!`]: crate::object_store_contract

use bytes::Bytes;

use super::{MAX_KEY_BYTES, ObjectStore};
use crate::error::{ErrorKind, PortError};

/// Makes one test of each clause. The argument is a closure that gives a guard, dropped after the test, and an
/// `Arc` of an empty store; after `await`, an async closure that gives them, or none where there is no server.
#[macro_export]
macro_rules! object_store_contract {
    (await $make:expr) => {
        $crate::object_store_contract!($make;
            a_put_object_reads_back,
            a_second_put_replaces,
            ranges_are_exact,
            what_is_not_there_is_not_found,
            a_deleted_object_is_gone,
            keys_that_leave_the_store_are_refused,
            pages_are_in_byte_order
        );
    };
    ($make:expr) => {
        $crate::object_store_contract!(await async || Some(($make)()));
    };
    ($make:expr; $($clause:ident),+) => {
        $(#[tokio::test]
        async fn $clause() {
            let Some((_guard, store)) = ($make)().await else { return };
            $crate::object_store::contract::$clause(store.as_ref()).await;
        })+
    };
}

/// `get` after `Ok` of `put` gives the bytes put, also none at all.
pub async fn a_put_object_reads_back(store: &dyn ObjectStore) {
    for body in [Bytes::new(), Bytes::from(vec![7; 300_000])] {
        put(store, "frames/gate/0000000000001/0000000000-shapes.jpg", &body).await;
        let key = "frames/gate/0000000000001/0000000000-shapes.jpg";
        assert_eq!(get(store, key).await, body);
        let meta = store.head(key).await.expect("the object was put");
        assert_eq!((meta.key.as_str(), meta.size), (key, body.len() as u64));
    }
}

/// Putting a key again replaces the object.
pub async fn a_second_put_replaces(store: &dyn ObjectStore) {
    put(store, "a/b", b"a longer first body").await;
    put(store, "a/b", b"second").await;
    assert_eq!(get(store, "a/b").await, "second");
    assert_eq!(keys(store, "", None, 9).await, ["a/b"]);
}

/// A range gives its bytes; one past the end is an error, not a short read.
pub async fn ranges_are_exact(store: &dyn ObjectStore) {
    put(store, "digits", b"0123456789").await;
    for (range, expected) in [(0..3, "012"), (3..10, "3456789"), (9..10, "9")] {
        let part = store.get("digits", Some(range)).await.expect("the range is in the object");
        assert_eq!(part, expected);
    }
    for range in [9..11, 10..11, 100..101] {
        let result = store.get("digits", Some(range.clone())).await;
        assert_eq!(kind(result), ErrorKind::Invalid, "range {range:?}");
    }
}

/// What was never put is `NotFound`, also where a longer or a shorter key is an object.
pub async fn what_is_not_there_is_not_found(store: &dyn ObjectStore) {
    put(store, "a/b", b"1").await;
    for key in ["nothing", "a", "a/b/c", "a/bb"] {
        assert_eq!(kind(store.get(key, None).await), ErrorKind::NotFound, "get {key:?}");
        assert_eq!(kind(store.head(key).await), ErrorKind::NotFound, "head {key:?}");
    }
}

/// A deleted object is gone, and deleting it again is `Ok`.
pub async fn a_deleted_object_is_gone(store: &dyn ObjectStore) {
    put(store, "a/b", b"1").await;
    put(store, "a/c", b"2").await;
    for key in ["a/b", "a/b", "never"] {
        store.delete(key).await.expect("deleting what is not there is no error");
    }
    assert_eq!(kind(store.get("a/b", None).await), ErrorKind::NotFound);
    assert_eq!(keys(store, "", None, 9).await, ["a/c"]);
}

/// A key outside the rules is refused by every call that takes one.
pub async fn keys_that_leave_the_store_are_refused(store: &dyn ObjectStore) {
    let long = "a".repeat(MAX_KEY_BYTES + 1);
    for key in ["", "/a", "a/", "a//b", "../a", "a/../../b", "a/./b", "a b", "a\\b", "ä", &long] {
        let put = store.put(key, Bytes::new()).await;
        assert_eq!(kind(put), ErrorKind::Invalid, "put {key:?}");
        assert_eq!(kind(store.get(key, None).await), ErrorKind::Invalid, "get {key:?}");
        assert_eq!(kind(store.head(key).await), ErrorKind::Invalid, "head {key:?}");
        assert_eq!(kind(store.delete(key).await), ErrorKind::Invalid, "delete {key:?}");
    }
}

/// Pages put together are all keys with the prefix, in byte order (`-` and `.` come before `/`, digits after).
pub async fn pages_are_in_byte_order(store: &dyn ObjectStore) {
    let all = ["a-b", "a.c", "a/b", "a/b-c", "a/b.d/e", "a0", "b/a/a", "b/a/b", "b/b"];
    for key in all.iter().rev() {
        put(store, key, key.as_bytes()).await;
    }
    let mut paged = Vec::new();
    loop {
        let page = keys(store, "", paged.last().map(String::as_str), 2).await;
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 2, "a page has at most its limit: {page:?}");
        paged.extend(page);
    }
    assert_eq!(paged, all);
    assert_eq!(keys(store, "a/b", None, 9).await, ["a/b", "a/b-c", "a/b.d/e"]);
    assert_eq!(keys(store, "b/", Some("b/a/a"), 9).await, ["b/a/b", "b/b"]);
    assert_eq!(keys(store, "a/", Some("b"), 9).await, [""; 0]);
    assert_eq!(keys(store, "none/", None, 9).await, [""; 0]);
}

async fn put(store: &dyn ObjectStore, key: &str, body: &[u8]) {
    store.put(key, Bytes::copy_from_slice(body)).await.expect("the key is well formed");
}

async fn get(store: &dyn ObjectStore, key: &str) -> Bytes {
    store.get(key, None).await.expect("the object was put")
}

async fn keys(
    store: &dyn ObjectStore,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Vec<String> {
    let page = store.list(prefix, after, limit).await.expect("the store can be listed");
    page.into_iter().map(|meta| meta.key).collect()
}

fn kind<T: std::fmt::Debug>(result: Result<T, PortError>) -> ErrorKind {
    result.expect_err("the call breaks the contract's rules").kind()
}

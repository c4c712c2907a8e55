//! The embedded object store: a folder, one file per object, its path the key.
//!
//! An object is written to a temporary file on the same file system, synced, renamed to its place, and the folder
//! synced. Temporary files lie in `~put`, a name that no key can have. A file system adds one rule to
//! [`check_key`]'s: `a` and `a/b` cannot both be objects.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;

use super::listing::Listing;
use super::{Bucket, ObjectMeta, ObjectStore, check_key, retention};
use crate::durable;
use crate::error::PortError;
use crate::sqlite::blocking;

const TEMPORARY: &str = "~put";
/// A temporary file younger than this may be one that its writer has not locked yet.
const STALE_AFTER: Duration = Duration::from_secs(60);
/// Tries to give a file its place, while others remove the empty folder that it belongs in.
const PLACINGS: u32 = 16;

/// Objects in a folder, which any number of processes may share.
#[derive(Clone, Debug)]
pub struct FolderStore {
    folder: Arc<Folder>,
}

impl FolderStore {
    /// Opens the store in the folder `root`, makes it if need be, and removes what dead writers left. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be made or is not writable.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, PortError> {
        let root = durable::absolute(&root.into())?;
        durable::create_writable_folder(&root)?;
        durable::create_writable_folder(&root.join(TEMPORARY))?;
        let folder = Folder { root, puts: AtomicU64::new(0) };
        remove_stale(&folder.root, SystemTime::now());
        Ok(Self { folder: Arc::new(folder) })
    }

    /// The store under the name that messages know it by.
    pub fn into_bucket(self, name: impl Into<String>) -> Bucket {
        let uri = format!("file://{}", percent_encode(&self.folder.root));
        Bucket { name: name.into(), uri, store: Arc::new(self) }
    }

    async fn run<T: Send + 'static>(
        &self,
        verb: &'static str,
        key: &str,
        work: impl FnOnce(&Folder, &str) -> io::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        check_key(key)?;
        let (folder, key) = (Arc::clone(&self.folder), key.to_owned());
        let attempt = format!("{verb} object {key:?} in {:?}", folder.root);
        let stopped = attempt.clone();
        blocking(
            || stopped,
            move || work(&folder, &key).map_err(|error| PortError::io(attempt, error)),
        )
        .await
    }
}

#[async_trait]
impl ObjectStore for FolderStore {
    async fn put(&self, key: &str, body: Bytes) -> Result<(), PortError> {
        self.run("put", key, move |folder, key| folder.put(key, &body)).await
    }

    async fn get(&self, key: &str, range: Option<Range<u64>>) -> Result<Bytes, PortError> {
        self.run("get", key, move |folder, key| folder.get(key, range)).await
    }

    async fn head(&self, key: &str) -> Result<ObjectMeta, PortError> {
        self.run("look at", key, |folder, key| folder.head(key)).await
    }

    async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ObjectMeta>, PortError> {
        let folder = Arc::clone(&self.folder);
        let attempt = format!("list objects {prefix:?} in {:?}", folder.root);
        let stopped = attempt.clone();
        let listing = Listing::new(prefix, after.unwrap_or_default(), limit);
        blocking(
            || stopped,
            move || listing.of(&folder.root).map_err(|error| PortError::io(attempt, error)),
        )
        .await
    }

    async fn delete(&self, key: &str) -> Result<(), PortError> {
        self.run("delete", key, |folder, key| match fs::remove_file(folder.path(key)) {
            Err(error) if is_absent(&error) => Ok(()),
            done => done,
        })
        .await
    }
}

#[derive(Debug)]
struct Folder {
    root: PathBuf,
    puts: AtomicU64,
}

impl Folder {
    fn path(&self, key: &str) -> PathBuf {
        self.root.join(key)
    }

    fn put(&self, key: &str, body: &[u8]) -> io::Result<()> {
        let (mut file, temporary) = self.temporary()?;
        let written = file
            .write_all(body)
            .and_then(|()| file.sync_all())
            .and_then(|()| place(&temporary, &self.path(key)));
        if written.is_err() {
            // What cannot be removed now is removed by a later start.
            drop(fs::remove_file(&temporary));
        }
        written
    }

    /// A new file, locked for as long as its writer lives.
    fn temporary(&self) -> io::Result<(File, PathBuf)> {
        let number = self.puts.fetch_add(1, Ordering::Relaxed);
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let nanos = since_1970.unwrap_or_default().as_nanos();
        let name = format!("{}-{nanos}-{number}", std::process::id());
        let path = self.root.join(TEMPORARY).join(name);
        let file = File::create_new(&path)?;
        file.lock()?;
        Ok((file, path))
    }

    fn get(&self, key: &str, range: Option<Range<u64>>) -> io::Result<Bytes> {
        let (mut file, size) = self.open(key)?;
        let range = range.unwrap_or(0..size);
        if range.start > range.end || range.end > size {
            let cause = format!("bytes {range:?} of an object of {size}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, cause));
        }
        let len = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut body = vec![0; len];
        file.seek(SeekFrom::Start(range.start))?;
        file.read_exact(&mut body)?;
        Ok(body.into())
    }

    fn head(&self, key: &str) -> io::Result<ObjectMeta> {
        let (_, size) = self.open(key)?;
        Ok(ObjectMeta { key: key.to_owned(), size })
    }

    fn open(&self, key: &str) -> io::Result<(File, u64)> {
        let found = File::open(self.path(key)).and_then(|file| {
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
        match found {
            Ok((file, metadata)) if metadata.is_file() => Ok((file, metadata.len())),
            Ok(_) => Err(self.absent(key)),
            Err(error) if is_absent(&error) => Err(self.absent(key)),
            Err(error) => Err(error),
        }
    }

    fn absent(&self, key: &str) -> io::Error {
        match retention::why_gone(&self.root, key) {
            Some(why) => io::Error::new(io::ErrorKind::NotFound, why),
            None => io::ErrorKind::NotFound.into(),
        }
    }
}

/// Gives a written file its place. Whoever removes old objects may remove the folder that was made for it.
fn place(from: &Path, to: &Path) -> io::Result<()> {
    let mut tried = 1;
    loop {
        match durable::create_parents(to).and_then(|()| durable::rename(from, to)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && tried < PLACINGS => tried += 1,
            done => return done,
        }
    }
}

/// Removes temporary files whose writers died. One that cannot be judged or removed stays for a later time.
pub(super) fn remove_stale(root: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(root.join(TEMPORARY)) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if is_stale(&path, now).unwrap_or(false) && fs::remove_file(&path).is_ok() {
            tracing::info!(file = %path.display(), "removed what an interrupted put left");
        }
    }
}

/// Tells whether nobody writes a temporary file any more: it is old enough to be locked, and is not.
fn is_stale(path: &Path, now: SystemTime) -> io::Result<bool> {
    let file = File::open(path)?;
    let age = now.duration_since(file.metadata()?.modified()?).unwrap_or_default();
    Ok(age >= STALE_AFTER && file.try_lock().is_ok())
}

/// Tells whether no object can be at a path: nothing is there, a folder is, or another object is in its way.
fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::NotFound | Kind::NotADirectory | Kind::IsADirectory)
}

/// Writes a path as a URI's (RFC 3986 §2).
fn percent_encode(path: &Path) -> String {
    let path = path.as_os_str().as_encoded_bytes();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.iter().fold(String::with_capacity(path.len()), |mut uri, &byte| {
        if plain(byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
        uri
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    crate::object_store_contract!(|| {
        let folder = tempfile::tempdir().unwrap();
        let store = FolderStore::open(folder.path().join("objects")).unwrap();
        (folder, Arc::new(store))
    });

    fn left(root: &Path) -> Vec<String> {
        let entries = fs::read_dir(root.join(TEMPORARY)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn a_start_removes_what_dead_writers_left_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        let (writing, living) = store.folder.temporary().unwrap();
        fs::write(root.path().join(TEMPORARY).join("dead"), "half").unwrap();
        remove_stale(root.path(), SystemTime::now());
        assert_eq!(left(root.path()).len(), 2, "both are young");

        remove_stale(root.path(), SystemTime::now() + STALE_AFTER);
        assert_eq!(left(root.path()), [living.file_name().unwrap().to_str().unwrap()]);
        drop(writing);
        remove_stale(root.path(), SystemTime::now() + STALE_AFTER);
        assert_eq!(left(root.path()).len(), 0);
    }

    #[tokio::test]
    async fn a_put_that_fails_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        store.put("a", Bytes::from_static(b"1")).await.unwrap();
        let error = store.put("a/b", Bytes::from_static(b"2")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        fs::create_dir(root.path().join("folder")).unwrap();
        store.put("folder", Bytes::from_static(b"3")).await.unwrap_err();
        assert_eq!(left(root.path()).len(), 0);
        assert_eq!(store.list("", None, 9).await.unwrap().len(), 1);
    }

    #[test]
    fn a_put_survives_that_its_empty_folder_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path()).unwrap();
        let folder = root.path().join("frames/gate/7");
        let put = AtomicU64::new(0);
        std::thread::scope(|scope| {
            // Once during each put, as whoever removes old objects comes by.
            scope.spawn(|| {
                let mut seen = 0;
                while seen < u64::MAX {
                    let now = put.load(Ordering::SeqCst);
                    if now == u64::MAX || (now > seen && fs::remove_dir(&folder).is_ok()) {
                        fs::remove_dir(root.path().join("frames/gate")).ok();
                        seen = now;
                    }
                }
            });
            let puts = (1..=300).try_for_each(|n: u64| {
                put.store(n, Ordering::SeqCst);
                store.folder.put("frames/gate/7/1-m.jpg", &n.to_le_bytes())?;
                fs::remove_file(folder.join("1-m.jpg"))
            });
            put.store(u64::MAX, Ordering::SeqCst);
            puts.unwrap();
        });
        assert_eq!(left(root.path()).len(), 0);
    }

    #[test]
    fn a_bucket_says_where_its_objects_are() {
        let root = tempfile::tempdir().unwrap();
        let store = FolderStore::open(root.path().join("with space")).unwrap();
        let uri = store.into_bucket("objects").object_uri("a/b.jpg");
        assert!(uri.starts_with("file:///") && uri.ends_with("/with%20space/a/b.jpg"), "{uri}");
    }

    #[test]
    fn a_folder_that_is_not_utf_8_keeps_its_bytes() {
        use std::os::unix::ffi::OsStrExt as _;
        let name = std::ffi::OsStr::from_bytes(b"gr\xfcn#1");
        assert_eq!(percent_encode(Path::new(name)), "gr%FCn%231");
    }
}

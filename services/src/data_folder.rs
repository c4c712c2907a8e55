//! Where everything lies in the data folder of the embedded backend.
//!
//! ```text
//! feed/                         sockets of the processes that show results
//! objects/                      frames' bytes, by object key
//! objects/~retention.json       how far they were removed, and who removes them (.lock)
//! queue/<model>.sqlite          one queue per model, its dead letters with it
//! spool/<stream>.sqlite, .lock  what a receiver could not hand on yet, and who receives the stream
//! table/buffer.sqlite           accepted rows on their way to files, and the list of the files
//! table/filing.lock, reading.lock  who moves rows into files, and who reads the files
//! table/detections/dt=…/hour=…/ the rows as Parquet
//! table/retired.json            what of them left with their time
//! ```

use std::io;
use std::path::{Path, PathBuf};

use crate::error::PortError;
use crate::id::{ModelName, StreamId};

/// The embedded backend's one folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFolder {
    root: PathBuf,
}

impl DataFolder {
    /// The data folder at `root`, whether it exists yet or not.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of the sockets over which results go from process to process.
    pub fn feed(&self) -> PathBuf {
        self.root.join("feed")
    }

    /// The folder of the object store.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// The queue of a model.
    pub fn queue(&self, model: &ModelName) -> PathBuf {
        self.root.join("queue").join(format!("{model}.sqlite"))
    }

    /// The spool of a stream.
    pub fn spool(&self, stream: &StreamId) -> PathBuf {
        self.root.join("spool").join(format!("{stream}.sqlite"))
    }

    /// The file that the one receiver of a stream holds a lock on.
    pub fn spool_lock(&self, stream: &StreamId) -> PathBuf {
        self.root.join("spool").join(format!("{stream}.lock"))
    }

    /// The folder of the table.
    pub fn table(&self) -> PathBuf {
        self.root.join("table")
    }

    /// The delivery stream's buffer, which also lists the table's files.
    pub fn buffer(&self) -> PathBuf {
        crate::delivery::buffer_path(&self.table())
    }

    /// The models that have a queue here, by name.
    ///
    /// # Errors
    /// When the folder of the queues cannot be read; one that is not there has no queues.
    pub fn models(&self) -> Result<Vec<ModelName>, PortError> {
        sqlite_files(&self.root.join("queue"))
    }

    /// The streams that have a spool here, by name.
    ///
    /// # Errors
    /// When the folder of the spools cannot be read; one that is not there has no spools.
    pub fn streams(&self) -> Result<Vec<StreamId>, PortError> {
        sqlite_files(&self.root.join("spool"))
    }
}

fn sqlite_files<Name: TryFrom<String> + Ord>(folder: &Path) -> Result<Vec<Name>, PortError> {
    let failed = |error| PortError::io(format!("list folder {folder:?}"), error);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let file = entry.map_err(failed)?.file_name();
        let stem = file.to_str().and_then(|file| file.strip_suffix(".sqlite"));
        names.extend(stem.and_then(|stem| Name::try_from(stem.to_owned()).ok()));
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_tells_its_models_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::new(folder.path());
        assert_eq!(data.models().unwrap(), []);
        let [b, a] = ["b.v2", "a"].map(|name| ModelName::new(name).unwrap());
        std::fs::create_dir(folder.path().join("queue")).unwrap();
        for path in [data.queue(&b), data.queue(&a), data.queue(&a).with_extension("sqlite-wal")] {
            std::fs::write(path, "").unwrap();
        }
        assert_eq!(data.models().unwrap(), [a, b]);
        assert_eq!(data.streams().unwrap(), []);
    }
}

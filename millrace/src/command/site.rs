//! Where a command's data is: a path, a URL, or a folder of its own.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::{io, iter};

use anyhow::Context as _;

/// Where data lies when nobody says.
const DEFAULT_DATA: &str = "data";

/// The scheme of a text that is a URL rather than a path: `rtsp` of `rtsp://…`.
pub(crate) fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let is_word = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric());
    let is_url = rest.starts_with("//") || matches!(scheme, "file" | "scene");
    (is_word && is_url).then_some(scheme)
}

/// The data folder of one job. What was made for it goes with it where nothing came into it.
#[derive(Debug)]
pub(crate) struct JobFolder {
    path: PathBuf,
    /// The innermost first.
    made: Vec<PathBuf>,
}

impl Deref for JobFolder {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for JobFolder {
    fn drop(&mut self) {
        for folder in &self.made {
            // Refused where something is in it.
            if std::fs::remove_dir(folder).is_err() {
                return;
            }
        }
    }
}

/// The data folder that is named, or a new one for `purpose`, which is made so that nobody else gets it.
pub(crate) fn own_folder(named: Option<&Path>, purpose: &str) -> anyhow::Result<JobFolder> {
    match named {
        Some(named) => Ok(JobFolder { path: named.to_owned(), made: Vec::new() }),
        None => new_folder(Path::new(DEFAULT_DATA), purpose, jiff::Timestamp::now()),
    }
}

fn new_folder(root: &Path, purpose: &str, now: jiff::Timestamp) -> anyhow::Result<JobFolder> {
    let name = format!("{purpose}-{}", now.strftime("%Y%m%d-%H%M%S"));
    let first = root.join(&name);
    let later = (2..).map(|nth| first.with_file_name(format!("{name}-{nth}")));
    let root_is_new = !root.exists();
    std::fs::create_dir_all(root).with_context(|| format!("make data folder {root:?}"))?;
    for folder in iter::once(first.clone()).chain(later) {
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => {
                made.with_context(|| format!("make data folder {folder:?}"))?;
                let mut made = vec![folder.clone()];
                made.extend(root_is_new.then(|| root.to_owned()));
                return Ok(JobFolder { path: folder, made });
            }
        }
    }
    unreachable!("there is always another number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_told_from_a_path() {
        for url in
            ["rtsp://h/x", "rtsps://h/x", "http://h", "file:a.mp4", "scene:", "scene:?seed=1"]
        {
            assert_eq!(scheme(url), url.split(':').next());
        }
        for path in ["a.mp4", "12:30.mp4", "a/b:c.mp4", "admin:secret@10.0.0.5/x", "a b://c"] {
            assert_eq!(scheme(path), None, "{path}");
        }
    }

    #[test]
    fn two_jobs_of_the_same_second_have_a_folder_each() {
        let root = tempfile::tempdir().unwrap();
        let now = "2026-11-21T09:30:00Z".parse().unwrap();
        let folders = [(); 3].map(|()| new_folder(&root.path().join("data"), "run", now).unwrap());
        let names = folders.each_ref().map(|folder| folder.file_name().unwrap().to_string_lossy());
        assert_eq!(
            names,
            ["run-20261121-093000", "run-20261121-093000-2", "run-20261121-093000-3"]
        );
    }

    #[test]
    fn a_folder_that_stayed_empty_goes_with_its_job_and_no_other() {
        let root = tempfile::tempdir().unwrap();
        let now = "2026-11-21T09:30:00Z".parse().unwrap();
        let (data, named) = (root.path().join("data"), root.path().join("named"));
        std::fs::create_dir(&named).unwrap();
        drop(own_folder(Some(&named), "run").unwrap());
        assert!(named.exists(), "it was there before");
        drop(new_folder(&data, "run", now).unwrap());
        assert!(!data.exists());
        let used = new_folder(&data, "run", now).unwrap();
        std::fs::write(used.join("rows"), "").unwrap();
        let unused = new_folder(&data, "run", now).unwrap();
        let paths = [&used, &unused].map(|folder| folder.to_path_buf());
        drop((used, unused));
        assert_eq!(paths.map(|path| path.exists()), [true, false]);
    }
}

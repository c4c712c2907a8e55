//! Where a command's configuration and data are.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use services::DataFolder;
use services::config::{Config, Overrides, load, load_place, load_without_streams};

use crate::cli::SiteArgs;

/// The configuration file of a folder.
const DEFAULT_FILE: &str = "millrace.toml";
/// Where data lies when nobody says.
const DEFAULT_DATA: &str = "data";

impl SiteArgs {
    /// Loads the configuration.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        Ok(load(self.file().as_deref(), &self.overrides())?)
    }

    /// Loads where the data is, and on AWS the names that lead to it, for commands that look at it.
    pub(crate) fn place(&self) -> anyhow::Result<Config> {
        Ok(load_place(self.file().as_deref(), &self.overrides())?)
    }

    /// Loads everything but the streams, for commands that look at a running system.
    pub(crate) fn load_without_streams(&self) -> anyhow::Result<Config> {
        Ok(load_without_streams(self.file().as_deref(), &self.overrides())?)
    }

    /// The folder in which the data lies, for commands that look at it.
    pub(crate) fn data_folder(&self) -> anyhow::Result<DataFolder> {
        let root = self.place()?.data;
        std::fs::metadata(&root).with_context(|| format!("open data folder {root:?}"))?;
        Ok(DataFolder::new(root))
    }

    /// The configuration file: the one that is named, or the folder's own if it has one.
    pub(crate) fn file(&self) -> Option<PathBuf> {
        let default = || Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists());
        self.config.clone().or_else(default)
    }

    fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        if let Some(data) = &self.data {
            overrides.set("--data", &["data"], data.to_string_lossy());
        }
        overrides
    }
}

/// The data folder that is named, or a new one for `purpose`.
pub(crate) fn own_folder(named: Option<&Path>, purpose: &str) -> PathBuf {
    let new = || {
        let time = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S");
        Path::new(DEFAULT_DATA).join(format!("{purpose}-{time}"))
    };
    named.map_or_else(new, Path::to_owned)
}

//! Where a program's configuration and data are, as its arguments say.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use services::DataFolder;
use services::config::{
    Config, ConfigError, Overrides, Survey, find_file, load, load_place, load_without_streams,
    survey,
};

/// Where configuration and data are.
#[derive(Clone, Debug, Default, Args)]
pub struct SiteArgs {
    /// Configuration file; `millrace.toml` when there is one
    #[arg(short, long, value_name = "FILE", env = "MILLRACE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// Data folder, instead of the configuration's
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl SiteArgs {
    /// Loads the configuration.
    ///
    /// # Errors
    /// Names the first mistake in it, and its place.
    pub fn load(&self) -> Result<Config, ConfigError> {
        load(self.file().as_deref(), &self.overrides())
    }

    /// Loads everything but the streams, for programs that ask no camera.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_without_streams(&self) -> Result<Config, ConfigError> {
        self.load_for_worker(None)
    }

    /// Loads everything but the streams, with the worker's name in rows.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_for_worker(&self, worker: Option<&str>) -> Result<Config, ConfigError> {
        let mut overrides = self.overrides();
        if let Some(worker) = worker {
            overrides.set("--worker", &["infer", "worker"], worker);
        }
        load_without_streams(self.file().as_deref(), &overrides)
    }

    /// Reads the configuration, and gives all its mistakes.
    pub fn survey(&self) -> Survey {
        survey(self.file().as_deref(), &self.overrides())
    }

    /// Loads where the data is, and on AWS the names that lead to it, for commands that look at it.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn place(&self) -> Result<Config, ConfigError> {
        load_place(self.file().as_deref(), &self.overrides())
    }

    /// The folder in which the data lies, for commands that look at it.
    ///
    /// # Errors
    /// As [`load`](Self::load), or when there is no such folder.
    pub fn data_folder(&self) -> anyhow::Result<DataFolder> {
        let root = self.place()?.data;
        std::fs::metadata(&root).with_context(|| format!("open data folder {root:?}"))?;
        Ok(DataFolder::new(root))
    }

    /// The configuration file: the one that is named, or the working folder's own if it has one.
    pub fn file(&self) -> Option<PathBuf> {
        find_file(self.config.as_deref())
    }

    fn overrides(&self) -> Overrides {
        let mut overrides = Overrides::default();
        if let Some(data) = &self.data {
            overrides.set_path("--data", &["data"], data);
        }
        overrides
    }
}

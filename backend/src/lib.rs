//! Opens the ports that the configuration names, of the one backend or the other.
//!
//! Without the feature `aws` nothing of the AWS SDK is linked, and a configuration that names AWS is refused.

use services::config::{Backend, Config};
use services::sqlite::blocking;
use services::{ModelName, OpenBackend, PortError, open_embedded};

/// Opens the backend that the configuration names, with a queue for each of its models, and checks that all of it
/// is there.
///
/// # Errors
/// Names what is missing, refused or damaged: the folder or file, or the bucket, queue or delivery stream with
/// the call that failed.
pub async fn open(config: &Config) -> Result<OpenBackend, PortError> {
    match config.backend {
        Backend::Embedded => {
            let (data, options) = (config.data.clone(), config.embedded_options());
            let models: Vec<ModelName> = config.models.keys().cloned().collect();
            let attempt = || format!("open data folder {:?}", config.data);
            blocking(attempt, move || open_embedded(&data, &models, &options)).await
        }
        Backend::Aws => on_aws::open(config).await,
    }
}

/// Asks for this task to be spared while `is_busy` says so, where somebody can be asked, without end.
pub async fn protect_task(is_busy: impl Fn() -> bool) {
    on_aws::protect_task(is_busy).await;
}

#[cfg(feature = "aws")]
mod on_aws {
    pub(super) use aws::open;

    pub(super) async fn protect_task(is_busy: impl Fn() -> bool) {
        if let Some(agent) = aws::TaskProtection::from_environment() {
            agent.keep(is_busy).await;
        }
    }
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "as the calls are with the feature")]
mod on_aws {
    use services::config::Config;
    use services::{ErrorKind, OpenBackend, PortError};

    pub(super) async fn open(_config: &Config) -> Result<OpenBackend, PortError> {
        let cause = "this program was built without AWS (feature \"aws\")";
        Err(PortError::because(ErrorKind::Invalid, "open backend on AWS", cause))
    }

    pub(super) async fn protect_task(_is_busy: impl Fn() -> bool) {}
}

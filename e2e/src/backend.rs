//! Where a test's store, queue, delivery stream and table are.

/// Where a test's store, queue, delivery stream and table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In the site's data folder.
    Embedded,
    /// At the endpoints that the environment names: LocalStack's.
    Aws,
}

/// Makes two tests of each body, a function of a [`Backend`]: one for each backend. The one for AWS is skipped in
/// words where no endpoint is named.
#[macro_export]
macro_rules! on_every_backend {
    ($($body:ident),+ $(,)?) => {
        mod embedded {
            $(#[test]
            fn $body() {
                super::$body($crate::Backend::Embedded);
            })+
        }
        mod aws {
            $(#[test]
            fn $body() {
                if $crate::aws::is_here() {
                    super::$body($crate::Backend::Aws);
                }
            })+
        }
    };
}

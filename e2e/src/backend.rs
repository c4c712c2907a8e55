//! Where a test's store, queue, delivery stream and table are.

/// Where a test's store, queue, delivery stream and table are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// In the site's data folder.
    Embedded,
    /// At the endpoints that the environment names: an emulator's.
    Aws,
}

/// Makes two tests of each body, a function of a [`Backend`]: one for each backend.
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
                if $crate::aws::is_wanted() {
                    super::$body($crate::Backend::Aws);
                }
            })+
        }
    };
}

//! The extension point: pictures in, detections out.

use std::fmt;

use media::RgbImage;
use services::{Detection, ModelName};

use super::ModelError;

/// Something that can be asked about pictures. One instance runs on one thread, a run at a time.
///
/// An error or a panic in [`run`](Self::run) costs the frame that was being run; the thread goes on with a fresh
/// instance.
pub trait Algorithm: Send {
    /// Pictures per run.
    fn window(&self) -> u32 {
        1
    }

    /// Answers for the last of `pictures`, which are [`window`](Self::window) many, in time order.
    ///
    /// # Errors
    /// When this run came to nothing; the frame is tried again, and answered with an `error` row at last.
    fn run(&mut self, pictures: &[RgbImage]) -> Result<Vec<Detection>, ModelError>;
}

/// A picture's width and height in pixels.
pub type PictureSize = (u32, u32);

type Make = dyn Fn() -> Result<Box<dyn Algorithm>, ModelError> + Send + Sync;
type Needs = dyn Fn(PictureSize) -> Option<PictureSize> + Send + Sync;

/// A named, versioned algorithm, from which each thread makes an instance of its own.
pub struct Model {
    /// The name in configuration, messages and rows.
    pub name: ModelName,
    /// The file's content hash, or the algorithm's own version.
    pub version: String,
    /// Pictures per run.
    pub window: u32,
    understood: Option<String>,
    make: Box<Make>,
    needs: Box<Needs>,
}

impl Model {
    /// Takes a way to make instances, after making one to see that it works.
    ///
    /// # Errors
    /// When no instance can be made.
    pub fn new(
        name: ModelName,
        version: impl Into<String>,
        make: impl Fn() -> Result<Box<dyn Algorithm>, ModelError> + Send + Sync + 'static,
    ) -> Result<Self, ModelError> {
        let window = make()?.window();
        let (make, needs) = (Box::new(make), Box::new(|_| None));
        Ok(Self { name, version: version.into(), window, understood: None, make, needs })
    }

    /// Says how large a picture has to be decoded at least, so that large ones can be decoded smaller.
    #[must_use]
    pub fn needing(
        mut self,
        needs: impl Fn(PictureSize) -> Option<PictureSize> + Send + Sync + 'static,
    ) -> Self {
        self.needs = Box::new(needs);
        self
    }

    /// Says in lines for people what the model was taken for.
    #[must_use]
    pub fn understood_as(mut self, lines: String) -> Self {
        self.understood = Some(lines);
        self
    }

    /// What the model was taken for, where there was something to find out.
    pub fn understood(&self) -> Option<&str> {
        self.understood.as_deref()
    }

    /// The smallest size at which a picture of size `picture` still serves; none when only its full size does.
    pub fn needs(&self, picture: PictureSize) -> Option<PictureSize> {
        (self.needs)(picture)
    }

    /// Makes an instance for one thread.
    ///
    /// # Errors
    /// When the algorithm cannot start.
    pub fn instance(&self) -> Result<Box<dyn Algorithm>, ModelError> {
        (self.make)()
    }
}

impl fmt::Debug for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {} version {}", self.name, self.version)
    }
}
